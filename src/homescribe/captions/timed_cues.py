"""A cue: what a caption file shows at one time, before it becomes a segment of a transcript."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from homescribe.core import DAY
from homescribe.errors import PermanentError
from homescribe.text import sanitize, scripts

LATEST = 7 * DAY  # of a time in a file; a later one is an attack or an accident
MOST_CUES = 100_000  # of one file: a word every second for a day
MOST_CHARACTERS = 4_000_000  # of one file: a day in which captions that scroll repeat each word

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
    pieces = list(pieces)
    _check_length(1, sum(len(text) for text, _ in pieces))
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


class Cues(list[Cue]):
    """The cues of a file, as they are read: never more than any recording has."""

    characters = 0

    def add(self, one: Cue | None) -> None:
        """Append a cue, unless it is None. Raises PermanentError over the limits."""
        if one is not None:
            self.characters += sum(len(text) for row in one.rows for text, _ in row)
            _check_length(len(self) + 1, self.characters)
            self.append(one)


def _check_length(cues: int, characters: int) -> None:
    if cues > MOST_CUES or characters > MOST_CHARACTERS:
        raise PermanentError("The captions are longer than those of any recording.")
