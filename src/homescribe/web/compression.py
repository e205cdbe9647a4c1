"""Pages, scripts, style sheets and JSON are sent compressed with gzip to those who accept it.

Event streams are not, because their events would wait for more text; recordings and archives are not, because
they are compressed already, and because parts of recordings are requested by their position.

The size of a compressed body tells how much of a reflected text is in the rest of it, which is how BREACH
(https://www.breachattack.com) finds secrets that pages contain. Two things keep it out: no body contains the
token, and a request that a page of another site causes, as an attacker needs by the thousand, is answered
without compression. Browsers name such requests in Sec-Fetch-Site. They do so for HTTPS and for this machine;
elsewhere the connection is not encrypted, and its reader needs no such attack.
"""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TYPES = frozenset({"application/json", "image/svg+xml", "text/css", "text/html", "text/javascript"})
MIN_BYTES = 500  # a smaller body grows, or fits into the same packet
THREAD_BYTES = 100_000  # from which compressing takes so long that other requests should not wait
LEVEL = 5  # 200 kB of a page take 1 ms; level 9 takes three times as long and saves 4 % more
BEST_LEVEL = 9
YEAR = 365 * 24 * 3600  # seconds


def accepts_gzip(scope: Scope) -> bool:
    """Whether the response to a request may be compressed: see above."""
    headers = Headers(scope=scope)
    if headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return False
    for each in headers.get("accept-encoding", "").split(","):
        name, _, quality = each.partition(";")
        if name.strip().lower() == "gzip":
            return quality.replace(" ", "").lower() not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


class CompressionMiddleware:
    """Compresses responses of TYPES that `app` sends in one piece."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        accepts = accepts_gzip(scope)
        held: Message | None = None  # the start of a response whose body is awaited

        async def wrapped(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_compressible(message):
                MutableHeaders(scope=message).add_vary_header("Accept-Encoding")
                if accepts:
                    held = message
                    return
            elif held is not None:
                start, held = held, None
                body: bytes = message.get("body", b"")
                if len(body) >= MIN_BYTES and not message.get("more_body"):
                    body = await _compressed(body)
                    headers = MutableHeaders(scope=start)
                    headers["Content-Encoding"] = "gzip"
                    headers["Content-Length"] = str(len(body))
                    message = {**message, "body": body}
                await send(start)
            await send(message)

        await self._app(scope, receive, wrapped)


def _is_compressible(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    kind = headers.get("content-type", "").partition(";")[0]
    return start["status"] not in (206, 304) and kind in TYPES and "content-encoding" not in headers


async def _compressed(body: bytes) -> bytes:
    if len(body) < THREAD_BYTES:
        return gzip.compress(body, LEVEL, mtime=0)
    return await run_in_threadpool(gzip.compress, body, LEVEL, mtime=0)


class CompressedStaticFiles(StaticFiles):
    """Static files, compressed once and cached for good: their addresses contain a version (jinja.static)."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        in_parts = "range" in Headers(scope=scope)
        if isinstance(response, FileResponse) and not in_parts and accepts_gzip(scope):
            response = Response(
                _compressed_file(Path(response.path)),
                media_type=response.media_type,
                headers={"Content-Encoding": "gzip", "Vary": "Accept-Encoding"},
            )
        response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable"
        return response


@cache
def _compressed_file(path: Path) -> bytes:
    return gzip.compress(path.read_bytes(), BEST_LEVEL, mtime=0)
