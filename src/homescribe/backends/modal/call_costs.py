"""What calls at Modal cost: by what their containers measured, else at most what they can have cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from homescribe.backends.modal.call_metadata import CallMetadata
from homescribe.backends.wire import Reply
from homescribe.core import Call, Usage
from homescribe.cost.budget import Budget, Metered, SpeedEstimate, Window


@dataclass(frozen=True, slots=True)
class Rented:
    """What calls of a session run on, and what is paid for besides their work."""

    engine: str
    model: str
    gpu: str
    rate: float  # dollars per second of a container
    boot: float  # seconds that a boot and an idle end are expected to take
    idle: float  # seconds without work after which a container ends
    timeout: float  # seconds that a call may take


class CallCosts:
    """Settles the calls of a session in its budget, and makes the record of what each has cost.

    Args:
        expected_speed: times realtime, by which the price of a call is expected when it is submitted.
        clock: seconds, as time.time.
    """

    def __init__(
        self,
        rented: Rented,
        budget: Budget,
        expected_speed: SpeedEstimate,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._rented = rented
        self._budget = budget
        self._expected_speed = expected_speed
        self._clock = clock

    def expected(self, audio_seconds: float) -> float:
        """Return the dollars that the work on this much audio is expected to cost."""
        return audio_seconds / self._expected_speed.value * self._rented.rate

    def keep(self, call: Call, metadata: CallMetadata) -> None:
        """Give up the reservation of a call that is kept for a later run."""
        audio_seconds = metadata.get("audio_seconds", 0.0)
        self._budget.settle_kept(call.item.key, audio_seconds, self._window(call, metadata).seconds)

    def settle(
        self, call: Call, metadata: CallMetadata, reply: Reply, claiming: Reply | None = None
    ) -> Usage:
        """Settle a call that has ended; return the record of what it cost.

        Args:
            reply: of the container that had the recording.
            claiming: of the container that found it claimed by that other call, if there was one. No other
                record has what the two cost.
        """
        rate = metadata.get("rate", self._rented.rate)
        outcome: Literal["done", "failed", "died"] = "died" if reply.died else "failed"
        audio_seconds = metadata.get("audio_seconds", 0.0)
        if reply.transcript is not None:
            outcome, audio_seconds = "done", reply.transcript.duration
            self._expected_speed.add(audio_seconds, reply.gpu_seconds)
        window = self._window(call, metadata)
        metered = self._metered(reply, window)
        if claiming is not None:
            metered += self._metered(claiming, window)
        if metered.work + metered.overhead > 0:
            work_of = audio_seconds if outcome == "done" else 0.0
            unmetered = self._budget.settle(call.item.key, work_of, metered, window)
        else:
            unmetered = self._budget.settle_unmetered(
                call.item.key, audio_seconds, window.seconds, window
            )
        # The budget counts seconds at this session's rate; those of an earlier one may have had another.
        unmetered *= rate / self._rented.rate
        return Usage(
            call=call,
            engine=metadata.get("engine", self._rented.engine),
            model=metadata.get("model", self._rented.model),
            gpu=metadata.get("gpu", self._rented.gpu),
            gpu_seconds=metered.work,
            overhead_seconds=metered.overhead,
            boots=metered.boots,
            audio_seconds=audio_seconds,
            dollars=(metered.work + metered.overhead) * rate + unmetered,
            unmetered_dollars=unmetered,
            expected_dollars=metadata.get("expected", 0.0)
            + metered.boots * self._rented.boot * rate,
            finished_at=self._clock(),
            outcome=outcome,
        )

    def _metered(self, reply: Reply, window: Window) -> Metered:
        """Return what a reply says of its cost. A container's idle end is charged to its first call."""
        if not reply.metered:
            return Metered(0.0, 0.0, lost=window.seconds)
        overhead = reply.overhead_seconds + (self._rented.idle if reply.first else 0.0)
        return Metered(reply.gpu_seconds, overhead, int(reply.first), reply.lost_seconds)

    def _window(self, call: Call, metadata: CallMetadata) -> Window:
        """Return when a call can have run. A clock that was set back makes it no negative time."""
        ago = max(0.0, self._clock() - call.submitted_at)
        seconds = min(ago, self._rented.timeout)
        return Window(ago, seconds, int(metadata.get("machines", 0)))
