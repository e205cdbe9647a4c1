"""Agglomerative clustering of voice embeddings, with an average linkage.

The similarity of two clusters is the mean of the cosine similarities between their members, which is the
scalar product of their mean vectors. So a cluster is stored as its mean, and memory is quadratic only in the
number of vectors that are clustered at once: at most BLOCK.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from threading import Event

import numpy as np
from numpy.typing import NDArray

from homescribe.errors import Cancelled

Vectors = NDArray[np.float32]

# Mean cosine similarity down to which two clusters are one voice, of embeddings without what all voices share
# (shared_directions.py).
THRESHOLD = 0.45
# Within a block of a long recording, where the voices of other blocks are unknown.
BLOCK_THRESHOLD = 0.62
# From here on two clusters are one voice, even if then fewer speakers are found than requested.
CERTAIN = 0.75
BLOCK = 1000  # vectors that are clustered at once
MOST = BLOCK // 4  # clusters that are left of a block

# A cluster is a speaker if it has enough speech and is no mixture of two others: the segmentation sometimes
# takes two people for one local speaker.
SIGNIFICANT = 2.0  # seconds of speech
# Similarity to all speakers below which a few vectors are a speaker of their own: at most FEW, and at most a
# tenth of all. Each moment is in two chunks, so one vector alone is a few, also in a short recording.
DISTINCT = 0.25
FEW = 3
MIXTURE = 0.6  # similarity to a weighted sum of two speakers from which a cluster is both of them
SHARE = 0.15  # least weight of each of the two


@dataclass(frozen=True, slots=True)
class SpeakerCount:
    """How many people may speak in a recording."""

    min: int = 1
    max: int | None = None  # None: any number

    def __post_init__(self) -> None:
        if self.min < 1 or (self.max is not None and self.max < self.min):
            raise ValueError(f"not a number of speakers: {self.min} to {self.max}")


@dataclass(slots=True)
class _Clusters:
    means: Vectors  # (clusters, size)
    counts: NDArray[np.float32]  # vectors in each
    seconds: NDArray[np.float32]  # of speech in each
    labels: NDArray[np.intp]  # cluster of each vector


def cluster(
    vectors: Vectors,
    seconds: NDArray[np.float32],
    count: SpeakerCount,
    stop: Event | None = None,
) -> NDArray[np.intp]:
    """Return the cluster of each vector, from 0, or -1 if it is none of a speaker's, or not of numbers.

    Args:
        vectors: of length 1, (vectors, size).
        seconds: of speech behind each vector.

    Raises:
        Cancelled: soon after `stop` is set.
    """
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        labels = np.full(len(vectors), -1, np.intp)
        labels[finite] = cluster(vectors[finite], seconds[finite], count, stop)
        return labels
    size = len(vectors)
    found = _Clusters(vectors, np.ones(size, np.float32), seconds, np.arange(size))
    while len(found.means) > BLOCK:
        found = _in_blocks(found, stop)
    merged = _merged(found, THRESHOLD, count)
    if len(merged.means) < count.min:
        merged = _merged(found, THRESHOLD, count, certain=np.inf)
    return _significant(merged, count)


def _in_blocks(found: _Clusters, stop: Event | None) -> _Clusters:
    """Merge clusters that are near each other in time, a block at a time."""
    parts: list[_Clusters] = []
    of_cluster = np.zeros(len(found.means), np.intp)
    for start in range(0, len(found.means), BLOCK):
        if stop is not None and stop.is_set():
            raise Cancelled
        here = slice(start, start + BLOCK)
        means, counts, seconds = found.means[here], found.counts[here], found.seconds[here]
        block = _Clusters(means, counts, seconds, np.arange(len(means)))
        part = _merged(block, BLOCK_THRESHOLD, SpeakerCount(), most=MOST)
        of_cluster[here] = part.labels + sum(len(one.means) for one in parts)
        parts.append(part)
    return _Clusters(
        np.concatenate([part.means for part in parts]),
        np.concatenate([part.counts for part in parts]),
        np.concatenate([part.seconds for part in parts]),
        of_cluster[found.labels],
    )


def _merged(
    found: _Clusters,
    threshold: float,
    count: SpeakerCount,
    *,
    certain: float = CERTAIN,
    most: int | None = None,
) -> _Clusters:
    """Merge the most similar pair of clusters until none is above `threshold`, within `count`.

    `most`: clusters that may be left.
    """
    means, counts, seconds = found.means.copy(), found.counts.copy(), found.seconds.copy()
    size = left = len(means)
    parent = np.arange(size)
    alive = np.ones(size, bool)
    similarity = (means @ means.T).astype(np.float32)
    np.fill_diagonal(similarity, -np.inf)
    best = similarity.argmax(axis=1) if size else np.zeros(0, np.intp)
    score = similarity[np.arange(size), best]
    while left > 1:
        one = int(score.argmax())
        other = int(best[one])
        value = float(score[one])
        if not np.isfinite(value):
            break
        speakers = int((seconds[alive] >= SIGNIFICANT).sum())
        above = count.max is not None and speakers > count.max
        if value < threshold and not above and (most is None or left <= most):
            break
        both = seconds[one] >= SIGNIFICANT and seconds[other] >= SIGNIFICANT
        if both and speakers <= count.min and value < certain:  # these two stay apart
            similarity[one, other] = similarity[other, one] = -np.inf
            changed = np.array([one, other])
        else:
            total = counts[one] + counts[other]
            means[one] = (counts[one] * means[one] + counts[other] * means[other]) / total
            counts[one], seconds[one] = total, seconds[one] + seconds[other]
            alive[other] = False
            left -= 1
            parent[parent == other] = one
            row = np.where(alive, means @ means[one], -np.inf)
            row = np.where(np.isneginf(similarity[one]) & alive, -np.inf, row)
            row[one] = -np.inf
            similarity[other] = similarity[:, other] = -np.inf
            similarity[one] = similarity[:, one] = row
            changed = np.flatnonzero((best == one) | (best == other))
            higher = alive & (row > score)
            best[higher], score[higher] = one, row[higher]
            changed = np.union1d(changed, [one, other])
        best[changed] = similarity[changed].argmax(axis=1)
        score[changed] = similarity[changed, best[changed]]
    kept = np.flatnonzero(alive)
    number = np.zeros(size, np.intp)
    number[kept] = np.arange(len(kept))
    return _Clusters(means[kept], counts[kept], seconds[kept], number[parent][found.labels])


def _significant(found: _Clusters, count: SpeakerCount) -> NDArray[np.intp]:
    """Number the clusters that are speakers, the largest first, and at least as many as requested."""
    order = np.argsort(-found.seconds, kind="stable").tolist()
    lengths = np.linalg.norm(found.means, axis=1, keepdims=True)
    directions = found.means / np.maximum(lengths, 1e-9)
    few = max(1, min(FEW, int(found.counts.sum()) // 10))
    speakers: list[int] = []
    others: list[int] = []
    for one in order:
        known = directions[speakers]
        is_speaker = not speakers or (
            found.seconds[one] >= SIGNIFICANT
            and (found.counts[one] > few or float((known @ directions[one]).max()) < DISTINCT)
            and not _is_mixture(directions[one], known)
        )
        (speakers if is_speaker else others).append(one)
    speakers += others[: max(count.min - len(speakers), 0)]
    labels = np.full(len(order), -1, np.intp)
    labels[speakers] = np.arange(len(speakers))
    return labels[found.labels]


def _is_mixture(vector: Vectors, known: Vectors) -> bool:
    """Return whether `vector` is near a weighted sum of two of the `known` ones. All have length 1."""
    similar = (known @ vector).tolist()
    between = known @ known.T
    for a, b in combinations(range(len(known)), 2):
        both = float(between[a, b])
        rest = max(1 - both * both, 1e-6)
        weights = (similar[a] - both * similar[b]) / rest, (similar[b] - both * similar[a]) / rest
        projection = weights[0] * similar[a] + weights[1] * similar[b]  # squared length
        if min(weights) > SHARE and projection > MIXTURE**2:
            return True
    return False
