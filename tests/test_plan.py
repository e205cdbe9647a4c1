"""Hours, bytes and dollars before any is spent."""

import dataclasses

import pytest

from homescribe.core import HOUR, Call, Item, Listing, Usage
from homescribe.cost.plan import plan
from homescribe.cost.prices import MACHINES, SPEED_SOURCE, machine, published_rate
from homescribe.library import Library

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
    return plan(
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


def row(made, gpu):
    return next(row for row in made.rows if row.gpu == gpu)


def called(library, number, **fields):
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


def test_a_channel_in_hours_and_bytes(library):
    made = planned(library)
    assert (made.items, made.items_of_unknown_length) == (200, 0)
    assert made.audio_seconds == 100 * HOUR
    assert made.bytes_down == made.bytes_up == 100 * 22_500_000
    assert made.download_seconds == 2000.0


def test_there_is_a_row_for_this_machine_and_for_each_gpu(library):
    made = planned(library)
    assert [row.gpu for row in made.rows] == ["", *MACHINES]
    assert made.rows[0].dollars == 0
    assert {row.speed_source for row in made.rows[1:]} == {SPEED_SOURCE}


def test_a_price_is_work_and_boots_at_the_rate_of_the_machine(library):
    a10 = row(planned(library), "A10")
    assert a10.gpu_seconds == pytest.approx(100 * HOUR / a10.speed)
    rate = published_rate(machine("A10"))
    assert a10.dollars == pytest.approx((a10.gpu_seconds + a10.overhead_seconds) * rate)
    assert a10.overhead_seconds > 0


def test_a_machine_that_waits_for_downloads_is_paid_for_waiting(library):
    slow = planned(library, pause=lambda item: 60.0)
    h100 = row(slow, "H100")
    assert h100.dollars_streamed > 5 * h100.dollars


def test_the_cheapest_in_time_is_named(library):
    made = planned(library)
    assert row(made, made.cheapest).dollars == min(row.dollars for row in made.rows[1:])
    hurried = planned(library, deadline=3000.0)
    assert not row(hurried, "CPU").in_time
    assert row(hurried, hurried.cheapest).in_time
    assert hurried.cheapest != "CPU"
    assert planned(library, deadline=60.0).cheapest is None


def test_own_calls_are_believed_over_published_figures(library):
    for number in range(10):
        called(library, number)
    a10 = row(planned(library), "A10")
    assert a10.speed == 50.0
    assert a10.speed_source == "10 calls of this library"
    assert row(planned(library), "T4").speed_source == SPEED_SOURCE
    few = planned(library, VIDEOS[:2], pause=lambda item: 0.0)
    assert row(few, "A10").overhead_seconds == 2 * 50.0


def test_two_calls_are_too_few_to_judge_by(library):
    called(library, 0)
    called(library, 1)
    called(library, 2, outcome="died")
    assert row(planned(library), "A10").speed_source == SPEED_SOURCE


def test_unknown_lengths_are_told(library):
    unknown = [dataclasses.replace(item, duration=None) for item in VIDEOS]
    assert planned(library, unknown).items_of_unknown_length == 200


def test_files_are_not_downloaded_and_as_large_as_they_are(library, tmp_path):
    file = tmp_path / "talk.mp3"
    file.write_bytes(b"x" * 1234)
    made = planned(library, [Item("file", "a", url=str(file), title="talk", duration=60.0)])
    assert (made.bytes_down, made.bytes_up) == (0, 1234)


def test_nothing_to_do_costs_nothing(library):
    made = planned(library, [])
    assert (made.items, made.cheapest) == (0, None)


def test_spending_counts_what_failed_and_a_call_told_twice_once(library):
    called(library, 0)
    called(library, 1, outcome="failed", audio_seconds=1800.0)
    called(library, 1, outcome="failed", audio_seconds=1800.0)
    spent = library.spending()
    assert (spent.calls, spent.dollars) == (2, 0.02)
    assert spent.dollars_per_audio_hour == pytest.approx(0.04)
    assert spent.plan_error == pytest.approx(-0.5)
    assert spent.speed == pytest.approx(1800.0 / 122.0)


def test_what_died_last_is_suspect_until_it_is_done(library):
    called(library, 5, outcome="died", finished_at=1.0)
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
