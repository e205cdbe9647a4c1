"""The spending cap of a run.

Finished calls count at their price, calls in flight at what they are expected to cost, and calls whose
container died at the most that it can have cost: nobody measured it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition, Event

from homescribe.errors import BudgetReached, Cancelled

# Seconds of audio for which the speed that a run starts with counts, beside what its own calls measure.
PRIOR_AUDIO = 1800.0


@dataclass(slots=True)
class SpeedEstimate:
    """Times realtime: as assumed at first, then more and more as measured."""

    assumed: float
    audio_seconds: float = 0.0
    work_seconds: float = 0.0

    def add(self, audio_seconds: float, work_seconds: float) -> None:
        """Take a finished call into account."""
        self.audio_seconds += audio_seconds
        self.work_seconds += work_seconds

    @property
    def value(self) -> float:
        return (PRIOR_AUDIO + self.audio_seconds) / (PRIOR_AUDIO / self.assumed + self.work_seconds)


@dataclass(frozen=True, slots=True)
class Metered:
    """What a container measured for one call, in seconds."""

    work: float  # the call's share of the time that the machine worked
    overhead: float  # boot, model load and idle time charged to it
    boots: int = 0  # containers that had it as their first call
    lost: float = 0.0  # at most, in containers that ended during the call and reported nothing

    def __add__(self, other: Metered) -> Metered:
        return Metered(
            self.work + other.work,
            self.overhead + other.overhead,
            self.boots + other.boots,
            self.lost + other.lost,
        )


@dataclass(frozen=True, slots=True)
class Window:
    """When a call can have run: for at most `seconds` from its submission, which is `ago` seconds ago."""

    ago: float
    seconds: float
    machines: int = 0  # that its run had at once at most; 0 if that is not known


@dataclass(slots=True)
class _InFlight:
    audio_seconds: float
    since: float  # of `clock`


@dataclass(slots=True)
class _Overhead:
    """Seconds per boot: as assumed, or more where the boots of this run took longer."""

    assumed: float
    seconds: float = 0.0
    boots: int = 0

    @property
    def value(self) -> float:
        return max(self.assumed, self.seconds / self.boots if self.boots else 0.0)


@dataclass(slots=True)
class _EarlierCalls:
    """What calls of earlier runs are counted at: together no more than their machines can have run."""

    counted: float = 0.0  # seconds
    machines: int = 0  # of the run that had the most
    windows: list[tuple[float, float]] = field(default_factory=list)  # apart from each other

    def at_most(self, seconds: float, window: tuple[float, float], machines: int) -> float:
        """Return `seconds`, or what is left of the time of all machines in the windows of all calls."""
        self.machines = max(self.machines, machines)
        start, end = window
        apart = []
        for other in self.windows:
            if other[1] < start or end < other[0]:
                apart.append(other)
            else:
                start, end = min(start, other[0]), max(end, other[1])
        self.windows = [*apart, (start, end)]
        possible = self.machines * sum(end - start for start, end in self.windows)
        return max(0.0, min(seconds, possible - self.counted))


class Budget:
    """Keeps the spending of a run below `cap`.

    Threads call `reserve` before they submit and `settle` when a call has ended. A call that does not fit
    waits while others are in flight, since they may turn out cheaper than expected. The speed of finished
    calls changes what those in flight are expected to cost.

    Args:
        cap: dollars; None for no cap.
        rate: dollars per second of one machine.
        speed: times realtime, as the cap assumes it until calls have measured it.
        overhead: seconds paid per machine besides its work: boot, model load and idle end.
        machines: how many run at once at most.
        clock: seconds, as time.monotonic.
    """

    def __init__(
        self,
        cap: float | None,
        rate: float,
        speed: float,
        overhead: float,
        machines: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.spent = 0.0
        self._cap = cap
        self._rate = rate
        self._speed = SpeedEstimate(speed)
        self._overhead = _Overhead(overhead)
        self._machines = machines
        self._clock = clock
        self._since: float | None = None  # of the first submission
        self._in_flight: dict[str, _InFlight] = {}
        self._earlier = _EarlierCalls()
        self._changed = Condition()  # its lock may be taken again by the same thread

    @property
    def machines(self) -> int:
        """How many machines run at once at most."""
        return self._machines

    def add_machine(self) -> None:
        """Count one machine more: the one for recordings that may have ended another."""
        with self._changed:
            self._machines += 1

    def price(self, audio_seconds: float) -> float:
        """Return the expected dollars for this much audio on a machine that is already running."""
        return audio_seconds / self._speed.value * self._rate

    def reserve(self, key: str, audio_seconds: float, stop: Event) -> None:
        """Reserve the expected price of `key`, waiting for calls in flight if it does not fit now.

        Raises BudgetReached when it does not fit and nothing is in flight, Cancelled when `stop` is set.
        """
        with self._changed:
            while not self.try_to_reserve(key, audio_seconds):
                self._changed.wait(timeout=0.5)
                if stop.is_set():
                    raise Cancelled

    def try_to_reserve(self, key: str, audio_seconds: float) -> bool:
        """Reserve the expected price of `key`; return False if it does not fit until others have ended.

        Raises BudgetReached when it does not fit and nothing is in flight.
        """
        with self._changed:
            total = self._total_with(audio_seconds)
            if self._cap is not None and total > self._cap:
                if self._in_flight:
                    return False
                raise BudgetReached(
                    f"The next recording may bring this run to ${total:.2f}, and the limit is "
                    f"${self._cap:.2f}; ${self.spent:.2f} is spent.",
                    "Everything paid for is stored. Run again with a higher --max-cost.",
                )
            now = self._clock()
            self._since = now if self._since is None else self._since
            self._in_flight[key] = _InFlight(audio_seconds, now)
            return True

    def _total_with(self, audio_seconds: float) -> float:
        """Return the dollars spent and reserved, one more call and the overhead of machines included."""
        machines = min(self._machines, len(self._in_flight) + 1)
        overhead = machines * self._overhead.value * self._rate
        audio = audio_seconds + sum(call.audio_seconds for call in self._in_flight.values())
        return self.spent + self.price(audio) + overhead

    def settle(
        self, key: str, audio_seconds: float, metered: Metered, window: Window | None = None
    ) -> float:
        """Replace the reservation of `key` by its price; return the dollars of it that are unmetered.

        A call of an earlier run has no reservation, and is free for this run. `window` says when it can have
        run.
        """
        with self._changed:
            call = self._in_flight.pop(key, None)
            if call is None:
                measured = metered.work + metered.overhead
                unmetered = self._at_most_earlier(metered.lost, window, measured)
            else:
                unmetered = self._at_most(metered.lost)
                if audio_seconds > 0 and metered.work > 0:
                    self._speed.add(audio_seconds, metered.work)
                self._overhead.seconds += metered.overhead
                self._overhead.boots += metered.boots
                self.spent += (metered.work + metered.overhead + unmetered) * self._rate
            self._changed.notify_all()
            return unmetered * self._rate

    def settle_unmetered(
        self, key: str, audio_seconds: float, elapsed: float, window: Window | None = None
    ) -> float:
        """Replace the reservation of a call that no container reported on; return its dollars.

        They are the most that it can have cost: the time since it was submitted, on one machine, or what is
        left of the time of all machines. For a call of this run it is never less than was reserved. A call
        of an earlier run is free for this run, and its dollars are those of its own run.

        Args:
            elapsed: seconds since it was submitted, or as long as a call may take if that is less.
            window: when a call of an earlier run can have run; by default the last `elapsed` seconds.
        """
        with self._changed:
            call = self._in_flight.pop(key, None)
            if call is None:
                expected = audio_seconds / self._speed.value
                window = window or Window(elapsed, elapsed)
                return self._at_most_earlier(max(expected, elapsed), window, 0.0) * self._rate
            seconds = max(call.audio_seconds / self._speed.value, self._at_most(elapsed))
            self.spent += seconds * self._rate
            self._changed.notify_all()
            return seconds * self._rate

    def settle_kept(self, key: str, audio_seconds: float, elapsed: float) -> None:
        """Replace the reservation of a call, if it has one, whose price another run will learn."""
        with self._changed:
            if key in self._in_flight:
                self.settle_unmetered(key, audio_seconds, elapsed)

    def release(self, key: str) -> None:
        """Remove the reservation of a call that was not submitted."""
        with self._changed:
            self._in_flight.pop(key, None)
            self._changed.notify_all()

    def _at_most(self, seconds: float) -> float:
        """Return `seconds`, or what all machines can have run in this run beyond what is counted."""
        if self._since is None:
            return seconds
        possible = self._machines * (self._clock() - self._since)
        return max(0.0, min(seconds, possible - self.spent / self._rate))

    def _at_most_earlier(self, seconds: float, window: Window | None, measured: float) -> float:
        """Return `seconds` of a call of an earlier run, or what all machines can have run beyond the rest.

        Args:
            measured: the seconds that a container measured for this call.
        """
        window = window or Window(seconds + measured, seconds + measured)
        start = self._clock() - window.ago
        self._earlier.counted += measured
        seconds = self._earlier.at_most(
            seconds, (start, start + window.seconds), max(self._machines, window.machines)
        )
        self._earlier.counted += seconds
        return seconds

    @contextmanager
    def reserved(self, key: str, audio_seconds: float, stop: Event) -> Iterator[None]:
        """Reserve during a submission, and release the reservation if it fails."""
        self.reserve(key, audio_seconds, stop)
        try:
            yield
        except BaseException:
            self.release(key)
            raise
