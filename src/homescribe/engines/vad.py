"""From a recording to the windows of speech that an engine hears, without ever holding the whole.

Silero VAD runs over the stream, with its state carried from block to block. A window is a stretch of the
recording as it is, pauses included, so that a time inside it is a time in the recording. Windows never
overlap and leave out only what holds no speech; where one must end in the middle of talk, it ends in the
longest pause near its limit, or failing that where it is most quiet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homescribe.audio import SAMPLE_RATE, blocks
from homescribe.core import Audio, TranscriptionOptions
from homescribe.errors import Cancelled

WINDOW = 30.0  # seconds that Whisper sees at once
CONVERSATION = 120.0  # seconds over which text is carried on, where that is asked for

CHUNK = 512  # samples that Silero judges at once: 32 ms
PER_SECOND = SAMPLE_RATE / CHUNK  # chunks

ONSET = 0.5  # probability above which speech begins, Silero's default
OFFSET = 0.35  # below which it ends
SHORTEST = 3  # chunks; no word is shorter than 0.1 s, but clicks are
PAD = round(
    0.4 * PER_SECOND
)  # chunks kept on both sides of speech: Silero is late on soft consonants
GAP = round(5.0 * PER_SECOND)  # silence that ends a window: longer ones tempt Whisper to invent
PAUSE = round(0.3 * PER_SECOND)  # silence that is good enough to cut in
BORDER = round(10.0 * PER_SECOND)  # before the limit, where a cut is looked for first


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a recording. `samples` is float32 mono 16 kHz of shape (n,)."""

    start: float  # seconds into the recording
    samples: NDArray[np.float32]
    speech: tuple[tuple[float, float], ...] = ()  # where someone speaks, seconds from `start`

    @property
    def end(self) -> float:
        return self.start + len(self.samples) / SAMPLE_RATE

    @property
    def length(self) -> float:
        return len(self.samples) / SAMPLE_RATE

    def spoken(self, after: float = 0.0) -> float:
        """Seconds of speech later than `after` seconds from the start."""
        return sum(max(0.0, end - max(start, after)) for start, end in self.speech)

    def tail(self, after: float) -> Window:
        """What follows `after` seconds from the start, as a window of its own."""
        first = round(after * SAMPLE_RATE)
        offset = first / SAMPLE_RATE
        speech = tuple((max(a, offset) - offset, b - offset) for a, b in self.speech if b > offset)
        return Window(self.start + offset, self.samples[first:], speech)


def stretch(options: TranscriptionOptions) -> float:
    """Seconds of speech to hand to a transcribe() that moves its own 30 s window over them.

    One window each, so that talk always ends inside it, unless the text of one is to guide the next.
    """
    return CONVERSATION if options.condition_on_previous_text else WINDOW


class Recording:
    """The windows of one recording, decoded as they are asked for. `duration` is known at the end.

    Iterating raises as `audio.blocks`, and Cancelled soon after `stop` is set.
    """

    def __init__(
        self, audio: Audio, stop: Event, *, limit: float = WINDOW, vad_filter: bool = True
    ) -> None:
        self.audio = audio
        self.stop = stop
        self.limit = limit
        self.vad_filter = vad_filter
        self.duration = 0.0

    def __iter__(self) -> Iterator[Window]:
        return windows(self._blocks(), limit=self.limit, vad_filter=self.vad_filter)

    def _blocks(self) -> Iterator[NDArray[np.float32]]:
        samples = 0
        for block in blocks(self.audio.media, duration=self.audio.duration):
            if self.stop.is_set():
                raise Cancelled
            samples += len(block)
            self.duration = samples / SAMPLE_RATE
            yield block


def windows(
    waveform: Iterable[NDArray[np.float32]], *, limit: float = WINDOW, vad_filter: bool = True
) -> Iterator[Window]:
    """Stretches of `waveform` of at most `limit` seconds that together hold all its speech.

    Without `vad_filter` they hold everything: then the detector only says where to cut.
    """
    track = _Track(vad_filter)
    size = int(limit * PER_SECOND)
    for block in waveform:
        track.append(block)
        # Enough to know what comes after a full window.
        while track.drop_silence() and len(track.heard) >= size + GAP + PAD:
            yield track.take(size)
    track.finish()
    while track.drop_silence():
        yield track.take(size)


class Detector:
    """Silero VAD over a stream: what it heard in one call is remembered in the next."""

    def __init__(self) -> None:
        self.state = np.zeros((1, 1, 128), np.float32)
        self.cell = np.zeros((1, 1, 128), np.float32)
        self.context = np.zeros(
            64, np.float32
        )  # the samples before, which it sees beside each chunk

    def __call__(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probability of speech per chunk of `samples`, whose length is a multiple of CHUNK."""
        before = np.concatenate([self.context, samples])
        self.context = before[-64:].copy()
        chunks = np.lib.stride_tricks.sliding_window_view(before, CHUNK + 64)[::CHUNK]
        out, self.state, self.cell = _silero().run(
            None, {"input": np.ascontiguousarray(chunks), "h": self.state, "c": self.cell}
        )
        return np.asarray(out, np.float32).reshape(-1)


@cache
def _silero() -> Any:
    """The Silero network that comes with faster-whisper. One serves all threads."""
    import onnxruntime
    from faster_whisper.utils import get_assets_path

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # it would keep the largest block it ever saw
    options.log_severity_level = 4
    path = Path(get_assets_path()) / "silero_vad_v6.onnx"
    return onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"], sess_options=options
    )


class _Track:
    """The part of the recording that is not yet in a window: samples, and per chunk what was heard.

    `heard[i]` says whether chunk i is speech. `wanted[i]` says whether it must be in a window.
    """

    def __init__(self, vad_filter: bool) -> None:
        self.vad_filter = vad_filter
        self.detector = Detector()
        self.samples = np.zeros(0, np.float32)
        self.rest = np.zeros(0, np.float32)  # less than a chunk, not yet judged
        self.heard = np.zeros(0, bool)
        self.wanted = np.zeros(0, bool)
        self.offset = 0  # samples of the recording before `samples`
        self.speaking = False
        self.run = 0  # length of the run of speech that goes on at the end
        self.ended = False

    def append(self, block: NDArray[np.float32]) -> None:
        joined = np.concatenate([self.rest, block])
        whole = len(joined) // CHUNK * CHUNK
        self.rest = joined[whole:]
        if whole:
            self._judge(joined[:whole], joined[:whole])

    def finish(self) -> None:
        """The last chunk, filled up with silence for the detector alone."""
        if len(self.rest):
            self._judge(np.pad(self.rest, (0, CHUNK - len(self.rest))), self.rest)
        self.ended = True

    def _judge(self, padded: NDArray[np.float32], samples: NDArray[np.float32]) -> None:
        probabilities = self.detector(padded)
        before = len(self.heard)
        self.heard = np.concatenate([self.heard, np.zeros(len(probabilities), bool)])
        self.samples = np.concatenate([self.samples, samples])
        for index, probability in enumerate(probabilities.tolist(), start=before):
            self.speaking = probability >= (OFFSET if self.speaking else ONSET)
            if self.speaking:
                self.heard[index] = True
                self.run += 1
            else:
                if 0 < self.run < SHORTEST:
                    self.heard[max(0, index - self.run) : index] = False
                self.run = 0
        self.wanted = self.heard if self.vad_filter else np.ones(len(self.heard), bool)

    def drop_silence(self) -> bool:
        """Forget what lies before the next speech. False when there is none."""
        first = int(self.wanted.argmax()) if self.wanted.any() else len(self.wanted)
        self._drop(max(0, first - PAD))
        return bool(self.wanted.any())

    def take(self, size: int) -> Window:
        """The next window, of at most `size` chunks. Its first speech lies within PAD of the start."""
        end, following = self._cut(size)
        speech = tuple((a / PER_SECOND, b / PER_SECOND) for a, b in _runs(self.heard[:end]))
        window = Window(self.offset / SAMPLE_RATE, self.samples[: end * CHUNK].copy(), speech)
        self._drop(following)
        return window

    def _cut(self, size: int) -> tuple[int, int]:
        """Chunks at which the next window ends and the one after it may begin."""
        for start, stop in _runs(~self.wanted):
            if start and start < size and stop - start > GAP:
                return min(start + PAD, size), stop - PAD
        speech = np.flatnonzero(self.wanted)
        last = int(speech[-1]) + 1
        if self.ended and last <= size:
            return min(last + PAD, size), len(self.wanted)
        middle = self._pause(size)
        return middle, middle

    def _pause(self, size: int) -> int:
        """Where to cut what goes on beyond `size`: a pause near it, the longest, the most quiet chunk."""
        border = size - min(BORDER, size // 3)
        pauses = [
            (start, min(stop, size)) for start, stop in _runs(~self.heard) if 0 < start < size
        ]
        late = [p for p in pauses if p[1] > border and p[1] - p[0] >= PAUSE]
        if late:  # of the long ones the last, for a fuller window
            longest = max(stop - start for start, stop in late)
            start, stop = next(p for p in reversed(late) if p[1] - p[0] >= 0.6 * longest)
            return (start + stop + 1) // 2
        pauses = [p for p in pauses if p[1] > size // 2 and p[1] - p[0] > 1]
        if pauses:
            start, stop = max(pauses, key=lambda p: p[1] - p[0])
            return (start + stop + 1) // 2
        power = (self.samples[: size * CHUNK].reshape(size, CHUNK) ** 2).mean(1)
        smooth = np.convolve(power, np.ones(3) / 3, mode="same")
        return border + int(smooth[border:-1].argmin())

    def _drop(self, count: int) -> None:
        count = min(count, len(self.heard))
        self.offset += min(count * CHUNK, len(self.samples))
        self.samples = self.samples[count * CHUNK :]
        self.heard = self.heard[count:]
        self.wanted = self.wanted[count:]


def _runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """(first, one past the last) of every run of True in `flags`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)
