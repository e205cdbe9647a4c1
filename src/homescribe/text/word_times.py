"""Times of words: in order, without overlaps, and none of zero length.

Words come with times from a model's alignment, which may be equal or out of order, or without times, from a
model that gives none or from a person who typed the text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from homescribe.core import Word

SHORTEST_WORD = 0.06  # seconds, where there is room


def spread(texts: Sequence[str], start: float, end: float, probability: float) -> list[Word]:
    """Return words one after the other from `start` to `end`, each as long as its share of the letters."""
    sizes = [len(text.strip()) for text in texts]
    total = sum(sizes) or 1
    words: list[Word] = []
    letters, at = 0, start
    for number, (text, size) in enumerate(zip(texts, sizes, strict=True), start=1):
        letters += size
        until = end if number == len(texts) else start + (end - start) * letters / total
        words.append(Word(at, until, text, probability))
        at = until
    return words


def in_order(words: Iterable[Word], start: float, end: float) -> tuple[Word, ...]:
    """Return `words` in order and between `start` and `end`, none overlapping and none of zero length.

    A word without length takes SHORTEST_WORD from its neighbours; if there is not room for that many, all get
    the same share. Words with valid times keep them.
    """
    found = list(words)
    shortest = min(SHORTEST_WORD, (end - start) / len(found)) if found else 0.0
    after = start
    for number, word in enumerate(found):
        first = min(max(word.start, after), end)
        last = min(max(word.end, first), end)
        # Valid words may be shorter than SHORTEST_WORD; only those without length are made longer.
        last = last if last > first else first + shortest
        found[number] = replace(word, start=first, end=last)
        after = last
    before = end
    for number in range(len(found) - 1, -1, -1):
        word = found[number]
        if word.end <= before:
            break  # what precedes it is in order
        first = max(start, min(word.start, before - shortest))
        found[number] = replace(word, start=first, end=before)
        before = first
    return tuple(found)
