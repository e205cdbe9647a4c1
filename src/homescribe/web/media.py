"""Recordings on this machine's disk, for the player. A request names a library key, never a path.

Of a user's own recordings, only those inside a folder that was added, or that were added themselves, are
served: a symbolic link in such a folder may lead to any file. Of others, the audio that the library keeps is.
"""

from __future__ import annotations

import glob
import itertools
import mimetypes
import stat
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from homescribe import plugins
from homescribe.assemble import open_library
from homescribe.audio import opened, probe
from homescribe.core import Item
from homescribe.errors import HomescribeError
from homescribe.library import KeptAudio, SourceRecord
from homescribe.web import params

# Extensions that browsers can play and Python's table does not know.
MEDIA_TYPES = {
    ".m4a": "audio/mp4",
    ".m4b": "audio/mp4",
    ".mka": "audio/x-matroska",
    ".opus": "audio/ogg",
}


def _path(item: Item, kept: KeptAudio | None) -> Path | None:
    """The file of a recording: the user's own, else the audio that is kept; None if neither is here."""
    return plugins.source_of(item).local_path(item) or (kept.path if kept else None)


def media_type(item: Item, kept: KeptAudio | None = None) -> str | None:
    """The MIME type of a recording on this disk that a browser may play; None for anything else."""
    path = _path(item, kept)
    if path is None:
        return None
    suffix = path.suffix.lower()
    found = MEDIA_TYPES.get(suffix) or mimetypes.types_map.get(suffix, "")
    return found if found.startswith(("audio/", "video/")) else None


def player_type(item: Item, kept: KeptAudio | None = None) -> str | None:
    """Like `media_type`, but a video file without a picture is audio."""
    kind, path = media_type(item, kept), _path(item, kept)
    if kind and path and kind.startswith("video/") and not _has_picture(path):
        return kind.replace("video/", "audio/", 1)
    return kind


def missing_file(item: Item) -> Path | None:
    """The path of a user's own recording that is not there any more; None for any other."""
    path = plugins.source_of(item).local_path(item)
    return path if path is not None and not path.exists() else None


def _has_picture(path: Path) -> bool:
    from av.stream import Disposition

    try:
        with opened(path) as container:  # which keeps the file from opening others
            # A cover image is stored as a video stream of one picture.
            return any(
                not stream.disposition & Disposition.attached_pic
                for stream in container.streams.video
            )
    except (HomescribeError, OSError):  # moved or damaged: the player reports it
        return False


def _served_path(item: Item, sources: Iterable[SourceRecord]) -> Path | None:
    """The file of `item` without symbolic links in its path; None if it may not be served."""
    named = plugins.source_of(item).local_path(item)
    if named is None:
        return None
    try:
        path = named.resolve(strict=True)
        status = path.stat()
        allowed = any(path.is_relative_to(root) for root in _added(sources))
    except (OSError, RuntimeError, ValueError):  # missing, a loop of links, a NUL
        return None
    if not (allowed and stat.S_ISREG(status.st_mode)):
        return None
    return path if _is_recording(path, status.st_mtime_ns, status.st_size) else None


def _added(sources: Iterable[SourceRecord]) -> Iterator[Path]:
    """Files and folders that were added, without symbolic links; of a pattern, its first folder."""
    for source in sources:
        added = Item(source.source, "", source.url, "")
        path = plugins.source_of(added).local_path(added)
        if path is None:
            continue
        if not path.exists():
            fixed = itertools.takewhile(lambda part: not glob.has_magic(part), path.parts)
            path = Path(*fixed)
            if len(path.parts) <= 1:  # "/**/*.mp3" would allow everything
                continue
        yield path.resolve()


@lru_cache(maxsize=1000)
def _is_recording(path: Path, modified: int, size: int) -> bool:
    """Whether `path` contains audio, whatever its name is. A changed file is read again."""
    try:
        probe(path)
    except (HomescribeError, OSError):
        return False
    return True


def media(request: Request) -> Response:
    """The file of a recording, or the part in the Range header."""
    with open_library(request.app.state.config) as library:
        item = params.item(request, library).item
        sources = library.sources()
        kept = library.audio.find(item.key)
    kind = media_type(item, kept)
    own = plugins.source_of(item).local_path(item) is not None
    path = _served_path(item, sources) if own or kept is None else kept.path
    if kind is None or path is None:
        raise HTTPException(404)
    return FileResponse(path, media_type=kind, content_disposition_type="inline")
