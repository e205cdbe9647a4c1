"""Split a transcript into chapters and paragraphs, for Markdown and for the web page."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from homescribe.core import Chapter, Segment, Transcript

PAUSE = 2.0  # seconds of silence after which a paragraph begins
# A paragraph of this many characters ends with its sentence, one of the longest at once.
PARAGRAPH_CHARACTERS = 500
LONGEST_PARAGRAPH_CHARACTERS = 1000

_SENTENCE_END = re.compile(r"[.!?…。！？｡؟۔।]['\"”’»)\]」』]*$")


@dataclass(frozen=True, slots=True)
class Line:
    """A segment with text, and its position in `Transcript.segments`."""

    position: int
    segment: Segment


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One or more lines."""

    lines: tuple[Line, ...]

    @property
    def start(self) -> float:
        return self.lines[0].segment.start


@dataclass(frozen=True, slots=True)
class Section:
    """A chapter, or the part before the first chapter: that one has no title and starts at 0."""

    title: str | None
    start: float
    paragraphs: tuple[Paragraph, ...]


def sections(transcript: Transcript, chapters: Sequence[Chapter]) -> Iterator[Section]:
    """Yield the chapters in order of time, including those without segments.

    A segment belongs to the chapter that contains its middle, because chapters seldom begin exactly between
    two sentences.
    """
    marks = sorted(chapters, key=lambda chapter: chapter.start)
    starts = [-math.inf, *(chapter.start for chapter in marks), math.inf]
    titles = [None, *(chapter.title for chapter in marks)]
    lines = [Line(position, segment) for position, segment in enumerate(transcript.segments)]
    for title, start, end in zip(titles, starts, starts[1:], strict=False):
        inside = [
            line for line in lines if start <= (line.segment.start + line.segment.end) / 2 < end
        ]
        if inside or title is not None:
            yield Section(title, max(0.0, start), tuple(_paragraphs(inside)))


def _paragraphs(lines: Iterable[Line]) -> Iterator[Paragraph]:
    paragraph: list[Line] = []
    characters = 0
    for line in lines:
        if not line.segment.text.strip():
            continue
        if paragraph and _begins_paragraph(paragraph[-1].segment, line.segment, characters):
            yield Paragraph(tuple(paragraph))
            paragraph, characters = [], 0
        paragraph.append(line)
        characters += len(line.segment.text)
    if paragraph:
        yield Paragraph(tuple(paragraph))


def _begins_paragraph(last: Segment, following: Segment, characters: int) -> bool:
    """Whether `following` begins a new paragraph after one of `characters` that ends with `last`."""
    if following.start - last.end >= PAUSE or characters >= LONGEST_PARAGRAPH_CHARACTERS:
        return True
    ends = _SENTENCE_END.search(last.text.rstrip()) is not None
    return ends and characters >= PARAGRAPH_CHARACTERS
