"""The user's command for each item that is transcribed, or for each run.

It is started directly, never through a shell: what strangers wrote, such as a title, is only in its
environment and on its standard input.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from threading import Event
from typing import IO

from homescribe.core import MINUTE, SECOND
from homescribe.errors import UserError
from homescribe.notifications.delivery import NotDelivered
from homescribe.notifications.notification import Kind, Notification

TIME_LIMIT = 10 * MINUTE
POLL_INTERVAL = 0.1 * SECOND
GRACE = 2 * SECOND  # between SIGTERM and SIGKILL
SHOWN = 300  # characters of what a failed command printed last


class DoneCommand:
    """Starts the command of a setting (`on_done`, `on_run`) for notifications of one kind.

    Raises UserError when the setting is no command, or its program does not exist.
    """

    most_failures: int | None = None

    def __init__(self, setting: str, line: str, kind: Kind) -> None:
        self.name = setting
        self.kind = kind
        try:
            self._arguments = shlex.split(line)
        except ValueError as error:
            raise UserError(
                f"{setting} is not a command: {line!r} has a quotation mark without its pair.",
                "Quote arguments as in a shell.",
            ) from error
        if not self._arguments:
            raise UserError(f"{setting} is empty.", "Remove it, or write a command.")
        program = os.path.expanduser(self._arguments[0])  # noqa: PTH111 - "~" without a path, too
        if shutil.which(program) is None:
            raise UserError(
                f"{setting}: there is no program {self._arguments[0]!r}.",
                "Write its whole path. It needs the permission to be executed (chmod +x), and no shell "
                "interprets the command: for pipes and variables, write a script.",
            )
        self._arguments[0] = program

    def wants(self, kind: Kind) -> bool:
        return kind == self.kind

    def deliver(self, notification: Notification, ending: Event) -> None:
        """Run the command. Raises NotDelivered when it fails, takes too long, or `ending` is set."""
        with self._errors_file() as errors:
            try:
                process = subprocess.Popen(
                    self._arguments,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    env={**os.environ, **notification.variables},
                    start_new_session=True,  # Ctrl-C is for homescribe; it ends this process, too
                )
            except OSError as error:
                raise self._not_started(error) from error
            reason = _wait(process, notification.body, ending)
            if reason:
                raise NotDelivered(f"{self.name} {reason}.")
            if process.returncode:
                how = f"failed with exit code {process.returncode}"
                if process.returncode < 0:
                    how = f"was ended by signal {-process.returncode}"
                raise NotDelivered(f"{self.name} {how}{_last_line(errors)}")

    def _errors_file(self) -> IO[bytes]:
        """Return a file for standard error. Raises NotDelivered when no folder for one can be written."""
        try:
            return tempfile.TemporaryFile()
        except OSError as error:
            raise self._not_started(error) from error

    def _not_started(self, error: OSError) -> NotDelivered:
        return NotDelivered(
            f"{self.name} cannot be started: {error.strerror or 'no reason given'}."
        )


def _wait(process: subprocess.Popen[bytes], body: bytes, ending: Event) -> str:
    """Wait for the process; return why it was ended, "" if it ended itself."""
    deadline = time.monotonic() + TIME_LIMIT
    given: bytes | None = body
    while True:
        try:
            process.communicate(given, timeout=POLL_INTERVAL)
            return ""
        except subprocess.TimeoutExpired:
            given = None
        if ending.is_set() or time.monotonic() > deadline:
            _end(process)
            return "was stopped" if ending.is_set() else f"took more than {TIME_LIMIT:.0f} seconds"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and those that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(OSError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
            break
    if process.stdin is not None:
        with suppress(OSError):
            process.stdin.close()


def _last_line(errors: IO[bytes]) -> str:
    """Return the last line that a failed command printed on standard error, after a colon."""
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - 4 * SHOWN))
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1].strip()[:SHOWN]}" if lines else "."
