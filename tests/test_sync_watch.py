"""`sync --watch`: files are transcribed when they are complete, and disks come and go."""

import os
import shutil
import signal
import threading
import time

import pytest

from command_line import CommandLine
from homescribe import demo
from homescribe.cli import sync_loop
from homescribe.cli.sync_loop import Sync, Watcher
from homescribe.config import Config
from homescribe.core import FileState, SourceOptions
from homescribe.errors import Cancelled, PermanentError, UserError
from homescribe.exit_codes import ExitCode
from homescribe.library import Library
from homescribe.pipeline import add, folder_changes
from homescribe.pipeline.add import Sources
from homescribe.pipeline.folder_changes import QUIET, SETTLED, FolderChanges
from homescribe.sources.local_files import FileSource
from homescribe.sources.podcast import PodcastSource
from homescribe.text.durations import in_seconds

STOP = threading.Event()  # never set
OLD = 0.0  # a time of change that a copying program has set
SAMPLE = demo.samples() / "fox-20s.mp3"


# --- Changes -----------------------------------------------------------------------------------------


def look(changes, now, **files):
    """Look at files, name: bytes, or name: (bytes, time of change)."""
    states = {
        name: FileState(*(state if isinstance(state, tuple) else (state, OLD)))
        for name, state in files.items()
    }
    changes.look(states, now)
    return changes.due(now, 1e9 + now)


def test_a_file_is_due_when_it_grows_no_more():
    changes = FolderChanges()
    assert [look(changes, 5.0 * n, a=min(n, 4)) for n in range(8)] == [*[False] * 6, True, True]
    changes.listed(35.0, 1e9)
    assert not look(changes, 100.0, a=4)


def test_a_file_that_was_written_lately_is_left_to_its_own_time():
    """Until then, a listing leaves it out."""
    changes = FolderChanges()
    written = 1e9 - 1.0
    assert not look(changes, 0.0, a=(1, written))
    assert not look(changes, QUIET, a=(1, written))
    assert look(changes, SETTLED - 1.0, a=(1, written))


def test_a_recording_in_progress_does_not_hold_others_back():
    changes = FolderChanges()
    dues = [look(changes, 5.0 * n, growing=n, complete=7) for n in range(4)]
    assert dues == [False, False, True, True]
    changes.listed(15.0, 1e9)
    assert not look(changes, 20.0, growing=4, complete=7)
    assert [look(changes, t, growing=4, complete=7) for t in (25.0, 30.0, 35.0)] == [
        False,
        True,
        True,
    ]


def test_a_renamed_and_a_removed_file_are_due():
    changes = FolderChanges()
    changes.start({"a": FileState(1, OLD), "b": FileState(2, OLD)}, 0.0, 1e9)
    assert not look(changes, 1.0, a=1, b=2)
    assert not look(changes, 2.0, c=1, b=2)
    assert look(changes, 2.0 + QUIET, c=1, b=2)
    changes.listed(2.0 + QUIET, 1e9)
    assert not look(changes, 3.0 + QUIET, c=1, b=2)
    assert not look(changes, 40.0, c=1)
    assert look(changes, 40.0 + QUIET, c=1)


def test_what_the_first_listing_finds_is_not_due_again_but_what_it_left_out():
    changes = FolderChanges()
    files = {"old": FileState(1, OLD), "new": FileState(1, 1e9 - 5.0)}
    changes.start(files, 0.0, 1e9)
    assert not changes.due(1.0, 1e9 + 1.0)
    changes.look(files, 26.0)
    assert changes.due(26.0, 1e9 + 26.0)
    changes.listed(26.0, 1e9 + 26.0)
    assert not changes.due(60.0, 1e9 + 60.0)


# --- What a source tells ----------------------------------------------------------------------------


def test_files_of_folders_and_patterns_and_none_elsewhere(tmp_path):
    (tmp_path / "deep").mkdir()
    for name in ("a.mp3", "deep/b.WAV", "notes.txt", ".hidden.mp3"):
        (tmp_path / name).write_bytes(b"x" * len(name))
    os.utime(tmp_path / "a.mp3", (5, 5))
    found = FileSource.files_at(str(tmp_path), STOP)
    assert found[str(tmp_path / "a.mp3")] == FileState(5, 5.0)
    assert set(found) == {str(tmp_path / "a.mp3"), str(tmp_path / "deep" / "b.WAV")}
    assert set(FileSource.files_at(f"{tmp_path}/*.mp3", STOP)) == {str(tmp_path / "a.mp3")}
    assert PodcastSource.files_at("https://x.example/feed.xml", STOP) is None
    with pytest.raises(UserError, match="There is no file or folder"):
        FileSource.files_at(str(tmp_path / "gone"), STOP)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is empty"):
        FileSource.files_at(str(tmp_path / "empty"), STOP)


@pytest.mark.parametrize(
    ("text", "seconds"), [("6h", 21600), ("30 min", 1800), ("1d", 86400), ("1.5h", 5400)]
)
def test_durations(text, seconds):
    assert in_seconds(text, 300) == seconds


@pytest.mark.parametrize("text", ["", "6", "h", "-1h", "1m", "9999d", "1 week"])
def test_what_is_no_duration(text):
    with pytest.raises(UserError):
        in_seconds(text, 300)


# --- The loop ----------------------------------------------------------------------------------------


class Watched:
    """A watcher in a thread, whose runs mark what is pending as done, and note it."""

    def __init__(self, library_folder, folder):
        self.library_folder, self.folder = library_folder, folder
        self.config = Config(library=library_folder, model="demo")
        self.stop = threading.Event()
        self.runs = []
        self.ended = []

    def transcribe(self, sync, library, sources, stop, keys=None):
        pending = library.pending(keys=keys)
        self.runs.append(sorted(item.title for item in pending))
        for item in pending:
            library.fail(item, PermanentError("Done."))
        return ExitCode.OK

    def start(self, every=3600.0):
        def watch():
            with Library(self.library_folder) as library:
                sync = Sync(self.config, False, None, None, ())
                try:
                    Watcher(sync, library, self.stop, every, 0.01).watch()
                except BaseException as error:  # noqa: BLE001 - noted
                    self.ended.append(error)

        self.thread = threading.Thread(target=watch)
        self.thread.start()

    def wait_for(self, condition, seconds=20):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (self.runs, self.ended)
            assert self.thread.is_alive(), self.ended
            time.sleep(0.01)

    def write(self, name, seconds=20):
        path = self.folder / name
        shutil.copy(SAMPLE, path)
        with path.open("ab") as file:
            file.write(name.encode())  # another content
        os.utime(path, (OLD, OLD))
        return path


@pytest.fixture
def watched(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_changes, "QUIET", 0.2)
    monkeypatch.setattr(FolderChanges, "__init__", _quick(FolderChanges.__init__))
    found = Watched(tmp_path / "library", tmp_path / "talks")
    monkeypatch.setattr(
        Sync,
        "transcribe_pending",
        lambda self, *args, **options: found.transcribe(self, *args, **options),
    )
    found.folder.mkdir()
    found.write("first.mp3")
    with Library(found.library_folder) as library:
        list(add(library, Sources(SourceOptions(cache=tmp_path)), str(found.folder), STOP))
    yield found
    found.stop.set()
    found.thread.join(20)
    assert not found.thread.is_alive()
    assert [type(each) for each in found.ended] == [Cancelled]


def _quick(init):
    return lambda self, quiet=0.2, settled=0.0: init(self, quiet, settled)


def test_new_files_are_transcribed_and_nothing_twice(watched):
    watched.start()
    watched.wait_for(lambda: watched.runs == [["first"]])
    watched.write("second.mp3")
    watched.wait_for(lambda: ["second"] in watched.runs)
    for number in range(30):
        watched.write(f"many {number}.mp3")
    watched.wait_for(lambda: sum(map(len, watched.runs)) == 32)
    time.sleep(0.5)
    assert sum(map(len, watched.runs)) == 32


def test_a_file_that_grows_is_transcribed_when_it_is_complete(watched):
    watched.start()
    watched.wait_for(lambda: watched.runs == [["first"]])
    path = watched.write("growing.mp3")
    for _ in range(10):
        with path.open("ab") as file:
            file.write(bytes(1000))
        os.utime(path, (OLD, OLD))
        time.sleep(0.05)
        assert watched.runs == [["first"]]
    watched.wait_for(lambda: watched.runs == [["first"], ["growing"]])


def test_a_disk_that_is_disconnected_is_waited_for(watched, capsys):
    watched.start()
    watched.wait_for(lambda: watched.runs == [["first"]])
    away = watched.folder.with_name("away")
    watched.folder.rename(away)
    time.sleep(0.3)
    watched.folder.mkdir()  # where it was mounted
    time.sleep(0.3)
    watched.folder.rmdir()
    away.rename(watched.folder)
    watched.write("second.mp3")
    watched.wait_for(lambda: watched.runs == [["first"], ["second"]])
    err = capsys.readouterr().err
    assert err.count("Looking again until it is there.") == 1
    assert err.count("talks is there again.") == 1


def test_a_file_that_is_moved_away_when_it_is_done(watched):
    watched.start()
    watched.wait_for(lambda: watched.runs == [["first"]])
    (watched.folder / "notes.txt").write_text("x")
    (watched.folder / "first.mp3").unlink()
    time.sleep(0.5)
    watched.write("second.mp3")
    watched.wait_for(lambda: watched.runs == [["first"], ["second"]])


def test_an_error_of_a_run_is_printed_and_new_files_are_tried(watched, capsys):
    works = watched.transcribe
    watched.transcribe = lambda *_, **__: _raise(UserError("The disk is full.", "Free some space."))
    watched.start()
    watched.wait_for(lambda: watched.ended or "disk is full" in capsys.readouterr().err)
    watched.transcribe = works
    watched.write("second.mp3")
    watched.wait_for(lambda: watched.runs[:1] == [["second"]])


def _raise(error):
    raise error


def test_all_sources_are_listed_on_schedule(watched, monkeypatch):
    listed = []
    plain = Sync.list_sources
    monkeypatch.setattr(
        Sync,
        "list_sources",
        lambda self, *a, only=None, **o: listed.append(only) or plain(self, *a, only=only, **o),
    )
    watched.start(every=0.3)
    watched.wait_for(lambda: len(listed) >= 3)
    assert all(only == {str(watched.folder)} for only in listed)


def test_a_run_has_few_items_so_that_new_files_need_not_wait(watched, monkeypatch):
    monkeypatch.setattr(sync_loop, "LOCAL_ITEMS", 2)
    for number in range(4):
        watched.write(f"talk {number}.mp3")
    watched.start()
    watched.wait_for(lambda: sum(map(len, watched.runs)) == 5)
    assert [len(run) for run in watched.runs] == [2, 2, 1]


# --- The command -------------------------------------------------------------------------------------


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_watches_until_it_is_stopped(tmp_path, number):
    folder = tmp_path / "talks"
    folder.mkdir()
    shutil.copy(SAMPLE, folder / "a.mp3")
    os.utime(folder / "a.mp3", (OLD, OLD))
    command = CommandLine(tmp_path, model="demo")
    assert command.run("add", folder)[0] == 0
    out = tmp_path / "texts"
    with command.start("sync", "--watch", "--poll", "1", "-f", "txt", "-o", out) as process:
        try:
            end = time.monotonic() + 120
            while not list(out.glob("*/*.txt")) and not list(out.glob("*.txt")):
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.1)
            time.sleep(0.5)
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == ExitCode.INTERRUPTED
    assert "Watching 1 source; all are listed every 6.0 h" in err
    assert "1 item transcribed" in err
    assert "Nothing is lost" in err


def test_options_that_need_watch_say_so(tmp_path):
    run = CommandLine(tmp_path).run
    assert "need --watch" in run("sync", "--every", "6h")[2]
    assert "not a duration" in run("sync", "--watch", "--every", "often")[2]
