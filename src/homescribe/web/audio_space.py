"""The JSON API of the audio that the library keeps. Documented in docs/reference/api.md."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from homescribe.assemble import BYTES_PER_GIGABYTE, audio_limit, open_library
from homescribe.errors import UserError
from homescribe.library.as_json import kept_audio_as_json
from homescribe.text.amounts_of_data import in_gigabytes
from homescribe.text.display import count, size
from homescribe.web import params
from homescribe.web.json_body import flag, json_object
from homescribe.web.json_response import JSONResponse


def kept(request: Request) -> Response:
    """{"files", "bytes", "limit", "items"}: all kept audio, the oldest first."""
    config = request.app.state.config
    with open_library(config) as library:
        found = library.audio.records()
    return JSONResponse(
        {
            "files": len(found),
            "bytes": sum(one.bytes for one in found),
            "limit": audio_limit(config),
            "items": [kept_audio_as_json(one) for one in found],
        }
    )


async def prune(request: Request) -> Response:
    """POST {"limit", "remove"}: what is above the limit, the oldest first; with `remove`, remove it."""
    return await run_in_threadpool(_prune, request, await json_object(request))


def _prune(request: Request, body: Mapping[str, object]) -> Response:
    amount = in_gigabytes(str(body.get("limit", "")))
    if amount is None:
        raise UserError("limit is not an amount of data.", 'Write "5 GB" or "500 MB".')
    remove_now = flag(body, "remove")
    with open_library(request.app.state.config) as library:
        over = library.audio.over(round(amount * BYTES_PER_GIGABYTE))
        if remove_now:
            library.audio.remove([one.key for one in over])
    total = sum(one.bytes for one in over)
    text = f"That is the audio of {count(len(over), 'recording')}, {size(total)}."
    return JSONResponse({"files": len(over), "bytes": total, "text": text})


async def remove(request: Request) -> Response:
    """DELETE: remove the kept audio of an item. Returns {"bytes"}, 0 if there was none."""
    return await run_in_threadpool(_remove, request)


def _remove(request: Request) -> Response:
    with open_library(request.app.state.config) as library:
        key = params.item(request, library).item.key
        return JSONResponse({"bytes": library.audio.remove([key])})


ROUTES = [
    Route("/api/audio", kept, methods=["GET"]),
    Route("/api/audio", prune, methods=["POST"]),
    Route("/api/items/{key:path}/audio", remove, methods=["DELETE"]),
]
