"""Segments from a window's clock to the recording's, in order and never past their window."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from homescribe.core import Segment, Word
from homescribe.engines.speech import Window


def place(segments: Iterable[Segment], window: Window, after: float) -> list[Segment]:
    """`segments`, whose times count from the start of `window`, on the recording's clock.

    None begins before `after`, the end of the one before. Those without text are left out.
    """
    placed = []
    for segment in segments:
        if not segment.text.strip():
            continue
        start = min(max(round(window.start + segment.start, 3), after), window.end)
        end = min(max(round(window.start + segment.end, 3), start), window.end)
        words = _place_words(segment.words, window.start, start, end)
        placed.append(replace(segment, start=start, end=end, words=words))
        after = end
    return placed


def _place_words(
    words: tuple[Word, ...], offset: float, start: float, end: float
) -> tuple[Word, ...]:
    placed = []
    for word in words:
        first = min(max(round(offset + word.start, 3), start), end)
        last = min(max(round(offset + word.end, 3), first), end)
        placed.append(replace(word, start=first, end=last))
        start = last
    return tuple(placed)
