"""yt-dlp in a process of its own: one JSON line in, one JSON line out, until standard input ends.

`process.py` runs it as `python -m homescribe.sources.ytdlp.child`. A process can be killed during a sleep or
a TLS handshake, its crash does not stop the run, and what yt-dlp prints (which may include lines of a broken
cookie file) does not reach the terminal.

Each request gets one line in response, as follows or {"error": facts}. The first request sets the options:
    {"cookies", "cookies_from_browser", "cache", "user_agent"} -> {"ready": yt-dlp's version}
    {"do": "list", "url", "public"}  -> {"part": {"url", "title", "newest_first"}}
    {"do": "part"}                   -> {"part": ...} the next part, {"part": null} after the last
    {"do": "more", "count"}          -> {"items": [...], "end": bool} from the current part
    {"do": "fetch", "source", "id", "url", "directory", "public"} -> {"item", "path"} or {"live", "release"}
    {"do": "captions", "source", "id", "url", "directory", "public", "language"}
        -> {"item", "captions": {"path", "language", "automatic", "unsure"} or null} or {"live", "release"}
    {"do": "extractor", "url"}       -> {"extractor": its key, "Generic" for an unknown site}
    {"do": "release", "url", "public"} -> {"release": Unix time or null} of an announced video
Those with "public": true connect to public addresses only, until the next of them.
During a download, lines with {"downloaded": bytes, "endless": whether no length is known} come before the
response; null bytes say that the download has ended.

It uses nothing of homescribe but what is imported below. Errors are sent as facts; the parent decides what
they mean (`error_map.py`).
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import yt_dlp
from yt_dlp.networking.exceptions import HTTPError
from yt_dlp.utils import ExtractorError

from homescribe.sources.radio_streams import is_radio
from homescribe.sources.ytdlp.caption_tracks import captions
from homescribe.sources.ytdlp.connection_guard import Guard, PrivateNetworkError
from homescribe.sources.ytdlp.lister import Info, Lister, find, live_reply

# About 50 kbit/s, in the original language: yt-dlp's default order prefers that to a smaller size, whereas
# `wa` or a sort by size would select an automatic dub.
FORMAT = "ba[abr<=64]/ba/b[height<=360]/w/b"
REPORT_INTERVAL = 1.0  # seconds between two reports of a download; for one batch of items, at most

# --- The audio of one item -----------------------------------------------------------------------


def fetch(ydl: yt_dlp.YoutubeDL, request: Info) -> Info:
    """Download the audio, unless the recording is live or has not begun."""
    # With the format in the name, a partial download is never resumed in another format.
    ydl.params["outtmpl"]["default"] = "audio.%(format_id)s.%(ext)s"
    # yt-dlp resumes without If-Range. The file at an address that no extractor knows may have changed.
    ydl.params["continuedl"] = request["source"] != "generic"
    # A path in the template would not do: yt-dlp expands "$" and "~" in it.
    with contextlib.chdir(request["directory"]):
        for attempt in (1, 2):
            info = find(ydl, request)
            if live := live_reply(info):
                return live
            try:
                done = ydl.process_ie_result(info, download=True)
                break
            except yt_dlp.utils.DownloadError as error:
                # Media addresses expire and are bound to one client: load the page again for new ones.
                if attempt == 2 or error_facts(error)["status"] != 403:
                    raise
        downloads = done.get("requested_downloads") or [{}]
        path = Path(downloads[0].get("filepath") or "missing").absolute()
    if not path.is_file():
        raise yt_dlp.utils.DownloadError("No file was downloaded")
    return {"item": Lister(ydl).item(done), "path": str(path)}


def release(ydl: yt_dlp.YoutubeDL, url: str) -> Info:
    """Return when an announced video begins, which is known only if missing formats are not an error."""
    ydl.params["ignore_no_formats_error"] = True
    try:
        info = Lister(ydl).follow(url)
    finally:
        ydl.params["ignore_no_formats_error"] = False
    return {"release": info.get("release_timestamp")}


# --- Errors as facts -----------------------------------------------------------------------------


def causes(error: BaseException) -> list[BaseException]:
    """Return `error` and its causes. yt-dlp keeps a cause in `exc_info` or `cause`, not always in both."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or one in found:
            continue
        found.append(one)
        origin = getattr(one, "exc_info", None) or (None, None)
        waiting += [getattr(one, "cause", None), origin[1], one.__cause__, one.__context__]
    return found


def error_facts(error: BaseException) -> Info:
    """Return the facts about an error: the classes of it and of its causes, its text, its numbers."""
    errors = causes(error)
    statuses = [one.status for one in errors if isinstance(one, HTTPError)]
    numbers = [one.errno for one in errors if isinstance(one, OSError) and one.errno]
    countries = [c for one in errors for c in getattr(one, "countries", None) or ()]
    extractor = next((one for one in errors if isinstance(one, ExtractorError)), None)
    private = [one for one in errors if isinstance(one, PrivateNetworkError)]
    shown = (*private, extractor or error, error)
    texts = [getattr(one, "orig_msg", None) or str(one) for one in shown]
    return {
        "kinds": list(dict.fromkeys(c.__name__ for one in errors for c in type(one).__mro__[:-2])),
        "text": next((text for text in texts if text), type(error).__name__),
        "status": statuses[0] if statuses else None,
        "errno": numbers[0] if numbers else None,
        "expected": extractor is None or bool(extractor.expected),
        "countries": sorted(set(countries)),
    }


# --- Requests ------------------------------------------------------------------------------------


class SilentLogger:
    """yt-dlp's logger, which prints nothing: errors come as exceptions."""

    def __init__(self) -> None:
        self.warnings: deque[str] = deque(maxlen=100)  # of the present request

    def debug(self, _: str) -> None: ...
    def info(self, _: str) -> None: ...
    def error(self, _: str) -> None: ...

    def warning(self, text: str) -> None:
        self.warnings.append(text)


class Downloader(yt_dlp.YoutubeDL):  # type: ignore[misc]
    """yt-dlp, which refuses live radio: to it, that is a recording without a length."""

    def urlopen(self, req: object) -> object:
        response = super().urlopen(req)
        if is_radio(response.headers):
            response.close()
            raise ExtractorError("This is a live radio stream, which does not end", expected=True)
        return response


class Worker:
    """Handles requests, one at a time."""

    def __init__(self, out: TextIO, options: Info) -> None:
        self.out = out
        self.reported = 0.0
        self.logger = SilentLogger()
        self.guard = Guard()
        self.guard.install()
        self.ydl = Downloader(self._parameters(options))
        self.parts: Iterator[tuple[Info, Iterator[Info]]] = iter(())
        self.items: Iterator[Info] = iter(())
        self.lister = Lister(self.ydl)

    def _parameters(self, options: Info) -> Info:
        """Return yt-dlp's parameters: no ffmpeg, no pauses (the parent makes them), no configuration file."""
        browser = options["cookies_from_browser"]
        cookies = options["cookies"]
        return {
            "format": FORMAT,
            "fixup": "never",
            "postprocessors": [],
            # Translations are not taken, and YouTube has hundreds of them for each video.
            "extractor_args": {"youtube": {"skip": ["translated_subs"]}},
            "noplaylist": True,  # a video's address that also names a playlist means the video
            "retries": 3,
            "fragment_retries": 5,
            "extractor_retries": 2,
            "retry_sleep_functions": {
                kind: (lambda n: 0.5 * 2**n) for kind in ("http", "fragment", "extractor")
            },
            "socket_timeout": 20,
            "skip_unavailable_fragments": False,  # a gap would lose words
            "updatetime": False,
            "windowsfilenames": True,
            "cachedir": options["cache"],
            # Opened here, so that yt-dlp neither expands the path nor writes to the file.
            "cookiefile": Path(cookies).open(encoding="utf-8") if cookies else None,
            "cookiesfrombrowser": browser_specification(browser) if browser else None,
            "http_headers": {"User-Agent": agent} if (agent := options["user_agent"]) else {},
            "js_runtimes": {"deno": {}, "node": {}},  # node where there is no deno
            "logger": self.logger,
            "quiet": True,
            "noprogress": True,
            "color": "never",
            "progress_hooks": [self._report],
        }

    def _report(self, progress: Info) -> None:
        """Report a download: yt-dlp calls this after each block."""
        if progress.get("status") == "finished":
            write_line(self.out, {"downloaded": None})
        elif time.monotonic() - self.reported > REPORT_INTERVAL:
            self.reported = time.monotonic()
            lengths = ("total_bytes", "total_bytes_estimate", "fragment_count")
            endless = not any(progress.get(name) for name in lengths)
            downloaded = progress.get("downloaded_bytes") or 0
            write_line(self.out, {"downloaded": downloaded, "endless": endless})

    def handle(self, request: Info) -> Info:
        """Return the response to `request`; raises whatever yt-dlp raises."""
        self.logger.warnings.clear()
        self.guard.public_only = request.get("public", self.guard.public_only)
        match request["do"]:
            case "list":
                self.lister = Lister(self.ydl)
                self.parts = self.lister.parts(request["url"])
                return self._part()
            case "part":
                return self._part()
            case "more":
                return self._more(request["count"])
            case "fetch":
                self.reported = 0.0
                return fetch(self.ydl, request)
            case "captions":
                self.reported = 0.0
                return captions(self.ydl, request)
            case "extractor":
                return {"extractor": Lister(self.ydl).extractor(request["url"])}
            case "release":
                return release(self.ydl, request["url"])
        raise ValueError(request["do"])

    def _part(self) -> Info:
        head, self.items = next(self.parts, (None, iter(())))
        return {"part": head}

    def _more(self, count: int) -> Info:
        """Return the next items: at most `count`, and fewer while a page loads slowly."""
        items: list[Info] = []
        started = time.monotonic()
        while len(items) < count and time.monotonic() - started < REPORT_INTERVAL:
            info = next(self.items, None)
            if info is None:
                return {"items": items, "end": True}
            items.append(self.lister.item(info))
        return {"items": items, "end": False}


def write_line(out: TextIO, message: Info) -> None:
    """Write `message` as one line of JSON."""
    out.write(json.dumps(message) + "\n")  # ASCII only, so that no title can break the line
    out.flush()


def browser_specification(text: str) -> tuple[str | None, ...]:
    """Return BROWSER[+KEYRING][:PROFILE][::CONTAINER] as the tuple that yt-dlp's API takes."""
    match = re.fullmatch(
        r"(?P<browser>[^+:]+)(?:\+(?P<keyring>[^:]+))?(?::(?!:)(?P<profile>.+?))?(?:::(?P<container>.+))?",
        text,
    )
    if not match:
        return (text, None, None, None)
    keyring = match["keyring"].upper() if match["keyring"] else None
    return (match["browser"].lower(), match["profile"], keyring, match["container"])


def exit_process() -> None:
    """End this process and whatever yt-dlp started (a JavaScript runtime, ffmpeg)."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(1)


def read_requests(source: TextIO, inbox: queue.Queue[Info]) -> None:
    """Queue the parent's requests. When the parent is gone, stop the current request and exit."""
    for line in source:
        inbox.put(json.loads(line))
    if hasattr(os, "killpg"):
        os.kill(os.getpid(), signal.SIGINT)  # lets a download close its file
        time.sleep(0.5)
    exit_process()


def main() -> None:
    # Keep the pipes for the protocol: nothing that yt-dlp prints or starts may write to or read from them.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    source = os.fdopen(os.dup(0), "r", encoding="utf-8")
    os.dup2(2, 1)
    with open(os.devnull) as nothing:  # noqa: PTH123 - needed as a descriptor
        os.dup2(nothing.fileno(), 0)

    inbox: queue.Queue[Info] = queue.Queue()
    threading.Thread(target=read_requests, args=(source, inbox), daemon=True).start()
    worker: Worker | None = None
    try:
        while True:
            request = inbox.get()
            try:
                if worker is None:
                    worker = Worker(out, request)
                    response = {"ready": yt_dlp.version.__version__}
                else:
                    response = worker.handle(request)
            except Exception as error:  # noqa: BLE001 - the border of the process: all that yt-dlp raises
                response = {"error": error_facts(error)}
            write_line(out, response)
    except KeyboardInterrupt:
        exit_process()


if __name__ == "__main__":
    main()
