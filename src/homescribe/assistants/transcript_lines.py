"""A transcript as lines to quote: neighbouring segments of one speaker, each line with its time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from homescribe.core import Segment, Transcript
from homescribe.text.scripts import separator

LINE_CHARACTERS = 80  # at most of several segments on one line: its time is never far from a word's


@dataclass(frozen=True, slots=True)
class Line:
    """What one speaker says without a break. `flags` are those of its segments."""

    start: float
    end: float
    text: str
    speaker: str | None  # as outputs show it; None: unknown
    flags: tuple[str, ...]


def transcript_lines(transcript: Transcript) -> Iterator[Line]:
    """Yield the lines of a transcript in order of time. A segment is always on one line."""
    names = transcript.speaker_names
    line: list[Segment] = []
    text = ""
    for segment in transcript.segments:
        said = segment.text.strip()
        if line and not (
            segment.speaker == line[0].speaker
            and segment.flags == line[0].flags
            and len(text) + len(said) <= LINE_CHARACTERS
        ):
            yield _line(line, text, names)
            line, text = [], ""
        text += separator(text, said) + said if line else said
        line.append(segment)
    if line:
        yield _line(line, text, names)


def _line(segments: list[Segment], text: str, names: dict[str, str]) -> Line:
    first = segments[0]
    speaker = names.get(first.speaker) if first.speaker is not None else None
    return Line(first.start, segments[-1].end, text, speaker, first.flags)
