"""Any recording, from a file or from bytes, as the waveform Whisper hears: float32, mono, 16 kHz.

`blocks` streams it, so that memory does not grow with length; `decode` gives the whole. The media is
hostile: it is read through a Python file, by the demuxers of recordings alone (no playlist, no image, no
device), and may open nothing else, neither path nor address. Nothing is cut short in silence: what ends
clearly before its metadata says is a RetryableError.

The libraries of ffmpeg come inside PyAV; no ffmpeg program is needed.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homescribe.errors import HomescribeError, PermanentError, RetryableError, UserError

SAMPLE_RATE = 16_000  # Hz, what Whisper was trained on

# Demuxers of recordings. Left out are those that read other files or addresses (hls, dash, concat, sdp),
# devices, images, subtitles, and raw formats that take any bytes for sound.
FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,"
    "mj2,mp3,mpc,mpc8,mpeg,mpegts,nut,ogg,oma,rm,tak,tta,voc,w64,wav,wtv,wv,xwma"
)
# Formats whose length ffmpeg guesses from the bit rate unless a header tells it.
GUESSED = frozenset({"aac", "ac3", "amr", "dts", "eac3", "loas", "mpeg"})

# What a real recording stays within; beyond, one packet could be blown up to gigabytes of samples.
RATES = range(2_000, 1_000_000)  # Hz: telephones have 8,000, the fastest converters 768,000
CHANNELS = 64
LONGEST = 7 * 24 * 3600  # seconds; a few bytes of a compressed format can claim to be years

GROUP = SAMPLE_RATE  # samples handed to the resampler at once: fewer crossings from Python to C
JITTER = 0.5  # seconds that timestamps may stray from the count of samples before silence is put in

# --- The whole way ---------------------------------------------------------------------------------


def blocks(
    source: Path | bytes, *, seconds: float = 30.0, duration: float | None = None
) -> Iterator[NDArray[np.float32]]:
    """The waveform of `source` in blocks of exactly `seconds`, the last one shorter.

    Each is float32 of shape (samples,) within -1..1. Pauses in the timestamps become silence, so that a
    sample's place is its time in the recording. What cannot be decoded is left out, as ffmpeg does.

    Raises PermanentError (not media, no audio stream, nothing in it) and, after the last block,
    RetryableError when less was decoded than `duration` seconds.
    """
    size = round(seconds * SAMPLE_RATE)
    kept: list[NDArray[np.int16]] = []
    held = total = 0
    damage = _Damage()
    with _open(source) as container:
        for piece in _waveform(container, damage):
            total += len(piece)
            if total > LONGEST * SAMPLE_RATE:
                raise PermanentError("The recording is longer than a week.", "Cut it into parts.")
            while held + len(piece) >= size:
                taken, piece = piece[: size - held], piece[size - held :]
                yield _scale([*kept, taken])
                kept, held = [], 0
            if len(piece):
                kept.append(piece)
                held += len(piece)
    if held:
        yield _scale(kept)
    if not total:
        raise PermanentError("The recording holds no sound: nothing in it could be decoded.")
    if duration is not None:
        check_duration(total / SAMPLE_RATE - damage.seconds, duration)


def decode(source: Path | bytes, *, duration: float | None = None) -> NDArray[np.float32]:
    """The whole waveform of `source`, float32 of shape (samples,): 230 MB an hour. Raises as `blocks`."""
    return np.concatenate(list(blocks(source, duration=duration)))


def probe(path: Path) -> float | None:
    """Seconds that the container says it lasts, None where it does not say and a guess is all there is.

    Reads headers only. Raises PermanentError when `path` is not media or has no audio stream.
    """
    with _open(path) as container:
        _stream(container)
        name = container.format.name
        if name in GUESSED or (name == "mp3" and not _has_frame_count(path)):
            return None
        return container.duration / 1e6 if container.duration else None


def check_duration(decoded: float, expected: float) -> None:
    """Raise RetryableError when `decoded` seconds are clearly fewer than the `expected` ones.

    Sites round to the second and encoders pad or trim tenths of one, hence 2 s; listings of long
    recordings are rounder (ends trimmed, minutes for seconds), hence 2 %, but never more than half a
    minute: that much speech is not to be lost in silence.
    """
    if expected - decoded > max(2.0, min(0.02 * expected, 30.0)):
        raise RetryableError(
            f"The audio breaks off: {decoded:.0f} of {expected:.0f} seconds could be decoded.",
            "A download is fetched again; a file of your own must be copied here again and added anew.",
        )


# --- Opening ---------------------------------------------------------------------------------------


@contextmanager
def _open(source: Path | bytes) -> Iterator[Any]:
    """PyAV's container for `source`, with the errors of PyAV and of the file translated."""
    import av

    with translated(_name(source)), _file(source) as file:
        # No protocol is allowed, so that a file inside the file cannot be opened.
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}
        with av.open(
            file, options=options, metadata_errors="ignore", buffer_size=1 << 18
        ) as container:
            yield container


def _name(source: Path | bytes) -> str:
    """What to call it: a download has a name that tells nobody anything (audio.249.webm)."""
    if isinstance(source, bytes) or source.name.startswith("audio."):
        return "The recording"
    return source.name


def _file(source: Path | bytes) -> Any:
    name = _name(source)
    if isinstance(source, bytes):
        if not source:
            raise PermanentError(f"{name} is empty.")
        return _Nameless(source)
    if source.is_dir():
        raise PermanentError(f"{name} is a folder, not a recording.")
    if source.exists() and not source.is_file():
        raise PermanentError(f"{name} is a device or a pipe, not a recording.")
    if source.stat().st_size == 0:
        raise PermanentError(f"{name} is empty.")
    return source.open("rb")


class _Nameless(io.BytesIO):
    """Bytes as a file. The empty name keeps PyAV from taking one from the type."""

    name = ""


def _stream(container: Any) -> Any:
    """The audio stream a player would choose; PermanentError when there is none fit to decode."""
    stream = container.streams.best("audio")
    if stream is None:
        raise PermanentError("The file has no audio stream.")
    context = stream.codec_context
    if context is None:
        raise PermanentError("The audio is in a format that cannot be decoded.")
    if context.sample_rate:
        _check_shape(context.sample_rate, context.layout.nb_channels)
    for other in container.streams:
        if other.index != stream.index and hasattr(other, "discard"):  # not in PyAV 14
            other.discard = type(other.discard).all  # pictures are not even read
    return stream


def _check_shape(rate: int, channels: int) -> None:
    if rate not in RATES or channels > CHANNELS:
        raise PermanentError(
            f"The audio claims {rate} Hz and {channels} channels, which no recording has."
        )


def _has_frame_count(path: Path) -> bool:
    """Whether an MP3 says how many frames it has: in a Xing, Info or VBRI tag in its first frame.

    Behind the ID3v2 tag, whose size is in seven bits a byte: https://id3.org/id3v2.4.0-structure
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
    """Seconds that stand in the timestamps but could not be decoded."""

    seconds = 0.0
    fresh = False  # a packet could not be decoded since the last good frame


def _waveform(container: Any, damage: _Damage) -> Iterator[NDArray[np.int16]]:
    """int16 mono 16 kHz in pieces of about a second, at their places in time.

    Resampled as s16 and not as float: as float, stereo comes out 1.4 times louder and clips.
    """
    stream = _stream(container)
    start = None if container.start_time is None else container.start_time / 1e6
    last = container.duration / 1e6 if container.duration else None
    clock = 0.0  # seconds so far, by the count of samples
    resampler = _Resampler()
    for frame in _frames(container, stream, damage):
        _check_shape(frame.sample_rate, frame.layout.nb_channels)
        if frame.time is not None:
            start = frame.time if start is None else start
            pause = frame.time - start - clock
            # The first frame may start late; later on, a clock that runs a little off is no pause.
            wanted = pause > (JITTER if clock else 0.0)
            if wanted and frame.time - start <= (clock + 60 if last is None else last):
                yield from resampler.flush()
                yield from _silence(pause)
                clock += pause
                if damage.fresh:
                    damage.seconds += pause
        damage.fresh = False
        clock += frame.samples / frame.sample_rate
        yield from resampler.push(frame)
    yield from resampler.flush()


def _frames(container: Any, stream: Any, damage: _Damage) -> Iterator[Any]:
    """Decoded frames; packets that cannot be decoded are passed over, as ffmpeg does."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
        except av.error.InvalidDataError:  # the container itself is broken from here on
            return
        try:
            yield from packet.decode()
        except (
            av.error.FFmpegError
        ) as error:  # decoders use numbers of their own, not only InvalidData
            if isinstance(error, OSError | MemoryError):
                raise
            damage.fresh = True


def _silence(seconds: float) -> Iterator[NDArray[np.int16]]:
    """Zeros for a pause, a piece at a time: a hostile timestamp can claim days."""
    samples = round(seconds * SAMPLE_RATE)
    while samples > 0:
        piece = min(samples, 30 * SAMPLE_RATE)
        yield np.zeros(piece, np.int16)
        samples -= piece


class _Resampler:
    """Frames of any shape to int16 mono 16 kHz, also when the shape changes in mid-stream."""

    def __init__(self) -> None:
        self.shape: tuple[str, str, int] | None = None
        self.fifo: Any = None
        self.resampler: Any = None

    def push(self, frame: Any) -> Iterator[NDArray[np.int16]]:
        import av

        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self.shape:
            yield from self.flush()
            self.shape = shape
            self.fifo = av.AudioFifo()
            self.resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE)
        frame.pts = None  # places in time are kept by the caller
        self.fifo.write(frame)
        if self.fifo.samples >= GROUP:
            yield from self._resample(self.fifo.read())

    def flush(self) -> Iterator[NDArray[np.int16]]:
        """What is still inside; afterwards it is as new."""
        if self.fifo is not None:
            if self.fifo.samples:
                yield from self._resample(self.fifo.read())
            yield from self._resample(None)
        self.shape = self.fifo = self.resampler = None

    def _resample(self, frame: Any) -> Iterator[NDArray[np.int16]]:
        for piece in self.resampler.resample(frame):
            if piece is not None:  # a stream that is already as wanted flushes to None
                yield piece.to_ndarray().reshape(-1)


def _scale(pieces: list[NDArray[np.int16]]) -> NDArray[np.float32]:
    return np.concatenate(pieces).astype(np.float32) / np.float32(32768)


# --- Errors ----------------------------------------------------------------------------------------


@contextmanager
def translated(name: str) -> Iterator[None]:
    """The errors of PyAV and of reading the file as ours, about the file called `name`."""
    import av

    try:
        yield
    except (av.error.FFmpegError, OSError, MemoryError) as error:
        raise reaction(error, name) from error


def reaction(error: Exception, name: str) -> HomescribeError:
    """Which of our errors `error` is. PyAV's errno classes derive from Python's, so one list serves both."""
    if isinstance(error, MemoryError):
        return UserError(f"Out of memory while decoding {name}.", "Close other programs.")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return RetryableError(f"{name} is no longer there.", "Put it back, or remove the item.")
    if isinstance(error, PermissionError):
        return PermanentError(f"{name} may not be read.", "Change its permissions, then retry it.")
    if isinstance(error, OSError) and not isinstance(error, EOFError):
        return RetryableError(f"{name} could not be read: {error.strerror or error}.")
    return PermanentError(f"{name} is not audio or video that can be decoded.")
