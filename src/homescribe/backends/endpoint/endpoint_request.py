"""One POST request with a part of a recording, and its response. No redirect is followed.

A thread makes the request, because neither a name lookup nor a slow response can be interrupted otherwise.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event

import requests
import urllib3
from requests.auth import AuthBase

from homescribe import __version__
from homescribe.core import SECOND
from homescribe.errors import Cancelled
from homescribe.text.sanitize import public_message

USER_AGENT = f"homescribe/{__version__}"
CONNECT_TIMEOUT = 15 * SECOND
TICK = 0.1 * SECOND
CHUNK_BYTES = 16 * 1024
# Ten minutes of fast speech with words, tokens and figures are about 1 MB.
MOST_RESPONSE = 32_000_000  # bytes


@dataclass(frozen=True, slots=True)
class SpeechUpload:
    """What is sent: a file, and the fields of the form beside it."""

    content: bytes
    name: str  # services tell the format by its ending
    media_type: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A complete response, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class NoReply(Exception):
    """There is no complete response. `sent`: the service may have had the request, and may bill it."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.message = message
        self.sent = sent


class ApiKey(AuthBase):
    """Adds the key as a bearer token. Without it, requests would look into ~/.netrc."""

    def __init__(self, key: str | None) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request


@dataclass(slots=True)
class _Exchange:
    """What the thread of a request has received."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    error: Exception | None = None
    done: Event = field(default_factory=Event)
    response: requests.Response | None = None

    def close(self) -> None:
        """Wake the thread while it reads; a RuntimeError says that it does not."""
        if self.response is not None:
            with suppress(OSError, ValueError, RuntimeError):
                self.response.raw.shutdown()


def send(
    url: str, upload: SpeechUpload, key: str | None, timeout: float, abandon: Event
) -> HttpReply:
    """Send `upload` and return the response.

    Args:
        timeout: seconds for the whole response.
        abandon: set it to stop waiting.

    Raises NoReply, and Cancelled soon after `abandon` is set.
    """
    exchange = _Exchange()
    thread = threading.Thread(
        target=_perform, args=(exchange, url, upload, key, timeout), name="endpoint", daemon=True
    )
    thread.start()
    deadline = time.monotonic() + timeout
    try:
        while not exchange.done.wait(TICK):
            if abandon.is_set():
                raise Cancelled
            if time.monotonic() > deadline:
                raise NoReply(f"no complete answer within {timeout:.0f} seconds", sent=True)
            if len(exchange.body) > MOST_RESPONSE:
                break
    finally:
        exchange.close()
    if len(exchange.body) > MOST_RESPONSE:
        raise NoReply(f"an answer of more than {MOST_RESPONSE // 10**6} MB", sent=True)
    if exchange.error is not None:
        raise _no_reply(exchange.error) from exchange.error
    return HttpReply(exchange.status, exchange.headers, bytes(exchange.body))


def _perform(
    exchange: _Exchange, url: str, upload: SpeechUpload, key: str | None, timeout: float
) -> None:
    form: Sequence[tuple[str, str]] = upload.fields
    session = requests.Session()
    # A proxy would get unencrypted audio, and the key, for a host that nobody named.
    session.trust_env = not url.lower().startswith("http:")
    try:
        with (
            session,
            session.post(
                url,
                data=form,
                files={"file": (upload.name, upload.content, upload.media_type)},
                headers={"User-Agent": USER_AGENT, "Accept": "application/json"},
                auth=ApiKey(key),
                timeout=(CONNECT_TIMEOUT, timeout),
                allow_redirects=False,
                stream=True,
            ) as response,
        ):
            exchange.response = response
            exchange.status, exchange.headers = response.status_code, response.headers
            for chunk in response.iter_content(CHUNK_BYTES):
                exchange.body += chunk
                if len(exchange.body) > MOST_RESPONSE:
                    break
    except (
        requests.exceptions.RequestException,
        urllib3.exceptions.HTTPError,
        http.client.HTTPException,
        OSError,
        ValueError,  # of a host that is none
    ) as error:
        exchange.error = error
    finally:
        exchange.done.set()


NOT_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.ConnectTimeoutError,
    urllib3.exceptions.SSLError,
    urllib3.exceptions.ProxyError,
    requests.exceptions.ConnectTimeout,
    requests.exceptions.SSLError,
    requests.exceptions.ProxyError,
    requests.exceptions.InvalidURL,
    requests.exceptions.InvalidSchema,
)


def _no_reply(error: Exception) -> NoReply:
    """Return what an exception of a request means, in the words of its innermost cause."""
    causes: list[BaseException] = [error]
    for _ in range(8):
        last = causes[-1]
        candidates = (getattr(last, "reason", None), *last.args)
        inner = next((one for one in candidates if isinstance(one, BaseException)), None)
        if inner is None:
            break
        causes.append(inner)
    sent = not any(isinstance(cause, NOT_SENT) for cause in causes)
    innermost = causes[-1]
    words = public_message(
        str(getattr(innermost, "strerror", None) or innermost) or type(innermost).__name__
    )
    if isinstance(error, requests.exceptions.ReadTimeout):
        words = "no answer in time"
    return NoReply(words, sent=sent)
