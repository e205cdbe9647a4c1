"""The spending cap of a run at a service that bills each request by its seconds of audio.

A price is known before the request, so nothing is estimated: what is sent costs what was reserved. A request
whose answer was lost may have been billed and counts in full.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Condition, Event

from homescribe.core import MINUTE
from homescribe.errors import BudgetReached, Cancelled

TICK = 0.5  # seconds between two looks at `stop`


@dataclass(frozen=True, slots=True)
class AudioPrice:
    """What a service bills for a request."""

    per_minute: float  # dollars
    least_seconds: float = 0.0  # that are billed for a request

    def of(self, seconds: float) -> float:
        """Return the dollars for a request with this much audio, rounded up to whole seconds."""
        return max(math.ceil(seconds), self.least_seconds) / MINUTE * self.per_minute


class AudioBudget:
    """Keeps the spending of a run below `cap` dollars; None for no cap. Any thread may use it.

    A recording reserves the price of all its requests before the first one. Each request is paid from that
    reservation, and what is left of it is released at the end.
    """

    def __init__(self, cap: float | None) -> None:
        self.spent = 0.0
        self._cap = cap
        self._reserved: dict[str, float] = {}
        self._changed = Condition()

    def reserve(self, key: str, dollars: float, stop: Event) -> None:
        """Reserve the price of the recording `key`, waiting for others if it does not fit now.

        Raises BudgetReached when it does not fit and nothing else is reserved, Cancelled when `stop` is set.
        """
        with self._changed:
            while not self._fits(dollars):
                if not self._reserved:
                    raise self._reached(dollars)
                self._changed.wait(timeout=TICK)
                if stop.is_set():
                    raise Cancelled
            self._reserved[key] = dollars

    def cover(self, key: str, dollars: float) -> None:
        """Reserve what the reservation of `key` lacks for one more request.

        Raises BudgetReached when that does not fit: no estimate before was as high.
        """
        with self._changed:
            missing = dollars - self._reserved.get(key, 0.0)
            if missing > 0:
                if not self._fits(missing):
                    raise self._reached(missing)
                self._reserved[key] = dollars

    def spend(self, key: str, dollars: float) -> None:
        """Move the price of a request from the reservation of `key` to what is spent."""
        with self._changed:
            self.spent += dollars
            self._reserved[key] = max(0.0, self._reserved.get(key, 0.0) - dollars)
            self._changed.notify_all()

    def release(self, key: str) -> None:
        """Give up what is still reserved for `key`."""
        with self._changed:
            self._reserved.pop(key, None)
            self._changed.notify_all()

    def _fits(self, dollars: float) -> bool:
        # A thousandth of a cent for the sums of floats.
        return self._cap is None or self._total(dollars) <= self._cap + 1e-5

    def _total(self, dollars: float) -> float:
        return self.spent + sum(self._reserved.values()) + dollars

    def _reached(self, dollars: float) -> BudgetReached:
        return BudgetReached(
            f"The next recording may bring this run to ${self._total(dollars):.2f}, and the limit is "
            f"${self._cap:.2f}; ${self.spent:.2f} is spent.",
            "Everything paid for is stored. Run again with a higher --max-cost.",
        )
