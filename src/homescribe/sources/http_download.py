"""Downloads over HTTP that resume after an interruption, also in a later run.

A server may generate a recording anew for every download, with other advertisements. Part of one followed
by the rest of another would hold words that nobody said. So a partial download is continued only if its
validator (ETag or Last-Modified) is sent as If-Range, and the response repeats that validator.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from homescribe.core import HOUR, SECOND
from homescribe.errors import Cancelled, PermanentError, RetryableError, UserError
from homescribe.sources.disk_space import check_free_space
from homescribe.sources.http_errors import PrivateNetworkRefused, status_error
from homescribe.sources.http_response import Access, Response, open_url
from homescribe.sources.least_rate import TooSlowError
from homescribe.sources.radio_streams import is_radio
from homescribe.text import sanitize

MAX_FAILURES = 4  # connections in a row that failed without receiving a byte
MAX_SECONDS = 12 * HOUR  # of one download
CHECK_BYTES = 8 * 2**20  # between two checks of the free space


def download(
    url: str, target: Path, stop: threading.Event, limit: int, access: Access | None = None
) -> None:
    """Download `url` to `target`, which appears only when it is complete, resuming `target`.part.

    Raises:
        PermanentError: the recording is larger than `limit` bytes, or not available.
        RetryableError: the connection failed several times in a row or is too slow, the server failed, or
            the disk is too full.
        UserError: the file cannot be written.
        Cancelled: `stop` was set.
    """
    if target.exists():
        return
    part = target.with_name(target.name + ".part")
    failures = 0
    deadline = time.monotonic() + MAX_SECONDS
    while True:
        size = _size(part)
        try:
            _continue(part, url, stop, limit, deadline, access)
            break
        except (TooSlowError, PrivateNetworkRefused):
            raise
        except RetryableError as error:
            if error.retry_after is not None or stop.is_set() or time.monotonic() > deadline:
                raise
            failures = 0 if _size(part) > size else failures + 1
            if failures >= MAX_FAILURES:
                raise
            if stop.wait(min(2.0**failures, 10) * SECOND):
                raise Cancelled from None
    with _disk_errors(target):
        part.replace(target)
        _version_file(part).unlink(missing_ok=True)


def _continue(
    part: Path,
    url: str,
    stop: threading.Event,
    limit: int,
    deadline: float,
    access: Access | None,
) -> None:
    """Make one request: append the rest to `part`, or replace it by the whole file."""
    version = Version.load(part)
    start = _size(part) if version and version.if_range else 0
    headers = {"Accept-Encoding": "identity"}
    if version and start:
        headers |= {"Range": f"bytes={start}-", "If-Range": version.if_range}
    shown = sanitize.public_url(url)
    with open_url(url, stop, headers, access=access) as response:
        if response.status == 416 and version and version.length == start:
            return  # every byte was received before the interruption
        if response.status == 206 and version and version.continues(response, start):
            length = version.length
        elif response.status in (206, 416):
            part.unlink(missing_ok=True)
            raise RetryableError(f"{shown} has changed since its download began.")
        elif response.status == 200:
            start, length = 0, _content_length(response)
        else:
            raise status_error(response.status, response.headers, url)
        if response.headers.get("Content-Type", "").lower().startswith("text/html"):
            raise RetryableError(f"{shown} returns a web page instead of a recording.")
        if is_radio(response.headers):
            raise PermanentError(f"{shown} is a live radio stream, which does not end.")
        if (length or 0) > limit:
            raise PermanentError(f"{shown} is larger than {limit // 2**30} GiB.")
        check_free_space(part.parent, max(0, (length or 0) - start))
        with _disk_errors(part):
            if not start:
                part.unlink(missing_ok=True)
                Version.of(response, length).save(part)
            with part.open("ab" if start else "wb") as file:
                _write(response, file, part, start, limit, deadline, endless=length is None)
    if length is not None and _size(part) != length:
        raise RetryableError(
            f"{shown}: the connection ended after {_size(part)} of {length} bytes.",
            "Check the network.",
        )


def _write(
    response: Response,
    file: IO[bytes],
    part: Path,
    size: int,
    limit: int,
    deadline: float,
    *,
    endless: bool,
) -> None:
    """Append the body to `file`. What cannot be completed is removed, so that it takes no space."""
    shown = sanitize.public_url(response.url)
    check_at = size
    for chunk in response.chunks():
        size += len(chunk)
        late = time.monotonic() > deadline
        if size > limit or (late and endless):
            part.unlink(missing_ok=True)
            raise PermanentError(f"{shown} does not end: it may be a live stream.")
        if late:
            raise RetryableError(f"{shown} took longer than {MAX_SECONDS / HOUR:.0f} hours.")
        if size > check_at:
            check_at = size + CHECK_BYTES
            try:
                check_free_space(part.parent)
            except RetryableError:
                part.unlink(missing_ok=True)
                raise
        file.write(chunk)


# --- The version of the file that a partial download belongs to ----------------------------------


@dataclass(frozen=True, slots=True)
class Version:
    """What identifies a file on a server: stored beside a partial download, before its first byte."""

    etag: str | None
    modified: str | None
    length: int | None  # bytes of the whole file

    @classmethod
    def of(cls, response: Response, length: int | None) -> Version:
        """Return the version in `response`, with strong validators only."""
        etag = response.headers.get("ETag")
        strong = etag is not None and not etag.startswith("W/")
        return cls(etag if strong else None, _strong_date(response.headers), length)

    @classmethod
    def load(cls, part: Path) -> Version | None:
        """Return the version of the partial download `part`; None when it is unknown."""
        try:
            return cls(**json.loads(_version_file(part).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, part: Path) -> None:
        """Store the version beside `part`."""
        _version_file(part).write_text(json.dumps(asdict(self)))

    @property
    def if_range(self) -> str:
        """Value of an If-Range header: a strong validator, "" without one.

        https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5
        """
        return self.etag or self.modified or ""

    def continues(self, response: Response, start: int) -> bool:
        """Whether the partial content in `response` is the rest from byte `start` of this version.

        Not every server obeys If-Range, so the validator in the response must be the same.
        """
        header, expected = ("ETag", self.etag) if self.etag else ("Last-Modified", self.modified)
        if response.headers.get(header) != expected:
            return False
        content_range = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range)
        if not match or int(match[1]) != start:
            return False
        return match[2] == "*" or self.length is None or int(match[2]) == self.length


def _strong_date(headers: Mapping[str, str]) -> str | None:
    """Return Last-Modified if it is at least a second before Date: within one second a file may change twice.

    https://www.rfc-editor.org/rfc/rfc9110#section-8.8.2.2
    """
    modified = headers.get("Last-Modified")
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        sent, changed = (
            email.utils.parsedate_to_datetime(value or "").timestamp()
            for value in (headers.get("Date"), modified)
        )
        return modified if sent - changed >= 1 * SECOND else None
    return None


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


# --- Sizes and the disk --------------------------------------------------------------------------


def _content_length(response: Response) -> int | None:
    """Return the bytes of the whole file; None when the server sends it compressed or without a length."""
    length = response.headers.get("Content-Length", "")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        return None
    return int(length) if re.fullmatch(r"\d{1,18}", length) else None


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


@contextlib.contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """Raise UserError for an error of the disk; errors of the connection never come as OSError here."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"The audio cannot be written to {path.parent}: {error.strerror}.",
            "Free some space, or choose another disk with --library, and run again: nothing is lost.",
        ) from error
