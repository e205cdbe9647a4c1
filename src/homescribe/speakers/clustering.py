"""Agglomerative clustering of voice embeddings, with an average linkage.

The similarity of two clusters is the mean of the cosine similarities between their members, which is the
scalar product of their mean vectors. So a cluster is stored as its mean, and memory is quadratic only in the
number of vectors that are clustered at once: at most BLOCK.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

# Mean cosine similarity down to which two clusters are one voice.
THRESHOLD = 0.72
# Within a block of a long recording, where the voices of other blocks are unknown.
BLOCK_THRESHOLD = 0.8
# From here on two clusters are one voice, even if then fewer speakers are found than requested.
CERTAIN = 0.85
BLOCK = 1000  # vectors that are clustered at once
SIGNIFICANT = 2.0  # seconds of speech from which a cluster is a speaker


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
    vectors: Vectors, seconds: NDArray[np.float32], count: SpeakerCount
) -> NDArray[np.intp]:
    """Return the cluster of each vector, from 0, or -1 if it is none of a speaker's.

    `seconds`: of speech behind each vector.
    """
    found = _Clusters(vectors, np.ones(len(vectors), np.float32), seconds, np.arange(len(vectors)))
    while len(found.means) > BLOCK:
        before = len(found.means)
        found = _in_blocks(found)
        if len(found.means) > 0.9 * before:
            break
    merged = _merged(found, THRESHOLD, count)
    if len(merged.means) < count.min:
        merged = _merged(found, THRESHOLD, count, certain=np.inf)
    return _significant(merged, count)


def _in_blocks(found: _Clusters) -> _Clusters:
    """Merge clusters that are near each other in `found`, a block at a time."""
    parts: list[_Clusters] = []
    total = 0
    of_cluster = np.zeros(len(found.means), np.intp)
    for start in range(0, len(found.means), BLOCK):
        here = slice(start, start + BLOCK)
        part = _merged(
            _Clusters(
                found.means[here],
                found.counts[here],
                found.seconds[here],
                np.arange(len(found.means[here])),
            ),
            BLOCK_THRESHOLD,
            SpeakerCount(),
        )
        of_cluster[here] = part.labels + total
        total += len(part.means)
        parts.append(part)
    return _Clusters(
        np.concatenate([part.means for part in parts]),
        np.concatenate([part.counts for part in parts]),
        np.concatenate([part.seconds for part in parts]),
        of_cluster[found.labels],
    )


def _merged(
    found: _Clusters, threshold: float, count: SpeakerCount, certain: float = CERTAIN
) -> _Clusters:
    """Merge the most similar pair of clusters until none is above `threshold`, within `count`."""
    means, counts, seconds = found.means.copy(), found.counts.copy(), found.seconds.copy()
    size = len(means)
    parent = np.arange(size)
    alive = np.ones(size, bool)
    similarity = (means @ means.T).astype(np.float32)
    np.fill_diagonal(similarity, -np.inf)
    best = similarity.argmax(axis=1) if size else np.zeros(0, np.intp)
    score = similarity[np.arange(size), best]
    while size > 1 and alive.sum() > 1:
        one = int(score.argmax())
        other = int(best[one])
        value = float(score[one])
        if not np.isfinite(value):
            break
        speakers = int((seconds[alive] >= SIGNIFICANT).sum())
        above = count.max is not None and speakers > count.max
        if value < threshold and not above:
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
    """Number the clusters that are speakers: those with enough speech, or the largest ones requested."""
    order = np.argsort(-found.seconds, kind="stable")
    speakers = int((found.seconds >= SIGNIFICANT).sum())
    number = max(speakers, min(count.min, len(order)), min(1, len(order)))
    labels = np.full(len(order), -1, np.intp)
    labels[order[:number]] = np.arange(number)
    return labels[found.labels]
