"""Who speaks when: the diarizer with small models, in which a voice is a tone."""

from itertools import pairwise
from threading import Event

import numpy as np
import pytest

from homescribe.errors import Cancelled
from homescribe.speakers.clustering import SpeakerCount
from homescribe.speakers.diarizer import Diarizer
from speaker_models import RATE, embedding_model, segmentation_model, silence, tone

ANY = SpeakerCount()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return segmentation_model(folder / "s.onnx"), embedding_model(folder / "e.onnx")


@pytest.fixture(scope="module")
def diarizer(models):
    return Diarizer(*models)


def in_blocks(samples, seconds=7.3):
    size = round(seconds * RATE)
    return (samples[start : start + size] for start in range(0, len(samples), size))


def diarized(diarizer, samples, count=ANY, **options):
    return diarizer.diarize(in_blocks(samples, **options), count, Event(), lambda _: None)


def talk(*parts):
    """Speech of (voice, seconds), with pauses of half a second."""
    pieces = [silence(0.5)]
    for voice, seconds in parts:
        pieces += [tone(voice, seconds), silence(0.5)]
    return np.concatenate(pieces)


def expected_turns(*parts):
    at = 0.5
    for voice, seconds in parts:
        yield at, at + seconds, voice
        at += seconds + 0.5


def check(found, parts):
    """The turns are those of `parts`, with their speakers numbered by their first words."""
    numbers = {}
    for turn, (start, end, voice) in zip(found.turns, expected_turns(*parts), strict=True):
        number = numbers.setdefault(voice, len(numbers))
        assert turn.speaker == f"SPEAKER_{number:02}"
        assert turn.start == pytest.approx(start, abs=0.1)
        assert turn.end == pytest.approx(end, abs=0.1)


def test_turns_of_two_people(diarizer):
    parts = [(1, 4), (0, 3), (1, 6), (0, 8), (1, 2)]
    found = diarized(diarizer, talk(*parts))
    check(found, parts)
    assert [s.label for s in found.speakers] == ["SPEAKER_00", "SPEAKER_01"]
    assert [s.seconds for s in found.speakers] == pytest.approx([12, 11], abs=0.4)


def test_more_people_than_one_chunk_tells_apart(diarizer):
    parts = [(0, 4), (1, 4), (2, 12), (3, 4), (4, 5), (5, 12), (0, 4), (1, 4), (2, 12), (3, 3)]
    found = diarized(diarizer, talk(*parts))
    check(found, parts)
    assert len(found.speakers) == 6


def test_embeddings_have_length_one_and_a_model(diarizer):
    found = diarized(diarizer, talk((0, 5), (2, 5)))
    for speaker in found.speakers:
        assert np.linalg.norm(speaker.embedding) == pytest.approx(1)
        assert speaker.embedding_model == diarizer.embedding_model


def test_cancelled_when_stop_is_set(diarizer):
    stop = Event()
    seen = []

    def progress(seconds):
        seen.append(seconds)
        stop.set()

    with pytest.raises(Cancelled):
        diarizer.diarize(in_blocks(talk(*[(0, 5), (1, 5)] * 10)), ANY, stop, progress)
    assert seen[0] <= 40


def test_progress_in_seconds_of_audio(diarizer):
    seen = []
    diarizer.diarize(in_blocks(talk((0, 9), (1, 18.5))), ANY, Event(), seen.append)
    assert seen[-1] == pytest.approx(29)
    assert all(a <= b for a, b in pairwise(seen))


def test_silence_has_no_speakers(diarizer):
    found = diarized(diarizer, silence(25))
    assert (found.turns, found.speakers) == ((), ())


def test_nothing_at_all(diarizer):
    assert diarized(diarizer, silence(0)).turns == ()
