"""The recordings on this disk, by library key alone: no request names a path."""

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

# What browsers play under a name that Python's table does not have.
TYPES = {".m4a": "audio/mp4", ".opus": "audio/ogg", ".mka": "audio/x-matroska", ".m4b": "audio/mp4"}


def _path(item: Item) -> Path:
    """Path of a recording on this machine's disk; an empty one for a recording that is elsewhere."""
    return plugins.source_of(item).local_path(item) or Path()


def media_type(item: Item) -> str | None:
    """The MIME type of a recording on this disk that a browser may play; None for anything else."""
    suffix = _path(item).suffix.lower()
    found = TYPES.get(suffix) or mimetypes.types_map.get(suffix, "")
    return found if found.startswith(("audio/", "video/")) else None


def shown_as(item: Item) -> str | None:
    """The type to play it as: a video without a picture is audio."""
    kind = media_type(item)
    if kind is not None and kind.startswith("video/") and not _has_picture(_path(item)):
        return kind.replace("video/", "audio/", 1)
    return kind


def _has_picture(path: Path) -> bool:
    import av
    from av.stream import Disposition

    try:
        with av.open(str(path)) as container:
            # A cover is kept as a video of one picture.
            return any(
                not stream.disposition & Disposition.attached_pic
                for stream in container.streams.video
            )
    except (OSError, av.FFmpegError):  # moved, or broken: the player says so
        return False


def media(request: Request) -> Response:
    """A recording's file; parts of it where a Range is asked for."""
    with Library(request.app.state.config.library) as library:
        item = params.item(request, library).item
    kind = media_type(item)
    path = _path(item)
    if kind is None or not path.is_file():
        raise HTTPException(404)
    return FileResponse(path, media_type=kind, content_disposition_type="inline")
