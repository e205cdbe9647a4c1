"""A run is killed at random moments, again and again, and the next one continues with the same library.

At the end every recording is transcribed, and none of them more than once, but for those that were being
transcribed when the process was killed. The environment variable HOMESCRIBE_KILLS is the number of kills,
HOMESCRIBE_KILLS_SEED the seed of their moments: `make kills` kills 200 times with each kind of engine.
"""

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from threading import Event

import pytest

from fake_plugins import FakeBackend, transcript
from homescribe.core import Call, SourceOptions
from homescribe.library import Library
from homescribe.pipeline import Run, Sources, add, sync

KILLS = int(os.environ.get("HOMESCRIBE_KILLS", "8"))
SEED = int(os.environ.get("HOMESCRIBE_KILLS_SEED", "1"))
TRANSCRIPTION = 0.05  # seconds
# Every fifth run is not killed. The others are, within the seconds that the latest of these took.
COMPLETE = 5
MOST_RUNS = 4 * KILLS + COMPLETE  # some end earlier than that, since they have less to do

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(120 + 10 * KILLS),
    pytest.mark.skipif(os.name == "nt", reason="forks"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


class Recordings:
    """A folder and a podcast, which get a recording each before a run. The title is also in the content."""

    def __init__(self, folder, server):
        self.folder, self.server = folder, server
        self.folder.mkdir()
        self.count = 0
        server.routes["/kills/feed.xml"] = self._feed
        self.publish()

    @property
    def addresses(self):
        return [str(self.folder), self.server.url("/kills/feed.xml")]

    @property
    def titles(self):
        return [f"{kind}-{n}" for kind in ("file", "episode") for n in range(self.count)]

    def publish(self):
        n = self.count
        (self.folder / f"file-{n}.mp3").write_bytes(content(f"file-{n}"))
        body = content(f"episode-{n}")
        self.server.routes[f"/kills/{n}.mp3"] = lambda *_: (
            200,
            body,
            {"Content-Type": "audio/mpeg"},
        )
        self.count += 1

    def _feed(self, *_):
        episodes = "".join(
            f"<item><title>episode-{n}</title><guid>{n}</guid>"
            f'<enclosure url="{self.server.base}/kills/{n}.mp3" type="audio/mpeg"/></item>'
            for n in reversed(range(self.count))
        )
        channel = f"<channel><title>A podcast</title>{episodes}</channel>"
        return 200, f'<rss version="2.0">{channel}</rss>', {"Content-Type": "application/rss+xml"}


def content(title):
    return f"{title}|".encode() + b"words " * 6000


class Log:
    """What happened, a line each, in a file that survives the processes that write to it."""

    def __init__(self, path):
        self.path = path
        path.touch()

    def write(self, *words):
        number = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        os.write(number, (" ".join(words) + "\n").encode())
        os.close(number)

    def lines(self):
        return [line.split() for line in self.path.read_text().splitlines()]


class LoggedBackend(FakeBackend):
    """Logs the work on each recording. With `ids`, its calls survive the process, as those at Modal."""

    def __init__(self, log, *, ids):
        super().__init__(self._transcribe, slots=2, ids=ids)
        self.log = log

    def submit(self, audio, options, stop):
        if not self.ids:
            return super().submit(audio, options, stop)
        title = audio.path.read_bytes().partition(b"|")[0].decode()
        self.log.write("begin", title)
        return Call(audio.item, self.name, time.time(), f"call-{title}")

    def _transcribe(self, work):
        if self.ids:
            time.sleep(TRANSCRIPTION)
            return transcript(work.id.removeprefix("call-"))
        title = work.path.read_bytes().partition(b"|")[0].decode()
        self.log.write("begin", title)
        time.sleep(TRANSCRIPTION)
        return transcript(title)


def sync_and_run(directory, log, ids):
    with (
        Library(directory) as library,
        Sources(SourceOptions(cache=directory / "cache")) as sources,
    ):
        for result in sync(library, sources, Event()):
            assert result.error is None, result.error.message
        for _ in Run(library, sources, LoggedBackend(log, ids=ids), sleep_interval=0):
            pass


def is_killed(seconds, *arguments):
    """Start a run in a process of its own, and kill it after `seconds`; return False if it had ended."""
    process = multiprocessing.get_context("fork").Process(target=sync_and_run, args=arguments)
    process.start()
    process.join(seconds)
    process.kill()
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def note_what_is_stored(directory, log, done):
    """Log what the library has after a kill: transcripts, of which none may be lost, and calls."""
    with Library(directory) as library:
        assert library.check() == []
        found = {record.item.title for record in library.items(state="done")}
        assert done - found == set()
        for title in found - done:
            log.write("stored", title)
        for call in library.calls("fake"):
            log.write("stored", call.item.title)
        return found


def begun_too_often(lines):
    """Return the recordings that were begun again without a kill in between, or after they were stored."""
    kills, begun, stored, problems = 0, {}, set(), []
    for what, *title in lines:
        if what == "kill":
            kills += 1
        elif what == "stored":
            stored.update(title)
        elif title[0] in stored or begun.get(title[0]) == kills:
            problems.extend(title)
        else:
            begun[title[0]] = kills
    return problems


@pytest.mark.parametrize("ids", [False, True], ids=["engine", "calls"])
def test_a_library_whose_runs_are_killed_loses_nothing(tmp_path, server, ids):
    directory, log = tmp_path / "library", Log(tmp_path / "log")
    recordings, rng = Recordings(tmp_path / "folder", server), random.Random(SEED)
    with (
        Library(directory) as library,
        Sources(SourceOptions(cache=directory / "cache")) as sources,
    ):
        for address in recordings.addresses:
            list(add(library, sources, address, Event()))
    kills, done, longest = 0, set(), 0.0
    for number in range(MOST_RUNS):
        if kills == KILLS:
            break
        recordings.publish()
        if number % COMPLETE == 0:
            began = time.monotonic()
            assert not is_killed(60, directory, log, ids)
            longest = time.monotonic() - began
        elif is_killed(rng.uniform(0.0, longest), directory, log, ids):
            kills += 1
            log.write("kill")
        done = note_what_is_stored(directory, log, done)
        if number % 10 == 9:  # what was being transcribed at two kills waits for this
            with Library(directory) as library:
                library.retry(permanent=True)
    assert kills == KILLS
    for _ in range(3):
        sync_and_run(directory, log, ids)
        with Library(directory) as library:
            library.retry(permanent=True)
    with Library(directory) as library:
        records = list(library.items())
        assert Counter(one.item.title for one in records) == Counter(recordings.titles)
        assert {one.item.title: one.error for one in records if one.state != "done"} == {}
        for one in records:
            [segment] = library.transcript(one.item.key).segments
            assert segment.text.strip() == one.item.title
        assert library.check() == []
        assert library.calls("fake") == []
    lines = log.lines()
    assert begun_too_often(lines) == [], f"seed {SEED}"
    begun = Counter(line[1] for line in lines if line[0] == "begin")
    assert set(begun) == set(recordings.titles)
    again = sum(begun.values()) - len(begun)
    report = f"{kills} kills, {len(records)} recordings, {again} of them begun again"
    print(report)  # noqa: T201 - shown with -s
    assert not list((directory / "logs").glob("*"))
    assert not list((directory / "downloads").glob("*"))


def test_work_that_is_done_again_would_be_found():
    lines = [["begin", "a"], ["kill"], ["begin", "a"], ["begin", "b"], ["stored", "b"], ["kill"]]
    assert begun_too_often(lines) == []
    assert begun_too_often([*lines, ["begin", "b"]]) == ["b"]
    assert begun_too_often([*lines, ["begin", "c"], ["begin", "c"]]) == ["c"]
