"""Word times, from the way of text through time that a network's attention shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homescribe.core import Word

PER_SECOND = 50  # places of the encoder's output

# Marks that belong to the word after or before them, as in whisper.timing.
OPENING = "\"'“¿([{-"
CLOSING = "\"'.。,，!！?？:：”)]}、"


@dataclass(frozen=True, slots=True)
class Aligned:
    """A word on its window's clock, and how many tokens it is made of."""

    word: Word
    tokens: int


def words(
    path: tuple[NDArray[np.int64], NDArray[np.int64]],
    tokens: Sequence[int],
    chances: Sequence[float],
    tokenizer: Any,
) -> list[Aligned]:
    """The words of `tokens`, whose probabilities are `chances`.

    `path` has, for each of its steps, a place in `tokens` (the one past the last included) and a place in
    the encoder's output. As whisper.timing.find_alignment.
    """
    text, time = path
    split, groups = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    if len(groups) <= 1:
        return []
    borders = np.cumsum([0, *(len(group) for group in groups[:-1])])
    jumps = np.concatenate([[True], np.diff(text) > 0])
    starts = time[jumps] / PER_SECOND
    found = []
    for word, first, last in zip(split[:-1], borders[:-1], borders[1:], strict=True):
        chance = float(np.mean(chances[first:last]))
        end = starts[min(last, len(starts) - 1)]
        found.append(
            Aligned(Word(float(starts[first]), float(end), word, chance), int(last - first))
        )
    return join_marks(found)


def join_marks(found: Sequence[Aligned]) -> list[Aligned]:
    """Marks joined to the word they belong to. A mark's own time says nothing: the word keeps its own."""
    joined: list[Aligned] = []
    for one in found:
        text = one.word.word
        if joined and text.strip() and text in CLOSING and not joined[-1].word.word.endswith(" "):
            before = joined[-1]
            word = replace(before.word, word=before.word.word + text)
            joined[-1] = Aligned(word, before.tokens + one.tokens)
        elif joined and _opens(joined[-1].word.word):
            mark = joined.pop()
            word = replace(one.word, word=mark.word.word + text)
            joined.append(Aligned(word, mark.tokens + one.tokens))
        else:
            joined.append(one)
    return joined


def _opens(text: str) -> bool:
    return text.startswith(" ") and bool(text.strip()) and text.strip() in OPENING
