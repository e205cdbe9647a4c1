"""Read one page of a feed from the web: RSS, Atom or JSON Feed, from the cache if it has not changed."""

from __future__ import annotations

import hashlib
import threading
import time

from homescribe.core import SECOND, SourceOptions
from homescribe.errors import ItemError, UserError
from homescribe.sources import feeds, json_feed
from homescribe.sources.feeds import Feed
from homescribe.text import sanitize

MAX_FEED_BYTES = 64 * 2**20  # the largest feeds in use have 20 MiB
HEAD_BYTES = 4096  # enough to see the root element of a feed


def is_feed(start: bytes) -> bool:
    """Whether a document that starts with `start` is a feed."""
    return feeds.is_feed(start) or json_feed.is_json_feed(start)


def read_feed(
    url: str, given: str, options: SourceOptions, deadline: float, stop: threading.Event
) -> tuple[Feed, str | None]:
    """Return the parsed feed at `url`, and where it has moved for good.

    Raises UserError only: no item can record the error yet.

    Args:
        given: the address that the user gave, which leads to `url`.
    """
    from homescribe.sources.http_cache import fetch_cached
    from homescribe.sources.http_errors import listing_error
    from homescribe.sources.http_response import Access

    name = hashlib.sha256(url.encode()).hexdigest()[:32]
    try:
        document = fetch_cached(
            url,
            options.cache / "feeds" / name,
            stop,
            MAX_FEED_BYTES,
            max(1 * SECOND, deadline - time.monotonic()),
            Access.of(options, given),
        )
    except ItemError as error:
        raise listing_error(error) from error
    if json_feed.is_json_feed(document.body[:HEAD_BYTES]):
        return json_feed.parse(document.body), document.moved_to
    page = feeds.parse(document.body, stop)
    if not page.get("version") and not page.entries:
        raise UserError(
            f"There is no feed at {sanitize.public_url(url)}.",
            "If it is a web page now, add the address of the show's page, or of the feed itself.",
        )
    return page, document.moved_to
