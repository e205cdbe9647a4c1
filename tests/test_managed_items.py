"""Items that are renamed, ignored and removed: what a person decided stays when sources are listed again."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from fake_plugins import FakeBackend, FakeSource, fill, item, run, states, transcript
from homescribe.cli.main import run as run_command
from homescribe.core import Call
from homescribe.errors import PermanentError, UserError
from homescribe.library import Library
from older_libraries import make_older


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as opened:
        fill(opened, [item(1), item(2), item(3)])
        yield opened


def command(capsys, library, *arguments):
    """Run a command over `library`; return its exit code, output and messages."""
    code = run_command(["--library", str(library.directory), *arguments])
    return code, *(
        text.replace(f" --library {library.directory}", "") for text in capsys.readouterr()
    )


def titles(library):
    return [record.item.title for record in library.items()]


# --- Rename ----------------------------------------------------------------------------------------


def test_a_title_stays_when_the_source_is_listed_again(library):
    renaming = library.rename("fake:site-1", "  Grandpa's\nfirst talk ")
    assert (renaming.before, renaming.after) == ("Talk 1", "Grandpa's first talk")
    fill(library, [replace(item(1), title="Talk 1 (remastered)", channel="Another"), item(2)])
    record = library.item("fake:site-1")
    assert (record.item.title, record.item.channel) == ("Grandpa's first talk", "Another")
    assert record.listed_title == "Talk 1 (remastered)"
    assert library.rename("fake:site-1", "").after == "Talk 1 (remastered)"
    assert library.item("fake:site-1").listed_title is None
    fill(library, [item(1)])
    assert titles(library)[0] == "Talk 1"


def test_a_run_does_not_take_a_title_for_that_of_the_source(library):
    library.rename("fake:site-1", "Mine")
    list(run(library, FakeSource(), FakeBackend(), keys=["fake:site-1"]))
    record = library.item("fake:site-1")
    assert (record.state, record.item.title, record.listed_title) == ("done", "Mine", "Talk 1")


def test_a_new_title_is_found_and_the_old_one_is_not(library):
    library.rename("fake:site-1", "Zebra crossing")
    assert [hit.key for hit in library.search("zebra")] == ["fake:site-1"]
    assert library.search('"talk 1"') == []
    library.rename("fake:site-1", "")
    assert [hit.key for hit in library.search('"talk 1"')] == ["fake:site-1"]
    assert library.search("zebra") == []
    assert library.check() == []


def test_the_title_of_the_source_is_no_renaming(library):
    library.rename("fake:site-1", "Mine")
    library.rename("fake:site-1", "Talk 1")
    assert library.item("fake:site-1").listed_title is None


def test_a_title_has_a_limit(library):
    with pytest.raises(UserError, match="501 characters"):
        library.rename("fake:site-1", "x" * 501)
    assert titles(library) == ["Talk 1", "Talk 2", "Talk 3"]


# --- Ignore ----------------------------------------------------------------------------------------


def test_an_ignored_item_is_not_transcribed_also_if_a_source_lists_it(library):
    assert library.ignore(["fake:site-1", "fake:site-2"]) == ["fake:site-1", "fake:site-2"]
    assert library.ignore(["fake:site-1"]) == []
    fill(library, [item(1), item(2), item(3)])
    assert [each.key for each in library.pending()] == ["fake:site-3"]
    assert library.pending(again=["fake:site-1"], keys=["fake:site-1"]) == []
    source, backend = FakeSource(), FakeBackend()
    list(run(library, source, backend))
    assert source.fetched == backend.submitted == ["fake:site-3"]
    assert states(library) == {"site-3": "done"}
    assert [record.item.key for record in library.items(state="ignored")] == [
        "fake:site-1",
        "fake:site-2",
    ]
    assert library.status().states == {
        "done": 1,
        "ignored": 2,
        "failed": 0,
        "in flight": 0,
        "pending": 0,
    }
    assert library.stop_ignoring(["fake:site-2", "fake:site-3"]) == ["fake:site-2"]
    assert [each.key for each in library.pending()] == ["fake:site-2"]


def test_a_failure_is_known_again_after_an_item_was_ignored(library):
    library.fail(item(1), PermanentError("It is private."))
    library.ignore(["fake:site-1"])
    assert library.item("fake:site-1").state == "ignored"
    library.stop_ignoring(["fake:site-1"])
    assert library.item("fake:site-1").error == "It is private."


def test_a_transcript_is_not_hidden(library):
    """What is paid for stays: a transcript, and a call whose result is collected later."""
    library.save(item(1), transcript())
    library.add_call(Call(item(2), "modal", 0.0, "fc-1"))
    assert library.ignore(["fake:site-1", "fake:site-2"]) == ["fake:site-2"]
    assert states(library) == {"site-1": "done", "site-2": "in flight", "site-3": "pending"}
    library.drop_call("fake:site-2")
    assert library.item("fake:site-2").state == "ignored"


def test_removed_items_can_be_ignored_from_then_on(library):
    library.save(item(1), transcript("a zebra"))
    library.correct("fake:site-1", 0, "a giraffe")
    library.fail(item(2), PermanentError("It is private."))
    assert library.remove(["fake:site-1", "fake:site-2"], ignore=True) == 2
    fill(library, [item(1), item(2)])
    assert states(library) == {"site-3": "pending"}
    assert library.transcript("fake:site-1") is None
    assert library.search("giraffe") == library.search("zebra") == []
    assert [hit.key for hit in library.search('"talk 1"')] == ["fake:site-1"]
    assert library.corrections("fake:site-1") == {}
    library.stop_ignoring(["fake:site-1", "fake:site-2"])
    assert {record.item.id: record.error for record in library.items()} == {
        "site-1": None,
        "site-2": None,
        "site-3": None,
    }
    assert library.check() == []


def test_a_library_of_the_version_before_gets_both(library):
    library.save(item(1), transcript())
    library.close()
    make_older(library.path, 16)
    with Library(library.directory) as upgraded:
        upgraded.ignore(["fake:site-2"])
        upgraded.rename("fake:site-1", "Mine")
        assert titles(upgraded) == ["Mine", "Talk 3"]
    with closing(sqlite3.connect(library.path)) as db:
        assert db.execute("SELECT key, state FROM item_states ORDER BY key").fetchall() == [
            ("fake:site-1", "done"),
            ("fake:site-2", "ignored"),
            ("fake:site-3", "pending"),
        ]


# --- Lists -----------------------------------------------------------------------------------------


def test_items_are_sorted_by_every_column_in_both_directions(library):
    library.save(item(1, channel="beta"), transcript("one two three"))
    library.save(item(2, channel="Alpha"), transcript("one"))
    library.fail(item(3, channel="gamma"), PermanentError("It is private."))

    def order(sort):
        return [record.item.id[-1] for record in library.page(sort=sort).records]

    assert order("title") == ["1", "2", "3"]
    assert order("title-reversed") == ["3", "2", "1"]
    assert order("channel") == ["2", "1", "3"]
    assert order("channel-reversed") == ["3", "1", "2"]
    assert order("most-words") == ["1", "2", "3"]  # without a transcript: last
    assert order("fewest-words") == ["2", "1", "3"]
    assert order("state")[0] == "3"
    assert order("state-reversed")[-1] == "3"


def test_titles_are_filtered_without_case_and_accents(library):
    library.rename("fake:site-1", "L'été à la plage")
    library.rename("fake:site-2", "100% wool_socks")

    def found(title):
        return [record.item.id for record in library.page(title=title).records]

    assert found("ETE A LA") == ["site-1"]
    assert found("100%") == ["site-2"]
    assert found("%") == ["site-2"]  # no pattern
    assert found("100_") == found("xyz") == []


# --- Commands --------------------------------------------------------------------------------------


def test_rename_at_the_command_line(library, capsys):
    code, _, said = command(capsys, library, "rename", "fake:site-1", "Mine")
    assert (code, said) == (0, "Talk 1 is now Mine\n")
    code, _, said = command(capsys, library, "rename", "fake:site-1", "--undo")
    assert (code, said) == (0, "Mine is now Talk 1\n")
    code, _, said = command(capsys, library, "rename", "fake:site-1", "--undo")
    assert (code, said) == (0, "The title is Talk 1 already.\n")
    for arguments in ((), ("Mine", "--undo"), (" ",)):
        code, _, said = command(capsys, library, "rename", "fake:site-1", *arguments)
        assert code == 2
        assert "Nothing was renamed" in said


def test_ignore_at_the_command_line(library, capsys):
    code, said, _ = command(capsys, library, "ignore")
    assert code == 0
    code, _, said = command(capsys, library, "ignore", "fake:site-1", "fake:site-2")
    assert (code, said) == (0, "2 items ignored. Undo: homescribe ignore --undo KEY\n")
    code, said, _ = command(capsys, library, "ignore")
    assert [line.split("\t")[1:] for line in said.splitlines()] == [
        ["fake:site-1", "Talk 1"],
        ["fake:site-2", "Talk 2"],
    ]
    assert "fake:site-1" not in command(capsys, library, "list")[1]
    assert "fake:site-1" in command(capsys, library, "list", "--state", "ignored")[1]
    code, _, said = command(capsys, library, "ignore", "--undo", "fake:site-1")
    assert (code, said) == (0, "1 item no longer ignored. Transcribe: homescribe run\n")
    assert states(library) == {"site-1": "pending", "site-3": "pending"}


def test_a_transcribed_item_is_ignored_by_removing_it(library, capsys):
    library.save(item(1), transcript())
    code, _, said = command(capsys, library, "ignore", "fake:site-1", "fake:site-2")
    assert code == 2
    assert "Nothing was ignored: fake:site-1 is transcribed." in said
    assert "homescribe remove --ignore fake:site-1" in said
    assert library.item("fake:site-2").state == "pending"
    assert command(capsys, library, "remove", "--ignore", "--yes", "fake:site-1")[0] == 0
    fill(library, [item(1)])
    assert library.item("fake:site-1").state == "ignored"
