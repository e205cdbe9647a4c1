"""Claims: which call has which recording, so that two calls for the same one transcribe it once.

They are entries of a `modal.Dict`, which Modal removes after seven days without use; results are kept as
long. A claim saves money and is never needed: where the Dict does not answer, a call works without one.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Protocol

from homescribe.backends.wire import Reply
from homescribe.errors import RetryableError

# Containers in which one recording may start. Modal preempts a container now and then. A recording that has
# seen two of them end is sent home as failed.
MAX_ATTEMPTS = 2


class Entries(Protocol):
    """What is used of `modal.Dict`."""

    def put(self, key: str, value: object, *, skip_if_exists: bool = False) -> bool: ...
    def get(self, key: str, default: object = None) -> object: ...
    def pop(self, key: str, default: object = None) -> object: ...


@dataclass(frozen=True, slots=True)
class Claim:
    """Whether a call has a recording."""

    refused: Reply | None = None  # why it is not this call's
    # At most what the call spent in containers that have ended: nobody measured that, and it was paid for.
    lost_seconds: float = 0.0


class Claims:
    """The claims in a Dict. Its errors are no errors of a recording: nothing is raised."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    def claim(self, call: str, token: str) -> Claim:
        """Claim the recording for this call."""
        try:
            return self._claim(call, token)
        except Exception:  # noqa: BLE001 - whatever the Dict raises: at worst the same work is done twice
            return Claim()

    def _claim(self, call: str, token: str) -> Claim:
        now = time.time()
        if self._entries.put(token, [call, 1, now], skip_if_exists=True):
            return Claim()
        match self._entries.get(token):
            case [str(owner), int(), *_] if owner != call:
                return Claim(Reply(claimed_by=owner))
            case [str(), int(attempts), *rest]:
                since = rest[0] if rest and isinstance(rest[0], float) else now
                lost = max(0.0, now - since)
                if attempts >= MAX_ATTEMPTS:
                    words = f"{attempts} containers ended while they transcribed it."
                    return Claim(Reply(error=RetryableError(words), died=True), lost)
                self._entries.put(token, [call, attempts + 1, since])
                return Claim(lost_seconds=lost)
            case _:  # removed meanwhile, or of another version
                self._entries.put(token, [call, 1, now])
        return Claim()

    def release(self, token: str) -> None:
        """Let another call transcribe this recording."""
        with contextlib.suppress(
            Exception
        ):  # a claim that stays is released when its call is collected
            self._entries.pop(token, None)
