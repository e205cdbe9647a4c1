"""Whether two recordings have the same voice, by their embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Of embeddings without what all voices share (shared_directions.py), in clear recordings as over a telephone.
# The most similar two strangers that were measured, with 2.5 seconds over a telephone line, were at 0.52.
SAME = 0.53  # similarity from which a voice gets the name of another
MAYBE = 0.3  # similarity from which it may be that of another


def similarity(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the cosine similarity of two embeddings of one model, -1 to 1."""
    one, other = np.asarray(a, np.float64), np.asarray(b, np.float64)
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / length if length else 0.0
