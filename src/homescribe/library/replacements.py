"""Words that are replaced in all transcripts, stored ones and new ones, such as a name that engines mishear.

A segment holds its replaced text, so that search, exports and the page need not know about replacements. What
the engine wrote is kept for each such segment. All replacements are applied to that, in the order in which
they were made, so that any of them can be removed.

A line that a person corrected stays as it is: replacements change the text that its first correction keeps,
to which undo returns.
"""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace

from homescribe.errors import UserError
from homescribe.library.corrections import timed_words
from homescribe.library.filters import item_filter
from homescribe.library.rows import to_words, words_column
from homescribe.library.search import match_expression, terms
from homescribe.text.sanitize import one_line, sqlite_safe
from homescribe.text.word_replacement import WordReplacement

MAX_LENGTH = 200  # characters of a word or phrase
MAX_EXAMPLES = 10


@dataclass(frozen=True, slots=True)
class Replacement:
    """A replacement that is stored. It concerns all recordings, or those of one source and channel."""

    id: int
    old: str
    new: str
    match_case: bool
    source_url: str | None
    channel: str | None
    made_at: float  # Unix time
    words: int  # that it has replaced
    lines: int  # in which it has
    recordings: int  # in which it has


@dataclass(frozen=True, slots=True)
class ReplacedLine:
    """A line that a replacement changes."""

    key: str  # of the item
    start: float
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a replacement has changed, or would change.

    `corrected` is the number of lines that have the word and were left as a person corrected them.
    """

    id: int | None  # of the replacement; None if it is not stored
    words: int
    lines: int
    recordings: int
    corrected: int
    examples: tuple[ReplacedLine, ...]


@dataclass(frozen=True, slots=True)
class _Change:
    """The new text of a segment."""

    segment: sqlite3.Row  # as in `_segments`
    text: str
    uses: dict[int, int]  # replacement_id: how often it was applied


def add(
    db: sqlite3.Connection,
    word: WordReplacement,
    source_url: str | None,
    channel: str | None,
    now: float,
) -> tuple[Replaced, list[int]]:
    """Store a replacement and apply it. Returns what it changed, and the ids of the changed items.

    Raises UserError for a word that is empty or that is replaced already.
    """
    word = _checked(word)
    _check_new(db, word, source_url, channel)
    cursor = db.execute(
        "INSERT INTO replacements (old, new, match_case, source_url, channel, made_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (word.old, word.new, word.match_case, source_url, channel, now),
    )
    new = cursor.lastrowid or 0
    words = lines = corrected = 0
    changed: list[int] = []
    examples: list[ReplacedLine] = []
    for item_id, key in _with_words(db, word.old, source_url, channel):
        touched = False
        for change in apply(db, item_id):
            number = change.uses.get(new, 0)
            if not number:
                continue
            if change.segment["correction_id"] is not None:
                continue
            touched = True
            words += number
            lines += 1
            if len(examples) < MAX_EXAMPLES:
                row = change.segment
                before = " ".join(row["text"].split())
                examples.append(
                    ReplacedLine(key, row["start"], before, " ".join(change.text.split()))
                )
        if touched:
            changed.append(item_id)
        corrected += _count_corrected(db, item_id, word)
    return Replaced(new, words, lines, len(changed), corrected, tuple(examples)), changed


def remove(db: sqlite3.Connection, replacement_id: int) -> list[int]:
    """Delete a replacement and what it changed. Returns the ids of the changed items."""
    if not db.execute(
        "SELECT 1 FROM replacements WHERE replacement_id = ?", (replacement_id,)
    ).fetchone():
        raise UserError(
            f"There is no replacement {replacement_id}.", "List them: homescribe replaced list"
        )
    rows = db.execute(
        "SELECT DISTINCT item_id FROM replacement_uses WHERE replacement_id = ?", (replacement_id,)
    ).fetchall()
    db.execute("DELETE FROM replacements WHERE replacement_id = ?", (replacement_id,))
    ids = [row["item_id"] for row in rows]
    for item_id in ids:
        for _ in apply(db, item_id):
            pass
    return ids


def latest(db: sqlite3.Connection) -> int:
    """Return the id of the latest replacement; UserError when there is none."""
    (found,) = db.execute("SELECT max(replacement_id) FROM replacements").fetchone()
    if found is None:
        raise UserError("There is no replacement to undo.", "")
    return int(found)


def stored(db: sqlite3.Connection) -> list[Replacement]:
    """Return the replacements in the order in which they are applied."""
    rows = db.execute(
        "SELECT replacements.*, coalesce(sum(number), 0) AS words, count(position) AS lines, "
        "count(DISTINCT item_id) AS recordings FROM replacements "
        "LEFT JOIN replacement_uses USING (replacement_id) GROUP BY replacement_id"
    )
    return [
        Replacement(
            row["replacement_id"],
            row["old"],
            row["new"],
            bool(row["match_case"]),
            row["source_url"],
            row["channel"],
            row["made_at"],
            row["words"],
            row["lines"],
            row["recordings"],
        )
        for row in rows
    ]


def apply(db: sqlite3.Connection, item_id: int) -> Iterator[_Change]:
    """Apply all replacements that concern an item to its transcript; yield each segment that changes.

    The index is not updated.
    """
    words = _concerning(db, item_id)
    for row in _segments(db, item_id):
        original = row["text"] if row["original"] is None else row["original"]
        text, uses = original, {}
        for replacement_id, word in words:
            text, spans = word.apply(text)
            if spans:
                uses[replacement_id] = len(spans)
        if text == row["text"] and bool(uses) == (row["original"] is not None):
            continue
        change = _Change(row, text, uses)
        _write(db, item_id, change)
        yield change


def revert(db: sqlite3.Connection, item_id: int) -> None:
    """Write what the engine wrote into the segments of an item, before they are divided anew."""
    for row in _segments(db, item_id):
        if row["original"] is not None:
            _write(db, item_id, _Change(row, row["original"], {}))


def _checked(word: WordReplacement) -> WordReplacement:
    """Return a word and its replacement as they are stored."""
    old, new = (unicodedata.normalize("NFC", sqlite_safe(each)) for each in (word.old, word.new))
    if len(old) > MAX_LENGTH or len(new) > MAX_LENGTH:
        raise UserError(f"A replacement has at most {MAX_LENGTH} characters.", "Replace less.")
    word = replace(word, old=one_line(old), new=one_line(new))
    if not terms(f'"{word.old}"'):
        raise UserError("There is nothing to replace.", "Give a word: homescribe replace OLD NEW")
    if not word.new:
        raise UserError("A word cannot be replaced by nothing.", "Give what is said instead.")
    if word.old == word.new:
        raise UserError("Both words are the same.", "")
    return word


def _check_new(
    db: sqlite3.Connection, word: WordReplacement, source_url: str | None, channel: str | None
) -> None:
    """Raise UserError if the word is replaced in these recordings already: nothing would be left to do."""
    rows = db.execute(
        "SELECT replacement_id, old, new FROM replacements "
        "WHERE match_case = ? AND source_url IS ? AND channel IS ?",
        (word.match_case, source_url, channel),
    )
    for row in rows:
        known = row["old"] if word.match_case else row["old"].casefold()
        if known == (word.old if word.match_case else word.old.casefold()):
            raise UserError(
                f"{row['old']} is already replaced by {row['new']}.",
                f"To replace it by another: homescribe replaced remove {row['replacement_id']}",
            )


def _with_words(
    db: sqlite3.Connection, words: str, source_url: str | None, channel: str | None
) -> list[tuple[int, str]]:
    """Return the ids and keys of items that may have these words in their transcripts.

    The index ignores case, accents and hyphens: it finds more than will be replaced. It does not have what is
    below a correction.
    """
    chosen = item_filter(source_url=source_url, channel=channel)
    rows = db.execute(
        "SELECT DISTINCT item_id, key FROM items WHERE (item_id IN (SELECT item_id FROM passages_fts "
        "CROSS JOIN passages ON passage_id = passages_fts.rowid "
        "WHERE passages_fts MATCH :expression AND passages_fts.rowid > 0) "
        "OR item_id IN (SELECT item_id FROM corrections)) "
        f"AND item_id IN (SELECT item_id FROM items {chosen.where}) ORDER BY item_id",
        {**chosen.parameters, "expression": match_expression(terms(f'"{words}"'))},
    )
    return [(row["item_id"], row["key"]) for row in rows.fetchall()]


def _concerning(db: sqlite3.Connection, item_id: int) -> list[tuple[int, WordReplacement]]:
    """Return the replacements that concern an item, in order, with their ids."""
    rows = db.execute(
        "SELECT replacement_id, old, new, match_case FROM replacements, items "
        "WHERE item_id = :item AND (source_url IS NULL OR source_url IN ("
        "SELECT sources.url FROM source_items JOIN sources USING (source_id) WHERE item_id = :item)) "
        "AND (replacements.channel IS NULL OR replacements.channel = items.channel COLLATE NOCASE "
        "OR replacements.channel = items.channel_id) ORDER BY replacement_id",
        {"item": item_id},
    )
    return [
        (row["replacement_id"], WordReplacement(row["old"], row["new"], bool(row["match_case"])))
        for row in rows
    ]


def _segments(db: sqlite3.Connection, item_id: int) -> list[sqlite3.Row]:
    """Return the segments of an item: `text` and `words` without corrections, `original` and
    `original_words` as the engine wrote them where that differs, and the id of the first correction.
    """
    return db.execute(
        """
        SELECT segments.position, segments.start, segments."end", speaker,
            coalesce(was_text, segments.text) AS text,
            CASE WHEN correction_id IS NULL THEN segments.words ELSE was_words END AS words,
            correction_id, replaced_segments.text AS original,
            replaced_segments.words AS original_words
        FROM segments
        LEFT JOIN corrections ON correction_id = (
            SELECT min(correction_id) FROM corrections
            WHERE corrections.item_id = segments.item_id
            AND corrections.position = segments.position)
        LEFT JOIN replaced_segments ON replaced_segments.item_id = segments.item_id
            AND replaced_segments.position = segments.position
        WHERE segments.item_id = ? ORDER BY segments.position
        """,
        (item_id,),
    ).fetchall()


def _write(db: sqlite3.Connection, item_id: int, change: _Change) -> None:
    """Store the text of a segment with the times of its words, and what was replaced in it."""
    row = change.segment
    place = (item_id, row["position"])
    original = row["text"] if row["original"] is None else row["original"]
    original_words = row["words"] if row["original"] is None else row["original_words"]
    if change.uses:
        db.execute(
            "INSERT OR IGNORE INTO replaced_segments (item_id, position, text, words) "
            "VALUES (?, ?, ?, ?)",
            (*place, original, original_words),
        )
        db.execute("DELETE FROM replacement_uses WHERE item_id = ? AND position = ?", place)
        db.executemany(
            "INSERT INTO replacement_uses (replacement_id, item_id, position, number) "
            "VALUES (?, ?, ?, ?)",
            [(number, *place, uses) for number, uses in change.uses.items()],
        )
    else:
        db.execute("DELETE FROM replaced_segments WHERE item_id = ? AND position = ?", place)
    words = _words(row, original_words, change)
    if row["correction_id"] is None:
        db.execute(
            "UPDATE segments SET text = ?, words = ? WHERE item_id = ? AND position = ?",
            (change.text, words, *place),
        )
    else:
        db.execute(
            "UPDATE corrections SET was_text = ?, was_words = ? WHERE correction_id = ?",
            (change.text, words, row["correction_id"]),
        )


def _words(row: sqlite3.Row, original_words: str | None, change: _Change) -> str | None:
    """Return the column `words` of a segment with its new text."""
    if original_words is None:
        return None
    words = to_words(original_words)
    if change.uses:
        words = timed_words(words, change.text, row["start"], row["end"])
    if row["speaker"] is not None:
        words = tuple(replace(word, speaker=row["speaker"]) for word in words)
    return words_column(words)


def _count_corrected(db: sqlite3.Connection, item_id: int, word: WordReplacement) -> int:
    """Return how many lines of an item that a person corrected have the word."""
    rows = db.execute(
        "SELECT text FROM segments WHERE item_id = ? AND position IN "
        "(SELECT position FROM corrections WHERE item_id = segments.item_id)",
        (item_id,),
    )
    return sum(bool(word.apply(row["text"])[1]) for row in rows)
