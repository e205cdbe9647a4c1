"""Speaker segmentation: who speaks in each chunk of a stream, by pyannote's network of that name.

The network gets ten seconds and tells up to three people apart, two of whom may speak at once. It numbers
them anew in each chunk: these are the chunk's local speakers. Its classes are sets of local speakers
("powerset": nobody, each of the three, each pair):
https://www.isca-archive.org/interspeech_2023/plaquet23_interspeech.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from homescribe.audio import SAMPLE_RATE
from homescribe.errors import UserError

if TYPE_CHECKING:
    import onnxruntime

# Share of a chunk between the starts of two: each moment is in two chunks.
STEP = 0.5


@dataclass(frozen=True, slots=True)
class Chunk:
    """The samples of one chunk; the last one of a stream is padded with silence."""

    first_frame: int  # of the stream
    samples: NDArray[np.float32]
    seconds: float  # from the start of the stream to the end of the chunk, without padding


class Segmentation:
    """The network of one ONNX file, as sherpa-onnx publishes them. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        options.enable_cpu_mem_arena = (
            False  # it would keep as much memory as the largest batch needed
        )
        options.log_severity_level = 4
        try:
            self._session: onnxruntime.InferenceSession = onnxruntime.InferenceSession(
                str(path), providers=["CPUExecutionProvider"], sess_options=options
            )
            metadata = self._session.get_modelmeta().custom_metadata_map
            self.chunk_samples = int(metadata["window_size"])
            self.frame_samples = int(metadata["receptive_field_shift"])  # between two frames
            self.field_samples = int(metadata["receptive_field_size"])  # that a frame depends on
            speakers, together = (
                int(metadata[key]) for key in ("num_speakers", "powerset_max_classes")
            )
            rate = int(metadata["sample_rate"])
        except Exception as error:
            raise UserError(
                f"{path} is not a model for speaker segmentation.",
                "Use pyannote's segmentation 3.0 as sherpa-onnx publishes it.",
            ) from error
        if rate != SAMPLE_RATE:
            raise UserError(
                f"{path} takes audio at {rate} Hz.", f"Use a model for {SAMPLE_RATE} Hz."
            )
        self.classes = powerset(speakers, together)
        self.step_frames = max(round(STEP * self.chunk_samples / self.frame_samples), 1)

    def chunks(self, blocks: Iterable[NDArray[np.float32]]) -> Iterator[Chunk]:
        """Yield the overlapping chunks of a stream."""
        step = self.step_frames * self.frame_samples
        kept = np.zeros(0, np.float32)
        number = received = covered = 0
        for block in blocks:
            kept = np.concatenate([kept, block.astype(np.float32, copy=False)])
            received += len(block)
            while len(kept) >= self.chunk_samples:
                start = number * step
                covered = start + self.chunk_samples
                yield Chunk(
                    number * self.step_frames, kept[: self.chunk_samples], covered / SAMPLE_RATE
                )
                kept = kept[step:]
                number += 1
        if received > covered:
            padded = np.pad(kept, (0, self.chunk_samples - len(kept)))
            yield Chunk(number * self.step_frames, padded, received / SAMPLE_RATE)

    def activity(self, chunks: Sequence[Chunk]) -> NDArray[np.float32]:
        """Return the probability that each local speaker speaks: (chunks, frames, speakers)."""
        samples = np.stack([chunk.samples for chunk in chunks])[:, None]
        (scores,) = self._session.run(None, {self._session.get_inputs()[0].name: samples})
        return np.asarray(np.exp(scores) @ self.classes, np.float32)

    def frame_time(self, frame: int) -> float:
        """Return the second at which a frame of the stream begins."""
        return (frame * self.frame_samples + (self.field_samples - self.frame_samples) / 2) / (
            SAMPLE_RATE
        )


def powerset(speakers: int, together: int) -> NDArray[np.float32]:
    """Return which of the `speakers` each class has, of shape (classes, speakers).

    >>> powerset(3, 1).tolist()
    [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    sets = [one for size in range(together + 1) for one in combinations(range(speakers), size)]
    classes = np.zeros((len(sets), speakers), np.float32)
    for number, one in enumerate(sets):
        classes[number, list(one)] = 1.0
    return classes
