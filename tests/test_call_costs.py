"""The dollars of calls at Modal: metered, ended by Modal, and answered with the id of another call."""

import pytest
from modal.exception import FunctionTimeoutError, InternalFailure, RemoteError

from homescribe.backends.modal.call_costs import CallCosts, Rented
from homescribe.backends.modal.call_metadata import CallMetadata
from homescribe.backends.modal.results import failure_of
from homescribe.backends.wire import Reply
from homescribe.core import HOUR, MINUTE, Call, Item, Transcript
from homescribe.cost.budget import Budget, SpeedEstimate
from homescribe.errors import RetryableError
from modal_session import GO

RATE = 1.27 / HOUR
TRANSCRIPT = Transcript("openai-whisper", "turbo", "en", 60.0, ())
METADATA = CallMetadata(audio_seconds=60.0, rate=RATE, expected=0.001)


class Ledger:
    """A session's costs with a clock of their own."""

    def __init__(self):
        self.now = 1000.0
        self.budget = Budget(None, RATE, 14.0, 70.0, 2, clock=lambda: self.now)
        rented = Rented("openai-whisper", "turbo", "A10", RATE, 70.0, 10.0, 2 * HOUR)
        self.costs = CallCosts(rented, self.budget, SpeedEstimate(42.0), lambda: self.now)

    def submit(self, key="a"):
        call = self.call(key)
        self.budget.reserve(call.item.key, 60.0, GO)
        return call

    def call(self, key, later=0.0):
        item = Item("file", key, url="", title="")
        return Call(item, "modal", self.now + later, f"fc-{key}")

    def settle(self, call, reply, claiming=None):
        return self.costs.settle(call, METADATA, reply, claiming)


UNMETERED = [
    failure_of(RemoteError("container failed to start")),
    failure_of(InternalFailure("exit 137")),
    failure_of(FunctionTimeoutError("2 h")),
    Reply(error=RetryableError("Its result was kept for seven days and is gone.")),
]


@pytest.fixture
def ledger():
    return Ledger()


@pytest.mark.parametrize("reply", UNMETERED, ids=lambda reply: reply.error.message[:20])
def test_ten_minutes_until_modal_ends_a_call_cost_ten_minutes(ledger, reply):
    call = ledger.submit()
    ledger.now += 10 * MINUTE
    used = ledger.settle(call, reply)
    assert used.dollars == used.unmetered_dollars == pytest.approx(1.27 / 6)
    assert ledger.budget.spent == pytest.approx(1.27 / 6)


def test_calls_that_wait_together_for_a_container_that_cannot_start_pay_for_two_machines(ledger):
    calls = [ledger.submit(str(number)) for number in range(64)]
    ledger.now += 10 * MINUTE
    for call in calls:
        ledger.settle(call, UNMETERED[0])
    # and what was reserved for each, which none costs less than
    reserved = 64 * ledger.budget.price(60.0)
    assert 2 * 1.27 / 6 <= ledger.budget.spent <= 2 * 1.27 / 6 + reserved


def test_a_call_that_finds_its_recording_claimed_pays_for_both_containers(ledger):
    call = ledger.submit()
    ledger.now += 5 * MINUTE
    owner = Reply(transcript=TRANSCRIPT, gpu_seconds=4.0, overhead_seconds=50.0, first=True)
    mine = Reply(claimed_by="fc-b", gpu_seconds=0.5, overhead_seconds=40.0, first=True)
    used = ledger.settle(call, owner, mine)
    seconds = 4.0 + 50.0 + 10.0 + 0.5 + 40.0 + 10.0
    assert used.dollars == ledger.budget.spent == pytest.approx(seconds * RATE)
    assert (used.boots, used.gpu_seconds, used.overhead_seconds) == (2, 4.5, 110.0)
    assert used.outcome == "done"


def test_a_claimed_call_whose_owner_was_ended_by_modal_counts_both(ledger):
    call = ledger.submit()
    ledger.now += 5 * MINUTE
    mine = Reply(claimed_by="fc-b", gpu_seconds=0.5, overhead_seconds=40.0)
    used = ledger.settle(call, UNMETERED[1], mine)
    assert used.unmetered_dollars == pytest.approx(5 * MINUTE * RATE)
    assert used.dollars == pytest.approx((5 * MINUTE + 40.5) * RATE)


def test_dead_calls_of_an_earlier_run_are_bounded_by_its_containers(ledger):
    """64 dead calls after a kill and a day away."""
    calls = [ledger.call(str(number), later=number) for number in range(64)]
    ledger.now += 86_400.0
    used = [ledger.settle(call, UNMETERED[1]).dollars for call in calls]
    assert sum(used) == pytest.approx(2 * (2 * HOUR + 63.0) * RATE)
    assert ledger.budget.spent == 0.0
