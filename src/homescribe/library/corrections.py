"""Corrections of a transcript by a person.

A segment holds its corrected text, so that search, exports and the page need not know about corrections.
A correction keeps the text before it: for the first one of a segment, that is what the engine wrote. Undo
takes the latest one back.

Corrections outlive their transcript. They are applied to a new one where it has the same text at the same
time; otherwise they stay stored without a position.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from homescribe.core import Segment, Word
from homescribe.errors import UserError
from homescribe.library.rows import SEGMENT_COLUMNS, segment_row, to_segment
from homescribe.text.sanitize import sqlite_safe
from homescribe.text.scripts import tokens
from homescribe.text.word_times import spread

# By position of a segment, its text before and after.
TextChanges = Mapping[int, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Correction:
    """A segment that was corrected."""

    position: int  # of the segment
    text: str  # as corrected
    original: str  # as the engine wrote it
    corrected_at: float  # Unix time


def correct(
    db: sqlite3.Connection,
    item_id: int,
    key: str,
    position: int,
    text: str,
    was: str | None,
    now: float,
) -> TextChanges:
    """Replace the text of the segment at `position`; return what has changed.

    `was` is the text that the person saw, None to skip the check that it is still there.
    """
    row = _segment_row(db, item_id, key, position)
    old = to_segment(row)
    text = " ".join(sqlite_safe(text).split())
    if not text:
        raise UserError("A line cannot be empty.", "Write what is said there.")
    if was is not None and " ".join(was.split()) != " ".join(old.text.split()):
        raise UserError("This line has been changed since you opened it.", "Reload the page.")
    if text == old.text.strip():
        return {}
    db.execute(
        'INSERT INTO corrections (item_id, position, start, "end", text, was_text, was_words, '
        "was_flags, corrected_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(item_id, position, old.start, old.end, text, row["text"], row["words"]),
            *(row["flags"], now),
        ),
    )
    return {position: (old.text, _write(db, item_id, position, old, text))}


def undo(db: sqlite3.Connection, item_id: int, key: str, position: int) -> TextChanges:
    """Take back the latest correction of the segment at `position`; return what has changed."""
    current = _segment_row(db, item_id, key, position)
    row = db.execute(
        "SELECT * FROM corrections WHERE item_id = ? AND position = ? "
        "ORDER BY correction_id DESC LIMIT 1",
        (item_id, position),
    ).fetchone()
    if row is None:
        raise UserError("This line has no correction.", "")
    db.execute(
        "UPDATE segments SET text = ?, words = ?, flags = ? WHERE item_id = ? AND position = ?",
        (row["was_text"], row["was_words"], row["was_flags"], item_id, position),
    )
    db.execute("DELETE FROM corrections WHERE correction_id = ?", (row["correction_id"],))
    return {position: (current["text"], row["was_text"])}


def corrected(db: sqlite3.Connection, item_id: int) -> dict[int, Correction]:
    """Return the corrected segments of an item by position."""
    found: dict[int, Correction] = {}
    rows = db.execute(
        "SELECT position, corrections.text, coalesce(replaced_segments.text, was_text) AS was_text, "
        "corrected_at FROM corrections LEFT JOIN replaced_segments USING (item_id, position) "
        "WHERE item_id = ? AND position IS NOT NULL ORDER BY correction_id",
        (item_id,),
    )
    for row in rows:
        position = row["position"]
        before = found.get(position)
        original = before.original if before else row["was_text"]
        found[position] = Correction(position, row["text"], original, row["corrected_at"])
    return found


def detach(db: sqlite3.Connection, item_id: int) -> None:
    """Take the corrections of an item from its segments, before it gets a new transcript."""
    db.execute("UPDATE corrections SET position = NULL WHERE item_id = ?", (item_id,))


def reapply(db: sqlite3.Connection, item_id: int) -> bool:
    """Apply the corrections of an item to its new transcript, where it has the same text at the same time.

    Returns whether any was applied.
    """
    by_time: dict[tuple[float, float], list[sqlite3.Row]] = {}
    rows = db.execute(
        "SELECT * FROM corrections WHERE item_id = ? ORDER BY correction_id", (item_id,)
    )
    for row in rows:
        by_time.setdefault((row["start"], row["end"]), []).append(row)
    detach(db, item_id)
    applied = False
    for (start, end), history in by_time.items():
        found = db.execute(
            "SELECT segments.* FROM segments "
            "LEFT JOIN replaced_segments AS replaced USING (item_id, position) "
            'WHERE item_id = ? AND start < ? AND "end" > ? '
            "AND trim(?) IN (trim(segments.text), trim(replaced.text))",
            (item_id, end, start, history[0]["was_text"]),
        ).fetchone()
        if found is None:
            continue
        applied = True
        db.execute(
            'UPDATE corrections SET position = ? WHERE item_id = ? AND start = ? AND "end" = ?',
            (found["position"], item_id, start, end),
        )
        db.execute(
            "UPDATE corrections SET was_text = ?, was_words = ?, was_flags = ? WHERE correction_id = ?",
            (found["text"], found["words"], found["flags"], history[0]["correction_id"]),
        )
        _write(db, item_id, found["position"], to_segment(found), history[-1]["text"])
    return applied


def _segment_row(db: sqlite3.Connection, item_id: int, key: str, position: int) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM segments WHERE item_id = ? AND position = ?", (item_id, position)
    ).fetchone()
    if row is None:
        raise UserError(
            f"There is no line {position} in the transcript of {key}.",
            "It was transcribed again: reload the page.",
        )
    return row


def _write(db: sqlite3.Connection, item_id: int, position: int, old: Segment, text: str) -> str:
    """Write `text` into a segment, after the space that the segment begins with, and clear its flags.

    Returns the text of the segment.
    """
    space = old.text[: len(old.text) - len(old.text.lstrip())]
    words = [
        replace(word, speaker=old.speaker)
        for word in timed_words(old.words, space + text, old.start, old.end)
    ]
    row = segment_row(Segment(old.start, old.end, space + text, words=tuple(words)))
    values = dict(zip(SEGMENT_COLUMNS, row, strict=True))
    db.execute(
        "UPDATE segments SET text = ?, words = ?, flags = NULL WHERE item_id = ? AND position = ?",
        (values["text"], values["words"], item_id, position),
    )
    return space + text


# --- Times of corrected words ------------------------------------------------------------------------


def timed_words(words: Sequence[Word], text: str, start: float, end: float) -> tuple[Word, ...]:
    """Return the words of `text` with times, given the `words` that it replaces.

    Words that are unchanged keep their times; new ones share the time of the words they replace. Without
    `words` there are no times, and the result is empty.
    """
    if not words:
        return ()
    old = [piece for word in words for piece in _pieces(word)]
    new = tokens(text)
    timed: list[Word] = []
    matcher = SequenceMatcher(
        None,
        [_folded(word.word) for word in old],
        [_folded(token) for token in new],
        autojunk=False,
    )
    for kind, first, last, begin, stop in matcher.get_opcodes():
        if kind == "equal":
            pairs = zip(old[first:last], new[begin:stop], strict=True)
            timed += [Word(word.start, word.end, token, word.probability) for word, token in pairs]
        elif stop > begin:
            if last > first:  # replaced
                left, right = old[first].start, old[last - 1].end
            else:  # inserted
                left = old[first - 1].end if first else start
                right = old[last].start if last < len(old) else end
            timed += _spread(new[begin:stop], left, max(left, right), 1.0)
    return tuple(timed)


def _pieces(word: Word) -> list[Word]:
    """Return `word` as the words that `tokens` would split it into."""
    texts = tokens(word.word)
    if len(texts) == 1:  # nearly always
        return [Word(round(word.start, 3), round(word.end, 3), texts[0], word.probability)]
    return _spread(texts, word.start, word.end, word.probability)


def _spread(texts: Sequence[str], start: float, end: float, probability: float) -> list[Word]:
    """Return words one after the other from `start` to `end`, with times in whole milliseconds."""
    return [
        replace(word, start=round(word.start, 3), end=round(word.end, 3))
        for word in spread(texts, start, end, probability)
    ]


def _folded(token: str) -> str:
    """Return a word without case and punctuation, by which two words are compared."""
    return "".join(letter for letter in token.casefold() if letter.isalnum()) or token.strip()
