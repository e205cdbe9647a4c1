"""A cue: what a caption file shows at one time, before it becomes a segment of a transcript."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homescribe.core import DAY
from homescribe.errors import PermanentError
from homescribe.text import sanitize, scripts

LATEST = 7 * DAY  # of a time in a file; a later one is an attack or an accident
MOST_CUES = 100_000  # of one file: a word every second for a day
MOST_CHARACTERS = 10_000_000  # of one file

Token = tuple[
    str, float | None
]  # a word with the space before it, and its time where the file has one


@dataclass(frozen=True, slots=True)
class Cue:
    """The rows of text that are shown at one time."""

    start: float
    end: float | None  # None: the file does not say
    rows: tuple[tuple[Token, ...], ...]
    speaker: str | None = None

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The words of all rows, with a space between two rows where the script has spaces."""
        found: list[Token] = []
        for row in self.rows:
            for number, (text, time) in enumerate(row):
                if number == 0 and found and not text.startswith(" "):
                    text = scripts.separator(found[-1][0], text) + text
                found.append((text, time))
        return tuple(found)

    @property
    def text(self) -> str:
        """The text of all rows on one line."""
        return "".join(text for text, _ in self.tokens).strip()


def cue(
    start: float,
    end: float | None,
    pieces: Iterable[tuple[str, float | None]],
    speaker: str | None = None,
) -> Cue | None:
    """Return a cue; None for one without text, or with a time that is none.

    Args:
        pieces: parts of the text, each with its time. "\\n" begins a row.
    """
    if not is_time(start):
        return None
    rows: list[list[Token]] = [[]]
    space = False
    for text, time in pieces:
        known = time if time is not None and is_time(time) else None
        for number, line in enumerate(text.split("\n")):
            if number:
                rows.append([])
                space = False
            shown = sanitize.terminal_safe_part(line)
            for token in scripts.tokens(shown):
                word = token.strip()
                if word:
                    spaced = token[0].isspace() or space
                    rows[-1].append((f" {word}" if spaced and rows[-1] else word, known))
                    known, space = None, False
            space = space or shown[-1:].isspace()
    kept = tuple(tuple(row) for row in rows if row)
    if not kept:
        return None
    name = sanitize.one_line(speaker or "", 100) or None
    return Cue(start, end if end is not None and is_time(end) else None, kept, name)


def is_time(seconds: float) -> bool:
    """Whether `seconds` can be a time in a recording."""
    return math.isfinite(seconds) and 0 <= seconds <= LATEST


def within_limits(cues: Sequence[Cue]) -> Sequence[Cue]:
    """Return `cues`; PermanentError if there are more than any recording has."""
    characters = sum(len(text) for each in cues for row in each.rows for text, _ in row)
    if len(cues) > MOST_CUES or characters > MOST_CHARACTERS:
        raise PermanentError("The captions are longer than those of any recording.")
    return cues
