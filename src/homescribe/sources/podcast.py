"""Podcasts: RSS and Atom feeds, their enclosures by plain HTTP.

An episode is known by its feed and its guid. What is listed is the whole feed at every time: it is one
request, answered by "not modified" where the server can, and old episodes may be put in anywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import queue
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

from homescribe.core import (
    HOUR,
    MINUTE,
    SECOND,
    Audio,
    Chapter,
    Item,
    Listing,
    Source,
    SourceOptions,
)
from homescribe.errors import Cancelled, HomescribeError, ItemError, PermanentError, UserError
from homescribe.sources.time_links import time_link
from homescribe.text import sanitize

MIB = 2**20
FEED_LIMIT = 64 * MIB  # the largest feeds in use have 20
MEDIA_LIMIT = 8 * 1024 * MIB  # a day and a half at 512 kbit/s
PAGES = 500  # of a feed that comes in pages (RFC 5005)
HEAD = 4096  # bytes that tell a feed from a page
TICK = 0.05 * SECOND  # between two checks of `stop`
SNIFF = 6 * SECOND  # for all of that

FEED_SCHEMES = ("feed", "podcast", "pcast", "itpc", "rss")
# Not asked what they are: they count requests, and their own feeds have no audio.
VIDEO_SITES = re.compile(r"(^|\.)(youtube\.com|youtu\.be|youtube-nocookie\.com)$")
FEED_NAME = re.compile(r"\.(rss|atom)$|/(rss|feed|atom)(\.xml)?/?$", re.IGNORECASE)
MEDIA_NAME = re.compile(
    r"\.(mp3|m4a|m4b|aac|ogg|oga|opus|flac|wav|mp4|m4v|mov|webm|mkv)$", re.IGNORECASE
)


class PodcastSource(Source):
    """Feeds at web addresses. Asked before yt-dlp, and sure before it says yes: it looks at the page."""

    name = "podcast"
    pause = (0.0, 1 * SECOND)

    def __init__(self, options: SourceOptions) -> None:
        self.options = options
        self._closed = threading.Event()

    def matches(self, url: str) -> bool:
        feed = address(url)
        if feed is None:
            return False
        if feed != url.strip():  # feed://...
            return True
        parts = urlsplit(feed)
        if VIDEO_SITES.search(parts.hostname or "") or MEDIA_NAME.search(parts.path):
            return False
        from homescribe.sources import http_download

        try:
            with http_download.opened(
                feed, self._closed, {"Range": f"bytes=0-{HEAD - 1}"}, SNIFF
            ) as answer:
                return answer.status in (200, 206) and is_feed(answer.read(HEAD))
        except HomescribeError:  # its name decides who says what is wrong with it
            return bool(FEED_NAME.search(parts.path))

    def list(self, url: str, stop: threading.Event) -> Iterator[Listing]:
        feed = address(url)
        if feed is None:
            raise UserError(f"{sanitize.one_line(url)!r} is no web address.")
        if sanitize.has_password(feed):
            raise UserError(
                "An address with a password in it would be stored and shown.",
                "Put name and password into ~/.netrc, and leave them out of the address.",
            )
        feed = canonical(feed)
        first = self._page(feed, stop)
        title = sanitize.one_line(first.feed.get("title") or "") or sanitize.public_url(feed)
        yield Listing(url=feed, title=title, items=self._items(feed, title, first, stop))

    def _items(self, feed: str, title: str, page: Any, stop: threading.Event) -> Iterator[Item]:
        """Every episode that has a recording, page by page."""
        seen: set[str] = set()
        asked = {feed}
        for _ in range(PAGES):
            language = sanitize.language_tag(page.feed.get("language"))
            for entry in page.entries:
                item = item_from(entry, feed)
                if item and item.key not in seen:
                    seen.add(item.key)
                    yield replace(item, channel=title, channel_id=feed, language=language)
            following = next_page(page, feed)
            if following is None or following in asked:
                break
            asked.add(following)
            page = self._page(following, stop)
        if not seen:
            raise UserError(
                f"The feed {sanitize.public_url(feed)} has no recordings.",
                "Its entries name no audio or video file.",
            )

    def _page(self, url: str, stop: threading.Event) -> Any:
        """The parsed feed at `url`. All errors are the user's: there is no item yet."""
        from homescribe.sources import http_download

        name = hashlib.sha256(url.encode()).hexdigest()[:32]
        try:
            body = http_download.cached(url, self.options.cache / "feeds" / name, stop, FEED_LIMIT)
        except ItemError as error:
            raise UserError(error.message, error.hint) from error
        page = parse(body, stop)
        if not page.get("version") and not page.entries:
            raise UserError(
                f"There is no feed at {sanitize.public_url(url)}.", "Is it the address of a page?"
            )
        return page

    def fetch(self, item: Item, directory: Path, stop: threading.Event) -> Audio:
        from homescribe.sources import http_download

        if not item.media_url:
            raise PermanentError("The feed names no recording for this episode.")
        suffix = Path(urlsplit(item.media_url).path).suffix
        suffix = suffix.lower() if MEDIA_NAME.fullmatch(suffix) else ".media"
        target = directory / f"audio{suffix}"
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"No folder for the audio: {error}.") from error
        try:
            http_download.download(item.media_url, target, stop, MEDIA_LIMIT)
        except PermanentError as error:
            if error.hint:  # something can be done, but nothing happens by itself
                again = f"{error.hint} Then: homescribe retry {item.key}"
                raise PermanentError(error.message, again) from error
            raise
        # The feed's duration is the publisher's guess (advertisements come and go), no measure.
        return Audio(item=item, path=target)

    def close(self) -> None:
        self._closed.set()

    @staticmethod
    def link(item: Item, seconds: float) -> str:
        return time_link(item.url, seconds)


# --- Addresses -----------------------------------------------------------------------------------


def address(url: str, base: str = "") -> str | None:
    """`url`, seen from `base`, as an http(s) address, feed:// spelled out; None when it is none."""
    url = url.strip()
    scheme, colon, rest = url.partition(":")
    if colon and scheme.lower() in FEED_SCHEMES:  # feed:https://... and feed://host/...
        url = rest if re.match(r"https?:", rest, re.IGNORECASE) else "https:" + rest
    try:
        url = urljoin(base, url)
        parts = urlsplit(url)
        return url if parts.scheme.lower() in ("http", "https") and parts.hostname else None
    except ValueError:
        return None


def canonical(url: str) -> str:
    """`url` as it names the feed: host in lower case, no fragment."""
    parts = urlsplit(url)
    return urlunsplit(
        (parts.scheme.lower(), parts.netloc.lower(), parts.path or "/", parts.query, "")
    )


def untracked(url: str) -> str:
    """The address that remains of an enclosure without the counters before it and the tokens behind it.

    Counters put the true address into their path: https://dts.podtrac.com/redirect.mp3/cdn.example/e1.mp3
    """
    parts = urlsplit(url)
    pieces = (parts.netloc + parts.path).split("/")
    for at in range(len(pieces) - 2, 0, -1):
        host = pieces[at]
        if re.fullmatch(r"([\w-]+\.)+[a-z]{2,24}", host, re.IGNORECASE) and not MEDIA_NAME.search(
            host
        ):
            return "/".join([host.lower(), *pieces[at + 1 :]])
    return "/".join([pieces[0].lower(), *pieces[1:]])


# --- Feeds ---------------------------------------------------------------------------------------


def is_feed(head: bytes) -> bool:
    """Whether a document that begins with `head` is RSS or Atom: by its root element, not its type."""
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1"
    start = head.decode(encoding, "replace").lstrip("\ufeff\xef\xbb\xbf \t\r\n")
    start = re.sub(
        r"<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(\[.*?\])?\s*>", "", start, flags=re.DOTALL
    )
    return re.match(r"\s*<(rss|feed|rdf:RDF|atom:feed)[\s>/]", start) is not None


def parse(body: bytes, stop: threading.Event) -> Any:
    """feedparser's view of `body`, hostile or not: half a second of work for a thousand episodes, and so
    done in a thread that can be left behind.

    Raises UserError when feedparser breaks over it.
    """
    import feedparser

    results: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def work() -> None:
        try:
            stream = io.BytesIO(body)  # it would take bytes for a file's name
            options = {"sanitize_html": False, "resolve_relative_uris": False}
            results.put(feedparser.parse(stream, **options))
        except Exception as error:  # noqa: BLE001 - whatever a parser says about hostile input
            results.put(error)

    threading.Thread(target=work, name="parse feed", daemon=True).start()
    while not stop.is_set():
        with contextlib.suppress(queue.Empty):
            page = results.get(timeout=TICK)
            if isinstance(page, Exception):
                raise UserError("The feed cannot be read: it is damaged.") from page
            return page
    raise Cancelled


def next_page(page: Any, feed: str) -> str | None:
    """The feed's next page (RFC 5005), on the same server."""
    for link in page.feed.get("links") or ():
        if link.get("rel") == "next" and link.get("href"):
            following = address(link["href"], feed)
            if following and urlsplit(following).hostname == urlsplit(feed).hostname:
                return canonical(following)
    return None


def item_from(entry: Any, feed: str) -> Item | None:
    """An episode, or None when the entry names no recording (a blog post among them)."""
    media = enclosure(entry, feed)
    if media is None:
        return None
    guid = str(entry.get("id") or "").strip() or untracked(media)
    name = hashlib.sha256(f"{feed}\n{guid}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
    content = entry.get("content") or ()
    described = [str(one.get("value") or "") for one in content] + [str(entry.get("summary") or "")]
    return Item(
        source="podcast",
        id=name,
        url=page_of(entry, feed) or media,
        title=sanitize.one_line(sanitize.html_to_text(str(entry.get("title") or ""))) or name,
        duration=duration(entry),
        upload_date=published(entry),
        description=sanitize.html_to_text(max(described, key=len)) or None,
        chapters=chapters(entry),
        media_url=media,
    )


def page_of(entry: Any, feed: str) -> str | None:
    """The episode's own page. feedparser gives an id as `link` too, which need not be an address."""
    for link in entry.get("links") or ():
        if link.get("rel") == "alternate" and link.get("href"):
            return address(link["href"], feed)
    return address(str(entry.get("link") or ""))


def enclosure(entry: Any, feed: str) -> str | None:
    """The address of an entry's recording: the first enclosure that is or may be audio or video."""
    links = [*(entry.get("enclosures") or ()), *(entry.get("media_content") or ())]
    for link in links:
        found = address(str(link.get("href") or link.get("url") or ""), feed)
        kind = str(link.get("type") or "").lower()
        plausible = kind.startswith(("audio/", "video/")) or kind in (
            "",
            "application/octet-stream",
        )
        if found and (plausible or MEDIA_NAME.search(urlsplit(found).path)):
            return found
    return None


def clock(told: str) -> float | None:
    """Seconds in "3725", "62:05", "1:02:05.5"; None for nonsense."""
    form = r"(?:(?:(\d{1,3}):)?(\d{1,4}):)?(\d{1,6}(?:\.\d{1,6})?)"
    match = re.fullmatch(form, told.strip(), re.ASCII)
    return (
        int(match[1] or 0) * HOUR + int(match[2] or 0) * MINUTE + float(match[3]) if match else None
    )


def duration(entry: Any) -> float | None:
    """Seconds in itunes:duration; zero says nothing."""
    return clock(str(entry.get("itunes_duration") or "")) or None


def published(entry: Any) -> str | None:
    # feedparser warns when it is asked for an `updated` that is not there.
    told = [entry[name] for name in ("published_parsed", "updated_parsed") if name in entry]
    moment = next(filter(None, told), None)
    try:
        return date(*moment[:3]).isoformat() if moment else None
    except (ValueError, TypeError):
        return None


def chapters(entry: Any) -> tuple[Chapter, ...]:
    """Podlove Simple Chapters, where they stand in the feed itself."""
    marks = []
    for one in (entry.get("psc_chapters") or {}).get("chapters") or ():
        start = clock(str(one.get("start") or ""))
        if start is not None:
            marks.append((start, sanitize.one_line(str(one.get("title") or ""))))
    marks.sort()
    following = [start for start, _ in marks[1:]] + [duration(entry) or math.inf]
    return tuple(
        Chapter(start, stop if math.isfinite(stop) else start, title)
        for (start, title), stop in zip(marks, following, strict=False)
        if stop > start
    )
