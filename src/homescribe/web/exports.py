"""Downloads of transcripts: one file, or a zip of many that is written while it is sent."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, cast
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from homescribe import plugins
from homescribe.assemble import open_library
from homescribe.config import Config
from homescribe.core import Exporter
from homescribe.formats.exporters import file_content, load_exporters
from homescribe.formats.filenames import file_names
from homescribe.formats.placed_files import download_name
from homescribe.formats.writer import nothing_to_write
from homescribe.web import params

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MEDIA_TYPES = {
    "txt": "text/plain",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "tsv": "text/tab-separated-values",
    "json": "application/json",
    "md": "text/markdown",
    "lrc": "text/plain",
    "rttm": "text/plain",
    "csv": "text/csv",
    "jsonl": "application/jsonl",
    "notes.txt": "text/plain",
    "podcast.json": "application/json",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
}


def export(request: Request) -> Response:
    """The transcript of one item as a file."""
    name = request.path_params["format"]
    exporter = _exporter(request, name)
    with open_library(request.app.state.config) as library:
        record = params.item(request, library)
        transcript = library.transcript(record.item.key)
    if transcript is None:
        raise HTTPException(404, f"{record.item.key} has no transcript yet.")
    if reason := nothing_to_write(name, transcript):
        raise HTTPException(404, f"{record.item.key} has no {name} file: {reason}.")
    content = file_content(exporter, record.item, transcript)
    headers = {"Content-Disposition": _attachment(download_name(record.item, transcript, name))}
    return Response(content, media_type=MEDIA_TYPES.get(name, "text/plain"), headers=headers)


def export_zip(request: Request) -> Response:
    """A zip of all transcripts that match the filters."""
    name = request.path_params["format"]
    exporter = _exporter(request, name)
    listed = params.listed(request)
    config = request.app.state.config
    with open_library(config) as library:
        records = library.page(**listed, limit=-1).records
    keys = [record.item.key for record in records if record.has_transcript]
    return _zip(config, keys, name, exporter, listed["channel"] or "homescribe")


def zip_of(request: Request, keys: list[str]) -> Response:
    """A zip of the transcripts of these items."""
    name = request.path_params["format"]
    return _zip(request.app.state.config, keys, name, _exporter(request, name), "homescribe")


def _zip(
    config: Config, keys: list[str], name: str, exporter: Exporter, title: str
) -> StreamingResponse:
    safe = "".join(letter if letter.isalnum() or letter in " -_" else "-" for letter in title)[:80]
    headers = {"Content-Disposition": _attachment(f"{safe.strip() or 'homescribe'} {name}.zip")}
    content = _zip_chunks(config, keys, name, exporter)
    return StreamingResponse(content, media_type="application/zip", headers=headers)


def _exporter(request: Request, name: str) -> Exporter:
    """The exporter of a format; for subtitles with the options in the query, else those of the config."""
    if name not in plugins.names("exporters"):
        raise HTTPException(404, f"Unknown format: {name}.")
    subtitles = params.subtitles(request)
    return load_exporters([name], subtitles)[name]


def _zip_chunks(config: Config, keys: list[str], name: str, exporter: Exporter) -> Iterator[bytes]:
    """The zip in chunks of one item, so that its memory does not grow with the number of items."""
    buffer = _ChunkBuffer()
    with zipfile.ZipFile(cast(IO[bytes], buffer), "w", zipfile.ZIP_DEFLATED) as archive:
        for key in keys:
            # Opened for each item: the server may request every chunk from another thread.
            with open_library(config) as library:
                transcript = library.transcript(key)
                # Deleted in the meantime, or nothing to write.
                if transcript is None or nothing_to_write(name, transcript):
                    continue
                record = library.item(key)
            files = (record.item, *record.copies)
            names = file_names(record.item, record.copies, name)
            for item, file in zip(files, names, strict=True):
                archive.writestr(file, file_content(exporter, item, transcript))
                yield buffer.take()
    yield buffer.take()


class _ChunkBuffer(io.RawIOBase):
    """A write-only file whose content is taken away in chunks."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        content = bytes(data)
        self._parts.append(content)
        return len(content)

    def take(self) -> bytes:
        """Return what was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _attachment(name: str) -> str:
    """A Content-Disposition header for a name in any script (RFC 6266)."""
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"
