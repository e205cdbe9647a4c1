"""Runs of frames, and seconds of speech by speaker."""

import numpy as np
import pytest

from homescribe.audio.frame_runs import runs
from homescribe.core import Turn
from homescribe.speakers.turn_index import seconds_by_speaker


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", []),
        ("...", []),
        ("###", [(0, 3)]),
        ("#..##.#", [(0, 1), (3, 5), (6, 7)]),
        (".#.", [(1, 2)]),
    ],
)
def test_runs_of_frames(flags, expected):
    assert runs(np.array([flag == "#" for flag in flags], np.bool_)) == expected


def test_seconds_are_added_by_speaker_in_the_order_of_their_first_turns():
    turns = (Turn(0, 2, "B"), Turn(1, 4, "A"), Turn(5, 5.5, "B"))
    assert list(seconds_by_speaker(turns).items()) == [("B", 2.5), ("A", 3.0)]
    assert seconds_by_speaker(()) == {}
