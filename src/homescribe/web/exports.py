"""Transcripts as files to take along: one, or many in a zip that is written while it is sent."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from homescribe import plugins
from homescribe.core import Exporter
from homescribe.formats.filenames import file_name
from homescribe.library import Library
from homescribe.web import params

TYPES = {
    "txt": "text/plain",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "tsv": "text/tab-separated-values",
    "json": "application/json",
    "md": "text/markdown",
    "lrc": "text/plain",
}


def one(request: Request) -> Response:
    """The transcript of one item as a file."""
    name = request.path_params["format"]
    exporter = _exporter(name)
    with Library(request.app.state.config.library) as library:
        record = params.item(request, library)
        transcript = library.transcript(record.item.key)
    if transcript is None:
        raise HTTPException(404, f"{record.item.key} has no transcript yet.")
    content = exporter(record.item, transcript).encode(errors="replace")
    headers = {"Content-Disposition": _attachment(file_name(record.item, name))}
    return Response(content, media_type=TYPES.get(name, "text/plain"), headers=headers)


def many(request: Request) -> Response:
    """A zip of every transcript that the filters leave."""
    name = request.path_params["format"]
    exporter = _exporter(name)
    chosen = params.filters(request)
    directory = request.app.state.config.library
    with Library(directory) as library:
        found = library.page(**chosen.arguments(), state="done", limit=-1).records
    keys = [record.item.key for record in found]
    title = chosen.channel or "homescribe"
    safe = "".join(letter if letter.isalnum() or letter in " -_" else "-" for letter in title)[:80]
    headers = {"Content-Disposition": _attachment(f"{safe.strip() or 'homescribe'} {name}.zip")}
    content = _zipped(directory, keys, name, exporter)
    return StreamingResponse(content, media_type="application/zip", headers=headers)


def _exporter(name: str) -> Exporter:
    if name not in plugins.names("exporters"):
        raise HTTPException(404, f"There is no format named {name!r}.")
    exporter: Exporter = plugins.load("exporters", name)
    return exporter


def _zipped(directory: Path, keys: list[str], name: str, exporter: Exporter) -> Iterator[bytes]:
    """The zip in pieces, an item at a time: it needs no more memory for a thousand than for one."""
    written = _Pieces()
    with zipfile.ZipFile(cast(IO[bytes], written), "w", zipfile.ZIP_DEFLATED) as archive:
        for key in keys:
            # Opened for each: the server takes every piece from another thread.
            with Library(directory) as library:
                transcript = library.transcript(key)
                if transcript is None:  # removed since the list was made
                    continue
                item = library.item(key).item
            archive.writestr(
                file_name(item, name), exporter(item, transcript).encode(errors="replace")
            )
            yield written.taken()
    yield written.taken()


class _Pieces(io.RawIOBase):
    """A file that can only be written to, and what was written since it was last taken."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _attachment(name: str) -> str:
    """https://www.rfc-editor.org/rfc/rfc6266: the name in any script."""
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"
