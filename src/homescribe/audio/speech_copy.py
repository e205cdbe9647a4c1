"""Write a small copy of a recording, to upload or to keep: mono Opus at 24 kbit/s, 11 MB an hour.

The copy has the length of the recording, so times stay as they are, and equal recordings give equal bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import numpy as np

from homescribe.audio.waveform import SAMPLE_RATE, blocks
from homescribe.errors import Cancelled

if TYPE_CHECKING:
    from av import AudioFrame

BIT_RATE = 24_000  # bits per second
SUFFIX = ".opus"


@dataclass(frozen=True, slots=True)
class SpeechCopy:
    """A copy that was written."""

    seconds: float  # of audio
    # About the recording, as `blocks` gives them. The copy does not show any more what they are about.
    warnings: tuple[str, ...]


def write_speech_copy(
    source: Path,
    target: Path,
    stop: Event,
    *,
    duration: float | None = None,
    track: int | None = None,
    strict: bool = True,
    largest: int | None = None,
) -> SpeechCopy | None:
    """Write a copy of `source` to `target`, an .opus file, which appears when it is complete.

    Args:
        duration: seconds that the recording must last; None if unknown.
        track: audio track, as for `blocks`.
        strict: raise when less than `duration` was decoded; otherwise warn.
        largest: bytes. A copy that is larger is not written, and None is returned.

    Raises as `blocks`, and Cancelled soon after `stop` is set.
    """
    import av

    warnings: list[str] = []
    draft = draft_of(target)
    size = 0
    try:
        # Without the flag, the muxer numbers each stream at random.
        with av.open(str(draft), "w", format="ogg", options={"fflags": "bitexact"}) as container:
            stream = container.add_stream("libopus", rate=SAMPLE_RATE, layout="mono")
            stream.bit_rate = BIT_RATE
            at = 0
            for block in blocks(
                source, duration=duration, track=track, strict=strict, warnings=warnings
            ):
                if stop.is_set():
                    raise Cancelled
                samples = np.clip(block * 32768, -32768, 32767).astype(np.int16)
                frame = _frame(samples.reshape(1, -1), at)
                at += len(samples)
                for packet in stream.encode(frame):
                    size += packet.size
                    container.mux(packet)
                if largest is not None and size > largest:
                    return None
            for packet in stream.encode(None):
                container.mux(packet)
        if largest is not None and draft.stat().st_size > largest:
            return None
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return SpeechCopy(at / SAMPLE_RATE, tuple(warnings))


def draft_of(target: Path) -> Path:
    """Return the file that is written until the copy is complete."""
    return target.with_name(target.name + ".part")


def _frame(samples: np.ndarray[tuple[int, int], np.dtype[np.int16]], at: int) -> AudioFrame:
    """Return samples of shape (1, n) as a frame that starts at sample `at`."""
    import av

    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate, frame.pts = SAMPLE_RATE, at
    return frame
