"""The audio that a library keeps: rows and files agree, whatever happens."""

import os
import sqlite3
import stat
import sys
from dataclasses import replace

import pytest

from fake_plugins import item, transcript
from homescribe.errors import UserError
from homescribe.library import Library, kept_audio


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as library:
        for number in (1, 2, 3):
            library.save(item(number), transcript())
        yield library


def keep(library, number, data=b"audio", **fields):
    path = library.audio.new_path(item(number).key, ".opus")
    path.write_bytes(data)
    assert library.audio.add(item(number), path, "speech", **fields)
    return path


def files(library):
    return sorted(path.name for path in library.audio.path.iterdir())


def test_audio_is_found_by_its_item(library):
    path = keep(library, 1, b"12345", duration=61.5, track=2)
    assert kept_audio(library, item(1)) == path
    assert kept_audio(library, item(2)) is None
    found = library.audio.find(item(1).key)
    assert (found.bytes, found.duration, found.track, found.kind) == (5, 61.5, 2, "speech")
    assert found.title == "Talk 1"
    assert path.name.endswith(".opus")
    assert (library.audio.total().files, library.audio.total().bytes) == (1, 5)


def test_a_file_name_has_nothing_of_the_key_and_no_odd_suffix(library):
    for suffix in ("/../../x", ".m4a\n", "", ".OPUS", "."):
        name = library.audio.new_path("youtube:../../../etc/passwd", suffix).name
        assert library.audio.new_path("youtube:x", suffix).parent == library.audio.path
        assert "/" not in name
        assert "passwd" not in name
        assert name.partition(".")[2] in ("", "opus")


@pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
def test_the_folder_is_private(library):
    keep(library, 1)
    assert stat.S_IMODE(library.audio.path.stat().st_mode) == 0o700


def test_new_audio_takes_the_place_of_the_old(library):
    old = keep(library, 1, b"old")
    new = keep(library, 1, b"newer")
    assert kept_audio(library, item(1)) == new
    assert files(library) == [new.name]
    assert not old.exists()
    assert library.audio.total().bytes == 5


def test_an_item_takes_its_audio_with_it(library):
    paths = [keep(library, number) for number in (1, 2)]
    library.remove([item(1).key])
    assert files(library) == [paths[1].name]
    assert library.audio.remove([item(2).key]) == 5
    assert files(library) == []
    assert library.transcript(item(2).key) is not None


def test_a_replaced_transcript_keeps_the_audio(library):
    path = keep(library, 1)
    library.save(replace(item(1), title="Another title"), transcript("again"))
    assert kept_audio(library, item(1)) == path


def test_the_audio_of_an_item_that_was_removed_meanwhile_is_not_kept(library):
    path = library.audio.new_path(item(1).key, ".opus")
    path.write_bytes(b"audio")
    library.remove([item(1).key])
    assert not library.audio.add(item(1), path, "speech")
    assert files(library) == []


def test_a_row_that_cannot_be_stored_leaves_no_file(library, monkeypatch):
    path = library.audio.new_path(item(1).key, ".opus")
    path.write_bytes(b"audio")
    library._db.execute("PRAGMA query_only = ON")
    with pytest.raises(UserError):
        library.audio.add(item(1), path, "speech")
    assert files(library) == []


def deny_reading_unused_audio(action, table, *_):
    denied = action == sqlite3.SQLITE_READ and table == "unused_audio"
    return sqlite3.SQLITE_DENY if denied else sqlite3.SQLITE_OK


def test_what_is_stored_stays_when_unused_files_cannot_be_listed(library):
    old = keep(library, 1)
    library._db.set_authorizer(deny_reading_unused_audio)
    new = keep(library, 1)
    library.save(item(2), transcript("again"))
    assert library.transcript(item(2).key).text == "again"
    assert files(library) == sorted([old.name, new.name])
    library._db.set_authorizer(None)
    assert kept_audio(library, item(1)) == new
    library.retry()
    assert files(library) == [new.name]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may delete anything")
def test_a_file_that_cannot_be_deleted_now_is_deleted_later(library):
    keep(library, 1)
    library.audio.path.chmod(0o500)
    library.remove([item(1).key])
    assert len(files(library)) == 1
    library.audio.path.chmod(0o700)
    library.retry()
    assert files(library) == []


def test_a_process_that_dies_before_it_deletes_leaves_the_file_for_the_next(library, monkeypatch):
    keep(library, 1)
    monkeypatch.setattr(library.audio, "delete_unused", lambda db: None)
    library.remove([item(1).key])
    assert len(files(library)) == 1
    with Library(library.directory) as other:
        other.retry()
    assert files(library) == []


def test_a_file_without_a_row_is_swept_and_nothing_else(library):
    path = keep(library, 1)
    for name in ("half.part", "lost"):
        unrecorded = library.audio.new_path(item(2).key, ".opus")
        unrecorded.with_name(unrecorded.name + (".part" if "." in name else "")).write_bytes(b"x")
    own = library.audio.path / "Talk 1.mp3"
    own.write_bytes(b"a file that somebody put here")
    assert library.audio.sweep() == 2
    assert files(library) == sorted([path.name, own.name])


def test_a_file_that_is_gone_or_cut_counts_as_missing(library):
    one, two, three = (keep(library, number) for number in (1, 2, 3))
    one.unlink()
    two.write_bytes(b"aud")
    assert kept_audio(library, item(1)) is None
    assert kept_audio(library, item(2)) is None
    assert [each.key for each in library.audio.missing()] == [item(1).key, item(2).key]
    three.unlink()
    two.unlink()
    library.audio.path.rmdir()  # perhaps a disk that is not there
    assert library.audio.missing() == []


def test_the_oldest_goes_first(library, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1000.0)
    keep(library, 2, b"12")
    monkeypatch.setattr("time.time", lambda: 2000.0)
    keep(library, 1, b"123")
    keep(library, 3, b"1234")
    over = library.audio.over
    assert over(9) == []
    assert [one.key for one in over(8)] == [item(2).key]
    assert [one.key for one in over(6)] == [item(2).key, item(1).key]
    assert [one.key for one in over(0)] == [item(2).key, item(1).key, item(3).key]
    assert [one.key for one in over(6, spared={item(2).key})] == [item(1).key]
