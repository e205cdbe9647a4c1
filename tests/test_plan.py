"""The plan: hours, bytes and dollars before anything is downloaded."""

import dataclasses

import pytest

from homescribe.cli.commands.cloud import spent_in_words
from homescribe.core import HOUR, Call, Item, Listing, Usage
from homescribe.cost.plan import make_plan, newest_gpu
from homescribe.cost.prices import MACHINES, machine, published_rate
from homescribe.library import Library

PUBLISHED = "faster-whisper's README"
VIDEOS = [
    Item("youtube", f"v{n}", url=f"https://youtu.be/v{n}", title=str(n), duration=HOUR / 2)
    for n in range(200)
]


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path) as library:
        library.record("ytdlp", Listing("https://youtu.be/c", "c", iter(())), VIDEOS)
        yield library


def planned(library, items=VIDEOS, **options):
    return make_plan(
        library,
        items,
        **{
            "engine": "faster-whisper",
            "model": "turbo",
            "pause": lambda item: 10.0,
            "rate": published_rate,
            "prices": "a table",
            **options,
        },
    )


def row(plan, gpu):
    return next(row for row in plan.rows if row.gpu == gpu)


def add_usage(library, number, **fields):
    item = VIDEOS[number]
    usage = Usage(
        call=Call(item, "modal", 0.0, f"fc-{number}"),
        engine="faster-whisper",
        model="turbo",
        gpu="A10",
        gpu_seconds=36.0,
        overhead_seconds=50.0 if number == 0 else 0.0,
        boots=int(number == 0),
        audio_seconds=1800.0,
        dollars=0.01,
        expected_dollars=0.02,
        finished_at=float(number),
        outcome="done",
    )
    library.add_usage(dataclasses.replace(usage, **fields))


def test_kept_audio_is_not_downloaded(library):
    before = planned(library)
    for video in VIDEOS[:50]:
        path = library.audio.new_path(video.key, ".opus")
        path.write_bytes(b"12345")
        assert library.audio.add(video, path, "speech")
    after = planned(library)
    assert after.audio_seconds == before.audio_seconds
    assert after.bytes_down == before.bytes_down * 3 / 4
    assert after.bytes_up == before.bytes_up * 3 / 4 + 50 * 5
    assert after.download_seconds == 1500.0


def test_hours_and_bytes_of_a_channel(library):
    plan = planned(library)
    assert (plan.items, plan.items_of_unknown_length) == (200, 0)
    assert plan.audio_seconds == 100 * HOUR
    assert plan.bytes_down == plan.bytes_up == 100 * 22_500_000
    assert plan.download_seconds == 2000.0


def test_there_is_a_row_for_this_machine_and_for_each_gpu(library):
    plan = planned(library)
    assert [row.gpu for row in plan.rows] == ["", *MACHINES]
    assert plan.rows[0].dollars == 0
    assert all(PUBLISHED in row.speed_source for row in plan.rows)
    assert {row.error for row in plan.rows[1:]} == {None}


def test_a_price_is_work_plus_overhead_at_the_rate_of_the_machine(library):
    a10 = row(planned(library), "A10")
    assert a10.gpu_seconds == pytest.approx(100 * HOUR / a10.speed)
    rate = published_rate(machine("A10"))
    assert a10.dollars == pytest.approx((a10.gpu_seconds + a10.overhead_seconds) * rate)
    assert a10.overhead_seconds > 0


def test_a_machine_that_waits_for_downloads_is_paid_while_it_waits(library):
    slow = planned(library, pause=lambda item: 60.0)
    h100 = row(slow, "H100")
    assert h100.dollars_streamed > 5 * h100.dollars


def test_the_cheapest_row_before_the_deadline_is_named(library):
    plan = planned(library)
    assert row(plan, plan.cheapest).dollars == min(row.dollars for row in plan.rows[1:])
    hurried = planned(library, deadline=3000.0)
    assert not row(hurried, "CPU").in_time
    assert row(hurried, hurried.cheapest).in_time
    assert hurried.cheapest != "CPU"
    assert planned(library, deadline=60.0).cheapest is None


def test_measured_speed_replaces_published_speed(library):
    for number in range(10):
        add_usage(library, number)
    a10 = row(planned(library), "A10")
    assert a10.speed == 50.0
    assert a10.speed_source == "10 calls of this library"
    assert PUBLISHED in row(planned(library), "T4").speed_source
    few = planned(library, VIDEOS[:2], pause=lambda item: 0.0)
    assert row(few, "A10").overhead_seconds == 2 * 50.0


def test_a_plan_says_how_far_its_price_may_be_off(library):
    """Calls of 30 and 42 s for half an hour each: a standard deviation of a sixth, over ten calls."""
    for number in range(10):
        add_usage(
            library, number, gpu_seconds=36.0 + 6 * (-1) ** number, overhead_seconds=0.0, boots=0
        )
    a10 = row(planned(library), "A10")
    assert a10.error == pytest.approx(6 / 36 / 3, rel=0.01)
    assert row(planned(library), "T4").error is None


def test_gpus_that_an_engine_has_no_code_for_are_marked_and_never_the_cheapest(library):
    free = planned(library, rate=lambda rented: 0.001 if rented.gpu != "B200" else 1e-9)
    assert free.cheapest == "B200"
    marked = planned(
        library,
        rate=lambda rented: 0.001 if rented.gpu != "B200" else 1e-9,
        newest_gpu=newest_gpu("faster-whisper"),
    )
    noted = {row.gpu for row in marked.rows if row.note}
    assert noted == {"H100", "H200", "B200"}
    assert marked.cheapest not in noted


def test_an_engine_that_does_not_say_so_runs_on_every_gpu():
    assert newest_gpu("openai-whisper") is None
    assert newest_gpu("no-such-engine") is None


def test_two_calls_are_too_few_to_measure_speed(library):
    add_usage(library, 0)
    add_usage(library, 1)
    add_usage(library, 2, outcome="died")
    assert PUBLISHED in row(planned(library), "A10").speed_source


def test_unknown_durations_are_counted(library):
    unknown = [dataclasses.replace(item, duration=None) for item in VIDEOS]
    assert planned(library, unknown).items_of_unknown_length == 200


def test_local_files_are_uploaded_but_not_downloaded(library, tmp_path):
    file = tmp_path / "talk.mp3"
    file.write_bytes(b"x" * 1234)
    plan = planned(library, [Item("file", "a", url=str(file), title="talk", duration=60.0)])
    assert (plan.bytes_down, plan.bytes_up) == (0, 1234)


def test_smaller_copies_are_planned_where_they_are_smaller(library, tmp_path):
    file = tmp_path / "talk.wav"
    file.write_bytes(b"x" * 1_000_000)
    talk = Item("file", "a", url=str(file), title="talk", duration=60.0)
    assert planned(library, [talk], upload="speech").bytes_up == 60 * 3000
    assert planned(library, VIDEOS, upload="speech").bytes_up == 100 * HOUR * 3000
    short = dataclasses.replace(talk, duration=1000.0)
    assert planned(library, [short], upload="speech").bytes_up == 1_000_000


def test_nothing_to_do_costs_nothing(library):
    plan = planned(library, [])
    assert (plan.items, plan.cheapest) == (0, None)


def test_spending_counts_failed_calls_and_each_call_once(library):
    add_usage(library, 0)
    add_usage(library, 1, outcome="failed", audio_seconds=1800.0)
    add_usage(library, 1, outcome="failed", audio_seconds=1800.0)
    spent = library.spending()
    assert spent_in_words(spent).endswith("15x realtime, 50% less than expected at submission")
    assert (spent.calls, spent.dollars) == (2, 0.02)
    assert spent.dollars_per_audio_hour == pytest.approx(0.04)
    assert spent.plan_error == pytest.approx(-0.5)
    assert spent.speed == pytest.approx(1800.0 / 122.0)


def test_dollars_that_nobody_measured_are_known(library):
    add_usage(library, 0)
    add_usage(library, 1, outcome="died", dollars=2.52, unmetered_dollars=2.52)
    spent = library.spending()
    assert (spent.dollars, spent.unmetered_dollars) == (2.53, 2.52)
    words = spent_in_words(spent)
    assert "up to $2.52 of it unmetered: 1 call that nobody measured" in words


def test_an_item_whose_container_died_is_suspect_until_it_is_done(library):
    add_usage(library, 5, outcome="died", finished_at=1.0)
    assert library.suspects() == frozenset({"youtube:v5"})
    library.add_usage(
        dataclasses.replace(
            Usage(
                *(Call(VIDEOS[5], "modal", 0.0, "fc-later"), "faster-whisper", "turbo", "A10"),
                *(1.0, 0.0, 0, 1.0, 0.0, 0.0, 2.0, "done"),
            )
        )
    )
    assert library.suspects() == frozenset()
