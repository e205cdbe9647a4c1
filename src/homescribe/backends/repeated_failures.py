"""Stop submitting when the containers or workers of a backend fail at every recording."""

from __future__ import annotations

from threading import Lock

from homescribe.errors import SetupError, UserError

# Calls that fail in the same way, by a worker's fault and one after the other, before the run ends.
MOST = 3


class NotStarted(SetupError):
    """A backend ended a call before any container or worker had begun with it."""


class RepeatedFailures:
    """The calls that failed by a worker's fault since the last transcript. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: UserError | None = None
        self._times = 0
        self._refused: UserError | None = None

    def add(self, error: UserError) -> None:
        """Count one more call whose worker failed with `error`."""
        with self._lock:
            same = self._last is not None and _same(self._last, error)
            self._last, self._times = error, self._times + 1 if same else 1

    def refuse(self, error: UserError) -> None:
        """Let nothing more be submitted: `error` says why, and further transcripts do not change it."""
        with self._lock:
            self._refused = error

    def forget(self) -> None:
        """Start again: a worker has transcribed something."""
        with self._lock:
            self._last, self._times = None, 0

    def check(self) -> None:
        """Raise UserError with the message and hint of the failure that too many calls had."""
        with self._lock:
            if self._refused is not None:
                raise self._refused
            if self._last is not None and self._times >= MOST:
                raise type(self._last)(
                    f"{self._times} calls in a row failed in the same way: {self._last.message}",
                    self._last.hint,
                )


def _same(one: UserError, other: UserError) -> bool:
    """Return whether two calls failed in the same way. A backend's words may name the container."""
    both = isinstance(one, NotStarted) and isinstance(other, NotStarted)
    return both or one.message == other.message
