"""Who may ask: this machine's own pages and programs, and nobody who was only sent here by another site.

    Host      one of our own names, so that no stranger's domain can be pointed at this machine
    Origin    our own or none: what another site's page sends is refused, reads too
    writes    same-origin proof from the browser (Origin or Sec-Fetch-Site), or the token of this start
    token     with any other address than loopback, every request needs it

Every answer carries a Content-Security-Policy under which markup from a title could not run anyway.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from urllib.parse import quote, urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "homescribe"
READS = frozenset({"GET", "HEAD"})
# Handing over audio to have it transcribed changes nothing here, and OpenAI's clients know no token of ours.
FREE_PREFIX = "/v1/"
MOST_BYTES = 1_000_000  # of a request's body; FREE_PREFIX takes recordings
MOST_AUDIO_BYTES = 2_000_000_000

PLAYER = "https://www.youtube-nocookie.com"
HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "media-src 'self'",
            "connect-src 'self'",
            f"frame-src {PLAYER}",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def is_loopback(host: str) -> bool:
    """Whether an address to bind to is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """Lets a request through to `app` or answers it with a refusal.

    Args:
        token: of this start.
        private: every request needs the token, because other machines can reach us.
        host: the address that we are bound to, allowed as a Host.
    """

    def __init__(self, app: ASGIApp, *, token: str, private: bool, host: str) -> None:
        self._app = app
        self._token = token
        self._private = private
        self._names = {"localhost", host.lower()}
        if private:
            name = socket.gethostname().lower()
            self._names |= {name, f"{name}.local", name.partition(".")[0]}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no web socket is ours
            return
        request = Request(scope)
        answer = self._answer(request)
        if answer is not None:
            await answer(scope, receive, _with_headers(send))
            return
        await self._app(scope, _bounded(receive, _limit(request)), _with_headers(send))

    def _answer(self, request: Request) -> Response | None:
        """The refusal of a request, or None when it may go on."""
        if not self._is_ours(_host(request)):
            return _refusal(request, 421, "This address is not homescribe's.")
        if not _is_same_origin(request, absent=True):
            return _refusal(request, 403, "Pages of other sites may not ask homescribe.")
        if int(request.headers.get("content-length") or 0) > _limit(request):
            return _refusal(request, 413, "That is too large.")
        known = self._knows_token(request)
        if self._private and not known:
            given = request.query_params.get("token", "")
            if request.method == "GET" and self._matches(given):
                return self._welcome(request)
            return _refusal(request, 401, "Open the address that `homescribe serve` printed.")
        free = request.method in READS or request.scope["path"].startswith(FREE_PREFIX)
        if not (free or known or _is_same_origin(request, absent=False)):
            return _refusal(request, 403, "Send the token that `homescribe serve` printed.")
        return None

    def _is_ours(self, host: str | None) -> bool:
        """A name of ours, or a number: only names can be pointed here by a stranger."""
        if host is None:
            return False
        if host in self._names:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return self._private or address.is_loopback

    def _matches(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._token.encode())

    def _knows_token(self, request: Request) -> bool:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = (
            bearer if scheme.lower() == "bearer" else "",
            request.cookies.get(COOKIE, "") if self._private else "",
        )
        return any(self._matches(text) for text in given)

    def _welcome(self, request: Request) -> Response:
        """The same page without the token in its address, which the browser now keeps as a cookie."""
        rest = [pair for pair in request.query_params.multi_items() if pair[0] != "token"]
        query = f"?{urlencode(rest)}" if rest else ""
        path = quote(request.scope["path"])
        answer = RedirectResponse(f"{path}{query}", status_code=303)
        answer.set_cookie(COOKIE, self._token, httponly=True, samesite="lax")
        return answer


def _host(request: Request) -> str | None:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:  # "[" without its end
        return None


def _is_same_origin(request: Request, *, absent: bool) -> bool:
    """Whether the browser says that our own page asks; `absent` is the answer when it says nothing, as
    programs do. A link on another site may lead here: it only opens a page.
    """
    origin = request.headers.get("origin")
    if origin is not None:
        return origin == f"{request.scope['scheme']}://{request.headers.get('host', '')}"
    site = request.headers.get("sec-fetch-site")
    if site is None:
        return absent
    followed = request.headers.get("sec-fetch-mode") == "navigate" and request.method in READS
    own = ("same-origin", "none") if absent else ("same-origin",)
    return site in own or (
        absent and followed and request.headers.get("sec-fetch-dest") != "iframe"
    )


def _limit(request: Request) -> int:
    return MOST_AUDIO_BYTES if request.scope["path"].startswith(FREE_PREFIX) else MOST_BYTES


def _refusal(request: Request, status: int, message: str) -> Response:
    if request.scope["path"].startswith(("/api", FREE_PREFIX)):
        return JSONResponse({"error": {"message": message, "hint": ""}}, status_code=status)
    return PlainTextResponse(f"{message}\n", status_code=status)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sending


def _bounded(receive: Receive, most: int) -> Receive:
    """`receive` that ends a body without a Content-Length once it is longer than `most` bytes."""
    left = most

    async def receiving() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        return message if left >= 0 else {"type": "http.disconnect"}

    return receiving
