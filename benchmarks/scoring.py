"""How right a transcript is: word errors, and how far its times are from the truth."""

from __future__ import annotations

import re
from collections.abc import Sequence

from homescribe.core import Segment


def words(text: str) -> list[str]:
    """Lower case, without marks."""
    return re.sub(r"[^a-z' ]+", " ", text.lower()).split()


def errors(said: str, heard: str) -> tuple[int, int]:
    """Word edits from `said` to `heard`, and the number of words said."""
    reference, hypothesis = words(said), words(heard)
    row = list(range(len(hypothesis) + 1))
    for i, word in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(hypothesis, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1], len(reference)


def start_errors(starts: Sequence[float], segments: Sequence[Segment]) -> list[float]:
    """For each segment, seconds to the nearest true start of a sentence."""
    return [min(abs(s.start - true) for true in starts) for s in segments]
