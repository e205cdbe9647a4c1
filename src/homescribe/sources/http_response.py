"""HTTP responses that can be abandoned within a second.

A thread receives each response and passes it on through a queue. A name lookup or a TLS handshake cannot be
interrupted, but the thread that waits for it can be left behind.
"""

from __future__ import annotations

import contextlib
import http.client
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import requests
import urllib3

from homescribe import __version__
from homescribe.core import SECOND, SourceOptions
from homescribe.errors import Cancelled
from homescribe.sources import POLL_INTERVAL
from homescribe.sources.http_errors import connection_error
from homescribe.sources.least_rate import LeastRate
from homescribe.sources.private_networks import PrivateAddressError, is_local, public_session
from homescribe.text import sanitize

USER_AGENT = f"homescribe/{__version__}"
CONNECT_TIMEOUT = 15 * SECOND
READ_TIMEOUT = 30 * SECOND  # between two chunks of a body
PERMANENT_REDIRECTS = {301, 308}
CHUNK_BYTES = 16 * 1024  # lost at most when a slow download is cancelled
QUEUED_CHUNKS = 64  # received but not read yet


@dataclass(frozen=True, slots=True)
class Access:
    """How requests are made."""

    user_agent: str = USER_AGENT
    private_networks: bool = False  # redirects and host names may lead there

    @classmethod
    def of(cls, options: SourceOptions, given: str) -> Access:
        """Return the access for `given` and what it leads to.

        An address that the user gave may be on a private network, and so may all that it leads to. A public
        one leads to public ones only.
        """
        try:
            local = is_local(urlsplit(given).hostname or "-.invalid")
        except ValueError:
            local = False
        return cls(options.user_agent or USER_AGENT, options.allow_private_networks or local)

    def may_name(self, url: str) -> bool:
        """Whether a document that was read with this access may name `url`, by the form of its host."""
        try:
            return self.private_networks or not is_local(urlsplit(url).hostname or "")
        except ValueError:
            return False


class Head(NamedTuple):
    """The first part of a response."""

    status: int
    headers: Mapping[str, str]
    url: str  # after redirects
    moved_to: str | None  # the same if every redirect was permanent; None without one


class Response:
    """A response whose body the caller reads while a thread receives it. Use `open_url`."""

    def __init__(
        self, url: str, stop: threading.Event, timeout: float | None, access: Access
    ) -> None:
        self.url = url
        self.status = 0
        self.final_url = url
        self.moved_to: str | None = None
        self._access = access
        self._rate = LeastRate(sanitize.public_url(url))
        self.headers: Mapping[str, str] = {}
        self._stop = stop
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._closed = threading.Event()
        self._received: queue.Queue[Head | bytes | Exception] = queue.Queue(QUEUED_CHUNKS)
        self._response: requests.Response | None = None

    def start(self, headers: Mapping[str, str]) -> None:
        """Send the request, and wait for the status and the headers."""
        threading.Thread(target=self._receive, args=(dict(headers),), daemon=True).start()
        head = self._next()
        if isinstance(head, Head):
            self.status, self.headers, self.final_url, self.moved_to = head

    def chunks(self) -> Iterator[bytes]:
        """Yield the body in chunks of at most CHUNK_BYTES."""
        while isinstance(chunk := self._next(), bytes) and chunk:
            yield chunk

    def read(self, limit: int) -> bytes:
        """Return the body; of a longer one, its first `limit` bytes and at most one chunk more."""
        body = bytearray()
        for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                break
        return bytes(body)

    def close(self) -> None:
        """Close the connection, also while the thread waits for it."""
        self._closed.set()
        if self._response is not None:
            # Wakes a thread that is reading; a RuntimeError says that none is.
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                self._response.raw.shutdown()

    def _next(self) -> Head | bytes:
        while True:
            if self._stop.is_set():
                raise Cancelled
            if self._deadline is not None and time.monotonic() > self._deadline:
                raise connection_error(requests.exceptions.Timeout(), self.url)
            began = time.monotonic()
            try:
                received = self._received.get(timeout=POLL_INTERVAL)
            except queue.Empty:
                received = None
            if received != b"":  # not the end
                size = len(received) if isinstance(received, bytes) else 0
                self._rate.add(time.monotonic() - began, size)  # without the seconds of the reader
            if isinstance(received, Exception):
                raise connection_error(received, self.url) from received
            if received is not None:
                return received

    def _receive(self, headers: dict[str, str]) -> None:
        try:
            with (
                requests.Session()
                if self._access.private_networks
                else public_session() as session,
                session.get(
                    self.url,
                    headers={"User-Agent": self._access.user_agent, **headers},
                    stream=True,
                    timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                ) as response,
            ):
                self._response = response
                moved = {one.status_code for one in response.history}
                moved_to = response.url if moved and moved <= PERMANENT_REDIRECTS else None
                head = Head(response.status_code, response.headers, response.url, moved_to)
                wanted = self._put(head)
                body = response.iter_content(CHUNK_BYTES)
                while wanted:
                    chunk = next(body, b"")
                    wanted = self._put(chunk) and bool(chunk)
        except (
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,
            http.client.HTTPException,
            OSError,
            PrivateAddressError,
            ValueError,  # from urllib.parse and the codecs, for a hostile redirection
        ) as error:
            self._put(error)

    def _put(self, received: Head | bytes | Exception) -> bool:
        """Pass `received` to the reader; False when there is none any more."""
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._received.put(received, timeout=POLL_INTERVAL)
                return True
        return False


@contextlib.contextmanager
def open_url(
    url: str,
    stop: threading.Event,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,
    access: Access | None = None,
) -> Iterator[Response]:
    """Request `url` and provide the response, whatever its status.

    Args:
        timeout: seconds for the whole response; None: no limit as long as enough bytes arrive.
        access: how the request is made; None: as for an address that the user gave.
    """
    access = access or Access.of(SourceOptions(cache=Path()), url)
    response = Response(url, stop, timeout, access)
    try:
        response.start(headers or {})
        yield response
    finally:
        response.close()
