"""A channel with captions: searchable before the first download, and upgraded by runs that are killed.

The environment variable HOMESCRIBE_CAPTIONED is the number of videos; `make captions` takes 430.
"""

import os
import signal
import time
from collections import Counter
from urllib.parse import parse_qs, urlsplit

import pytest

from command_line import CommandLine
from homescribe.library import Library
from speech_samples import assert_words

VIDEOS = int(os.environ.get("HOMESCRIBE_CAPTIONED", "9"))
MANUAL = 3  # the first videos, whose captions are kept
WITHOUT = (4,)  # videos without captions

pytestmark = [
    pytest.mark.models,
    pytest.mark.slow,
    pytest.mark.timeout(300 + 10 * VIDEOS),
    pytest.mark.skipif(os.name == "nt", reason="kills with SIGKILL"),
]


@pytest.fixture
def user(tmp_path, faketube):
    faketube.videos = VIDEOS
    faketube.captions = {"*": "auto:en"}
    faketube.captions |= {faketube.id(number): "manual:en" for number in range(1, MANUAL + 1)}
    faketube.captions |= {faketube.id(number): "" for number in WITHOUT}
    faketube.save()
    return CommandLine(tmp_path, faketube.environment, model="demo", sleep_interval=0)


def transcribed(user):
    """By key: when each transcript of an engine was stored."""
    with Library(user.library) as library:
        return {
            record.item.key: record.done_at
            for record in library.items()
            if record.has_transcript and not record.captions
        }


def figures(user):
    with Library(user.library) as library:
        return library.caption_figures()


def kill_when(user, condition):
    """Start a run and kill it as soon as the condition holds."""
    process = user.start("run")
    while not condition() and process.poll() is None:
        time.sleep(0.05)
    assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGKILL)
    process.communicate()


def captions_requested(server):
    """The ids of the videos whose captions were requested, in order."""
    return [
        parse_qs(urlsplit(path).query)["v"][0]
        for _, path, *_ in server.log
        if path.startswith("/captions?")
    ]


def test_a_channel_is_searchable_at_once_and_upgraded_by_runs_that_are_killed(
    user, faketube, server
):
    code, _, err = user.run("add", faketube.CHANNEL)
    assert (code, f"{VIDEOS} new items" in err) == (0, True), err
    captioned = VIDEOS - len(WITHOUT)
    to_transcribe = VIDEOS - MANUAL

    kill_when(user, lambda: len(transcribed(user)) >= to_transcribe // 3)
    first = transcribed(user)
    found = figures(user)
    assert found.searchable == captioned + len(set(first) & {f"youtube:{faketube.id(4)}"})
    assert found.manual == MANUAL
    # All captions were there before the first recording was downloaded.
    paths = [path for _, path, *_ in server.log]
    last_captions = max(n for n, path in enumerate(paths) if path.startswith("/captions?"))
    first_media = min(n for n, path in enumerate(paths) if path.startswith("/media/"))
    assert last_captions < first_media
    assert len(captions_requested(server)) == captioned

    kill_when(user, lambda: len(transcribed(user)) >= 2 * to_transcribe // 3)
    second = transcribed(user)
    code, _, err = user.run("run")
    if "died twice" in err:  # both kills hit the same recording
        with Library(user.library) as library:
            set_aside = [record.item.key for record in library.items(state="failed")]
        assert len(set_aside) == 1
        user.run("retry", *set_aside)
        code, _, err = user.run("run")
    assert code == 0, err

    third = transcribed(user)
    assert len(third) == to_transcribe
    # Nothing is transcribed twice, and no captions are requested twice.
    assert first.items() <= second.items() <= third.items()
    assert set(Counter(captions_requested(server)).values()) == {1}
    with Library(user.library) as library:
        for number in range(1, VIDEOS + 1):
            record = library.item(f"youtube:{faketube.id(number)}")
            transcript = library.transcript(record.item.key)
            assert record.state == "done"
            assert transcript.is_captions == (number <= MANUAL)
            assert_words(faketube.words(number), transcript.text)
        assert library.check() == []

    # Another policy transcribes the rest.
    code, _, err = user.run("run", "--captions", "upgrade")
    assert code == 0, err
    assert len(transcribed(user)) == VIDEOS
    assert set(Counter(captions_requested(server)).values()) == {1}
    # A kill after the last transcript leaves its audio to the next run that downloads.
    assert not list((user.library / "downloads").iterdir())


def test_a_run_that_is_killed_while_it_requests_captions_repeats_one_request_at_most(
    user, faketube, server
):
    user.run("add", faketube.CHANNEL)
    kill_when(user, lambda: figures(user).searchable >= VIDEOS // 2)
    code, _, err = user.run("captions")
    assert code == 0, err
    assert figures(user).searchable == VIDEOS - len(WITHOUT)
    assert transcribed(user) == {}
    requested = Counter(captions_requested(server))
    assert len(requested) == VIDEOS - len(WITHOUT)
    assert sum(requested.values()) - len(requested) <= 1


def test_a_site_that_refuses_captions_gets_its_recordings_transcribed(user, faketube, server):
    faketube.scenarios = {faketube.id(VIDEOS - 1): "captions-429"}  # the second one that is listed
    faketube.save()
    user.run("add", faketube.CHANNEL)
    code, _, err = user.run("run", timeout=300)
    assert code == 0, err
    assert "No more requests for youtube captions in this run" in err
    assert len(user.done()) == VIDEOS
    assert len(captions_requested(server)) <= 3  # the refused one may be repeated
