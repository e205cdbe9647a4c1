"""Meter a container: divide the seconds that are billed for it among the calls that it worked on."""

from __future__ import annotations

import os
import time
from pathlib import Path
from threading import Lock


def process_age() -> float:
    """Return the seconds since this process started. They are billed, and include Python's own start."""
    try:
        since_boot = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):
        return 0.0  # not Linux, or a sandbox without /proc


STARTED = time.monotonic() - process_age()
TASK = os.environ.get("MODAL_TASK_ID")  # of the container that this module was imported in


def container_start() -> float:
    """Return when this container started, as time.monotonic().

    That is now in a container that began with a copy of another one's memory; Modal gives it an id of its
    own. What the copying took is billed and not measured: a few seconds.
    """
    return STARTED if os.environ.get("MODAL_TASK_ID") == TASK else time.monotonic()


class Meter:
    """Divides the seconds of a container among its calls.

    Seconds with several calls at work are shared equally; seconds with none (boot, load, waiting) belong to
    the call that begins next. The sum over all calls is the container's time up to its last result.
    """

    def __init__(self, started: float) -> None:
        self._lock = Lock()
        self._at = started
        self._idle = 0.0
        self._shares: dict[str, float] = {}
        self._calls = 0

    def begin(self, call: str) -> tuple[float, bool]:
        """Return the idle seconds before `call`, and whether it is this container's first."""
        with self._lock:
            self._advance()
            overhead, self._idle = self._idle, 0.0
            self._shares[call] = 0.0
            self._calls += 1
            return overhead, self._calls == 1

    def end(self, call: str) -> float:
        """Return the share of `call` in seconds."""
        with self._lock:
            self._advance()
            return self._shares.pop(call)

    def _advance(self) -> None:
        now = time.monotonic()
        elapsed, self._at = now - self._at, now
        for call in self._shares:
            self._shares[call] += elapsed / len(self._shares)
        if not self._shares:
            self._idle += elapsed
