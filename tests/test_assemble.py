"""Runs on a backend that is paid for: audio gathers until starting is worth it, and every call is counted."""

import time

import pytest

from doubles import FakeBackend, FakeSource, FakeSources, item, listing, transcript
from homescribe.core import Usage
from homescribe.errors import PermanentError, RetryableError, SourceBlocked, UserError
from homescribe.library import Library
from homescribe.pipeline import Run


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as opened:
        yield opened


class Rented(FakeBackend):
    """Worth starting for `worth` seconds of audio; tells how many downloads it was started with."""

    def __init__(self, source, worth, **options):
        super().__init__(ids=True, **options)
        self.source, self.worth = source, worth
        self.fetched_at_first = 0
        self.used = {}  # what it says of a call: True for a Usage

    def submit(self, audio, options, stop):
        self.fetched_at_first = self.fetched_at_first or len(self.source.fetched)
        return super().submit(audio, options, stop)

    def worth_starting(self, audio_seconds):
        return audio_seconds >= self.worth

    def usage(self, call):
        outcome = self.used.get(call.item.key, "done")
        if outcome is None:
            return None
        return Usage(
            *(call, "fake", "tiny", "A10", 1.0, 0.0, 0, 10.0, 0.5, 0.5, time.time(), outcome)
        )


def slowly(each):
    time.sleep(0.1)
    return b"audio"


def run(library, source, backend, items, **options):
    library.record("fake", listing("https://site.example/", ()), items)
    return list(Run(library, FakeSources(source), backend, **options))


def test_audio_gathers_until_starting_is_worth_it(library):
    source = FakeSource(fetching=slowly)
    backend = Rented(source, worth=30.0)
    outcomes = run(library, source, backend, [item(n) for n in range(12)])
    assert len(outcomes) == 12
    assert 3 <= backend.fetched_at_first < 12


def test_what_is_there_goes_when_nothing_more_comes(library):
    source = FakeSource(fetching=slowly)
    backend = Rented(source, worth=1e9)
    outcomes = run(library, source, backend, [item(n) for n in range(3)])
    assert all(outcome.transcript for outcome in outcomes)
    assert backend.fetched_at_first == 3


def test_a_full_window_goes(library):
    source = FakeSource()
    backend = Rented(source, worth=1e9)
    outcomes = run(library, source, backend, [item(n) for n in range(40)])
    assert len(outcomes) == 40
    assert backend.fetched_at_first < 40


def test_a_full_disk_goes(library):
    source = FakeSource(fetching=slowly)
    backend = Rented(source, worth=1e9)
    run(library, source, backend, [item(n) for n in range(8)], disk=10)
    assert 2 <= backend.fetched_at_first < 8


def test_a_site_that_makes_us_wait_is_not_waited_for(library):
    blocked = []

    def fetching(each):
        if each.id.endswith("-2") and not blocked:
            blocked.append(time.monotonic())
            raise SourceBlocked("Slower, please.", retry_after=1.5)
        return b"audio"

    source = FakeSource(fetching=fetching)
    backend = Rented(source, worth=1e9)
    outcomes = run(library, source, backend, [item(n) for n in range(4)])
    assert sum(outcome.transcript is not None for outcome in outcomes) == 4
    assert backend.fetched_at_first == 3  # two, and the one that was turned away


def test_every_call_is_accounted_for_whatever_came_of_it(library):
    def hearing(work):
        if work.item.id.endswith("-1"):
            raise PermanentError("No sound in it.")
        return transcript()

    source = FakeSource()
    backend = Rented(source, worth=0.0, hearing=hearing)
    backend.used[item(1).key] = "failed"
    run(library, source, backend, [item(n) for n in range(3)])
    assert (library.spending().calls, library.spending().dollars) == (3, 1.5)
    assert library.calls("fake") == []


def test_a_call_that_ended_with_the_run_is_not_collected_for_ever(library):
    """Out of memory on the GPU: the user must act, and there is nothing left to collect."""

    def hearing(work):
        raise UserError("The GPU is out of memory.")

    source = FakeSource()
    backend = Rented(source, worth=0.0, hearing=hearing)
    backend.used[item(0).key] = "failed"
    with pytest.raises(UserError, match="out of memory"):
        run(library, source, backend, [item(0)])
    assert library.calls("fake") == []
    assert library.item(item(0).key).state == "pending"
    assert library.spending().calls == 1


def test_a_call_that_lives_on_is_kept_when_the_run_ends(library):
    def hearing(work):
        raise UserError("Modal does not answer.")

    source = FakeSource()
    backend = Rented(source, worth=0.0, hearing=hearing)
    backend.used[item(0).key] = None
    with pytest.raises(UserError, match="does not answer"):
        run(library, source, backend, [item(0)])
    assert len(library.calls("fake")) == 1
    assert library.spending().calls == 0


def test_what_died_is_tried_again_and_told(library):
    def hearing(work):
        raise RetryableError("2 containers ended while they worked on it.")

    source = FakeSource()
    backend = Rented(source, worth=0.0, hearing=hearing)
    backend.used[item(0).key] = "died"
    run(library, source, backend, [item(0)])
    assert library.suspects() == frozenset({item(0).key})
    assert library.item(item(0).key).retry_at is not None
