"""Another number of speakers is tried: what is known of them stays."""

import pytest

from homescribe.core import Speaker, Turn
from homescribe.errors import UserError
from homescribe.library import Library
from test_speakers_library import ANN, BOB, conversation, item, names, show, state, voice

LINES = ((0, "good morning"), (1, "hello lighthouse"), (0, "and goodbye"), (1, "see you"))
TALK = conversation(*LINES)


def mixed(*voices):
    """The voice of a label in which several people are joined."""
    values = [sum(each) for each in zip(*voices, strict=True)]
    length = sum(value * value for value in values) ** 0.5
    return tuple(value / length for value in values)


JOINED = (
    (Speaker(ANN, 20.0, mixed(voice("ann"), voice("bob")), "test-voices"),),
    (Turn(0.0, 20.0, ANN),),
)
APART = (TALK.speakers, TALK.turns)


@pytest.fixture
def library(tmp_path):
    """A show with two talks, whose speakers are named in the first one."""
    with Library(tmp_path) as opened:
        show(opened, 1, 2, 3)
        opened.save(item(1), TALK)
        opened.save(item(2), TALK)
        opened.name_speaker("podcast:id1", ANN, "Ann")
        opened.name_speaker("podcast:id1", BOB, "Bob")
        yield opened


def set_number(library, speakers, setting, key="podcast:id1"):
    assert library.add_speakers(key, *speakers, setting=setting)


def test_names_and_known_voices_come_back(library):
    set_number(library, JOINED, "1")
    assert len(library.speakers("podcast:id1")) == 1
    set_number(library, APART, "auto")
    assert names(library, 1) == ["Ann", "Bob"]
    assert [each.named_by for each in library.speakers("podcast:id1")] == ["person", "person"]
    assert {each.name for each in library.voices()} == {"Ann", "Bob"}
    library.save(item(3), TALK)
    assert names(library, 3) == ["Ann", "Bob"]
    assert library.check() == []


def test_voices_stay_known_meanwhile(library):
    set_number(library, JOINED, "1")
    assert {each.name: each.samples for each in library.voices()} == {"Ann": 1, "Bob": 1}
    library.save(item(3), conversation((0, "it is me"), voices=("bob",)))
    assert names(library, 3) == ["Bob"]
    assert names(library, 2) == ["Ann", "Bob"]
    found = {each.name: each.recordings for each in library.people()}
    assert found == {"Ann": 1, "Bob": 2}  # they are no speakers of the first one now


def test_a_mixture_is_nobodys_sample(library):
    set_number(library, JOINED, "1")
    (only,) = library.speakers("podcast:id1")
    assert only.named_by == "maybe"
    assert sum(each.samples for each in library.voices()) == 2


def test_a_name_stays_with_little_of_somebody_else(library):
    """Three labels become two: a short one joins Ann's."""
    lines = (*LINES, *((0, "more"),) * 4)
    library.save(item(3), conversation(*lines[:-1], (2, "mhm"), voices=("ann", "bob", "cid")))
    library.name_speaker("podcast:id3", ANN, "Ann")
    whole = conversation(*lines)
    set_number(library, (whole.speakers, whole.turns), "2", "podcast:id3")
    assert library.speakers("podcast:id3")[0].named_by == "person"


def test_two_labels_with_one_name_may_join(library):
    library.name_speaker("podcast:id1", BOB, "Ann")
    set_number(library, JOINED, "1")
    (only,) = library.speakers("podcast:id1")
    assert (only.name, only.named_by) == ("Ann", "person")


def test_undo_stays_whole(library):
    before = [*map(tuple, state(library)["speakers"])]
    library.name_speaker("podcast:id1", BOB, "Rob")
    set_number(library, JOINED, "1")
    assert set(library.undo_naming()) == {"podcast:id1", "podcast:id2"}
    set_number(library, APART, "auto")
    assert [*map(tuple, state(library)["speakers"])] == before
    library.undo_naming()
    assert names(library, 1) == ["Ann", "Speaker 2"]
    assert names(library, 2) == ["Ann", "Speaker 2"]


def test_names_come_back_by_time_where_voices_are_unknown(library):
    talk = conversation(*LINES, voices=("", ""))
    library.save(item(3), talk)
    library.name_speaker("podcast:id3", ANN, "Cleo")
    library.name_speaker("podcast:id3", BOB, "Dora")
    set_number(library, ((Speaker(ANN, 20.0),), JOINED[1]), "1", "podcast:id3")
    assert names(library, 3) == ["Speaker 1"]
    set_number(library, (talk.speakers, talk.turns), "2", "podcast:id3")
    assert names(library, 3) == ["Cleo", "Dora"]


def test_a_rejected_voice_stays_rejected(library):
    library.reject_speaker("podcast:id2", BOB)
    set_number(library, JOINED, "1", "podcast:id2")
    set_number(library, APART, "auto", "podcast:id2")
    assert names(library, 2) == ["Ann", "Speaker 2"]


def test_a_voice_that_is_not_found_now_can_be_forgotten(library):
    set_number(library, JOINED, "1")
    (bob,) = library.find_voices("Bob")
    library.forget_voice(bob)
    set_number(library, APART, "auto")
    assert names(library, 1) == ["Ann", "Speaker 2"]
    assert [each.name for each in library.voices()] == ["Ann"]


def test_a_search_does_not_find_who_is_not_found_now(library):
    library.save(item(9), TALK)
    library.name_speaker("podcast:id9", ANN, "Cleo")
    library.name_speaker("podcast:id9", BOB, "Dora")
    set_number(library, JOINED, "1", "podcast:id9")
    (only,) = library.speakers("podcast:id9")
    assert only.name is None  # it is of no source
    with pytest.raises(UserError, match="No speaker is called Dora"):
        library.search("speaker:Dora")
