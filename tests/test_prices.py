"""Machines, prices and the cap on spending."""

import threading

import pytest

from homescribe.cost import prices
from homescribe.cost.budget import Budget
from homescribe.errors import BudgetReached, Cancelled, UserError

GO = threading.Event()


@pytest.mark.parametrize(
    ("said", "meant"),
    [("a10", "A10"), ("A10G", "A10"), (" h100 ", "H100"), ("A100", "A100-40GB"), ("none", "CPU")],
)
def test_gpus_go_by_several_names(said, meant):
    assert prices.machine(said).gpu == meant


def test_an_unknown_gpu_is_answered_with_the_known_ones():
    with pytest.raises(UserError) as caught:
        prices.machine("RTX 4090")
    assert "A10" in caught.value.hint


def test_the_published_price_of_an_a10_is_for_all_of_the_machine():
    a10 = prices.machine("A10")
    hourly = prices.published_rate(a10) * 3600
    assert hourly == pytest.approx(1.10 + 2 * 0.0000131 * 3600 + 8 * 0.00000222 * 3600)


def test_the_accounts_own_rates_are_understood_by_the_hour_and_by_the_second():
    rates = {"gpu_a10": 0.99, "gpu_t4": 0.5, "cpu_core_second": 0.0000131, "memory_gib": 0.00000222}
    a10 = prices.machine("A10")
    own = prices.account_rate(a10, rates)
    assert own == pytest.approx(prices.published_rate(a10) - (1.10 - 0.99) / 3600)
    per_second = {**rates, "gpu_a10": 0.99 / 3600}
    assert prices.account_rate(a10, per_second) == pytest.approx(own)


@pytest.mark.parametrize(
    "rates",
    [
        {},
        {"gpu_a10": 0.99},  # no processor, no memory
        {"gpu_a10": 99.0, "cpu": 0.0000131, "memory": 0.00000222},  # by some other unit
        {"gpu_t4": 0.59, "cpu": 0.0000131, "memory": 0.00000222},
    ],
)
def test_rates_that_are_not_understood_are_not_guessed(rates):
    assert prices.account_rate(prices.machine("A10"), rates) is None


def test_a_rate_for_one_a100_is_not_taken_for_the_other():
    rates = {"gpu_a100_80gb": 2.5, "gpu_a100_40gb": 2.1, "cpu": 0.0000131, "memory": 0.00000222}
    for size in ("A100-40GB", "A100-80GB"):
        machine = prices.machine(size)
        assert prices.account_rate(machine, rates) == pytest.approx(prices.published_rate(machine))


def test_turbo_is_the_turbo_by_either_name_and_larger_models_are_slower():
    t4 = prices.machine("T4")

    def speed(model):
        return prices.expected_speed("faster-whisper", model, t4)

    assert speed("turbo") == speed("large-v3-turbo") == speed("acme/whisper-large-v3-turbo")
    assert speed("tiny") > speed("base") > speed("small") > speed("medium") > speed("large-v3")


def test_no_gpu_outruns_the_cores_that_feed_it():
    b200 = prices.machine("B200")
    assert prices.expected_speed("faster-whisper", "tiny", b200) == prices.CORE_SPEED * b200.cores


# --- The cap ---------------------------------------------------------------------------------------


def budget(cap):
    """A dollar an hour of audio, ten cents for each of at most two machines."""
    return Budget(cap, rate=1.0, speed=3600.0, overhead=0.1, machines=2)


def test_what_fits_is_let_through_and_what_does_not_is_not():
    it = budget(1.2)
    it.reserve("a", 3600.0, GO)
    it.settle("a", 1.05)
    with pytest.raises(BudgetReached, match=r"the limit is \$1.20; \$1.05 is spent"):
        it.reserve("b", 3600.0, GO)
    it.reserve("c", 0.04 * 3600, GO)


def test_machines_are_counted_once_each():
    it = budget(1.2)
    for number in range(10):
        it.reserve(str(number), 0.1 * 3600, GO)
    it.settle("0", 0.0)
    it.reserve("again", 0.1 * 3600, GO)


def test_what_is_in_flight_is_waited_for_since_it_may_turn_out_cheaper():
    it = budget(1.5)
    it.reserve("a", 3600.0, GO)
    threading.Timer(0.2, it.settle, ("a", 0.2)).start()
    it.reserve("b", 3600.0, GO)
    assert it.spent == 0.2


def test_waiting_for_room_can_be_stopped():
    it, stop = budget(1.2), threading.Event()
    it.reserve("a", 3600.0, GO)
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(Cancelled):
        it.reserve("b", 3600.0, stop)


def test_a_submission_that_fails_gives_its_room_back():
    it = budget(1.2)
    with pytest.raises(ZeroDivisionError), it.reserved("a", 3600.0, GO):
        raise ZeroDivisionError
    it.reserve("b", 3600.0, GO)


def test_calls_of_earlier_runs_cost_this_run_nothing():
    it = budget(1.2)
    it.settle("from yesterday", 5.0)
    it.reserve("a", 3600.0, GO)


def test_without_a_cap_everything_fits():
    it = budget(None)
    for number in range(1000):
        it.reserve(str(number), 36000.0, GO)
