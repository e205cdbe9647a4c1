"""Decode the audio track of a recording to float32 mono 16 kHz; the index of a sample gives its time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from homescribe.audio.container import (
    audio_stream,
    check_shape,
    container_seconds,
    opened,
    stream_seconds,
)
from homescribe.errors import PermanentError, RetryableError

if TYPE_CHECKING:
    from av import AudioFifo, AudioFrame, AudioResampler
    from av.audio.stream import AudioStream
    from av.container import InputContainer

SAMPLE_RATE = 16_000  # Hz, as in Whisper's training data

MAX_SECONDS = 7 * 24 * 3600  # seconds; a few compressed bytes can claim to last years
MAX_GAP = 3600.0  # longest gap in the timestamps, in seconds, that becomes silence
RESAMPLER_SAMPLES = SAMPLE_RATE  # samples resampled at once, for fewer calls from Python to C
JITTER = 0.5  # seconds between timestamp and sample count from which silence is added
SILENT = 33  # largest sample of a silent track, of 32768: -60 dBFS
SCAN = 1800.0  # seconds of a track to search for sound
# Share of the louder channel's energy below which the mix of two channels counts as cancelled out.
CANCELLED = 0.05


def blocks(
    source: Path | bytes,
    *,
    seconds: float = 30.0,
    duration: float | None = None,
    track: int | None = None,
    strict: bool = True,
    warnings: list[str] | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Yield the waveform of `source` in blocks of `seconds`; the last one may be shorter.

    A block is float32 of shape (samples,) within -1..1. Gaps in the timestamps become silence, so that the
    index of a sample gives its time in the recording. Undecodable packets are skipped, as ffmpeg does.

    Args:
        duration: seconds that the recording must last; None if unknown.
        track: audio track, from 1. Default: the one that a player would choose, or the next if it is silent.
        strict: raise when less than `duration` was decoded; otherwise warn.
        warnings: list to which warnings for the user are added, one sentence each.

    Raises:
        PermanentError: not audio or video, no audio stream, or nothing decodable.
        RetryableError: after the last block, if clearly less than `duration` seconds was decoded.
    """
    return _decoded(source, 1, seconds, duration, track, strict=strict, warnings=warnings)


def stereo_blocks(
    source: Path | bytes,
    *,
    seconds: float = 30.0,
    duration: float | None = None,
    track: int | None = None,
    strict: bool = True,
    warnings: list[str] | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Yield the waveform of `source` as `blocks` does, with its two channels: of shape (samples, 2)."""
    return _decoded(source, 2, seconds, duration, track, strict=strict, warnings=warnings)


def channel_count(source: Path | bytes, track: int | None = None) -> int:
    """Return the number of channels of the track that `blocks` decodes. Raises PermanentError as `blocks`."""
    track = _audible_track(source, track, [])
    with opened(source) as container:
        return audio_stream(container, track).codec_context.layout.nb_channels


def _decoded(
    source: Path | bytes,
    channels: int,
    seconds: float,
    duration: float | None,
    track: int | None,
    *,
    strict: bool,
    warnings: list[str] | None,
) -> Iterator[NDArray[np.float32]]:
    notes = [] if warnings is None else warnings
    size = round(seconds * SAMPLE_RATE)
    kept: list[NDArray[np.int16]] = []
    kept_samples = total = 0
    state = _State(notes)
    track = _audible_track(source, track, notes)
    with opened(source) as container:
        stream = audio_stream(container, track)
        state.stream_seconds = stream_seconds(stream)
        state.container_seconds = container_seconds(container)
        for piece in _waveform(container, stream, state, channels):
            total += len(piece)
            if total > MAX_SECONDS * SAMPLE_RATE:
                raise PermanentError("The recording is longer than a week.", "Split it into parts.")
            while kept_samples + len(piece) >= size:
                taken, piece = piece[: size - kept_samples], piece[size - kept_samples :]
                yield _scale([*kept, taken])
                kept, kept_samples = [], 0
            if len(piece):
                kept.append(piece)
                kept_samples += len(piece)
    if kept_samples:
        yield _scale(kept)
    if not total:
        raise PermanentError("The recording has no audio that could be decoded.")
    if duration is not None:
        _check_end(total / SAMPLE_RATE - state.lost, duration, state, strict=strict)


def decode(source: Path | bytes, *, duration: float | None = None) -> NDArray[np.float32]:
    """Return the waveform of `source`, float32 of shape (samples,): 230 MB per hour.

    Raises as `blocks`.
    """
    return np.concatenate(list(blocks(source, duration=duration)))


def check_duration(decoded: float, expected: float) -> None:
    """Raise RetryableError if `decoded` seconds are clearly fewer than the `expected` ones.

    The tolerance is 2 s, because sites round to the second and encoders pad or trim, or 2 % of a long
    recording, because listings round more there, but at most 30 s: losing more speech must be noticed.
    """
    if expected - decoded > max(2.0, min(0.02 * expected, 30.0)):
        raise RetryableError(
            f"The audio ends early: {decoded:.0f} of {expected:.0f} seconds could be decoded.",
            "A download is repeated automatically; copy a local file again, then add it again.",
        )


@dataclass(slots=True)
class _State:
    """Results of decoding other than the samples."""

    warnings: list[str]
    stream_seconds: float | None = None
    container_seconds: float | None = None
    lost: float = 0.0  # seconds in the timestamps that could not be decoded
    damaged: bool = False  # a packet could not be decoded since the last good frame
    gaps: list[float] = field(default_factory=list)  # seconds of gaps that were too long to keep


def _check_end(decoded: float, expected: float, state: _State, *, strict: bool) -> None:
    """Check the length at the end. Video that is longer than the audio does not mean that audio is lost."""
    own, whole = state.stream_seconds, state.container_seconds
    shorter_sound = own is not None and whole is not None and own < whole - JITTER
    try:
        if shorter_sound and own is not None and whole is not None and expected <= whole + 2.0:
            check_duration(decoded, min(own, expected))
        else:
            check_duration(decoded, expected)
    except RetryableError as error:
        if strict:
            raise
        state.warnings.append(error.message)


# --- Tracks ----------------------------------------------------------------------------------------


def _audible_track(source: Path | bytes, track: int | None, warnings: list[str]) -> int | None:
    """Choose among several audio tracks: `track` if given, else the best one with sound."""
    with opened(source) as container:
        tracks = container.streams.audio
        count = len(tracks)
        if count < 2:
            return track
        languages = [f" ({one.language})" if one.language else "" for one in tracks]
        best = next(
            number for number, one in enumerate(tracks, 1) if one == audio_stream(container, track)
        )
    order = [best, *(number for number in range(1, count + 1) if number != best)]
    chosen = track or next((number for number in order if _has_sound(source, number)), best)
    silent = [] if track else order[: order.index(chosen)]
    why = f": track {' and '.join(map(str, silent))} is silent" if silent else ""
    warnings.append(f"Audio track {chosen} of {count}{languages[chosen - 1]} was used{why}.")
    return chosen


def _has_sound(source: Path | bytes, track: int) -> bool:
    seconds = 0.0
    with opened(source) as container:
        for piece in _waveform(container, audio_stream(container, track), _State([])):
            if len(piece) and max(-int(piece.min()), int(piece.max())) > SILENT:
                return True
            seconds += len(piece) / SAMPLE_RATE
            if seconds > SCAN:
                break
    return False


# --- Decoding --------------------------------------------------------------------------------------


def _waveform(
    container: InputContainer, stream: AudioStream, state: _State, channels: int = 1
) -> Iterator[NDArray[np.int16]]:
    """Yield int16 16 kHz in pieces of about a second, with silence for gaps in the timestamps.

    Mono of shape (samples,), or two channels of shape (samples, 2).

    Resampled as s16, because as float stereo becomes 1.4 times louder and clips.
    """
    start = None if container.start_time is None else container.start_time / 1e6
    last = container_seconds(container)
    clock = 0.0  # seconds so far, by sample count
    mixer = _Mixer(channels)
    for frame in _frames(container, stream, state):
        check_shape(frame.sample_rate, frame.layout.nb_channels)
        if frame.time is not None:
            start = frame.time if start is None else start
            gap = frame.time - start - clock
            # The first frame may start late. Later, a small drift of the timestamps is not a gap.
            if gap > (JITTER if clock else 0.0):
                if gap > MAX_GAP:
                    start += gap
                    _warn_of_gap(gap, clock, state)
                elif frame.time - start <= (clock + 60 if last is None else last):
                    yield from mixer.flush()
                    yield from _silence(gap, channels)
                    clock += gap
                    if state.damaged:
                        state.lost += gap
        state.damaged = False
        clock += frame.samples / frame.sample_rate
        yield from mixer.push(frame)
    yield from mixer.flush()


def _warn_of_gap(seconds: float, clock: float, state: _State) -> None:
    if not state.gaps:
        state.warnings.append(
            f"The timestamps jump by {seconds / 3600:.0f} hours at {clock:.0f} s; the gap was left out, "
            "and all later times are that much earlier."
        )
    state.gaps.append(seconds)


def _frames(container: InputContainer, stream: AudioStream, state: _State) -> Iterator[AudioFrame]:
    """Yield decoded frames; packets that cannot be decoded are skipped, as ffmpeg does."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.InvalidDataError:  # the container is damaged from here on
            return
        except IndexError:
            # PyAV does not know a stream that appeared after opening (MPEG-TS, FLV). Its packet was read
            # and is skipped; a new demuxer continues after it.
            packets = container.demux(stream)
            continue
        if packet is None:
            return
        try:
            yield from packet.decode()
        except av.error.FFmpegError as error:  # codecs also use error numbers of their own
            if isinstance(error, OSError | MemoryError):
                raise
            state.damaged = True


def _silence(seconds: float, channels: int) -> Iterator[NDArray[np.int16]]:
    """Yield zeros for a gap, a piece at a time."""
    samples = round(seconds * SAMPLE_RATE)
    while samples > 0:
        piece = min(samples, 30 * SAMPLE_RATE)
        yield np.zeros(piece if channels == 1 else (piece, channels), np.int16)
        samples -= piece


class _Mixer:
    """Resample frames to int16 16 kHz, even if rate, layout or sample format change midway.

    Args:
        channels: 1 to mix them, 2 to keep them apart.
    """

    def __init__(self, channels: int) -> None:
        self.channels = channels
        self.shape: tuple[str, str, int] | None = None
        self.stereo = False
        self.fifo: AudioFifo | None = None
        self.resampler: AudioResampler | None = None

    def push(self, frame: AudioFrame) -> Iterator[NDArray[np.int16]]:
        """Yield what is ready after `frame`."""
        import av

        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self.shape or self.fifo is None:
            yield from self.flush()
            self.shape = shape
            self.stereo = self.channels == 2 or frame.layout.nb_channels == 2
            self.fifo = av.AudioFifo()
            layout = "stereo" if self.stereo else "mono"
            self.resampler = av.AudioResampler(format="s16", layout=layout, rate=SAMPLE_RATE)
        frame.pts = None  # the caller keeps track of time
        self.fifo.write(frame)
        if self.fifo.samples >= RESAMPLER_SAMPLES:
            yield from self._resample(self.fifo.read())

    def flush(self) -> Iterator[NDArray[np.int16]]:
        """Yield what is buffered, and reset."""
        if self.fifo is not None:
            if self.fifo.samples:
                yield from self._resample(self.fifo.read())
            yield from self._resample(None)
        self.shape = self.fifo = self.resampler = None

    def _resample(self, frame: AudioFrame | None) -> Iterator[NDArray[np.int16]]:
        assert self.resampler is not None
        for piece in self.resampler.resample(frame):
            if piece is not None:  # None: nothing to flush if the input needs no resampling
                samples = piece.to_ndarray().reshape(-1).astype(np.int16, copy=False)
                if not self.stereo:
                    yield samples
                elif self.channels == 2:
                    yield samples.reshape(-1, 2)
                else:
                    yield mono(samples.reshape(-1, 2))


def mono(stereo: NDArray[np.int16]) -> NDArray[np.int16]:
    """Mix int16 samples of shape (n, 2) to (n,): their mean, or the louder channel where they cancel out.

    Cables or microphones with opposite polarity give two channels whose mean is silence.
    """
    wide = stereo.astype(np.int32)
    mixed = (wide[:, 0] + wide[:, 1]) >> 1
    energy = np.square(wide.astype(np.float64)).sum(0)
    if np.square(mixed.astype(np.float64)).sum() < CANCELLED * energy.max():
        return stereo[:, int(energy.argmax())].copy()
    return mixed.astype(np.int16)


def _scale(pieces: list[NDArray[np.int16]]) -> NDArray[np.float32]:
    return np.concatenate(pieces).astype(np.float32) / np.float32(32768)
