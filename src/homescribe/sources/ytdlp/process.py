"""A child process with yt-dlp in it, and the conversation with it; see ytdlp_child for its side.

A child serves one caller at a time, and is killed rather than waited for: a cancelled request ends within a
second, in whatever sleep or handshake it is.
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
from typing import IO, Any

from homescribe.core import MINUTE, SECOND, SourceOptions
from homescribe.errors import Cancelled, RetryableError, SetupError
from homescribe.sources.ytdlp.error_map import UPDATE, failure, plain, reaction

TICK = 0.05  # seconds between two looks at `stop`
GRACE = 0.4  # seconds a child has to close its files

Reply = dict[str, Any]  # one line of the child


class Child:
    """One ytdlp_child and the pipes to it. One request at a time; any thread, one after another."""

    def __init__(self, options: SourceOptions, patience: float) -> None:
        self.patience = patience
        self.busy = False  # with a request that is not answered yet
        self.replies: queue.Queue[Reply | None] = queue.Queue()
        self.printed: deque[str] = deque(maxlen=20)  # the end of standard error
        command = [sys.executable, "-P", "-m", "homescribe.sources.ytdlp.child"]
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
