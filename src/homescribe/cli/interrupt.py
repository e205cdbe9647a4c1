"""Ctrl-C: the first ends a command early without losing anything, the second ends it at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

from homescribe.exit_codes import ExitCode

STDERR = 2  # file descriptor


@contextmanager
def interruptible() -> Iterator[Event]:
    """Return an event that the first SIGINT, SIGTERM or SIGHUP sets. The second ends the process.

    Ending at once loses nothing that was finished: the library uses transactions, and files get their names
    when they are complete.
    """
    stop = Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(ExitCode.INTERRUPTED)
        stop.set()
        if not os.isatty(STDERR):  # the live view of a terminal says it
            # Not print(): the signal may arrive while something is being written to that stream.
            os.write(STDERR, b"Stopping. A second signal stops at once.\n")

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP"):  # not on Windows
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
