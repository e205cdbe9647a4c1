"""The text of a hit in search: the lines of speech, or of a description, and what matches in them."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from homescribe.library.passages import Span
from homescribe.library.rows import to_segment
from homescribe.text.scripts import CONTROL, separator, spaced

MAX_LINE = 300  # characters of a line of a description in a hit
MAX_LEAD = 60  # of them before the match
MIN_TEXT = 160  # characters of a hit in speech, where its passage has them
DASH = "\N{EM DASH}"  # where another speaker goes on


@dataclass(frozen=True, slots=True)
class HitText:
    """The text of a hit with its time, and the ranges of its characters that match."""

    start: float
    end: float
    text: str
    highlights: tuple[Span, ...]
    speaker: str | None = None  # label of the first speaker


def said_by(
    segments: Sequence[sqlite3.Row], labels: Collection[str], found: Sequence[Span]
) -> list[Span]:
    """Return the matches in the segments of these speakers."""
    inside: list[Span] = []
    offset = 0
    for segment in segments:
        end = offset + len(spaced(CONTROL.sub(" ", segment["text"].strip()))[0])
        if segment["speaker"] in labels:
            inside += [span for span in found if offset <= span[0] < end]
        offset = end + 1
    return inside


def speech_text(segments: Sequence[sqlite3.Row], found: Sequence[Span], match: Span) -> HitText:
    """Return the text of a hit in speech.

    It has the segments from the beginning of the match to its end, and more of the same speaker up to
    MIN_TEXT characters. It starts with the first word of the match where word times are stored, else with
    its segment.
    """
    shown: list[sqlite3.Row] = []
    text = ""
    places: list[int] = []  # offset in `text` of each character of the passage, from `origin` on
    origin = offset = 0
    for segment in segments:
        said = CONTROL.sub(" ", segment["text"].strip())
        indexed, own_places = spaced(said)
        changes = bool(shown) and segment["speaker"] != shown[-1]["speaker"]
        if shown and offset >= match[1] and (changes or len(text) >= MIN_TEXT):
            break
        if offset + len(indexed) > match[0]:
            if shown:
                places.append(len(text))
                text += f" {DASH} " if changes else separator(text, said)
            else:
                origin = offset
            places += [len(text) + place for place in own_places]
            text += said
            shown.append(segment)
        offset += len(indexed) + 1
    inside = [(begin - origin, end - origin) for begin, end in found]
    start = _word_start(shown[0], places[max(0, min(match[0] - origin, len(places) - 1))])
    highlights = _highlights(inside, places, len(text))
    return HitText(start, shown[-1]["end"], text, highlights, shown[0]["speaker"])


def _word_start(row: sqlite3.Row, offset: int) -> float:
    """Return the time of the word at `offset` in the stripped text of a segment, else of the segment."""
    segment = to_segment(row)
    text = CONTROL.sub(" ", segment.text.strip())
    end = 0
    for word in segment.words:
        spoken = CONTROL.sub(" ", word.word.strip())
        begin = text.find(spoken, end)
        if begin < 0:
            continue
        end = begin + len(spoken)
        if end > offset:
            return word.start if segment.start <= word.start <= segment.end else segment.start
    return segment.start


def written_line(written: str, found: Sequence[Span], match: Span) -> HitText:
    """Return the line of a title or description in which the match begins, shortened."""
    _, places = spaced(written)
    here = places[match[0]] if places else 0
    first = line_first = written.rfind("\n", 0, here) + 1
    last = line_last = (written + "\n").find("\n", here)
    if last - first > MAX_LINE:
        first = max(first, written.rfind(" ", first, max(first, here - MAX_LEAD)) + 1)
        last = min(last, first + MAX_LINE)
    before = "… " if first > line_first else ""
    after = " …" if last < line_last else ""
    shift = first - len(before)
    highlights = (
        (max(begin, first) - shift, min(end, last) - shift)
        for begin, end in _highlights(found, places, len(written))
        if begin < last and end > first
    )
    line = before + CONTROL.sub(" ", written[first:last]) + after
    return HitText(0.0, 0.0, line, tuple(highlights))


def _highlights(found: Sequence[Span], places: Sequence[int], length: int) -> tuple[Span, ...]:
    """Return ranges of indexed text as ranges of the original text, given the offset of each character.

    `places` is sorted.
    """
    ranges: list[Span] = []
    for begin, end in found:
        begin, end = max(0, begin), min(end, len(places))
        if begin < end:
            after = bisect_right(places, places[end - 1])
            ranges.append((places[begin], places[after] if after < len(places) else length))
    return tuple(ranges)
