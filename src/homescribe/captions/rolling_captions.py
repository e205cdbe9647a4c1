"""Captions that scroll: each cue repeats the end of the one before it and adds a few words.

Automatic captions of YouTube are written in this way as vtt, and everything that is converted from it. A file
in which a person repeats a line now and then is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from homescribe.captions.timed_cues import Cue, Token
from homescribe.core import SECOND

TOUCHING = 0.5 * SECOND  # at most, between a cue and one that repeats it
LEAST_SHARE = 0.3  # of the cues that touch: a file in which as many repeat words scrolls
LEAST_REPEATS = 3
LEAST_WORDS = 3  # that are repeated within a row; fewer may be the speaker's own
MOST_WORDS = 80  # of the end of a cue, that are compared


def without_repetitions(cues: Sequence[Cue]) -> Sequence[Cue]:
    """Return the cues with what each of them adds, if they scroll; else as they are."""
    repeated = [0, *(_repeated(before, after) for before, after in pairwise(cues))]
    touching = sum(_touch(before, after) for before, after in pairwise(cues))
    repeating = sum(map(bool, repeated))
    if repeating < max(LEAST_REPEATS, LEAST_SHARE * touching):
        return cues
    found = []
    for each, count in zip(cues, repeated, strict=True):
        rows = _without_first(each.rows, count)
        if rows:
            found.append(replace(each, rows=rows))
    return found


def _touch(before: Cue, after: Cue) -> bool:
    return after.start - (after.start if before.end is None else before.end) <= TOUCHING


def _repeated(before: Cue, after: Cue) -> int:
    """Return how many words at the start of `after` repeat the last ones of `before`."""
    if before.speaker != after.speaker or not _touch(before, after):
        return 0
    old, new = _words(before.rows), _words(after.rows)
    whole_rows = set()
    count = 0
    for row in reversed(before.rows):
        count += len(row)
        whole_rows.add(count)
    for count in range(min(len(old), len(new), MOST_WORDS), 0, -1):
        if old[-count:] == new[:count] and (
            count >= LEAST_WORDS or count == len(new) or count in whole_rows
        ):
            return count
    return 0


def _words(rows: tuple[tuple[Token, ...], ...]) -> list[str]:
    return [text.strip().casefold() for row in rows for text, _ in row]


def _without_first(
    rows: tuple[tuple[Token, ...], ...], count: int
) -> tuple[tuple[Token, ...], ...]:
    kept = []
    for row in rows:
        rest = row[count:]
        count = max(0, count - len(row))
        if rest:
            kept.append(rest)
    return tuple(kept)
