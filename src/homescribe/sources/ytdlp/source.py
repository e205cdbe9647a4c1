"""YouTube and every site that yt-dlp knows. yt-dlp runs in child processes: one for each caller at a time,
kept for the next.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from homescribe.core import (
    HOUR,
    MINUTE,
    SECOND,
    Audio,
    Chapter,
    EmbeddedPlayer,
    Item,
    Listing,
    Source,
    SourceOptions,
)
from homescribe.errors import (
    Cancelled,
    HomescribeError,
    ItemError,
    PermanentError,
    RetryableError,
    UserError,
)
from homescribe.sources.time_links import time_link
from homescribe.sources.ytdlp.error_map import UPCOMING
from homescribe.sources.ytdlp.process import Child, Reply
from homescribe.text import sanitize

BATCH = 25  # items asked for at once: less than a page of YouTube (30), so that stopping early saves pages
AUDIO_BITS = 50_000  # a second, of the opus audio that child.FORMAT selects at YouTube


class YtdlpSource(Source):
    """Asked last: it takes every web address. Also "@handle" and the bare ids of channels and playlists."""

    name = "ytdlp"
    pause = (6 * SECOND, 14 * SECOND)  # a guest at YouTube is let about 300 videos an hour

    def __init__(self, options: SourceOptions) -> None:
        self.options = options
        self.patience = 10 * MINUTE  # without a sign of life from a child
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        self._closed = False

    def matches(self, url: str) -> bool:
        return address(url) is not None

    def list(self, url: str, stop: threading.Event) -> Iterator[Listing]:
        found = address(url)
        if found is None:
            raise UserError(f"{sanitize.one_line(url)!r} is no web address.")
        if sanitize.has_password(found):
            raise UserError(
                "An address with a password in it would be stored and shown.",
                "Leave the password out and pass cookies instead (--cookies FILE).",
            )
        with self._child() as child, _for_a_listing(found):
            reply = child.ask({"do": "list", "url": found}, stop)
            while reply["part"]:
                head = reply["part"]
                over = threading.Event()
                listing = Listing(
                    url=head["url"],
                    title=sanitize.one_line(head["title"] or head["url"]),
                    items=self._items(child, found, over, stop),
                    newest_first=head["newest_first"],
                )
                try:
                    yield listing
                finally:  # from here on the child may serve somebody else
                    over.set()
                reply = child.ask({"do": "part"}, stop)

    def _items(
        self, child: Child, url: str, over: threading.Event, stop: threading.Event
    ) -> Iterator[Item]:
        """The items of the child's current part, until it is `over`."""
        with _for_a_listing(url):
            while not over.is_set():
                reply = child.ask({"do": "more", "count": BATCH}, stop)
                for one in reply["items"]:
                    if over.is_set():
                        return
                    yield item_from(one)
                if reply["end"]:
                    return

    def fetch(self, item: Item, directory: Path, stop: threading.Event) -> Audio:
        request = {
            "do": "fetch",
            "source": item.source,
            "id": item.id,
            "url": item.media_url or item.url,
            "directory": str(directory.absolute()),
        }
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"No folder for the audio: {error}.") from error
        with self._child() as child:
            try:
                reply = child.ask(request, stop)
                if "live" in reply:
                    raise not_yet(reply)
            except RetryableError as error:
                if re.search(UPCOMING, error.message, re.IGNORECASE):
                    raise self._announced(child, request["url"], error, stop) from error
                raise
            except PermanentError as error:
                if error.hint:  # something can be done, but nothing happens by itself
                    again = f"{error.hint} Then: homescribe retry {item.key}"
                    raise PermanentError(error.message, again) from error
                raise
        told = completed(item, item_from(reply["item"]))
        # Any page's claim about its recording is no measure to hold the recording to.
        measured = told.duration if item.source != "generic" else None
        return Audio(item=told, path=Path(reply["path"]), duration=measured)

    def _announced(
        self, child: Child, url: str, error: RetryableError, stop: threading.Event
    ) -> RetryableError:
        """`error` with the time that the page gives, which the message only rounds."""
        try:
            reply = child.ask({"do": "release", "url": url}, stop)
        except HomescribeError:
            return error
        if not reply["release"]:
            return error
        return RetryableError(error.message, error.hint, until(reply["release"]))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            children = list(self._all)
        for child in children:
            child.kill()

    @staticmethod
    def rate_limit_key(item: Item) -> str:
        return (urlsplit(item.url).hostname or "") if item.source == "generic" else item.source

    @staticmethod
    def link(item: Item, seconds: float) -> str:
        return time_link(item.url, seconds)

    @staticmethod
    def embedded_player(item: Item) -> EmbeddedPlayer | None:
        return EmbeddedPlayer("youtube", item.id) if is_youtube_video(item) else None

    @staticmethod
    def expected_bytes(item: Item, seconds: float) -> int:
        return round(seconds * AUDIO_BITS / 8)

    @staticmethod
    def file_tag(item: Item) -> str | None:
        """Return the id of a YouTube video, which other tools look for in file names.

        It is safe where upper and lower case are the same: 56 of its 64 random bits remain.
        """
        return item.id if is_youtube_video(item) else None

    @contextlib.contextmanager
    def _child(self) -> Iterator[Child]:
        """A child for one caller: an idle one, or a new one. Handed back unless it died."""
        with self._lock:
            if self._closed:
                raise Cancelled
            child = self._idle.pop() if self._idle else None
        if child is None:
            self._check_cookies()
            child = Child(self.options, self.patience)
            with self._lock:
                self._all.add(child)
        try:
            yield child
        except RetryableError:
            if self._closed:  # it died because we are leaving
                raise Cancelled from None
            raise
        finally:
            if child.busy or self._closed:  # Ctrl-C in the middle of a request leads here, too
                child.kill()
            with self._lock:
                if child.dead:
                    self._all.discard(child)
                else:
                    self._idle.append(child)

    def _check_cookies(self) -> None:
        if self.options.cookies and not os.access(self.options.cookies, os.R_OK):
            raise UserError(
                "The cookie file cannot be read.", f"Is it there? {self.options.cookies}"
            )


# --- Values --------------------------------------------------------------------------------------


def address(url: str) -> str | None:
    """`url` as yt-dlp takes it: handles, bare ids and addresses without https:// spelled out."""
    url = url.strip()
    if re.fullmatch(r"@[\w.·-]+", url):
        return f"https://www.youtube.com/{url}"
    if re.fullmatch(r"UC[\w-]{22}", url):
        return f"https://www.youtube.com/channel/{url}"
    if re.fullmatch(r"(?:PL|UU|OLAK5uy_)[\w-]{10,}", url):
        return f"https://www.youtube.com/playlist?list={url}"
    if re.match(r"[a-z]+search(?:date)?(?:\d+|all)?:\S", url):  # yt-dlp's own: "ytsearch10:words"
        return url
    if re.match(r"(?:[\w-]+\.)+[a-z]{2,}/", url, re.IGNORECASE):
        url = f"https://{url}"
    if not re.match(r"https?://[^/\s]", url, re.IGNORECASE):
        return None
    return _feed_page(url) or url


def _feed_page(url: str) -> str | None:
    """The channel or playlist of which `url` is YouTube's own feed, which holds only the last 15."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if (
        not re.search(r"(^|\.)youtube\.com$", parts.hostname or "")
        or parts.path != "/feeds/videos.xml"
    ):
        return None
    query = parse_qs(parts.query)
    if "channel_id" in query:
        return f"https://www.youtube.com/channel/{query['channel_id'][0]}"
    if "playlist_id" in query:
        return f"https://www.youtube.com/playlist?list={query['playlist_id'][0]}"
    return None


def is_youtube_video(item: Item) -> bool:
    return item.source == "youtube" and re.fullmatch(r"[\w-]{11}", item.id, re.ASCII) is not None


def item_from(reply: Reply) -> Item:
    """An item as the child tells it."""
    duration = reply["duration"]
    return Item(
        source=reply["source"],
        id=reply["id"],
        url=reply["url"],
        title=sanitize.one_line(str(reply["title"])) or reply["id"],
        channel=_line(reply["channel"]),
        channel_id=_line(reply["channel_id"]),
        duration=float(duration) if isinstance(duration, int | float) and duration > 0 else None,
        upload_date=sanitize.iso_date(reply["upload_date"]),
        language=sanitize.language_tag(reply["language"]),
        description=sanitize.multi_line(reply["description"]) if reply["description"] else None,
        chapters=tuple(
            Chapter(float(start), float(end), sanitize.one_line(str(title or "")))
            for start, end, title in reply["chapters"]
            if isinstance(start, int | float) and isinstance(end, int | float) and start < end
        ),
        media_url=reply["media_url"],
    )


def _line(value: str | None) -> str | None:
    return (sanitize.one_line(str(value)) or None) if value else None


def completed(listed: Item, told: Item) -> Item:
    """`listed` with what its own page told. Its name stays: it is known by that."""
    return replace(
        listed,
        title=told.title if told.title != told.id else listed.title,
        channel=told.channel or listed.channel,
        channel_id=told.channel_id or listed.channel_id,
        duration=told.duration or listed.duration,
        upload_date=told.upload_date or listed.upload_date,
        language=told.language or listed.language,
        description=told.description or listed.description,
        chapters=told.chapters or listed.chapters,
    )


def until(moment: float) -> float:
    """Seconds to the Unix time `moment`, with a little time for the recording to appear."""
    return max(5 * MINUTE, moment - time.time() + 5 * MINUTE)


def not_yet(reply: Reply) -> RetryableError:
    if reply["live"] == "is_upcoming":
        wait = until(reply["release"]) if reply["release"] else HOUR
        return RetryableError("Not there yet: it has not begun.", "", wait)
    if reply["live"] == "is_live":
        return RetryableError("It is being broadcast: its recording comes later.", "", HOUR)
    return RetryableError("The broadcast has just ended: its recording comes later.", "", HOUR)


@contextlib.contextmanager
def _for_a_listing(url: str) -> Iterator[None]:
    """What would be an item's error is the user's where there is no item yet."""
    try:
        yield
    except ItemError as error:
        raise UserError(f"{sanitize.public_url(url)}: {error.message}", error.hint) from error
