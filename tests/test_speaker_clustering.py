"""Which voice embeddings are of one person."""

from threading import Event

import numpy as np
import pytest

from homescribe.errors import Cancelled
from homescribe.speakers import clustering
from homescribe.speakers.clustering import SpeakerCount, cluster

ANY = SpeakerCount()
SIZE = 64


def people(*numbers, spread=0.3, seed=0):
    """Embeddings of as many people as there are numbers, so many of each: their similarity is about 0.9."""
    draw = np.random.default_rng(seed)
    centres = np.linalg.qr(draw.standard_normal((SIZE, SIZE)))[0][: len(numbers)]
    vectors = np.concatenate(
        [
            centre + spread / SIZE**0.5 * draw.standard_normal((number, SIZE))
            for centre, number in zip(centres, numbers, strict=True)
        ]
    )
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), np.repeat(np.arange(len(numbers)), numbers)


def seconds(number, each=3.0):
    return np.full(number, each, np.float32)


def same_partition(one, other):
    """Whether the labels say the same, whatever the numbers are."""
    pairs = set(zip(one.tolist(), other.tolist(), strict=True))
    return len(pairs) == len(set(one.tolist())) == len(set(other.tolist()))


@pytest.mark.parametrize("numbers", [(1,), (7,), (5, 9), (1, 30), (8, 4, 12, 6, 3)])
def test_people_are_told_apart(numbers):
    vectors, truth = people(*numbers)
    assert same_partition(cluster(vectors, seconds(len(vectors)), ANY), truth)


def test_the_order_of_the_vectors_does_not_matter():
    vectors, truth = people(9, 14, 6)
    order = np.random.default_rng(3).permutation(len(vectors))
    found = cluster(vectors[order], seconds(len(vectors)), ANY)
    assert same_partition(found, truth[order])


def test_blocks_give_what_all_at_once_gives(monkeypatch):
    vectors, truth = people(80, 50, 40, 30)
    order = np.random.default_rng(3).permutation(len(vectors))
    monkeypatch.setattr(clustering, "BLOCK", 25)
    assert same_partition(cluster(vectors[order], seconds(len(vectors)), ANY), truth[order])


def test_a_number_that_is_given_is_kept():
    vectors, truth = people(9, 14, 6)
    fewer = cluster(vectors, seconds(len(vectors)), SpeakerCount(2, 2))
    assert set(fewer.tolist()) == {0, 1}
    for person in range(3):  # two people became one, nobody was divided
        assert len(set(fewer[truth == person].tolist())) == 1
    more = cluster(vectors, seconds(len(vectors)), SpeakerCount(5, 5))
    assert set(more.tolist()) == set(range(5))
    for group in range(5):  # people were divided, none mixed
        assert len(set(truth[more == group].tolist())) == 1


def test_limits_change_nothing_that_is_within_them():
    vectors, truth = people(9, 14, 6)
    assert same_partition(cluster(vectors, seconds(len(vectors)), SpeakerCount(2, 4)), truth)


def test_a_voice_of_a_second_is_no_speaker():
    vectors, truth = people(10, 10, 1)
    length = seconds(21)
    length[20] = 1.0
    found = cluster(vectors, length, ANY)
    assert found[20] == -1
    assert same_partition(found[:20], truth[:20])


def test_a_voice_of_a_second_is_a_speaker_if_the_number_says_so():
    vectors, truth = people(10, 10, 1)
    length = seconds(21)
    length[20] = 1.0
    assert same_partition(cluster(vectors, length, SpeakerCount(3, 3)), truth)


def test_a_mixture_of_two_people_is_no_speaker():
    """The segmentation took them for one local speaker, in a few chunks."""
    vectors, truth = people(20, 20, 10, 6)
    vectors, truth, noise = vectors[:50], truth[:50], vectors[50:]
    mixed = vectors[:6] + vectors[20:26] + 1.75 * noise
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    found = cluster(np.concatenate([vectors, mixed]), seconds(56), ANY)
    assert found[50:].tolist() == [-1] * 6
    assert same_partition(found[:50], truth)


@pytest.mark.parametrize(("share", "speakers"), [(0.0, 3), (0.8, 2)])
def test_a_single_vector_is_a_speaker_if_it_is_unlike_the_others(share, speakers):
    vectors, _ = people(20, 20, 1)
    vectors[40] += share * vectors[0]
    vectors[40] /= np.linalg.norm(vectors[40])
    assert len(set(cluster(vectors, seconds(41), ANY).tolist()) - {-1}) == speakers


@pytest.mark.parametrize(("number", "speakers"), [(2, 2), (4, 3)])
def test_a_few_vectors_that_resemble_a_speaker_are_no_other(number, speakers):
    """From a fourth one on they are: two people in one room resemble each other, too."""
    vectors, _ = people(20, 20, number)
    vectors[40:] += 0.53 * vectors[0]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = cluster(vectors, seconds(len(vectors)), ANY)
    assert len(set(found.tolist()) - {-1}) == speakers


@pytest.mark.parametrize("block", [25, 1000])
def test_a_vector_that_is_not_of_numbers_is_no_ones(monkeypatch, block):
    vectors, truth = people(80, 50, 40)
    monkeypatch.setattr(clustering, "BLOCK", block)
    broken = np.zeros(len(vectors), bool)
    broken[[0, 60, 61, 169]] = True
    vectors[broken] = np.nan
    found = cluster(vectors, seconds(len(vectors)), ANY)
    assert found[broken].tolist() == [-1] * 4
    assert same_partition(found[~broken], truth[~broken])


def test_clustering_ends_soon_after_stop_is_set(monkeypatch):
    vectors, _ = people(80, 50, 40, 30)
    monkeypatch.setattr(clustering, "BLOCK", 25)
    stop = Event()
    stop.set()
    with pytest.raises(Cancelled):
        cluster(vectors, seconds(200), ANY, stop)


def test_vectors_that_resemble_nothing_are_clustered_in_bounded_blocks(monkeypatch):
    """Noise does not get fewer by its similarity, but must by number: the last step compares all pairs."""
    vectors = np.random.default_rng(1).standard_normal((400, SIZE)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    sizes = []
    merged = clustering._merged

    def watched(found, *arguments, **options):
        sizes.append(len(found.means))
        return merged(found, *arguments, **options)

    monkeypatch.setattr(clustering, "BLOCK", 40)
    monkeypatch.setattr(clustering, "MOST", 10)
    monkeypatch.setattr(clustering, "_merged", watched)
    cluster(vectors, seconds(400), ANY)
    assert max(sizes) == 40


def test_one_short_voice_alone_is_a_speaker():
    vectors, _ = people(1)
    assert cluster(vectors, seconds(1, 0.8), ANY).tolist() == [0]


@pytest.mark.parametrize("limits", [(0, 2), (3, 2), (-1, None)])
def test_impossible_numbers_of_speakers(limits):
    with pytest.raises(ValueError, match="number of speakers"):
        SpeakerCount(*limits)
