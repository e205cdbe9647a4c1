"""Podcasts: RSS, Atom and JSON feeds, and their recordings over plain HTTP.

An episode is identified by its feed and its guid. A listing is always the whole feed: that is one request,
which many servers answer with "304 Not Modified", and an old episode can be added anywhere.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator, MutableSequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from homescribe.core import (
    HOUR,
    MINUTE,
    SECOND,
    Addresses,
    Audio,
    Captions,
    Item,
    Listing,
    Source,
    SourceOptions,
)
from homescribe.errors import (
    HomescribeError,
    ItemError,
    PermanentError,
    RetryableError,
    SourceBlocked,
    UserError,
)
from homescribe.sources import disk_space, feeds, podcast_apps, podcast_transcripts
from homescribe.sources.feed_documents import read_feed
from homescribe.sources.feeds import Feed
from homescribe.sources.time_links import time_link
from homescribe.text import redaction, sanitize
from homescribe.text.identities import MEDIA_PATH

if TYPE_CHECKING:
    from homescribe.sources.web_addresses import Probe

MAX_MOVES = 3  # of a feed that has announced a new address
MAX_PAGES = 500  # of one feed (RFC 5005)
LISTING_TIMEOUT = 15 * MINUTE  # for all pages of a feed
FRESH_DAYS = 7
NO_ANSWER = (408, 425, 429)  # statuses below 500 that say nothing about what is at an address

FEED_SCHEMES = ("feed", "podcast", "pcast", "itpc", "rss")
# Not probed: they limit the number of requests, and their own feeds contain no audio.
VIDEO_SITES = re.compile(r"(^|\.)(youtube\.com|youtu\.be|youtube-nocookie\.com)$")
FEED_PATH = re.compile(r"\.(rss|atom)$|/(rss|feed|atom)(\.xml)?/?$", re.IGNORECASE)


class PodcastSource(Source):
    """Feeds at web addresses, and documents that lead to them.

    `addresses` and `matches` request the first bytes, since yt-dlp would accept a feed too.
    """

    name = "podcast"
    pause = (0.0, 1 * SECOND)
    caption_pause = (0.0, 1 * SECOND)

    def __init__(self, options: SourceOptions) -> None:
        self.options = options
        self._closed = threading.Event()
        self._probed: tuple[str, Probe | HomescribeError] | None = None

    def matches(self, url: str) -> bool:
        feed = feed_url(url)
        if feed is None:
            return False
        if feed != url.strip():  # feed://...
            return True
        if not is_probed(feed):
            return False
        from homescribe.sources.http_errors import listing_error, status_error

        try:
            found = self._probe(feed, self._closed)
            if found.found:
                return found.is_feed
            failed: HomescribeError = status_error(found.status, found.headers, feed)
            # Some sites refuse programs that yt-dlp can pass for a browser.
            is_answer = found.status < 500 and found.status not in NO_ANSWER
            # A server that asks for a name and a password has no use for cookies, as yt-dlp advises.
            if found.status == 401 and "WWW-Authenticate" in found.headers:
                is_answer = False
        except HomescribeError as error:
            failed, is_answer = error, isinstance(error, PermanentError)
        finally:
            self._probed = None
        problem = listing_error(failed, "Try again later.")
        if isinstance(problem, SourceBlocked):  # no other request may follow, of whatever kind
            raise problem
        if FEED_PATH.search(urlsplit(feed).path):
            return True  # `list` reports what is wrong
        if is_answer:
            return False
        # It may be a feed or a page. yt-dlp would list the episodes of a feed as pages without names.
        raise problem

    def addresses(self, url: str, stop: threading.Event) -> Addresses | None:
        feed = feed_url(url)
        if feed is None or feed != url.strip() or redaction.has_password(feed):
            return None
        podcast_apps.check_spotify(feed)
        try:
            if show := podcast_apps.apple_show(feed):
                found = podcast_apps.apple_feed(show, self.options, stop)
                return Addresses(
                    (found,), f"This is the feed that Apple names: {sanitize.public_url(found)}."
                )
            if not is_probed(feed):
                return None
            from homescribe.sources.web_addresses import addresses

            self._probed = None
            try:
                probed = self._probe(feed, stop)
            except HomescribeError:
                return None  # `matches` decides what the error means
            if not probed.found or probed.is_feed:
                return None
            return addresses(feed, probed, self.options, stop)
        except ItemError as error:
            from homescribe.sources.http_errors import listing_error

            raise listing_error(error, "Try again later.") from error

    def knows(self, url: str) -> bool:
        return False  # the address of a feed has no form of its own

    def _probe(self, url: str, stop: threading.Event) -> Probe:
        """Return the first bytes at `url`, or raise the error; what `addresses` received serves `matches`."""
        from homescribe.sources.http_response import Access
        from homescribe.sources.web_addresses import probe

        if self._probed is None or self._probed[0] != url:
            try:
                self._probed = url, probe(url, stop, Access.of(self.options, url))
            except HomescribeError as error:
                self._probed = url, error
        result = self._probed[1]
        if isinstance(result, HomescribeError):
            raise result
        return result

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
        refused: dict[str, SourceBlocked] = {}
        first, url = self._first_page(feed, warnings, refused, deadline, stop)
        title = sanitize.one_line(first.feed.get("title") or "") or sanitize.public_url(url)
        listing = Listing(url, title, iter(()), moved_from=feed if url != feed else None)
        listing.warnings.extend(warnings)
        listing.refused.update(refused)
        problems = listing.warnings, listing.refused
        episodes = self._items(url, feed, title, first, *problems, deadline, stop)
        yield replace(listing, items=episodes)

    def _first_page(
        self,
        url: str,
        warnings: MutableSequence[str],
        refused: dict[str, SourceBlocked],
        deadline: float,
        stop: threading.Event,
    ) -> tuple[Feed, str]:
        """Return the first page of the feed at `url`, and where the feed is now."""
        page, moved_to = read_feed(url, url, self.options, deadline, stop)
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
                following, moved_to = read_feed(announced, url, self.options, deadline, stop)
            except UserError as error:
                if isinstance(error, SourceBlocked):
                    refused[announced] = error
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
        refused: dict[str, SourceBlocked],
        deadline: float,
        stop: threading.Event,
    ) -> Iterator[Item]:
        """Yield every episode that has a recording, page by page, until a page cannot be read.

        Args:
            known_as: the address of the feed until now, from which the keys of its episodes are made.
        """
        seen: set[str] = set()
        requested = {url}
        shown = redaction.shown_feed(url)
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
                page, _ = read_feed(following, known_as, self.options, deadline, stop)
            except UserError as error:
                if isinstance(error, SourceBlocked):
                    refused[following] = error
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
            download(item.media_url, target, stop, disk_space.MAX_MEDIA_BYTES, access)
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

    def captions(self, item: Item, directory: Path, stop: threading.Event) -> Captions | None:
        if not item.transcript_links:  # perhaps a later listing has some
            return None
        return Captions(item, podcast_transcripts.transcript(item, self.options, stop))

    def close(self) -> None:
        self._closed.set()

    @staticmethod
    def caption_key(item: Item) -> str:
        """Return the host of the transcript; "" for an episode for which the feed offers none."""
        links = podcast_transcripts.ranked(item.transcript_links, item.language)
        return f"{urlsplit(links[0].url).hostname} captions" if links else ""

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


def is_probed(url: str) -> bool:
    """Whether only the first bytes at `url` can tell what is there."""
    parts = urlsplit(url)
    return not (VIDEO_SITES.search(parts.hostname or "") or MEDIA_PATH.search(parts.path))


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
