"""The spending cap of a run: finished calls at their price, calls in flight at their expected price."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Event

from homescribe.errors import BudgetReached, Cancelled

# Where this library has measured no speed of its own, the cap assumes half the published speed.
UNMEASURED_SPEED_FACTOR = 0.5


class Budget:
    """Keeps the spending of a run below `cap`.

    Threads call `reserve` before they submit and `settle` when the price of a call is known. A call that
    does not fit waits while others are in flight, since they may turn out cheaper than expected.

    Args:
        cap: dollars; None for no cap.
        rate: dollars per second of one machine.
        speed: times realtime.
        overhead: seconds paid per machine besides its work: boot, model load and idle end.
        machines: how many run at once at most.
    """

    def __init__(
        self, cap: float | None, rate: float, speed: float, overhead: float, machines: int
    ) -> None:
        self.spent = 0.0
        self._cap = cap
        self._rate = rate
        self._speed = speed
        self._overhead = overhead
        self._machines = machines
        self._reserved: dict[str, float] = {}
        self._changed = Condition()

    def price(self, audio_seconds: float) -> float:
        """Return the expected dollars for this much audio on a machine that is already running."""
        return audio_seconds / self._speed * self._rate

    def reserve(self, key: str, audio_seconds: float, stop: Event) -> None:
        """Reserve the expected price of `key`, waiting for calls in flight if it does not fit now.

        Raises BudgetReached when it does not fit and nothing is in flight, Cancelled when `stop` is set.
        """
        price = self.price(audio_seconds)
        with self._changed:
            while self._cap is not None and (total := self._total_with(price)) > self._cap:
                if not self._reserved:
                    raise BudgetReached(
                        f"The next recording may bring this run to ${total:.2f}, and the limit is "
                        f"${self._cap:.2f}; ${self.spent:.2f} is spent.",
                        "Everything paid for is stored. Run again with a higher --max-cost.",
                    )
                self._changed.wait(timeout=0.5)
                if stop.is_set():
                    raise Cancelled
            self._reserved[key] = price

    def _total_with(self, price: float) -> float:
        """Return the dollars spent and reserved, one more call and the overhead of machines included."""
        machines = min(self._machines, len(self._reserved) + 1)
        overhead = machines * self._overhead * self._rate
        return self.spent + sum(self._reserved.values()) + price + overhead

    def settle(self, key: str, dollars: float) -> None:
        """Replace the reservation of `key` by its price. A call of an earlier run has none and is free."""
        with self._changed:
            if self._reserved.pop(key, None) is not None:
                self.spent += dollars
            self._changed.notify_all()

    @contextmanager
    def reserved(self, key: str, audio_seconds: float, stop: Event) -> Iterator[None]:
        """Reserve during a submission, and release the reservation if it fails."""
        self.reserve(key, audio_seconds, stop)
        try:
            yield
        except BaseException:
            self.settle(key, 0.0)
            raise
