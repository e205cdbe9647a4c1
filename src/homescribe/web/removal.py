"""Removing an item on its page, with the file if it was uploaded: GET and DELETE /api/items/KEY/removal."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from homescribe.assemble import open_library
from homescribe.pipeline.uploaded_files import delete_uploads, uploaded_files
from homescribe.web import params
from homescribe.web.jobs import Jobs
from homescribe.web.json_response import JSONResponse


def preview(request: Request) -> Response:
    """What would be removed with an item: {"transcript", "corrections", "files", "bytes"}."""
    with open_library(request.app.state.config) as library:
        key = params.item(request, library).item.key
        files = uploaded_files(library, [key])
        return JSONResponse(
            {
                "transcript": library.transcript(key) is not None,
                "corrections": len(library.corrections(key)),
                "files": [path.name for path in files],
                "bytes": sum(path.stat().st_size for path in files),
            }
        )


def remove(request: Request) -> Response:
    """Remove an item, its transcript, and its uploaded file unless ?keep_files=true. {"removed", "files"}.

    With ?ignore=true, it is never transcribed again, also if a source lists it.
    """
    jobs: Jobs = request.app.state.jobs
    with open_library(request.app.state.config) as library:
        key = params.item(request, library).item.key
        keep = request.query_params.get("keep_files") == "true"
        with library.run_lock():  # a run would store the transcript of an item that is gone
            files = [] if keep else uploaded_files(library, [key])
            removed = library.remove([key], ignore=request.query_params.get("ignore") == "true")
            delete_uploads(library, files)
    jobs.changes += 1
    return JSONResponse({"removed": removed, "files": [path.name for path in files]})


ROUTES = [
    Route("/api/items/{key:path}/removal", preview, methods=["GET"]),
    Route("/api/items/{key:path}/removal", remove, methods=["DELETE"]),
]
