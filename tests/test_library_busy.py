"""Another program writes to the library for longer than SQLite waits: nothing that is finished is lost."""

import sqlite3
import threading
import time
from contextlib import closing

import pytest

from fake_plugins import (
    CaptionedSource,
    FakeBackend,
    FakeSource,
    FakeSources,
    caption_run,
    captions,
    fill,
    item,
    listing,
    run,
    states,
    transcript,
)
from homescribe.core import Usage
from homescribe.errors import LibraryBusy, PermanentError
from homescribe.library import Library
from homescribe.pipeline import add, repeated_writes
from homescribe.pipeline.audio_copies import NewAudio
from homescribe.pipeline.downloads import Downloads

STOP = threading.Event()  # never set
HELD = 0.4  # seconds for which the other program writes, many times what one try waits


@pytest.fixture(autouse=True)
def short_tries(monkeypatch):
    monkeypatch.setattr(repeated_writes, "TRY", 0.02)


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as opened:
        yield opened


class OtherProgram:
    """A program that writes to a library: from `begin` until `end`, or for HELD seconds."""

    def __init__(self, library):
        self.db = sqlite3.connect(library.path, check_same_thread=False, isolation_level=None)
        self.writes = 0

    def begin(self):
        self.db.execute("BEGIN IMMEDIATE")
        self.writes += 1

    def end(self):
        if self.db.in_transaction:
            self.db.execute("ROLLBACK")

    def begin_for_a_while(self):
        self.begin()
        threading.Timer(HELD, self.end).start()


@pytest.fixture
def other(library):
    program = OtherProgram(library)
    with closing(program.db):
        yield program
        program.end()


def outcomes_of(started):
    """The outcomes of a run, and whether its display said that the library was busy."""
    seen, found = set(), []
    report = started.progress.library_is_busy
    started._storage.writes._report = lambda busy: (seen.add(busy), report(busy))
    for outcome in started:
        found.append(outcome)
    assert not started.progress.library_busy
    return found, seen == {True, False}


@pytest.mark.parametrize("ids", [False, True])
@pytest.mark.parametrize("error", [None, PermanentError("It is private.")])
def test_a_run_waits_until_it_can_store_what_is_finished(library, other, ids, error):
    fill(library, [item(1), item(2)])

    def transcribing(work):
        if not other.writes:
            other.begin_for_a_while()
        if error:
            raise error
        return transcript()

    started = run(library, FakeSource(), FakeBackend(transcribing, ids=ids))
    outcomes, said = outcomes_of(started)
    assert [outcome.error for outcome in outcomes] == [error, error]
    assert said
    assert states(library) == dict.fromkeys(("site-1", "site-2"), "failed" if error else "done")
    [warning] = started.warnings
    assert warning.startswith("Another program was writing to the library.")


@pytest.mark.parametrize("ids", [False, True])
def test_a_call_is_stored_before_its_result_is_requested_however_long_it_takes(library, other, ids):
    """So is, for an engine in this process, that it works on the item."""
    fill(library, [item(1)])
    stored = []

    class Backend(FakeBackend):
        def submit(self, audio, options, stop):
            other.begin_for_a_while()
            return super().submit(audio, options, stop)

        def result(self, call, stop, progress):
            with Library(library.directory) as reading:
                stored.append(len(reading.calls("fake")))
                stored.append(reading._db.execute("SELECT count(*) FROM engine_work").fetchone()[0])
            return super().result(call, stop, progress)

    [outcome] = run(library, FakeSource(), Backend(ids=ids))
    assert outcome.error is None
    assert stored == ([1, 0] if ids else [0, 1])


def test_what_a_paid_call_used_is_stored_however_long_it_takes(library, other):
    fill(library, [item(1)])

    class Backend(FakeBackend):
        def usage(self, call):
            other.begin_for_a_while()
            return Usage(
                call, "fake", "tiny", "T4", 5.0, 1.0, 1, 10.0, 0.01, 0.01, time.time(), "done"
            )

    [outcome] = run(library, FakeSource(), Backend(ids=True))
    assert outcome.error is None
    assert library.spending().dollars == pytest.approx(0.01)


def test_the_row_of_kept_audio_is_stored_however_long_it_takes(library, other, monkeypatch):
    fill(library, [item(1)])
    download = Downloads._download

    def with_kept_audio(self, site, one):
        downloaded = download(self, site, one)
        path = library.audio.new_path(one.key, ".webm")
        path.write_bytes(b"audio")
        other.begin_for_a_while()
        return type(downloaded)(downloaded.audio, NewAudio(path, "all", 10.0))

    monkeypatch.setattr(Downloads, "_download", with_kept_audio)
    [outcome] = run(library, FakeSource(), FakeBackend())
    assert (outcome.error, outcome.notes) == (None, ())
    assert library.audio.find(item(1).key).bytes == 5


def test_kept_audio_whose_row_was_not_stored_is_deleted_by_the_next_run(library, other):
    fill(library, [item(1)])
    path = library.audio.new_path(item(1).key, ".webm")
    path.write_bytes(b"audio")
    other.begin()
    with library.busy_timeout(0.01), pytest.raises(LibraryBusy):
        library.audio.add(item(1), path, "all")
    assert path.exists()  # to be tried again
    other.end()
    list(run(library, FakeSource(), FakeBackend()))
    assert not path.exists()


def stopped_while_busy(library, begin):
    """A run that is stopped when its first transcript is finished, and the other program writes."""

    def transcribing(audio):
        begin()
        started.stop.set()
        return transcript()

    started = run(library, FakeSource(), FakeBackend(transcribing))
    return iter(started)


def test_after_a_stop_a_finished_transcript_is_tried_for_a_while(library, other):
    fill(library, [item(1)])
    [outcome] = stopped_while_busy(library, other.begin_for_a_while)
    assert outcome.transcript is not None
    assert states(library) == {"site-1": "done"}


def test_a_stop_ends_the_run_also_while_the_library_is_busy(library, other, monkeypatch):
    monkeypatch.setattr(repeated_writes, "GRACE", 0.3)
    fill(library, [item(1), item(2)])
    began = time.monotonic()
    with pytest.raises(LibraryBusy, match="Another program is writing"):
        list(stopped_while_busy(library, other.begin))
    assert time.monotonic() - began < 5
    other.end()
    assert states(library) == {"site-1": "pending", "site-2": "pending"}


def test_a_transcript_that_finishes_while_the_run_is_left_is_stored(library):
    fill(library, [item(1), item(2)])
    begun, left, finished = threading.Event(), threading.Event(), threading.Event()

    def transcribing(audio):
        if audio.item.id == "site-2":
            begun.set()
            assert left.wait(10)
            finished.set()
        assert begun.wait(10)  # that the second one starts is stored before the run is left
        return transcript()

    started = run(library, FakeSource(), FakeBackend(transcribing, slots=2))
    outcomes = iter(started)
    assert next(outcomes).item.id == "site-1"
    waiting = started._inbox.qsize()
    left.set()
    assert finished.wait(10)
    while started._inbox.qsize() == waiting:
        time.sleep(0.01)
    outcomes.close()
    assert states(library) == {"site-1": "done", "site-2": "done"}


def test_a_listing_is_recorded_however_long_it_takes(library, other):
    url = "https://site.example/"

    def items():
        yield item(1)
        other.begin_for_a_while()

    [result] = add(library, FakeSources(FakeSource([listing(url, items())])), url, STOP)
    assert [one.key for one in result.new] == [item(1).key]


def test_captions_are_stored_however_long_it_takes(library, other):
    fill(library, [item(1)])

    def captioning(found):
        other.begin_for_a_while()
        return captions()

    list(caption_run(library, CaptionedSource(captioning)))
    assert library.caption_figures().searchable == 1


def test_the_time_that_a_write_waits_is_limited_in_a_block_only(library, other):
    before = library._db.execute("PRAGMA busy_timeout").fetchone()[0]
    other.begin()
    with library.busy_timeout(0.01), pytest.raises(LibraryBusy):
        library.save(item(1), transcript())
    assert library._db.execute("PRAGMA busy_timeout").fetchone()[0] == before
