"""Who speaks when: the diarizer with small models, in which a voice is a tone."""

import weakref
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Event

import numpy as np
import pytest

from homescribe.errors import Cancelled, UserError
from homescribe.speakers.clustering import SpeakerCount
from homescribe.speakers.diarizer import Diarizer
from homescribe.speakers.embedding import VoiceEmbedder
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


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("content", [None, b"", b"no model", "metadata", "rate"])
def test_files_that_are_no_such_model(models, tmp_path, which, content):
    """They are the user's: a sentence that names the file, and the process goes on."""
    made = tmp_path / "wrong.onnx"
    if content == "metadata":
        (embedding_model if which == 0 else segmentation_model)(made)  # the other one
    elif content == "rate":
        (segmentation_model, embedding_model)[which](made, sample_rate=8000)
    elif content is not None:
        made.write_bytes(content)
    paths = [*models]
    paths[which] = made
    with pytest.raises(UserError) as caught:
        Diarizer(*paths)
    assert str(made) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "wrong",
    [
        *({"framework": "nemo"}, {"feature_normalize_type": "other"}, {"framework": None}),
        *({"language": None}, {"normalize_samples": None}, {"output_dim": None}),
        {"sample_rate": None},
    ],
)
def test_embedding_models_for_which_sherpa_onnx_would_end_the_process(models, tmp_path, wrong):
    made = embedding_model(tmp_path / "made.onnx", **wrong)
    with pytest.raises(UserError, match="voice embeddings"):
        Diarizer(models[0], made)


def test_the_name_of_an_embedding_file_does_not_matter(models, tmp_path):
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(models[1].read_bytes())
    assert VoiceEmbedder(copy).model == VoiceEmbedder(models[1]).model
    other = embedding_model(tmp_path / "other.onnx", comment="other weights")
    assert VoiceEmbedder(other).model != VoiceEmbedder(models[1]).model


def test_overlaps_are_turns_of_both(diarizer):
    samples = talk((0, 8))
    samples = np.concatenate([samples, silence(8)])
    at = 6 * RATE
    samples[at : at + 6 * RATE] += tone(1, 6)
    found = diarized(diarizer, samples)
    assert [(t.speaker, round(t.start, 1), round(t.end, 1)) for t in found.turns] == [
        ("SPEAKER_00", 0.5, 8.5),
        ("SPEAKER_01", 6.0, 12.0),
    ]


def test_a_short_interjection_of_a_known_voice_is_kept(diarizer):
    parts = [(0, 6), (1, 0.6), (0, 5), (1, 7), (0, 3)]
    check(diarized(diarizer, talk(*parts)), parts)


def test_a_voice_of_one_second_is_no_speaker(diarizer):
    """Its speech is given to the most similar voice, so that no words are nobody's."""
    found = diarized(diarizer, talk((0, 6), (1, 6), (2, 1.2), (0, 6), (1, 6)))
    assert len(found.speakers) == 2
    assert len(found.turns) == 5


def test_a_voice_of_one_second_is_a_speaker_if_the_number_is_given(diarizer):
    parts = [(0, 6), (1, 6), (2, 1.2), (0, 6), (1, 6)]
    check(diarized(diarizer, talk(*parts), SpeakerCount(3, 3)), parts)


def test_at_most_as_many_speakers_as_given(diarizer):
    found = diarized(diarizer, talk((0, 6), (1, 6), (2, 6)), SpeakerCount(1, 2))
    assert len(found.speakers) == 2


@pytest.mark.parametrize("seconds", [0.1, 1.7, 10.0, 61.0])
def test_the_size_of_blocks_does_not_matter(diarizer, seconds):
    samples = talk((1, 4), (0, 3), (1, 6), (0, 8), (2, 12), (1, 3))
    assert diarized(diarizer, samples, seconds=seconds) == diarized(diarizer, samples)


def test_the_same_alone_and_beside_others(diarizer):
    """Several recordings at once, with one diarizer: each has the result that it has alone."""
    recordings = [talk((v, 4), (v + 1, 5), (v, 6), (v + 1, 3)) for v in range(5)]
    alone = [diarized(diarizer, samples) for samples in recordings]
    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(lambda samples: diarized(diarizer, samples), recordings)) == alone


def test_more_threads_change_nothing(models, diarizer):
    samples = talk((1, 4), (0, 3), (1, 6), (0, 8), (2, 12), (1, 3))
    assert diarized(Diarizer(*models, threads=3), samples) == diarized(diarizer, samples)


def test_memory_does_not_hold_the_audio(diarizer):
    """Blocks are dropped once they are processed: at no time are more than a few alive."""
    given = []
    most = 0

    class Block(np.ndarray):
        pass

    def blocks():
        nonlocal most
        for _ in range(60):
            block = tone(0, 10).view(Block)
            given.append(weakref.ref(block))
            most = max(most, sum(one() is not None for one in given))
            yield block

    diarizer.diarize(blocks(), ANY, Event(), lambda _: None)
    assert most <= 8
