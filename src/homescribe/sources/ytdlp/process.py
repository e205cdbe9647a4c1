"""A child process that runs yt-dlp, and the requests to it; `child.py` is its side.

A child serves one caller at a time. It is killed rather than waited for, so that a cancelled request ends
within a second, whatever yt-dlp is doing.
"""

from __future__ import annotations

import contextlib
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
from collections.abc import Callable, Mapping
from typing import IO, Literal, TypedDict

from homescribe import private_files
from homescribe.core import MINUTE, SECOND, SourceOptions
from homescribe.errors import Cancelled, RetryableError, SetupError
from homescribe.sources import POLL_INTERVAL
from homescribe.sources.ytdlp.error_map import UPDATE, ErrorFacts, error_for, failure, plain

EXIT_TIMEOUT = 0.4 * SECOND  # in which a child can close its files before it is killed

Request = Mapping[str, str | int | bool | None]


# Called with the seconds that were waited, and the report on a download that came in this time.
Check = Callable[[float, "Reply | None"], None]


class Part(TypedDict):
    """The head of a part of a listing."""

    url: str
    title: str | None
    newest_first: bool


class ItemReply(TypedDict):
    """An item, as far as yt-dlp knows it. Sites may send values of other types."""

    source: str
    id: str
    url: str
    media_url: str | None
    title: str
    channel: str | None
    channel_id: str | None
    duration: float | None
    upload_date: str | None
    language: str | None
    availability: str
    description: str | None
    chapters: list[tuple[float | None, float | None, str | None]]


class CaptionReply(TypedDict):
    """The captions that the child wrote to a file."""

    path: str
    language: str
    automatic: bool
    unsure: bool  # they may be a translation


class Reply(TypedDict, total=False):
    """One line of the child. Which keys it has depends on the request: see `child.py`."""

    ready: str
    part: Part | None
    items: list[ItemReply]
    end: bool
    item: ItemReply
    path: str
    captions: CaptionReply | None
    extractor: str
    live: Literal["is_live", "is_upcoming", "post_live"]
    release: float | None
    downloaded: int | None
    endless: bool
    error: ErrorFacts


class Child:
    """A child process and the pipes to it. It can serve several threads, one request at a time."""

    def __init__(self, options: SourceOptions, timeout: float) -> None:
        self.timeout = timeout  # seconds without a line from the child
        self.started = False  # the options were sent
        self.busy = False  # with a request that has no reply yet
        self.replies: queue.Queue[Reply | None] = queue.Queue()
        self.printed: deque[str] = deque(maxlen=20)  # last lines of standard error
        command = [sys.executable, "-P", "-m", "homescribe.sources.ytdlp.child"]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C in the terminal signals the parent only
        )
        self.readers = [
            threading.Thread(target=self._read_replies, daemon=True),
            threading.Thread(target=self._read_printed, daemon=True),
        ]
        for reader in self.readers:
            reader.start()
        cache = options.cache.absolute() / "yt-dlp"
        with contextlib.suppress(OSError):  # yt-dlp works without it
            private_files.make_folder(cache)
        self.options: Request = {
            "cookies": str(options.cookies.absolute()) if options.cookies else None,
            "cookies_from_browser": options.cookies_from_browser,
            "cache": str(cache),
            "user_agent": options.user_agent,
        }

    def request(self, request: Request, stop: threading.Event, check: Check | None = None) -> Reply:
        """Send `request` and return the reply. While it is waited for, `check` is called, and may raise.

        Raises:
            HomescribeError: as `error_for` decides for an error of yt-dlp.
            RetryableError: the child died or sent nothing for too long.
            SetupError: yt-dlp does not start.
            Cancelled: `stop` was set.
        """
        if not self.started:
            self._send_options(stop)
        self.busy = True
        try:
            self._stdin.write(json.dumps(request) + "\n")
            self._stdin.flush()
        except (OSError, ValueError):  # the child died, or close() closed the pipe
            raise self._died() from None
        reply = self._reply(stop, check)
        self.busy = False
        if "error" in reply:
            raise error_for(failure(reply["error"]))
        return reply

    def _send_options(self, stop: threading.Event) -> None:
        self.started = True
        try:
            self.request(self.options, stop)
        except RetryableError as error:
            if not self.dead:
                raise
            raise SetupError(
                f"yt-dlp does not start. {error.message}",
                "Install it again: pip install -U 'yt-dlp[default]'",
            ) from error

    def _reply(self, stop: threading.Event, check: Check | None) -> Reply:
        received = time.monotonic()
        while True:
            if stop.is_set():
                self.kill()
                raise Cancelled
            began = time.monotonic()
            try:
                reply = self.replies.get(timeout=POLL_INTERVAL)
            except queue.Empty:
                if check is not None:
                    check(time.monotonic() - began, None)
                if time.monotonic() - received > self.timeout:
                    self.kill()
                    raise RetryableError(
                        f"yt-dlp has not responded for {self.timeout / MINUTE:.0f} minutes."
                    ) from None
                continue
            if reply is None:
                raise self._died()
            if "downloaded" not in reply:
                return reply
            received = time.monotonic()
            if check is not None:
                check(time.monotonic() - began, reply)

    def kill(self) -> None:
        """End the child and what it started: SIGINT, so that it can close its files, then SIGKILL."""
        if self.process.returncode is None:
            self._signal(signal.SIGINT)
            self.readers[0].join(EXIT_TIMEOUT)
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
        """Whether the child has ended."""
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
        # Only the line of the exception: others may contain cookies.
        exceptions = [one for one in self.printed if re.match(r"[\w.]+(Error|Exception)\b", one)]
        why = f": {plain(exceptions[-1])}" if exceptions and "ookie" not in exceptions[-1] else ""
        return RetryableError(
            f"The yt-dlp process ended unexpectedly ({how}){why}.", UPDATE if why else ""
        )

    def _read_replies(self) -> None:
        with contextlib.suppress(ValueError, OSError):  # kill() closed the pipe
            for line in self.process.stdout or ():
                self.replies.put(json.loads(line))
        self.replies.put(None)

    def _read_printed(self) -> None:
        with contextlib.suppress(ValueError, OSError):
            for line in self.process.stderr or ():
                self.printed.append(line.strip()[:1000])
