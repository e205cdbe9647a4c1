"""Writes to the library that are repeated while another program writes to it for long.

What a run or a listing has to store is work: a transcript, a call that is paid for, the answer of a site.
SQLite waits for another program, but not for ever. So a write is tried until it is stored, or the caller has
stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import ParamSpec, TypeVar

from homescribe.core import SECOND
from homescribe.errors import LibraryBusy
from homescribe.library import Library
from homescribe.text.display import span

TRY = 1 * SECOND  # that one try takes at most, so that a stop is noticed
GRACE = 10 * SECOND  # after a stop, for all that is left to store

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class RepeatedWrites:
    """Calls methods of `library` that write, again and again while they raise LibraryBusy.

    Args:
        stop: set it to give up after GRACE.
        report: gets True when a write waits for another program, and False when it no longer does.
        stopping: called when a write that waits notices that `stop` is set.
    """

    def __init__(
        self,
        library: Library,
        stop: Event,
        report: Callable[[bool], None] = lambda busy: None,
        stopping: Callable[[], None] = lambda: None,
    ) -> None:
        self._library = library
        self._stop = stop
        self._report = report
        self._stopping = stopping
        self._waited = 0.0  # seconds
        self._give_up_at: float | None = None  # monotonic time, once the caller has stopped

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for the user, if a write had to be repeated."""
        if not self._waited:
            return ()
        waited = span(max(1.0, self._waited))
        return (f"Another program was writing to the library. Results were stored {waited} later.",)

    def __call__(
        self,
        write: Callable[Parameters, Result],
        *args: Parameters.args,
        **options: Parameters.kwargs,
    ) -> Result:
        """Return what `write` returns. Raises LibraryBusy once the caller has stopped, after GRACE."""
        began, busy = time.monotonic(), False
        try:
            while True:
                try:
                    with self._library.busy_timeout(TRY):
                        return write(*args, **options)
                except LibraryBusy:
                    if self._gives_up():
                        raise
                if not busy:
                    busy = True
                    self._report(True)
        finally:
            if busy:
                self._waited += time.monotonic() - began
                self._report(False)

    def give_up_soon(self) -> None:
        """Try each write once from now on."""
        self._give_up_at = time.monotonic()

    def _gives_up(self) -> bool:
        if self._give_up_at is None and self._stop.is_set():
            self._give_up_at = time.monotonic() + GRACE
            self._stopping()
        return self._give_up_at is not None and time.monotonic() >= self._give_up_at
