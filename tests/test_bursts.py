"""Runs on a rented backend: audio is held back until starting is worth it, and every call is counted."""

import time

import pytest

from fake_plugins import FakeBackend, FakeSource, FakeSources, item, listing, transcript
from homescribe.core import Usage
from homescribe.errors import PermanentError, RetryableError, SourceBlocked, UserError
from homescribe.library import Library
from homescribe.pipeline import Run


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as opened:
        yield opened


class RentedBackend(FakeBackend):
    """Worth starting for `enough` seconds of audio; counts the downloads before the first submission."""

    def __init__(self, source, enough, **options):
        super().__init__(ids=True, **options)
        self.source, self.enough = source, enough
        self.downloads_before_start = 0
        self.outcomes = {}  # outcome of each key's call, None if it lives on; "done" by default

    def submit(self, audio, options, stop):
        self.downloads_before_start = self.downloads_before_start or len(self.source.fetched)
        return super().submit(audio, options, stop)

    def worth_starting(self, audio_seconds):
        return audio_seconds >= self.enough

    def usage(self, call):
        outcome = self.outcomes.get(call.item.key, "done")
        if outcome is None:
            return None
        return Usage(
            *(call, "fake", "tiny", "A10", 1.0, 0.0, 0, 10.0, 0.5, 0.5, time.time(), outcome)
        )


def slow(each):
    time.sleep(0.1)
    return b"audio"


def run(library, source, backend, items, **options):
    library.record("fake", listing("https://site.example/", ()), items)
    return list(Run(library, FakeSources(source), backend, **options))


def test_audio_is_held_back_until_starting_is_worth_it(library):
    source = FakeSource(fetching=slow)
    backend = RentedBackend(source, enough=30.0)
    outcomes = run(library, source, backend, [item(n) for n in range(12)])
    assert len(outcomes) == 12
    assert 3 <= backend.downloads_before_start < 12


def test_everything_is_submitted_when_all_downloads_have_ended(library):
    source = FakeSource(fetching=slow)
    backend = RentedBackend(source, enough=1e9)
    outcomes = run(library, source, backend, [item(n) for n in range(3)])
    assert all(outcome.transcript for outcome in outcomes)
    assert backend.downloads_before_start == 3


def test_a_full_buffer_is_submitted(library):
    source = FakeSource()
    backend = RentedBackend(source, enough=1e9)
    outcomes = run(library, source, backend, [item(n) for n in range(40)])
    assert len(outcomes) == 40
    assert backend.downloads_before_start < 40


def test_audio_is_submitted_at_the_disk_limit(library):
    source = FakeSource(fetching=slow)
    backend = RentedBackend(source, enough=1e9)
    run(library, source, backend, [item(n) for n in range(8)], disk=10)
    assert 2 <= backend.downloads_before_start < 8


def test_audio_is_submitted_while_a_site_makes_us_wait(library):
    blocked = []

    def fetching(each):
        if each.id.endswith("-2") and not blocked:
            blocked.append(time.monotonic())
            raise SourceBlocked("Slower, please.", retry_after=1.5)
        return b"audio"

    source = FakeSource(fetching=fetching)
    backend = RentedBackend(source, enough=1e9)
    outcomes = run(library, source, backend, [item(n) for n in range(4)])
    assert sum(outcome.transcript is not None for outcome in outcomes) == 4
    assert backend.downloads_before_start == 3  # two, and the one that was blocked


def test_every_call_is_counted_whatever_its_outcome(library):
    def transcribing(work):
        if work.item.id.endswith("-1"):
            raise PermanentError("No audio.")
        return transcript()

    source = FakeSource()
    backend = RentedBackend(source, enough=0.0, transcribing=transcribing)
    backend.outcomes[item(1).key] = "failed"
    run(library, source, backend, [item(n) for n in range(3)])
    assert (library.spending().calls, library.spending().dollars) == (3, 1.5)
    assert library.calls("fake") == []


def test_a_call_that_failed_with_the_run_is_not_collected_again(library):
    """The GPU is out of memory: the user must act, and there is nothing left to collect."""

    def transcribing(work):
        raise UserError("The GPU is out of memory.")

    source = FakeSource()
    backend = RentedBackend(source, enough=0.0, transcribing=transcribing)
    backend.outcomes[item(0).key] = "failed"
    with pytest.raises(UserError, match="out of memory"):
        run(library, source, backend, [item(0)])
    assert library.calls("fake") == []
    assert library.item(item(0).key).state == "pending"
    assert library.spending().calls == 1


def test_a_call_that_is_still_running_is_kept_when_the_run_ends(library):
    def transcribing(work):
        raise UserError("Modal does not answer.")

    source = FakeSource()
    backend = RentedBackend(source, enough=0.0, transcribing=transcribing)
    backend.outcomes[item(0).key] = None
    with pytest.raises(UserError, match="does not answer"):
        run(library, source, backend, [item(0)])
    assert len(library.calls("fake")) == 1
    assert library.spending().calls == 0


def test_an_item_whose_container_died_is_retried_and_marked_as_suspect(library):
    def transcribing(work):
        raise RetryableError("2 containers ended while they worked on it.")

    source = FakeSource()
    backend = RentedBackend(source, enough=0.0, transcribing=transcribing)
    backend.outcomes[item(0).key] = "died"
    run(library, source, backend, [item(0)])
    assert library.suspects() == frozenset({item(0).key})
    assert library.item(item(0).key).retry_at is not None
