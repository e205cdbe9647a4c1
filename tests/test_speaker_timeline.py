"""From what overlapping chunks say to the turns of each speaker."""

import numpy as np
import pytest

from homescribe.core import Turn
from homescribe.speakers import timeline
from homescribe.speakers.timeline import ChunkActivity, turns

FRAMES, STEP = 100, 50
SECOND = 10  # frames


def frame_time(frame):
    return frame / SECOND


def chunks(*local, frames=200):
    """Chunks of 10 s, every 5 s, that say the same. `local`: (speaker, [(start, end), ...]) in seconds."""
    truth = np.zeros((frames, len(local)), np.uint8)
    for column, (_, spoken) in enumerate(local):
        for start, end in spoken:
            truth[round(start * SECOND) : round(end * SECOND), column] = 255
    speakers = tuple(speaker for speaker, _ in local)
    return [
        ChunkActivity(first, truth[first : first + FRAMES], speakers)
        for first in range(0, frames - FRAMES + 1, STEP)
    ]


def found(made, speakers=2, seconds=20.0):
    return turns(made, speakers, frame_time, seconds)


def test_turns_that_overlap_are_both_kept():
    made = chunks((0, [(1, 8)]), (1, [(7, 12)]))
    assert found(made) == [Turn(1.0, 8.0, "0"), Turn(7.0, 12.0, "1")]


def test_short_pauses_do_not_end_a_turn():
    made = chunks((0, [(1, 3), (3.2, 5), (6, 8)]))
    assert found(made) == [Turn(1.0, 5.0, "0"), Turn(6.0, 8.0, "0")]


def test_turns_end_with_the_recording():
    assert found(chunks((0, [(15, 20)])), seconds=18.5) == [Turn(15.0, 18.5, "0")]


def test_local_speakers_of_nobody_have_no_turns():
    assert found(chunks((-1, [(1, 8)]), (1, [(9, 12)]))) == [Turn(9.0, 12.0, "1")]


def test_the_chunk_counts_more_in_whose_middle_a_frame_is():
    """At 8 s the first chunk is near its end, the second one near its middle."""
    first, second, third = chunks((0, [(0, 20)]))
    quiet = np.zeros_like(second.activity)
    made = [first, ChunkActivity(second.first_frame, quiet, (0,)), third]
    assert found(made) == [Turn(0.0, 7.5, "0"), Turn(12.5, 20.0, "0")]


def test_spans_do_not_cut_turns(monkeypatch):
    made = chunks((0, [(1, 18)]), (1, [(3, 4), (9, 11.5)]))
    whole = found(made)
    for span in (7, 50, 64):
        monkeypatch.setattr(timeline, "SPAN", span)
        assert found(made) == whole
    assert whole == [Turn(1.0, 18.0, "0"), Turn(3.0, 4.0, "1"), Turn(9.0, 11.5, "1")]


def test_no_chunks():
    assert found([]) == []


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_speakers_are_those_of_each_chunk(order):
    """Chunks number their local speakers differently."""
    first, second, third = chunks((0, [(1, 8)]), (1, [(8, 19)]))
    swapped = ChunkActivity(second.first_frame, second.activity[:, list(order)], order)
    assert found([first, swapped, third]) == [Turn(1.0, 8.0, "0"), Turn(8.0, 19.0, "1")]
