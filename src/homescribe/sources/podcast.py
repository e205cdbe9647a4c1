"""Podcasts: RSS, Atom and JSON feeds, and their recordings over plain HTTP.

An episode is identified by its feed and its guid. A listing is always the whole feed: that is one request,
which many servers answer with "304 Not Modified", and an old episode can be added anywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
import time
from collections.abc import Iterator, MutableSequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from homescribe.core import HOUR, MINUTE, SECOND, Audio, Item, Listing, Source, SourceOptions
from homescribe.errors import (
    HomescribeError,
    ItemError,
    PermanentError,
    RetryableError,
    SourceBlocked,
    UserError,
)
from homescribe.sources import feeds, json_feed
from homescribe.sources.feeds import Feed
from homescribe.sources.time_links import time_link
from homescribe.text import redaction, sanitize
from homescribe.text.identities import MEDIA_PATH

MIB = 2**20
MAX_FEED_BYTES = 64 * MIB  # the largest feeds in use have 20 MiB
MAX_MEDIA_BYTES = 8 * 1024 * MIB  # a day and a half at 512 kbit/s
MAX_MOVES = 3  # of a feed that has announced a new address
MAX_PAGES = 500  # of one feed (RFC 5005)
LISTING_TIMEOUT = 15 * MINUTE  # for all pages of a feed
FRESH_DAYS = 7
PROBE_BYTES = 4096  # enough to see the root element of a feed
PROBE_TIMEOUT = 30 * SECOND  # some servers make the whole feed before they send its first byte
NO_ANSWER = (408, 425, 429)  # statuses below 500 that say nothing about what is at an address

FEED_SCHEMES = ("feed", "podcast", "pcast", "itpc", "rss")
# Not probed: they limit the number of requests, and their own feeds contain no audio.
VIDEO_SITES = re.compile(r"(^|\.)(youtube\.com|youtu\.be|youtube-nocookie\.com)$")
FEED_PATH = re.compile(r"\.(rss|atom)$|/(rss|feed|atom)(\.xml)?/?$", re.IGNORECASE)


class PodcastSource(Source):
    """Feeds at web addresses. `matches` requests the first bytes, since yt-dlp would accept a feed too."""

    name = "podcast"
    pause = (0.0, 1 * SECOND)

    def __init__(self, options: SourceOptions) -> None:
        self.options = options
        self._closed = threading.Event()

    def matches(self, url: str) -> bool:
        from homescribe.sources.http_errors import status_error
        from homescribe.sources.http_response import Access, open_url

        feed = feed_url(url)
        if feed is None:
            return False
        if feed != url.strip():  # feed://...
            return True
        parts = urlsplit(feed)
        if VIDEO_SITES.search(parts.hostname or "") or MEDIA_PATH.search(parts.path):
            return False
        first_bytes = {"Range": f"bytes=0-{PROBE_BYTES - 1}"}
        try:
            access = Access.of(self.options, feed)
            with open_url(feed, self._closed, first_bytes, PROBE_TIMEOUT, access) as response:
                if response.status in (200, 206):
                    start = response.read(PROBE_BYTES)
                    return feeds.is_feed(start) or json_feed.is_json_feed(start)
                failed: HomescribeError = status_error(response.status, response.headers, feed)
                # Some sites refuse programs that yt-dlp can pass for a browser.
                is_answer = response.status < 500 and response.status not in NO_ANSWER
                # A server that asks for a name and a password has no use for cookies, as yt-dlp advises.
                if response.status == 401 and "WWW-Authenticate" in response.headers:
                    is_answer = False
        except HomescribeError as error:
            failed, is_answer = error, isinstance(error, PermanentError)
        if FEED_PATH.search(parts.path):
            return True  # `list` reports what is wrong
        if is_answer:
            return False
        # It may be a feed or a page. yt-dlp would list the episodes of a feed as pages without names.
        if isinstance(failed, UserError):
            raise failed
        raise UserError(failed.message, failed.hint or "Try again later.") from failed

    def list(self, url: str, stop: threading.Event) -> Iterator[Listing]:
        feed = feed_url(url)
        if feed is None:
            raise UserError(
                f"{sanitize.one_line(url)!r} is not a web address.",
                "Give the address of the feed: https://...",
            )
        if redaction.has_password(feed):
            raise UserError(
                "The address contains a password, which would be stored and shown.",
                "Put the name and password into ~/.netrc, and leave them out of the address.",
            )
        feed = canonical(feed)
        deadline = time.monotonic() + LISTING_TIMEOUT
        warnings: MutableSequence[str] = []
        first, url = self._first_page(feed, warnings, deadline, stop)
        title = sanitize.one_line(first.feed.get("title") or "") or sanitize.public_url(url)
        listing = Listing(url, title, iter(()), moved_from=feed if url != feed else None)
        listing.warnings.extend(warnings)
        episodes = self._items(url, feed, title, first, listing.warnings, deadline, stop)
        yield replace(listing, items=episodes)

    def _first_page(
        self, url: str, warnings: MutableSequence[str], deadline: float, stop: threading.Event
    ) -> tuple[Feed, str]:
        """Return the first page of the feed at `url`, and where the feed is now."""
        page, moved_to = self._page(url, url, deadline, stop)
        visited = {url}
        address = url
        for _ in range(MAX_MOVES):
            if moved_to is not None:  # `page` was read from there
                visited.add(address := canonical(moved_to))
            announced = feeds.web_address(page.feed.get("itunes_new-feed-url") or "", address)
            if announced is None or canonical(announced) in visited:
                break
            visited.add(announced := canonical(announced))
            try:
                following, moved_to = self._page(announced, url, deadline, stop)
            except UserError as error:
                warnings.append(
                    f"The feed has announced a new address, which fails: {error.message}"
                )
                break
            if not following.entries:
                break
            page, address = following, announced
        return page, address

    def _items(
        self,
        url: str,
        known_as: str,
        title: str,
        page: Feed,
        warnings: MutableSequence[str],
        deadline: float,
        stop: threading.Event,
    ) -> Iterator[Item]:
        """Yield every episode that has a recording, page by page, until a page cannot be read.

        Args:
            known_as: the address of the feed until now, from which the keys of its episodes are made.
        """
        seen: set[str] = set()
        requested = {url}
        shown = redaction.shown_address(url)
        for _ in range(MAX_PAGES):
            language = sanitize.language_tag(page.feed.get("language"))
            names = feeds.Names.of(page.entries, url)
            show = page.feed.get("podcast_guid")
            for entry in page.entries:
                item = feeds.item_from(entry, url, names, show, known_as)
                if item and item.key not in seen:
                    seen.add(item.key)
                    yield replace(item, channel=title, channel_id=shown, language=language)
            following = next_page(page, url)
            if following is None or following in requested:
                break
            requested.add(following)
            try:
                page, _ = self._page(following, known_as, deadline, stop)
            except UserError as error:
                warnings.append(
                    f"Older episodes were not listed, since page {len(requested)} of the feed could not be "
                    f"read: {error.message}"
                )
                break
        if not seen:
            raise UserError(
                f"The feed {sanitize.public_url(url)} has no recordings.",
                "Its entries link to no audio or video file. Is there another feed for the podcast?",
            )

    def _page(
        self, url: str, given: str, deadline: float, stop: threading.Event
    ) -> tuple[Feed, str | None]:
        """Return the parsed feed at `url`, to which `given` leads, and where it has moved for good.

        Raises UserError only: no item can record the error yet.
        """
        from homescribe.sources.http_cache import fetch_cached
        from homescribe.sources.http_response import Access

        name = hashlib.sha256(url.encode()).hexdigest()[:32]
        try:
            document = fetch_cached(
                url,
                self.options.cache / "feeds" / name,
                stop,
                MAX_FEED_BYTES,
                max(1 * SECOND, deadline - time.monotonic()),
                Access.of(self.options, given),
            )
        except RetryableError as error:
            if error.retry_after is None:
                raise UserError(error.message, error.hint) from error
            raise SourceBlocked(error.message, error.hint, error.retry_after) from error
        except ItemError as error:
            raise UserError(error.message, error.hint) from error
        if json_feed.is_json_feed(document.body[:PROBE_BYTES]):
            return json_feed.parse(document.body), document.moved_to
        page = feeds.parse(document.body, stop)
        if not page.get("version") and not page.entries:
            raise UserError(
                f"There is no feed at {sanitize.public_url(url)}.",
                "Give the address of the feed itself, which is behind the RSS link of the show's page.",
            )
        return page, document.moved_to

    def fetch(self, item: Item, directory: Path, stop: threading.Event) -> Audio:
        from homescribe.sources.http_download import download
        from homescribe.sources.http_errors import NotFoundError
        from homescribe.sources.http_response import Access

        if not item.media_url:
            raise PermanentError("The feed links to no recording of this episode.")
        suffix = Path(urlsplit(item.media_url).path).suffix
        suffix = suffix.lower() if MEDIA_PATH.fullmatch(suffix) else ".media"
        target = directory / f"audio{suffix}"
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"The folder {directory} cannot be created: {error.strerror}.",
                "Choose another place with --library.",
            ) from error
        try:
            access = Access.of(self.options, item.channel_id or "")
            download(item.media_url, target, stop, MAX_MEDIA_BYTES, access)
        except NotFoundError as error:
            if not is_fresh(item):
                raise PermanentError(error.message) from error
            raise RetryableError(
                f"{error.message.removesuffix('.')}, perhaps not yet.", "", 6 * HOUR
            ) from error
        except PermanentError as error:
            if error.hint:  # the user can do something, and must then ask for another attempt
                hint = f"{error.hint} Then run: homescribe retry {item.key}"
                raise PermanentError(error.message, hint) from error
            raise
        # The feed's duration is approximate, since advertisements change: it is no check of the download.
        return Audio(item=item, path=target)

    def close(self) -> None:
        self._closed.set()

    @staticmethod
    def link(item: Item, seconds: float) -> str:
        return time_link(item.url, seconds)


def is_fresh(item: Item) -> bool:
    """Whether an episode is so new that its host may still be publishing the file."""
    if item.upload_date is None:
        return False
    age = date.today() - date.fromisoformat(item.upload_date)
    return age.days <= FRESH_DAYS


# --- Addresses of feeds --------------------------------------------------------------------------


def feed_url(url: str) -> str | None:
    """Return `url` as an http(s) address, also for feed://host and feed:https://host; None if it is none."""
    url = url.strip()
    scheme, colon, rest = url.partition(":")
    if colon and scheme.lower() in FEED_SCHEMES:
        url = rest if re.match(r"https?:", rest, re.IGNORECASE) else "https:" + rest
    return feeds.web_address(url)


def canonical(url: str) -> str:
    """Return `url` with a host in lower case and without a fragment: the same for every spelling."""
    parts = urlsplit(url)
    return urlunsplit(
        (parts.scheme.lower(), parts.netloc.lower(), parts.path or "/", parts.query, "")
    )


def next_page(page: Feed, url: str) -> str | None:
    """Return the address of the feed's next page (RFC 5005) if it is on the same server."""
    for link in page.feed.get("links") or ():
        if link.get("rel") == "next" and link.get("href"):
            with contextlib.suppress(ValueError):
                following = feeds.web_address(link["href"], url)
                if following and urlsplit(following).hostname == urlsplit(url).hostname:
                    return canonical(following)
    return None
