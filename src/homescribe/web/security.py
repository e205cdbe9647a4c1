"""Protection against other sites, other hosts and other machines.

    Host      must name this server, so that a stranger's domain cannot be pointed at it (DNS rebinding). A
              page at such a domain does not know the token, so a request that has it passes with any name
    Origin    must be this server, one of `--allow-origin`, or absent: requests from other sites' pages are
              refused, reads too
    writes    need the token of this start. Another account on this machine can send any header, Origin and
              Sec-Fetch-Site too, but does not know the token. The page gets it from the address that
              `homescribe serve` opens, in the fragment, which is not sent to any server
    token     is required for every request when the server listens on any address but loopback, except for
              /health, which says nothing about the library

Every response carries a Content-Security-Policy that allows no inline script, so markup in a title cannot run
even if it were not escaped.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Callable, Collection
from urllib.parse import quote, urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from homescribe.web.openai_errors import openai_error
from homescribe.web.partial_uploads import MAX_FILE_BYTES
from homescribe.web.slow_bodies import limit_waiting

COOKIE = "homescribe"
HAS_TOKEN = "homescribe.has_token"  # in a scope
TOKEN_MISSING = (
    "Changes need the token of this start: open the address that `homescribe serve` printed, or send the "
    "token set by --token or HOMESCRIBE_TOKEN."
)
TOKEN_REQUIRED = (
    "The token is missing: it is in the address that `homescribe serve` printed, or you have set it with "
    "--token or HOMESCRIBE_TOKEN and add ?token=... to the address."
)
HOST_HINT = "Send the token, or start homescribe serve with --allow-host NAME."
SAFE_METHODS = frozenset({"GET", "HEAD"})
HEALTH = "/health"
# The OpenAI endpoint changes nothing in the library, and OpenAI's clients send their own key as the token.
OPENAI_PREFIX = "/v1/"
MAX_LENGTH_DIGITS = 18  # of a Content-Length
MAX_BODY_BYTES = 1_000_000
MAX_UPLOAD_BYTES = 2_000_000_000  # for recordings, under OPENAI_PREFIX
UPLOADS_PREFIX = "/api/uploads/"  # whose bodies are written to the disk as they arrive

YOUTUBE_PLAYER = "https://www.youtube-nocookie.com"
HEADERS = {
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "media-src 'self'",
            "connect-src 'self'",
            f"frame-src {YOUTUBE_PLAYER}",
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


# Headers that a page of an allowed origin may send and read, beside those that every page may.
REQUEST_HEADERS = (
    "Authorization, Content-Type, Range, Tus-Resumable, Upload-Length, Upload-Metadata, "
    "Upload-Offset"
)
RESPONSE_HEADERS = (
    "Content-Disposition, Content-Range, Location, Retry-After, Tus-Resumable, Upload-Expires, Upload-Item, "
    "Upload-Length, Upload-New, Upload-Offset, Upload-Transcribing, Upload-Warning"
)
PREFLIGHT_SECONDS = 600  # for which a browser remembers what is allowed


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def has_token(request: Request) -> bool:
    """Whether `request`, which the middleware below has passed, has the token of this server."""
    return bool(request.scope.get(HAS_TOKEN))


class SecurityMiddleware:
    """Passes a request on to `app` or refuses it.

    Args:
        token: the token of this server.
        token_required: every request needs the token, because other machines can reach the server.
        host: the address that the server listens on; it is allowed as a Host.
        hosts: other names that are allowed as a Host without the token.
        origins: other sites ("https://notes.example") whose pages may send requests and read the answers.
        knows: whether `app` has an address for a scope.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str,
        token_required: bool,
        host: str,
        hosts: Collection[str] = (),
        origins: Collection[str] = (),
        knows: Callable[[Scope], bool] = lambda scope: True,
    ) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._knows = knows
        self._token = token
        self._token_required = token_required
        self._names = {"localhost", host.lower(), *(name.lower() for name in hosts)}
        if token_required:
            name = socket.gethostname().lower()
            self._names |= {name, f"{name}.local", name.partition(".")[0]}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets
            return
        request = Request(scope)
        scope[HAS_TOKEN] = self._has_token(request)
        origin = request.headers.get("origin", "")
        send = _add_headers(send, origin if origin in self._origins else "")
        response = self._refuse(request) or self._preflight(request)
        if response is not None:
            await response(scope, receive, send)
            return
        limited = _limit_body(limit_waiting(receive), _max_bytes(request))
        await self._app(scope, limited, send)

    def _preflight(self, request: Request) -> Response | None:
        """The answer to a browser that asks what a page of another origin may send; None for a request.

        https://fetch.spec.whatwg.org/#cors-preflight-fetch
        """
        if not (request.headers.get("origin") in self._origins and _asks_before(request)):
            return None
        headers = {
            "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
            "Access-Control-Allow-Headers": REQUEST_HEADERS,
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
        }
        return Response(status_code=204, headers=headers)

    def _refuse(self, request: Request) -> Response | None:
        """The response to a request that may not pass; None for one that may."""
        token_given = has_token(request)
        given = request.query_params.get("token", "")
        opens = self._token_required and request.method == "GET" and self._is_token(given)
        if not (token_given or opens or self._is_allowed_host(_host(request))):
            return _refusal(request, 421, f"Unknown host name. {HOST_HINT}")
        is_allowed = request.headers.get("origin") in self._origins
        if not (is_allowed or _is_same_origin(request)):
            return _refusal(request, 403, "Requests from other sites are refused.")
        if is_allowed and _asks_before(request):
            return None
        length = request.headers.get("content-length") or "0"
        if not (length.isascii() and length.isdigit()) or len(length) > MAX_LENGTH_DIGITS:
            return _refusal(request, 400, "The Content-Length is not a number.")
        if int(length) > _max_bytes(request) and self._knows(request.scope):
            return _refusal(request, 413, "The request body is too large.")
        if self._token_required and not token_given and request.scope["path"] != HEALTH:
            return self._set_cookie(request) if opens else _refusal(request, 401, TOKEN_REQUIRED)
        needs_no_proof = request.method in SAFE_METHODS or request.scope["path"].startswith(
            OPENAI_PREFIX
        )
        if not (needs_no_proof or token_given):
            return _refusal(request, 403, TOKEN_MISSING)
        return None

    def _is_allowed_host(self, host: str | None) -> bool:
        """Whether `host` is a name of this server or an IP address: a stranger can only point names here."""
        if host is None:
            return False
        if host in self._names:
            return True
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        return self._token_required or address.is_loopback

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self._token.encode())

    def _has_token(self, request: Request) -> bool:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = (
            bearer if scheme.lower() == "bearer" else "",
            request.cookies.get(COOKIE, "") if self._token_required else "",
        )
        return any(self._is_token(text) for text in given)

    def _set_cookie(self, request: Request) -> Response:
        """Redirect to the same page without the token in its address, and keep the token in a cookie."""
        rest = [pair for pair in request.query_params.multi_items() if pair[0] != "token"]
        query = f"?{urlencode(rest)}" if rest else ""
        path = quote(request.scope["path"])
        response = RedirectResponse(f"{path}{query}", status_code=303)
        response.set_cookie(COOKIE, self._token, httponly=True, samesite="lax")
        return response


def _asks_before(request: Request) -> bool:
    """Whether a browser asks for permission before it sends the request of a page."""
    return request.method == "OPTIONS" and "access-control-request-method" in request.headers


def _host(request: Request) -> str | None:
    try:
        return urlsplit(f"//{request.headers.get('host', '')}").hostname
    except ValueError:  # an unclosed "["
        return None


def _is_same_origin(request: Request) -> bool:
    """Whether the request comes from one of our pages, as far as a browser says so; programs do not.

    A link on another site may open a page here.
    """
    origin = request.headers.get("origin")
    if origin is not None:
        return origin == f"{request.scope['scheme']}://{request.headers.get('host', '')}"
    site = request.headers.get("sec-fetch-site")
    if site is None:
        return True
    navigates = (
        request.headers.get("sec-fetch-mode") == "navigate" and request.method in SAFE_METHODS
    )
    return site in ("same-origin", "none") or (
        navigates and request.headers.get("sec-fetch-dest") != "iframe"
    )


def _max_bytes(request: Request) -> int:
    path = request.scope["path"]
    if path.startswith(UPLOADS_PREFIX) and request.method == "PATCH":
        return MAX_FILE_BYTES
    return MAX_UPLOAD_BYTES if path.startswith(OPENAI_PREFIX) else MAX_BODY_BYTES


def _refusal(request: Request, status: int, message: str) -> Response:
    if request.scope["path"].startswith(OPENAI_PREFIX):
        return JSONResponse({"error": openai_error(status, message)}, status_code=status)
    if request.scope["path"].startswith("/api"):
        return JSONResponse({"error": {"message": message, "hint": ""}}, status_code=status)
    return PlainTextResponse(f"{message}\n", status_code=status)


def _add_headers(send: Send, origin: str) -> Send:
    """`send` that adds HEADERS to the response, and lets pages of `origin` read it."""

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            if origin:
                headers["Access-Control-Allow-Origin"] = origin
                headers["Access-Control-Expose-Headers"] = RESPONSE_HEADERS
                headers["Cross-Origin-Resource-Policy"] = "cross-origin"
                headers.add_vary_header("Origin")
        await send(message)

    return wrapped


def _limit_body(receive: Receive, maximum: int) -> Receive:
    """`receive` that disconnects after `maximum` bytes of a body without a Content-Length."""
    left = maximum

    async def wrapped() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        return message if left >= 0 else {"type": "http.disconnect"}

    return wrapped
