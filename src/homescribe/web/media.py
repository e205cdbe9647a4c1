"""Recordings on this machine's disk, for the player. A request names a library key, never a path.

Of a user's own recordings, only those inside a folder that was added, or that were added themselves, are
served: a symbolic link in such a folder may lead to any file. Of others, the audio that the library keeps is.
"""

from __future__ import annotations

import glob
import itertools
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from homescribe import plugins
from homescribe.assemble import open_library
from homescribe.audio import media_type
from homescribe.core import Item
from homescribe.errors import HomescribeError
from homescribe.library import Library, SourceRecord
from homescribe.web import params


@dataclass(frozen=True, slots=True)
class Media:
    """A file on this disk that a browser may play."""

    path: Path
    type: str  # MIME type, from the content


def playable(library: Library, item: Item) -> Media | None:
    """Return the file of a recording: the user's own, else the audio that is kept.

    None if there is none here, if it may not be served, and if no browser plays it.
    """
    own = plugins.source_of(item).local_path(item) is not None
    kept = library.audio.find(item.key)
    path = _served_path(item, library.sources()) if own or kept is None else kept.path
    try:
        status = path.stat() if path else None
    except OSError:  # removed in the meantime
        status = None
    if path is None or status is None or not stat.S_ISREG(status.st_mode):
        return None
    kind = _media_type(path, status.st_mtime_ns, status.st_size)
    return Media(path, kind) if kind else None


def missing_file(item: Item) -> Path | None:
    """The path of a user's own recording that is not there any more; None for any other."""
    path = plugins.source_of(item).local_path(item)
    return path if path is not None and not path.exists() else None


def _served_path(item: Item, sources: Iterable[SourceRecord]) -> Path | None:
    """The file of `item` without symbolic links in its path; None if it may not be served."""
    named = plugins.source_of(item).local_path(item)
    if named is None:
        return None
    try:
        path = named.resolve(strict=True)
        allowed = any(path.is_relative_to(root) for root in _added(sources))
    except (OSError, RuntimeError, ValueError):  # missing, a loop of links, a NUL
        return None
    return path if allowed else None


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
def _media_type(path: Path, modified: int, size: int) -> str | None:
    """The type of a file that contains audio, whatever its name is. A changed file is read again."""
    try:
        return media_type(path)
    except (HomescribeError, OSError):
        return None


def media(request: Request) -> Response:
    """The file of a recording, or the part in the Range header."""
    with open_library(request.app.state.config) as library:
        found = playable(library, params.item(request, library).item)
    if found is None:
        raise HTTPException(404)
    return FileResponse(found.path, media_type=found.type, content_disposition_type="inline")
