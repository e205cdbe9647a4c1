"""The lines of a transcript as the page shows them, with the time of every word.

The page stores the words of a line as pairs "characters:seconds" in the order of its text, so that a click on
a letter gives a time without an HTML element for every word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from homescribe.core import Segment
from homescribe.formats.paragraphs import Section
from homescribe.text.sanitize import page_safe
from homescribe.text.scripts import RIGHT_TO_LEFT

# Segment flags in words. Flags of other engines are shown as they are.
FLAGS = {
    "low_probability": "low confidence",
    "retried": "decoded at a higher temperature",
    "repetition": "repeated words",
}
OVERLAP = "overlap"  # the flag of a segment in which several people speak


@dataclass(frozen=True, slots=True)
class Line:
    """One segment."""

    position: int
    start: float
    end: float
    text: str
    space: str  # before the line: "" in scripts that put no spaces between words
    words: str  # "6:12.48 4:12.9": characters and start of each word
    doubt: str  # why the text is uncertain, or ""
    overlap: bool  # whether several people speak at once
    original: str | None  # the engine's text, where a person corrected it


def lines(sections: Iterable[Section], originals: Mapping[int, str]) -> dict[int, Line]:
    """The line of each segment, by position.

    Args:
        originals: the engine's text of each corrected segment, by position.
    """
    return {
        each.position: line(each.position, each.segment, originals.get(each.position))
        for section in sections
        for paragraph in section.paragraphs
        for each in paragraph.lines
    }


def line(position: int, segment: Segment, original: str | None = None) -> Line:
    """The line of a segment. `original` is the engine's text where a person corrected it."""
    text = segment.text.strip()
    space = " " if segment.text[:1].isspace() or not _is_wide(text[:1]) else ""
    doubts = [FLAGS.get(flag, flag.replace("_", " ")) for flag in segment.flags if flag != OVERLAP]
    return Line(
        position=position,
        start=segment.start,
        end=segment.end,
        text=page_safe(text),
        space=space,
        words=_words(segment, text),
        doubt=", ".join(doubts),
        overlap=OVERLAP in segment.flags,
        original=None if original is None else page_safe(original.strip()),
    )


def _words(segment: Segment, text: str) -> str:
    """Characters and start of each word; "" if the words do not add up to `text`."""
    if "".join(word.word for word in segment.words).strip() != text:
        return ""
    pairs = []
    for number, word in enumerate(segment.words):
        length = len(word.word.lstrip() if number == 0 else word.word)
        # JavaScript counts UTF-16 code units: characters beyond U+FFFF, such as emoji, are two.
        length += sum(character > "\uffff" for character in word.word)
        pairs.append(f"{length}:{round(word.start, 2):g}")
    return " ".join(pairs)


def _is_wide(character: str) -> bool:
    return bool(character) and unicodedata.east_asian_width(character) in "WF"


def direction(language: str) -> str:
    """The HTML `dir` of a language: "rtl" or "ltr"."""
    return "rtl" if language in RIGHT_TO_LEFT else "ltr"
