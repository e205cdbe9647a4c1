"""Whole runs in processes of their own, against a fake YouTube."""

import json
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from command_line import CommandLine
from homescribe.library import Library
from speech_samples import assert_words, words_wrong

pytestmark = [pytest.mark.models, pytest.mark.slow]

# Kinds of failure by number of the video: each kind at least once.
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


@pytest.fixture
def user(tmp_path, faketube):
    faketube.scenarios = {faketube.id(number): kind for number, kind in BROKEN.items()}
    faketube.save()
    # Captions have tests of their own: here, requests are counted.
    return CommandLine(
        tmp_path, faketube.environment, model="demo", sleep_interval=0, captions="ignore"
    )


@pytest.mark.timeout(900)
def test_a_channel_of_430_videos_with_failures_and_a_run_that_is_killed_five_times(user, faketube):
    code, _, err = user.run("add", faketube.CHANNEL)
    assert (code, "430 new items" in err) == (0, True), err

    for kill in range(1, KILLS + 1):
        process = user.start("run")
        while len(user.done()) < kill * 60 and process.poll() is None:
            time.sleep(0.2)
        assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        stored, requests = user.done(), len(faketube.requests)
        assert 60 * kill <= len(stored) < 410
        time.sleep(0.5)  # a child process that outlived its parent would send more
        assert len(faketube.requests) - requests <= 1

    code, _, err = user.run("run", "-f", "srt", "-o", str(user.library / "srt"))
    assert code == 1, err
    requested_again = set(faketube.requests[requests:])
    assert not requested_again & {f"video {key.removeprefix('youtube:')}" for key in stored}

    with Library(user.library) as library:
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
                assert_words(faketube.words(number), library.transcript(record.item.key).text)
                assert (record.item.channel, len(record.item.chapters)) == ("Fake Channel", 2)
        texts = [library.transcript(record.item.key).text for record in library.items(state="done")]
        foxes = [text for text in texts if "quick brown fox" in text]
        assert library.check() == []
    assert [path.name for path in (user.library / "downloads").iterdir()] == []
    # The last run writes only the transcripts that were not stored before it.
    written = list((user.library / "srt").iterdir())
    assert len(written) == 410 - len(stored)
    assert all(path.read_text(encoding="utf-8").startswith("1\n00:00:0") for path in written)

    code, out, err = user.run("search", "--json", '"quick brown fox"', "--limit", "500")
    hits = json.loads(out)
    assert len(hits) == len(foxes) > 0
    assert all(hit["url"].startswith("https://www.youtube.com/watch?v=FAKE") for hit in hits)

    requests = len(faketube.requests)
    code, _, err = user.run("sync", "--limit", "1")
    assert len(faketube.requests) - requests <= 3  # at most two pages and one retry

    code, out, _ = user.run("status", "--json")
    figures = json.loads(out)["items"]
    assert figures["done"] == 410
    assert figures["failed"] + figures["pending"] == 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_and_the_next_run_continues(number, user, faketube):
    faketube.videos = 12
    faketube.save()
    user.run("add", faketube.CHANNEL)
    process = user.start("run", sleep_interval=1)
    while not user.done() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Stopping" in err
    assert "Traceback" not in err
    before = user.done()
    assert 1 <= len(before) < 11
    with Library(user.library) as library:
        failed_before = library.item(faketube.id(3)).error is not None  # downloads run ahead
    code, _, err = user.run("run")
    assert code == (0 if failed_before else 1), err  # video 3 is private, and is tried once
    assert len(user.done()) == 11
    with Library(user.library) as library:
        assert (library.item(faketube.id(3)).permanent, library.item(faketube.id(3)).attempts) == (
            True,
            1,
        )


def test_a_bot_check_is_an_error_and_marks_nothing_failed(user, faketube):
    faketube.videos = 6
    faketube.scenarios = {faketube.id(4): "bot"}
    faketube.save()
    code, _, err = user.run("transcribe", faketube.CHANNEL, "-o", str(user.library / "out"))
    assert code == 2
    assert "not a bot" in err
    assert "Traceback" not in err
    code, out, _ = user.run("list", "--json")
    assert {record["state"] for record in json.loads(out)} == {"done", "pending"}
    assert {record["error"] for record in json.loads(out)} == {None}

    faketube.scenarios = {}
    faketube.save()
    code, _, err = user.run("run")
    assert (code, len(user.done())) == (0, 6), err


def test_a_second_run_names_the_process_of_the_first(user, faketube):
    faketube.videos = 2
    faketube.save()
    user.run("add", faketube.CHANNEL)
    process = user.start("run", sleep_interval=600)  # holds the lock after the first video
    while not user.done() and process.poll() is None:
        time.sleep(0.1)
    code, _, err = user.run("run")
    assert (code, str(process.pid) in err) == (5, True), err
    assert user.run("sync") == (5, "", "")
    assert user.run("list")[0] == 0  # reading works
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=240)


def test_a_podcast_a_folder_and_a_video_side_by_side(user, faketube, server, tmp_path, clips):
    talks = tmp_path / "talks"
    talks.mkdir()
    (talks / "welcome.m4a").write_bytes((clips / "ep1.m4a").read_bytes())
    os.utime(talks / "welcome.m4a", (2e9, 1.7e9))  # of a file that has just changed it is not sure
    output = tmp_path / "out"
    code, _, err = user.run(
        *("transcribe", server.url("/feed.xml?n=3"), str(talks), faketube.watch(2)),
        *("-f", "md,json", "-o", str(output)),
    )
    assert code == 0, err
    assert len(list(output.glob("*.md"))) == 5
    texts = [json.loads(path.read_text(encoding="utf-8"))["text"] for path in output.glob("*.json")]
    expected = [faketube.words(1), faketube.words(2)]
    closest = [min(expected, key=partial(words_wrong, text)) for text in texts]
    assert set(closest) == set(expected)
    for text, words in zip(texts, closest, strict=True):
        assert_words(words, text)
    assert Path(talks / "welcome.m4a").exists()
