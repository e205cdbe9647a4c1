"""Give each chunk's local speakers the speakers of the recording.

A person is not two at once, so two local speakers of a chunk are two people, unless the segmentation divided
one: if both resemble one speaker much more than any other, both are that speaker.
"""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

# How much less similar another speaker may be before two local speakers of a chunk are taken for one.
DIVIDED = 0.3
CANDIDATES = 4  # most similar speakers that are considered for each local speaker


def assign(
    places: list[tuple[int, int]],
    seconds: NDArray[np.float32],
    similarity: NDArray[np.float32],
) -> dict[tuple[int, int], int]:
    """Return the speaker of each (chunk, local speaker) of `places`.

    Args:
        seconds: of speech behind each voice.
        similarity: of each voice to each speaker, (places, speakers).
    """
    found: dict[tuple[int, int], int] = {}
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :CANDIDATES].tolist()
    start = 0
    for end in range(1, len(places) + 1):
        if end < len(places) and places[end][0] == places[start][0]:
            continue
        members = range(start, end)
        pairs = [*combinations(range(end - start), 2)]

        def value(
            choice: tuple[int, ...],
            members: range = members,
            pairs: list[tuple[int, int]] = pairs,
        ) -> float:
            fit = sum(
                float(similarity[index, speaker]) * float(seconds[index])
                for index, speaker in zip(members, choice, strict=True)
            )
            twice = sum(
                min(float(seconds[members[a]]), float(seconds[members[b]]))
                for a, b in pairs
                if choice[a] == choice[b]
            )
            return fit - DIVIDED * twice

        best = max(product(*(nearest[index] for index in members)), key=value)
        found.update(zip((places[index] for index in members), best, strict=True))
        start = end
    return found
