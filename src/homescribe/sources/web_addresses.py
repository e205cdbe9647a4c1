"""What is at a web address, by its first bytes: a feed, or a document that names what to add instead.

Such documents are lists (OPML, playlists), a show's web page and its pages in apps. The address of an HLS
playlist is one recording. What a public document names is never in a private network.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from homescribe.core import MINUTE, SECOND, Addresses, SourceOptions
from homescribe.errors import HomescribeError, SourceBlocked, UserError
from homescribe.sources import feed_documents, feeds
from homescribe.sources.feed_documents import HEAD_BYTES
from homescribe.sources.feed_links import PageLinks, is_page, page_links, same_page
from homescribe.sources.feeds import Feed
from homescribe.sources.http_response import Access, open_url
from homescribe.text import address_lists, sanitize
from homescribe.text.charsets import charset_of, decoded

PROBE_TIMEOUT = 30 * SECOND  # some servers make the whole feed before they send its first byte
DOCUMENT_TIMEOUT = 5 * MINUTE
MAX_PAGE_BYTES = 2**20  # of a page, up to the end of its head
MOST_FEEDS = 5  # of one page, that are read to find the podcast
MOST_NAMED = 3  # other feeds of a page, in the message


@dataclass(frozen=True, slots=True)
class Probe:
    """The first part of the response for an address."""

    status: int
    headers: Mapping[str, str]
    url: str  # after redirects
    body: bytes = b""  # of a page: its head
    whole: bool = False  # nothing follows

    @property
    def found(self) -> bool:
        return self.status in (200, 206)

    @property
    def is_feed(self) -> bool:
        return feed_documents.is_feed(self.body[: 4 * HEAD_BYTES])

    @property
    def is_page(self) -> bool:
        kind = self.headers.get("Content-Type", "").lower()
        is_html = kind.startswith(("text/html", "application/xhtml+xml"))
        return not self.is_feed and (is_html or is_page(decoded(self.body[:HEAD_BYTES])))

    @property
    def list_kind(self) -> address_lists.Kind | None:
        """OPML by its root element, a playlist by its first line, or by its name if it has bare lines."""
        suffix = PurePosixPath(urlsplit(self.url).path).suffix.lower()
        by_name = suffix if suffix in (".m3u", ".m3u8") and not self.is_page else ""
        return address_lists.kind_of(self.body, by_name)


def probe(url: str, stop: threading.Event, access: Access) -> Probe:
    """Request the first bytes at `url`, of a page its whole head; HomescribeError if it does not answer."""
    return _read(url, stop, access, {"Range": f"bytes=0-{HEAD_BYTES - 1}"})


def _read(
    url: str, stop: threading.Event, access: Access, headers: Mapping[str, str] | None = None
) -> Probe:
    with open_url(url, stop, headers, PROBE_TIMEOUT, access) as response:
        answer = Probe(response.status, response.headers, response.final_url)
        if not answer.found:
            return answer
        body = response.read(HEAD_BYTES)
        whole = len(body) <= HEAD_BYTES and not _is_partial(response.headers, len(body))
        answer = Probe(response.status, response.headers, response.final_url, body, whole)
        if len(body) <= HEAD_BYTES or not answer.is_page:
            return answer
        head = bytearray(body)
        for chunk in response.chunks():
            head += chunk
            if len(head) > MAX_PAGE_BYTES or b"</head" in chunk.lower():
                break
        return Probe(response.status, response.headers, response.final_url, bytes(head), True)


def _is_partial(headers: Mapping[str, str], received: int) -> bool:
    """Whether a Content-Range says that the document is longer than what was received."""
    return not headers.get("Content-Range", f"/{received}").endswith(f"/{received}")


def addresses(
    given: str, found: Probe, options: SourceOptions, stop: threading.Event
) -> Addresses | None:
    """Return what the document at `given` names; None if it is not a list and no show's page.

    Raises UserError for a list that is empty or cannot be read.
    """
    access = Access.of(options, given)
    if found.list_kind:
        return _listed(given, found.url, access, stop)
    if found.is_page:
        if not found.whole:  # a server that sent the part that was requested
            found = _read(given, stop, access)
        links = page_links(decoded(found.body, _charset(found.headers)), found.url)
        return _show(given, found.url, links, options, access, stop)
    return None


def _charset(headers: Mapping[str, str]) -> str | None:
    return charset_of(headers.get("Content-Type", ""))


# --- Lists ---------------------------------------------------------------------------------------


def _listed(given: str, url: str, access: Access, stop: threading.Event) -> Addresses | None:
    """Return the addresses in the list at `url`; None for an HLS playlist."""
    shown = sanitize.public_url(given)
    with open_url(given, stop, timeout=DOCUMENT_TIMEOUT, access=access) as response:
        content = response.read(address_lists.MAX_BYTES)
        whole = Probe(response.status, response.headers, response.final_url, content)
        kind = whole.list_kind if whole.found else None
    if kind is None:
        return None
    address_lists.check_size(content, shown)
    named = address_lists.from_web(content, kind, url, shown, _charset(whole.headers))
    kept = [one for one in named if access.may_name(one)]
    left_out = len(named) - len(kept)
    if not kept:
        raise UserError(
            f"{shown} lists only addresses in private networks.",
            "If that is right: --allow-private-networks.",
        )
    note = f"{left_out} of its addresses are in private networks and were left out."
    return Addresses(tuple(kept), note if left_out else "", each=True)


# --- A show's web page ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Candidate:
    url: str
    feed: Feed
    recordings: int

    def describes(self, page: str) -> bool:
        """Whether the feed says that `page` is its own."""
        return same_page(str(self.feed.feed.get("link") or ""), page)

    def has_episode(self, page: str) -> bool:
        """Whether `page` is that of one of its entries."""
        links = (feeds.episode_page(entry, self.url) for entry in self.feed.entries)
        return any(link is not None and same_page(link, page) for link in links)


def _show(
    given: str,
    url: str,
    links: PageLinks,
    options: SourceOptions,
    access: Access,
    stop: threading.Event,
) -> Addresses | None:
    """Return the podcast feed of a show's page: the one with the most recordings, of equals the first.

    None for a page without such a feed, and for the page of an episode or of an article, of which the feed
    would be far more than what was given.
    """
    named = [one for one in links.feeds if access.may_name(one)]
    found = [
        candidate
        for one in named[:MOST_FEEDS]
        if (candidate := _candidate(one, given, options, stop)) is not None
    ]
    if not found:
        return None
    best = max(found, key=lambda one: one.recordings)
    if not any(one.describes(page) for one in found for page in (given, url)):
        is_episode = any(one.has_episode(page) for one in found for page in (given, url))
        if links.single or is_episode:
            return None
    others = [sanitize.public_url(one.url) for one in found if one is not best]
    note = f"This is the feed of the page {sanitize.public_url(given)}."
    if others:
        note += f" The page also names: {', '.join(others[:MOST_NAMED])}."
    return Addresses((best.url,), note, guess=True)


def _candidate(
    url: str, given: str, options: SourceOptions, stop: threading.Event
) -> _Candidate | None:
    """Return the feed at `url`; None for one without recordings, or that cannot be read.

    Raises SourceBlocked if its host asks to wait: the page's other feeds are often at the same host.
    """
    deadline = time.monotonic() + PROBE_TIMEOUT
    try:
        feed, _ = feed_documents.read_feed(url, given, options, deadline, stop)
    except SourceBlocked:
        raise
    except HomescribeError:
        return None
    recordings = sum(feeds.enclosure(entry, url) is not None for entry in feed.entries)
    return _Candidate(url, feed, recordings) if recordings else None
