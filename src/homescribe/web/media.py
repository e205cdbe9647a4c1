"""Recordings on this machine's disk, for the player. A request names a library key, never a path."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from homescribe import plugins
from homescribe.core import Item
from homescribe.library import Library
from homescribe.web import params

# Extensions that browsers can play and Python's table does not know.
MEDIA_TYPES = {
    ".m4a": "audio/mp4",
    ".m4b": "audio/mp4",
    ".mka": "audio/x-matroska",
    ".opus": "audio/ogg",
}


def media_type(item: Item) -> str | None:
    """The MIME type of a recording on this disk that a browser may play; None for anything else."""
    path = plugins.source_of(item).local_path(item)
    if path is None:
        return None
    suffix = path.suffix.lower()
    found = MEDIA_TYPES.get(suffix) or mimetypes.types_map.get(suffix, "")
    return found if found.startswith(("audio/", "video/")) else None


def player_type(item: Item) -> str | None:
    """Like `media_type`, but a video file without a picture is audio."""
    kind, path = media_type(item), plugins.source_of(item).local_path(item)
    if kind and path and kind.startswith("video/") and not _has_picture(path):
        return kind.replace("video/", "audio/", 1)
    return kind


def _has_picture(path: Path) -> bool:
    import av
    from av.stream import Disposition

    try:
        with av.open(str(path)) as container:
            # A cover image is stored as a video stream of one picture.
            return any(
                not stream.disposition & Disposition.attached_pic
                for stream in container.streams.video
            )
    except (OSError, av.FFmpegError):  # moved or damaged: the player reports it
        return False


def media(request: Request) -> Response:
    """The file of a recording, or the part in the Range header."""
    with Library(request.app.state.config.library) as library:
        item = params.item(request, library).item
    kind, path = media_type(item), plugins.source_of(item).local_path(item)
    if kind is None or path is None or not path.is_file():
        raise HTTPException(404)
    return FileResponse(path, media_type=kind, content_disposition_type="inline")
