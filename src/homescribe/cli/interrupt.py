"""Ctrl-C: once to stop soon and lose nothing, twice to stop at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType

_INTERRUPTED = 130
STDERR = 2  # file descriptor


@contextmanager
def interruptible() -> Iterator[Event]:
    """An event that the first SIGINT, SIGTERM or SIGHUP sets. The second ends the process.

    The library is a database with transactions, and downloads are files with other names until they are
    whole: ending at once loses nothing that was finished.
    """
    stop = Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(_INTERRUPTED)
        stop.set()
        if not os.isatty(STDERR):  # on a terminal the view of the run says it
            # Not print(): a signal may arrive while that stream is being written to.
            os.write(STDERR, b"Stopping. A second signal stops at once.\n")

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP"):
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
