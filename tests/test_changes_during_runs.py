"""A listing, or a person, replaces or deletes items while a run works on them."""

import shutil
import threading

import pytest

from fake_plugins import FakeBackend, FakeSource, FakeSources, fill, item, run, states, transcript
from homescribe.core import SourceOptions
from homescribe.errors import RetryableError
from homescribe.library import Library
from homescribe.pipeline import add
from homescribe.sources.local_files import FileSource

STOP = threading.Event()  # never set


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as opened:
        yield opened


@pytest.fixture
def source(tmp_path):
    return FileSource(SourceOptions(cache=tmp_path / "cache"))


@pytest.fixture
def talks(tmp_path, clips):
    (tmp_path / "talks").mkdir()
    shutil.copy(clips / "ep1.mp3", tmp_path / "talks" / "talk.mp3")
    return tmp_path / "talks"


def relisted(library, source, talks):
    """List the folder again in another process, as it were; return the warnings."""
    with Library(library.directory) as other:
        [result] = add(other, FakeSources(source), str(talks), STOP)
    return result.warnings


def rows(library):
    """The number of rows in each table that has something of an item."""
    tables = ("transcripts", "failures", "calls", "engine_work", "source_items", "places")
    with library._reading() as db:
        return {name: db.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


@pytest.mark.parametrize("fails", [False, True])
def test_a_file_that_is_replaced_while_it_is_transcribed(library, source, talks, clips, fails):
    relisted(library, source, talks)
    [before] = library.pending()

    def transcribing(audio):
        shutil.copy(clips / "dub.mp3", talks / "talk.mp3")
        assert relisted(library, source, talks) == ()
        if fails:
            raise RetryableError("It broke.")
        return transcript()

    [outcome] = run(library, source, FakeBackend(transcribing))
    assert ("removed" in outcome.error.message) is not fails
    [after] = library.items()
    assert (after.item.key != before.key, after.state) == (True, "pending")
    assert rows(library) == {
        "transcripts": 0,
        "failures": 0,
        "calls": 0,
        "engine_work": 0,
        "source_items": 1,
        "places": 1,
    }
    assert [one.error for one in run(library, source, FakeBackend())] == [None]


def test_a_file_that_is_replaced_before_its_engine_starts(library, source, talks, clips):
    relisted(library, source, talks)

    class Backend(FakeBackend):
        def submit(self, audio, options, stop):
            shutil.copy(clips / "dub.mp3", talks / "talk.mp3")
            relisted(library, source, talks)
            return super().submit(audio, options, stop)

    for ids in (False, True):
        [outcome] = run(library, source, Backend(ids=ids))
        if ids:  # the same content again: nothing was replaced
            assert outcome.error is None
            continue
        assert "removed" in outcome.error.message
        assert {record.state for record in library.items()} == {"pending"}
    assert len(list(library.items())) == 1


def test_a_paid_call_that_is_not_stored_yet_when_its_file_is_replaced(
    library, source, talks, clips
):
    relisted(library, source, talks)

    class Backend(FakeBackend):
        def submit(self, audio, options, stop):
            call = super().submit(audio, options, stop)
            shutil.copy(clips / "dub.mp3", talks / "talk.mp3")
            relisted(library, source, talks)
            return call

    [outcome] = run(library, source, Backend(ids=True))
    assert "removed" in outcome.error.message
    assert ([record.state for record in library.items()], rows(library)["calls"]) == (
        ["pending"],
        0,
    )


def test_a_file_that_is_replaced_while_a_paid_call_is_in_flight(library, source, talks, clips):
    """Its transcript was paid for: it is kept under the old key, and the listing says so."""
    relisted(library, source, talks)
    [before] = library.pending()
    warnings = []

    def transcribing(audio):
        shutil.copy(clips / "dub.mp3", talks / "talk.mp3")
        warnings.extend(relisted(library, source, talks))
        return transcript()

    [outcome] = run(library, source, FakeBackend(transcribing, ids=True))
    assert outcome.error is None
    assert "still being made" in warnings[0]
    assert f"remove {before.key}" in warnings[0]
    found = {record.item.key: record.state for record in library.items()}
    assert (found.pop(before.key), list(found.values())) == ("done", ["pending"])


def test_an_item_that_is_removed_while_it_is_transcribed(library):
    fill(library, [item(1), item(2)])

    def transcribing(audio):
        if audio.item.id == "site-1":
            with Library(library.directory) as other:
                other.remove([audio.item.key])
        return transcript()

    outcomes = list(run(library, FakeSource(), FakeBackend(transcribing)))
    assert [one.error is None for one in outcomes] == [False, True]
    assert states(library) == {"site-2": "done"}
    assert rows(library)["source_items"] == 1
