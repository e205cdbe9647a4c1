"""What a person corrected, beside what the machine wrote.

The segment holds what stands now, so that reading, search and exports need to know nothing of corrections.
Each correction keeps what stood there before it, the machine's words below the first of a line: undoing
takes the latest away. They outlive their transcript: where a new one has the same words in the same place,
they are made again; where it has not, they stay on record without a line.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from homescribe.core import Segment, Word
from homescribe.errors import UserError
from homescribe.library.rows import SEGMENT_COLUMNS, segment_row, to_segment
from homescribe.text.sanitize import sqlite_safe
from homescribe.text.scripts import tokens

GONE = "There is no line {position} in the transcript of {key}."
RELOAD = "It was transcribed again: reload the page."


@dataclass(frozen=True, slots=True)
class Correction:
    """A line that was corrected: what stands there, and what the machine wrote."""

    position: int  # of the segment
    text: str
    heard: str
    corrected_at: float  # Unix time


def correct(
    db: sqlite3.Connection,
    item_id: int,
    key: str,
    position: int,
    text: str,
    was: str | None,
    now: float,
) -> None:
    """Let `text` stand in the line at `position`. `was` is what its reader saw there."""
    row = _line(db, item_id, key, position)
    old = to_segment(row)
    text = " ".join(sqlite_safe(text).split())
    if not text:
        raise UserError("A line cannot be empty.", "Write what is said there.")
    if was is not None and " ".join(was.split()) != " ".join(old.text.split()):
        raise UserError("This line has changed meanwhile.", "Reload the page.")
    if text == old.text.strip():
        return
    db.execute(
        'INSERT INTO corrections (item_id, position, start, "end", text, was_text, was_words, '
        "was_flags, corrected_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(item_id, position, old.start, old.end, text, row["text"], row["words"]),
            *(row["flags"], now),
        ),
    )
    _write(db, item_id, position, old, text)


def undo(db: sqlite3.Connection, item_id: int, key: str, position: int) -> None:
    """Let stand again what stood before the latest correction of a line."""
    _line(db, item_id, key, position)
    row = db.execute(
        "SELECT * FROM corrections WHERE item_id = ? AND position = ? "
        "ORDER BY correction_id DESC LIMIT 1",
        (item_id, position),
    ).fetchone()
    if row is None:
        raise UserError("Nothing was corrected in this line.", "")
    db.execute(
        "UPDATE segments SET text = ?, words = ?, flags = ? WHERE item_id = ? AND position = ?",
        (row["was_text"], row["was_words"], row["was_flags"], item_id, position),
    )
    db.execute("DELETE FROM corrections WHERE correction_id = ?", (row["correction_id"],))


def corrected(db: sqlite3.Connection, item_id: int) -> dict[int, Correction]:
    """The corrected lines of an item by position."""
    found: dict[int, Correction] = {}
    rows = db.execute(
        "SELECT position, text, was_text, corrected_at FROM corrections "
        "WHERE item_id = ? AND position IS NOT NULL ORDER BY correction_id",
        (item_id,),
    )
    for row in rows:
        before = found.get(row["position"])
        heard = before.heard if before else row["was_text"]
        found[row["position"]] = Correction(
            row["position"], row["text"], heard, row["corrected_at"]
        )
    return found


def carry_over(db: sqlite3.Connection, item_id: int) -> bool:
    """Make the corrections of an item again in its new transcript, where it says the same in the same
    place; returns whether there were any.
    """
    lines: dict[tuple[float, float], list[sqlite3.Row]] = {}
    rows = db.execute(
        "SELECT * FROM corrections WHERE item_id = ? ORDER BY correction_id", (item_id,)
    )
    for row in rows:
        lines.setdefault((row["start"], row["end"]), []).append(row)
    db.execute("UPDATE corrections SET position = NULL WHERE item_id = ?", (item_id,))
    made = False
    for (start, end), history in lines.items():
        found = db.execute(
            'SELECT * FROM segments WHERE item_id = ? AND start < ? AND "end" > ? '
            "AND trim(text) = trim(?)",
            (item_id, end, start, history[0]["was_text"]),
        ).fetchone()
        if found is None:
            continue
        made = True
        db.execute(
            'UPDATE corrections SET position = ? WHERE item_id = ? AND start = ? AND "end" = ?',
            (found["position"], item_id, start, end),
        )
        db.execute(
            "UPDATE corrections SET was_text = ?, was_words = ?, was_flags = ? WHERE correction_id = ?",
            (found["text"], found["words"], found["flags"], history[0]["correction_id"]),
        )
        _write(db, item_id, found["position"], to_segment(found), history[-1]["text"])
    return made


def _line(db: sqlite3.Connection, item_id: int, key: str, position: int) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM segments WHERE item_id = ? AND position = ?", (item_id, position)
    ).fetchone()
    if row is None:
        raise UserError(GONE.format(position=position, key=key), RELOAD)
    return row


def _write(db: sqlite3.Connection, item_id: int, position: int, old: Segment, text: str) -> None:
    """Put `text` into a segment, with the blank before it. Nobody doubts what a person wrote."""
    lead = old.text[: len(old.text) - len(old.text.lstrip())]
    words = retimed(old.words, lead + text, old.start, old.end)
    row = segment_row(Segment(old.start, old.end, lead + text, words=words))
    values = dict(zip(SEGMENT_COLUMNS, row, strict=True))
    db.execute(
        "UPDATE segments SET text = ?, words = ?, flags = NULL WHERE item_id = ? AND position = ?",
        (values["text"], values["words"], item_id, position),
    )


# --- The times of corrected words ------------------------------------------------------------------


def retimed(words: Sequence[Word], text: str, start: float, end: float) -> tuple[Word, ...]:
    """The words of `text` with times: what the machine heard too keeps its own, what is new shares the
    time of what it stands for. None when the machine gave no times for words.
    """
    if not words:
        return ()
    old = [piece for word in words for piece in _pieces(word)]
    new = tokens(text)
    timed: list[Word] = []
    matcher = SequenceMatcher(
        None, [_key(word.word) for word in old], [_key(token) for token in new], autojunk=False
    )
    for kind, first, last, begin, stop in matcher.get_opcodes():
        if kind == "equal":
            pairs = zip(old[first:last], new[begin:stop], strict=True)
            timed += [Word(word.start, word.end, token, word.probability) for word, token in pairs]
        elif stop > begin:
            left = old[first].start if last > first else old[first - 1].end if first else start
            right = (
                old[last - 1].end if last > first else old[last].start if last < len(old) else end
            )
            timed += _spread(new[begin:stop], left, max(left, right), 1.0)
    return tuple(timed)


def _pieces(word: Word) -> list[Word]:
    return _spread(tokens(word.word), word.start, word.end, word.probability)


def _spread(texts: Sequence[str], start: float, end: float, probability: float) -> list[Word]:
    """Words one after the other between two times, each as long as it is written."""
    total = sum(len(token.strip()) for token in texts) or 1
    found: list[Word] = []
    at = start
    for token in texts:
        until = at + (end - start) * len(token.strip()) / total
        found.append(Word(round(at, 3), round(until, 3), token, probability))
        at = until
    return found


def _key(token: str) -> str:
    """What makes two words the same: not case, and not the marks around them."""
    return "".join(letter for letter in token.casefold() if letter.isalnum()) or token.strip()
