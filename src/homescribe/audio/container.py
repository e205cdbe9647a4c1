"""Open a media file or bytes, choose its audio track, and read how long that is."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from homescribe.audio.headers import cut_short_wav, mp3_length_is_known
from homescribe.audio.media_errors import translated
from homescribe.errors import PermanentError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

# Demuxers that are allowed. Left out are those that open other files or URLs (hls, dash, concat, sdp),
# devices, images, subtitles, and raw formats that accept any bytes as audio.
FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,loas,matroska,webm,mov,mp4,m4a,3gp,3g2,"
    "mj2,mp3,mpc,mpc8,mpeg,mpegts,nut,ogg,oma,rm,tak,tta,voc,w64,wav,wtv,wv,xwma"
)
# Formats whose length ffmpeg estimates from the bit rate unless a header states it.
ESTIMATED_LENGTH = frozenset({"aac", "ac3", "amr", "dts", "eac3", "loas", "mpeg"})

# Limits of real recordings. Beyond them, one packet could decode to gigabytes of samples.
RATES = range(2_000, 1_000_000)  # Hz: telephones have 8,000, the fastest converters 768,000
CHANNELS = 64


@contextmanager
def opened(source: Path | bytes) -> Iterator[InputContainer]:
    """Open `source` with PyAV; translate errors of PyAV and of the file."""
    import av

    with translated(name_of(source)), _file(source) as file:
        # Without protocols, a media file cannot open another file or URL.
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}
        if cut_short_wav(file):
            options["ignore_length"] = "1"
        file.seek(0)
        with av.open(
            _Seekable(file), "r", options=options, metadata_errors="ignore", buffer_size=1 << 18
        ) as container:
            yield container


def name_of(source: Path | bytes) -> str:
    """Return the name for messages. Downloads have names without meaning (audio.249.webm).

    So do temporary files, which may be known by a number only.
    """
    if (
        isinstance(source, bytes)
        or source.name.startswith("audio.")
        or source.parts[1:2] == ("proc",)
    ):
        return "The recording"
    return source.name


def _file(source: Path | bytes) -> BinaryIO:
    name = name_of(source)
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
    """Bytes as a file. The empty name keeps PyAV from using the name of the type."""

    name = ""


class _Seekable:
    """A file whose `seek` returns -1 where it fails: PyAV prints the traceback of an exception there.

    A damaged file refers to places that no file has, before its start or beyond 2^63 bytes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.name = file.name
        self.read = file.read
        self.tell = file.tell
        self._file = file

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return -1

    def seekable(self) -> bool:
        return True


# --- Tracks ----------------------------------------------------------------------------------------


def audio_stream(container: InputContainer, track: int | None = None) -> AudioStream:
    """Return audio track `track` (from 1), by default the one that a player would choose.

    The packets of all other streams are discarded unread. Raises PermanentError when there is no such
    track, or none that can be decoded.
    """
    import av

    tracks = container.streams.audio
    if not tracks:
        raise PermanentError("The file has no audio stream.")
    if track is None:
        best = container.streams.best("audio")
        stream = best if isinstance(best, av.AudioStream) else tracks[0]
    elif 1 <= track <= len(tracks):
        stream = tracks[track - 1]
    else:
        raise PermanentError(
            f"There is no audio track {track}: the file has {len(tracks)}.",
            "Choose another with --audio-track.",
        )
    context = stream.codec_context
    if context is None:
        raise PermanentError("The audio is in a format that cannot be decoded.")
    if context.sample_rate:
        check_shape(context.sample_rate, context.layout.nb_channels)
    for other in container.streams:
        if other.index != stream.index and hasattr(other, "discard"):  # not in PyAV 14
            other.discard = type(other.discard).all
    return stream


def check_shape(rate: int, channels: int) -> None:
    """Raise PermanentError for a sample rate or a number of channels that no recording has."""
    if rate not in RATES or channels > CHANNELS:
        raise PermanentError(
            f"The audio claims {rate} Hz and {channels} channels, more than any recording has."
        )


# --- Length ----------------------------------------------------------------------------------------


def probe(path: Path, track: int | None = None) -> float | None:
    """Return the length of the audio in seconds as the file states it; None when it can only be estimated.

    The length of the audio stream counts, not that of a longer video stream. Reads headers only. Raises
    PermanentError when `path` is not audio or video or has no audio stream.
    """
    with opened(path) as container:
        stream = audio_stream(container, track)
        name = container.format.name
        if name in ESTIMATED_LENGTH:
            return None
        if name in ("mp3", "wav"):
            with path.open("rb") as file:
                if name == "mp3" and not mp3_length_is_known(file):
                    return None
                if name == "wav" and (data := cut_short_wav(file)):
                    return data.seconds
        return stream_seconds(stream) or container_seconds(container)


def stream_seconds(stream: AudioStream) -> float | None:
    """Return the length of `stream` in seconds, from its own header; None if that does not state it."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    # Matroska has no field for it, but most programs write a tag: "00:00:11.021000000".
    hours, _, rest = stream.metadata.get("DURATION", "").partition(":")
    minutes, _, seconds = rest.partition(":")
    try:
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def container_seconds(container: InputContainer) -> float | None:
    """Return the length of the longest stream in seconds; None if the container does not state it."""
    return container.duration / 1e6 if container.duration else None
