"""YouTube and every other site that yt-dlp supports.

yt-dlp runs in child processes: one for each caller at a time, which the next caller uses again.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator, MutableSequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import parse_qs, urlsplit

from homescribe.core import (
    HOUR,
    MINUTE,
    SECOND,
    Audio,
    Captions,
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
from homescribe.sources.ytdlp.download_limits import CaptionLimits, Limits
from homescribe.sources.ytdlp.error_map import UPCOMING, UPDATE
from homescribe.sources.ytdlp.item_values import completed, item_from, not_available_yet, until
from homescribe.sources.ytdlp.javascript_runtime import MISSING, has_runtime
from homescribe.sources.ytdlp.process import Child, Reply, Request
from homescribe.sources.ytdlp.publisher_captions import transcript_from
from homescribe.text import redaction, sanitize

if TYPE_CHECKING:
    from homescribe.sources.http_response import Access

BATCH = 25  # items per request: fewer than on a page of YouTube (30), so that stopping early saves pages
YOUTUBE_HOST = re.compile(r"(^|\.)(youtube\.com|youtu\.be|youtube-nocookie\.com)$")
LISTING_TIMEOUT = 3 * HOUR  # the largest channels take half an hour
# Extractors of yt-dlp for pages of any site, and for sites that it refuses.
UNKNOWN_SITE = ("Generic", "KnownDRM", "KnownPiracy")
AUDIO_BITS = 50_000  # a second, of the opus audio that child.FORMAT selects at YouTube


class YtdlpSource(Source):
    """Every web address that no other source accepts, "@handle", and the ids of channels and playlists."""

    name = "ytdlp"
    pause = (6 * SECOND, 14 * SECOND)  # YouTube allows about 300 videos an hour without an account
    caption_pause = pause  # they take the page of each video, which counts as well

    def __init__(self, options: SourceOptions) -> None:
        self.options = options
        self.timeout = 10 * MINUTE  # without a line from a child
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._all: set[Child] = set()
        self._closed = False

    def matches(self, url: str) -> bool:
        return address(url) is not None

    def knows(self, url: str) -> bool:
        """Whether yt-dlp knows the site by name."""
        found = address(url)
        if found is None:
            return False
        try:
            with self._child() as child:
                reply = child.request({"do": "extractor", "url": found}, threading.Event())
        except HomescribeError:
            return False
        return reply["extractor"] not in UNKNOWN_SITE

    def list(self, url: str, stop: threading.Event) -> Iterator[Listing]:
        found = address(url)
        if found is None:
            raise UserError(
                f"{sanitize.one_line(url)!r} is not a web address.", "Give a URL: https://..."
            )
        if redaction.has_password(found):
            raise UserError(
                "The address contains a password, which would be stored and shown.",
                "Leave the password out and pass cookies instead (--cookies FILE).",
            )
        with self._child() as child, _listing_errors(found):
            access = _access(self.options, found)
            public = not access.private_networks
            reply = child.request({"do": "list", "url": found, "public": public}, stop)
            while reply["part"]:
                head = reply["part"]
                ended = threading.Event()
                listing = Listing(
                    url=head["url"],
                    title=sanitize.one_line(head["title"] or head["url"]),
                    items=iter(()),
                    newest_first=head["newest_first"],
                )
                items = self._items(child, found, access, listing.warnings, ended, stop)
                try:
                    yield replace(listing, items=items)
                finally:  # from here on the child may serve another caller
                    ended.set()
                reply = child.request({"do": "part"}, stop)

    def _items(
        self,
        child: Child,
        url: str,
        access: Access,
        warnings: MutableSequence[str],
        ended: threading.Event,
        stop: threading.Event,
    ) -> Iterator[Item]:
        """Yield the items of the child's current part, until `ended` is set.

        Those of a public page that are in a private network are left out: when they are downloaded, their
        address would be taken for one that the user gave.
        """
        deadline = time.monotonic() + LISTING_TIMEOUT
        with _listing_errors(url):
            while not ended.is_set():
                if time.monotonic() > deadline:
                    raise UserError(
                        f"The list at {sanitize.public_url(url)} does not end: it took longer than "
                        f"{LISTING_TIMEOUT / HOUR:.0f} hours.",
                        "Add a part of it, such as one playlist.",
                    )
                reply = child.request({"do": "more", "count": BATCH}, stop)
                for one in reply["items"]:
                    if ended.is_set():
                        return
                    item = item_from(one)
                    if access.may_name(item.url) and access.may_name(item.media_url or item.url):
                        yield item
                    else:
                        warnings.append(f"{item.title} is in a private network and was left out.")
                if reply["end"]:
                    return

    def fetch(self, item: Item, directory: Path, stop: threading.Event) -> Audio:
        reply = self._request("fetch", item, directory, Limits, stop)
        found = completed(item, item_from(reply["item"]))
        # The duration on an unknown page is not reliable enough to check the download.
        duration = found.duration if item.source != "generic" else None
        return Audio(item=found, path=Path(reply["path"]), duration=duration)

    def captions(self, item: Item, directory: Path, stop: threading.Event) -> Captions:
        reply = self._request("captions", item, directory, CaptionLimits, stop)
        found = completed(item, item_from(reply["item"]))
        written = reply["captions"]
        return Captions(found, transcript_from(written, found) if written else None)

    def _request(
        self,
        do: Literal["fetch", "captions"],
        item: Item,
        directory: Path,
        limits: type[Limits],
        stop: threading.Event,
    ) -> Reply:
        """Have a child read the page of `item` and download something of it; raises as `fetch`."""
        request: Request = {
            "do": do,
            "source": item.source,
            "id": item.id,
            "url": item.media_url or item.url,
            "directory": str(directory.absolute()),
            "public": not _access(self.options, item.url).private_networks,
            "language": item.language,
        }
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"The folder {directory} cannot be created: {error.strerror}.",
                "Choose another place with --library.",
            ) from error
        with self._child() as child:
            try:
                reply = child.request(request, stop, limits(directory).check)
                if "live" in reply:
                    raise not_available_yet(reply)
                return reply
            except RetryableError as error:
                if re.search(UPCOMING, error.message, re.IGNORECASE):
                    raise self._with_release_time(child, request, error, stop) from error
                if error.hint == UPDATE and item.source == "youtube" and not has_runtime():
                    raise RetryableError(error.message, MISSING, error.retry_after) from error
                raise
            except PermanentError as error:
                # The user can do something, and must then ask for another attempt.
                if error.hint and do == "fetch":
                    hint = f"{error.hint} Then run: homescribe retry {item.key}"
                    raise PermanentError(error.message, hint) from error
                raise

    def _with_release_time(
        self, child: Child, fetch: Request, error: RetryableError, stop: threading.Event
    ) -> RetryableError:
        """Return `error` with the exact time on the page, which the message only rounds."""
        try:
            reply = child.request({**fetch, "do": "release"}, stop)
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
        if item.source != "generic":
            return item.source
        return Source.rate_limit_key(replace(item, media_url=None))

    @staticmethod
    def caption_key(item: Item) -> str:
        return f"{YtdlpSource.rate_limit_key(item)} captions"

    @staticmethod
    def listing_key(url: str) -> str:
        """Return YouTube's key for all of its host names, as for its items; else the host."""
        host = Source.listing_key(url)
        return "youtube" if YOUTUBE_HOST.search(host) else host

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
        """Lend a child to one caller: an idle one, or a new one."""
        with self._lock:
            if self._closed:
                raise Cancelled
            child = self._idle.pop() if self._idle else None
        if child is None:
            self._check_cookies()
            child = Child(self.options, self.timeout)
            with self._lock:
                self._all.add(child)
        try:
            yield child
        except RetryableError:
            if self._closed:  # close() killed the child
                raise Cancelled from None
            raise
        finally:
            if child.busy or self._closed:  # also after Ctrl-C during a request
                child.kill()
            with self._lock:
                if child.dead:
                    self._all.discard(child)
                else:
                    self._idle.append(child)

    def _check_cookies(self) -> None:
        if self.options.cookies and not os.access(self.options.cookies, os.R_OK):
            raise UserError(
                f"The cookie file {self.options.cookies} cannot be read.",
                "Check that it exists, and its permissions.",
            )


def _access(options: SourceOptions, given: str) -> Access:
    """Return the access for what the user gave, and what it leads to."""
    from homescribe.sources.http_response import Access

    return Access.of(options, given)


# --- Addresses -----------------------------------------------------------------------------------


def address(url: str) -> str | None:
    """Return `url` as yt-dlp accepts it, also for a handle, an id, or an address without https://."""
    url = url.strip()
    if re.fullmatch(r"@[\w.·-]+(/[a-z]*)?", url):
        return f"https://www.youtube.com/{url}"
    if re.fullmatch(r"UC[\w-]{22}", url):
        return f"https://www.youtube.com/channel/{url}"
    if re.fullmatch(r"(?:PL|UU|OLAK5uy_)[\w-]{10,}", url):
        return f"https://www.youtube.com/playlist?list={url}"
    # A search of yt-dlp: "ytsearch10:words".
    if re.match(r"[a-z]+search(?:date)?(?:\d+|all)?:\S", url):
        return url
    if re.match(r"(?:[\w-]+\.)+[a-z]{2,}/", url, re.IGNORECASE):
        url = f"https://{url}"
    if not re.match(r"https?://[^/\s]", url, re.IGNORECASE):
        return None
    return _page_of_feed(url) or url


def _page_of_feed(url: str) -> str | None:
    """Return the channel or playlist of a YouTube feed, which has only the last 15 videos."""
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
    """Whether `item` has the id of a YouTube video."""
    return item.source == "youtube" and re.fullmatch(r"[\w-]{11}", item.id, re.ASCII) is not None


@contextlib.contextmanager
def _listing_errors(url: str) -> Iterator[None]:
    """Raise UserError for an ItemError: while listing, no item can record it yet."""
    try:
        yield
    except ItemError as error:
        raise UserError(f"{sanitize.public_url(url)}: {error.message}", error.hint) from error
