"""Actions on items: rename one (/api/items/KEY/title); ignore, remove and export many (/api/selection)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from homescribe.assemble import open_library
from homescribe.errors import UserError
from homescribe.library import Library
from homescribe.text.sanitize import utf8_safe
from homescribe.web import exports, params
from homescribe.web.jobs import Jobs
from homescribe.web.json_body import flag, json_object, required_string
from homescribe.web.json_body import keys as body_keys
from homescribe.web.json_response import JSONResponse
from homescribe.web.removal import preview_removal, remove_items

Body = Mapping[str, object]


async def rename(request: Request) -> Response:
    """PUT {"title"}: give an item another title, "" for that of its source. {"key", "before", "title"}."""
    title = required_string(await json_object(request), "title")
    return await run_in_threadpool(_rename, request, title)


def _rename(request: Request, title: str) -> Response:
    jobs: Jobs = request.app.state.jobs
    with open_library(request.app.state.config) as library:
        key = params.item(request, library).item.key
        before = library.item(key)
        found = library.rename(key, title)
    jobs.changes += 1
    return JSONResponse(
        {
            "key": found.key,
            # To undo: "" if the title was that of the source.
            "before": utf8_safe(found.before) if before.listed_title is not None else "",
            "title": utf8_safe(found.after),
        }
    )


def matching(request: Request) -> Response:
    """{"keys"}: those of all items that the query of the library page finds."""
    with open_library(request.app.state.config) as library:
        found = library.page(**params.listed(request), limit=-1)
    return JSONResponse({"keys": [record.item.key for record in found.records]})


async def act(request: Request) -> Response:
    """POST {"action", "keys"}: one of ACTIONS on these items."""
    body = await json_object(request)
    action = ACTIONS.get(required_string(body, "action"))
    if action is None:
        raise UserError(
            f"Unknown action {body.get('action')!r}.", f"Known actions: {', '.join(ACTIONS)}."
        )
    keys = body_keys(body)
    if keys is None:
        raise UserError("No items are named.", 'Send {"keys": [...]}.')
    return await run_in_threadpool(_act, request, action, list(dict.fromkeys(keys)), body)


def _act(request: Request, action: Action, keys: list[str], body: Body) -> Response:
    jobs: Jobs = request.app.state.jobs
    with open_library(request.app.state.config) as library:
        result = action(library, keys, body)
    jobs.changes += 1
    return JSONResponse(result)


Action = Callable[[Library, list[str], Body], Mapping[str, object]]


def _ignore(library: Library, keys: list[str], body: Body) -> Mapping[str, object]:
    done = sum(library.item(key).state == "done" for key in keys)
    found = library.ignore(keys)
    return {"ignored": found, "transcribed": done}


def _stop_ignoring(library: Library, keys: list[str], body: Body) -> Mapping[str, object]:
    return {"pending": library.stop_ignoring(keys)}


def _preview(library: Library, keys: list[str], body: Body) -> Mapping[str, object]:
    return preview_removal(library, keys)


def _remove(library: Library, keys: list[str], body: Body) -> Mapping[str, object]:
    return remove_items(
        library, keys, keep_files=flag(body, "keep_files"), ignore=flag(body, "ignore")
    )


ACTIONS: dict[str, Action] = {
    "ignore": _ignore,
    "stop-ignoring": _stop_ignoring,
    "preview-removal": _preview,
    "remove": _remove,
}


async def export(request: Request) -> Response:
    """POST {"keys"}: the transcripts of these items."""
    keys = body_keys(await json_object(request))
    return await run_in_threadpool(exports.selected, request, keys or [])


ROUTES = [
    Route("/api/items/{key:path}/title", rename, methods=["PUT"]),
    Route("/api/selection", matching, methods=["GET"]),
    Route("/api/selection", act, methods=["POST"]),
    Route("/api/selection/export/{format}", export, methods=["POST"]),
]
