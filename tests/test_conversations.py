"""The conversations that the benchmark of speakers makes: what is said is where the true turns say."""

from itertools import pairwise

import numpy as np
import pytest
from benchmarks.conversations import PLACES, Voice, converse, read_rttm, write_rttm

from speaker_models import PITCHES, RATE, tone


def voice(number):
    return Voice(f"voice {number}", tuple(tone(number, seconds) for seconds in (1.5, 4, 0.7, 6)))


def power(samples, pitch):
    """Amplitude of a tone in the samples."""
    times = np.arange(len(samples)) / RATE
    return 2 * abs(np.mean(samples * np.exp(-2j * np.pi * pitch * times)))


@pytest.mark.parametrize("place", PLACES)
def test_speech_is_where_the_turns_say(place):
    """Looked at in windows of 0.2 s that are clearly inside or outside of somebody's turns."""
    people = [1, 2, 3]
    made = converse([voice(n) for n in people], 40, place, seed=5)
    assert made.people == 3
    checked = 0
    for at in np.arange(0.0, len(made.samples) / RATE - 0.2, 0.2):
        window = made.samples[round(at * RATE) : round((at + 0.2) * RATE)]
        for number in people:
            own = [t for t in made.turns if t.speaker == f"voice {number}"]
            inside = any(t.start <= at and at + 0.2 <= t.end for t in own)
            outside = all(at + 0.2 < t.start or t.end + 0.3 < at for t in own)
            loud = power(window, PITCHES[number])
            checked += inside or outside
            if inside:
                assert loud > 0.01
            if outside:
                assert loud < 0.01
    assert checked > 300


def test_the_same_seed_makes_the_same_conversation():
    people = [voice(0), voice(1)]
    one, again, other = (converse(people, 30, "room", seed) for seed in (1, 1, 2))
    assert one.turns == again.turns
    assert np.array_equal(one.samples, again.samples)
    assert one.turns != other.turns


def test_people_speak_at_once_sometimes():
    made = converse([voice(0), voice(1)], 120, "clean", seed=3)
    assert any(
        a.speaker != b.speaker and a.start < b.end and b.start < a.end
        for a in made.turns
        for b in made.turns
    )


def test_nobody_is_two_at_once():
    made = converse([voice(0), voice(1)], 120, "clean", seed=3)
    for name in ("voice 0", "voice 1"):
        own = [turn for turn in made.turns if turn.speaker == name]
        assert all(a.end <= b.start for a, b in pairwise(own))


def test_halves_of_a_voice_share_nothing():
    one, other = voice(0).halves()
    assert len(one.utterances) + len(other.utterances) == 4
    assert one.seconds > 0 < other.seconds


def test_turns_are_written_and_read(tmp_path):
    made = converse([Voice("a", (tone(0, 2),)), Voice("b", (tone(1, 3),))], 20, "clean", seed=1)
    path = tmp_path / "made.rttm"
    write_rttm(path, "made", made.turns)
    read = read_rttm(path)
    assert [t.speaker for t in read] == [t.speaker for t in made.turns]
    assert [t.start for t in read] == pytest.approx([t.start for t in made.turns], abs=0.001)
    assert [t.end for t in read] == pytest.approx([t.end for t in made.turns], abs=0.001)
