"""Whether two recordings have the same voice, by their embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SAME = 0.57  # similarity from which a voice gets the name of another
MAYBE = 0.52  # similarity from which it may be that of another


def similarity(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the cosine similarity of two embeddings of one model, -1 to 1."""
    one, other = np.asarray(a, np.float64), np.asarray(b, np.float64)
    length = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / length if length else 0.0
