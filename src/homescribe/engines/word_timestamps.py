"""Word timestamps from the cross-attention of the alignment heads, as in whisper.timing.

The alignment stretches words over the pause before or after them. As in whisper.timing, a word beside a pause
lasts at most twice as long as the window's median word.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

import numpy as np
from numpy.typing import NDArray

from homescribe.core import Word
from homescribe.engines.tokenizer import Tokenizer

ENCODER_RATE = 50  # positions of the encoder's output per second

# Punctuation that is joined to the following or the preceding word, as in whisper.timing.
PREPENDED = "\"'“¿([{-"
APPENDED = "\"'.。,，!！?？:：”)]}、"

SENTENCE_END = ".。!！?？"
LONGEST_MEDIAN = 0.7  # seconds; a longer median does not allow longer words
LONG_WORD = 2  # median durations
PAUSE = 4  # median durations between the end of a word and the end of the next one

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
    return merge_punctuation(_shorten_at_sentence_ends(words))


def median_duration(words: Iterable[Word]) -> float:
    """Return the median duration in seconds of `words`, at most LONGEST_MEDIAN; 0 without any."""
    durations = [word.end - word.start for word in words if word.end > word.start]
    return min(LONGEST_MEDIAN, median(durations)) if durations else 0.0


def _shorten_at_sentence_ends(words: Sequence[TokenizedWord]) -> list[TokenizedWord]:
    """Shorten long punctuation, and long words that follow it: they contain the pause between sentences."""
    longest = LONG_WORD * median_duration(one.word for one in words)
    shortened = list(words[:1])
    for before, one in pairwise(words):
        word = one.word
        if word.end - word.start > longest > 0:
            if word.word in SENTENCE_END:
                word = replace(word, end=word.start + longest)
            elif before.word.word in SENTENCE_END:
                word = replace(word, start=word.end - longest)
        shortened.append(replace(one, word=word))
    return shortened


def shorten_after_pause(words: Sequence[Word], last_end: float, typical: float) -> tuple[Word, ...]:
    """Return the words of a segment with the first two shortened if they are stretched over a pause.

    Args:
        last_end: end of the last word before the segment, from the same start as the times of `words`.
        typical: median duration of a word.
    """
    if not words or words[0].end - last_end <= PAUSE * typical:
        return tuple(words)
    first, *others = words
    longest = LONG_WORD * typical
    both_long = bool(others) and others[0].end - first.start > 2 * longest
    if not (first.end - first.start > longest or both_long):
        return tuple(words)
    if others and others[0].end - others[0].start > longest:
        boundary = max(others[0].end / 2, others[0].end - longest)
        first = replace(first, end=boundary)
        others[0] = replace(others[0], start=boundary)
    first = replace(first, start=max(0.0, first.end - longest))
    return (first, *others)


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
