"""The least rate of a download: a server that sends less would hold a run for ever."""

from __future__ import annotations

from homescribe.core import MINUTE
from homescribe.errors import RetryableError

LEAST_RATE = 1024  # bytes a second
WINDOW = 1 * MINUTE  # over which the rate is measured


class TooSlowError(RetryableError):
    """A server sends, but so slowly that the end would take days."""


class LeastRate:
    """Measures one download, in windows of some seconds."""

    def __init__(self, name: str, window: float | None = None) -> None:
        self._name = name  # of the server or the recording, for the error
        self._window = WINDOW if window is None else window
        self._seconds = 0.0  # in the current window
        self._bytes = 0

    def add(self, seconds: float, received: int) -> None:
        """Add the bytes that were received, and the seconds of waiting for them.

        Raises TooSlowError if a whole window had fewer than LEAST_RATE bytes a second.
        """
        self._seconds += seconds
        self._bytes += received
        if self._seconds < self._window:
            return
        if self._bytes < LEAST_RATE * self._window:
            raise TooSlowError(
                f"{self._name} sends too slowly: {self._bytes / self._seconds:.0f} bytes a second.",
                "Try again later.",
            )
        self._seconds, self._bytes = 0.0, 0
