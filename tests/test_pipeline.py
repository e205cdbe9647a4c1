"""Runs and listings with fake sources and backends."""

import tempfile
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_plugins import (
    FakeBackend,
    FakeSource,
    FakeSources,
    fill,
    item,
    listing,
    run,
    states,
    transcript,
    until_stopped,
)
from homescribe.core import SourceOptions, TranscriptionOptions
from homescribe.errors import (
    PermanentError,
    RetryableError,
    SiteBusy,
    SourceBlocked,
    UserError,
)
from homescribe.library import Library
from homescribe.pipeline import Sources, add, sync
from homescribe.pipeline.downloads import MAX_WAITS, OUTAGE, Downloads
from homescribe.pipeline.events import NotDownloaded
from homescribe.pipeline.selection import STOP_AFTER_KNOWN
from homescribe.pipeline.state import FINAL, Progress, Stage, Stages


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as opened:
        yield opened


def wait_for(condition):
    """Wait until `condition()` is true, at most 30 seconds."""
    for _ in range(3000):
        if condition():
            return
        Event().wait(0.01)
    raise AssertionError("timed out")


def files_left(library):
    downloads = library.directory / "downloads"
    return [path for path in downloads.rglob("*") if path.is_file()]


# --- A run ---------------------------------------------------------------------------------------


def test_everything_pending_is_transcribed_and_stored(library):
    fill(library, [item(n) for n in range(5)])
    outcomes = list(run(library, FakeSource(), FakeBackend()))
    assert [outcome.transcript.text for outcome in outcomes] == ["hello world"] * 5
    assert library.transcript(item(3).key) == transcript(options=TranscriptionOptions())
    assert set(states(library).values()) == {"done"}
    assert files_left(library) == []


def test_the_transcribed_duration_replaces_the_listed_one(library):
    fill(library, [item(1, duration=None), item(2, duration=356_400.0)])
    list(run(library, FakeSource(), FakeBackend()))
    assert [record.item.duration for record in library.items()] == [10.0, 10.0]


def test_a_second_run_with_nothing_pending_loads_no_model(library):
    fill(library, [item(1)])
    list(run(library, FakeSource(), FakeBackend()))
    backend, source = FakeBackend(), FakeSource()
    assert list(run(library, source, backend)) == []
    assert (backend.starts, source.fetched) == (0, [])


def test_a_failed_download_is_recorded_and_the_run_continues(library):
    def fetching(wanted):
        if wanted.id == "site-1":
            raise PermanentError("Private video.")
        return b"audio"

    fill(library, [item(n) for n in range(3)])
    outcomes = list(run(library, FakeSource(fetching=fetching), FakeBackend()))
    assert sorted(str(outcome.error) for outcome in outcomes) == ["None", "None", "Private video."]
    record = library.item("fake:site-1")
    assert (record.state, record.error, record.attempts) == ("failed", "Private video.", 1)
    assert list(run(library, FakeSource(), FakeBackend())) == []  # not retried automatically


def test_the_backend_may_forget_a_call_once_its_outcome_is_stored(library):
    fill(library, [item(1), item(2), item(3)])
    stored = {}

    def transcribing(work):
        if work.item.id == "site-2":
            raise PermanentError("No audio.")
        if work.item.id == "site-3":
            raise KeyError("a bug")  # the call stays collectable
        return transcript()

    class Backend(FakeBackend):
        def forget(self, key):
            stored[key] = states(library)[key.partition(":")[2]]

    list(run(library, FakeSource(), Backend(transcribing, ids=True)))
    assert stored == {"fake:site-1": "done", "fake:site-2": "failed"}


def test_a_failed_transcription_is_recorded_and_the_run_continues(library):
    def transcribing(audio):
        if audio.item.id == "site-0":
            raise PermanentError("No audio.")
        return transcript()

    fill(library, [item(n) for n in range(3)])
    list(run(library, FakeSource(), FakeBackend(transcribing)))
    assert states(library) == {"site-0": "failed", "site-1": "done", "site-2": "done"}
    assert files_left(library) == []


def test_truncated_audio_is_downloaded_again_by_the_next_run(library):
    def transcribing(audio):
        raise RetryableError("The audio ends early.", retry_after=3600)

    fill(library, [item(1)])
    list(run(library, FakeSource(), FakeBackend(transcribing)))
    assert files_left(library) == []
    assert library.item("fake:site-1").retry_at is not None
    library.retry()
    source = FakeSource()
    list(run(library, source, FakeBackend()))
    assert source.fetched == ["fake:site-1"]
    assert states(library) == {"site-1": "done"}


def test_a_failed_item_that_is_due_again_is_retried_in_the_same_run(library, monkeypatch):
    monkeypatch.setattr("homescribe.library.failures.BACKOFF", (0.0,) * 5)
    tries = []

    def fetching(wanted):
        tries.append(wanted.id)
        if len(tries) < 3:
            raise RetryableError("503")
        return b"audio"

    fill(library, [item(1)])
    outcomes = list(run(library, FakeSource(fetching=fetching), FakeBackend()))
    assert [outcome.transcript is None for outcome in outcomes] == [True, True, False]
    assert states(library) == {"site-1": "done"}


def test_a_local_file_is_not_removed(library, tmp_path):
    own = tmp_path / "talk.mp3"
    own.write_bytes(b"audio")

    class Disk(FakeSource):
        def fetch(self, item, directory, stop):
            from homescribe.core import Audio

            return Audio(item, own, temporary=False)

    fill(library, [item(1)])
    list(run(library, Disk(), FakeBackend()))
    assert own.read_bytes() == b"audio"


def test_keys_and_limit_restrict_a_run(library):
    fill(library, [item(n) for n in range(6)])
    list(run(library, FakeSource(), FakeBackend(), keys=["fake:site-4", "fake:site-2"]))
    assert [i for i, state in states(library).items() if state == "done"] == ["site-2", "site-4"]
    list(run(library, FakeSource(), FakeBackend(), limit=1))
    assert list(states(library).values()).count("done") == 3


# --- Pauses and blocked sites --------------------------------------------------------------------


def test_one_download_at_a_time_from_one_site(library):
    fill(library, [item(n, site) for n in range(6) for site in ("one", "two")])
    source = FakeSource()
    list(run(library, source, FakeBackend(slots=3)))
    assert source.most == {"one": 1, "two": 1}


class RecordingStop(Event):
    """A stop flag that returns from every wait at once and appends its length to `log`."""

    def __init__(self, log):
        super().__init__()
        self.log = log

    def wait(self, timeout=None):
        self.log.append(timeout)
        return False


def downloads_and_pauses(
    directory, pause, sleep_interval, fetching=lambda item: b"audio", prepare=None
):
    """Download three items from one site; return each download and the length of each pause, in order."""
    log = []
    source = FakeSource(fetching=lambda item: (log.append(item.id), fetching(item))[1])
    source.pause = pause
    inbox = SimpleQueue()
    downloads = Downloads(
        FakeSources(source),
        directory,
        inbox,
        RecordingStop(log),
        Progress(),
        buffer_size=3,
        sleep_interval=sleep_interval,
        prepare=prepare,
    )
    downloads.start([item(n) for n in range(3)])
    while not isinstance(inbox.get(timeout=10), NotDownloaded):
        pass
    return log


def test_a_pause_between_two_downloads_from_one_site(tmp_path):
    assert downloads_and_pauses(tmp_path, pause=(0, 0), sleep_interval=7) == [
        *("site-0", 7, "site-1", 7, "site-2")
    ]


def test_the_sources_own_pause_is_the_default(tmp_path):
    log = downloads_and_pauses(tmp_path, pause=(6, 14), sleep_interval=None)
    assert log[::2] == ["site-0", "site-1", "site-2"]
    assert all(6 <= pause <= 14 for pause in log[1::2])
    assert len(log) == 5


def test_what_is_prepared_for_an_upload_takes_part_of_the_pause(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("homescribe.pipeline.downloads.time.monotonic", lambda: now[0])

    def prepare(audio, folder, stop, kept):
        now[0] += 2.0
        return audio

    log = downloads_and_pauses(tmp_path, pause=(0, 0), sleep_interval=7, prepare=prepare)
    assert log == ["site-0", 5.0, "site-1", 5.0, "site-2"]


def test_a_pause_after_a_failed_download_too(tmp_path):
    def fetching(wanted):
        raise PermanentError("Private video.")

    log = downloads_and_pauses(tmp_path, pause=(0, 0), sleep_interval=7, fetching=fetching)
    assert log == ["site-0", 7, "site-1", 7, "site-2"]


def test_a_site_that_blocks_a_retried_item_is_not_tried_again_in_the_same_run(library, monkeypatch):
    monkeypatch.setattr("homescribe.library.failures.BACKOFF", (0.0,) * 5)
    attempts = []

    def fetching(wanted):
        attempts.append(wanted.id)
        assert len(attempts) < 5
        if len(attempts) == 1:
            raise RetryableError("503")
        raise SourceBlocked("Sign in to confirm you're not a bot")

    fill(library, [item(1)])
    with pytest.raises(SourceBlocked):
        list(run(library, FakeSource(fetching=fetching), FakeBackend()))
    assert len(attempts) == 2
    assert states(library) == {"site-1": "pending"}


def test_downloads_run_ahead_only_as_far_as_the_buffer(library):
    fill(library, [item(n) for n in range(20)])
    source = FakeSource()
    reached = []

    def transcribing(audio):
        if not reached:
            wait_for(lambda: len(files_left(library)) >= 4)
            Event().wait(0.2)  # time for a download too many
        reached.append(len(files_left(library)))
        return transcript()

    list(run(library, source, FakeBackend(transcribing)))
    assert max(reached) == 4
    assert len(source.fetched) == 20


def test_a_bot_check_stops_the_site_and_marks_nothing_failed(library):
    def fetching(wanted):
        if wanted.id == "youtube-1":
            raise SourceBlocked("Sign in to confirm you're not a bot", "Wait, or use cookies.")
        return b"audio"

    fill(library, [item(n, site) for n in range(4) for site in ("youtube", "podcast")])
    outcomes = []
    with pytest.raises(SourceBlocked, match="not a bot"):
        outcomes += run(library, FakeSource(fetching=fetching), FakeBackend())
    found = states(library)
    assert [found[f"podcast-{n}"] for n in range(4)] == ["done"] * 4
    assert [found[f"youtube-{n}"] for n in range(4)] == ["done", "pending", "pending", "pending"]
    assert library.item("fake:youtube-1").attempts == 0


def test_a_run_waits_as_long_as_a_site_requests(library):
    requested = []

    def fetching(wanted):
        requested.append(wanted.id)
        if len(requested) == 2:
            raise SourceBlocked("Too many requests", retry_after=0.2)
        return b"audio"

    fill(library, [item(n) for n in range(3)])
    outcomes = list(run(library, FakeSource(fetching=fetching), FakeBackend()))
    assert requested == ["site-0", "site-1", "site-1", "site-2"]
    assert len([outcome for outcome in outcomes if outcome.transcript]) == 3


def test_a_busy_site_gets_no_request_until_it_wants_one(library):
    """The failure is the first item's, and the second one waits; after the last one, later runs wait."""
    requested = []

    def fetching(wanted):
        requested.append((wanted.id, time.monotonic()))
        if wanted.id == "site-0":
            raise SiteBusy("The server failed.", retry_after=0.4)
        if wanted.id == "site-2":
            raise SiteBusy("The server failed.", retry_after=3600)
        return b"audio"

    fill(library, [item(n) for n in range(3)])
    list(run(library, FakeSource(fetching=fetching), FakeBackend()))  # it does not wait an hour
    assert [name for name, _ in requested] == ["site-0", "site-1", "site-2"]
    assert requested[1][1] - requested[0][1] >= 0.4
    assert states(library) == {"site-0": "failed", "site-1": "done", "site-2": "failed"}
    [(until, reason)] = library.blocked_sites().values()
    assert (reason, until - time.time() > 3500) == ("The server failed.", True)


def test_a_site_that_is_always_busy_costs_a_few_items_one_attempt(library):
    def fetching(wanted):
        raise SiteBusy("The server failed.", retry_after=0.01 if wanted.id < "site-3" else 3600)

    fill(library, [item(n) for n in range(9)])
    with pytest.raises(SourceBlocked, match="The server failed"):
        list(run(library, FakeSource(fetching=fetching), FakeBackend()))
    assert list(states(library).values()).count("failed") == MAX_WAITS + 1
    assert library.blocked_sites().keys() == {
        "site"
    }  # also the pause that this run did not wait for


def test_a_site_that_always_requests_a_pause_counts_as_blocked(library):
    def fetching(wanted):
        raise SourceBlocked("Too many requests", retry_after=0.01)

    source = FakeSource(fetching=fetching)
    fill(library, [item(n) for n in range(3)])
    with pytest.raises(SourceBlocked):
        list(run(library, source, FakeBackend()))
    assert len(source.fetched) == MAX_WAITS + 1
    assert set(states(library).values()) == {"pending"}


def test_an_outage_does_not_use_an_attempt_of_every_item(library, monkeypatch):
    monkeypatch.setattr("homescribe.pipeline.downloads.OUTAGE_PAUSES", (0.05, 0.05))

    def fetching(wanted):
        raise RetryableError("The connection failed.")

    fill(library, [item(n) for n in range(30)])
    with pytest.raises(SourceBlocked, match="in a row failed from site"):
        list(run(library, FakeSource(fetching=fetching), FakeBackend()))
    assert list(states(library).values()).count("failed") == OUTAGE + 2
    assert list(states(library).values()).count("pending") == 30 - OUTAGE - 2
    assert library.blocked_sites() == {}  # the next run may try at once


def test_an_outage_that_ends_costs_a_few_items_one_attempt(library, monkeypatch):
    monkeypatch.setattr("homescribe.pipeline.downloads.OUTAGE_PAUSES", (0.05, 0.05))
    monkeypatch.setattr("homescribe.library.failures.BACKOFF", (0.0,) * 5)
    tries = []

    def fetching(wanted):
        tries.append(wanted.id)
        if 3 <= len(tries) < 3 + OUTAGE + 1:
            raise RetryableError("The connection failed.")
        return b"audio"

    fill(library, [item(n) for n in range(12)])
    list(run(library, FakeSource(fetching=fetching), FakeBackend()))
    assert set(states(library).values()) == {"done"}


def test_consecutive_videos_that_are_not_available_yet_are_no_outage(library):
    def fetching(wanted):
        if wanted.id != "site-7":
            raise RetryableError("Not there yet.", retry_after=3600)
        return b"audio"

    fill(library, [item(n) for n in range(8)])
    list(run(library, FakeSource(fetching=fetching), FakeBackend()))
    assert states(library)["site-7"] == "done"


def test_the_next_run_also_waits_as_long_as_a_site_requested(library):
    library.block_site("site", time.time() + 3600, "Too many requests")
    fill(library, [item(1), item(2, "other")])
    source = FakeSource()
    running = run(library, source, FakeBackend())
    for outcome in running:
        assert outcome.item.id == "other-2"
        running.stop.set()
    assert source.fetched == ["fake:other-2"]
    assert running.progress.waiting["site"][1] == "Too many requests"


# --- Calls that outlive the run ------------------------------------------------------------------


def test_a_call_is_stored_before_its_result_is_requested(library):
    seen = []

    def transcribing(audio):
        with Library(library.directory) as other:
            seen.extend(call.id for call in other.calls("fake"))
        return transcript()

    fill(library, [item(1)])
    list(run(library, FakeSource(), FakeBackend(transcribing, ids=True)))
    assert seen == ["fc-1"]
    assert library.calls("fake") == []


@pytest.mark.parametrize("language", ["German", "de_AT.UTF-8", "de"])
def test_the_language_of_a_run_may_be_a_name_or_a_locale(library, language):
    fill(library, [item(1)])
    options = TranscriptionOptions(language=language, beam_size=1)
    list(run(library, FakeSource(), FakeBackend(), options=options))
    made = library.transcript(item(1).key).options
    assert made == TranscriptionOptions(language="de", beam_size=1)


def test_the_next_run_collects_what_was_submitted_and_submits_only_the_rest(library):
    fill(library, [item(n) for n in range(4)])
    first = FakeBackend(ids=True, slots=2)
    running = run(library, FakeSource(), first)
    both_submitted = threading.Barrier(2, action=running.stop.set)

    def transcribing(audio):
        both_submitted.wait(30)
        until_stopped(running.stop)

    first.transcribing = transcribing
    assert list(running) == []
    stored = {call.item.key: call.id for call in library.calls("fake")}
    assert len(stored) == len(first.submitted) == 2

    second = FakeBackend(ids=True)
    greedy = TranscriptionOptions(beam_size=1)
    outcomes = list(run(library, FakeSource(), second, options=greedy))
    assert len(outcomes) == 4
    assert set(second.submitted) == {item(n).key for n in range(4)} - set(stored)
    assert set(states(library).values()) == {"done"}
    # Each transcript states the options that its call was submitted with.
    made = {item(n).key: library.transcript(item(n).key).options for n in range(4)}
    assert made == {key: TranscriptionOptions() if key in stored else greedy for key in made}


def test_a_call_of_another_backend_is_neither_collected_nor_submitted_again(library):
    fill(library, [item(1)])
    running = run(library, FakeSource(), backend := FakeBackend(ids=True))

    def transcribing(audio):
        running.stop.set()
        until_stopped(running.stop)

    backend.transcribing = transcribing
    list(running)
    other = FakeBackend()
    other.name = "other"
    assert list(run(library, FakeSource(), other)) == []
    assert states(library) == {"site-1": "in flight"}


# --- The end -------------------------------------------------------------------------------------


def test_a_stopped_run_loses_nothing(library):
    fill(library, [item(n) for n in range(10)])
    running = run(library, FakeSource(), backend := FakeBackend())

    def transcribing(audio):
        if audio.item.id == "site-2":
            running.stop.set()
            until_stopped(running.stop)
        return transcript()

    backend.transcribing = transcribing
    assert len(list(running)) == 2
    assert list(states(library).values()) == ["done"] * 2 + ["pending"] * 8
    assert len(list(run(library, FakeSource(), FakeBackend()))) == 8


def test_a_user_error_ends_the_run_and_marks_nothing_failed(library):
    def transcribing(audio):
        if audio.item.id == "site-1":
            raise UserError("Out of memory.", "Choose a smaller model.")
        return transcript()

    fill(library, [item(n) for n in range(4)])
    with pytest.raises(UserError, match="Out of memory"):
        list(run(library, FakeSource(), FakeBackend(transcribing)))
    assert list(states(library).values()) == ["done", "pending", "pending", "pending"]


def test_leaving_the_loop_ends_the_threads(library):
    fill(library, [item(n) for n in range(10)])
    iterator = iter(run(library, FakeSource(), FakeBackend()))
    next(iterator)
    iterator.close()
    for thread in threading.enumerate():
        if thread.name.startswith(("download", "slot")):
            thread.join(5)
            assert not thread.is_alive()
    with library.run_lock():  # it was released
        pass


def test_only_one_run_at_a_time_per_library(library):
    fill(library, [item(1)])
    with library.run_lock(), Library(library.directory) as other, pytest.raises(UserError):
        list(run(other, FakeSource(), FakeBackend()))


def test_a_run_removes_abandoned_downloads_but_resumes_partial_ones(library):
    fill(library, [item(1), item(2)])
    list(run(library, FakeSource(), FakeBackend(), keys=["fake:site-1"]))
    fetched = []

    def fetching(wanted):
        raise RetryableError("cut off", retry_after=3600)

    list(run(library, FakeSource(fetching=fetching), FakeBackend()))
    (library.directory / "downloads" / "fake-gone-12345678").mkdir()
    library.retry()

    def resuming(wanted):
        fetched.extend(path.name for path in files_left(library))
        return b"audio"

    list(run(library, FakeSource(fetching=resuming), FakeBackend()))
    assert fetched == ["audio.webm.part"]
    assert list((library.directory / "downloads").iterdir()) == []


# --- Stages --------------------------------------------------------------------------------------

# What may follow each stage. Items start as WAITING or COLLECTING; a retry sets RETRYABLE back to WAITING.
ENDED = {Stage.DONE, Stage.FAILED, Stage.RETRYABLE}
NEXT = {
    None: {Stage.WAITING, Stage.COLLECTING},
    Stage.WAITING: {Stage.DOWNLOADED, Stage.FAILED, Stage.RETRYABLE, Stage.PENDING},
    Stage.DOWNLOADED: {Stage.QUEUED},
    Stage.QUEUED: {Stage.SUBMITTING},
    Stage.SUBMITTING: {Stage.SUBMITTED},
    Stage.SUBMITTED: ENDED,
    Stage.COLLECTING: ENDED,
    Stage.RETRYABLE: {Stage.WAITING},
}


class CheckedStages(Stages):
    """Record each transition that NEXT does not allow."""

    def __init__(self):
        super().__init__()
        self.wrong = []

    def _set(self, key, stage):
        before = self._stages.get(key)
        if stage not in NEXT.get(before, ()):
            self.wrong.append((key, before, stage))
        super()._set(key, stage)
        if Counter(self._stages.values()) != +self._counts:
            self.wrong.append((key, "counts", self._counts))


def checked(running):
    running._stages = CheckedStages()
    return running


def raise_or_return(outcome, value):
    if outcome == "permanent":
        raise PermanentError("No.")
    if outcome == "retryable":
        raise RetryableError("Later.", retry_after=3600)
    if outcome == "blocked":
        raise SourceBlocked("Not now.")
    if outcome == "slow":
        Event().wait(0.002)
    return value


outcome = st.sampled_from(["good", "slow", "permanent", "retryable"])


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    plan=st.lists(
        st.tuples(st.sampled_from(["one", "two"]), outcome | st.just("blocked"), outcome),
        min_size=1,
        max_size=12,
    ),
    slots=st.integers(1, 3),
    ids=st.booleans(),
    stop_after=st.none() | st.integers(1, 4),
)
def test_every_item_ends_in_a_final_stage_whatever_the_order_of_events(
    plan, slots, ids, stop_after
):
    items = [item(n, site) for n, (site, _, _) in enumerate(plan)]
    downloads = {each.key: step[1] for each, step in zip(items, plan, strict=True)}
    transcriptions = {each.key: step[2] for each, step in zip(items, plan, strict=True)}
    source = FakeSource(fetching=lambda each: raise_or_return(downloads[each.key], b"audio"))
    backend = FakeBackend(
        lambda work: raise_or_return(transcriptions[work.item.key], transcript()), slots, ids
    )
    with tempfile.TemporaryDirectory() as folder, Library(Path(folder)) as library:
        fill(library, items)
        running = checked(run(library, source, backend))
        outcomes = []
        try:
            for each in running:
                outcomes.append(each)
                if stop_after and len(outcomes) >= stop_after:
                    running.stop.set()
        except SourceBlocked:
            assert "blocked" in downloads.values()
        assert running._stages.wrong == []
        stages = running._stages._stages
        transcribed = {each.item.key for each in outcomes if each.transcript}
        failed = {each.item.key for each in outcomes if isinstance(each.error, PermanentError)}
        assert transcribed == {key for key, stage in stages.items() if stage is Stage.DONE}
        assert failed == {key for key, stage in stages.items() if stage is Stage.FAILED}
        if stop_after is None:
            assert set(stages) == {each.key for each in items}
            assert set(stages.values()) <= FINAL
            assert all("part" in path.name for path in files_left(library))
        for record in library.items():
            assert (record.state == "done") == (record.item.key in transcribed)
            # A call is stored for whatever was submitted and has not ended.
            if ids and record.item.key in backend.submitted and not record.error:
                assert record.state in ("done", "in flight")

        in_flight = {each.item.key for each in library.items() if each.state == "in flight"}
        next_backend = FakeBackend(slots=slots, ids=ids)
        next_run = checked(run(library, FakeSource(), next_backend))
        list(next_run)
        assert next_run._stages.wrong == []
        assert in_flight.isdisjoint(next_backend.submitted)
        assert transcribed.isdisjoint(next_backend.submitted)
        assert set(states(library).values()) <= {"done", "failed"}


def test_no_submission_starts_once_the_run_is_ending(library, monkeypatch):
    """A call that the iterating thread did not wait for would be paid for and not stored."""
    fill(library, [item(n) for n in range(2)])
    reached, ended = Event(), Event()
    start_submitting = Stages.start_submitting

    def late(stages, key):
        if key == item(1).key:
            reached.set()
            ended.wait(10)
        return start_submitting(stages, key)

    monkeypatch.setattr(Stages, "start_submitting", late)
    backend = FakeBackend(lambda work: (reached.wait(10), transcript())[1], slots=2, ids=True)
    iterator = iter(run(library, FakeSource(), backend))
    next(iterator)
    iterator.close()
    ended.set()
    for thread in threading.enumerate():
        if thread.name.startswith("slot"):
            thread.join(10)
    assert backend.submitted == [item(0).key]
    assert states(library) == {"site-0": "done", "site-1": "pending"}


# --- Listing -------------------------------------------------------------------------------------

URL = "https://channel.example/"


def list_once(library, items, *, newest_first=True, **options):
    source = FakeSource([listing(URL, items, newest_first=newest_first)])
    return source, list(add(library, FakeSources(source), URL, Event(), **options))


def test_an_update_stops_at_known_items(library):
    old = [item(n) for n in range(200, 0, -1)]
    list_once(library, old)
    source, [listed] = list_once(library, [item(202), item(201), *old])
    assert [new.id for new in listed.new] == ["site-202", "site-201"]
    assert len(source.taken) == 2 + STOP_AFTER_KNOWN


def test_everything_reads_to_the_end(library):
    old = [item(n) for n in range(200, 0, -1)]
    list_once(library, old)
    source, [listed] = list_once(library, [*old, item(0)], everything=True)
    assert [new.id for new in listed.new] == ["site-0"]
    assert len(source.taken) == 201


def test_a_playlist_is_read_to_its_end_because_new_items_come_last(library):
    old = [item(n) for n in range(100)]
    list_once(library, old, newest_first=False)
    _, [listed] = list_once(library, [*old, item(100)], newest_first=False)
    assert [new.id for new in listed.new] == ["site-100"]


def resync(library, items, *, newest_first=True, **options):
    source = FakeSource([listing(URL, items, newest_first=newest_first)])
    [result] = sync(library, FakeSources(source), Event(), **options)
    assert result.error is None
    return source, sorted(int(new.id.removeprefix("site-")) for new in result.new)


def dated(*numbers):
    return [item(n, upload_date=f"2026-{n // 28 + 1:02d}-{n % 28 + 1:02d}") for n in numbers]


def test_only_items_since_a_date_also_in_updates(library):
    old = dated(*range(40, 0, -1), 300)
    _, [listed] = list_once(library, old, newest_first=False, since="2026-02-10")
    assert [each.id for each in listed.new] == [
        "site-40",
        "site-39",
        "site-38",
        "site-37",
        "site-300",
    ]
    assert resync(library, [*old, *dated(3, 50)], newest_first=False)[1] == [50]
    assert resync(library, old, newest_first=False, everything=True)[1] == []
    assert [record.since for record in library.sources()] == ["2026-02-10"]
    _, [listed] = list_once(library, old, newest_first=False)  # added without a date
    assert len(listed.new) == 36
    assert [record.since for record in library.sources()] == [None]


def test_a_newest_first_listing_is_read_to_the_date_only(library):
    source, [listed] = list_once(library, dated(*range(200, 0, -1)), since="2026-08-01")
    assert [each.id for each in listed.new] == [
        "site-200",
        "site-199",
        "site-198",
        "site-197",
        "site-196",
    ]
    assert len(source.taken) == 5 + STOP_AFTER_KNOWN


def test_a_listing_without_dates_cannot_be_chosen_by_date(library):
    with pytest.raises(UserError, match="has no dates"):
        list_once(library, [item(1)], since="2026-02-10")
    assert library.sources() == []


@pytest.mark.parametrize("everything", [False, True])
def test_the_newest_items_of_a_channel_and_later_ones(library, everything):
    old = [item(n) for n in range(200, 0, -1)]
    _, [listed] = list_once(library, old, latest=3)
    assert [each.id for each in listed.new] == ["site-200", "site-199", "site-198"]
    without = [each for each in old if each.id != "site-190"]  # deleted meanwhile
    source, new = resync(library, [item(201), *without], everything=everything)
    assert new == [201]
    assert len(source.taken) < 100


def test_the_newest_items_of_a_feed_are_those_with_the_latest_dates(library):
    old = dated(*range(10))
    _, [listed] = list_once(library, old, newest_first=False, latest=3)
    assert [each.id for each in listed.items] == ["site-7", "site-8", "site-9"]
    assert resync(library, [*dated(4), *old, *dated(11)], newest_first=False)[1] == [11]
    _, [listed] = list_once(library, old, newest_first=False)
    assert len(listed.new) == 7
    assert resync(library, old, newest_first=False)[1] == []


def test_without_dates_the_newest_items_are_the_first(library):
    _, [listed] = list_once(library, [item(n) for n in range(9)], newest_first=False, latest=2)
    assert [each.id for each in listed.items] == ["site-0", "site-1"]


def test_a_source_that_moves_keeps_its_selection(library):
    list_once(library, dated(*range(10)), newest_first=False, latest=3)
    source = FakeSource([listing("https://new.example/", dated(*range(11)))])
    [moved] = add(library, FakeSources(source), "https://new.example/", Event(), moved_from=URL)
    assert [each.id for each in moved.new] == ["site-10"]


def test_an_incomplete_listing_is_not_recorded(library):
    with pytest.raises(UserError):
        list_once(library, [item(2), UserError("The network is down."), item(1)])
    assert list(library.items()) == []
    _, [listed] = list_once(library, [item(2), item(1)])
    assert len(listed.new) == 2


def test_the_newest_items_are_first_in_the_next_run(library):
    list_once(library, [item(n) for n in (2, 1)])
    list_once(library, [item(n) for n in (3, 2, 1)])
    assert [each.id for each in library.pending()] == ["site-3", "site-2", "site-1"]


def test_sync_reports_a_source_that_fails_and_continues(library):
    bad, good = "https://bad.example/", "https://good.example/"
    source = FakeSource([listing(bad, []), listing(good, [])])
    for url in (bad, good):
        list(add(library, FakeSources(source), url, Event()))
    source = FakeSource([listing(bad, [UserError("Gone.")]), listing(good, [item(1)])])
    listed = list(sync(library, FakeSources(source), Event()))
    assert {entry.url: str(entry.error) for entry in listed} == {bad: "Gone.", good: "None"}
    assert states(library) == {"site-1": "pending"}


def test_sync_sends_no_further_request_to_a_host_that_blocked_one(library):
    urls = ["https://a.example/1", "https://a.example/2", "https://b.example/"]
    source = FakeSource([listing(url, []) for url in urls])
    for url in urls:
        list(add(library, FakeSources(source), url, Event()))
    blocked, unread, other = (listing(url, [item(n)]) for n, url in enumerate(urls))
    blocked = replace(blocked, items=iter([SourceBlocked("not a bot")]))
    source = FakeSource([blocked, unread, other])
    listed = list(sync(library, FakeSources(source), Event()))
    assert [str(entry.error) for entry in listed] == ["not a bot", "not a bot", "None"]
    assert source.taken == [item(2)]


def test_a_wait_that_a_host_requests_is_kept_for_later_runs(library):
    urls = ["https://a.example/", "https://b.example/"]
    for url in urls:
        list(add(library, FakeSources(FakeSource([listing(url, [])])), url, Event()))
    full = SourceBlocked("too many requests", "", 3600.0)
    source = FakeSource([listing(urls[0], [full]), listing(urls[1], [])])
    list(sync(library, FakeSources(source), Event()))
    assert library.blocked_sites().keys() == {"a.example"}
    source = FakeSource([listing(url, [item(n)]) for n, url in enumerate(urls)])
    first, second = sync(library, FakeSources(source), Event())
    assert (str(first.error), second.error) == ("too many requests", None)
    assert 3000 < first.error.retry_after <= 3600
    assert source.taken == [item(1)]


def test_a_wait_that_part_of_a_listing_requests_is_kept(library):
    refused = {"https://b.example/page2": SourceBlocked("too many requests", "", 3600.0)}
    one = listing("https://a.example/", [item(1)], refused=refused)
    [added] = add(library, FakeSources(FakeSource([one])), "https://a.example/", Event())
    assert added.new == (item(1),)
    assert library.blocked_sites().keys() == {"b.example"}


class Asking(FakeSources):
    """Sources of which the first request about an address has the answer `error`."""

    def __init__(self, error):
        super().__init__(FakeSource())
        self.error, self.requests = error, []

    def addresses(self, url, stop):
        self.requests.append(url)
        raise self.error


@pytest.mark.parametrize("url", ["https://a.example/2", "feed:https://a.example/2"])
def test_adding_sends_no_request_to_a_host_that_asked_to_wait(library, url):
    sources = Asking(SourceBlocked("too many requests", "", 3600.0))
    with pytest.raises(SourceBlocked):
        list(add(library, sources, "https://a.example/1", Event()))
    assert library.blocked_sites().keys() == {"a.example"}
    with pytest.raises(SourceBlocked, match="too many requests") as caught:
        list(add(library, sources, url, Event()))
    assert 3000 < caught.value.retry_after <= 3600
    assert "no requests to a.example before" in caught.value.hint
    assert sources.requests == ["https://a.example/1"]
    with pytest.raises(SourceBlocked):
        list(add(library, sources, "https://b.example/", Event()))
    assert sources.requests[1:] == ["https://b.example/"]


def test_adding_a_channel_respects_the_wait_that_youtube_asked_for(library, tmp_path):
    library.block_site("youtube", time.time() + 3600, "Too many requests")
    with (
        Sources(SourceOptions(cache=tmp_path)) as sources,
        pytest.raises(SourceBlocked, match="Too many requests"),
    ):
        list(add(library, sources, "https://www.youtube.com/@channel", Event()))


def test_a_folder_is_added_while_hosts_want_to_wait(library):
    library.block_site("site", time.time() + 3600, "Too many requests")
    [added] = add(library, FakeSources(FakeSource([listing("talks", [item(1)])])), "talks", Event())
    assert added.new == (item(1),)


class Refusing(FakeSources):
    """Sources of which none may be chosen by its address."""

    def for_url(self, url):
        raise AssertionError("the address was tried")


def test_a_known_source_is_listed_by_the_plug_in_it_was_added_with(library):
    url = "https://a.example/"
    list(add(library, FakeSources(FakeSource([listing(url, [])])), url, Event()))
    source = FakeSource([listing(url, [item(1)])])
    [synced] = sync(library, Refusing(source), Event())
    assert synced.new == (item(1),)
    source = FakeSource([listing(url, [item(2)])])
    [added] = add(library, Refusing(source), url, Event())
    assert added.new == (item(2),)
