"""YouTube and every site that yt-dlp knows. yt-dlp runs in child processes; see ytdlp_child.

Two rules live here. A child serves one caller at a time, and is killed rather than waited for: a cancelled
request ends within a second, in whatever sleep or handshake it is. And what an error of yt-dlp means is
decided in one place, `reaction`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

from homescribe.core import HOUR, MINUTE, SECOND, Audio, Chapter, Item, Listing, SourceOptions
from homescribe.errors import (
    Cancelled,
    HomescribeError,
    ItemError,
    PermanentError,
    RetryableError,
    SetupError,
    SourceBlocked,
    UserError,
)
from homescribe.sources import text

BATCH = 25  # items asked for at once: less than a page of YouTube (30), so that stopping early saves pages
TICK = 0.05  # seconds between two looks at `stop`
GRACE = 0.4  # seconds a child has to close its files
UPDATE = "Sites change often: update yt-dlp (pip install -U 'yt-dlp[default]')."
COOKIES = "Pass the cookies of an account that may see it (--cookies FILE)."

Reply = dict[str, Any]  # one line of the child


# --- What an error means -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Failure:
    """What the child knows about an error."""

    kinds: frozenset[str]  # names of its classes and of those that it came from
    text: str  # folded, curly apostrophes straightened
    status: int | None = None  # HTTP
    errno: int | None = None
    expected: bool = True  # False: yt-dlp takes it for a bug of its own
    countries: tuple[str, ...] = ()


def failure(facts: Reply) -> Failure:
    """The child's facts as a value, its words without what yt-dlp adds for its own users."""
    words = plain(facts["text"])
    named = re.search(
        r"HTTP Error (\d{3})\b", words
    )  # after its retries yt-dlp keeps the words only
    return Failure(
        kinds=frozenset(facts["kinds"]),
        text=words,
        status=facts["status"] or (int(named[1]) if named else None),
        errno=facts["errno"],
        expected=facts["expected"],
        countries=tuple(facts["countries"]),
    )


def plain(words: str) -> str:
    """One line without colours, tags, and advice that is meant for yt-dlp's command line."""
    words = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", words[:20_000]).replace("’", "'")
    words = re.sub(r"^\s*ERROR:\s*", "", words)
    words = re.sub(r"^\[[\w:+.-]+\]\s*(?:[\w.~-]+:\s+)?", "", words)
    words = re.sub(r"^Got error:\s*|HTTPS?Connection(?:Pool)?\([^)]*\):\s*", "", words)
    for tail in (
        r"[;.]?\s*please report this issue on\s.*",
        r"\s*Use --cookies.*",
        r"\s*Giving up after \d+ retries.*",
        r"\s*(?:Also )?[Ss]ee\s+https://github\.com/yt-dlp/.*",
        r"\s*Confirm you are on the latest version.*",
        r"\s*It is recommended to use `-t sleep`.*",
        r"\s*You might want to use a VPN.*",
        r"\s*\(caused by .*",
    ):
        words = re.sub(tail, "", words, flags=re.DOTALL)
    return text.message(words)


# In this order: the first expression found in an error's words decides. Taken from yt-dlp's extractors and
# the reasons that YouTube gives.
BOT = r"not a bot|captcha|ip (?:address )?is likely being blocked"
RATE_LIMIT = r"rate.?limited|too many requests"
UPCOMING = (
    r"premieres? in|premiere will begin|live event will begin|event has not (?:yet )?started|"
    r"scheduled for"
)
PRIVATE = r"private video|video is private|this playlist is private"
ACCOUNT = (
    r"join this channel|members.only|members on level|confirm your age|age.restricted|sign in|log ?in\b|"
    r"logged.in|registered users|account credentials|requires? (?:an? )?(?:account|subscription|payment)|"
    r"premium|paid|purchase"
)
TRANSIENT = (
    r"try again|temporar|something went wrong|internal (?:server )?error|service unavailable"
)
CONNECTION = (
    r"timed out|connection (?:refused|reset|aborted|broken|was closed)|failed to (?:establish|resolve)|"
    r"unable to connect|name or service|name resolution|getaddrinfo|unreachable|incomplete ?read|"
    r"bytes read|eof occurred"
)
NO_FORMAT = r"requested format is not available|no video formats"
FFMPEG = r"ffmpeg"
DISK = (
    r"no space left|unable to open for writing|unable to write data|quota exceeded|"
    r"unable to create directory"
)

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
NETWORK = frozenset(
    {"TransportError", "RequestError", "ContentTooShortError", "TimeoutError", "ConnectionError"}
)


def reaction(failed: Failure) -> HomescribeError:
    """What follows from an error of yt-dlp: the one place where that is decided."""

    def says(expression: str) -> bool:
        return re.search(expression, failed.text, re.IGNORECASE) is not None

    if "CookieLoadError" in failed.kinds:  # its words may hold a line of the file
        return UserError(
            "The cookies cannot be read.",
            "Export them again as a Netscape cookie file, or name a browser that yt-dlp knows.",
        )
    if failed.errno in DISK_ERRORS or says(DISK):
        return UserError(
            f"The audio cannot be written to disk: {failed.text}.",
            "Make room, or choose another place with --library, and run again: nothing is lost.",
        )
    if "UnsupportedError" in failed.kinds:
        return PermanentError(
            "yt-dlp finds no recording there.",
            "Give the address of a video, channel, playlist, feed or media file.",
        )
    if says(BOT):
        return SourceBlocked(
            f"The site takes this machine for a bot: {failed.text}.",
            "Wait some hours, or pass cookies (--cookies FILE), and keep yt-dlp up to date.",
        )
    if says(RATE_LIMIT) or failed.status == 429:
        return SourceBlocked(
            "The site asks for fewer requests (rate limit).",
            "It goes on by itself when run again in an hour; a longer --sleep-interval prevents it.",
            HOUR,
        )
    if says(UPCOMING) or "UserNotLive" in failed.kinds:
        return RetryableError(f"Not there yet: {failed.text}.", "", told_wait(failed.text))
    if "GeoRestrictedError" in failed.kinds:
        where = f" (it is in: {', '.join(failed.countries)})" if failed.countries else ""
        return PermanentError(f"Not available in this country{where}: {failed.text}.")
    if says(PRIVATE):
        return PermanentError(f"Private: {failed.text}.", COOKIES)
    if says(ACCOUNT) or failed.status in (401, 402):
        return PermanentError(f"Only for accounts that are let in: {failed.text}.", COOKIES)
    if failed.status in (404, 410):
        return PermanentError(f"It is gone (HTTP {failed.status}).")
    if failed.status == 403:
        return RetryableError("The site refuses to send the audio (HTTP 403).", UPDATE)
    if failed.status is not None and failed.status >= 500:
        return RetryableError(f"The site has trouble (HTTP {failed.status}).")
    if failed.kinds & NETWORK or says(CONNECTION):
        return RetryableError(f"The connection failed: {failed.text}.", "Check the network.")
    if says(FFMPEG):
        return PermanentError(
            f"This recording needs ffmpeg: {failed.text}.",
            "Install ffmpeg.",
        )
    if says(NO_FORMAT) or not failed.expected or "ExtractorError" not in failed.kinds:
        return RetryableError(f"yt-dlp failed: {failed.text}.", UPDATE)
    if says(TRANSIENT):
        return RetryableError(f"The site says: {failed.text}.")
    return PermanentError(f"{failed.text}.")


def told_wait(words: str) -> float:
    """Seconds that "in 3 hours" and the like announce; half an hour where it is less exact."""
    match = re.search(r"in (\d+) (minute|hour|day)", words)
    if not match:
        return 30 * MINUTE
    unit = {"minute": MINUTE, "hour": HOUR, "day": 24 * HOUR}[match[2]]
    return max(5 * MINUTE, int(match[1]) * unit)


# --- A child process -----------------------------------------------------------------------------


class Child:
    """One ytdlp_child and the pipes to it. One request at a time; any thread, one after another."""

    def __init__(self, options: SourceOptions, patience: float) -> None:
        self.patience = patience
        self.busy = False  # with a request that is not answered yet
        self.replies: queue.Queue[Reply | None] = queue.Queue()
        self.printed: deque[str] = deque(maxlen=20)  # the end of standard error
        command = [sys.executable, "-P", "-m", "homescribe.sources.ytdlp_child"]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C in the terminal is for the parent alone
        )
        self.readers = [
            threading.Thread(target=self._read_replies, daemon=True),
            threading.Thread(target=self._read_printed, daemon=True),
        ]
        for reader in self.readers:
            reader.start()
        self.greeting = {
            "cookies": str(options.cookies.absolute()) if options.cookies else None,
            "cookies_from_browser": options.cookies_from_browser,
            "cache": str(options.cache.absolute() / "yt-dlp"),
        }

    def ask(self, request: Reply, stop: threading.Event) -> Reply:
        """The answer to `request`. Raises what `reaction` makes of an error, Cancelled when `stop` is set,
        RetryableError when the child dies or falls silent.
        """
        if self.greeting:
            self._greet(stop)
        self.busy = True
        try:
            self._stdin.write(json.dumps(request) + "\n")
            self._stdin.flush()
        except (OSError, ValueError):  # it died, or close() closed the pipe
            raise self._died() from None
        reply = self._reply(stop)
        self.busy = False
        if "error" in reply:
            raise reaction(failure(reply["error"]))
        return reply

    def _greet(self, stop: threading.Event) -> None:
        greeting, self.greeting = self.greeting, {}
        try:
            self.ask(greeting, stop)
        except RetryableError as error:
            if not self.dead:
                raise
            raise SetupError(
                f"yt-dlp does not start. {error.message}",
                "Install it again: pip install -U 'yt-dlp[default]'",
            ) from error

    def _reply(self, stop: threading.Event) -> Reply:
        heard = time.monotonic()
        while True:
            if stop.is_set():
                self.kill()
                raise Cancelled
            try:
                reply = self.replies.get(timeout=TICK)
            except queue.Empty:
                if time.monotonic() - heard > self.patience:
                    self.kill()
                    raise RetryableError(
                        f"yt-dlp has shown no sign of life for {self.patience / MINUTE:.0f} minutes."
                    ) from None
                continue
            if reply is None:
                raise self._died()
            if "alive" not in reply:
                return reply
            heard = time.monotonic()

    def kill(self) -> None:
        """End the child and whatever it started: first politely, so that it can close its files."""
        if self.process.returncode is None:
            self._signal(signal.SIGINT)
            self.readers[0].join(GRACE)
            self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))
            self.process.wait()
        for reader in self.readers:
            reader.join(SECOND)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()

    @property
    def dead(self) -> bool:
        return self.process.returncode is not None

    @property
    def _stdin(self) -> IO[str]:
        if self.process.stdin is None or self.process.stdin.closed:
            raise BrokenPipeError
        return self.process.stdin

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, number)
            else:
                self.process.kill()

    def _died(self) -> RetryableError:
        self.kill()
        code = self.process.returncode
        how = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        # Only the line that names the exception: others may hold cookies.
        named = [one for one in self.printed if re.match(r"[\w.]+(Error|Exception)\b", one)]
        why = f": {plain(named[-1])}" if named and "ookie" not in named[-1] else ""
        return RetryableError(f"The yt-dlp process died ({how}){why}.", UPDATE if why else "")

    def _read_replies(self) -> None:
        with contextlib.suppress(ValueError, OSError):  # closed under our hands by kill()
            for line in self.process.stdout or ():
                self.replies.put(json.loads(line))
        self.replies.put(None)

    def _read_printed(self) -> None:
        with contextlib.suppress(ValueError, OSError):
            for line in self.process.stderr or ():
                self.printed.append(line.strip()[:1000])


# --- The source ----------------------------------------------------------------------------------


class YtdlpSource:
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

    def site(self, item: Item) -> str:
        return (urlsplit(item.url).hostname or "") if item.source == "generic" else item.source

    def list(self, url: str, stop: threading.Event) -> Iterator[Listing]:
        found = address(url)
        if found is None:
            raise UserError(f"{text.one_line(url)!r} is no web address.")
        if text.has_password(found):
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
                    title=text.one_line(head["title"] or head["url"]),
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


def item_from(reply: Reply) -> Item:
    """An item as the child tells it."""
    duration = reply["duration"]
    return Item(
        source=reply["source"],
        id=reply["id"],
        url=reply["url"],
        title=text.one_line(str(reply["title"])) or reply["id"],
        channel=_line(reply["channel"]),
        channel_id=_line(reply["channel_id"]),
        duration=float(duration) if isinstance(duration, int | float) and duration > 0 else None,
        upload_date=text.iso_date(reply["upload_date"]),
        language=text.language_tag(reply["language"]),
        description=text.paragraphs(reply["description"]) if reply["description"] else None,
        chapters=tuple(
            Chapter(float(start), float(end), text.one_line(str(title or "")))
            for start, end, title in reply["chapters"]
            if isinstance(start, int | float) and isinstance(end, int | float) and start < end
        ),
        media_url=reply["media_url"],
    )


def _line(value: str | None) -> str | None:
    return (text.one_line(str(value)) or None) if value else None


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
        raise UserError(f"{text.public(url)}: {error.message}", error.hint) from error
