"""What the embeddings of all voices share."""

import numpy as np
import pytest

from homescribe.speakers.embedding import VoiceEmbedder
from homescribe.speakers.shared_directions import centred, shared_directions
from homescribe.speakers.voices import MAYBE, SAME, similarity
from speaker_models import embedding_model, tone

PUBLISHED, RECTIFIED = "aa3cfc16963a1058", "5776c844a536a143"


def unit(vector):
    return (vector / np.linalg.norm(vector)).astype(np.float32)


@pytest.mark.parametrize("weights", [PUBLISHED, RECTIFIED])
def test_the_directions_of_a_known_network_are_orthogonal_and_of_length_1(weights):
    shared = shared_directions(weights)
    assert shared.shape == (2, 192)
    assert np.allclose(shared @ shared.T, np.eye(2), atol=2e-3)


@pytest.mark.parametrize("weights", [PUBLISHED, RECTIFIED])
@pytest.mark.parametrize("line", [(1.0, 0.0), (0.6, 0.8)])
def test_strangers_over_one_line_are_not_named(weights, line):
    """What the line adds to both is removed; what differs between two voices stays."""
    shared = shared_directions(weights)
    draw = np.random.default_rng(4)
    common = np.asarray(line) @ shared
    one, other = (unit(draw.standard_normal(192)) for _ in range(2))
    heard = [unit(1.5 * common + voice) for voice in (one, other)]
    again = unit(1.5 * common + one + 0.4 * unit(draw.standard_normal(192)))
    assert similarity(heard[0], heard[1]) > SAME  # as the network gives them
    voices = [centred(vector, shared) for vector in (*heard, again)]
    assert similarity(voices[0], voices[1]) < MAYBE
    assert similarity(voices[0], voices[2]) > SAME


def test_a_voice_over_another_line_stays_the_same():
    shared = shared_directions(PUBLISHED)
    voice = unit(np.random.default_rng(5).standard_normal(192))
    clear, telephone = (centred(unit(voice + line), shared) for line in (0 * voice, 2 * shared[1]))
    assert similarity(clear, telephone) > 0.99


def test_embeddings_of_a_rectified_network_are_centred():
    draw = np.random.default_rng(6)
    one, other = (np.maximum(draw.standard_normal(192), 0).astype(np.float32) for _ in range(2))
    assert similarity(one, other) > 0.2
    assert abs(similarity(centred(one, None), centred(other, None))) < 0.2


def test_other_networks_give_their_embeddings_as_they_are():
    vector = np.array([0.6, -0.8], np.float32)
    assert shared_directions("0123456789abcdef") is None
    assert centred(vector, None).tolist() == vector.tolist()


def test_embeddings_without_what_they_share_are_not_compared_with_raw_ones(tmp_path):
    path = embedding_model(tmp_path / "e.onnx")
    embedder, raw = VoiceEmbedder(path), VoiceEmbedder(path, raw=True)
    assert embedder.model != raw.model == raw.weights
    samples = tone(1, 2.0)
    assert raw.embed(samples).min() >= 0 > embedder.embed(samples).min()
    assert np.linalg.norm(embedder.embed(samples)) == pytest.approx(1, abs=1e-5)


def test_an_embedding_that_is_not_of_numbers_is_zero(tmp_path):
    embedder = VoiceEmbedder(embedding_model(tmp_path / "e.onnx"))
    assert not embedder.embed(np.full(16000, np.nan, np.float32)).any()
