"""The recordings at an address, as yt-dlp's extractors find them. Part of the child process.

A channel, playlist or page becomes a stream of info dicts, one page of a list at a time, and only as far as
the caller reads. It uses nothing of homescribe: see `child.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import yt_dlp
from yt_dlp.extractor.generic import GenericIE
from yt_dlp.utils import ExtractorError, smuggle_url, unsmuggle_url

Info = dict[str, Any]  # yt-dlp's info dict, documented in yt_dlp/extractor/common.py

MAX_DEPTH = 3  # of links from list to list: the playlists of a channel, a playlist, a redirection
# Extractors whose ids come from file names and positions ("audio-1"): the page's address identifies the item.
WITHOUT_STABLE_IDS = ("generic", "html5mediaembed")
LIST_EXTRACTORS = ("YoutubeTab", "YoutubePlaylist")  # which also accept a live channel
TABS = ("videos", "streams", "shorts")  # of a channel: those with new uploads at the top


class FeedFound(ExtractorError):  # type: ignore[misc]
    """The address is a feed of RSS or Atom, which yt-dlp would list as pages without names."""


def refuse_feed(self: object, url: str, video_id: str, document: object) -> Info:
    """Stand in for the method of yt-dlp's generic extractor that lists a feed."""
    raise FeedFound("This is a feed", expected=True)


class Lister:
    """Lists the recordings at one address, each only once."""

    def __init__(self, ydl: yt_dlp.YoutubeDL) -> None:
        self.ydl = ydl
        GenericIE._extract_rss = refuse_feed
        self.seen: set[tuple[str, str]] = set()
        self.visited: set[str] = set()

    def parts(self, url: str) -> Iterator[tuple[Info, Iterator[Info]]]:
        """Yield {url, title, newest_first} and the items of each part: the tabs of a channel, or one."""
        url = re.sub(r"(youtube\.com/[^?#]+)/featured/?$", r"\1", url)
        result = self.follow(url)
        tab = tab_of(url)
        if is_youtube_channel(result) and tab in ("", *TABS):
            address = f"https://www.youtube.com/channel/{result['channel_id']}"
            title = result.get("channel") or result.get("title")
            if tab:
                address, title = f"{address}/{tab}", result.get("title")
            tabs = result["entries"] if is_list_of_lists(result) else [result]
            # Several tabs in one part would have no top at which new uploads appear.
            in_order = "sort=" not in urlsplit(url).query and not isinstance(
                tabs[0].get("entries"), list
            )
            for part in tabs:
                head = {"url": address, "title": title, "newest_first": in_order}
                yield head, self.of_channel(result, self.items(part))
        else:
            head = {"url": address_of(result), "title": result.get("title"), "newest_first": False}
            yield head, self.items(result)

    def of_channel(self, channel: Info, items: Iterator[Info]) -> Iterator[Info]:
        """Yield `items` with the name of their channel, which entries on the channel's own pages lack."""
        for one in items:
            named = {k: one.get(k) or channel.get(k) for k in ("channel", "channel_id")}
            yield {**one, **named}

    def follow(self, url: str, ie_key: str | None = None) -> Info:
        """Return the info dict at `url` after redirections. The lists in it are not read yet."""
        outer: Info = {}
        for _ in range(MAX_DEPTH + 1):
            result = self.ydl.extract_info(url, download=False, process=False, ie_key=ie_key)
            if result is None:
                raise ExtractorError("Nothing was found at this address", expected=True)
            result = {**result, **outer}
            if result.get("_type") not in ("url", "url_transparent"):
                return result
            if result["_type"] == "url_transparent":  # the embedding page wins
                hidden = ("_type", "url", "ie_key", "id", "extractor", "extractor_key")
                outer = {k: v for k, v in result.items() if v is not None and k not in hidden}
            url, ie_key = result["url"], result.get("ie_key")
        raise ExtractorError("The address redirects too many times", expected=True)

    def items(self, result: Info, depth: int = MAX_DEPTH) -> Iterator[Info]:
        """Yield the recordings in `result` and in the lists that it contains."""
        kind = result.get("_type", "video")
        if kind in ("playlist", "multi_video", "compat_list"):
            for entry in result.get("entries") or ():
                if entry:
                    yield from self.items(inherit(entry, result), depth)
            return
        if kind in ("url", "url_transparent") and self.is_list(result):
            if depth and result["url"] not in self.visited:
                self.visited.add(result["url"])
                nested = self.follow(result["url"], result.get("ie_key"))
                yield from self.items(nested, depth - 1)
            return
        key = self.identity(result)
        if key not in self.seen:
            self.seen.add(key)
            yield result

    def is_list(self, entry: Info) -> bool:
        """Whether `entry` links to a list. An extractor that does not say so has single videos."""
        if not entry.get("ie_key"):
            return False
        if entry["ie_key"] in LIST_EXTRACTORS:
            return True
        return self.ydl.get_info_extractor(entry["ie_key"]).is_single_video(entry["url"]) is False

    def identity(self, info: Info) -> tuple[str, str]:
        """Return (source, id): the same for an entry of a list and for the recording's own page."""
        link = info.get("url") if info.get("_type", "video") != "video" else None
        key = info.get("ie_key") or (info.get("extractor_key") if not link else None)
        if not key:
            key = self.extractor(link) if link else "Generic"
        source = "youtube" if key.startswith("Youtube") else key.lower()
        source = "generic" if source in WITHOUT_STABLE_IDS else source
        name = info.get("id")
        if link and not name and source != "generic":
            name = self.ydl.get_info_extractor(key).get_temp_id(link)
        if source != "generic" and name and re.fullmatch(r"[\w.~@+=-]{1,100}", str(name), re.A):
            return source, str(name)
        page = canonical(link or info.get("webpage_url") or info.get("url") or "")
        within = f"\n{name}" if info.get("_of") else ""
        return source, hashlib.sha256(f"{page}{within}".encode()).hexdigest()[:16]

    def extractor(self, url: str) -> str:
        """Return the key of the extractor for `url`."""
        return next((key for key, ie in self.ydl._ies.items() if ie.suitable(url)), "Generic")

    def item(self, info: Info) -> Info:
        """Return the fields of an info dict that homescribe keeps."""
        source, name = self.identity(info)
        link = info.get("url") if info.get("_type", "video") != "video" else None
        plain, smuggled = unsmuggle_url(link) if link else (None, None)
        url = info.get("webpage_url") if not link else plain
        if source == "youtube":
            url = f"https://www.youtube.com/watch?v={name}"
        moment = info.get("timestamp") or info.get("release_timestamp")
        return {
            "source": source,
            "id": name,
            "url": url,
            "media_url": smuggle_url(plain, smuggled) if smuggled else None,
            # The publisher's title: yt-dlp makes one up ("youtube video #...") where there is none.
            "title": info.get("fulltitle", info.get("title")) or str(info.get("id") or name),
            "channel": info.get("channel") or info.get("uploader") or info.get("series"),
            "channel_id": info.get("channel_id") or info.get("uploader_id"),
            "duration": info.get("duration"),
            "upload_date": info.get("upload_date") or (moment and day(moment)),
            "language": info.get("language"),
            "availability": info.get("availability") or "public",  # listings name only restrictions
            "description": info.get("description"),
            "chapters": [
                [chapter.get("start_time"), chapter.get("end_time"), chapter.get("title")]
                for chapter in info.get("chapters") or ()
            ],
        }


def inherit(entry: Info, parent: Info) -> Info:
    """Return `entry` of a list with the extractor and the addresses of the list's page."""
    if entry.get("_type", "video") != "video":
        return entry
    own = {key: value for key, value in entry.items() if value is not None}
    kept = {k: parent.get(k) for k in ("extractor", "extractor_key", "webpage_url", "original_url")}
    return {**kept, "_of": parent.get("id") or True, **own}


def is_youtube_channel(result: Info) -> bool:
    """Whether `result` is a channel of YouTube, or a tab of one."""
    return result.get("extractor_key") == "YoutubeTab" and bool(
        re.fullmatch(r"UC[\w-]{22}", result.get("channel_id") or "")
        and tab_of(result.get("original_url") or "") is not None
    )


def is_list_of_lists(result: Info) -> bool:
    """Whether each entry of `result` is a list: the tabs of a channel."""
    entries = result.get("entries")
    if not isinstance(entries, list) or not entries:
        return False
    return all(entry and entry.get("_type") == "playlist" for entry in entries)


def tab_of(url: str) -> str | None:
    """Return the tab in the address of a YouTube channel, "" without one; None for other addresses."""
    match = re.match(
        r"https?://(?:\w+\.)?youtube\.com/"
        r"(?:(?:channel|c|user)/[^/?#]+|@[^/?#]+|(?!playlist|watch|feed|hashtag|channel\b|c\b|user\b)[^/?#]+)"
        r"(?:/([^/?#]+))?/?(?:[?#].*)?$",
        url,
    )
    return (match[1] or "") if match else None


def address_of(result: Info) -> str:
    """Return the canonical address of a list or a page."""
    if result.get("extractor_key") == "YoutubeTab" and "list=" in (result.get("webpage_url") or ""):
        return f"https://www.youtube.com/playlist?list={result['id']}"
    if result.get("extractor_key") == "Youtube":
        return f"https://www.youtube.com/watch?v={result['id']}"
    return canonical(result.get("webpage_url") or result.get("original_url") or "")


def canonical(url: str) -> str:
    """Return `url` with the host in lower case, without a default port and a point in time."""
    plain: str = unsmuggle_url(url)[0]
    parts = urlsplit(plain)
    host = (parts.hostname or "") + (f":{parts.port}" if parts.port not in (None, 80, 443) else "")
    fragment = "" if re.fullmatch(r"t=[\w.:]*", parts.fragment) else parts.fragment
    return urlunsplit((parts.scheme.lower(), host, parts.path or "/", parts.query, fragment))


def day(timestamp: float) -> str | None:
    """Return the date of a Unix time as yt-dlp writes it ("20260301"); None if it is out of range."""
    with contextlib.suppress(ValueError, OverflowError, OSError, TypeError):
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y%m%d")
    return None


def live_reply(info: Info) -> Info | None:
    """Return {"live", "release"} for a recording that is live or has not begun, else None."""
    live = info.get("live_status") or ("is_live" if info.get("is_live") else None)
    if live in ("is_live", "is_upcoming", "post_live"):
        return {"live": live, "release": info.get("release_timestamp")}
    return None


def find(ydl: yt_dlp.YoutubeDL, request: Info) -> Info:
    """Return the info dict of the item in `request`: the recording of its page, or one of several there."""
    lister = Lister(ydl)
    result = lister.follow(request["url"])
    if result.get("_type", "video") == "video":
        return result
    wanted = (request["source"], request["id"])
    for entry in lister.items(result):
        if lister.identity(entry) == wanted:
            if entry.get("_type", "video") == "video":
                return entry
            return lister.follow(entry["url"], entry.get("ie_key"))
    raise ExtractorError("This is a list of recordings: add it by its own address", expected=True)
