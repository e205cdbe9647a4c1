"""Splits a recording into windows of speech, without holding the whole recording in memory.

A window is a contiguous stretch of the recording, pauses included, so that a time in it is a time in the
recording. Windows never overlap and leave out only what holds no speech. Where continuous speech must be
split, a window ends in the longest pause near its limit, else at the lowest-energy point.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from threading import Event

import numpy as np
from numpy.typing import NDArray

from homescribe.audio import SAMPLE_RATE, blocks
from homescribe.audio.frame_runs import runs
from homescribe.core import Audio, TranscriptionOptions
from homescribe.engines.vad import CHUNK, CHUNKS_PER_SECOND, PIECE, SpeechDetector
from homescribe.errors import Cancelled

MAX_WINDOW = 30.0  # seconds that Whisper decodes at once

# All in chunks of the speech detector.
PADDING = round(0.4 * CHUNKS_PER_SECOND)  # kept around speech: Silero is late on soft consonants
MAX_SILENCE = round(5.0 * CHUNKS_PER_SECOND)  # ends a window: Whisper hallucinates in longer ones
GOOD_PAUSE = round(0.3 * CHUNKS_PER_SECOND)  # long enough to split speech in
SPLIT_RANGE = round(10.0 * CHUNKS_PER_SECOND)  # before the limit, where a pause is looked for first


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a recording. `samples` is float32 mono 16 kHz of shape (n,)."""

    start: float  # seconds from the start of the recording
    samples: NDArray[np.float32]
    speech: tuple[tuple[float, float], ...] = ()  # (start, end) in seconds from `start`

    @property
    def end(self) -> float:
        return self.start + self.duration

    @property
    def duration(self) -> float:
        return len(self.samples) / SAMPLE_RATE

    def speech_seconds(self, after: float = 0.0) -> float:
        """Seconds of speech later than `after` seconds from the window's start."""
        return sum(max(0.0, end - max(start, after)) for start, end in self.speech)

    def tail(self, after: float) -> Window:
        """What follows `after` seconds from the window's start, as a window of its own."""
        return self._slice(round(after * SAMPLE_RATE), len(self.samples))

    def split(self, cuts: Sequence[float]) -> list[Window]:
        """Split the window at `cuts`, in seconds from its start."""
        edges = [0, *(round(cut * SAMPLE_RATE) for cut in cuts), len(self.samples)]
        return [self._slice(first, last) for first, last in pairwise(edges)]

    def _slice(self, first: int, last: int) -> Window:
        """The samples from `first` to before `last`, as a window of its own."""
        a, b = first / SAMPLE_RATE, last / SAMPLE_RATE
        speech = tuple(
            (max(start, a) - a, min(end, b) - a)
            for start, end in self.speech
            if end > a and start < b
        )
        return Window(self.start + a, self.samples[first:last], speech)


class RecordingWindows:
    """The windows of one recording, decoded while iterating. `duration` is complete at the end.

    Iterating raises the errors of `audio.blocks`, and Cancelled soon after `stop` is set.
    """

    def __init__(
        self,
        audio: Audio,
        options: TranscriptionOptions,
        stop: Event,
        *,
        limit: float = MAX_WINDOW,
    ) -> None:
        self.audio = audio
        self.limit = limit  # seconds of a window
        self.options = options
        self.stop = stop
        self.duration = 0.0  # seconds decoded so far
        self.warnings: list[str] = []  # sentences about the recording

    def __iter__(self) -> Iterator[Window]:
        return split_windows(self._blocks(), limit=self.limit, vad_filter=self.options.vad_filter)

    def _blocks(self) -> Iterator[NDArray[np.float32]]:
        samples = 0
        decoded = blocks(
            self.audio.media,
            duration=self.audio.duration,
            track=self.options.audio_track,
            strict=self.audio.temporary,
            warnings=self.warnings,
        )
        for block in decoded:
            if self.stop.is_set():
                raise Cancelled
            samples += len(block)
            self.duration = samples / SAMPLE_RATE
            yield block


def split_windows(
    waveform: Iterable[NDArray[np.float32]], *, limit: float = MAX_WINDOW, vad_filter: bool = True
) -> Iterator[Window]:
    """Windows of at most `limit` seconds that together hold all speech of `waveform`.

    Without `vad_filter` they hold everything, and speech detection only decides where to split.
    """
    buffer = _Buffer(vad_filter)
    size = int(limit * CHUNKS_PER_SECOND)
    for block in waveform:
        buffer.append(block)
        # Enough to know what comes after a full window.
        while buffer.drop_silence() and len(buffer.speech) >= size + MAX_SILENCE + PADDING:
            yield buffer.take(size)
    buffer.finish()
    while buffer.drop_silence():
        yield buffer.take(size)


class _Buffer:
    """The part of the recording that is not yet in a window: its samples, and two decisions per chunk.

    `speech[i]`: chunk i is speech. `required[i]`: chunk i must be in a window.
    """

    def __init__(self, vad_filter: bool) -> None:
        self.vad_filter = vad_filter
        self.detector = SpeechDetector()
        self.samples = np.zeros(0, np.float32)
        self.rest = np.zeros(0, np.float32)  # less than a piece, not yet examined
        self.speech = np.zeros(0, bool)
        self.required = np.zeros(0, bool)
        self.offset = 0  # samples of the recording before `samples`
        self.ended = False

    def append(self, block: NDArray[np.float32]) -> None:
        self.rest = np.concatenate([self.rest, block])
        while len(self.rest) >= PIECE:
            piece, self.rest = self.rest[:PIECE], self.rest[PIECE:]
            self._detect(piece, piece)

    def finish(self) -> None:
        """Add the last samples, padded to a whole chunk with silence for the detector only."""
        if len(self.rest):
            self._detect(np.pad(self.rest, (0, -len(self.rest) % CHUNK)), self.rest)
        self.detector.end()
        self._decide()
        self.ended = True

    def _detect(self, padded: NDArray[np.float32], samples: NDArray[np.float32]) -> None:
        self.detector.extend(padded)
        self.samples = np.concatenate([self.samples, samples])
        self._decide()

    def _decide(self) -> None:
        self.speech = self.detector.speech()
        self.required = (
            self.speech | self.detector.doubtful()
            if self.vad_filter
            else np.ones(len(self.speech), bool)
        )

    def drop_silence(self) -> bool:
        """Drop what comes before the next speech. Returns False if there is none."""
        any_required = bool(self.required.any())
        first = int(self.required.argmax()) if any_required else len(self.required)
        self._drop(max(0, first - PADDING))
        return any_required

    def take(self, size: int) -> Window:
        """Remove and return the next window, of at most `size` chunks.

        Its first speech begins within PADDING of its start.
        """
        end, following = self._end(size)
        speech = tuple(
            (first / CHUNKS_PER_SECOND, last / CHUNKS_PER_SECOND)
            for first, last in runs(self.speech[:end])
        )
        window = Window(self.offset / SAMPLE_RATE, self.samples[: end * CHUNK].copy(), speech)
        self._drop(following)
        return window

    def _end(self, size: int) -> tuple[int, int]:
        """Return the chunks at which the next window ends and the one after it may begin."""
        for start, stop in runs(~self.required):
            if start and start < size and stop - start > MAX_SILENCE:
                return min(start + PADDING, size), stop - PADDING
        last = int(np.flatnonzero(self.required)[-1]) + 1
        if self.ended and last <= size:
            return min(last + PADDING, size), len(self.required)
        split = self._split_point(size)
        return split, split

    def _split_point(self, size: int) -> int:
        """Chunk at which to split speech longer than `size`: in a pause, else at the lowest energy."""
        first = size - min(SPLIT_RANGE, size // 3)
        pauses = [
            (start, min(stop, size)) for start, stop in runs(~self.speech) if 0 < start < size
        ]
        late = [p for p in pauses if p[1] > first and p[1] - p[0] >= GOOD_PAUSE]
        if late:  # the last of the long ones, for a fuller window
            longest = max(stop - start for start, stop in late)
            start, stop = next(p for p in reversed(late) if p[1] - p[0] >= 0.6 * longest)
            return (start + stop + 1) // 2
        pauses = [p for p in pauses if p[1] > size // 2 and p[1] - p[0] > 1]
        if pauses:
            start, stop = max(pauses, key=lambda p: p[1] - p[0])
            return (start + stop + 1) // 2
        power = (self.samples[: size * CHUNK].reshape(size, CHUNK) ** 2).mean(1)
        smooth = np.convolve(power, np.ones(3) / 3, mode="same")
        return first + int(smooth[first:-1].argmin())

    def _drop(self, count: int) -> None:
        count = min(count, len(self.speech))
        spoken = np.flatnonzero(self.speech[:count])
        if len(spoken):
            self.detector.drop(int(spoken[-1]) + 1, speech=True)
            self.detector.drop(count - int(spoken[-1]) - 1, speech=False)
        else:
            self.detector.drop(count, speech=False)
        self.offset += min(count * CHUNK, len(self.samples))
        self.samples = self.samples[count * CHUNK :]
        self.speech = self.speech[count:]
        self.required = self.required[count:]
