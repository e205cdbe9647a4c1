"""Downloads of transcripts: a file of one or of many, a zip, a website. They are made while they are sent."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from homescribe import plugins
from homescribe.assemble import open_library
from homescribe.config import Config
from homescribe.core import Exporter, Item, Transcript
from homescribe.errors import UserError
from homescribe.formats.combined import (
    PART_WORDS,
    TITLE,
    checked_format,
    common_title,
    one_file,
    parts,
)
from homescribe.formats.exporters import file_content, load_exporters
from homescribe.formats.filenames import file_names, safe_name
from homescribe.formats.placed_files import download_name
from homescribe.formats.writer import nothing_to_write
from homescribe.library import ItemRecord
from homescribe.static_site.site_files import site_files
from homescribe.static_site.site_writer import LIST
from homescribe.web import params
from homescribe.web.zip_stream import zip_stream

# Formats beside those of exporters.
SITE = "site"
COMBINED = "combined."
TITLE_BYTES = 80

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
    """A zip of all transcripts that match the filters: a file for each, parts of one file, or a website."""
    return zip_of(request, _matching(request))


def export_combined(request: Request) -> Response:
    """All transcripts that match the filters as one file, the oldest recording first."""
    return _one_file(request, _matching(request), request.path_params["format"])


def selected(request: Request, keys: Iterable[str]) -> Response:
    """The transcripts of these items: a zip, or one file for the formats combined.md and combined.jsonl."""
    records = []
    with open_library(request.app.state.config) as library:
        for key in keys:
            with suppress(UserError):  # removed since it was selected
                records.append(library.item(key))
    records = [record for record in records if record.has_transcript]
    name = request.path_params["format"]
    if name.startswith(COMBINED):
        return _one_file(request, records, name.removeprefix(COMBINED))
    return zip_of(request, records)


def zip_of(request: Request, records: Sequence[ItemRecord]) -> Response:
    """A zip of the transcripts of these items: a file for each, parts of one file, or a website."""
    name, config = request.path_params["format"], request.app.state.config
    title = common_title(record.item for record in records)
    files: Iterator[tuple[str, str | bytes]]
    if name == SITE:
        if not records:
            raise HTTPException(404, "Nothing is transcribed yet.")
        files = _site_files(config, records, title)
        name = "website"
    elif name.startswith(COMBINED):
        extension = _checked_combined(name.removeprefix(COMBINED))
        texts = parts(_transcripts(config, _by_date(records)), extension, PART_WORDS)
        files = (
            (f"{_safe(title)} (part {number}).{extension}", text.encode(errors="replace"))
            for number, text in enumerate(texts, start=1)
        )
        name = extension
    else:
        files = _files(config, records, name, _exporter(request, name))
    headers = {"Content-Disposition": _attachment(f"{_safe(title)} {name}.zip")}
    return StreamingResponse(zip_stream(files), media_type="application/zip", headers=headers)


def _matching(request: Request) -> Sequence[ItemRecord]:
    """The items with a transcript that match the filters."""
    with open_library(request.app.state.config) as library:
        records = library.page(**params.listed(request), limit=-1).records
    return [record for record in records if record.has_transcript]


def _one_file(request: Request, records: Sequence[ItemRecord], extension: str) -> Response:
    extension = _checked_combined(extension)
    recordings = _transcripts(request.app.state.config, _by_date(records))
    name = f"{_safe(common_title(record.item for record in records))}.{extension}"
    content = (piece.encode(errors="replace") for piece in one_file(recordings, extension))
    return StreamingResponse(
        content,
        media_type=MEDIA_TYPES[extension],
        headers={"Content-Disposition": _attachment(name)},
    )


def _checked_combined(extension: str) -> str:
    try:
        return checked_format([extension])
    except UserError as error:
        raise HTTPException(404, error.message) from error


def _exporter(request: Request, name: str) -> Exporter:
    """The exporter of a format; for subtitles with the options in the query, else those of the config."""
    if name not in plugins.names("exporters"):
        raise HTTPException(404, f"Unknown format: {name}.")
    subtitles = params.subtitles(request)
    return load_exporters([name], subtitles)[name]


def _by_date(records: Iterable[ItemRecord], *, reverse: bool = False) -> list[ItemRecord]:
    return sorted(records, key=lambda record: record.item.upload_date or "", reverse=reverse)


def _transcripts(
    config: Config, records: Iterable[ItemRecord]
) -> Iterator[tuple[Item, Transcript]]:
    """The transcripts, one after the other. What was deleted in the meantime is left out."""
    for record in records:
        # Opened for each item: the server may request every piece from another thread.
        with open_library(config) as library:
            transcript = library.transcript(record.item.key)
        if transcript is not None:
            yield record.item, transcript


def _site_files(
    config: Config, records: Iterable[ItemRecord], title: str
) -> Iterator[tuple[str, str]]:
    """A website in a folder, which `homescribe export --site` can replace when it is unpacked."""
    recordings = _transcripts(config, _by_date(records, reverse=True))
    folder, names = _safe(title), []
    for name, content in site_files(title.capitalize(), recordings):
        names.append(name)
        yield f"{folder}/{name}", content
    yield f"{folder}/{LIST}", json.dumps(sorted(names), indent=0)


def _files(
    config: Config, records: Iterable[ItemRecord], name: str, exporter: Exporter
) -> Iterator[tuple[str, str | bytes]]:
    """A file for each item, and for each of its copies."""
    copies = {record.item.key: record.copies for record in records}
    for item, transcript in _transcripts(config, records):
        if nothing_to_write(name, transcript):
            continue
        files = (item, *copies[item.key])
        names = file_names(item, copies[item.key], name)
        for each, file in zip(files, names, strict=True):
            yield file, file_content(exporter, each, transcript)


def _safe(title: str) -> str:
    """A title as a file name."""
    return safe_name(title, size=TITLE_BYTES, alone=True) or TITLE


def _attachment(name: str) -> str:
    """A Content-Disposition header for a name in any script (RFC 6266)."""
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"
