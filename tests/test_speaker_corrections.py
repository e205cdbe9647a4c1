"""Corrected speakers of lines, when speakers are found again or the recording is transcribed again."""

from dataclasses import replace

import pytest

from homescribe.core import Turn
from homescribe.library import Library
from test_speakers_library import ANN, BOB, conversation, item

LINES = ((0, "good morning"), (1, "hello lighthouse"), (0, "and goodbye"), (1, "see you"))
TALK = conversation(*LINES)
KEY = "podcast:id1"


@pytest.fixture
def library(tmp_path):
    """A talk in which Bob says the third line, as a person corrected."""
    with Library(tmp_path) as opened:
        opened.save(item(1), TALK)
        opened.set_speaker(KEY, [2], BOB)
        yield opened


def said(library):
    return [each.speaker for each in library.transcript(KEY).segments]


def test_they_stay_when_speakers_are_found_again(library):
    library.add_speakers(KEY, TALK.speakers, TALK.turns)
    kept = library.transcript(KEY)
    assert said(library) == [ANN, BOB, BOB, BOB]
    assert {word.speaker for word in kept.segments[2].words} == {BOB}
    assert Turn(5.0, 20.0, BOB) in kept.turns
    assert [each.seconds for each in kept.speakers] == [5.0, 15.0]
    assert kept.warnings == ()


def test_they_follow_the_person_to_another_label(library):
    lines = tuple((1 - who, text) for who, text in LINES)
    swapped = conversation(*lines, voices=("bob", "ann"))
    library.save(item(1), swapped)
    assert said(library) == [BOB, ANN, ANN, ANN]


def test_they_stay_where_the_new_transcript_has_the_same_text(library):
    moved = tuple(
        replace(each, start=each.start + 0.2, end=each.end + 0.2, text=each.text.upper())
        for each in TALK.segments
    )
    library.save(item(1), replace(TALK, segments=moved))
    assert said(library) == [ANN, BOB, BOB, BOB]


def test_a_line_that_is_not_found_is_counted_and_comes_back(library):
    other = conversation((0, "good morning"), (1, "hello"), (0, "something else"), (1, "see you"))
    moved = tuple(replace(each, end=each.end - 0.1) for each in other.segments)
    library.save(item(1), replace(other, segments=moved, warnings=("It is short.",)))
    assert said(library) == [ANN, BOB, ANN, BOB]
    warnings = library.transcript(KEY).warnings
    assert warnings == ("It is short.", "1 corrected speaker of a line was not kept.")
    library.save(item(1), TALK)
    assert said(library) == [ANN, BOB, BOB, BOB]
    assert library.transcript(KEY).warnings == ()


def test_a_speaker_who_is_not_found_is_counted_and_comes_back(library):
    one = (replace(TALK.speakers[0], seconds=20.0),)
    library.add_speakers(KEY, one, (Turn(0, 20, ANN),))
    assert library.transcript(KEY).warnings == ("1 corrected speaker of a line was not kept.",)
    assert set(said(library)) == {ANN}
    library.add_speakers(KEY, TALK.speakers, TALK.turns)
    assert said(library) == [ANN, BOB, BOB, BOB]
    assert library.transcript(KEY).warnings == ()


def test_the_latest_correction_of_a_line_counts(library):
    library.set_speaker(KEY, [2], ANN)
    library.add_speakers(KEY, TALK.speakers, TALK.turns)
    assert said(library) == [ANN, BOB, ANN, BOB]


def test_the_flag_of_overlapping_speech_follows_the_speaker_of_a_line(library):
    one, two, three = TALK.segments[:3]
    segments = (
        replace(one, start=0.0, end=4.0, speaker=ANN, flags=("retried", "overlap")),
        replace(two, start=0.0, end=8.0, speaker=BOB, flags=("overlap",)),
        replace(three, start=10.0, end=12.0, speaker=ANN, flags=("overlap",)),
    )
    turns = (Turn(0, 4, ANN), Turn(0, 8, BOB), Turn(10, 12, ANN))
    library.save(item(2), replace(TALK, segments=segments, turns=turns))
    library.set_speaker("podcast:id2", [0], BOB)
    kept = library.transcript("podcast:id2")
    assert kept.turns == (Turn(0, 8, BOB), Turn(10, 12, ANN))
    assert [each.flags for each in kept.segments] == [("retried",), (), ("overlap",)]


def test_a_line_that_gets_its_speaker_back_leaves_nothing_behind(library):
    one, two, three = TALK.segments[:3]
    segments = (
        replace(one, start=0.0, end=4.0, speaker=ANN, flags=("retried", "overlap")),
        replace(two, start=0.0, end=8.0, speaker=BOB, flags=("overlap",)),
        replace(three, start=10.0, end=12.0, speaker=ANN, flags=()),
    )
    turns = (Turn(0, 4, ANN), Turn(0, 8, BOB), Turn(10, 12, ANN))
    library.save(item(2), replace(TALK, segments=segments, turns=turns))
    key, found = "podcast:id2", library.transcript("podcast:id2")
    library.set_speaker(key, [0], BOB)
    library.set_speaker(key, [2], BOB)
    library.set_speaker(key, [0], ANN)
    kept = library.transcript(key)
    assert kept.turns == (Turn(0, 4, ANN), Turn(0, 8, BOB), Turn(10, 12, BOB))
    assert kept.segments[:2] == found.segments[:2]
    library.set_speaker(key, [2], ANN)
    assert library.transcript(key) == found
    library.add_speakers(key, TALK.speakers, (Turn(0, 12, BOB),))
    assert library.transcript(key).warnings == ()  # there is no corrected line any more


def test_a_line_whose_correction_outlived_its_transcript_gets_its_speaker_back(library):
    library.add_speakers(KEY, TALK.speakers, TALK.turns)
    assert said(library) == [ANN, BOB, BOB, BOB]
    library.set_speaker(KEY, [2], ANN)
    again = library.transcript(KEY)
    assert (said(library), again.turns) == ([ANN, BOB, ANN, BOB], TALK.turns)
    assert [each.seconds for each in again.speakers] == [10.0, 10.0]
