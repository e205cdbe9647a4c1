"""yt-dlp in a process of its own: one JSON line in, one JSON line out, until standard input ends.

Run by `process.py` as `python -m homescribe.sources.ytdlp.child`. A process of its own can be
killed in the middle of a sleep or a handshake, cannot take the run down with it, and keeps what yt-dlp
prints (lines of a broken cookie file among it) away from the terminal.

Each request is answered by one line, as follows or by {"error": facts}. The first sets the options:
    {"cookies", "cookies_from_browser", "cache"} -> {"ready": yt-dlp's version}
    {"do": "list", "url"}            -> {"part": {"url", "title", "newest_first"}}
    {"do": "part"}                   -> {"part": ...} the next one, {"part": null} after the last
    {"do": "more", "count"}          -> {"items": [...], "end": bool} from the current part
    {"do": "fetch", "source", "id", "url", "directory"} -> {"item", "path"} or {"live", "release"}
    {"do": "release", "url"}         -> {"release": Unix time or null} of what is announced
While a download moves, {"alive": bytes} lines come in between.

Nothing of homescribe is imported, and errors are told as facts: what they mean is the parent's business.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import re
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit, urlunsplit

import yt_dlp
from yt_dlp.networking.exceptions import HTTPError
from yt_dlp.utils import ExtractorError, smuggle_url, unsmuggle_url

Info = dict[str, Any]  # yt-dlp's info dict, as documented in yt_dlp/extractor/common.py

# About 50 kbit/s, in the original language: the default sort prefers that over small size, whereas `wa`
# or a sort by size would take an automatic dub.
FORMAT = "ba[abr<=64]/ba/b[height<=360]/w/b"
HOPS = 3  # links followed from a list: a channel's page of playlists, a playlist, a redirect
# Extractors that make ids up from file names and positions ("audio-1"): known by the page's address instead.
NAMELESS = ("generic", "html5mediaembed")
LISTS = ("YoutubeTab", "YoutubePlaylist")  # they also stand for a live channel, and so do not say
TABS = ("videos", "streams", "shorts")  # of a channel: where new uploads appear at the top
MOMENT = 1.0  # seconds after which a slow page's entries are passed on


# --- What is at an address -----------------------------------------------------------------------


class Lister:
    """Walks what an address leads to, one page at a time, as far as it is asked."""

    def __init__(self, ydl: Any) -> None:
        self.ydl = ydl
        self.seen: set[tuple[str, str]] = set()
        self.visited: set[str] = set()

    def parts(self, url: str) -> Iterator[tuple[Info, Iterator[Info]]]:
        """(url, title, newest_first) and the items of each part: a channel's tabs, or all in one."""
        url = re.sub(r"(youtube\.com/[^?#]+)/featured/?$", r"\1", url)
        result = self.follow(url)
        tab = tab_of(url)
        if is_youtube_channel(result) and tab in ("", *TABS):
            address = f"https://www.youtube.com/channel/{result['channel_id']}"
            title = result.get("channel") or result.get("title")
            if tab:
                address, title = f"{address}/{tab}", result.get("title")
            tabs = result["entries"] if is_list_of_lists(result) else [result]
            # Several tabs in one would have no top at which new uploads appear.
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
        """`items` with the name of their channel, which the entries on its own pages leave out."""
        for one in items:
            named = {k: one.get(k) or channel.get(k) for k in ("channel", "channel_id")}
            yield {**one, **named}

    def follow(self, url: str, ie_key: str | None = None) -> Info:
        """What is at `url`, redirections followed; the lists in it not yet read."""
        outer: Info = {}
        for _ in range(HOPS + 1):
            result = self.ydl.extract_info(url, download=False, process=False, ie_key=ie_key)
            if result is None:
                raise ExtractorError("Nothing was found there", expected=True)
            result = {**result, **outer}
            if result.get("_type") not in ("url", "url_transparent"):
                return result
            if result["_type"] == "url_transparent":  # what the embedding page says counts for more
                hidden = ("_type", "url", "ie_key", "id", "extractor", "extractor_key")
                outer = {k: v for k, v in result.items() if v is not None and k not in hidden}
            url, ie_key = result["url"], result.get("ie_key")
        raise ExtractorError("It leads from one address to the next without end", expected=True)

    def items(self, result: Info, hops: int = HOPS) -> Iterator[Info]:
        """The recordings in `result`, those of lists within the list included, each once."""
        kind = result.get("_type", "video")
        if kind in ("playlist", "multi_video", "compat_list"):
            for entry in result.get("entries") or ():
                if entry:
                    yield from self.items(inherit(entry, result), hops)
            return
        if kind in ("url", "url_transparent") and self.is_list(result):
            if hops and result["url"] not in self.visited:
                self.visited.add(result["url"])
                nested = self.follow(result["url"], result.get("ie_key"))
                yield from self.items(nested, hops - 1)
            return
        key = self.identity(result)
        if key not in self.seen:
            self.seen.add(key)
            yield result

    def is_list(self, entry: Info) -> bool:
        """Whether a link is known to lead to a list; most extractors do not say, and mean a video."""
        if not entry.get("ie_key"):
            return False
        if entry["ie_key"] in LISTS:
            return True
        return self.ydl.get_info_extractor(entry["ie_key"]).is_single_video(entry["url"]) is False

    def identity(self, info: Info) -> tuple[str, str]:
        """(source, id), the same for an entry of a list and for its own page."""
        link = info.get("url") if info.get("_type", "video") != "video" else None
        key = info.get("ie_key") or (info.get("extractor_key") if not link else None)
        if not key:
            key = self.extractor(link) if link else "Generic"
        source = "youtube" if key.startswith("Youtube") else key.lower()
        source = "generic" if source in NAMELESS else source
        name = info.get("id")
        if link and not name and source != "generic":
            name = self.ydl.get_info_extractor(key).get_temp_id(link)
        if source != "generic" and name and re.fullmatch(r"[\w.~@+=-]{1,100}", str(name), re.A):
            return source, str(name)
        page = canonical(link or info.get("webpage_url") or info.get("url") or "")
        within = f"\n{name}" if info.get("_of") else ""
        return source, hashlib.sha256(f"{page}{within}".encode()).hexdigest()[:16]

    def extractor(self, url: str) -> str:
        """The key of the extractor that takes `url`."""
        return next((key for key, ie in self.ydl._ies.items() if ie.suitable(url)), "Generic")

    def item(self, info: Info) -> Info:
        """What homescribe keeps of an info dict."""
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
            # The publisher's: yt-dlp makes one up ("youtube video #...") where there is none.
            "title": info.get("fulltitle", info.get("title")) or str(info.get("id") or name),
            "channel": info.get("channel") or info.get("uploader") or info.get("series"),
            "channel_id": info.get("channel_id") or info.get("uploader_id"),
            "duration": info.get("duration"),
            "upload_date": info.get("upload_date") or (moment and day(moment)),
            "language": info.get("language"),
            "description": info.get("description"),
            "chapters": [
                [chapter.get("start_time"), chapter.get("end_time"), chapter.get("title")]
                for chapter in info.get("chapters") or ()
            ],
        }


def inherit(entry: Info, parent: Info) -> Info:
    """`entry` of a list with what it takes from the list's page: whose it is and where it stands."""
    if entry.get("_type", "video") != "video":
        return entry
    own = {key: value for key, value in entry.items() if value is not None}
    kept = {k: parent.get(k) for k in ("extractor", "extractor_key", "webpage_url", "original_url")}
    return {**kept, "_of": parent.get("id") or True, **own}


def is_youtube_channel(result: Info) -> bool:
    return result.get("extractor_key") == "YoutubeTab" and bool(
        re.fullmatch(r"UC[\w-]{22}", result.get("channel_id") or "")
        and tab_of(result.get("original_url") or "") is not None
    )


def is_list_of_lists(result: Info) -> bool:
    entries = result.get("entries")
    if not isinstance(entries, list) or not entries:
        return False
    return all(entry and entry.get("_type") == "playlist" for entry in entries)


def tab_of(url: str) -> str | None:
    """The tab that a YouTube channel's address names, "" when none; None when it is no channel's."""
    match = re.match(
        r"https?://(?:\w+\.)?youtube\.com/"
        r"(?:(?:channel|c|user)/[^/?#]+|@[^/?#]+|(?!playlist|watch|feed|hashtag|channel\b|c\b|user\b)[^/?#]+)"
        r"(?:/([^/?#]+))?/?(?:[?#].*)?$",
        url,
    )
    return (match[1] or "") if match else None


def address_of(result: Info) -> str:
    """The one address of a list or a page, however it was spelled."""
    if result.get("extractor_key") == "YoutubeTab" and "list=" in (result.get("webpage_url") or ""):
        return f"https://www.youtube.com/playlist?list={result['id']}"
    if result.get("extractor_key") == "Youtube":
        return f"https://www.youtube.com/watch?v={result['id']}"
    return canonical(result.get("webpage_url") or result.get("original_url") or "")


def canonical(url: str) -> str:
    """`url` without what does not change the page: case of the host, its port, a point in time."""
    plain: str = unsmuggle_url(url)[0]
    parts = urlsplit(plain)
    host = (parts.hostname or "") + (f":{parts.port}" if parts.port not in (None, 80, 443) else "")
    fragment = "" if re.fullmatch(r"t=[\w.:]*", parts.fragment) else parts.fragment
    return urlunsplit((parts.scheme.lower(), host, parts.path or "/", parts.query, fragment))


def day(timestamp: float) -> str | None:
    with contextlib.suppress(ValueError, OverflowError, OSError, TypeError):
        return datetime.fromtimestamp(timestamp, UTC).strftime("%Y%m%d")
    return None


# --- The audio of one item -----------------------------------------------------------------------


def find(ydl: Any, request: Info) -> Info:
    """The info dict of the item that `request` names: what its page holds, or one of what it holds."""
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
    raise ExtractorError("This is a list of recordings; add it by its own address", expected=True)


def fetch(ydl: Any, request: Info) -> Info:
    """Download the audio, unless it is being broadcast or is still to come."""
    # The format in the name: what was begun in one format is never continued in another.
    ydl.params["outtmpl"]["default"] = "audio.%(format_id)s.%(ext)s"
    # Not a path in the template: yt-dlp would expand its "$" and "~".
    with contextlib.chdir(request["directory"]):
        for attempt in (1, 2):
            info = find(ydl, request)
            if info.get("live_status") in ("is_live", "is_upcoming", "post_live"):
                return {"live": info["live_status"], "release": info.get("release_timestamp")}
            try:
                done = ydl.process_ie_result(info, download=True)
                break
            except yt_dlp.utils.DownloadError as error:
                # Addresses of media expire and are bound to one client: a fresh page gives fresh ones.
                if attempt == 2 or facts(error)["status"] != 403:
                    raise
        downloads = done.get("requested_downloads") or [{}]
        path = Path(downloads[0].get("filepath") or "missing").absolute()
    if not path.is_file():
        raise yt_dlp.utils.DownloadError("No file was downloaded")
    return {"item": Lister(ydl).item(done), "path": str(path)}


def release(ydl: Any, url: str) -> Info:
    """When an announced video is to begin: told only when its missing formats are no error."""
    ydl.params["ignore_no_formats_error"] = True
    try:
        info = Lister(ydl).follow(url)
    finally:
        ydl.params["ignore_no_formats_error"] = False
    return {"release": info.get("release_timestamp")}


# --- Errors as facts -----------------------------------------------------------------------------


def chain(error: BaseException) -> list[BaseException]:
    """`error` and what it came from. yt-dlp keeps the origin in `exc_info` or `cause`, not always both."""
    found: list[BaseException] = []
    waiting: list[Any] = [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or one in found:
            continue
        found.append(one)
        origin = getattr(one, "exc_info", None) or (None, None)
        waiting += [getattr(one, "cause", None), origin[1], one.__cause__, one.__context__]
    return found


def facts(error: BaseException) -> Info:
    """What is known about an error: its classes and its origin's, its words, its numbers."""
    errors = chain(error)
    statuses = [one.status for one in errors if isinstance(one, HTTPError)]
    numbers = [one.errno for one in errors if isinstance(one, OSError) and one.errno]
    countries = [c for one in errors for c in getattr(one, "countries", None) or ()]
    extractor = next((one for one in errors if isinstance(one, ExtractorError)), None)
    texts = [getattr(one, "orig_msg", None) or str(one) for one in (extractor or error, error)]
    return {
        "kinds": list(dict.fromkeys(c.__name__ for one in errors for c in type(one).__mro__[:-2])),
        "text": next((text for text in texts if text), type(error).__name__),
        "status": statuses[0] if statuses else None,
        "errno": numbers[0] if numbers else None,
        "expected": extractor is None or bool(extractor.expected),
        "countries": sorted(set(countries)),
    }


# --- The conversation ----------------------------------------------------------------------------


class Silent:
    """yt-dlp's logger: errors come as exceptions, and nothing else is anybody's business."""

    def debug(self, _: str) -> None: ...
    def info(self, _: str) -> None: ...
    def warning(self, _: str) -> None: ...
    def error(self, _: str) -> None: ...


class Conversation:
    """Answers requests, one at a time."""

    def __init__(self, out: TextIO, options: Info) -> None:
        self.out = out
        self.reported = 0.0
        self.ydl = yt_dlp.YoutubeDL(self.parameters(options))
        self.parts: Iterator[tuple[Info, Iterator[Info]]] = iter(())
        self.items: Iterator[Info] = iter(())
        self.lister = Lister(self.ydl)

    def parameters(self, options: Info) -> Info:
        """yt-dlp's parameters. No ffmpeg, no sleeping (the parent is polite for us), no user's config."""
        browser = options["cookies_from_browser"]
        cookies = options["cookies"]
        return {
            "format": FORMAT,
            "fixup": "never",
            "postprocessors": [],
            "noplaylist": True,  # a video's address that also names a playlist means the video
            "retries": 3,
            "fragment_retries": 5,
            "extractor_retries": 2,
            "retry_sleep_functions": {
                kind: (lambda n: 0.5 * 2**n) for kind in ("http", "fragment", "extractor")
            },
            "socket_timeout": 20,
            "skip_unavailable_fragments": False,  # a gap would be missing words
            "updatetime": False,
            "windowsfilenames": True,
            "cachedir": options["cache"],
            # Read here, so that yt-dlp neither expands the path nor writes the file.
            "cookiefile": open_text(cookies) if cookies else None,
            "cookiesfrombrowser": browser_specification(browser) if browser else None,
            "js_runtimes": {"deno": {}, "node": {}},  # node where there is no deno
            "logger": Silent(),
            "quiet": True,
            "noprogress": True,
            "color": "never",
            "progress_hooks": [self.alive],
        }

    def alive(self, progress: Info) -> None:
        if time.monotonic() - self.reported > MOMENT:
            self.reported = time.monotonic()
            say(self.out, {"alive": progress.get("downloaded_bytes")})

    def answer(self, request: Info) -> Info:
        match request["do"]:
            case "list":
                self.lister = Lister(self.ydl)
                self.parts = self.lister.parts(request["url"])
                return self.part()
            case "part":
                return self.part()
            case "more":
                return self.more(request["count"])
            case "fetch":
                return fetch(self.ydl, request)
            case "release":
                return release(self.ydl, request["url"])
        raise ValueError(request["do"])

    def part(self) -> Info:
        head, self.items = next(self.parts, (None, iter(())))
        return {"part": head}

    def more(self, count: int) -> Info:
        """The next items, at most `count`, fewer when a page takes its time."""
        items: list[Info] = []
        started = time.monotonic()
        while len(items) < count and time.monotonic() - started < MOMENT:
            info = next(self.items, None)
            if info is None:
                return {"items": items, "end": True}
            items.append(self.lister.item(info))
        return {"items": items, "end": False}


def say(out: TextIO, answer: Info) -> None:
    out.write(json.dumps(answer) + "\n")  # ASCII: whatever is in a title stays within its line
    out.flush()


def open_text(path: str) -> TextIO:
    return Path(path).open(encoding="utf-8")


def browser_specification(text: str) -> tuple[str | None, ...]:
    """yt-dlp's BROWSER[+KEYRING][:PROFILE][::CONTAINER] as the tuple its API takes."""
    match = re.fullmatch(
        r"(?P<browser>[^+:]+)(?:\+(?P<keyring>[^:]+))?(?::(?!:)(?P<profile>.+?))?(?:::(?P<container>.+))?",
        text,
    )
    if not match:
        return (text, None, None, None)
    keyring = match["keyring"].upper() if match["keyring"] else None
    return (match["browser"].lower(), match["profile"], keyring, match["container"])


def end() -> None:
    """Leave, and take along whatever yt-dlp started (a JavaScript runtime, ffmpeg)."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def read_requests(source: TextIO, requests: queue.Queue[Info]) -> None:
    """Pass on the parent's requests; when it is gone, stop whatever is going on."""
    for line in source:
        requests.put(json.loads(line))
    if hasattr(os, "killpg"):
        os.kill(os.getpid(), signal.SIGINT)  # lets a download close its file
        time.sleep(0.5)
    end()


def main() -> None:
    # The pipes are ours alone: nothing that yt-dlp prints or starts may write or read here.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    source = os.fdopen(os.dup(0), "r", encoding="utf-8")
    os.dup2(2, 1)
    with open(os.devnull) as nothing:  # noqa: PTH123 - a descriptor is wanted, not a file
        os.dup2(nothing.fileno(), 0)

    requests: queue.Queue[Info] = queue.Queue()
    threading.Thread(target=read_requests, args=(source, requests), daemon=True).start()
    conversation: Conversation | None = None
    try:
        while True:
            request = requests.get()
            try:
                if conversation is None:
                    conversation = Conversation(out, request)
                    answer = {"ready": yt_dlp.version.__version__}
                else:
                    answer = conversation.answer(request)
            except Exception as error:  # noqa: BLE001 - the border of the process: all that yt-dlp raises
                answer = {"error": facts(error)}
            say(out, answer)
    except KeyboardInterrupt:
        end()


if __name__ == "__main__":
    main()
