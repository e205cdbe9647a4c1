"""A transcript as a person reads it: chapters, paragraphs, lines, and where every word begins.

The page holds each line's words as pairs "characters:seconds", in the order of its text, so that a click on
a letter is a time without an element for every word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from homescribe.core import Chapter, Segment, Transcript
from homescribe.formats.paragraphs import sections

# Why a line is doubtful, in words; flags of other engines are shown as they are.
DOUBTS = {
    "low_probability": "the model was unsure",
    "retried": "heard only at a second try",
    "repetition": "the words repeat themselves",
}
# Languages that are written from right to left, by Whisper's code.
RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ps", "sd", "ur", "yi"})


@dataclass(frozen=True, slots=True)
class Line:
    """One segment. `space` stands before it: scripts without blanks between words have none."""

    position: int
    start: float
    end: float
    text: str
    space: str
    words: str
    doubt: str
    heard: str | None  # what the machine wrote, where a person corrected it


@dataclass(frozen=True, slots=True)
class Paragraph:
    start: float
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """The paragraphs of a chapter; those before the first chapter have no title."""

    title: str | None
    start: float
    paragraphs: tuple[Paragraph, ...]


def parts(
    transcript: Transcript, chapters: Sequence[Chapter], heard: Mapping[int, str]
) -> list[Part]:
    """The whole transcript. `heard` is what the machine wrote in the lines that were corrected."""
    return [
        Part(
            section.title,
            section.start,
            tuple(
                Paragraph(
                    paragraph.start,
                    tuple(
                        line(each.position, each.segment, heard.get(each.position))
                        for each in paragraph.lines
                    ),
                )
                for paragraph in section.paragraphs
            ),
        )
        for section in sections(transcript, chapters)
    ]


def line(position: int, segment: Segment, heard: str | None = None) -> Line:
    """One segment as the page shows it."""
    text = segment.text.strip()
    space = " " if segment.text[:1].isspace() or not _is_wide(text[:1]) else ""
    doubts = [DOUBTS.get(flag, flag.replace("_", " ")) for flag in segment.flags]
    return Line(
        position=position,
        start=segment.start,
        end=segment.end,
        text=text,
        space=space,
        words=_words(segment, text),
        doubt=", ".join(doubts),
        heard=None if heard is None else heard.strip(),
    )


def _words(segment: Segment, text: str) -> str:
    """ "6:12.48 4:12.9": characters and start of each word; "" when the words are not those of the text."""
    if "".join(word.word for word in segment.words).strip() != text:
        return ""
    pairs = []
    for number, word in enumerate(segment.words):
        length = len(word.word.lstrip() if number == 0 else word.word)
        # In the units of JavaScript's strings, where an emoji counts twice.
        length += sum(character > "\uffff" for character in word.word)
        pairs.append(f"{length}:{round(word.start, 2):g}")
    return " ".join(pairs)


def _is_wide(character: str) -> bool:
    return bool(character) and unicodedata.east_asian_width(character) in "WF"


def direction(language: str) -> str:
    """ "rtl" or "ltr", by the language of a transcript."""
    return "rtl" if language in RIGHT_TO_LEFT else "ltr"
