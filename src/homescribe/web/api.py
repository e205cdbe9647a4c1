"""The page's actions and the library as JSON, under /api: documented in docs/reference/api.md.

Reads need nothing on this machine, writes the token of this start (Authorization: Bearer) or a browser's
proof that our own page asks: see guard.py. Errors are {"error": {"message", "hint"}}.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from homescribe import __version__
from homescribe.core import Segment
from homescribe.errors import UserError
from homescribe.formats.whisper import to_json
from homescribe.library import Library
from homescribe.library.as_json import hit_as_json, item_as_json, source_as_json, status_as_json
from homescribe.web import params, transcript_view
from homescribe.web.jobs import Work

MOST_ITEMS = 1000  # of one answer
MOST_HITS = 200

TICK = 0.4  # seconds between two looks at what is being done
ALIVE = 15.0  # seconds after which a silent connection is given a sign of life
RECONNECT = 1000  # milliseconds a browser waits before it asks again

# --- Reading -----------------------------------------------------------------------------------------


def items(request: Request) -> Response:
    """{"total", "items": [...]}; filters, sort, limit and offset as in the address of the library's page."""
    with Library(request.app.state.config.library) as library:
        found = library.page(
            **params.filters(request).arguments(),
            state=params.state(request),
            sort=params.sort(request),
            limit=params.number(request, "limit", 100, MOST_ITEMS),
            offset=params.number(request, "offset", 0, 10_000_000),
        )
    return JSONResponse(
        {"total": found.total, "items": [item_as_json(record) for record in found.records]}
    )


def item(request: Request) -> Response:
    """An item, and its transcript as the json export has it (null when there is none)."""
    with Library(request.app.state.config.library) as library:
        record = params.item(request, library)
        transcript = library.transcript(record.item.key)
    exported = json.loads(to_json(record.item, transcript)) if transcript else None
    return JSONResponse({**item_as_json(record), "transcript": exported})


def search(request: Request) -> Response:
    """{"hits": [...]} for ?q=, best first."""
    with Library(request.app.state.config.library) as library:
        hits = library.search(
            request.query_params.get("q", ""),
            raw=request.query_params.get("raw") == "true",
            **params.filters(request).arguments(),
            limit=params.number(request, "limit", 20, MOST_HITS),
            offset=params.number(request, "offset", 0, 10_000),
        )
    return JSONResponse({"hits": [hit_as_json(hit) for hit in hits]})


def sources(request: Request) -> Response:
    """{"sources": [...]} in the order in which they were added."""
    with Library(request.app.state.config.library) as library:
        records = library.sources()
    return JSONResponse({"sources": [source_as_json(record) for record in records]})


def status(request: Request) -> Response:
    """The library in figures."""
    with Library(request.app.state.config.library) as library:
        waits, spent = library.blocked_sites(), library.spending()
        figures = status_as_json(library.status(), waits, spent)
    return JSONResponse({**figures, "version": __version__})


# --- Work --------------------------------------------------------------------------------------------


def work(request: Request) -> Response:
    """What is being done now."""
    return JSONResponse(_work(request).snapshot())


async def events(request: Request) -> Response:
    """What is being done, whenever it changes, as server-sent events: each is a whole snapshot, so that
    nothing is missed by whoever comes late or comes back.

    https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(request), media_type="text/event-stream", headers=headers)


async def _events(request: Request) -> AsyncIterator[str]:
    yield f"retry: {RECONNECT}\n\n"
    told = ""
    silent = 0.0
    closing = request.app.state.closing
    while not closing.is_set():
        now = json.dumps(await run_in_threadpool(_work(request).snapshot))
        silent += TICK
        if now != told:
            told, silent = now, 0.0
            yield f"event: work\ndata: {now}\n\n"
        elif silent >= ALIVE:
            silent = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(TICK)


async def act(request: Request) -> Response:
    """POST /api/work {"do": ...}: what there is to do stands in ACTIONS. Answers with the snapshot."""
    asked = await _body(request)
    action = ACTIONS.get(_text(asked, "do"))
    if action is None:
        raise UserError(f"There is nothing to do named {asked.get('do')!r}.", f"One of: {KNOWN}.")
    told = await run_in_threadpool(action, _work(request), asked)
    snapshot = await run_in_threadpool(_work(request).snapshot)
    return JSONResponse({**snapshot, **told}, status_code=202)


def _add(work: Work, asked: Mapping[str, Any]) -> dict[str, Any]:
    work.add(_text(asked, "url"))
    return {}


def _run(work: Work, asked: Mapping[str, Any]) -> dict[str, Any]:
    work.run(_keys(asked))
    return {}


def _retry(work: Work, asked: Mapping[str, Any]) -> dict[str, Any]:
    forgotten, began = work.retry(_keys(asked))
    return {"retried": forgotten, "began": began}


def _plainly(method: Callable[[Work], None]) -> Callable[[Work, Mapping[str, Any]], dict[str, Any]]:
    def action(work: Work, asked: Mapping[str, Any]) -> dict[str, Any]:
        method(work)
        return {}

    return action


ACTIONS: dict[str, Callable[[Work, Mapping[str, Any]], dict[str, Any]]] = {
    "add": _add,
    "sync": _plainly(Work.sync),
    "accept": _plainly(Work.accept),
    "keep": _plainly(Work.keep),
    "drop": _plainly(Work.drop),
    "run": _run,
    "cancel-listing": _plainly(lambda work: work.stop("list", "cancelled")),
    "pause": _plainly(lambda work: work.stop("run", "paused")),
    "resume": _plainly(Work.resume),
    "cancel": _plainly(lambda work: work.stop("run", "cancelled")),
    "retry": _retry,
}
KNOWN = ", ".join(ACTIONS)


def _work(request: Request) -> Work:
    work: Work = request.app.state.work
    return work


# --- Corrections -------------------------------------------------------------------------------------


async def correct(request: Request) -> Response:
    """PUT {"text", "was"}: let `text` stand in this line, if it still says `was` (left out: whatever)."""
    sent = await _body(request)
    was = None if sent.get("was") is None else _text(sent, "was")
    text = _text(sent, "text")

    def change(library: Library, key: str, position: int) -> Segment:
        return library.correct(key, position, text, was=was)

    return await run_in_threadpool(_changed, request, change)


async def undo(request: Request) -> Response:
    """DELETE: what stood in this line before its latest correction."""
    return await run_in_threadpool(_changed, request, Library.undo_correction)


def _changed(request: Request, change: Callable[[Library, str, int], Segment]) -> Response:
    """The line after a change, as the page shows it."""
    position = request.path_params["position"]
    with Library(request.app.state.config.library) as library:
        key = params.item(request, library).item.key
        segment = change(library, key, position)
        correction = library.corrections(key).get(position)
    kept = transcript_view.line(position, segment, correction.heard if correction else None)
    return JSONResponse(asdict(kept))


# --- What is sent ------------------------------------------------------------------------------------


async def _body(request: Request) -> Mapping[str, Any]:
    """The JSON object in the body."""
    try:
        sent = json.loads(await request.body() or b"{}")
    except ValueError as error:
        raise UserError("The request's body is not JSON.", "Send an object.") from error
    if not isinstance(sent, dict):
        raise UserError("The request's body is not an object.", 'Send {"do": ...}.')
    return sent


def _text(asked: Mapping[str, Any], name: str) -> str:
    value = asked.get(name, "")
    if not isinstance(value, str):
        raise UserError(f"{name} is not text.", "Send a string.")
    return value


def _keys(asked: Mapping[str, Any]) -> list[str] | None:
    keys = asked.get("keys")
    if keys is None:
        return None
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or not keys:
        raise UserError("keys is not a list of keys.", "Leave it out for all.")
    return keys


ROUTES = [
    Route("/api/items", items),
    Route("/api/items/{key:path}/segments/{position:int}", correct, methods=["PUT"]),
    Route("/api/items/{key:path}/segments/{position:int}", undo, methods=["DELETE"]),
    Route("/api/items/{key:path}", item),
    Route("/api/search", search),
    Route("/api/sources", sources),
    Route("/api/status", status),
    Route("/api/work", work, methods=["GET"]),
    Route("/api/work", act, methods=["POST"]),
    Route("/api/work/events", events),
]
