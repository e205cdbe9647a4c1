"""podcast.json: what podcast apps read, and what homescribe reads back from it and from vtt."""

import json
from dataclasses import replace

import pytest

from homescribe import plugins
from homescribe.captions import caption_files
from homescribe.core import Item, Segment, Speaker, Transcript
from homescribe.formats import writer

ITEM = Item("podcast", "1", "https://x.example/1", "One")
ANN = Speaker("SPEAKER_00", 6.0, name="Ann <3")
UNNAMED = Speaker("SPEAKER_01", 3.0)

SAID = Transcript(
    "faster-whisper",
    "small",
    "en",
    15.0,
    (
        Segment(
            0.5,
            5.25,
            " Welcome to the show, in which we talk about trains & ships.",
            speaker="SPEAKER_00",
        ),
        Segment(6.0, 9.0, " Thank you for having me.", speaker="SPEAKER_01"),
        Segment(9.5, 12.0, " A pleasure.", speaker="SPEAKER_00"),
    ),
    speakers=(ANN, UNNAMED),
)


def exported(name, transcript):
    return plugins.load("exporters", name)(ITEM, transcript)


def test_segments_are_cues_on_one_line_each():
    found = json.loads(exported("podcast.json", SAID))
    assert found["version"] == "1.0.0"
    assert [list(segment) for segment in found["segments"]] == [
        ["speaker", "startTime", "endTime", "body"]
    ] * len(found["segments"])
    assert " ".join(segment["body"] for segment in found["segments"]) == SAID.text
    assert [segment["speaker"] for segment in found["segments"]][-2:] == ["Speaker 2", "Ann <3"]
    times = [time for one in found["segments"] for time in (one["startTime"], one["endTime"])]
    assert times == sorted(times)
    assert times[0] == pytest.approx(0.5, abs=0.2)
    assert exported("podcast.json", SAID).isascii()


def test_without_speakers():
    alone = replace(
        SAID, speakers=(), segments=tuple(replace(one, speaker=None) for one in SAID.segments)
    )
    found = json.loads(exported("podcast.json", alone))
    assert all(list(one) == ["startTime", "endTime", "body"] for one in found["segments"])


def test_lines_of_scripts_without_spaces_are_joined_without():
    long = "灯台は岩の上にあるので船は遠くからでも見つけることができますそして夜になると光が海を照らします"
    said = replace(SAID, language="ja", segments=(Segment(0.0, 9.0, long),), speakers=())
    found = json.loads(exported("podcast.json", said))
    assert "".join(one["body"] for one in found["segments"]) == long


@pytest.mark.parametrize("name", ["podcast.json", "vtt"])
def test_what_is_exported_can_be_read_back(name):
    """As a podcast app does, and homescribe itself from the feed that names the file."""
    found = caption_files.read(exported(name, SAID).encode(), "manual", language="en")
    assert found.text == SAID.text
    assert [one.name for one in found.speakers] == ["Ann <3", None]
    assert found.segments[-1].start == pytest.approx(9.5, abs=0.3)


def test_no_file_without_speech():
    silent = replace(SAID, segments=(), speakers=())
    assert writer.nothing_to_write("podcast.json", silent)
    assert json.loads(exported("podcast.json", silent))["segments"] == []
