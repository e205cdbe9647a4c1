"""From a window's tokens to segments on the recording's clock, in order and never past their window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from homescribe.core import Segment, Word
from homescribe.engines.timing import Aligned
from homescribe.engines.vad import Window

STEP = 0.02  # seconds of one timestamp token
EARLY = 0.2  # seconds by which a start may precede the voice; beyond, it is moved to it


def cut(
    tokens: Sequence[int], tokenizer: Any, length: float
) -> list[tuple[float, float, list[int]]]:
    """(start, end, text tokens) of every segment in `tokens`, seconds on the window's clock.

    Whisper writes a timestamp before and after each segment. What stands after the last one, or between
    two of which one is missing, is a segment too: it ends where the window of `length` seconds ends.
    """
    found: list[tuple[float, float, list[int]]] = []
    start, text = 0.0, list[int]()
    for token in tokens:
        if token < tokenizer.eot:
            text.append(token)
        elif token >= tokenizer.timestamp_begin:
            time = min((token - tokenizer.timestamp_begin) * STEP, length)
            if text:
                found.append((start, max(start, time), text))
                text = []
            start = time
    if text:
        found.append((start, length, text))
    return found


def share(words: Sequence[Aligned], counts: Sequence[int]) -> list[tuple[Word, ...]]:
    """`words` dealt out to segments that have `counts` text tokens each."""
    dealt: list[list[Word]] = [[] for _ in counts]
    at, used = 0, 0
    for aligned in words:
        while at < len(counts) - 1 and used >= counts[at]:
            used -= counts[at]
            at += 1
        dealt[at].append(aligned.word)
        used += aligned.tokens
    return [tuple(words) for words in dealt]


def place(segments: Iterable[Segment], window: Window, after: float) -> list[Segment]:
    """`segments`, whose times count from the start of `window`, on the recording's clock.

    None begins before `after`, the end of the one before. Those without text are left out. A start that
    lies in silence is moved to where the voice sets in.
    """
    placed = []
    for segment in segments:
        if not segment.text.strip():
            continue
        start = min(max(window.start + _onset(segment, window), after), window.end)
        end = min(max(window.start + segment.end, start), window.end)
        words = _place_words(segment.words, window.start, start, end)
        placed.append(replace(segment, start=start, end=end, words=words))
        after = end
    return placed


def _onset(segment: Segment, window: Window) -> float:
    """Start of `segment`, or of the speech in it where that comes clearly later."""
    for start, end in window.speech:
        if end > segment.start:
            late = start - segment.start > EARLY and start < segment.end
            return start if late else segment.start
    return segment.start


def _place_words(
    words: tuple[Word, ...], offset: float, start: float, end: float
) -> tuple[Word, ...]:
    placed = []
    for word in words:
        first = min(max(offset + word.start, start), end)
        last = min(max(offset + word.end, first), end)
        placed.append(replace(word, start=first, end=last))
        start = last
    return tuple(placed)
