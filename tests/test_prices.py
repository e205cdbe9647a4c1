"""Machines, prices, expected speeds and the spending cap."""

import threading

import pytest

from homescribe.cost import prices
from homescribe.cost.budget import Budget
from homescribe.errors import BudgetReached, Cancelled, UserError

GO = threading.Event()


@pytest.mark.parametrize(
    ("name", "gpu"),
    [("a10", "A10"), ("A10G", "A10"), (" h100 ", "H100"), ("A100", "A100-40GB"), ("none", "CPU")],
)
def test_gpus_have_several_names(name, gpu):
    assert prices.machine(name).gpu == gpu


def test_the_hint_for_an_unknown_gpu_lists_the_known_ones():
    with pytest.raises(UserError) as caught:
        prices.machine("RTX 4090")
    assert "A10" in caught.value.hint


def test_a_published_price_includes_processor_and_memory():
    a10 = prices.machine("A10")
    hourly = prices.published_rate(a10) * 3600
    assert hourly == pytest.approx(1.10 + 2 * 0.0000131 * 3600 + 8 * 0.00000222 * 3600)


def test_the_accounts_rates_may_be_per_hour_or_per_second():
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
        {"gpu_a10": 99.0, "cpu": 0.0000131, "memory": 0.00000222},  # in another unit
        {"gpu_t4": 0.59, "cpu": 0.0000131, "memory": 0.00000222},
    ],
)
def test_incomplete_or_unlikely_rates_are_not_used(rates):
    assert prices.account_rate(prices.machine("A10"), rates) is None


def test_the_two_a100_have_their_own_rates():
    rates = {"gpu_a100_80gb": 2.5, "gpu_a100_40gb": 2.1, "cpu": 0.0000131, "memory": 0.00000222}
    for size in ("A100-40GB", "A100-80GB"):
        machine = prices.machine(size)
        assert prices.account_rate(machine, rates) == pytest.approx(prices.published_rate(machine))


def test_larger_models_are_slower_and_turbo_has_two_names():
    t4 = prices.machine("T4")

    def speed(model):
        return prices.expected_speed("faster-whisper", model, t4)

    assert speed("turbo") == speed("large-v3-turbo") == speed("acme/whisper-large-v3-turbo")
    assert speed("tiny") > speed("base") > speed("small") > speed("medium") > speed("large-v3")


def test_speed_is_limited_by_the_cores_that_decode_audio():
    b200 = prices.machine("B200")
    assert prices.expected_speed("faster-whisper", "tiny", b200) == prices.CORE_SPEED * b200.cores


# --- The spending cap ------------------------------------------------------------------------------


def budget(cap):
    """One dollar per hour of audio, ten cents of overhead for each of at most two machines."""
    return Budget(cap, rate=1.0, speed=3600.0, overhead=0.1, machines=2)


def test_a_call_that_exceeds_the_cap_is_refused():
    it = budget(1.2)
    it.reserve("a", 3600.0, GO)
    it.settle("a", 1.05)
    with pytest.raises(BudgetReached, match=r"the limit is \$1.20; \$1.05 is spent"):
        it.reserve("b", 3600.0, GO)
    it.reserve("c", 0.04 * 3600, GO)


def test_the_overhead_of_a_machine_is_counted_once():
    it = budget(1.2)
    for number in range(10):
        it.reserve(str(number), 0.1 * 3600, GO)
    it.settle("0", 0.0)
    it.reserve("again", 0.1 * 3600, GO)


@pytest.mark.parametrize("in_flight", [0, 1, 2, 5])
def test_boot_and_idle_seconds_count_in_the_cap(in_flight):
    """Ten cents for the first call, ten more for a second: at most two machines run."""
    calls = in_flight + 1
    overhead = 0.1 * min(2, calls)
    enough, too_little = (
        budget(calls * 0.5 + overhead + 0.001),
        budget(calls * 0.5 + overhead - 0.001),
    )
    for number in range(in_flight):
        enough.reserve(str(number), 1800.0, GO)
        too_little.reserve(str(number), 1800.0, GO)
    enough.reserve("last", 1800.0, GO)
    stop = threading.Event()
    stop.set()  # refused at once, also while others are in flight
    with pytest.raises(Cancelled if in_flight else BudgetReached):
        too_little.reserve("last", 1800.0, stop)


def test_a_call_waits_for_those_in_flight_which_may_turn_out_cheaper():
    it = budget(1.5)
    it.reserve("a", 3600.0, GO)
    threading.Timer(0.2, it.settle, ("a", 0.2)).start()
    it.reserve("b", 3600.0, GO)
    assert it.spent == 0.2


def test_waiting_can_be_stopped():
    it, stop = budget(1.2), threading.Event()
    it.reserve("a", 3600.0, GO)
    threading.Timer(0.1, stop.set).start()
    with pytest.raises(Cancelled):
        it.reserve("b", 3600.0, stop)


def test_a_failed_submission_releases_its_reservation():
    it = budget(1.2)
    with pytest.raises(ZeroDivisionError), it.reserved("a", 3600.0, GO):
        raise ZeroDivisionError
    it.reserve("b", 3600.0, GO)


def test_calls_of_earlier_runs_do_not_count():
    it = budget(1.2)
    it.settle("from yesterday", 5.0)
    it.reserve("a", 3600.0, GO)


def test_without_a_cap_nothing_is_refused():
    it = budget(None)
    for number in range(1000):
        it.reserve(str(number), 36000.0, GO)
