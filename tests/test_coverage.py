"""What a reader sees of a transcript beside its words: languages, stretches without text, warnings."""

import json
from dataclasses import replace

import pytest

from homescribe.core import Chapter, Segment, Skipped
from homescribe.formats.coverage import (
    hole_in_words,
    holes,
    languages_in_words,
    skipped_in_words,
    with_holes,
)
from homescribe.formats.markdown import to_md
from homescribe.formats.paragraphs import sections
from homescribe.formats.whisper import to_json
from transcripts import ITEM, transcript

TALK = replace(
    transcript(
        Segment(0, 62, " Good evening.", language="en"),
        Segment(100, 119, " Guten Abend.", language="de"),
        Segment(119, 138, " Und willkommen.", language="de"),
        duration=150.0,
    ),
    skipped=(
        Skipped(62, 70, "no_speech"),
        Skipped(70, 80, "no_text"),
        Skipped(80.5, 100, "no_speech"),
        Skipped(138, 150, "no_speech"),
    ),
    warnings=("Audio track 2 of 2 was used: track 1 is silent.",),
)


def test_stretches_without_a_segment_between_them_are_one_hole():
    assert holes(TALK) == [(1, Skipped(62, 100, "no_text")), (3, Skipped(138, 150, "no_speech"))]
    assert hole_in_words(Skipped(72, 100, "no_speech")) == "no speech, 1:12 to 1:40"


@pytest.mark.parametrize(("seconds", "number"), [(5.0, 0), (5.1, 1)])
def test_only_holes_of_more_than_five_seconds_are_shown(seconds, number):
    talk = replace(TALK, skipped=(Skipped(62, 62 + seconds, "no_speech"),))
    assert len(holes(talk)) == number


def test_holes_stand_where_they_are():
    kinds = [type(part).__name__ for part in with_holes(TALK)]
    assert kinds == ["Segment", "Skipped", "Segment", "Segment", "Skipped"]
    assert list(with_holes(replace(TALK, segments=()))) == []


def test_skipped_seconds_and_the_longest_stretches():
    assert skipped_in_words(TALK) == "50 s: 1:02 to 1:40, 2:18 to 2:30"
    assert skipped_in_words(replace(TALK, skipped=())) == ""
    short = tuple(Skipped(n, n + 0.5, "no_speech") for n in (1, 30))
    assert skipped_in_words(replace(TALK, skipped=short)) == "1 s, in short stretches"
    # A recording with hundreds of pauses has a list of a few, in order of time.
    segments = tuple(Segment(100.0 * n, 100.0 * n + 90, "a") for n in range(500))
    pauses = tuple(
        Skipped(100.0 * n + 90, 100.0 * n + 90 + (10 if n % 100 == 7 else 6), "no_speech")
        for n in range(500)
    )
    shown = skipped_in_words(replace(TALK, segments=segments, skipped=pauses))
    assert shown.startswith("3,020 s: 1:30 to 1:36, ")
    assert "13:10 to 13:20" in shown
    assert shown.count(" to ") == 8
    assert shown.endswith(" and shorter ones")


def test_languages_have_their_share_where_there_are_several():
    assert languages_in_words(TALK) == "en 62 %, de 38 %"
    assert languages_in_words(replace(TALK, segments=TALK.segments[:1])) == "en"
    # One odd word in an hour is not a second language.
    odd = (Segment(0, 3600, "a"), Segment(3600, 3601, "b", language="cy"))
    assert languages_in_words(replace(TALK, segments=odd)) == "en"


def test_paragraphs_have_one_language_and_end_at_a_hole():
    segments = (*TALK.segments, Segment(138, 140, " And again.", language="en"))
    [section] = sections(replace(TALK, segments=segments), ())
    assert [getattr(part, "language", "hole") for part in section.parts] == [
        *("en", "hole", "de", "en"),
        "hole",
    ]
    # A segment without a language has that of the transcript.
    same = (Segment(0, 1, "a"), Segment(1, 2, "b", language="en"))
    [section] = sections(replace(TALK, segments=same, skipped=()), ())
    assert len(section.paragraphs) == 1


def test_a_hole_belongs_to_the_chapter_of_its_middle():
    found = list(sections(TALK, (Chapter(0, 65, "first"), Chapter(65, 150, "second"))))
    assert [len(section.parts) - len(section.paragraphs) for section in found] == [0, 2]


def test_json_has_what_was_skipped_languages_and_warnings():
    result = json.loads(to_json(ITEM, TALK))
    assert [segment.get("language") for segment in result["segments"]] == [None, "de", "de"]
    facts = result["homescribe"]
    assert facts["speech"] is True
    assert facts["languages"] == {"en": 62.0, "de": 38.0}
    assert facts["skipped_seconds"] == 49.5
    assert facts["skipped"][1] == {"start": 70, "end": 80, "reason": "no_text"}
    assert facts["warnings"] == ["Audio track 2 of 2 was used: track 1 is silent."]
    silent = json.loads(to_json(ITEM, replace(TALK, segments=())))["homescribe"]
    assert (silent["speech"], silent["languages"]) == (False, {})


def test_markdown_has_what_was_skipped_languages_and_warnings():
    page = to_md(ITEM, TALK)
    assert "\n- Language: en 62 %, de 38 %\n" in page
    assert "\n- Without text: 50 s: 1:02 to 1:40, 2:18 to 2:30\n" in page
    assert "\n- Note: Audio track 2 of 2 was used: track 1 is silent.\n" in page
    assert "No speech" not in page
    silent = to_md(ITEM, replace(TALK, segments=()))
    assert silent.endswith("\n\nNo speech was found.\n")
    assert "Language" not in silent
