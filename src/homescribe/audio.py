"""Decode any audio or video file to the waveform that Whisper takes: float32, mono, 16 kHz.

`blocks` streams the waveform, so that memory does not grow with the length; `decode` returns all of it.
Media files are untrusted: only demuxers of audio and video are allowed (no playlists, images or devices),
and a file cannot open another path or URL. A file that ends clearly before its published length is a
RetryableError, so that no truncated recording is transcribed unnoticed.

PyAV contains the libraries of ffmpeg; no ffmpeg program is needed.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from homescribe.errors import HomescribeError, PermanentError, RetryableError, UserError

if TYPE_CHECKING:
    from av.audio.fifo import AudioFifo
    from av.audio.frame import AudioFrame
    from av.audio.resampler import AudioResampler
    from av.audio.stream import AudioStream
    from av.container import InputContainer

SAMPLE_RATE = 16_000  # Hz, as in Whisper's training data

# Demuxers that are allowed. Left out are those that open other files or URLs (hls, dash, concat, sdp),
# devices, images, subtitles, and raw formats that accept any bytes as audio.
FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,"
    "mj2,mp3,mpc,mpc8,mpeg,mpegts,nut,ogg,oma,rm,tak,tta,voc,w64,wav,wtv,wv,xwma"
)
# Formats without a length in the header: ffmpeg estimates it from the bit rate.
ESTIMATED_LENGTH = frozenset({"aac", "ac3", "amr", "dts", "eac3", "loas", "mpeg"})

# Limits of real recordings. Beyond them, one packet could decode to gigabytes of samples.
RATES = range(2_000, 1_000_000)  # Hz: telephones use 8,000, the fastest converters 768,000
CHANNELS = 64
MAX_SECONDS = 7 * 24 * 3600  # seconds; a few compressed bytes can claim to last years

RESAMPLER_SAMPLES = SAMPLE_RATE  # samples resampled at once, for fewer calls from Python to C
JITTER = 0.5  # seconds between timestamp and sample count from which silence is inserted

# --- Waveform and length ---------------------------------------------------------------------------


def blocks(
    source: Path | bytes, *, seconds: float = 30.0, duration: float | None = None
) -> Iterator[NDArray[np.float32]]:
    """Yield the waveform of `source` in blocks of `seconds`; the last one may be shorter.

    A block is float32 of shape (samples,) within -1..1. Gaps in the timestamps become silence, so that the
    index of a sample gives its time in the recording. Undecodable packets are skipped, as ffmpeg does.

    Raises:
        PermanentError: not audio or video, no audio stream, nothing decodable.
        RetryableError: after the last block, if clearly less than `duration` seconds was decoded.
    """
    size = round(seconds * SAMPLE_RATE)
    kept: list[NDArray[np.int16]] = []
    kept_samples = total = 0
    damage = _Damage()
    with _open(source) as container:
        for piece in _waveform(container, damage):
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
        check_duration(total / SAMPLE_RATE - damage.seconds, duration)


def decode(source: Path | bytes, *, duration: float | None = None) -> NDArray[np.float32]:
    """Return the waveform of `source`, float32 of shape (samples,): 230 MB per hour. Raises as `blocks`."""
    return np.concatenate(list(blocks(source, duration=duration)))


def probe(path: Path) -> float | None:
    """Return the length in seconds from the headers of `path`; None if they only allow an estimate.

    Raises PermanentError if `path` is not audio or video or has no audio stream.
    """
    with _open(path) as container:
        _stream(container)
        name = container.format.name
        if name in ESTIMATED_LENGTH or (name == "mp3" and not _has_frame_count(path)):
            return None
        return container.duration / 1e6 if container.duration else None


def check_duration(decoded: float, expected: float) -> None:
    """Raise RetryableError if `decoded` seconds are clearly fewer than the `expected` ones.

    Tolerance is 2 s, because sites round to the second and encoders pad or trim, or 2 % of a long recording,
    because listings round more there, but at most 30 s: losing more speech than that must be noticed.
    """
    if expected - decoded > max(2.0, min(0.02 * expected, 30.0)):
        raise RetryableError(
            f"The audio ends early: {decoded:.0f} of {expected:.0f} seconds could be decoded.",
            "A download is repeated automatically; copy a local file again, then add it again.",
        )


# --- Opening ---------------------------------------------------------------------------------------


@contextmanager
def _open(source: Path | bytes) -> Iterator[InputContainer]:
    """Open `source` with PyAV; translate errors of PyAV and of the file."""
    import av

    with translated(_name(source)), _file(source) as file:
        # Without protocols, a media file cannot open another file or URL.
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}
        with av.open(
            file, "r", options=options, metadata_errors="ignore", buffer_size=1 << 18
        ) as container:
            yield container


def _name(source: Path | bytes) -> str:
    """Return how messages call `source`: downloads have names without meaning (audio.249.webm)."""
    if isinstance(source, bytes) or source.name.startswith("audio."):
        return "The recording"
    return source.name


def _file(source: Path | bytes) -> BinaryIO:
    name = _name(source)
    if isinstance(source, bytes):
        if not source:
            raise PermanentError(f"{name} is empty.")
        return _NamelessFile(source)
    if source.is_dir():
        raise PermanentError(f"{name} is a folder, not a recording.")
    if source.exists() and not source.is_file():
        raise PermanentError(f"{name} is a device or a pipe, not a recording.")
    if source.stat().st_size == 0:
        raise PermanentError(f"{name} is empty.")
    return source.open("rb")


class _NamelessFile(io.BytesIO):
    """Bytes as a file. Without a name, PyAV would use repr(file)."""

    name = ""


def _stream(container: InputContainer) -> AudioStream:
    """Return the audio stream that a player would choose; PermanentError if none can be decoded."""
    import av

    stream = container.streams.best("audio")
    if not isinstance(stream, av.AudioStream):
        raise PermanentError("The file has no audio stream.")
    context = stream.codec_context
    if context is None:
        raise PermanentError("The audio is in a format that cannot be decoded.")
    if context.sample_rate:
        _check_shape(context.sample_rate, context.layout.nb_channels)
    for other in container.streams:
        if other.index != stream.index and hasattr(other, "discard"):  # not in PyAV 14
            other.discard = type(other.discard).all  # skip video packets
    return stream


def _check_shape(rate: int, channels: int) -> None:
    if rate not in RATES or channels > CHANNELS:
        raise PermanentError(
            f"The audio claims {rate} Hz and {channels} channels, more than any recording has."
        )


def _has_frame_count(path: Path) -> bool:
    """Whether an MP3 has a frame count: a Xing, Info or VBRI tag in its first frame.

    It follows the ID3v2 tag, whose size has seven bits per byte: https://id3.org/id3v2.4.0-structure
    """
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3" and len(head) == 10:
            a, b, c, d = struct.unpack("4B", head[6:])
            file.seek(10 + (a << 21 | b << 14 | c << 7 | d))
        else:
            file.seek(0)
        frame = file.read(4096)
    return any(tag in frame for tag in (b"Xing", b"Info", b"VBRI"))


# --- Decoding --------------------------------------------------------------------------------------


class _Damage:
    """Seconds of silence inserted where packets could not be decoded."""

    seconds = 0.0
    since_last_frame = False  # a packet could not be decoded since the last good frame


def _waveform(container: InputContainer, damage: _Damage) -> Iterator[NDArray[np.int16]]:
    """Yield int16 mono 16 kHz in pieces of about a second, with silence for gaps in the timestamps.

    Resampled as s16, because as float stereo becomes 1.4 times louder and clips.
    """
    stream = _stream(container)
    start = None if container.start_time is None else container.start_time / 1e6
    last = container.duration / 1e6 if container.duration else None
    clock = 0.0  # seconds so far, by sample count
    resampler = _Resampler()
    for frame in _frames(container, stream, damage):
        _check_shape(frame.sample_rate, frame.layout.nb_channels)
        if frame.time is not None:
            start = frame.time if start is None else start
            gap = frame.time - start - clock
            # The first frame may start late. Later, a small drift of the timestamps is not a gap.
            is_gap = gap > (JITTER if clock else 0.0)
            if is_gap and frame.time - start <= (clock + 60 if last is None else last):
                yield from resampler.flush()
                yield from _silence(gap)
                clock += gap
                if damage.since_last_frame:
                    damage.seconds += gap
        damage.since_last_frame = False
        clock += frame.samples / frame.sample_rate
        yield from resampler.push(frame)
    yield from resampler.flush()


def _frames(
    container: InputContainer, stream: AudioStream, damage: _Damage
) -> Iterator[AudioFrame]:
    """Yield decoded frames; undecodable packets are skipped, as ffmpeg does."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
        except av.error.InvalidDataError:  # the container is damaged from here on
            return
        try:
            yield from packet.decode()
        except av.error.FFmpegError as error:  # decoders raise others than InvalidDataError too
            if isinstance(error, OSError | MemoryError):
                raise
            damage.since_last_frame = True


def _silence(seconds: float) -> Iterator[NDArray[np.int16]]:
    """Yield zeros for a gap, in pieces, because a hostile timestamp can claim days."""
    samples = round(seconds * SAMPLE_RATE)
    while samples > 0:
        piece = min(samples, 30 * SAMPLE_RATE)
        yield np.zeros(piece, np.int16)
        samples -= piece


class _Resampler:
    """Resample frames to int16 mono 16 kHz, even if rate, layout or sample format change midway."""

    def __init__(self) -> None:
        self.shape: tuple[str, str, int] | None = None
        self.stages: tuple[AudioFifo, AudioResampler] | None = None

    def push(self, frame: AudioFrame) -> Iterator[NDArray[np.int16]]:
        import av

        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self.stages is None or shape != self.shape:
            yield from self.flush()
            self.shape = shape
            resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
            self.stages = av.AudioFifo(), resampler
        fifo, resampler = self.stages
        frame.pts = None  # the caller keeps track of time
        fifo.write(frame)
        if fifo.samples >= RESAMPLER_SAMPLES:
            yield from _resampled(resampler, fifo.read())

    def flush(self) -> Iterator[NDArray[np.int16]]:
        """Yield what is buffered, and reset."""
        if self.stages is not None:
            fifo, resampler = self.stages
            if fifo.samples:
                yield from _resampled(resampler, fifo.read())
            yield from _resampled(resampler, None)
        self.shape = self.stages = None


def _resampled(resampler: AudioResampler, frame: AudioFrame | None) -> Iterator[NDArray[np.int16]]:
    for piece in resampler.resample(frame):
        if piece is not None:  # None: nothing to flush if the input needs no resampling
            yield piece.to_ndarray().reshape(-1).astype(np.int16, copy=False)


def _scale(pieces: list[NDArray[np.int16]]) -> NDArray[np.float32]:
    return np.concatenate(pieces).astype(np.float32) / np.float32(32768)


# --- Errors ----------------------------------------------------------------------------------------


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Translate errors of PyAV and of reading the file into ours. `name` is the file's name in messages."""
    import av

    try:
        yield
    except (av.error.FFmpegError, OSError, MemoryError) as error:
        raise reaction(error, name) from error


def reaction(error: Exception, name: str) -> HomescribeError:
    """Return our error for one of PyAV or Python. PyAV's errno classes derive from Python's."""
    if isinstance(error, MemoryError):
        return UserError(f"Out of memory while decoding {name}.", "Close other programs.")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return RetryableError(f"{name} is no longer there.", "Restore it, or remove the item.")
    if isinstance(error, PermissionError):
        return PermanentError(f"{name} is not readable.", "Change its permissions, then retry it.")
    if isinstance(error, OSError) and not isinstance(error, EOFError):
        return RetryableError(f"{name} could not be read: {error.strerror or error}.")
    return PermanentError(f"{name} is not audio or video that can be decoded.")
