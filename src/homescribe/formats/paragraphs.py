"""Split a transcript into chapters and paragraphs, for Markdown and for the web page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from homescribe.core import Chapter, Segment, Skipped, Transcript
from homescribe.formats.attribution import segment_speaker
from homescribe.formats.coverage import holes
from homescribe.text.scripts import ends_sentence

PAUSE = 2.0  # seconds of silence after which a paragraph begins
# A paragraph of this many characters ends with its sentence, one of the longest at once.
PARAGRAPH_CHARACTERS = 500
LONGEST_PARAGRAPH_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Line:
    """A segment with text, and its position in `Transcript.segments`."""

    position: int
    segment: Segment


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One or more lines of one speaker in one language."""

    lines: tuple[Line, ...]
    language: str  # Whisper's code
    speaker: str | None = None  # label of the speaker; None: unknown

    @property
    def start(self) -> float:
        return self.lines[0].segment.start


@dataclass(frozen=True, slots=True)
class Section:
    """A chapter, or the part before the first chapter: that one has no title and starts at 0."""

    title: str | None
    start: float
    parts: tuple[
        Paragraph | Skipped, ...
    ]  # paragraphs, and long stretches without text between them

    @property
    def paragraphs(self) -> tuple[Paragraph, ...]:
        return tuple(part for part in self.parts if isinstance(part, Paragraph))


def sections(transcript: Transcript, chapters: Sequence[Chapter]) -> Iterator[Section]:
    """Yield the chapters in order of time, including those without segments.

    A segment belongs to the chapter that contains its middle, because chapters seldom begin exactly between
    two sentences.
    """
    marks = sorted(chapters, key=lambda chapter: chapter.start)
    starts = [-math.inf, *(chapter.start for chapter in marks), math.inf]
    titles = [None, *(chapter.title for chapter in marks)]
    lines: list[Line | Skipped] = [*map(Line, count(), transcript.segments)]
    for position, hole in reversed(holes(transcript) if lines else []):
        lines.insert(position, hole)
    for title, start, end in zip(titles, starts, starts[1:], strict=False):
        inside = [line for line in lines if start <= _middle(line) < end]
        if inside or title is not None:
            parts = tuple(_paragraphs(inside, transcript.language))
            yield Section(title, max(0.0, start), parts)


def _middle(line: Line | Skipped) -> float:
    part = line.segment if isinstance(line, Line) else line
    return (part.start + part.end) / 2


def _paragraphs(lines: Iterable[Line | Skipped], language: str) -> Iterator[Paragraph | Skipped]:
    """Divide lines into paragraphs. `language` is that of segments without their own."""
    paragraph: list[Line] = []
    characters = 0

    def ended() -> Iterator[Paragraph]:
        if paragraph:
            first = paragraph[0].segment
            yield Paragraph(tuple(paragraph), first.language or language, segment_speaker(first))
            paragraph.clear()

    for line in lines:
        if isinstance(line, Skipped):
            yield from ended()
            yield line
            continue
        if not line.segment.text.strip():
            continue
        last = paragraph[-1].segment if paragraph else line.segment
        changes = (last.language or language) != (line.segment.language or language)
        changes = changes or segment_speaker(last) != segment_speaker(line.segment)
        if changes or (paragraph and _begins_paragraph(last, line.segment, characters)):
            yield from ended()
        characters = len(line.segment.text) + (characters if paragraph else 0)
        paragraph.append(line)
    yield from ended()


def _begins_paragraph(last: Segment, following: Segment, characters: int) -> bool:
    """Whether `following` begins a new paragraph after one of `characters` that ends with `last`."""
    if following.start - last.end >= PAUSE or characters >= LONGEST_PARAGRAPH_CHARACTERS:
        return True
    ends = ends_sentence(last.text)
    return ends and characters >= PARAGRAPH_CHARACTERS
