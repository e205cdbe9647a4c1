"""The JSON API of words that are replaced in all transcripts."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from homescribe.assemble import open_library
from homescribe.library.as_json import replaced_as_json, replacement_as_json
from homescribe.web.json_body import flag, json_object, optional_string, required_string
from homescribe.web.json_response import JSONResponse


def replacements(request: Request) -> Response:
    """{"replacements": [...]}, in the order in which they are applied."""
    with open_library(request.app.state.config) as library:
        found = library.replacements()
    return JSONResponse({"replacements": [replacement_as_json(each) for each in found]})


async def add(request: Request) -> Response:
    """POST {"old", "new"}: replace a word; with "dry_run", say what would change."""
    body = await json_object(request)
    old, new = required_string(body, "old"), required_string(body, "new")
    source, channel = optional_string(body, "source"), optional_string(body, "channel")
    match_case, dry_run = flag(body, "match_case"), flag(body, "dry_run")

    def change() -> Response:
        with open_library(request.app.state.config) as library:
            replaced = library.replace_words(
                *(old, new),
                source=source,
                channel=channel,
                match_case=match_case,
                dry_run=dry_run,
            )
        return JSONResponse(replaced_as_json(replaced))

    return await run_in_threadpool(change)


def remove(request: Request) -> Response:
    """DELETE: remove a replacement and restore what it changed. Returns {"recordings"}, their number."""
    number = request.path_params["replacement"]
    with open_library(request.app.state.config) as library:
        if number not in {each.id for each in library.replacements()}:
            raise HTTPException(404, f"There is no replacement {number}.")
        return JSONResponse({"recordings": library.remove_replacement(number)})


ROUTES = [
    Route("/api/replacements", replacements, methods=["GET"]),
    Route("/api/replacements", add, methods=["POST"]),
    Route("/api/replacements/{replacement:segment}", remove, methods=["DELETE"]),
]
