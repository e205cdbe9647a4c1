"""The MIME type of a recording, from its content: a name may have no extension, or a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from homescribe.audio.container import audio_stream, opened

if TYPE_CHECKING:
    from av.container import InputContainer

# ffmpeg's name of a container: its type, of those that some browser plays.
# https://developer.mozilla.org/docs/Web/Media/Guides/Formats/Containers
_PLAYED = {
    "aac": "aac",
    "aiff": "aiff",
    "caf": "x-caf",
    "flac": "flac",
    "matroska,webm": "webm",
    "mov,mp4,m4a,3gp,3g2,mj2": "mp4",
    "mp3": "mpeg",
    "mpegts": "mp2t",
    "ogg": "ogg",
    "wav": "wav",
}
_WEBM = frozenset(  # decoders of its codecs; others make it Matroska
    {"av1", "libdav1d", "libopus", "libvorbis", "opus", "vorbis", "vp8", "vp9"}
)


def media_type(path: Path) -> str | None:
    """Return the MIME type of a recording that a browser may play; None for any other.

    It is that of a video if there is a picture other than a cover image. Reads headers only. Raises as
    `probe`.
    """
    with opened(path) as container:
        audio_stream(container)
        kind = _PLAYED.get(container.format.name)
        if kind is None:
            return None
        if kind == "webm" and not _codecs(container) <= _WEBM:
            kind = "x-matroska"
        return f"{'video' if _has_picture(container) else 'audio'}/{kind}"


def _codecs(container: InputContainer) -> set[str]:
    return {
        stream.codec_context.name
        for stream in (*container.streams.video, *container.streams.audio)
        if stream.codec_context is not None
    }


def _has_picture(container: InputContainer) -> bool:
    from av.stream import Disposition

    # A cover image is stored as a video stream of one picture.
    return any(
        not stream.disposition & Disposition.attached_pic for stream in container.streams.video
    )
