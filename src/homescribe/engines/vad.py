"""Voice activity detection: Silero VAD over a stream, with its state carried from block to block."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from homescribe.audio import SAMPLE_RATE

if TYPE_CHECKING:
    import onnxruntime

CHUNK = 512  # samples per probability: 32 ms
CHUNKS_PER_SECOND = SAMPLE_RATE / CHUNK
CONTEXT = 64  # samples before each chunk that the network sees, too

ONSET = 0.5  # probability above which speech begins, Silero's default
OFFSET = 0.35  # probability below which speech ends
MIN_SPEECH = 3  # chunks; words are longer than 0.1 s, clicks are not


class SileroVad:
    """Probability of speech in a stream of samples. Each call continues where the last one ended."""

    def __init__(self) -> None:
        self.state = np.zeros((1, 1, 128), np.float32)
        self.cell = np.zeros((1, 1, 128), np.float32)
        self.context = np.zeros(CONTEXT, np.float32)

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probability per chunk of `samples`, whose length is a multiple of CHUNK."""
        stream = np.concatenate([self.context, samples])
        self.context = stream[-CONTEXT:].copy()
        chunks = np.lib.stride_tricks.sliding_window_view(stream, CHUNK + CONTEXT)[::CHUNK]
        out, self.state, self.cell = _session().run(
            None, {"input": np.ascontiguousarray(chunks), "h": self.state, "c": self.cell}
        )
        return np.asarray(out, np.float32).reshape(-1)


class SpeechDetector:
    """Decides for every chunk of a stream whether it is speech."""

    def __init__(self) -> None:
        self.vad = SileroVad()
        self.speaking = False
        self.run = 0  # chunks of speech in a row at the end of the stream

    def extend(self, speech: NDArray[np.bool_], samples: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return `speech`, the decisions so far, with those for `samples` appended.

        Decisions at the end of `speech` are withdrawn if that speech turns out shorter than MIN_SPEECH.
        """
        probabilities = self.vad(samples)
        before = len(speech)
        speech = np.concatenate([speech, np.zeros(len(probabilities), bool)])
        for index, probability in enumerate(probabilities.tolist(), start=before):
            self.speaking = probability >= (OFFSET if self.speaking else ONSET)
            if self.speaking:
                speech[index] = True
                self.run += 1
            else:
                if 0 < self.run < MIN_SPEECH:
                    speech[max(0, index - self.run) : index] = False
                self.run = 0
        return speech


@cache
def _session() -> onnxruntime.InferenceSession:
    """The Silero network that comes with faster-whisper, shared by all threads."""
    import onnxruntime
    from faster_whisper.utils import get_assets_path

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep as much memory as the largest block needed
    options.log_severity_level = 4
    path = Path(get_assets_path()) / "silero_vad_v6.onnx"
    return onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"], sess_options=options
    )
