"""Voice activity detection: Silero VAD over a stream, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from homescribe.audio import SAMPLE_RATE
from homescribe.audio.frame_runs import runs

if TYPE_CHECKING:
    import onnxruntime

CHUNK = 512  # samples per probability: 32 ms
CHUNKS_PER_SECOND = SAMPLE_RATE / CHUNK
CONTEXT = 64  # samples before each chunk that the network sees, too

# The network's state adapts to a voice: after a clear voice, a soft or hoarse one gets about a third of the
# probability that it gets with a fresh state. So the state is reset before every piece of PIECE samples. The
# last WARM_UP samples of the piece before are processed first, for the state to settle.
PIECE = 250 * CHUNK  # samples: 8 s
WARM_UP = 31 * CHUNK  # samples: 1 s
# Quiet recordings are amplified before detection. The network was trained on speech at usual levels.
QUIET = 0.006  # RMS of the loudest half second below which a piece is amplified: -44 dBFS
USUAL = 0.05  # RMS to which it is amplified: -26 dBFS
MAX_GAIN = 300.0  # 50 dB; beyond it there is only the noise of 16 bits

# Hoarse voices get probabilities of 0.05 to 0.2. A sound about as loud as the speech before it is likely to
# be speech, too, so its probability is raised. Recordings without clear speech are not affected.
CLEAR = 0.5  # probability from which a chunk counts as speech whose level is known
MIN_CLEAR = round(1.0 * CHUNKS_PER_SECOND)  # chunks of it before the level is used
LEVEL_CHUNKS = 300  # of clear speech whose median is the level
LOUD = 10 ** (-12 / 20)  # share of that level from which a chunk is as loud
LOUD_GAIN = 3.0  # of a loud chunk's probability

# Sounds that may be unclear speech: they are transcribed, and only text that Whisper is sure of is kept.
AUDIBLE = 10 ** (-18 / 20)  # share of the level of clear speech
POSSIBLE = 0.05  # probability
DOUBTFUL_GAP = round(0.5 * CHUNKS_PER_SECOND)  # chunks between two sounds of one stretch
MIN_DOUBTFUL = round(0.6 * CHUNKS_PER_SECOND)  # chunks of such sounds in a stretch

ONSET = 0.3  # probability above which speech begins
OFFSET = 0.15  # probability below which speech ends
MIN_SPEECH = 3  # chunks; words are longer than 0.1 s, clicks are not
# Every utterance has at least one long sound. A drum or a door has only short ones.
UTTERANCE_GAP = round(2.0 * CHUNKS_PER_SECOND)  # chunks of silence that separate two utterances
MIN_EVIDENCE = 0.2 * CHUNKS_PER_SECOND  # least sum of probabilities of an utterance's longest sound


def speech_probabilities(
    samples: NDArray[np.float32], before: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the probability of speech per chunk of `samples`, whose length is a multiple of CHUNK.

    `before`: the samples before them, at most WARM_UP, also a multiple of CHUNK.
    """
    stream = np.concatenate([np.zeros(CONTEXT, np.float32), before, samples])
    stream = stream * _gain(stream)
    chunks = np.lib.stride_tricks.sliding_window_view(stream, CHUNK + CONTEXT)[::CHUNK]
    memory = np.zeros((1, 1, 128), np.float32)
    out, _, _ = _session().run(
        None, {"input": np.ascontiguousarray(chunks), "h": memory, "c": memory}
    )
    return np.asarray(out, np.float32).reshape(-1)[len(before) // CHUNK :]


def pieces(samples: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """Yield `samples` in pieces for a detector, the last one padded with silence to whole chunks."""
    for start in range(0, len(samples), PIECE):
        piece = samples[start : start + PIECE]
        yield np.pad(piece, (0, -len(piece) % CHUNK))


def _gain(stream: NDArray[np.float32]) -> np.float32:
    """Factor by which to amplify samples for the network."""
    size = SAMPLE_RATE // 2
    power = [
        float(np.mean(stream[start : start + size] ** 2)) for start in range(0, len(stream), size)
    ]
    loudest = max(power) ** 0.5
    if loudest >= QUIET or loudest == 0.0:
        return np.float32(1.0)
    return np.float32(min(USUAL / loudest, MAX_GAIN))


class SpeechDetector:
    """Decides for every chunk of a stream whether it is speech."""

    def __init__(self) -> None:
        self.probabilities = np.zeros(0, np.float32)  # of the chunks that were not dropped
        self.above = np.zeros(0, bool)  # of these chunks: between ONSET and OFFSET
        self.before = np.zeros(0, np.float32)  # samples for the network to settle on
        self.levels = np.zeros(0, np.float32)  # of the last chunks of clear speech
        self.audible = np.zeros(0, bool)  # of the kept chunks: may be speech that is unclear
        self.speaking = False
        self.ended = False
        self.since_speech = (
            UTTERANCE_GAP  # chunks between the last dropped speech and the kept chunks
        )

    def extend(self, samples: NDArray[np.float32]) -> None:
        """Listen to `samples`, which follow those before: PIECE of them, or the rest of the stream."""
        found = self._raise_loud(speech_probabilities(samples, self.before), samples)
        self.before = np.concatenate([self.before, samples])[-WARM_UP:]
        above = np.zeros(len(found), bool)
        for index, probability in enumerate(found.tolist()):
            self.speaking = probability >= (OFFSET if self.speaking else ONSET)
            above[index] = self.speaking
        self.probabilities = np.concatenate([self.probabilities, found])
        self.above = np.concatenate([self.above, above])

    def _raise_loud(
        self, found: NDArray[np.float32], samples: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the probabilities `found`, higher where `samples` are as loud as speech before them."""
        level = np.sqrt(np.mean(samples.reshape(-1, CHUNK) ** 2, axis=1))
        self.levels = np.concatenate([self.levels, level[found >= CLEAR]])[-LEVEL_CHUNKS:]
        if len(self.levels) < MIN_CLEAR:
            self.audible = np.concatenate([self.audible, np.zeros(len(found), bool)])
            return found
        usual = np.median(self.levels)
        audible = (level >= AUDIBLE * usual) & (found >= POSSIBLE)
        self.audible = np.concatenate([self.audible, audible])
        loud = level >= LOUD * usual
        return np.where(loud, np.minimum(LOUD_GAIN * found, 1.0), found).astype(np.float32)

    def end(self) -> None:
        """Note that the stream has ended, so that nothing goes on after the last chunk."""
        self.ended = True

    def speech(self) -> NDArray[np.bool_]:
        """Return the decision for every chunk that was not dropped.

        An utterance that may go on after the last chunk counts as speech.
        """
        found = np.zeros(len(self.above), bool)
        end = len(found)
        open_end = -1 if self.ended else end
        long = [
            run for run in runs(self.above) if run[1] - run[0] >= MIN_SPEECH or run[1] == open_end
        ]
        utterance: list[tuple[int, int]] = []
        for number, run in enumerate(long):
            utterance.append(run)
            following = long[number + 1][0] if number + 1 < len(long) else end
            last = number + 1 == len(long)
            if following - run[1] < UTTERANCE_GAP and not last:
                continue
            goes_on = last and end - run[1] < UTTERANCE_GAP and not self.ended
            continues = utterance[0][0] + self.since_speech < UTTERANCE_GAP
            if goes_on or continues or self._is_utterance(utterance):
                for start, stop in utterance:
                    found[start:stop] = True
            utterance = []
        return found

    def doubtful(self) -> NDArray[np.bool_]:
        """Return for every chunk that was not dropped whether it may be unclear speech.

        It is as loud as clear speech before it, and the network does not rule speech out.
        """
        found = np.zeros(len(self.audible), bool)
        stretch: list[tuple[int, int]] = []
        sounds = runs(self.audible)
        for number, run in enumerate(sounds):
            stretch.append(run)
            last = number + 1 == len(sounds)
            if not last and sounds[number + 1][0] - run[1] < DOUBTFUL_GAP:
                continue
            if sum(b - a for a, b in stretch) >= MIN_DOUBTFUL:
                found[stretch[0][0] : run[1]] = True
            stretch = []
        return found

    def _is_utterance(self, found: list[tuple[int, int]]) -> bool:
        return any(self.probabilities[a:b].sum() >= MIN_EVIDENCE for a, b in found)

    def drop(self, count: int, *, speech: bool) -> None:
        """Forget the first `count` chunks. `speech`: they end with speech, which may go on."""
        self.since_speech = 0 if speech else self.since_speech + count
        self.probabilities = self.probabilities[count:]
        self.above = self.above[count:]
        self.audible = self.audible[count:]


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
