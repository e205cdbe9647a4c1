"""From the tokens of a window to segments with times in the recording, in order and within the window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest

from homescribe.core import Segment, Word
from homescribe.engines.tokenizer import Tokenizer
from homescribe.engines.windows import Window
from homescribe.engines.word_timestamps import (
    TokenizedWord,
    median_duration,
    shorten_after_pause,
)
from homescribe.text.word_times import in_order

TIMESTAMP_STEP = 0.02  # seconds between two timestamp tokens
MAX_LEAD = 0.2  # seconds between a segment's start and its speech; a longer lead is removed
# Seconds. Where a segment starts in the last MAX_REST of a sound, these belong to the words before it. A
# sound shorter than MIN_WORD with a silence of MIN_GAP after it is a click or a breath.
MAX_REST = 0.4
MIN_WORD = 0.2
MIN_GAP = 0.5


def split_segments(
    tokens: Sequence[int], tokenizer: Tokenizer, duration: float
) -> list[tuple[float, float, list[int]]]:
    """Return (start, end, text tokens) of every segment in `tokens`, in seconds from the window's start.

    Whisper writes a timestamp before and after each segment. Text without a timestamp after it is a
    segment that ends at the window's `duration`.
    """
    found: list[tuple[float, float, list[int]]] = []
    start, text = 0.0, list[int]()
    for token in tokens:
        if token < tokenizer.eot:
            text.append(token)
        elif token >= tokenizer.timestamp_begin:
            time = min((token - tokenizer.timestamp_begin) * TIMESTAMP_STEP, duration)
            if text:
                found.append((start, max(start, time), text))
                text = []
            start = time
    if text:
        found.append((start, duration, text))
    return found


def words_by_segment(
    words: Sequence[TokenizedWord], token_counts: Sequence[int]
) -> list[tuple[Word, ...]]:
    """Assign `words` to segments, which have `token_counts` text tokens each.

    Words after a pause are shortened where the alignment stretched them over it.
    """
    assigned: list[list[Word]] = [[] for _ in token_counts]
    index, used = 0, 0
    for one in words:
        while index < len(token_counts) - 1 and used >= token_counts[index]:
            used -= token_counts[index]
            index += 1
        assigned[index].append(one.word)
        used += one.tokens
    typical = median_duration(one.word for one in words)
    last_end = 0.0
    shortened = []
    for one_segment in assigned:
        shortened.append(shorten_after_pause(one_segment, last_end, typical))
        last_end = one_segment[-1].end if one_segment else last_end
    return shortened


def place(
    segments: Iterable[Segment], window: Window, after: float, *, move_starts: bool = True
) -> list[Segment]:
    """Shift `segments`, whose times count from the start of `window`, to times in the recording.

    No segment starts before `after`, the end of the previous one. Segments without text are dropped. With
    `move_starts`, a start in silence moves to where the speech begins.
    """
    placed = []
    for segment in segments:
        if not segment.text.strip():
            continue
        first = _speech_start(segment, window) if move_starts else segment.start
        start = min(max(window.start + first, after), window.end)
        end = min(max(window.start + segment.end, start), window.end)
        words = _place_words(segment.words, window.start, start, end)
        placed.append(replace(segment, start=start, end=end, words=words))
        after = end
    return placed


def _speech_start(segment: Segment, window: Window) -> float:
    """Start of `segment`, or of its first words if a silence of more than MAX_LEAD comes before them."""
    sounds = [(a, b) for a, b in window.speech if b > segment.start]
    for (start, end), following in zip_longest(sounds, sounds[1:]):
        if start >= segment.end:
            break
        if following and following[0] < segment.end and _is_stray(segment, start, end, following):
            continue
        return start if start - segment.start > MAX_LEAD else segment.start
    return segment.start


def _is_stray(segment: Segment, start: float, end: float, following: tuple[float, float]) -> bool:
    """Whether the sound from `start` to `end` is none of the words of `segment`.

    It is not if the words before the segment end with it, or if it is a short sound long before the next.
    """
    gap = following[0] - end
    if start < segment.start - MAX_LEAD:
        return end - segment.start < MAX_REST and gap > MAX_LEAD
    return end - start < MIN_WORD and gap > MIN_GAP


def _place_words(
    words: tuple[Word, ...], offset: float, start: float, end: float
) -> tuple[Word, ...]:
    """Shift `words` by `offset`, in order and between `start` and `end`, none of zero length."""
    shifted = [replace(word, start=offset + word.start, end=offset + word.end) for word in words]
    return in_order(shifted, start, end)
