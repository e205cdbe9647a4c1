"""Machines, prices, expected speeds and the spending cap."""

import threading

import pytest

from homescribe.cost import prices, speeds
from homescribe.cost.budget import PRIOR_AUDIO, Budget, Metered, Window
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


@pytest.mark.parametrize("name", ["gpu_a100", "A100 (per hour)", "gpuA100_40gb", "GPU-A100-80GB"])
def test_a_gpu_is_not_found_in_the_name_of_another(name):
    rates = {name: 2.1, "cpu": 0.0000131, "memory": 0.00000222}
    assert prices.account_rate(prices.machine("A10"), rates) is None
    assert prices.account_rate(prices.machine("L4"), {**rates, "gpu_l40s": 1.0}) is None


@pytest.mark.parametrize("name", ["gpu_a10", "GpuA10", "A10 GPU", "gpu_a10g", "a10g_second"])
def test_a_gpu_is_found_by_its_whole_name_or_alias(name):
    rates = {"gpu_a100": 2.1, name: 1.0, "cpu": 0.0000131, "memory": 0.00000222}
    a10 = prices.machine("A10")
    expected = prices.published_rate(a10) - 0.1 / 3600
    assert prices.account_rate(a10, rates) == pytest.approx(expected)


def test_a100_alone_is_the_smaller_one():
    rates = {"gpu_a100_80gb": 2.4, "gpu_a100": 2.0, "cpu": 0.0000131, "memory": 0.00000222}
    for gpu, cheaper in (("A100-40GB", 2.1 - 2.0), ("A100-80GB", 2.5 - 2.4)):
        machine = prices.machine(gpu)
        expected = prices.published_rate(machine) - cheaper / 3600
        assert prices.account_rate(machine, rates) == pytest.approx(expected)


# --- Expected speeds -------------------------------------------------------------------------------


def speed(engine, model, gpu):
    return speeds.expected_speed(engine, model, prices.machine(gpu))[0]


def test_larger_models_are_slower_and_turbo_has_two_names():
    names = ("turbo", "large-v3-turbo", "acme/whisper-large-v3-turbo")
    assert len({speed("faster-whisper", name, "T4") for name in names}) == 1
    for gpu in ("T4", "CPU"):
        sizes = [speed("faster-whisper", m, gpu) for m in ("tiny", "base", "small", "large-v3")]
        assert sizes == sorted(sizes, reverse=True)


def test_in_batches_turbo_is_less_than_twice_as_fast_as_large():
    """Its encoder is that of large. One window after the other, it would be three times as fast."""
    for gpu in ("A10", "CPU"):
        ratio = speed("faster-whisper", "turbo", gpu) / speed("faster-whisper", "large-v3", gpu)
        assert 1.3 < ratio < 1.6


def test_the_published_figures_are_reproduced_on_their_own_machines():
    assert speed("openai-whisper", "large-v3", "A100-80GB") == pytest.approx(145.5 / 1.4)
    assert speed("openai-whisper", "turbo", "A100-80GB") == pytest.approx(200.2 / 1.4)
    assert speed("openai-whisper", "turbo", "H100") == pytest.approx(404 / 1.4)
    assert speed("faster-whisper", "large-v2", "A10") == pytest.approx(780 / 17 * 600 / 608)
    assert speed("faster-whisper", "small", "CPU") == pytest.approx(780 / 51)
    assert speed("openai-whisper", "small", "CPU") == pytest.approx(780 / 418)


def test_nothing_is_expected_of_memory_that_is_faster_than_what_was_measured():
    assert speed("openai-whisper", "turbo", "B200") == speed("openai-whisper", "turbo", "H100")
    h100 = speed("faster-whisper", "turbo", "H100")
    assert h100 == speed("faster-whisper", "turbo", "A100-80GB")


def test_every_gpu_has_a_figure_with_its_source_for_each_engine():
    for engine in ("openai-whisper", "faster-whisper", "of-another-package"):
        for machine in prices.MACHINES.values():
            value, source = speeds.expected_speed(engine, "turbo", machine)
            assert 0.5 < value <= speeds.CORE_SPEED * machine.cores
            assert "README" in source or "Leaderboard" in source or "inferencebench" in source
    figures = [figure for found in speeds.FIGURES.values() for figure in found]
    rented = {machine.gpu for machine in prices.MACHINES.values()}
    for machine in prices.MACHINES.values():
        source = speeds.expected_speed("openai-whisper", "turbo", machine)[1]
        measured = machine.gpu in {figure.gpu for figure in figures} or machine.gpu == "CPU"
        assert ("scaled by memory bandwidth" in source) is not measured
    assert {"A100-80GB", "H100"} <= rented


def test_speed_is_limited_by_the_cores_that_decode_audio():
    h200 = prices.machine("H200")
    assert speed("openai-whisper", "tiny", "H200") == speeds.CORE_SPEED * h200.cores


# --- The spending cap ------------------------------------------------------------------------------


def budget(cap, **options):
    """One dollar per hour of audio, ten cents of overhead for each of at most two machines."""
    return Budget(cap, rate=1.0, speed=3600.0, overhead=0.1, machines=2, **options)


def ended(it, key, dollars):
    """Settle a call whose work cost this much, without changing what is known about the speed."""
    it.settle(key, 0.0, Metered(work=dollars, overhead=0.0))


def test_a_call_that_exceeds_the_cap_is_refused():
    it = budget(1.2)
    it.reserve("a", 3600.0, GO)
    ended(it, "a", 1.05)
    with pytest.raises(BudgetReached, match=r"the limit is \$1.20; \$1.05 is spent"):
        it.reserve("b", 3600.0, GO)
    it.reserve("c", 0.04 * 3600, GO)


def test_the_overhead_of_a_machine_is_counted_once():
    it = budget(1.2)
    for number in range(10):
        it.reserve(str(number), 0.1 * 3600, GO)
    ended(it, "0", 0.0)
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
    threading.Timer(0.2, ended, (it, "a", 0.2)).start()
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
    ended(it, "from yesterday", 5.0)
    it.settle_unmetered("from the day before", 3600.0, 7200.0)
    it.reserve("a", 3600.0, GO)


def test_without_a_cap_nothing_is_refused():
    it = budget(None)
    for number in range(1000):
        it.reserve(str(number), 36000.0, GO)


def test_measured_speed_changes_what_calls_in_flight_are_expected_to_cost():
    it = budget(3.05)
    it.reserve("a", PRIOR_AUDIO, GO)
    it.reserve("b", 3600.0, GO)
    assert it.price(3600.0) == 1.0
    it.settle("a", PRIOR_AUDIO, Metered(work=1.5, overhead=0.0))  # three times as long as expected
    assert it.price(3600.0) == pytest.approx(2.0)
    assert not it.try_to_reserve("c", 3600.0)  # 1.5 spent and 2 in flight: no room


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_a_call_that_nobody_measured_costs_the_time_since_it_was_submitted():
    clock = Clock()
    it = budget(10.0, clock=clock)
    it.reserve("a", 360.0, GO)
    clock.now += 2.0
    assert it.settle_unmetered("a", 360.0, 2.0) == 2.0
    assert it.spent == 2.0


def test_a_call_that_nobody_measured_costs_at_least_what_was_reserved():
    it = budget(10.0, clock=Clock())
    it.reserve("a", 3600.0, GO)
    assert it.settle_unmetered("a", 3600.0, 0.0) == it.spent == 1.0


def test_unmeasured_calls_together_cost_no_more_than_the_machines_can_have_run():
    clock = Clock()
    it = budget(None, clock=clock)
    for number in range(64):
        it.reserve(str(number), 0.0, GO)
    clock.now += 10.0
    for number in range(64):
        it.settle_unmetered(str(number), 0.0, 10.0)
    assert it.spent == pytest.approx(2 * 10.0)  # two machines
    it.add_machine()
    it.reserve("alone", 0.0, GO)
    assert it.settle_unmetered("alone", 0.0, 10.0) == pytest.approx(10.0)


def test_dead_calls_of_an_earlier_run_cost_no_more_than_its_machines_can_have_run():
    """64 calls of a run that was killed a day ago, submitted ten seconds apart: not two hours for each."""
    clock = Clock()
    it = Budget(1.0, rate=1.27 / 3600, speed=1000.0, overhead=70.0, machines=2, clock=clock)
    day, longest = 86_400.0, 7200.0
    dollars = [
        it.settle_unmetered(str(n), 60.0, longest, Window(day - 10.0 * n, longest))
        for n in range(64)
    ]
    hours = 2 * (longest + 63 * 10.0) / 3600  # of two machines
    assert sum(dollars) == pytest.approx(1.27 * hours) == pytest.approx(5.5245)
    assert it.spent == 0.0  # it is not this run's
    # Those of a run a week ago had three machines of their own, of which a container measured one hour.
    week = 7 * day
    measured = Metered(work=3600.0, overhead=0.0)
    assert it.settle("measured", 60.0, measured, Window(week, longest, 3)) == 0.0
    more = sum(
        it.settle_unmetered(f"old {n}", 60.0, longest, Window(week, longest, 3)) for n in range(64)
    )
    all_hours = 3 * (longest + 63 * 10.0 + longest) / 3600
    assert sum(dollars) + more == pytest.approx(1.27 * (all_hours - 1.0))


def test_what_a_call_of_an_earlier_run_lost_in_other_containers_is_bounded_too():
    it = budget(None, clock=Clock())
    window = Window(100.0, 50.0)
    lost = [
        it.settle(str(n), 0.0, Metered(work=1.0, overhead=0.0, lost=40.0), window) for n in range(4)
    ]
    assert lost == [40.0, 40.0, 2 * 50.0 - 80.0 - 3.0, 0.0]


def test_a_call_that_is_kept_for_another_run_is_counted_if_this_run_submitted_it():
    clock = Clock()
    it = budget(None, clock=clock)
    it.settle_kept("of yesterday", 3600.0, 7200.0)
    assert it.spent == 0.0
    it.reserve("a", 0.0, GO)
    clock.now += 5.0
    it.settle_kept("a", 0.0, 5.0)
    assert it.spent == 5.0


def test_time_in_containers_that_ended_is_counted():
    clock = Clock()
    it = budget(None, clock=clock)
    it.reserve("a", 3600.0, GO)
    clock.now += 50.0
    assert it.settle("a", 3600.0, Metered(work=1.0, overhead=2.0, lost=40.0)) == 40.0
    assert it.spent == 43.0


def test_after_one_call_of_two_hours_a_cap_of_a_dollar_is_reached():
    clock = Clock()
    it = Budget(1.0, rate=1.27 / 3600, speed=20.0, overhead=70.0, machines=2, clock=clock)
    it.reserve("first", 1800.0, GO)
    clock.now += 7200.0
    it.settle_unmetered("first", 1800.0, 7200.0)
    assert it.spent == pytest.approx(2.54)
    with pytest.raises(BudgetReached):
        it.reserve("second", 1800.0, GO)
