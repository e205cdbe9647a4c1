"""Word timestamps from the cross-attention of the alignment heads, as in whisper.timing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from homescribe.core import Word
from homescribe.engines.tokenizer import Tokenizer

ENCODER_RATE = 50  # positions of the encoder's output per second

# Punctuation that is joined to the following or the preceding word, as in whisper.timing.
PREPENDED = "\"'“¿([{-"
APPENDED = "\"'.。,，!！?？:：”)]}、"

# DTW path: for each step a text position and a position in the encoder's output.
AlignmentPath = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class TokenizedWord:
    """A word, with times from the start of its window, and the number of its tokens."""

    word: Word
    tokens: int


def find_words(
    path: AlignmentPath,
    tokens: Sequence[int],
    probabilities: Sequence[float],
    tokenizer: Tokenizer,
) -> list[TokenizedWord]:
    """Return the words of the text `tokens`, which have these `probabilities`.

    Text positions in `path` count from the first of `tokens` to one past the last. As in
    whisper.timing.find_alignment.
    """
    text, time = path
    split, groups = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    if len(groups) <= 1:
        return []
    boundaries = np.cumsum([0, *(len(group) for group in groups[:-1])])
    jumps = np.concatenate([[True], np.diff(text) > 0])
    starts = time[jumps] / ENCODER_RATE
    words = []
    for word, first, last in zip(split[:-1], boundaries[:-1], boundaries[1:], strict=True):
        probability = float(np.mean(probabilities[first:last]))
        end = starts[min(last, len(starts) - 1)]
        words.append(
            TokenizedWord(
                Word(float(starts[first]), float(end), word, probability), int(last - first)
            )
        )
    return merge_punctuation(words)


def merge_punctuation(words: Sequence[TokenizedWord]) -> list[TokenizedWord]:
    """Join punctuation to its word, which keeps its own times: those of punctuation are meaningless."""
    merged: list[TokenizedWord] = []
    for one in words:
        text = one.word.word
        if merged and text.strip() and text in APPENDED and not merged[-1].word.word.endswith(" "):
            before = merged[-1]
            word = replace(before.word, word=before.word.word + text)
            merged[-1] = TokenizedWord(word, before.tokens + one.tokens)
        elif merged and _is_prepended(merged[-1].word.word):
            mark = merged.pop()
            word = replace(one.word, word=mark.word.word + text)
            merged.append(TokenizedWord(word, mark.tokens + one.tokens))
        else:
            merged.append(one)
    return merged


def _is_prepended(text: str) -> bool:
    return text.startswith(" ") and bool(text.strip()) and text.strip() in PREPENDED
