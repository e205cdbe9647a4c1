"""The library: nothing is lost, nothing is half stored, and what was said is found."""

import errno
import hashlib
import json
import math
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import fields, replace
from pathlib import Path

import pytest
import sqlite_utils
from hypothesis import given, settings
from hypothesis import strategies as st

from homescribe.core import (
    Call,
    Chapter,
    Item,
    Listing,
    Segment,
    Skipped,
    Transcript,
    TranscriptionOptions,
    TranscriptLink,
    Usage,
    Word,
)
from homescribe.errors import PermanentError, RetryableError, SetupError, UserError
from homescribe.library import (
    BACKOFF,
    Library,
    connection,
    migrations,
    passages,
    schema,
    search,
)
from homescribe.library.transactions import translated
from homescribe.text.scripts import spaced
from permissions import let_others_read

CHANNEL = "https://www.youtube.com/channel/UCtest"


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as opened:
        yield opened


def item(number, **known):
    known.setdefault("title", f"Recording {number}")
    return Item("youtube", f"id{number}", f"https://www.youtube.com/watch?v=id{number}", **known)


def listing(url=CHANNEL, title="A channel"):
    return Listing(url, title, iter(()), newest_first=True)


def spoken(*texts, seconds=5.0):
    """A transcript with one segment of `seconds` for each text."""
    segments = tuple(
        Segment(n * seconds, (n + 1) * seconds, f" {text}") for n, text in enumerate(texts)
    )
    return Transcript("faster-whisper", "tiny", "en", len(texts) * seconds, segments)


def marked(hit):
    return [hit.text[begin:end] for begin, end in hit.highlights]


def rows(library, statement, *parameters):
    with closing(sqlite3.connect(library.path)) as db:
        return db.execute(statement, parameters).fetchall()


def tables(library):
    """Number of rows of every table, including those of the search index."""
    names = rows(library, "SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name: rows(library, f'SELECT count(*) FROM "{name}"')[0][0] for (name,) in names}


def python(script, *arguments):
    """The command of a child process that runs `script` with `arguments`."""
    return [sys.executable, "-c", script, *map(str, arguments)]


# --- Opening -------------------------------------------------------------------------------------


def test_a_new_library_is_created(tmp_path):
    with Library(tmp_path / "deep" / "down") as library:
        assert library.path.is_file()
        assert library.path == tmp_path / "deep" / "down" / "library.db"
        assert rows(library, "PRAGMA journal_mode") == [("wal",)]
        assert library.check() == []
        assert library.items().__next__  # an iterator, of nothing
        assert list(library.items()) == []
    assert not list(library.directory.glob("library-v*.db"))  # an empty file is not backed up


def test_a_directory_may_be_a_string_and_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for directory in (
        str(tmp_path / "library"),
        tmp_path / "library",
        "~/library",
        Path("~/library"),
    ):
        with Library(directory) as library:
            assert library.path == tmp_path / "library" / "library.db"


def test_a_library_is_opened_again(tmp_path):
    with Library(tmp_path) as library:
        library.record("ytdlp", listing(), [item(1)])
        library.save(item(1), spoken("hello"))
    with Library(tmp_path) as library:
        assert library.transcript("youtube:id1") == spoken("hello")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(
            lambda path: path.write_text("My notes." * 200), "is not a library", id="text"
        ),
        pytest.param(
            lambda path: sqlite_utils.Database(path)["notes"].insert({"a": 1}).db.close(),
            "another program's database",
            id="another database",
        ),
        pytest.param(
            lambda path: newer(path),
            "made by a newer homescribe",
            id="newer",
        ),
    ],
)
def test_a_file_that_is_not_a_library_is_refused_and_not_changed(tmp_path, make, says):
    path = tmp_path / "library.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(UserError, match=says) as caught:
        Library(tmp_path)
    assert caught.value.hint
    assert "\n" not in caught.value.message
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [path]


def newer(path):
    Library(path.parent).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        db.execute(f"PRAGMA user_version = {len(migrations.MIGRATIONS) + 1}")


def test_an_empty_file_becomes_a_library(tmp_path):
    (tmp_path / "library.db").touch()
    with Library(tmp_path) as library:
        assert library.status().states["pending"] == 0


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "library.db").mkdir()
    with pytest.raises(UserError, match="cannot be opened"):
        Library(tmp_path)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="Cannot create the folder"):
        Library(tmp_path / "notes.txt")
    with pytest.raises(UserError, match="Cannot create the folder"):
        Library(tmp_path / "notes.txt" / "below")


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no write permission there")
def test_a_folder_that_is_not_writable_is_refused(tmp_path):
    script = """
import os, sys
from pathlib import Path
from homescribe.errors import UserError
from homescribe.library import Library
if os.geteuid() == 0:
    os.setuid(65534)  # root may write everywhere
for name in sys.argv[1:]:
    try:
        Library(Path(name)).block_site("a", 1.0, "b")
    except UserError as error:
        print(error.message)
"""
    closed, used = tmp_path / "closed", tmp_path / "used"
    closed.mkdir()
    with Library(used) as library:
        library.record("ytdlp", listing(), [item(1)])
    let_others_read(tmp_path)
    for path in used.iterdir():
        path.chmod(0o444)
    closed.chmod(0o555)
    used.chmod(0o555)
    done = subprocess.run(
        python(script, closed / "new", closed, used), capture_output=True, text=True, check=True
    )
    made, opened, written = done.stdout.splitlines()
    assert made == f"Cannot create the folder {closed / 'new'}: Permission denied."
    assert opened == f"{closed / 'library.db'} cannot be opened."
    assert written.startswith(str(used / "library.db"))
    assert done.stderr == ""


READING = """
import os, sys
from pathlib import Path
from homescribe.errors import UserError
from homescribe.library import Library
from homescribe.plugins import load
load("sources", "ytdlp")  # while the files of Python can still be read
if os.geteuid() == 0:
    os.setuid(65534)  # root may write everywhere
try:
    with Library(Path(sys.argv[1])) as library:
        print(library.read_only, library.status().states["done"], library.check(), sep="|")
        print(library.search("hello")[0].text, [record.state for record in library.items()], sep="|")
        print(library.transcript(library.item("id1").item.key).segments[0].text)
        try:
            library.remove(["id1"])
        except UserError as error:
            print(error.message)
        print(library.item("id1").state)
except UserError as error:
    print(error.message)
    print(error.hint)
"""


def read_without_permission(folder, script=READING):
    """Lines that `script` prints in a process that cannot write to `folder` or its files."""
    let_others_read(folder.parent)
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    done = subprocess.run(python(script, folder), capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no write permission there")
def test_a_library_that_is_not_writable_is_read_only(tmp_path):
    folder = tmp_path / "a #1 ?%41 library"
    with Library(folder) as library:
        assert not library.read_only
        library.save(item(1), spoken("hello"))
    files = sorted(path.name for path in folder.iterdir())
    assert read_without_permission(folder) == [
        "True|1|[]",
        "hello|['done']",
        " hello",
        f"{folder / 'library.db'} is not writable.",
        "done",
    ]
    assert sorted(path.name for path in folder.iterdir()) == files


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no write permission there")
def test_a_read_only_library_with_changes_in_its_log_is_refused(tmp_path):
    folder = tmp_path / "library"
    with Library(folder) as library:
        library.save(item(1), spoken("hello"))
        log = (folder / "library.db-wal").read_bytes()
    (folder / "library.db-wal").write_bytes(log)
    message, hint = read_without_permission(folder)
    assert "latest changes are still in library.db-wal" in message
    assert "Copy the whole folder" in hint


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no write permission there")
def test_a_read_only_library_with_an_older_schema_is_refused(tmp_path):
    folder = tmp_path / "library"
    Library(folder).close()
    with closing(sqlite3.connect(folder / "library.db")) as db:
        db.execute("PRAGMA user_version = 1")
    message, _ = read_without_permission(folder)
    assert "made by an older homescribe" in message


def test_a_damaged_file_is_reported_and_not_changed(tmp_path):
    with Library(tmp_path) as library:
        library.record("ytdlp", listing(), [item(n, description="word " * 99) for n in range(99)])
    path = tmp_path / "library.db"
    content = bytearray(path.read_bytes())
    assert len(content) > 20 * 4096
    for page in range(3, len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = b"\xa5" * 200
    path.write_bytes(content)
    with pytest.raises(SetupError, match="is damaged") as caught:
        Library(tmp_path)
    assert "recover" in caught.value.hint


def test_check_finds_damaged_rows(tmp_path):
    with Library(tmp_path) as library:
        library.save(item(1), spoken(*("a long sentence " * 20 for _ in range(200))))
        (page,) = rows(library, "SELECT rootpage FROM sqlite_master WHERE name = 'segments'")[0]
    path = tmp_path / "library.db"
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xa5" * 4096
    path.write_bytes(content)
    with Library(tmp_path) as library:
        assert library.check()[0].startswith(("The file is damaged", f"{path} is damaged"))
        with pytest.raises(SetupError, match="is damaged"):
            library.transcript(item(1).key)


def test_check_finds_an_index_that_disagrees_with_the_passages(library):
    library.save(item(1), spoken("hello"))
    with closing(sqlite3.connect(library.path)) as db:
        db.execute("DROP TRIGGER passages_updated")
        db.execute("UPDATE passages SET text = 'goodbye'")
        db.commit()
    assert library.check() == ["The search index does not agree with the passages."]


def test_check_finds_rows_without_the_row_they_refer_to(library):
    library.save(item(1), spoken("hello"))
    with closing(sqlite3.connect(library.path)) as db:  # other programs may not enforce references
        db.execute("DELETE FROM items")
        db.commit()
    (problem,) = library.check()
    assert "refer to rows that do not exist" in problem
    assert "transcripts" in problem


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is a file system without any room")
def test_an_io_error_on_a_full_disk_is_reported_as_a_full_disk(tmp_path):
    """SQLite reports an I/O error when it cannot create the index of its log."""
    failed = sqlite3.OperationalError("disk I/O error")
    failed.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    full = translated(Path("/proc/library.db"))
    with pytest.raises(UserError, match="disk is full") as caught, full:
        raise failed
    assert type(caught.value) is UserError
    with pytest.raises(SetupError, match="The disk failed"), translated(tmp_path / "a.db"):
        raise failed


@pytest.mark.parametrize("killed", [False, True])
def test_a_library_on_a_full_disk_can_be_read(tmp_path, monkeypatch, killed):
    opened = Library(tmp_path)
    opened.record("ytdlp", listing(), [item(1), item(2)])
    opened.save(item(1), spoken("the words"))
    if not killed:
        opened.close()
        assert not (tmp_path / "library.db-wal").exists()
    else:  # leave the log of a killed process
        for name in ("library.db", "library.db-wal"):
            (tmp_path / f"copy-of-{name}").write_bytes((tmp_path / name).read_bytes())
        opened.close()
        for name in ("library.db", "library.db-wal"):
            (tmp_path / f"copy-of-{name}").replace(tmp_path / name)

    def no_room(path):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
        raise error

    full = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr("homescribe.library.connection._open", no_room)
    monkeypatch.setattr("homescribe.library.transactions.shutil.disk_usage", lambda path: full)
    with Library(tmp_path) as library:
        assert not (tmp_path / "library.db-shm").exists()
        assert [record.state for record in library.items()] == ["done", "pending"]
        assert [hit.key for hit in library.search("words")] == ["youtube:id1"]
        assert library.status().states["done"] == 1
        with pytest.raises(UserError, match="disk is full"):
            library.save(item(2), spoken("more"))
        if not killed:  # any number may read at once, and nobody waits for another
            monkeypatch.setattr("homescribe.library.connection.BUSY_TIMEOUT", 0.0)
            with Library(tmp_path) as second:
                assert second.status().states["done"] == 1


def test_copies_that_a_killed_migration_left_are_removed(tmp_path):
    old, new = tmp_path / "library-v3.db.123.part", tmp_path / "library-v3.db.456.part"
    for copy in (old, new):
        copy.write_bytes(b"half a copy")
    os.utime(old, (time.time() - 3600,) * 2)
    Library(tmp_path).close()
    assert (old.exists(), new.exists()) == (False, True)


def test_a_full_disk_is_reported_and_nothing_is_half_stored(library):
    library.record("ytdlp", listing(), [item(1), item(2)])
    library.save(item(1), spoken("short"))
    before = tables(library)
    pages = library._db.execute("PRAGMA page_count").fetchone()[0]
    library._db.execute(f"PRAGMA max_page_count = {pages + 5}")
    with pytest.raises(UserError, match="disk is full"):
        library.save(item(2), spoken(*(f"word{n}" for n in range(5000))))
    assert tables(library) == before
    assert library.item("youtube:id2").state == "pending"
    library._db.execute("PRAGMA max_page_count = 1000000")
    library.save(item(2), spoken("now there is room"))
    assert library.check() == []


def test_a_file_that_another_program_locks(library, tmp_path, monkeypatch):
    library.save(item(1), spoken("hello"))
    monkeypatch.setattr(connection, "BUSY_TIMEOUT", 0.1)
    with Library(library.directory) as impatient, closing(sqlite3.connect(library.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UserError, match="Another program is writing"):
            impatient.save(item(2), spoken("world"))
        assert [hit.key for hit in impatient.search("hello")] == ["youtube:id1"]
        other.rollback()
        impatient.save(item(2), spoken("world"))
    assert library.transcript("youtube:id2") == spoken("world")


def test_what_a_transcript_says_about_the_recording_is_kept(library):
    transcript = Transcript(
        *("faster-whisper", "base", "de", 60.0),
        segments=(Segment(0.0, 2.0, " Hello.", language="en"), Segment(5.0, 9.0, " Hallo.")),
        skipped=(Skipped(10.0, 50.5, "no_speech"), Skipped(55.0, 60.0, "no_text")),
        warnings=("Audio track 2 of 2 was used: track 1 is silent.",),
    )
    library.save(item(1), transcript)
    kept = library.transcript("youtube:id1")
    assert kept == transcript
    assert kept.languages == {"de": 4.0, "en": 2.0}
    assert kept.skipped_seconds == 45.5
    record = library.item("youtube:id1")
    assert list(record.languages.items()) == [("de", 4.0), ("en", 2.0)]
    assert (record.speech, record.skipped_seconds) == (True, 45.5)
    assert record.warnings == transcript.warnings


def test_an_item_without_speech_says_so(library):
    library.record("ytdlp", listing(), [item(1), item(2)])
    library.save(item(1), Transcript("faster-whisper", "base", "und", 60.0, ()))
    assert library.item("youtube:id1").speech is False
    assert library.item("youtube:id2").speech is None  # without a transcript, nobody knows


def test_the_language_filter_finds_every_language_of_a_transcript(library):
    mixed = (Segment(0.0, 9.0, " lighthouse"), Segment(9.0, 12.0, " Leuchtturm", language="de"))
    library.save(item(1), Transcript("faster-whisper", "base", "en", 12.0, mixed))
    library.save(item(2), spoken("lighthouse"))
    assert library.languages() == ["en", "de"]
    assert [hit.key for hit in library.search("lighthouse", language="de")] == ["youtube:id1"]
    assert library.page(language="de").total == 1
    assert library.page(language="en").total == 2
    assert library.page(language="fr").total == 0


# --- Versions ------------------------------------------------------------------------------------

DAY = 24 * 3600.0

PUBLISHED = {
    1: "d2ff93d8027283dc6a5cce1fb1856b4311cebee57c527d512cf6a856bd153a40",
    2: "719d62de0d015b8692b6bdaf664ab22d068633acfd71a1b2f3b4eeb76e4b3cfd",
    3: "aef3ab45cc74a5a2a96f2b5aa07335830ea36045e55d0f86bb5fb8958efa6593",
    4: "af5f3984fceb77023c2236bdcaf1809bec87de4ce5127f2ce86a15795df8b0d0",
    5: "72fe37c51d751f7ad0f3bb1dfe44a7fdeb43df20f26ac29c5bee8cdd1848ca66",
    6: "c9cd26eb87297ae1e129c8712fca8add368f6803abf1d801739c2385f93c0f7b",
    7: "865d7e1cba224d95bdecaba15acf07b9ee796f93a88b3a7d05ffafb1957b6e2f",
    8: "cd217bca9c82b9e34ba72dc6906cf5242e4cb71f465dd77df0df3639a4a72c45",
    9: "4a7764e461538be1840c2c6cd1b4856d911874cbffdfd481ece384d4d5104627",
    10: "cdfcebcecdb6284c60505fb792ef9a981abbe47cf156c175cad911a11a201f30",
    11: "c7ae754239aa37222d940609e497020163585923e05d5390bc0b9001b7369fc6",
    12: "c8edeec1a1b19765d522f02e7efbb171cb73f1f1cdd6c4c5859ffd075ce6ae8e",
    13: "3a3d329f6529042ee0f61fd5538303500f19c5bebe981313c84f789f2853c0f4",
    14: "3f81757f52e6c9436f79fe29db5c08e292838328f0fec4820ecb8446e29d29f3",
    15: "c930a8c72b2ad73aad59dd95dca3bb483399b3cac10aef8c44cd171420b4cb8b",
    16: "d5c54cf4ab86917b432cd1da293351380df75217984f10faa36a702ad8d17e2e",
    17: "5a085bf228ec3e4d69185f2d6195165eb173aa26e9e199ba42b2ed68be475d67",
    18: "f65acf561d54b340900283f354161c714914f15d0ffca003dcf04d9657683547",
    19: "65747c409a34e21a8ce5dd80c1dc40f1bf47da859b70b5c98e1b19fc8a6998a2",
    20: "da8dfbc75def2a8cf784d40186ddb44e855accb3cc3d8825681f198a4d0ec50c",
    21: "28ea57f5a9de7b34495895ca4715adbb5199de0db2a2d2b2bcb33b0acc2c2ae9",
    22: "df6a4483ca392da1158a072f6e71a914c66fb84cfcd0f98518b821fb6add9292",
    23: "85f8d3ac2f7314a5790b76832687268b14936d12c3cb2f67bcad8146c5c7a20f",
    24: "a927bd0f4e3f9e51d322c71d9f89666b4e8b4869c1f2495e91c99372636ab828",
}


@pytest.mark.parametrize("version", range(1, len(migrations.MIGRATIONS) + 1))
def test_published_versions_of_the_schema_are_never_edited(version):
    """A change is a new version. Where ITEM_STATE changes, the view keeps the text of its version."""
    statements = getattr(schema, f"VERSION_{version}")
    text = statements if isinstance(statements, str) else "\n".join(statements)
    assert hashlib.sha256(text.encode()).hexdigest() == PUBLISHED[version]


# As the first release wrote it. Never edited: users have such files.
FIRST_RELEASE = """
INSERT INTO sources VALUES (1, 'https://feed', 'podcast', 'A feed', 1.5, 2.5);
INSERT INTO items VALUES (1, 'podcast:a', 'podcast', 'a', 'https://feed/a', 'The first', 'A feed', NULL,
    60.0, '2026-01-02', 'en', NULL, NULL, 'https://feed/a.mp3', 1.5);
INSERT INTO items VALUES (2, 'podcast:b', 'podcast', 'b', 'https://feed/b', 'The second', 'A feed', NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, 1.5);
INSERT INTO source_items VALUES (1, 1, 0), (1, 2, 1);
INSERT INTO transcripts VALUES (1, 'faster-whisper', 'small', 'en', 60.0, 3.5, 9.5);
INSERT INTO segments VALUES (1, 1, 0, 0.0, 2.5, ' Good morning', -0.1, 0.2, 1.1, 0.0, NULL, NULL);
INSERT INTO segments VALUES (2, 1, 1, 2.5, 4.0, ' everyone.', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO passages VALUES (-4, 2, NULL, NULL, 'The second');
INSERT INTO passages VALUES (-2, 1, NULL, NULL, 'The first');
INSERT INTO passages VALUES (1048576, 1, 0, 1, 'Good morning everyone.');
INSERT INTO failures VALUES (2, 3, 'No network.', 'Wait.', 0, 10.5, 9.0);
INSERT INTO calls VALUES (2, 'modal', 'fc-1', 8.0, '{}');
"""


@pytest.fixture
def old(tmp_path):
    """A folder with a library of the first schema version."""
    with closing(sqlite3.connect(tmp_path / "library.db", isolation_level=None)) as db:
        migrations.MIGRATIONS[0](db)
        db.execute("PRAGMA user_version = 1")
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(FIRST_RELEASE)
    return tmp_path


def dump(path):
    with closing(sqlite3.connect(path)) as db:
        return db.execute("PRAGMA user_version").fetchone()[0], list(db.iterdump())


def test_the_options_of_transcripts_and_calls_are_stored(tmp_path):
    options = TranscriptionOptions(
        *("de", "translate", 1, (0.0, 0.4), True, False, "Kari \ud800 \x00", True, 2)
    )
    with Library(tmp_path) as library:
        one, other = item(1), item(2)
        library.save(one, replace(spoken("hello"), options=options))
        stored = library.transcript(one.key).options
        assert stored == replace(options, initial_prompt="Kari \ufffd \x00")
        library.save(other, spoken("hello"))
        assert library.transcript(other.key).options is None
        library.add_call(Call(one, "modal", 1.0, "fc-1", "{}", options))
        library.add_call(Call(other, "modal", 2.0, "fc-2", "{}"))
        assert [call.options for call in library.calls("modal")] == [stored, None]
        # Options of a later version are ignored, those that it does not have any more are the defaults.
        library._db.execute('UPDATE transcripts SET options = \'{"beam_size": 3, "x": 1}\'')
        assert library.transcript(one.key).options == TranscriptionOptions(beam_size=3)


def test_an_old_library_is_migrated(old):
    before = dump(old / "library.db")
    with Library(old) as library:
        assert rows(library, "PRAGMA user_version") == [(len(migrations.MIGRATIONS),)]
        assert library.check() == []
        transcript = library.transcript("podcast:a")
        assert transcript.text == "Good morning everyone."
        assert transcript.segments[0].avg_logprob == -0.1
        record = library.item("podcast:a")
        assert record.item.media_url == "https://feed/a.mp3"
        assert (record.speech, record.languages) == (True, {"en": 4.0})
        assert library.item("podcast:b").attempts == 3
        assert [call.id for call in library.calls("modal")] == ["fc-1"]
        assert [hit.start for hit in library.search('"morning everyone"')] == [0.0]
        assert [(s.url, s.items, s.done) for s in library.sources()] == [("https://feed", 2, 1)]
        (channel,) = library.channels()
        assert channel.words == 3
        library.save(library.item("podcast:b").item, spoken("new"))
    assert dump(old / "library-v1.db") == before


def test_a_library_is_backed_up_once_for_each_version(old):
    Library(old).close()
    copy = (old / "library-v1.db").stat().st_mtime_ns
    Library(old).close()
    assert sorted(path.name for path in old.iterdir()) == ["library-v1.db", "library.db"]
    assert (old / "library-v1.db").stat().st_mtime_ns == copy


def test_a_migration_that_fails_changes_nothing(old, monkeypatch):
    before = dump(old / "library.db")

    def broken(db):
        db.execute("CREATE TABLE half (a)")
        db.execute("DELETE FROM items")
        raise ZeroDivisionError

    monkeypatch.setattr(migrations, "MIGRATIONS", (migrations.MIGRATIONS[0], broken))
    with pytest.raises(ZeroDivisionError):
        Library(old)
    assert dump(old / "library.db") == before
    assert dump(old / "library-v1.db") == before


def test_a_migration_that_deletes_rows_others_refer_to_is_rolled_back(old, monkeypatch):
    before = dump(old / "library.db")
    careless = (
        migrations.MIGRATIONS[0],
        lambda db: db.execute("DELETE FROM items WHERE item_id = 1"),
    )
    monkeypatch.setattr(migrations, "MIGRATIONS", careless)
    with pytest.raises(SetupError, match="could not be migrated"):
        Library(old)
    assert dump(old / "library.db") == before


def test_a_migration_may_rebuild_a_table_that_others_refer_to(old, monkeypatch):
    def rebuild(db):
        db.execute("CREATE TABLE copy AS SELECT * FROM sources")
        db.execute("DROP TABLE sources")
        db.execute("CREATE TABLE sources (source_id INTEGER PRIMARY KEY, url, source, title, a, l)")
        db.execute("INSERT INTO sources SELECT * FROM copy")
        db.execute("DROP TABLE copy")

    monkeypatch.setattr(migrations, "MIGRATIONS", (migrations.MIGRATIONS[0], rebuild))
    with Library(old) as library:
        assert rows(library, "SELECT count(*) FROM source_items") == [(2,)]
        assert rows(library, "PRAGMA user_version") == [(2,)]


def test_a_library_that_is_created_while_it_is_opened(tmp_path):
    """Between two queries about an empty file, another process makes it a library."""
    path = tmp_path / "library.db"

    def create_meanwhile(statement):
        if "sqlite_master" in statement:
            db.set_trace_callback(None)
            with suppress(sqlite3.OperationalError), closing(other):  # which has to wait
                migrations.migrate(other, path)

    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        other = sqlite3.connect(path, isolation_level=None, timeout=0)
        db.set_trace_callback(create_meanwhile)
        migrations.migrate(db, path)
        assert migrations.file_version(db, path) == len(migrations.MIGRATIONS)


def test_a_library_is_opened_while_another_process_writes_its_first_rows(tmp_path):
    """SQLite does not wait by itself when the journal mode changes."""
    path = tmp_path / "library.db"
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        migrations.migrate(other, path)  # not in WAL mode yet
        other.execute("BEGIN IMMEDIATE")
        committed = threading.Timer(0.2, other.execute, ["COMMIT"])
        committed.start()
        with Library(tmp_path) as library:
            assert library.check() == []
            assert rows(library, "PRAGMA journal_mode") == [("wal",)]
        committed.join()


def test_each_migration_is_committed_on_its_own(old, monkeypatch):
    def broken(db):
        raise ZeroDivisionError

    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS[:2], broken))
    with pytest.raises(ZeroDivisionError):
        Library(old)
    assert dump(old / "library.db")[0] == 2
    monkeypatch.undo()
    with Library(old) as library:
        assert library.check() == []
    assert dump(old / "library-v2.db")[0] == 2


@pytest.mark.parametrize("which", ["a new one", "an old one"])
def test_many_processes_open_a_library_at_once(old, which):
    folder = old if which == "an old one" else old / "new"
    before = dump(old / "library.db")
    script = (
        "import sys; from pathlib import Path; from homescribe.library import Library\n"
        "sys.stdin.readline()\n"
        "with Library(Path(sys.argv[1])) as library: print(library.check())"
    )
    children = [
        subprocess.Popen(
            python(script, folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(4)
    ]
    for child in children:
        child.stdin.write("\n")
        child.stdin.flush()
    assert [child.communicate()[0].strip() for child in children] == ["[]"] * 4
    assert dump(folder / "library.db")[0] == len(migrations.MIGRATIONS)
    assert not list(folder.glob("*.part"))
    if which == "an old one":
        assert dump(old / "library-v1.db") == before


# --- Killed processes ----------------------------------------------------------------------------

# Forks processes that kill themselves at different moments of a save. The moments are counted in steps of
# SQLite's virtual machine, so that some are in the middle of a statement.
KILLED_WHILE_SAVING = """
import os, signal, sys
from pathlib import Path
from homescribe.core import Item, Segment, Transcript
from homescribe.library import Library
item = Item("youtube", "id1", "https://www.youtube.com/watch?v=id1", "Recording 1")
new = Transcript("e", "m", "en", 900.0, tuple(
    Segment(n * 3.0, n * 3.0 + 3, f" new word{n}") for n in range(300)))
steps = 0
kill_at = None
def count():
    global steps
    steps += 1
    if steps == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)
def save(directory, at):
    global kill_at
    library = Library(Path(directory))
    library._db.set_progress_handler(count, 10)
    kill_at = at
    library.save(item, new)
    library._db.set_progress_handler(None, 0)
    library.close()
save(sys.argv[2], None)
for n in range(1, 13):
    child = os.fork()
    if not child:
        steps_all, steps = steps, 0
        save(sys.argv[1], max(1, steps_all * n // 13))
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"not killed at {n}"
    with Library(Path(sys.argv[1])) as library:
        transcript = library.transcript(item.key)
        print(transcript.text if transcript else None, library.check(),
              len(library.search("word7")), library.item(item.key).state, sep="|")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("earlier", [None, "old text"], ids=["first", "again"])
def test_killed_in_the_middle_of_a_save(tmp_path, earlier):
    with Library(tmp_path / "library") as library:
        library.record("ytdlp", listing(), [item(1)])
        if earlier:
            library.save(item(1), spoken(earlier))
    done = subprocess.run(
        python(KILLED_WHILE_SAVING, tmp_path / "library", tmp_path / "other"),
        capture_output=True,
        text=True,
        check=True,
    )
    state = "done" if earlier else "pending"
    assert done.stdout.splitlines() == [f"{earlier}|[]|0|{state}"] * 12


def test_what_was_reported_as_saved_survives_a_kill(tmp_path):
    script = """
import sys
from pathlib import Path
from homescribe.core import Item, Segment, Transcript
from homescribe.library import Library
library = Library(Path(sys.argv[1]))
for n in range(int(sys.argv[2]), 100_000):
    segments = tuple(Segment(i * 2.0, i * 2.0 + 2, f" number{n} word{i}") for i in range(50))
    library.save(Item("a", str(n), "u", "t"), Transcript("e", "m", "en", 100.0, segments))
    print(n, flush=True)
"""
    told = -1
    for _ in range(3):
        with subprocess.Popen(
            python(script, tmp_path, told + 1), stdout=subprocess.PIPE, text=True
        ) as child:
            for _, line in zip(range(20), child.stdout, strict=False):
                told = int(line)
            child.send_signal(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
            told = max([told, *map(int, child.stdout.read().split())])
    with Library(tmp_path) as library:
        assert library.check() == []
        found = {record.item.id: record.state for record in library.items()}
        assert set(map(str, range(told + 1))) <= set(found)
        assert set(found.values()) == {"done"}
        for number in range(0, told, 7):
            assert len(library.transcript(f"a:{number}").segments) == 50
            assert len(library.search(f"number{number} word25")) == 1


def test_two_processes_write_at_once(tmp_path):
    script = """
import sys
from pathlib import Path
from homescribe.core import Item, Segment, Transcript
from homescribe.errors import RetryableError
from homescribe.library import Library
with Library(Path(sys.argv[1])) as library:
    for n in range(25):
        item = Item(sys.argv[2], str(n), "u", "t")
        library.fail(item, RetryableError("later"))
        library.save(item, Transcript("e", "m", "en", 2.0, (Segment(0.0, 2.0, " hello"),)))
"""
    with Library(tmp_path) as library:
        children = [subprocess.Popen(python(script, tmp_path, name)) for name in "abc"]
        while any(child.poll() is None for child in children):
            assert all(hit.text == "hello" for hit in library.search("hello"))
            time.sleep(0.01)
        assert [child.returncode for child in children] == [0, 0, 0]
        assert library.status().states["done"] == 75
        assert len(library.search("hello", limit=100)) == 75
        assert library.check() == []


# --- One run at a time ---------------------------------------------------------------------------


HOLD_LOCK = """
import sys
from homescribe.library import Library
with Library(sys.argv[1]).run_lock():
    print("locked", flush=True)
    input()
"""


def hold_lock(directory):
    """A child process that holds the run lock."""
    child = subprocess.Popen(
        python(HOLD_LOCK, directory), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "locked\n"
    return child


def test_one_run_at_a_time(library):
    with library.run_lock(), Library(library.directory) as second:
        with pytest.raises(UserError, match=f"process {os.getpid()}") as caught, second.run_lock():
            pass
        assert caught.value.hint
        assert library.running() == second.running() == str(os.getpid())
        second.save(item(1), spoken("other programs may write"))
        assert second.search("programs")
    assert library.running() is None
    with library.run_lock():
        pass


def test_a_killed_run_holds_no_lock(library):
    with hold_lock(library.directory) as child:
        with pytest.raises(UserError, match=f"process {child.pid}"), library.run_lock():
            pass
        assert library.running() == str(child.pid)
        child.kill()
        child.wait()
        assert (library.directory / "run.pid").exists()  # left behind, and ignored
        assert library.running() is None
        with library.run_lock():
            assert library.running() == str(os.getpid())


def test_a_run_lock_is_released_when_the_run_fails(library):
    with pytest.raises(ZeroDivisionError), library.run_lock():
        raise ZeroDivisionError
    assert library.running() is None
    with library.run_lock():
        pass


def test_a_holder_without_a_process_id_is_unknown(library):
    with hold_lock(library.directory) as child:
        (library.directory / "run.pid").write_text("")
        assert library.running() == ""
        with pytest.raises(UserError, match="process unknown"), library.run_lock():
            pass
        child.communicate("\n", timeout=20)
    assert library.running() is None


@pytest.mark.skipif(sys.platform == "win32", reason="there are other system calls there")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_that_cannot_lock_files_is_refused(library, monkeypatch, code):
    """Also where filelock would fall back to a file that a killed process leaves behind."""

    def flock(file, operation):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", flock)
    with (
        pytest.raises(
            SetupError, match=re.escape(f"run.lock cannot be locked: {os.strerror(code)}")
        ),
        library.run_lock(),
    ):
        pass
    assert library.running() is None


RUN_WITHOUT_PERMISSION = """
import os, sys
import filelock
from homescribe.errors import UserError
from homescribe.library import Library
if os.geteuid() == 0:
    os.setuid(65534)  # root may write everywhere
with Library(sys.argv[1]) as library:
    print(library.running())
    try:
        with library.run_lock():
            pass
    except UserError as error:
        print(error.message)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no write permission there")
def test_a_folder_that_is_not_writable_has_no_run(tmp_path):
    folder = tmp_path / "library"
    with Library(folder) as library, library.run_lock():
        pass
    (folder / "run.pid").write_text("1\n")  # as a killed run leaves it
    assert read_without_permission(folder, RUN_WITHOUT_PERMISSION) == [
        "None",
        f"Cannot write {folder / 'run.lock'}: Permission denied.",
    ]


# --- Sources -------------------------------------------------------------------------------------


def test_record_returns_what_is_new(library):
    assert library.record("ytdlp", listing(), [item(1), item(2)]).new == [item(1), item(2)]
    assert library.record("ytdlp", listing(), [item(3), item(1)]).new == [item(3)]
    assert library.record("podcast", listing("https://other"), [item(2), item(4)]).new == [item(4)]
    assert library.known_keys(CHANNEL) == {"youtube:id1", "youtube:id2", "youtube:id3"}
    assert library.known_keys("https://other") == {"youtube:id2", "youtube:id4"}
    assert library.known_keys("https://never") == frozenset()


def test_an_item_listed_twice_is_one(library):
    assert library.record("ytdlp", listing(), [item(1), item(2), item(1)]).new == [item(1), item(2)]
    assert [record.item for record in library.items()] == [item(1), item(2)]


def test_a_listing_of_five_thousand(library):
    items = [item(n) for n in range(5000)]
    assert library.record("ytdlp", listing(), items).new == items
    assert library.record("ytdlp", listing(), items).new == []
    assert library.pending() == items


def test_listing_order_is_kept_when_new_items_come(library):
    def order():
        return [int(record.item.id[2:]) for record in library.items(source_url=CHANNEL)]

    library.record("ytdlp", listing(), [item(n) for n in (13, 12, 11)])
    library.record("ytdlp", listing(), [item(n) for n in (22, 21)])  # another tab of the channel
    assert order() == [13, 12, 11, 22, 21]
    library.record("ytdlp", listing(), [item(n) for n in (15, 14, 13, 12)])  # new in the first tab
    assert order() == [15, 14, 13, 12, 11, 22, 21]
    library.record("ytdlp", listing(), [item(n) for n in (23, 22)])
    assert order() == [15, 14, 13, 12, 11, 23, 22, 21]
    library.record("ytdlp", listing(), [item(n) for n in (15, 30, 14)])  # one that became public
    assert order() == [15, 30, 14, 13, 12, 11, 23, 22, 21]


def test_pending_begins_with_the_source_that_was_added_first(library):
    library.record("ytdlp", listing("https://a"), [item(3), item(1)])
    library.record("ytdlp", listing("https://b"), [item(9), item(3), item(2)])
    library.save(item(7), spoken("from nowhere"))
    assert library.pending() == [item(3), item(1), item(9), item(2)]
    assert [r.item.id for r in library.items()] == ["id3", "id1", "id9", "id2", "id7"]


def test_sources_count_their_items(library):
    began = time.time()
    library.record("ytdlp", listing("https://a", "A"), [item(1), item(2), item(3), item(4)])
    library.record("podcast", listing("https://b", "B"), [])
    library.save(item(1), spoken("hello"))
    library.fail(item(2), PermanentError("Private."))
    library.fail(item(3), RetryableError("No network."))
    first, second = library.sources()
    assert (first.url, first.source, first.title) == ("https://a", "ytdlp", "A")
    assert (first.items, first.done, first.failed) == (4, 1, 1)
    assert (second.url, second.source, second.items) == ("https://b", "podcast", 0)
    assert began <= first.added_at <= first.listed_at <= second.added_at <= time.time()
    library.record("ytdlp", listing("https://a", "A renamed"), [])
    again = library.sources()[0]
    assert again.title == "A renamed"
    assert again.added_at == first.added_at
    assert again.listed_at > first.listed_at
    library.record("ytdlp", listing("https://a", ""), [])
    assert library.sources()[0].title == "A renamed"


def test_removing_a_source(library):
    library.record("ytdlp", listing("https://a"), [item(1), item(2)])
    library.record("ytdlp", listing("https://b"), [item(2), item(3)])
    library.save(item(1), spoken("hello"))
    assert library.remove_source("https://a") == 0
    assert [source.url for source in library.sources()] == ["https://b"]
    assert {record.item.id for record in library.items()} == {"id1", "id2", "id3"}
    library.record("ytdlp", listing("https://a"), [item(1), item(2)])
    assert library.remove_source("https://a", with_items=True) == 1
    assert {record.item.id for record in library.items()} == {"id2", "id3"}
    with pytest.raises(UserError, match="no source https://aa") as caught:
        library.remove_source("https://aa")
    assert caught.value.hint == "Did you mean https://b?"


# --- Items ---------------------------------------------------------------------------------------

RICH = item(
    1,
    channel="A channel",
    channel_id="UCtest",
    duration=12.25,
    upload_date="2026-03-04",
    language="en-GB",
    description="Two\nlines",
    chapters=(Chapter(0.0, 5.5, "Hello"), Chapter(5.5, 12.25, "Good \N{WAVING HAND SIGN} bye")),
    media_url="https://cdn/1.mp3",
    transcript_links=(
        TranscriptLink("https://cdn/1.vtt?token=1", "text/vtt", "en-GB", "captions"),
        TranscriptLink("https://cdn/1.srt"),
    ),
)


def test_an_item_is_stored_without_loss(library):
    library.record("ytdlp", listing(), [RICH])
    assert library.pending() == [RICH]
    assert library.item(RICH.key).item == RICH


def test_unknown_values_of_a_listing_replace_nothing(library):
    library.record("ytdlp", listing(), [RICH])
    library.record("ytdlp", listing(), [item(1, title="Renamed")])
    assert library.item(RICH.key).item == replace(RICH, title="Renamed")
    library.record("ytdlp", listing(), [item(1, title="", channel="Also renamed")])
    assert library.item(RICH.key).item == replace(RICH, title="Renamed", channel="Also renamed")


def test_values_of_a_page_are_not_replaced_by_a_listing(library):
    guess = item(1, duration=12.0, upload_date="2026-03-01", description="Two...")
    library.record("ytdlp", listing(), [guess])
    library.save(RICH, spoken("hello"))
    assert library.item(RICH.key).item == RICH
    library.record("ytdlp", listing(), [replace(guess, title="Renamed", media_url="https://new")])
    assert library.item(RICH.key).item == replace(RICH, title="Renamed", media_url="https://new")


def test_a_later_listing_replaces_values_of_an_earlier_one(library):
    library.record("ytdlp", listing(), [item(1, upload_date="2026-03-01")])
    library.record("ytdlp", listing(), [item(1, upload_date="2026-03-02", duration=5.0)])
    assert library.item("id1").item == item(1, upload_date="2026-03-02", duration=5.0)


NEW_FIELD = """
import dataclasses, sys
from pathlib import Path
from homescribe import core

@dataclasses.dataclass(frozen=True, slots=True)
class Item(core.Item):
    views: int | None = dataclasses.field(default=None, metadata=core.BY_PAGE)

core.Item = Item
for name in [name for name in sys.modules if name.startswith("homescribe.library")]:
    del sys.modules[name]

from homescribe.library import Library, migrations
from homescribe.library.as_json import item_as_json

migrations.MIGRATIONS += (lambda db: db.execute("ALTER TABLE items ADD COLUMN views INTEGER"),)
listed = Item("web", "1", "https://a", "A title")
fetched = dataclasses.replace(listed, views=7)
with Library(Path(sys.argv[1])) as library:
    library.record("web", core.Listing("https://a", "A", iter(())), [listed])
    assert library.pending() == [listed]
    library.save(fetched, core.Transcript("e", "m", "en", 1.0, ()))
    library.record("web", core.Listing("https://a", "A", iter(())), [dataclasses.replace(listed, views=5)])
    record = library.item("web:1")
    assert record.item == fetched, "the page knows better than the listing"
    assert item_as_json(record)["views"] == 7
"""


def test_a_new_field_of_item_needs_only_a_migration(tmp_path):
    """Rows, JSON and the completion of a listing by its page follow from the fields."""
    subprocess.run(python(NEW_FIELD, tmp_path), check=True)


@pytest.mark.parametrize(
    ("table", "kind", "own"),
    [
        ("items", Item, {"item_id", "key", "added_at"}),
        ("segments", Segment, {"segment_id", "item_id", "position"}),
    ],
)
def test_the_columns_of_a_table_are_the_fields_of_its_value(library, table, kind, own):
    columns = {row[1] for row in rows(library, f"PRAGMA table_info({table})")}
    assert columns - own == {
        field.name for field in fields(kind) if field.metadata.get("column", True)
    }
    assert own < columns


HOSTILE = "\ud800 lone \x00 NUL \x1b[31m <script>alert(1)</script> '; DROP TABLE items; -- \u202e"
STORED = HOSTILE.replace("\ud800", "\ufffd").replace("\x00", "\ufffd")


def test_hostile_text_is_stored(library):
    hostile = Item(
        source="youtube",
        id=HOSTILE,
        url=HOSTILE,
        title=HOSTILE,
        channel=HOSTILE,
        description=HOSTILE * 1000,
        chapters=(Chapter(0.0, 1.0, HOSTILE),),
    )
    (new,) = library.record(HOSTILE, listing(HOSTILE, HOSTILE), [hostile]).new
    assert new.title == STORED
    assert new == library.pending()[0]
    assert library.record("x", listing(HOSTILE, "x"), [hostile]).new == []
    assert library.known_keys(HOSTILE) == {new.key}
    library.fail(hostile, RetryableError(HOSTILE, HOSTILE))
    library.add_call(Call(hostile, "modal", 1.0, "fc-1", HOSTILE))
    library.block_site(HOSTILE, time.time() + 60, HOSTILE)
    words = (Word(0.0, 1.0, HOSTILE, 0.5),)
    segment = Segment(0.0, 1.0, HOSTILE, words=words, flags=(HOSTILE,))
    library.save(hostile, Transcript(HOSTILE, HOSTILE, HOSTILE, 1.0, (segment,)))
    (stored,) = library.transcript(hostile.key).segments
    assert stored.text == stored.words[0].word == stored.flags[0] == STORED
    assert {hit.start for hit in library.search("lone script")} == {0.0}
    assert all("\x1b" not in hit.text for hit in library.search("lone"))
    assert library.item(HOSTILE).state == "done"
    assert library.retry([HOSTILE]) == 0
    assert library.check() == []
    assert library.remove([hostile.key]) == 1


def test_a_path_that_is_not_utf8_stays_usable(library):
    path = "/music/Caf\udce9 \udcff.mp3"  # Latin-1 bytes, as os.fsdecode gives them
    recording = Item("file", "abc", path, "Caf\udce9")
    library.record("file", listing("/music"), [recording])
    (stored,) = library.pending()
    assert stored.url == path
    assert os.fsencode(stored.url) == b"/music/Caf\xe9 \xff.mp3"
    assert stored.title == "Caf\ufffd"
    library.save(recording, spoken("hello"))
    assert library.search("hello")[0].url == "file:///music/Caf%E9%20%FF.mp3#t=0"


def test_a_description_as_long_as_a_book(library):
    book = "\n".join(f"line{n} of the book" for n in range(50_000)) + "\nthe very end"
    library.record("podcast", listing(), [item(1, description=book)])
    (hit,) = library.search('"very end"')
    assert (hit.text, marked(hit)) == ("the very end", ["very end"])
    (hit,) = library.search("line31415")
    assert hit.text == "line31415 of the book"


# --- States --------------------------------------------------------------------------------------


def test_states_follow_from_transcripts_calls_and_failures(library):
    now = time.time()
    library.record("ytdlp", listing(), [item(n) for n in range(6)])
    library.save(item(1), spoken("hello"), seconds=7.5)
    library.fail(item(2), PermanentError("Private.", "Ask the owner."))
    library.fail(item(3), RetryableError("No network.", retry_after=5000.0))
    library.add_call(Call(item(4), "modal", now, "fc-4"))
    library.fail(item(5), RetryableError("No network."), now - BACKOFF[0])
    states = ["pending", "done", "failed", "failed", "in flight", "pending"]
    assert [record.state for record in library.items()] == states
    assert library.pending() == [item(0), item(5)]
    done, private, later = (library.item(f"id{n}") for n in (1, 2, 3))
    assert done.seconds == 7.5
    assert now <= done.done_at <= time.time()
    assert (private.error, private.hint, private.permanent, private.attempts) == (
        *("Private.", "Ask the owner.", True),
        1,
    )
    assert private.retry_at >= now + 30 * 24 * 3600
    assert later.retry_at >= now + 5000
    assert not later.permanent
    for state in ("done", "failed", "in flight", "pending"):
        assert {r.state for r in library.items(state=state)} == {state}
        assert len(list(library.items(state=state))) == states.count(state)
    found = library.status()
    assert found.states == {
        s: states.count(s) for s in ("done", "in flight", "ignored", "failed", "pending")
    }
    view = dict(rows(library, "SELECT key, state FROM item_states"))
    assert view == {record.item.key: record.state for record in library.items()}


def test_retries_wait_longer_each_time(library):
    library.record("ytdlp", listing(), [item(1)])
    now = 1_000_000.0
    for attempt, wait in enumerate([*BACKOFF, BACKOFF[-1]], start=1):
        assert library.pending(now=now) == [item(1)]
        library.fail(item(1), RetryableError("No network."), now)
        record = library.item("id1")
        assert (record.attempts, record.retry_at) == (attempt, now + wait)
        assert library.pending(now=now + wait - 0.001) == []
        now += wait
    assert BACKOFF == (60, 600, 3600, 6 * 3600, 24 * 3600)


def test_the_longer_of_backoff_and_retry_after_counts(library):
    library.fail(item(1), RetryableError("429", retry_after=5.0), 100.0)
    assert library.item("id1").retry_at == 160.0
    library.fail(item(1), RetryableError("429", retry_after=5000.0), 100.0)
    assert library.item("id1").retry_at == 5100.0


@pytest.mark.parametrize("years", [-10, 10])
def test_a_wait_that_was_stored_with_a_wrong_clock_is_over(library, years):
    wrong = time.time() + years * 365 * DAY
    library.fail(item(1), RetryableError("No network."), wrong)
    assert [each.key for each in library.pending()] == [item(1).key]
    assert library.item("id1").state == "pending"
    with closing(sqlite3.connect(library.path)) as db:  # the view agrees
        assert db.execute("SELECT state FROM item_states").fetchall() == [("pending",)]
        db.execute("INSERT INTO sites VALUES ('site', ?, 'Not a bot?')", [wrong])
        db.commit()
    assert library.blocked_sites() == {}


def test_a_wait_lasts_a_day_at_most(library):
    now = time.time()
    library.fail(item(1), RetryableError("Next year.", retry_after=365 * DAY), now)
    assert library.item("id1").retry_at == now + DAY
    assert library.item("id1").state == "failed"
    library.block_site("site", now + 365 * DAY, "Next year.")
    assert library.blocked_sites(now)["site"][0] == pytest.approx(now + DAY, abs=60)
    assert library.blocked_sites(now + 1.1 * DAY) == {}


def test_negative_seconds_are_not_stored(library):
    """The clock of the machine may be set back while an engine works."""
    library.save(item(1), spoken("words"), seconds=-3600.0)
    assert library.item("id1").seconds == 0.0


def test_retries_survive_a_restart(tmp_path):
    with Library(tmp_path) as library:
        library.fail(item(1), RetryableError("No network."), 100.0)
    with Library(tmp_path) as library:
        library.fail(item(1), RetryableError("No network."), 200.0)
        assert library.item("id1").attempts == 2


def test_a_permanent_failure_is_tried_again_after_a_month(library):
    """What was private or for members may have become public, without a word in any listing."""
    library.fail(item(1), PermanentError("Private."), 0.0)
    assert library.pending(now=30 * 24 * 3600 - 1) == []
    assert library.pending(now=30 * 24 * 3600 + 1) == [item(1)]


@pytest.mark.parametrize(
    ("before", "after", "pending"),
    [
        ({"availability": "subscriber_only"}, {"availability": "public"}, True),
        ({"duration": None}, {"duration": 60.0}, True),  # of a private video in a playlist
        ({"media_url": "https://a/1.mp3"}, {"media_url": "https://b/1.mp3"}, True),
        ({"media_url": "https://a/1.mp3?t=1"}, {"media_url": "https://a/1.mp3?t=2"}, False),
        ({"title": "Old"}, {"title": "New"}, False),
        ({}, {}, False),
    ],
)
def test_a_listing_that_makes_an_item_available_forgets_its_failure(
    library, before, after, pending
):
    library.record("x", listing(), [item(1, **before)])
    library.fail(item(1, **before), PermanentError("Private."))
    library.record("x", listing(), [item(1, **after)])
    assert [one.id for one in library.pending()] == (["id1"] if pending else [])


def test_another_token_in_an_address_forgets_only_an_older_failure(library):
    first, second = (item(1, media_url=f"https://a/1.mp3?t={n}") for n in (1, 2))
    library.record("x", listing(), [first])
    library.fail(first, PermanentError("Expired."), time.time() - 2 * 24 * 3600)
    library.record("x", listing(), [second])
    assert library.pending() == [second]


def test_success_ends_failures_and_calls(library):
    library.fail(item(1), RetryableError("No network."))
    library.add_call(Call(item(1), "modal", 1.0, "fc-1"))
    library.save(item(1), spoken("hello"))
    record = library.item("id1")
    assert (record.state, record.attempts, record.error) == ("done", 0, None)
    assert library.calls("modal") == []


def test_a_failure_after_a_transcript_keeps_the_transcript(library):
    library.save(item(1), spoken("hello"))
    library.fail(item(1), PermanentError("Removed."))
    assert library.item("id1").state == "done"
    assert library.transcript(item(1).key) == spoken("hello")
    assert library.pending() == []


def test_what_failed_before_comes_last(library):
    """What fails again may end a run, which then has done the others."""
    library.record("ytdlp", listing(), [item(1), item(2), item(3)])
    library.fail(item(1), RetryableError("The service has no answer."))
    later = time.time() + 3600
    assert library.pending(now=later) == [item(2), item(3), item(1)]
    library.retry([item(1).key])
    assert library.pending() == [item(1), item(2), item(3)]


def test_pending_for_some_keys(library):
    library.record("ytdlp", listing(), [item(1), item(2), item(3)])
    library.save(item(2), spoken("hello"))
    assert library.pending(keys=["youtube:id3", "youtube:id2", "youtube:id9"]) == [item(3)]
    assert library.pending(keys=[]) == []


def test_retry_deletes_failures(library):
    def fail():
        for n in (1, 2):
            library.fail(item(n), RetryableError("No network."))
        library.fail(item(3), PermanentError("Private."))
        library.fail(item(4), PermanentError("Removed."))

    library.record("ytdlp", listing(), [item(n) for n in (1, 2, 3, 4)])
    fail()
    assert library.retry() == 2
    assert library.pending() == [item(1), item(2)]
    assert library.item("id1").attempts == 0
    fail()
    assert library.retry(["youtube:id3", "id1"]) == 2
    assert library.pending() == [item(1), item(3)]
    fail()
    assert library.retry(permanent=True) == 4
    assert library.pending() == [item(n) for n in (1, 2, 3, 4)]
    with pytest.raises(UserError, match="no item youtube:id77"):
        library.retry(["youtube:id77"])


def test_a_call_outlives_the_process_that_made_it(tmp_path):
    call = Call(RICH, "modal", 12.5, "fc-01ABC", '{"gpu": "A10"}')
    with Library(tmp_path) as library:
        library.record("ytdlp", listing(), [RICH, item(2)])
        library.add_call(call)
        library.add_call(Call(item(2), "other", 1.5, "x-1"))
    with Library(tmp_path) as library:
        assert library.calls("modal") == [call]
        assert library.pending() == []
        library.drop_call(RICH.key)
        library.drop_call(RICH.key)
        assert library.calls("modal") == []
        assert library.pending() == [RICH]
        assert [other.id for other in library.calls("other")] == ["x-1"]


def test_a_call_without_an_id_is_not_in_flight(library):
    library.record("ytdlp", listing(), [item(1)])
    library.add_call(Call(item(1), "local", 1.0))
    assert library.pending() == [item(1)]


def test_a_second_call_replaces_the_first(library):
    library.add_call(Call(item(1), "modal", 1.0, "fc-1"))
    library.add_call(Call(item(1), "modal", 2.0, "fc-2"))
    assert [call.id for call in library.calls("modal")] == ["fc-2"]


def test_calls_are_ordered_by_age_and_ended_by_a_failure(library):
    for n, at in ((1, 30.0), (2, 10.0), (3, 20.0)):
        library.add_call(Call(item(n), "modal", at, f"fc-{n}"))
    assert [call.id for call in library.calls("modal")] == ["fc-2", "fc-3", "fc-1"]
    library.fail(item(3), RetryableError("Crashed."))
    assert [call.id for call in library.calls("modal")] == ["fc-2", "fc-1"]


def test_an_item_by_key_id_or_url(library):
    library.record("ytdlp", listing(), [item(1), item(2)])
    library.record("podcast", listing("https://b"), [Item("podcast", "id2", "https://b/2", "Two")])
    assert library.item("youtube:id1").item == item(1)
    assert library.item("id1").item == item(1)
    assert library.item("https://www.youtube.com/watch?v=id1").item == item(1)
    with pytest.raises(UserError, match=r"several items: youtube:id2, podcast:id2"):
        library.item("id2")
    assert library.item("youtube:id2").item == item(2)
    with pytest.raises(UserError, match="no item youtube:id11 ") as caught:
        library.item("youtube:id11")
    assert "youtube:id1" in caught.value.hint


def test_items_are_filtered(library):
    dated = [
        item(1, upload_date="2026-01-31", channel="One", channel_id="UC1"),
        item(2, upload_date="2026-02-01", channel="Two", channel_id="UC2"),
        item(3, upload_date="2026-02-28", channel="One", channel_id="UC1"),
        item(4, channel="One"),
    ]
    library.record("ytdlp", listing("https://a"), dated[:2])
    library.record("ytdlp", listing("https://b"), dated[2:])

    def ids(**chosen):
        return [int(record.item.id[2:]) for record in library.items(**chosen)]

    assert ids(since="2026-02-01") == [2, 3]
    assert ids(until="2026-02-01") == [1, 2]
    assert ids(since="2026-02-01", until="2026-02-01") == [2]
    assert ids(channel="one") == [1, 3, 4]
    assert ids(channel="UC1") == [1, 3]
    assert ids(source_url="https://b") == [3, 4]
    assert ids(source_url="https://b", channel="One", since="2026-01-01") == [3]
    assert ids(channel="Three") == []


def test_blocked_sites(library):
    library.block_site("youtube", 200.0, "Not a bot?")
    library.block_site("example.org", 150.0, "429")
    assert library.blocked_sites(now=100.0) == {
        "example.org": (150.0, "429"),
        "youtube": (200.0, "Not a bot?"),
    }
    assert library.blocked_sites(now=150.0) == {"youtube": (200.0, "Not a bot?")}
    library.block_site("youtube", 120.0, "Again")
    assert library.blocked_sites(now=110.0)["youtube"] == (120.0, "Again")
    assert library.blocked_sites() == {}


def test_status(library):
    library.record("ytdlp", listing(), [item(1, duration=100.0), item(2, duration=50.5), item(3)])
    assert library.status().audio_seconds == 150.5
    library.save(item(1), spoken("a", "b"))  # 10 s of audio, whatever the listing says
    found = library.status()
    assert (found.audio_seconds, found.audio_seconds_done) == (60.5, 10.0)
    assert found.path == library.path
    assert found.bytes >= library.path.stat().st_size


# --- Transcripts ---------------------------------------------------------------------------------

times = st.floats(min_value=0, max_value=1e6)
figures = st.none() | st.floats(allow_nan=False)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
words = st.builds(Word, times, times, texts, st.floats(allow_infinity=False, allow_nan=False))
segments = st.builds(
    Segment,
    *(times, times, texts),
    *[figures] * 4,
    words=st.lists(words, max_size=3).map(tuple),
    flags=st.lists(texts, max_size=2).map(tuple),
)
transcripts = st.builds(
    Transcript, texts, texts, texts, times, st.lists(segments, max_size=5).map(tuple)
)


def test_a_transcript_is_stored_without_loss(tmp_path):
    with Library(tmp_path) as library:

        @settings(max_examples=60)
        @given(transcripts)
        def round_trip(transcript):
            library.save(item(1), transcript)
            assert library.transcript(item(1).key) == transcript
            assert library.transcript(item(1).key).text == transcript.text

        round_trip()
        assert library.check() == []


def test_nan_is_stored_as_valid_json(library):
    word = Word(0.0, 1.0, " hm", math.nan)
    library.save(
        item(1),
        Transcript("e", "m", "en", 1.0, (Segment(0.0, 1.0, " hm", math.nan, words=(word,)),)),
    )
    (segment,) = library.transcript(item(1).key).segments
    assert segment.avg_logprob is None
    assert math.isnan(segment.words[0].probability)
    ((word,),) = rows(library, "SELECT value FROM segments, json_each(words)")
    assert json.loads(word) == {"start": 0.0, "end": 1.0, "word": " hm", "probability": None}


def test_an_item_without_a_transcript(library):
    library.record("ytdlp", listing(), [item(1)])
    assert library.transcript(item(1).key) is None
    assert library.transcript("youtube:unknown") is None


def test_a_transcript_without_segments(library):
    library.save(item(1), spoken())
    assert library.transcript(item(1).key) == spoken()
    assert library.item("id1").state == "done"


def test_a_later_transcript_replaces_an_earlier_one(library):
    library.save(item(1), spoken(*(f"early{n}" for n in range(100))))
    library.save(item(1), spoken("late", "words"))
    assert library.transcript(item(1).key) == spoken("late", "words")
    assert library.search("early50") == []
    assert [hit.text for hit in library.search('"late words"')] == ["late words"]
    assert library.check() == []


def test_removing_an_item_removes_every_row_of_it(library):
    empty = tables(library)
    library.record("ytdlp", listing(), [item(1, description="About it"), item(2)])
    before = tables(library)
    library.save(RICH, spoken(*(f"word{n}" for n in range(50))))
    library.fail(RICH, RetryableError("No network."))
    library.add_call(Call(RICH, "modal", 1.0, "fc-1"))
    library.record("ytdlp", listing(), [item(3)])
    library.save(item(3), spoken("something else"))
    assert library.remove(["id1", "youtube:id3"]) == 2
    after = tables(library)
    index = {name for name in after if name.startswith("passages_fts")}
    assert after["items"] == 1
    assert after["passages"] == 1  # the title of the second
    for name in set(after) - {"items", "passages", "sources", "source_items"} - index:
        assert after[name] == empty[name], name
    for query in ("word7", "about", "something", "recording 1"):
        assert library.search(query) == []
    assert rows(library, "SELECT count(*) FROM passages_fts_docsize") == [(1,)]
    assert library.check() == []
    assert before["items"] == 2
    with pytest.raises(UserError, match="no item id1 "):
        library.remove(["id2", "id1"])
    assert library.item("id2").item == item(2)  # all or nothing


def test_usage_is_kept_when_its_item_is_deleted(library):
    call = Call(item(1), "modal", 1.0, "fc-1")
    library.add_call(call)
    library.add_usage(
        Usage(
            call=call,
            engine="faster-whisper",
            model="small",
            gpu="A10",
            gpu_seconds=2.0,
            overhead_seconds=1.0,
            boots=1,
            audio_seconds=60.0,
            dollars=0.01,
            expected_dollars=0.01,
            finished_at=2.0,
            outcome="done",
        )
    )
    library.remove(["id1"])
    assert library.spending().dollars == 0.01


# --- Search --------------------------------------------------------------------------------------


def test_a_hit_links_to_the_second_at_which_it_was_said(library):
    library.record("ytdlp", listing(), [RICH])
    library.save(
        RICH,
        Transcript(
            *("e", "m", "en", 130.0),
            (
                Segment(0.0, 61.5, " A long silence, then"),
                Segment(61.5, 64.25, " the lighthouse keeper's"),
                Segment(64.25, 130.0, " daughter came home."),
            ),
        ),
    )
    (hit,) = library.search("lighthouse")
    assert (hit.key, hit.title, hit.channel) == (RICH.key, RICH.title, RICH.channel)
    assert hit.upload_date == "2026-03-04"
    assert (hit.start, hit.end) == (61.5, 130.0)
    assert hit.text == "the lighthouse keeper's daughter came home."
    assert marked(hit) == ["lighthouse"]
    assert hit.url == "https://www.youtube.com/watch?v=id1&t=61s"


def test_a_phrase_across_the_border_of_two_segments(library):
    library.save(item(1), spoken("one two three", "four five six", "seven"))
    (hit,) = library.search('"three four"')
    assert (hit.start, hit.end) == (0.0, 15.0)
    assert marked(hit) == ["three four"]
    (hit,) = library.search('"six seven"')
    assert (hit.start, hit.text) == (5.0, "four five six seven")
    assert library.search('"four three"') == []
    assert len(library.search("four three")) == 1


def uneven(durations):
    """A transcript with segments of these lengths, each with three words that no other has."""
    ends = [sum(durations[: n + 1]) for n in range(len(durations))]
    return Transcript(
        *("e", "m", "en", ends[-1]),
        tuple(
            Segment(end - duration, end, f" first{n} second{n} third{n}")
            for n, (end, duration) in enumerate(zip(ends, durations, strict=True))
        ),
    )


def test_words_said_close_together_are_found_once(tmp_path):
    with Library(tmp_path) as library:

        @settings(max_examples=12)
        @given(
            st.lists(
                st.sampled_from([0.0, 0.5, 3.0, 7.0, 12.0, 24.9, 60.0]), min_size=1, max_size=40
            )
        )
        def found_once(durations):
            transcript = uneven(durations)
            library.save(item(1), transcript)
            said = transcript.segments
            for n, segment in enumerate(said):
                (hit,) = library.search(f"second{n}")
                assert hit.text.startswith(segment.text.strip())
                assert hit.start == segment.start
                if n:
                    (hit,) = library.search(f'"third{n - 1} first{n}"')
                    assert marked(hit) == [f"third{n - 1} first{n}"]
                    assert hit.start == said[n - 1].start
                for later in range(n + 1, len(said)):
                    if said[later].end - segment.start > passages.STRETCH:
                        break
                    (hit,) = library.search(f"second{later} second{n}")
                    assert hit.start == segment.start
                    assert hit.end >= said[later].end

        found_once()


def test_words_far_from_each_other_are_not_found_together(library):
    library.save(item(1), spoken("alpha", *["something"] * 20, "omega"))
    assert library.search("alpha omega") == []
    assert len(library.search("alpha something")) == 1


def test_a_hit_starts_at_the_first_word_that_is_found(library):
    spoken_words = "Well, the Grüne fox\u200b jumps over the 狐 dog. Fox!".replace(" ", "| ")
    words = tuple(
        Word(10.0 + 2 * n, 11.0 + 2 * n, word, 0.9)
        for n, word in enumerate(spoken_words.split("|"))
    )
    text = "".join(word.word for word in words)
    segments = (
        Segment(0.0, 9.0, " Before it."),
        Segment(10.0, 40.0, text, words=words),
        Segment(40.0, 50.0, " A fox without times.", words=()),
    )
    library.save(item(1), Transcript("e", "m", "en", 50.0, segments))
    starts = {
        query: library.search(query)[0].start
        for query in ("gruene", "grune", '"fox jumps"', "dog", "狐", "well", "before", "times")
        if library.search(query)
    }
    assert starts == {
        "grune": 14.0,
        '"fox jumps"': 16.0,
        "dog": 26.0,
        "狐": 24.0,
        "well": 10.0,
        "before": 0.0,
        "times": 40.0,
    }
    assert library.search("grune")[0].url.endswith("t=14s")
    library.correct(item(1).key, 1, text.replace("jumps", "leaps"))
    assert library.search("leaps")[0].start == 18.0


def test_every_occurrence_is_a_hit(library):
    library.save(item(1), spoken(*(["needle"] + ["hay"] * 19) * 3))
    assert sorted(hit.start for hit in library.search("needle")) == [0.0, 100.0, 200.0]


def test_the_closest_words_in_a_passage_are_the_hit(library):
    library.save(item(1), spoken("alpha", "x", "x", "x", "alpha", "beta", "x"))
    assert [hit.start for hit in library.search("alpha beta")] == [20.0]
    library.save(item(1), spoken("alpha", "x", "x", "beta", "x", "alpha beta", "x"))
    (hit,) = library.search("beta alpha")
    assert (hit.start, hit.text) == (25.0, "alpha beta x")
    assert marked(hit) == ["alpha", "beta"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("cafe", ["Café"]),
        ("CAFÉ", ["Café"]),
        ("cafe\u0301", ["Café"]),
        ("ｃａｆé", ["Café"]),
        ("it's", ["It's"]),
        ("it’s", ["It's"]),
        ("c++", ["C"]),
        ("AND", ["and"]),
        ("a:b", ["a: b"]),
        ("text:and", None),
        ("NEAR(and)", None),
        ("st", None),
        ("strasse", ["Straße"]),
        ("straße", ["Straße"]),
        ('"and it\'s"', ["and. It's"]),
        ("“and it's”", ["and. It's"]),
        ('"and', ["and"]),
        ("it's -", ["It's"]),
        ("", None),
        ("- + *", None),
        ('""', None),
        ("\x00and\x00", ["and"]),
        ("i̇zmir", ["İzmir"]),
        ("ﬁn", ["ﬁn"]),
    ],
)
def test_queries(library, query, found):
    library.save(item(1), spoken("Café a: b, C++ and. It's Straße İzmir ﬁn"))
    hits = library.search(query)
    assert [marked(hit) for hit in hits] == ([found] if found else [])


@pytest.mark.parametrize(
    ("said", "query", "found"),
    [
        ("我们今天讨论经济学和历史。", "经济", "经济"),
        ("我们今天讨论经济学和历史。", "历", "历"),
        ("我们今天讨论经济学和历史。", "讨论经济学", "讨论经济学"),
        ("東京でラーメンを食べました", "ラーメン", "ラーメン"),
        ("東京でラーメンを食べました", "ﾗｰﾒﾝ", "ラーメン"),
        ("東京でガラスを見た", "か\u3099ラス".replace("か", "カ"), "ガラス"),
        ("저는 한국어를 공부합니다", "한국어", "한국어"),
        ("저는 한국어를 공부합니다", "\u1112\u1161\u11ab국어", "한국어"),
        ("ฉันกินข้าวที่บ้าน", "ข้าว", "ข้าว"),
        ("मुझे हिन्दी आती है", "हिन्दी", "हिन्दी"),
        ("كتاب جديد عن التاريخ", "جديد", "جديد"),
        ("Сегодня мы говорим о науке", "НАУКЕ", "науке"),
        ("使用Python编程", "Python编", "Python编"),
        ("使用Python编程", "python", "Python"),
        ("Việt Nam", "viet", "Việt"),
        ("un cafe\u0301 noir", "café", "cafe\u0301"),
        ("ฉันกินข้าวที่บ้าน", "ที่", "ที่"),
        ("\u1112\u1161\u11ab국어", "한국", "\u1112\u1161\u11ab국"),
        ("ＡＢＣ社", "abc社", "ＡＢＣ社"),
        ("㈱ホーム", "株", "㈱"),
    ],
)
def test_queries_in_every_script(library, said, query, found):
    library.save(item(1), spoken("something", said))
    (hit,) = library.search(query)
    assert marked(hit) == [found]
    assert hit.start == 5.0


def test_scripts_without_spaces_across_segments(library):
    library.save(item(1), spoken("我们讨论经", "济学和历史"))
    (hit,) = library.search("经济")
    assert hit.text == "我们讨论经济学和历史"
    assert marked(hit) == ["经济"]
    assert library.search("济经") == []


def test_a_part_of_a_word_does_not_match(library):
    library.save(item(1), spoken("the lighthouse", "मुझे हिन्दी आती है"))
    assert library.search("light") == []
    assert library.search("हिन") == []
    assert len(library.search("light", as_typed=True)) == 1


def test_titles_and_descriptions_are_found(library):
    library.record(
        "ytdlp",
        listing(),
        [item(1, title="The Lighthouse at Dawn", description="First line\nwith Ada Lovelace\nend")],
    )
    (hit,) = library.search("lighthouse dawn")
    assert (hit.start, hit.end, hit.text) == (0.0, 0.0, "The Lighthouse at Dawn")
    assert marked(hit) == ["Lighthouse", "Dawn"]
    assert hit.url == "https://www.youtube.com/watch?v=id1&t=0s"
    (hit,) = library.search('"ada lovelace"')
    assert (hit.start, hit.text, marked(hit)) == (0.0, "with Ada Lovelace", ["Ada Lovelace"])


def test_a_long_line_is_shortened_around_the_match(library):
    long = "start " + "before " * 500 + "Ada Lovelace " + "after " * 500 + "end"
    library.record("ytdlp", listing(), [item(1, description=f"First line\n{long}\nLast line")])
    (hit,) = library.search("ada lovelace")
    assert marked(hit) == ["Ada", "Lovelace"]
    assert hit.text.startswith("… before ")
    assert hit.text.endswith(" …")
    assert 250 < len(hit.text) < 310
    (hit,) = library.search("start")
    assert hit.text.startswith("start before")
    (hit,) = library.search("end")
    assert hit.text.endswith("after end")
    assert marked(hit) == ["end"]


def test_a_new_title_replaces_the_old_one_in_the_index(library):
    library.record("ytdlp", listing(), [item(1, title="Working title")])
    library.record("ytdlp", listing(), [item(1, title="Final title")])
    assert library.search("working") == []
    assert [hit.text for hit in library.search("final")] == ["Final title"]
    assert library.check() == []


def test_a_title_ranks_above_speech(library):
    library.save(item(1), spoken("we mention lighthouses only once, among other things"))
    library.save(item(2, title="Lighthouses"), spoken("hello"))
    assert [hit.key for hit in library.search("lighthouses")] == ["youtube:id2", "youtube:id1"]


def test_more_occurrences_rank_higher(library):
    library.save(item(1), spoken("whales were mentioned", *["and other animals"] * 4))
    library.save(item(2), spoken(*["whales and whales"] * 5))
    library.save(item(3), spoken("whales were mentioned", *["and other animals"] * 4))
    assert library.search("whales")[0].key == "youtube:id2"


def test_search_is_filtered(library):
    for n, channel in ((1, "One"), (2, "Two"), (3, "One")):
        library.save(
            item(n, title=f"Hello {n}", channel=channel, upload_date=f"2026-0{n}-01"),
            replace(spoken("hello"), language="de" if n == 2 else "en"),
        )

    def ids(**chosen):
        return sorted({int(hit.key[-1]) for hit in library.search("hello", **chosen)})

    assert ids() == [1, 2, 3]
    assert ids(channel="one") == [1, 3]
    assert ids(since="2026-02-01") == [2, 3]
    assert ids(until="2026-02-01") == [1, 2]
    assert ids(since="2026-02-01", until="2026-02-28", channel="Two") == [2]
    assert ids(channel="Nobody") == []
    assert ids(language="de") == [2]
    assert ids(source="youtube") == [1, 2, 3]
    assert ids(source="podcast") == []


def test_pages_of_hits(library, monkeypatch):
    for n in range(30):
        library.save(item(n, title=f"hello {n}"), spoken("hello " * (1 + n % 4), "x"))
    for candidates in (search.CANDIDATES, 10):  # all are ranked, or the newest ten of each kind
        monkeypatch.setattr(search, "CANDIDATES", candidates)
        whole = library.search("hello", limit=100)
        assert len(whole) == len(set(whole)) == 60
        pages = [library.search("hello", limit=7, offset=offset) for offset in range(0, 63, 7)]
        assert [hit for page in pages for hit in page] == whole
    assert {int(hit.key[10:]) for hit in whole[:10]} <= set(range(20, 30))
    assert library.search("hello", limit=0) == []
    assert library.search("hello", offset=1000) == []


def test_raw_queries_have_fts5_syntax(library):
    library.save(item(1), spoken("one two three"))
    library.save(item(2), spoken("one four 经济学"))
    ids = lambda query: {hit.key[-1] for hit in library.search(query, raw=True)}  # noqa: E731
    assert ids("one NOT four") == {"1"}
    assert ids("three OR four") == {"1", "2"}
    assert ids("thr*") == {"1"}
    assert ids("NEAR(one three, 1)") == {"1"}
    assert ids('"经济"') == {"2"}
    assert ids("") == set()
    for wrong in ("AND", "one AND", '"one', "one)", "nothing : one", "*", "* one", "*reads"):
        with pytest.raises(UserError, match="query is not valid") as caught:
            library.search(wrong, raw=True)
        assert "sqlite.org" in caught.value.hint


def test_no_query_breaks_the_search(tmp_path):
    with Library(tmp_path) as library:
        library.save(item(1), spoken("one \" ' two", "经济学 three*", title_like()))
        syntax = st.lists(
            st.sampled_from(
                [
                    '"',
                    "'",
                    "*",
                    "(",
                    ")",
                    "AND",
                    "OR",
                    "NOT",
                    "NEAR",
                    ":",
                    "^",
                    "-",
                    "one",
                    "经",
                    " ",
                    "{",
                ]
            )
        ).map("".join)

        @given(st.text() | syntax, st.booleans())
        def answers(query, as_typed):
            for hit in library.search(query, as_typed=as_typed):
                for begin, end in hit.highlights:
                    assert 0 <= begin < end <= len(hit.text)

        @given(st.text() | syntax)
        def answers_or_refuses(query):
            with suppress(UserError):
                library.search(query, raw=True)

        answers()
        answers_or_refuses()
        assert library.search("word " * 10_000 + "x" * 100_000) == []


def title_like():
    return "Ünïcödé — title (2026) [4K] #1"


def test_every_said_word_is_found_at_its_time(tmp_path):
    letters = st.characters(categories=["Lu", "Ll", "Lo", "Nd"], max_codepoint=0x3FFF)
    with Library(tmp_path) as library:

        @settings(max_examples=60)
        @given(st.lists(st.text(letters, min_size=1, max_size=8), min_size=1, max_size=6))
        def found(texts):
            library.save(item(1), spoken(*texts))
            for n, text in enumerate(texts):
                hits = library.search(text, limit=100)
                assert n * 5.0 in [hit.start for hit in hits] or any(
                    hit.start <= n * 5.0 < hit.end for hit in hits
                )
                for hit in hits:
                    assert all(mark for mark in marked(hit))

        found()


@given(st.text())
def test_offsets_of_indexed_text(text):
    indexed, origins = spaced(text)
    assert len(indexed) == len(origins)
    assert list(origins) == sorted(origins)
    assert all(0 <= origin < len(text) for origin in origins)
    assert search.OPEN not in indexed
    assert search.CLOSE not in indexed


# --- Other programs ------------------------------------------------------------------------------


def test_sqlite_utils_opens_the_library(library):
    library.record("ytdlp", listing(), [RICH, item(2)])
    library.save(RICH, spoken("The lighthouse", "keeper"))
    db = sqlite_utils.Database(library.path)
    try:
        assert {"sources", "items", "source_items", "transcripts", "segments"} <= set(
            db.table_names()
        )
        assert db["items"].count == 2
        assert db["segments"].pks == ["segment_id"]
        references = {
            (name, key.column, key.other_table)
            for name in ("transcripts", "segments", "source_items", "failures", "calls", "passages")
            for key in db[name].foreign_keys
        }
        assert references == {
            ("transcripts", "item_id", "items"),
            ("segments", "item_id", "transcripts"),
            ("source_items", "source_id", "sources"),
            ("source_items", "item_id", "items"),
            ("failures", "item_id", "items"),
            ("calls", "item_id", "items"),
            ("passages", "item_id", "items"),
        }
        assert db["passages"].detect_fts() == "passages_fts"
        (found,) = db["passages"].search('"lighthouse keeper"')
        assert found["item_id"] == 1
        (text,) = db["transcripts_text"].rows
        assert (text["key"], text["channel"]) == (RICH.key, RICH.channel)
        assert text["text"] == "The lighthouse keeper"
        assert text["url"] == RICH.url
        states = {row["key"]: row["state"] for row in db["item_states"].rows}
        assert states == {"youtube:id1": "done", "youtube:id2": "pending"}
        db["passages"].rebuild_fts()
    finally:
        db.close()
    assert library.check() == []


REFERENCE = Path(__file__).parent.parent / "docs" / "reference" / "library-schema.md"


def test_the_reference_names_every_table_and_column(library):
    named = set(re.findall(r"`([a-z0-9_]+)`", REFERENCE.read_text(encoding="utf-8")))
    tables = rows(
        library,
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') "
        "AND name NOT LIKE 'passages_fts_%' AND name NOT LIKE 'sqlite_%'",
    )
    for (table,) in tables:
        columns = {row[1] for row in rows(library, f"PRAGMA table_info('{table}')")}
        assert {table, *columns} <= named, table


def test_the_queries_of_the_reference_work(library):
    doubtful = Segment(
        *(5.0, 9.0, " and his lamps"),
        words=(Word(5.0, 6.0, " lamps", 0.25),),
        flags=("low_probability",),
    )
    (first,) = spoken("The lighthouse keeper").segments
    library.save(RICH, Transcript("e", "m", "en", 9.0, (first, doubtful)))
    library.fail(item(2), PermanentError("Private."))
    said, hours, lines, unsure, why = (
        rows(library, query)
        for query in re.findall(
            "```sql\n(.*?)```", REFERENCE.read_text(encoding="utf-8"), re.DOTALL
        )
    )
    assert said == [(RICH.title, 0.0, "The [lighthouse keeper] and his [lamps]")]
    assert hours == [("A channel", "2026", 1, 0.0, 6)]
    assert lines == [(RICH.key, 5.0, " and his lamps", "low_probability")]
    assert unsure == [(RICH.key, 5.0, " lamps")]
    assert [(error, items) for error, items, _ in why] == [("Private.", 1)]


# --- Invalid arguments ---------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["foo", "2026-13-45", "2026-02-30", "20260301", "2026-3-1", ""])
@pytest.mark.parametrize("end", ["since", "until"])
def test_an_invalid_date_is_refused(library, end, written):
    for ask in (library.items, library.page, lambda **days: library.search("hello", **days)):
        with pytest.raises(UserError, match="is not a date") as caught:
            ask(**{end: written})
        assert caught.value.hint == "Write it like 2026-03-01."


def test_an_unknown_url_gets_a_hint_about_sources(library):
    library.record("ytdlp", listing(), [item(1)])
    with pytest.raises(UserError) as caught:
        library.item(f"{CHANNEL}/videos")
    assert caught.value.hint.startswith(f"Did you mean {CHANNEL}?")
    assert "homescribe sources" in caught.value.hint
    with pytest.raises(UserError, match="no item youtube:id2") as caught:
        library.item("youtube:id2")
    assert caught.value.hint == "Did you mean youtube:id1?"


# --- Spellings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "query", "found"),
    [
        ("Зелёная ёлка стоит", "елка", "ёлка"),
        ("Зеленая елка стоит", "ёлка", "елка"),
        ("Wakacje w mieście Łódź", "lodz", "Łódź"),
        ("En rød grød", "rod", "rød"),
        ("Hai bà ở Đà Nẵng", "da nang", "Đà"),
        ("Die Straße ist lang", "strasse", "Straße"),
        ("Die Strasse ist lang", "straße", "Strasse"),
        ("Et blåbær faldt", "blabaer", "blåbær"),
        ("Καλημέρα σε όλους", "καλημερα", "Καλημέρα"),
        ("هذا كِتَابٌ جديد", "كتاب", "كِتَابٌ"),
        ("هذا كتاب جديد", "كِتَاب", "كتاب"),
        ("אמר שָׁלוֹם לכולם", "שלום", "שָׁלוֹם"),
        ("我買了電腦", "电脑", "電腦"),
        ("我买了电脑", "電腦", "电脑"),
        ("I sent an e-mail today", "email", "e-mail"),
        ("I sent an email today", "e-mail", "email"),
        ("I sent an e-mail today", "e-mail", "e-mail"),
        ("I sent an e-mail today", "mail", "mail"),
        ("I sent an e-mail today", "email today", "e-mail"),
        ("I sent an email today", '"an e-mail today"', "an email today"),
        (
            "The Donau\u00addampf\u00adschiff left",
            "donaudampfschiff",
            "Donau\u00addampf\u00adschiff",
        ),
    ],
)
def test_a_word_is_found_in_every_spelling_and_highlighted(library, said, query, found):
    for place, stored in (("speech", said), ("title", "a title")):
        library.save(item(1, title=said if place == "title" else "a title"), spoken(stored))
        [hit] = library.search(query)
        marked = [hit.text[begin:end] for begin, end in hit.highlights]
        assert found in marked, (place, marked)
        assert (hit.end > 0) == (place == "speech")


def test_letters_that_are_not_the_same_stay_apart(library):
    library.save(item(1), spoken("Мой йод"))
    assert library.search("иод") == []
    assert len(library.search("йод")) == 1


def test_a_word_with_a_hyphen_breaks_no_phrase(library):
    """Also not one across the border of two segments."""
    library.save(item(1), spoken("my e-mail from the old", "town hall and a well-known inn"))
    for phrase in ('"the old town hall"', '"my e-mail from"', '"my e mail from"', '"known inn"'):
        assert len(library.search(phrase)) == 1, phrase
    [hit] = library.search("wellknown email")
    assert [hit.text[a:b] for a, b in hit.highlights] == ["e-mail", "well-known"]
    [typed] = library.search("wellkno", as_typed=True)
    assert [typed.text[a:b] for a, b in typed.highlights] == ["well-known"]


def test_the_index_of_an_old_library_is_written_again(library):
    """As the versions before 8 wrote it: without folded letters and joined words."""
    library.save(item(1, title="Straße"), spoken("eine ёлка", "per e-mail", "nothing else"))
    library.save(item(2, title="other"), spoken("plain words"))
    stored = "SELECT * FROM passages ORDER BY passage_id"
    expected = rows(library, stored)
    library.close()
    with closing(sqlite3.connect(library.path, isolation_level=None)) as db:
        db.execute("UPDATE passages SET text = 'Straße' WHERE passage_id = -2")
        db.execute(
            "UPDATE passages SET text = 'eine ёлка per e-mail nothing else' WHERE passage_id > 0 "
            "AND first_segment = 0 AND text LIKE 'eine%'"
        )
        assert db.execute(stored).fetchall() != expected
        migrations.version_8(db)
    with Library(library.directory) as migrated:
        assert rows(migrated, stored) == expected
        assert migrated.check() == []
        assert len(migrated.search("email")) == len(migrated.search("strasse")) == 1
        migrated.save(item(2, title="ø"), spoken("after the migration"))
        assert len(migrated.search("after migration")) == 1
        assert migrated.search("plain") == []
        assert migrated.check() == []
