"""Removing items, with the files that were uploaded: one on its page (/api/items/KEY/removal), or many."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypedDict

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from homescribe.assemble import open_library
from homescribe.library import Library
from homescribe.pipeline.uploaded_files import delete_uploads, uploaded_files
from homescribe.web import params
from homescribe.web.jobs import Jobs
from homescribe.web.json_response import JSONResponse


class RemovalPreview(TypedDict):
    """What would be removed."""

    items: int
    transcripts: int
    corrections: int
    files: list[str]  # names of uploaded files
    bytes: int  # of these files


class Removal(TypedDict):
    """What was removed."""

    removed: int  # items
    files: list[str]  # names of uploaded files


def preview_removal(library: Library, keys: Collection[str]) -> RemovalPreview:
    """Return what would be removed with the items `keys`."""
    files = uploaded_files(library, keys)
    records = [library.item(key) for key in keys]
    done = [record.item.key for record in records if record.has_transcript]
    return {
        "items": len(records),
        "transcripts": len(done),
        "corrections": sum(len(library.corrections(key)) for key in done),
        "files": [path.name for path in files],
        "bytes": sum(path.stat().st_size for path in files),
    }


def remove_items(
    library: Library, keys: Collection[str], *, keep_files: bool, ignore: bool
) -> Removal:
    """Remove items, their transcripts and, unless `keep_files`, their uploaded files.

    `ignore`: never transcribe them again, also if a source lists them.
    """
    with library.run_lock():  # a run would store the transcript of an item that is gone
        files = [] if keep_files else uploaded_files(library, keys)
        removed = library.remove(keys, ignore=ignore)
        delete_uploads(library, files)
    return {"removed": removed, "files": [path.name for path in files]}


def preview(request: Request) -> Response:
    """What would be removed with an item."""
    with open_library(request.app.state.config) as library:
        key = params.item(request, library).item.key
        return JSONResponse(preview_removal(library, [key]))


def remove(request: Request) -> Response:
    """Remove an item, its transcript, and its uploaded file unless ?keep_files=true. {"removed", "files"}.

    With ?ignore=true, it is never transcribed again, also if a source lists it.
    """
    jobs: Jobs = request.app.state.jobs
    query = request.query_params
    with open_library(request.app.state.config) as library:
        key = params.item(request, library).item.key
        removed = remove_items(
            library,
            [key],
            keep_files=query.get("keep_files") == "true",
            ignore=query.get("ignore") == "true",
        )
    jobs.changes += 1
    return JSONResponse(removed)


ROUTES = [
    Route("/api/items/{key:path}/removal", preview, methods=["GET"]),
    Route("/api/items/{key:path}/removal", remove, methods=["DELETE"]),
]
