"""Stop submitting when containers fail at every recording, before each has paid for a boot."""

from __future__ import annotations

from threading import Lock

from homescribe.errors import UserError

# Calls that fail in the same way, by a container's fault and one after the other, before the run ends.
MOST = 3


class RepeatedFailures:
    """The calls that failed by a container's fault since the last transcript. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: UserError | None = None
        self._times = 0

    def add(self, error: UserError) -> None:
        """Count one more call whose container failed with `error`."""
        with self._lock:
            same = self._last is not None and self._last.message == error.message
            self._last, self._times = error, self._times + 1 if same else 1

    def forget(self) -> None:
        """Start again: a container has transcribed something."""
        with self._lock:
            self._last, self._times = None, 0

    def check(self) -> None:
        """Raise UserError with the message and hint of the failure that too many calls had."""
        with self._lock:
            if self._last is not None and self._times >= MOST:
                raise type(self._last)(
                    f"{self._times} calls in a row failed in the same way: {self._last.message}",
                    self._last.hint,
                )
