"""Give the words of an answer to its segments: services list both, and words often without punctuation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from homescribe.core import Segment, Word

TOLERANCE = 0.5  # seconds by which the times of a word and of its segment may differ


def with_words(segments: Sequence[Segment], words: Sequence[Word]) -> tuple[Segment, ...]:
    """Return `segments` with their words, whose texts together are those of the segments.

    The letters of a segment must be those of the next words. Where they are not, the segment gets none, and
    the words up to its end are left out.
    """
    found: list[Segment] = []
    at = 0
    for segment in segments:
        taken, after = _take(segment, words, at)
        if not taken:
            # Go on behind this segment, so that one difference does not cost all words.
            after = at
            while after < len(words) and words[after].start < segment.end - TOLERANCE / 5:
                after += 1
        found.append(replace(segment, words=tuple(taken)))
        at = after
    return tuple(found)


def _take(segment: Segment, words: Sequence[Word], at: int) -> tuple[list[Word], int]:
    """Return the words of a segment from `at` on and where the next one's begin; none if letters differ."""
    places = [n for n, character in enumerate(segment.text) if character.isalnum()]
    wanted = "".join(segment.text[n] for n in places).lower()
    spoken: list[Word] = []
    letters = ""
    while len(letters) < len(wanted) and at < len(words):
        own = _letters(words[at].word)
        if not wanted.startswith(letters + own):
            return [], at
        letters += own
        spoken.append(words[at])
        at += 1
    if not wanted or letters != wanted or len(wanted) != len(places):
        return [], at
    while at < len(words) and not _letters(words[at].word):  # a mark by itself
        at += 1
    if spoken and abs(spoken[0].start - segment.start) > TOLERANCE + segment.end - segment.start:
        return [], at
    texts = _texts(segment.text, places, [len(_letters(word.word)) for word in spoken])
    return [replace(word, word=text) for word, text in zip(spoken, texts, strict=True) if text], at


def _texts(text: str, places: Sequence[int], lengths: Sequence[int]) -> list[str]:
    """Split `text` into one text for each word: with the space before it and the marks after it."""
    texts: list[str] = []
    begin = letters = 0
    last = len(lengths) - 1
    for number, length in enumerate(lengths):
        if not length:
            texts.append("")
            continue
        letters += length
        end = places[letters - 1] + 1
        while end < len(text) and not text[end].isspace() and not text[end].isalnum():
            end += 1
        if number == last or not any(lengths[number + 1 :]):
            end = len(text)
        texts.append(text[begin:end])
        begin = end
    return texts


def _letters(text: str) -> str:
    return "".join(character for character in text if character.isalnum()).lower()
