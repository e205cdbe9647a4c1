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
from typing import NamedTuple

import requests
import urllib3

from homescribe import __version__
from homescribe.core import SECOND
from homescribe.errors import Cancelled
from homescribe.sources import POLL_INTERVAL
from homescribe.sources.http_errors import connection_error

USER_AGENT = f"homescribe/{__version__}"
CONNECT_TIMEOUT = 15 * SECOND
READ_TIMEOUT = 30 * SECOND  # between two chunks of a body
CHUNK_BYTES = 16 * 1024  # lost at most when a slow download is cancelled
QUEUED_CHUNKS = 64  # received but not read yet


class Head(NamedTuple):
    """The first part of a response."""

    status: int
    headers: Mapping[str, str]


class Response:
    """A response whose body the caller reads while a thread receives it. Use `open_url`."""

    def __init__(self, url: str, stop: threading.Event, timeout: float | None) -> None:
        self.url = url
        self.status = 0
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
            self.status, self.headers = head

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
            try:
                received = self._received.get(timeout=POLL_INTERVAL)
            except queue.Empty:
                if self._deadline is not None and time.monotonic() > self._deadline:
                    raise connection_error(requests.exceptions.Timeout(), self.url) from None
                continue
            if isinstance(received, Exception):
                raise connection_error(received, self.url) from received
            return received

    def _receive(self, headers: dict[str, str]) -> None:
        try:
            with (
                requests.Session() as session,
                session.get(
                    self.url,
                    headers={"User-Agent": USER_AGENT, **headers},
                    stream=True,
                    timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                ) as response,
            ):
                self._response = response
                wanted = self._put(Head(response.status_code, response.headers))
                body = response.iter_content(CHUNK_BYTES)
                while wanted:
                    chunk = next(body, b"")
                    wanted = self._put(chunk) and bool(chunk)
        except (
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,
            http.client.HTTPException,
            OSError,
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
) -> Iterator[Response]:
    """Request `url` and provide the response, whatever its status.

    Args:
        timeout: seconds for the whole response; None: no limit as long as bytes arrive.
    """
    response = Response(url, stop, timeout)
    try:
        response.start(headers or {})
        yield response
    finally:
        response.close()
