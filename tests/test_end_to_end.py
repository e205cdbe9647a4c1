"""The main job as a user runs it: a channel of 430 videos, 20 of them broken, on a failing machine."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from homescribe.library import Library

pytestmark = [pytest.mark.models, pytest.mark.slow]

# Number of the video: what is wrong with it. One of each kind of failure, and some twice.
BROKEN = {
    3: "private",
    17: "deleted",
    40: "terminated",
    58: "members",
    71: "age",
    99: "drm",
    120: "geo",
    133: "upcoming",
    150: "premiere",
    171: "live",
    190: "post_live",
    205: "live_offline",
    222: "bug",
    240: "503",
    261: "media-403",
    280: "media-short",
    300: "media-junk",
    333: "members",
    377: "private",
    400: "deleted",
}
KILLS = 5


class Person:
    """Runs homescribe in processes of its own, as at a terminal."""

    def __init__(self, library, faketube):
        self.library = library
        self.environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith("HOMESCRIBE_")
            },
            **faketube.environment,
            "HOMESCRIBE_LIBRARY": str(library),
            "HOMESCRIBE_CONFIG": str(library.parent / "none.toml"),
            "HOMESCRIBE_SLEEP_INTERVAL": "0",
            "HOMESCRIBE_MODEL": "demo",
        }

    def start(self, *arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "homescribe", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def run(self, *arguments):
        process = self.start(*arguments)
        out, err = process.communicate(timeout=400)
        return process.returncode, out, err

    def stored(self):
        with Library(self.library) as library:
            return {record.item.key for record in library.items(state="done")}


@pytest.fixture
def person(tmp_path, faketube):
    faketube.scenarios = {faketube.id(number): kind for number, kind in BROKEN.items()}
    faketube.save()
    return Person(tmp_path / "library", faketube)


@pytest.mark.timeout(900)
def test_a_channel_of_430_videos_on_a_machine_that_is_killed_five_times(person, faketube):
    code, _, err = person.run("add", faketube.CHANNEL)
    assert (code, "430 new items" in err) == (0, True), err

    for kill in range(1, KILLS + 1):
        process = person.start("run")
        while len(person.stored()) < kill * 60 and process.poll() is None:
            time.sleep(0.2)
        assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        stored, asked = person.stored(), len(faketube.requests)
        assert 60 * kill <= len(stored) < 410
        time.sleep(0.5)  # a downloading child that had outlived its parent would ask for more
        assert len(faketube.requests) - asked <= 1

    code, _, err = person.run("run", "-f", "srt", "-o", str(person.library / "srt"))
    assert code == 1, err
    asked_again = set(faketube.requests[asked:])
    assert not asked_again & {f"video {key.removeprefix('youtube:')}" for key in stored}

    with Library(person.library) as library:
        for number in range(1, 431):
            record = library.item(f"youtube:{faketube.id(number)}")
            if number in BROKEN:
                assert (record.state in ("failed", "pending"), bool(record.error)) == (
                    True,
                    True,
                ), record
                assert library.transcript(record.item.key) is None
                assert "\n" not in record.error
                assert "report this issue" not in record.error
            else:
                assert library.transcript(record.item.key).text == faketube.words(number)
                assert (record.item.channel, len(record.item.chapters)) == ("Fake Channel", 2)
        assert library.check() == []
    assert [path.name for path in (person.library / "downloads").iterdir()] == []
    # The transcripts that were stored before the last run are not written by it, the others whole.
    written = list((person.library / "srt").iterdir())
    assert len(written) == 410 - len(stored)
    assert all(path.read_text(encoding="utf-8").startswith("1\n00:00:0") for path in written)

    code, out, err = person.run("search", "--json", '"quick brown fox"', "--limit", "500")
    hits = json.loads(out)
    assert len(hits) == len([n for n in range(1, 431) if n % 2 == 0 and n not in BROKEN])
    assert all(hit["url"].startswith("https://www.youtube.com/watch?v=FAKE") for hit in hits)

    asked = len(faketube.requests)
    code, _, err = person.run("sync", "--limit", "1")
    assert len(faketube.requests) - asked <= 3  # two pages at most, and one failure tried again

    code, out, _ = person.run("status", "--json")
    figures = json.loads(out)["items"]
    assert figures["done"] == 410
    assert figures["failed"] + figures["pending"] == 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_soon_and_the_next_run_goes_on(number, person, faketube):
    faketube.videos = 12
    faketube.save()
    person.run("add", faketube.CHANNEL)
    process = person.start("run")
    while not person.stored() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopping" in err
    assert "Traceback" not in err
    before = person.stored()
    assert 1 <= len(before) < 11
    code, _, err = person.run("run")
    assert code == 1  # video 3 is private
    assert len(person.stored()) == 11


def test_a_bot_check_ends_with_a_word_and_marks_nothing_failed(person, faketube):
    faketube.videos = 6
    faketube.scenarios = {faketube.id(4): "bot"}
    faketube.save()
    code, _, err = person.run("transcribe", faketube.CHANNEL, "-o", str(person.library / "out"))
    assert code == 2
    assert "not a bot" in err
    assert "Traceback" not in err
    code, out, _ = person.run("list", "--json")
    assert {record["state"] for record in json.loads(out)} == {"done", "pending"}
    assert {record["error"] for record in json.loads(out)} == {None}

    faketube.scenarios = {}
    faketube.save()
    code, _, err = person.run("run")
    assert (code, len(person.stored())) == (0, 6), err


def test_the_run_lock_names_who_holds_it(person, faketube):
    faketube.videos = 8
    faketube.save()
    person.run("add", faketube.CHANNEL)
    process = person.start("run")
    while not person.stored() and process.poll() is None:
        time.sleep(0.1)
    code, _, err = person.run("run")
    assert (code, str(process.pid) in err) == (2, True), err
    assert person.run("list")[0] == 0  # reading goes on
    process.communicate(timeout=60)


def test_a_podcast_a_folder_and_a_video_side_by_side(person, faketube, server, tmp_path, clips):
    talks = tmp_path / "talks"
    talks.mkdir()
    (talks / "welcome.m4a").write_bytes((clips / "ep1.m4a").read_bytes())
    output = tmp_path / "out"
    code, _, err = person.run(
        *("transcribe", server.url("/feed.xml?n=3"), str(talks), faketube.watch(2)),
        *("-f", "md,json", "-o", str(output)),
    )
    assert code == 0, err
    assert len(list(output.glob("*.md"))) == 5
    texts = [json.loads(path.read_text(encoding="utf-8"))["text"] for path in output.glob("*.json")]
    assert {text.strip() for text in texts} == {faketube.words(1), faketube.words(2)}
    assert Path(talks / "welcome.m4a").exists()
