"""Plain HTTP for feeds and enclosures: bounded, resumed, and over within a second of `stop`.

The talking is done by a thread of its own that hands over what it receives: a name look-up or a handshake
cannot be interrupted, but it can be left behind. What an error or a status means is decided in one place
each, `reaction` and `refusal`.
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import json
import queue
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import requests
import urllib3

from homescribe import __version__
from homescribe.core import HOUR, SECOND
from homescribe.errors import (
    Cancelled,
    HomescribeError,
    PermanentError,
    RetryableError,
    SourceBlocked,
    UserError,
)
from homescribe.text import sanitize

USER_AGENT = f"homescribe/{__version__}"
CONNECT = 15 * SECOND
SILENCE = 30 * SECOND  # between two pieces of a body
TICK = 0.05  # seconds between two looks at `stop`
CHUNK = 16 * 1024  # bytes; what a cancelled slow download may lose
AHEAD = 64  # chunks that may wait for the disk
TRIES = 4  # connections in a row that break without bringing anything
DAY = 24 * HOUR


# --- What an error means -------------------------------------------------------------------------


def reaction(error: Exception, url: str) -> HomescribeError:
    """What follows when `url` could not be asked or its answer broke off."""
    where = sanitize.public_url(url)
    if isinstance(error, ValueError):  # InvalidURL, InvalidSchema, UnicodeError, ...
        return PermanentError(f"{where} leads to no web address that can be opened.")
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return PermanentError(f"{where} redirects without end.")
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return RetryableError(f"{where}: the connection is not secure ({_reason(error)}).")
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.TimeoutError):
        return RetryableError(f"{where} does not answer.", "Check the network.")
    return RetryableError(
        f"{where}: the connection failed ({_reason(error)}).", "Check the network."
    )


def _reason(error: BaseException) -> str:
    """The innermost cause in words: those around it repeat addresses."""
    inner: Any = error
    for _ in range(8):
        below = getattr(inner, "reason", None) or next(
            (one for one in getattr(inner, "args", ()) if isinstance(one, BaseException)), None
        )
        if not isinstance(below, BaseException):
            break
        inner = below
    words = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return sanitize.public_message(words)


def refusal(status: int, headers: Mapping[str, str], url: str) -> HomescribeError:
    """What follows from an HTTP status that is no success."""
    where = sanitize.public_url(url)
    wait = retry_after(headers.get("Retry-After"))
    if status == 429:
        return SourceBlocked(f"{where}: too many requests (HTTP 429).", "", wait or HOUR)
    if status in (404, 410, 451):
        return PermanentError(f"{where} is gone (HTTP {status}).")
    if status in (401, 402, 407):
        return PermanentError(
            f"{where} needs a subscription or a password (HTTP {status}).",
            "Use the feed's private address, or put name and password into ~/.netrc.",
        )
    if status == 403:
        return RetryableError(f"{where} is refused to this machine (HTTP 403).", "", wait)
    if status in (408, 425) or status >= 500:
        return RetryableError(f"{where}: the server has trouble (HTTP {status}).", "", wait)
    return PermanentError(f"{where} cannot be had (HTTP {status}).")


def retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, at most a day: a number or a date (RFC 9110, 10.2.3)."""
    if not value:
        return None
    if re.fullmatch(r"\s*\d{1,9}\s*", value):
        return min(float(value), DAY)
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        moment = email.utils.parsedate_to_datetime(value).timestamp()
        return min(max(0.0, moment - time.time()), DAY)
    return None


# --- An answer, piece by piece -------------------------------------------------------------------


class Answer:
    """A response whose body is read by the caller while another thread receives it."""

    def __init__(self, url: str, stop: threading.Event, seconds: float | None) -> None:
        self.asked = url
        self.stop = stop
        self.deadline = None if seconds is None else time.monotonic() + seconds
        self.left = threading.Event()  # nobody reads any more
        self.inbox: queue.Queue[Any] = queue.Queue(AHEAD)
        self.response: Any = None
        self.status = 0
        self.headers: Mapping[str, str] = {}

    def start(self, headers: Mapping[str, str]) -> None:
        """Ask, and wait for status and headers."""
        threading.Thread(target=self._receive, args=(dict(headers),), daemon=True).start()
        head = self._next()
        self.status, self.headers = head

    def chunks(self) -> Iterator[bytes]:
        while chunk := self._next():
            yield chunk

    def read(self, limit: int) -> bytes:
        """The body, or its first `limit` bytes and a few more."""
        body = bytearray()
        for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                break
        return bytes(body)

    def leave(self) -> None:
        """End the conversation, wherever it is."""
        self.left.set()
        if self.response is not None:
            # Wakes a thread that waits for the next bytes; a RuntimeError says that none does.
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                self.response.raw.shutdown()

    def _next(self) -> Any:
        while True:
            if self.stop.is_set():
                raise Cancelled
            try:
                got = self.inbox.get(timeout=TICK)
            except queue.Empty:
                if self.deadline is not None and time.monotonic() > self.deadline:
                    raise reaction(requests.exceptions.Timeout(), self.asked) from None
                continue
            if isinstance(got, Exception):
                raise reaction(got, self.asked) from got
            return got

    def _receive(self, headers: dict[str, str]) -> None:
        try:
            with (
                requests.Session() as session,
                session.get(
                    self.asked,
                    headers={"User-Agent": USER_AGENT, **headers},
                    stream=True,
                    timeout=(CONNECT, SILENCE),
                ) as response,
            ):
                self.response = response
                wanted = self._hand_over((response.status_code, response.headers))
                body = response.iter_content(CHUNK)
                while wanted:
                    chunk = next(body, b"")
                    wanted = self._hand_over(chunk) and bool(chunk)
        except (
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,
            http.client.HTTPException,
            OSError,
            ValueError,  # what urllib.parse and the codecs say about a hostile redirection
        ) as error:
            self._hand_over(error)

    def _hand_over(self, piece: Any) -> bool:
        """Whether somebody took it."""
        while not self.left.is_set():
            with contextlib.suppress(queue.Full):
                self.inbox.put(piece, timeout=TICK)
                return True
        return False


@contextlib.contextmanager
def opened(
    url: str,
    stop: threading.Event,
    headers: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> Iterator[Answer]:
    """The answer of `url`, whatever its status. `seconds`: for all of it, None as long as bytes come."""
    answer = Answer(url, stop, seconds)
    try:
        answer.start(headers or {})
        yield answer
    finally:
        answer.leave()


# --- A document that is asked for again and again ------------------------------------------------


def cached(url: str, file: Path, stop: threading.Event, limit: int) -> bytes:
    """The body at `url`, asked for only if it changed since it was kept in `file`.

    Raises UserError when it is longer than `limit` bytes, refusals and connection errors as they are.
    """
    kept = _kept(file)
    validators = {} if kept is None else kept[0]
    with opened(url, stop, validators) as answer:
        if answer.status == 304 and kept is not None:
            return kept[1]
        if answer.status != 200:
            raise refusal(answer.status, answer.headers, url)
        body = answer.read(limit)
        if len(body) > limit:
            raise UserError(f"{sanitize.public_url(url)} is longer than {limit // 2**20} MiB.")
        told = {
            "If-None-Match": answer.headers.get("ETag"),
            "If-Modified-Since": answer.headers.get("Last-Modified"),
        }
    _keep(file, {name: value for name, value in told.items() if value}, body)
    return body


def _kept(file: Path) -> tuple[dict[str, str], bytes] | None:
    """The validators, on the first line, and the body behind it."""
    try:
        head, _, body = file.read_bytes().partition(b"\n")
        return {str(k): str(v) for k, v in json.loads(head).items()}, body
    except (OSError, ValueError, AttributeError):
        return None


def _keep(file: Path, validators: dict[str, str], body: bytes) -> None:
    draft = file.with_suffix(".tmp")
    with contextlib.suppress(OSError):  # without a cache it is fetched in full next time
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(json.dumps(validators).encode() + b"\n" + body)
        draft.replace(file)


# --- A file that is downloaded -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begun:
    """What is known of a download that broke off: enough to tell whether the rest still fits."""

    etag: str | None
    modified: str | None
    length: int | None  # of the whole, in bytes

    @property
    def condition(self) -> dict[str, str]:
        """The If-Range header: strong validators only (RFC 9110, 13.1.5)."""
        validator = self.etag if self.etag and not self.etag.startswith("W/") else self.modified
        return {"If-Range": validator} if validator else {}

    @property
    def resumable(self) -> bool:
        return bool(self.condition) or self.length is not None


def download(url: str, target: Path, stop: threading.Event, limit: int) -> None:
    """Fetch `url` into `target`, which appears whole. What is in `target`.part is resumed.

    An episode may be put together anew for every listener, with other advertisements: the rest is taken
    only if the server vouches that it belongs to the beginning.
    """
    if target.exists():
        return
    part = target.with_name(target.name + ".part")
    failures = 0
    while True:
        size = _size(part)
        try:
            _receive_into(part, url, stop, limit)
            break
        except RetryableError as error:
            if error.retry_after is not None or stop.is_set():
                raise
            failures = 0 if _size(part) > size else failures + 1
            if failures >= TRIES:
                raise
            if stop.wait(min(2.0**failures, 10) * SECOND):
                raise Cancelled from None
    with _disk(target):
        part.replace(target)
        _note(part).unlink(missing_ok=True)


def _receive_into(part: Path, url: str, stop: threading.Event, limit: int) -> None:
    """One connection: append what is missing of `part`, or begin it anew."""
    begun = _begun(part)
    start = _size(part) if begun and begun.resumable else 0
    headers = {"Accept-Encoding": "identity"}
    if begun and start:
        headers |= {"Range": f"bytes={start}-", **begun.condition}
    with opened(url, stop, headers) as answer:
        if answer.status == 416 and begun and begun.length == start:
            return  # it was complete
        if answer.status == 206 and begun and _continues(answer, start, begun):
            length = begun.length
        elif answer.status in (206, 416):
            part.unlink(missing_ok=True)
            raise RetryableError(
                f"{sanitize.public_url(url)} has changed since its download began."
            )
        elif answer.status == 200:
            start, length = 0, _whole(answer)
        else:
            raise refusal(answer.status, answer.headers, url)
        if answer.headers.get("Content-Type", "").lower().startswith("text/html"):
            raise RetryableError(
                f"{sanitize.public_url(url)} gives a web page instead of a recording."
            )
        if (length or 0) > limit:
            raise PermanentError(f"{sanitize.public_url(url)} is larger than {limit // 2**30} GiB.")
        with _disk(part):
            if not start:
                _write_note(part, answer, length)
            with part.open("ab" if start else "wb") as file:
                _write(answer, file, start, limit)
    if length is not None and _size(part) != length:
        raise RetryableError(
            f"{sanitize.public_url(url)} broke off after {_size(part)} of {length} bytes.",
            "Check the network.",
        )


def _write(answer: Answer, file: IO[bytes], size: int, limit: int) -> None:
    for chunk in answer.chunks():
        size += len(chunk)
        if size > limit:
            raise PermanentError(
                f"{sanitize.public_url(answer.asked)} does not end (a live stream?)."
            )
        file.write(chunk)


def _continues(answer: Answer, start: int, begun: Begun) -> bool:
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
    if not match or int(match[1]) != start:
        return False
    return match[2] == "*" or begun.length is None or int(match[2]) == begun.length


def _whole(answer: Answer) -> int | None:
    """Bytes of the whole file; None when the server does not say, or counts packed ones."""
    told = answer.headers.get("Content-Length", "")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        return None
    return int(told) if re.fullmatch(r"\d{1,18}", told) else None


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _note(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _write_note(part: Path, answer: Answer, length: int | None) -> None:
    """Written before the first byte, so that no beginning lies about without it."""
    note = {
        "etag": answer.headers.get("ETag"),
        "modified": answer.headers.get("Last-Modified"),
        "length": length,
    }
    part.unlink(missing_ok=True)
    _note(part).write_text(json.dumps(note))


def _begun(part: Path) -> Begun | None:
    try:
        return Begun(**json.loads(_note(part).read_text()))
    except (OSError, ValueError, TypeError):
        return None


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Errors of the disk are the user's; those of the connection never come as OSError here."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"The audio cannot be written to {path.parent}: {error.strerror}.",
            "Make room, or choose another place with --library, and run again: nothing is lost.",
        ) from error
