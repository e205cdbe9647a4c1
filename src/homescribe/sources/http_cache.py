"""A cache on disk for documents that are requested again and again, and change rarely."""

from __future__ import annotations

import contextlib
import json
import threading
from dataclasses import dataclass
from pathlib import Path

from homescribe import private_files
from homescribe.errors import UserError
from homescribe.sources.http_errors import status_error
from homescribe.sources.http_response import Access, open_url
from homescribe.text import sanitize


@dataclass(frozen=True, slots=True)
class Document:
    """The body of a document, and the address to which it has moved for good, None if it has not."""

    body: bytes
    moved_to: str | None


def fetch_cached(
    url: str,
    file: Path,
    stop: threading.Event,
    limit: int,
    timeout: float | None = None,
    access: Access | None = None,
) -> Document:
    """Return the document at `url`. It is kept in `file`, and transferred again only if it changed since.

    Raises:
        UserError: the body is longer than `limit` bytes.
        HomescribeError: as `http_errors` decides for the status or the exception.
    """
    cached = _load(file)
    validators = {} if cached is None else cached[0]
    with open_url(url, stop, validators, timeout, access) as response:
        if response.status == 304 and cached is not None:
            return Document(cached[1], response.moved_to)
        if response.status != 200:
            raise status_error(response.status, response.headers, url)
        body = response.read(limit)
        if len(body) > limit:
            raise UserError(f"{sanitize.public_url(url)} is longer than {limit // 2**20} MiB.")
        validators = {
            "If-None-Match": response.headers.get("ETag", ""),
            "If-Modified-Since": response.headers.get("Last-Modified", ""),
        }
    _save(file, {name: value for name, value in validators.items() if value}, body)
    return Document(body, response.moved_to)


def _load(file: Path) -> tuple[dict[str, str], bytes] | None:
    """Return the request headers on the first line of `file`, and the body after it."""
    try:
        head, _, body = file.read_bytes().partition(b"\n")
        return {str(k): str(v) for k, v in json.loads(head).items()}, body
    except (OSError, ValueError, AttributeError):
        return None


def _save(file: Path, validators: dict[str, str], body: bytes) -> None:
    draft = file.with_suffix(".tmp")
    with contextlib.suppress(
        OSError
    ):  # without the cache the next request transfers the whole body
        private_files.make_folder(file.parent)
        private_files.write_file(draft, json.dumps(validators).encode() + b"\n" + body)
        draft.replace(file)
