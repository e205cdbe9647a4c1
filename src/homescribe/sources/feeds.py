"""RSS and Atom documents: from the bytes of a feed to items. Feeds are hostile input.

feedparser reads the XML. What it returns becomes an Item in `item_from`, and nowhere else.
"""

from __future__ import annotations

import contextlib
import email.utils
import hashlib
import io
import math
import queue
import re
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, Protocol, TypedDict
from urllib.parse import urljoin, urlsplit

from homescribe.core import HOUR, MINUTE, Chapter, Item, TranscriptLink
from homescribe.errors import Cancelled, UserError
from homescribe.sources import POLL_INTERVAL
from homescribe.text import redaction, sanitize
from homescribe.text.identities import MEDIA_PATH, episode_identities, without_trackers

OTHER_PATH = re.compile(
    r"\.(jpe?g|png|gif|webp|avif|svg|bmp|ico|pdf|epub|html?|txt)$", re.IGNORECASE
)

PODCAST_NAMESPACES = (
    "https://podcastindex.org/namespace/1.0",
    "https://github.com/Podcastindex-org/podcast-namespace/blob/main/docs/1.0.md",
)
MOST_TRANSCRIPTS = 50  # of one episode: each format in each language

ADDRESS_CHARACTERS = 8000  # servers accept about as many; a longer one is an attack or an accident

# --- What feedparser returns ---------------------------------------------------------------------


class Link(TypedDict, total=False):
    rel: str
    href: str
    url: str  # in media_content
    type: str
    medium: str  # in media_content: "image", "audio", ...


class Content(TypedDict, total=False):
    value: str


class Mark(TypedDict, total=False):
    start: str
    title: str


class Chapters(TypedDict, total=False):
    chapters: list[Mark]


class TranscriptMark(TypedDict, total=False):
    """One podcast:transcript of an entry."""

    url: str
    type: str
    language: str
    rel: str


class Entry(TypedDict, total=False):
    """An entry of a feed. Only what the feed contains is present."""

    id: str
    title: str
    link: str
    links: list[Link]
    enclosures: list[Link]
    media_content: list[Link]
    summary: str
    content: list[Content]
    itunes_duration: str
    published: str
    updated: str
    published_parsed: Sequence[int] | None
    updated_parsed: Sequence[int] | None
    psc_chapters: Chapters
    podcast_transcripts: list[TranscriptMark]  # added by `_keep_transcript`


NewAddress = TypedDict("NewAddress", {"itunes_new-feed-url": str}, total=False)


class Channel(NewAddress, total=False):
    title: str
    language: str
    link: str
    links: list[Link]
    podcast_guid: str  # the same wherever the feed moves


class ParserState(Protocol):
    """feedparser's state while it reads a feed."""

    def _get_context(self) -> Entry:
        """Return the dictionary of the entry that is being read, outside of entries that of the feed."""


class Feed(Protocol):
    """One page of a feed."""

    @property
    def feed(self) -> Channel: ...

    @property
    def entries(self) -> list[Entry]: ...

    def get(self, key: Literal["version"], /) -> str | None:
        """The version of RSS or Atom ("rss20"), "" for other documents."""


# --- Documents -----------------------------------------------------------------------------------


def is_feed(start: bytes) -> bool:
    """Whether a document that starts with `start` is RSS or Atom, by its root element, not its type."""
    encoding = "utf-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1"
    text = start.decode(encoding, "replace").lstrip("\ufeff\xef\xbb\xbf \t\r\n")
    text = re.sub(r"<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(\[.*?\])?\s*>", "", text, flags=re.DOTALL)
    return re.match(r"\s*<(rss|feed|rdf:RDF|atom:feed)[\s>/]", text) is not None


def parse(body: bytes, stop: threading.Event) -> Feed:
    """Parse a feed. A thousand episodes take half a second, so a thread does it that can be left behind.

    Raises UserError when feedparser fails, Cancelled when `stop` is set.
    """
    import feedparser
    from feedparser import mixin

    # It looks for an e-mail address in every author, in a time that grows with the square of the length, and
    # holds Python's lock meanwhile: a long one would stop the whole process. No author is used here.
    mixin._FeedParserMixin._sync_author_detail = _do_nothing
    # Of several elements podcast:transcript it would keep the last.
    mixin._FeedParserMixin._start_podcast_transcript = _keep_transcript
    mixin._FeedParserMixin.namespaces |= dict.fromkeys(PODCAST_NAMESPACES, "podcast")
    results: queue.SimpleQueue[Feed | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            stream = io.BytesIO(body)  # feedparser would take bytes for a file name
            options = {"sanitize_html": False, "resolve_relative_uris": False}
            results.put(feedparser.parse(stream, **options))
        except Exception as error:  # noqa: BLE001 - whatever a parser raises for hostile input
            results.put(error)

    threading.Thread(target=work, name="parse feed", daemon=True).start()
    while not stop.is_set():
        with contextlib.suppress(queue.Empty):
            page = results.get(timeout=POLL_INTERVAL)
            if isinstance(page, Exception):
                raise UserError(
                    "The feed is damaged and cannot be read.", "Try again later."
                ) from page
            return page
    raise Cancelled


def _keep_transcript(parser: ParserState, attributes: TranscriptMark) -> None:
    """Stand for a method of feedparser that takes the attributes of a podcast:transcript."""
    parser._get_context().setdefault("podcast_transcripts", []).append(attributes)


def _do_nothing(*arguments: object) -> None:
    """Stand for a method of feedparser that is not needed."""


# --- Entries -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Names:
    """What the entries of one page of a feed are called: only what stands once identifies an episode."""

    guids: Counter[str]
    paths: Counter[str]  # addresses of recordings without trackers and tokens
    addresses: Counter[str]  # of recordings

    @classmethod
    def of(cls, entries: Sequence[Entry], feed: str) -> Names:
        """Return the names in `entries`. An entry that is there twice, word for word, counts once."""
        found = {
            (guid_of(entry), media, entry.get("title"), published(entry))
            for entry in entries
            if (media := enclosure(entry, feed)) is not None
        }
        return cls(
            Counter(guid for guid, *_ in found),
            Counter(without_trackers(address) for _, address, *_ in found),
            Counter(address for _, address, *_ in found),
        )

    def name(self, guid: str, media: str, entry: Entry) -> str:
        """Return what identifies an entry in its feed."""
        if guid and self.guids[guid] <= 1:
            return guid
        path = without_trackers(media)
        if self.paths[path] <= 1:
            return path
        if self.addresses[media] <= 1:
            return media
        return f"{media} {entry.get('title')} {published(entry)}"


def guid_of(entry: Entry) -> str:
    """Return the guid of an entry, "" without one."""
    return str(entry.get("id") or "").strip()


def item_from(
    entry: Entry,
    feed: str,
    names: Names | None = None,
    show: str | None = None,
    known_as: str | None = None,
) -> Item | None:
    """Return the episode in `entry` of the feed at `feed`; None without a recording, as for a blog post.

    Args:
        names: those of all entries on the page; None: everything stands once.
        show: the feed's podcast:guid.
        known_as: the address of the feed from which keys are made; None: `feed`.
    """
    media = enclosure(entry, feed)
    if media is None:
        return None
    names = names or Names(Counter(), Counter(), Counter())
    guid = guid_of(entry)
    unique = names.name(guid, media, entry)
    name = hashlib.sha256(
        f"{known_as or feed}\n{unique}".encode("utf-8", "surrogatepass")
    ).hexdigest()[:16]
    texts = [str(one.get("value") or "") for one in entry.get("content") or ()]
    texts.append(str(entry.get("summary") or ""))
    title = sanitize.one_line(sanitize.html_to_text(str(entry.get("title") or ""))) or name
    dates = dict.fromkeys(date for date in (published(entry), utc_date(entry)) if date)
    return Item(
        source="podcast",
        id=name,
        url=episode_page(entry, feed) or redaction.shown_address(media),
        title=title,
        duration=duration(entry),
        upload_date=published(entry),
        description=sanitize.html_to_text(max(texts, key=len)) or None,
        chapters=chapters(entry),
        media_url=media,
        transcript_links=transcript_links(entry, feed),
        identities=episode_identities(
            guid if guid and unique == guid else None, show, media, title, tuple(dates)
        ),
    )


def web_address(url: str, base: str = "") -> str | None:
    """Return `url`, which may be relative to `base`, as an http(s) address; None if it is none."""
    if len(url) > ADDRESS_CHARACTERS:
        return None
    try:
        url = sanitize.url_safe(urljoin(base, url.strip()))
        parts = urlsplit(url)
        return url if parts.scheme.lower() in ("http", "https") and parts.hostname else None
    except ValueError:
        return None


def episode_page(entry: Entry, feed: str) -> str | None:
    """Return the address of the episode's own page, without secrets.

    feedparser puts an id into `link` when there is no link, so that need not be an address.
    """
    for link in entry.get("links") or ():
        if link.get("rel") == "alternate" and link.get("href"):
            return _page(link["href"], feed)
    return _page(str(entry.get("link") or ""))


def _page(url: str, base: str = "") -> str | None:
    found = web_address(url, base)
    return redaction.shown_page(found) if found else None


def enclosure(entry: Entry, feed: str) -> str | None:
    """Return the address of the recording: of the first enclosure that may be audio or video."""
    for link in [*(entry.get("enclosures") or ()), *(entry.get("media_content") or ())]:
        url = web_address(str(link.get("href") or link.get("url") or ""), feed)
        kind = str(link.get("type") or "").lower()
        plausible = kind.startswith(("audio/", "video/")) or kind in (
            "",
            "application/octet-stream",
        )
        if url and (plausible or MEDIA_PATH.search(urlsplit(url).path)) and not _is_other(link):
            return url
    return None


def _is_other(link: Link) -> bool:
    """Whether a link without a media type is to a picture or a document, as in Media RSS."""
    if link.get("medium") in ("image", "document", "executable"):
        return True
    path = str(link.get("href") or link.get("url") or "").partition("?")[0]
    return not link.get("type") and OTHER_PATH.search(path) is not None


def clock_seconds(text: str) -> float | None:
    """Return the seconds in "3725", "62:05" or "1:02:05.5"; None for anything else."""
    form = r"(?:(?:(\d{1,3}):)?(\d{1,4}):)?(\d{1,6}(?:\.\d{1,6})?)"
    match = re.fullmatch(form, text.strip(), re.ASCII)
    return (
        int(match[1] or 0) * HOUR + int(match[2] or 0) * MINUTE + float(match[3]) if match else None
    )


def duration(entry: Entry) -> float | None:
    """Return the seconds in itunes:duration; None for zero, which publishers write when it is unknown."""
    return clock_seconds(str(entry.get("itunes_duration") or "")) or None


def published(entry: Entry) -> str | None:
    """Return the date of publication, else of the last update, as "2026-03-01".

    It is the publisher's, in the time zone of the feed: an evening show is of that day, not of the next.
    """
    text = str(entry.get("published") or "").strip()
    if not text and "updated" in entry:  # feedparser warns when a missing one is read
        text = str(entry["updated"]).strip()
    with contextlib.suppress(ValueError, TypeError, IndexError, OverflowError):
        if re.match(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            return date.fromisoformat(text[:10]).isoformat()
        return email.utils.parsedate_to_datetime(text).date().isoformat()
    return utc_date(entry)


def utc_date(entry: Entry) -> str | None:
    """Return the date of publication, else of the last update, in UTC."""
    time = entry.get("published_parsed")
    if not time and "updated_parsed" in entry:  # feedparser warns when a missing one is read
        time = entry["updated_parsed"]
    try:
        return date(*time[:3]).isoformat() if time else None
    except (ValueError, TypeError):
        return None


def chapters(entry: Entry) -> tuple[Chapter, ...]:
    """Return the chapters (Podlove Simple Chapters) that the feed itself contains."""
    marks = []
    for mark in (entry.get("psc_chapters") or {}).get("chapters") or ():
        start = clock_seconds(str(mark.get("start") or ""))
        if start is not None:
            marks.append((start, sanitize.one_line(str(mark.get("title") or ""))))
    marks.sort()
    ends = [start for start, _ in marks[1:]] + [duration(entry) or math.inf]
    return tuple(
        Chapter(start, end if math.isfinite(end) else start, title)
        for (start, title), end in zip(marks, ends, strict=False)
        if end > start
    )


def transcript_links(entry: Entry, feed: str) -> tuple[TranscriptLink, ...]:
    """Return the transcripts of an entry (podcast:transcript), each address once."""
    found: dict[str, TranscriptLink] = {}
    for one in (entry.get("podcast_transcripts") or ())[:MOST_TRANSCRIPTS]:
        address = str(one.get("url") or "").strip()
        url = web_address(address, feed) if address else None
        if url is not None and url not in found:
            kind = str(one.get("type") or "").partition(";")[0]
            found[url] = TranscriptLink(
                url,
                type=sanitize.one_line(kind, 100).lower(),
                language=sanitize.language_tag(str(one.get("language") or "")),
                rel=sanitize.one_line(str(one.get("rel") or ""), 100).lower() or None,
            )
    return tuple(found.values())
