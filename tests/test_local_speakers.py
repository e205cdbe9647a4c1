"""Which speaker each local speaker of a chunk is."""

import numpy as np

from homescribe.speakers.local_speakers import assign
from homescribe.speakers.voices import MAYBE, SAME, similarity


def assigned(*rows, seconds=(3, 3, 3), chunks=(0, 0, 0)):
    """The speakers of the local speakers of one chunk, by their similarities to each speaker."""
    places = [(chunk, local) for local, chunk in zip(range(len(rows)), chunks, strict=False)]
    found = assign(places, np.array(seconds[: len(rows)], "f"), np.array(rows, "f"))
    return [found[place] for place in places]


def test_each_gets_the_most_similar():
    assert assigned([0.9, 0.4], [0.3, 0.8]) == [0, 1]


def test_nobody_is_two_at_once():
    """Both resemble the first speaker most, the second local speaker more clearly."""
    assert assigned([0.7, 0.6, 0.1], [0.8, 0.3, 0.2]) == [1, 0]


def test_a_person_whom_the_segmentation_divided_is_one():
    assert assigned([0.9, 0.3], [0.85, 0.35]) == [0, 0]


def test_more_speech_decides():
    rows = [0.7, 0.55], [0.7, 0.5]
    assert assigned(*rows, seconds=(4, 1)) == [0, 1]
    assert assigned(*rows, seconds=(1, 4)) == [1, 0]


def test_different_chunks_do_not_matter_to_each_other():
    assert assigned([0.7, 0.6], [0.8, 0.7], chunks=(0, 1)) == [0, 0]


def test_with_one_speaker_all_are_that_one():
    assert assigned([0.7], [0.2], [0.1]) == [0, 0, 0]


def test_similarity_is_that_of_directions():
    assert similarity((1.0, 0.0), (2.0, 0.0)) == 1.0
    assert similarity((1.0, 0.0), (0.0, 1.0)) == 0.0
    assert similarity((1.0, 0.0), (-3.0, 0.0)) == -1.0
    assert similarity((0.0, 0.0), (1.0, 0.0)) == 0.0


def test_a_name_needs_more_than_a_maybe():
    assert 0 < MAYBE < SAME < 1
