"""The JSON API under /api: the library, the queue and corrections. Documented in docs/reference/api.md.

On this machine, reading needs no token; writing needs either the token (Authorization: Bearer) or a request
from the web interface itself: see security.py. Errors are {"error": {"message", "hint"}}.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict
from typing import TypedDict

from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from homescribe import __version__
from homescribe.assemble import open_library
from homescribe.core import Segment
from homescribe.errors import UserError
from homescribe.formats.whisper import as_object
from homescribe.library import Library
from homescribe.library.as_json import hit_as_json, item_as_json, source_as_json, status_as_json
from homescribe.library.search import number_of
from homescribe.web import again, params, transcript_view
from homescribe.web.jobs import Jobs
from homescribe.web.json_body import json_object, keys, optional_string, required_string
from homescribe.web.json_response import JSONResponse
from homescribe.web.snapshot import Snapshot

MAX_ITEMS = 1000  # in one response
MAX_HITS = 200
MAX_POSITION = 2**31  # more than any transcript has segments; SQLite's numbers end at 2**63

POLL_INTERVAL = 0.4  # seconds between two snapshots for an open event stream
KEEPALIVE_INTERVAL = (
    15.0  # seconds without an event after which a comment keeps the connection open
)
RECONNECT_DELAY = 1000  # milliseconds that a browser waits before it reconnects

# --- Reading -----------------------------------------------------------------------------------------


def items(request: Request) -> Response:
    """{"total", "items": [...]}, with the query parameters of the library page."""
    with open_library(request.app.state.config) as library:
        page = library.page(
            **params.listed(request),
            limit=params.number(request, "limit", 100, MAX_ITEMS),
            offset=params.number(request, "offset", 0, 10_000_000),
        )
    return JSONResponse(
        {"total": page.total, "items": [item_as_json(record) for record in page.records]}
    )


def item(request: Request) -> Response:
    """One item, with its transcript in the format of the json export (null without a transcript)."""
    with open_library(request.app.state.config) as library:
        record = params.item(request, library)
        transcript = library.transcript(record.item.key)
    exported = as_object(record.item, transcript) if transcript else None
    return JSONResponse({**item_as_json(record), "transcript": exported})


def search(request: Request) -> Response:
    """{"hits": [...], "total", "recordings", "exact", "did_you_mean"} for ?q=, best first, or ?sort=date."""
    query = request.query_params.get("q", "")
    raw = request.query_params.get("raw") == "true"
    speaker = params.speaker(request)
    filters = params.filters(request).arguments()
    limit = params.number(request, "limit", 20, MAX_HITS)
    offset = params.number(request, "offset", 0, 10_000)
    with open_library(request.app.state.config) as library:
        hits = library.search(
            query,
            speaker=speaker,
            raw=raw,
            order=params.order(request),
            **filters,
            limit=limit,
            offset=offset,
        )
        if offset or len(hits) == limit:
            found = library.count_hits(query, speaker=speaker, raw=raw, **filters)
        else:
            found = number_of(hits, limit)
        meant = None if hits or raw else library.did_you_mean(query)
    return JSONResponse(
        {
            "hits": [hit_as_json(hit) for hit in hits],
            "total": found.hits,
            "recordings": found.recordings,
            "exact": found.exact,
            "did_you_mean": meant,
        }
    )


def sources(request: Request) -> Response:
    """{"sources": [...]}, oldest first."""
    with open_library(request.app.state.config) as library:
        records = library.sources()
    return JSONResponse({"sources": [source_as_json(record) for record in records]})


def status(request: Request) -> Response:
    """Totals of the library, as `homescribe status --json`, and the version of homescribe."""
    with open_library(request.app.state.config) as library:
        waits, spending = library.blocked_sites(), library.spending()
        measured, kept = library.measured("ray"), library.audio.total()
        captions, refused = library.caption_figures(), library.blocked_captions()
        totals = status_as_json(
            library.status(), waits, spending, measured, kept, captions, refused
        )
    return JSONResponse({**totals, "version": __version__})


def preview_again(request: Request) -> Response:
    """What transcribing ?key= again would change, with ?model= and ?language= (empty: detect it)."""
    query = request.query_params
    config = request.app.state.config
    with open_library(config) as library:
        key = library.item(query.get("key", "")).item.key
        chosen = again.settings(config, library, key, query.get("model"), query.get("language"))
        return JSONResponse(again.preview(chosen, library, key))


# --- Queue -------------------------------------------------------------------------------------------


def queue(request: Request) -> Response:
    """The snapshot of the queue."""
    return JSONResponse(_snapshot(request))


async def events(request: Request) -> Response:
    """A snapshot whenever the queue changes, as server-sent events.

    https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(request), media_type="text/event-stream", headers=headers)


async def _events(request: Request) -> AsyncIterator[str]:
    yield f"retry: {RECONNECT_DELAY}\n\n"
    sent = ""
    silent = 0.0  # seconds since the last message
    closing = request.app.state.closing
    while not closing.is_set():
        current = json.dumps(await run_in_threadpool(_snapshot, request))
        silent += POLL_INTERVAL
        if current != sent:
            sent, silent = current, 0.0
            yield f"event: queue\ndata: {current}\n\n"
        elif silent >= KEEPALIVE_INTERVAL:
            silent = 0.0
            yield ": keep-alive\n\n"
        await asyncio.sleep(POLL_INTERVAL)


async def act(request: Request) -> Response:
    """POST {"action": ...}: one of ACTIONS. Returns the snapshot."""
    body = await json_object(request)
    action = ACTIONS.get(required_string(body, "action"))
    if action is None:
        raise UserError(
            f"Unknown action {body.get('action')!r}.", f"Known actions: {', '.join(ACTIONS)}."
        )
    result = await run_in_threadpool(action, request.app.state.jobs, body)
    snapshot = await run_in_threadpool(_snapshot, request)
    return JSONResponse({**snapshot, **(result or {})}, status_code=202)


class RetryResult(TypedDict):
    """What "retry" adds to the snapshot."""

    retried: int  # failures that were forgotten
    started: bool  # whether a run was started


class EnqueueResult(TypedDict):
    """What "enqueue" adds to the snapshot."""

    queued: bool  # whether the items are transcribed now or after the present run


Body = Mapping[str, object]
Action = Callable[[Jobs, Body], RetryResult | EnqueueResult | None]


def _add(jobs: Jobs, body: Body) -> None:
    jobs.add(required_string(body, "url"))


def _run(jobs: Jobs, body: Body) -> None:
    jobs.transcribe(keys(body))


def _enqueue(jobs: Jobs, body: Body) -> EnqueueResult:
    return {"queued": jobs.enqueue(keys(body) or [])}


def _retry(jobs: Jobs, body: Body) -> RetryResult:
    retried, started = jobs.retry(keys(body))
    return {"retried": retried, "started": started}


def _again(jobs: Jobs, body: Body) -> None:
    if chosen := keys(body):
        jobs.again_all(chosen)
        return
    jobs.again(
        required_string(body, "key"),
        optional_string(body, "model"),
        optional_string(body, "language"),
    )


def _speakers(jobs: Jobs, body: Body) -> None:
    jobs.find_speakers(required_string(body, "key"), optional_string(body, "speakers"))


def _without_arguments(method: Callable[[Jobs], None]) -> Action:
    def action(jobs: Jobs, body: Body) -> None:
        method(jobs)

    return action


ACTIONS: dict[str, Action] = {
    "add": _add,
    "sync": _without_arguments(Jobs.sync),
    "accept": _without_arguments(Jobs.accept),
    "keep": _without_arguments(Jobs.keep),
    "drop": _without_arguments(Jobs.drop),
    "run": _run,
    "enqueue": _enqueue,
    "again": _again,
    "speakers": _speakers,
    "cancel-listing": _without_arguments(Jobs.cancel_listing),
    "pause": _without_arguments(Jobs.pause),
    "resume": _without_arguments(Jobs.resume),
    "cancel": _without_arguments(Jobs.cancel),
    "retry": _retry,
}


def _snapshot(request: Request) -> Snapshot:
    snapshot: Snapshot = request.app.state.snapshots.take()
    return snapshot


# --- Corrections -------------------------------------------------------------------------------------


async def correct(request: Request) -> Response:
    """PUT {"text", "expected"}: replace the text of a segment, if it still is `expected` (optional)."""
    body = await json_object(request)
    expected = optional_string(body, "expected")
    text = required_string(body, "text")

    def change(library: Library, key: str, position: int) -> Segment:
        return library.correct(key, position, text, was=expected)

    return await run_in_threadpool(_changed_line, request, change)


async def undo(request: Request) -> Response:
    """DELETE: undo the latest correction of a segment."""
    return await run_in_threadpool(_changed_line, request, Library.undo_correction)


def _changed_line(request: Request, change: Callable[[Library, str, int], Segment]) -> Response:
    """Apply `change` to a segment and return its new line."""
    position = request.path_params["position"]
    if position >= MAX_POSITION:
        raise HTTPException(404, f"There is no segment {position}.")
    with open_library(request.app.state.config) as library:
        key = params.item(request, library).item.key
        segment = change(library, key, position)
        correction = library.corrections(key).get(position)
    line = transcript_view.line(position, segment, correction.original if correction else None)
    return JSONResponse(asdict(line))


class _SegmentConvertor(Convertor[int]):
    """A number of at most 18 digits. Starlette's own convertor fails for one of thousands of digits."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("segment", _SegmentConvertor())

ROUTES = [
    Route("/api/items", items),
    Route("/api/items/{key:path}/segments/{position:segment}", correct, methods=["PUT"]),
    Route("/api/items/{key:path}/segments/{position:segment}", undo, methods=["DELETE"]),
    Route("/api/items/{key:path}", item),
    Route("/api/search", search),
    Route("/api/again", preview_again),
    Route("/api/sources", sources),
    Route("/api/status", status),
    Route("/api/queue", queue, methods=["GET"]),
    Route("/api/queue", act, methods=["POST"]),
    Route("/api/queue/events", events),
]
