"""Words that are replaced in all transcripts, stored ones and new ones, such as a name that engines mishear.

A segment holds its replaced text, so that search, exports and the page need not know about replacements. What
the engine wrote is kept for each such segment. All replacements are applied to that, in the order in which
they were made, so that any of them can be removed.

A line that a person corrected stays as it is: replacements change the text that its first correction keeps,
to which undo returns.

A replacement is made or removed in one transaction, which stores which recordings it concerns
(`unreplaced_items`). These are changed in the same transaction and in as many later ones as it takes, so that
no other program waits for long. What a process leaves that is killed between two, the next one does.
"""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
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
NEW = 0  # id of a replacement that is not stored


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
class Change:
    """The new text of a segment."""

    segment: sqlite3.Row  # as in `_segments`
    text: str
    uses: dict[int, int]  # replacement_id: how often it was applied

    @property
    def corrected(self) -> bool:
        """Whether a person corrected the segment, so that this text is below that."""
        return self.segment["correction_id"] is not None

    @property
    def texts(self) -> tuple[str, str]:
        """The text before and after."""
        return self.segment["text"], self.text


@dataclass(frozen=True, slots=True)
class Scope:
    """The recordings that a replacement concerns: all, or those of one source and channel."""

    source_url: str | None = None
    channel: str | None = None


def add(db: sqlite3.Connection, word: WordReplacement, scope: Scope, now: float) -> int:
    """Store a replacement, and that it is to be applied; return its id.

    Raises UserError for a word that is empty or that is replaced already.
    """
    word = _checked(db, word, scope)
    cursor = db.execute(
        "INSERT INTO replacements (old, new, match_case, source_url, channel, made_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (word.old, word.new, word.match_case, scope.source_url, scope.channel, now),
    )
    db.executemany(
        "INSERT OR IGNORE INTO unreplaced_items (item_id) VALUES (?)",
        [(item_id,) for item_id, _ in _with_words(db, word, scope)],
    )
    return cursor.lastrowid or 0


def preview(db: sqlite3.Connection, word: WordReplacement, scope: Scope) -> Replaced:
    """Return what a replacement would change. Raises UserError as `add`."""
    word = _checked(db, word, scope)
    words = lines = recordings = 0
    examples: list[ReplacedLine] = []
    for item_id, key in _with_words(db, word, scope):
        own = [*_concerning(db, item_id), (NEW, word)]
        found = [
            change
            for change in changes(db, item_id, own)
            if NEW in change.uses and not change.corrected
        ]
        words += sum(change.uses[NEW] for change in found)
        lines += len(found)
        recordings += bool(found)
        examples += [example(key, change) for change in found[: MAX_EXAMPLES - len(examples)]]
    corrected = _count_corrected(db, word, scope)
    return Replaced(None, words, lines, recordings, corrected, tuple(examples))


def counted(
    db: sqlite3.Connection, replacement_id: int, examples: Sequence[ReplacedLine]
) -> Replaced:
    """Return what a replacement has changed."""
    row = db.execute(
        "SELECT * FROM replacements WHERE replacement_id = ?", (replacement_id,)
    ).fetchone()
    if row is None:  # another process has removed it meanwhile
        return Replaced(None, 0, 0, 0, 0, ())
    words, lines, recordings = db.execute(
        "SELECT coalesce(sum(number), 0), count(*), count(DISTINCT item_id) FROM replacement_uses "
        "WHERE replacement_id = ? AND NOT EXISTS (SELECT 1 FROM corrections "
        "WHERE corrections.item_id = replacement_uses.item_id "
        "AND corrections.position = replacement_uses.position)",
        (replacement_id,),
    ).fetchone()
    word = WordReplacement(row["old"], row["new"], bool(row["match_case"]))
    corrected = _count_corrected(db, word, Scope(row["source_url"], row["channel"]))
    return Replaced(replacement_id, words, lines, recordings, corrected, tuple(examples))


def unreplaced(db: sqlite3.Connection) -> list[tuple[int, str]]:
    """Return the ids and keys of the items to which replacements are still to be applied."""
    rows = db.execute(
        "SELECT item_id, key FROM unreplaced_items JOIN items USING (item_id) ORDER BY item_id"
    )
    return [(row["item_id"], row["key"]) for row in rows]


def example(key: str, change: Change) -> ReplacedLine:
    """Return a line that has changed, or would."""
    before, after = (" ".join(text.split()) for text in change.texts)
    return ReplacedLine(key, change.segment["start"], before, after)


def remove(db: sqlite3.Connection, replacement_id: int) -> int:
    """Delete a replacement, and store that what it changed is to be restored; return in how many items."""
    if not db.execute(
        "SELECT 1 FROM replacements WHERE replacement_id = ?", (replacement_id,)
    ).fetchone():
        raise UserError(
            f"There is no replacement {replacement_id}.", "List them: homescribe replaced list"
        )
    of_items = "SELECT DISTINCT item_id FROM replacement_uses WHERE replacement_id = ?"
    (number,) = db.execute(f"SELECT count(*) FROM ({of_items})", (replacement_id,)).fetchone()
    db.execute(f"INSERT OR IGNORE INTO unreplaced_items {of_items}", (replacement_id,))
    db.execute("DELETE FROM replacements WHERE replacement_id = ?", (replacement_id,))
    return int(number)


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


def apply(db: sqlite3.Connection, item_id: int) -> list[Change]:
    """Apply all replacements that concern an item to its transcript; return the segments that change.

    The index is not updated.
    """
    found = list(changes(db, item_id, _concerning(db, item_id)))
    for change in found:
        _write(db, item_id, change)
    db.execute("DELETE FROM unreplaced_items WHERE item_id = ?", (item_id,))
    return found


def changes(
    db: sqlite3.Connection, item_id: int, words: Sequence[tuple[int, WordReplacement]]
) -> Iterator[Change]:
    """Yield the segments of an item that these replacements would change."""
    for row in _segments(db, item_id):
        original = row["text"] if row["original"] is None else row["original"]
        text, uses = original, {}
        for replacement_id, word in words:
            text, spans = word.apply(text)
            if spans:
                uses[replacement_id] = len(spans)
        if text != row["text"] or bool(uses) != (row["original"] is not None):
            yield Change(row, text, uses)


def revert(db: sqlite3.Connection, item_id: int) -> None:
    """Write what the engine wrote into the segments of an item, before they are divided anew."""
    for row in _segments(db, item_id):
        if row["original"] is not None:
            _write(db, item_id, Change(row, row["original"], {}))


def _checked(db: sqlite3.Connection, word: WordReplacement, scope: Scope) -> WordReplacement:
    """Return a word and its replacement as they are stored. Raises UserError."""
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
    _check_new(db, word, scope)
    return word


def _check_new(db: sqlite3.Connection, word: WordReplacement, scope: Scope) -> None:
    """Raise UserError if the word is replaced in these recordings already: nothing would be left to do."""
    rows = db.execute(
        "SELECT replacement_id, old, new FROM replacements "
        "WHERE match_case = ? AND source_url IS ? AND channel IS ?",
        (word.match_case, scope.source_url, scope.channel),
    )
    for row in rows:
        known = row["old"] if word.match_case else row["old"].casefold()
        if known == (word.old if word.match_case else word.old.casefold()):
            raise UserError(
                f"{row['old']} is already replaced by {row['new']}.",
                f"To replace it by another: homescribe replaced remove {row['replacement_id']}",
            )


def _with_words(
    db: sqlite3.Connection, word: WordReplacement, scope: Scope
) -> list[tuple[int, str]]:
    """Return the ids and keys of items that may have a word in their transcripts.

    The index ignores case, accents and hyphens: it finds more than will be replaced. It does not have what is
    below a correction.
    """
    chosen = item_filter(source_url=scope.source_url, channel=scope.channel)
    rows = db.execute(
        "SELECT DISTINCT item_id, key FROM items WHERE (item_id IN (SELECT item_id FROM passages_fts "
        "CROSS JOIN passages ON passage_id = passages_fts.rowid "
        "WHERE passages_fts MATCH :expression AND passages_fts.rowid > 0) "
        "OR item_id IN (SELECT item_id FROM corrections)) "
        f"AND item_id IN (SELECT item_id FROM items {chosen.where}) ORDER BY item_id",
        {**chosen.parameters, "expression": match_expression(terms(f'"{word.old}"'))},
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
    """Return the segments of an item: `text` without corrections, `original` as the engine wrote it where
    that differs, and the id of the first correction.
    """
    return db.execute(
        """
        SELECT segments.position, segments.start, segments."end", speaker,
            coalesce(was_text, segments.text) AS text,
            correction_id, replaced_segments.text AS original
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


def _write(db: sqlite3.Connection, item_id: int, change: Change) -> None:
    """Store the text of a segment with the times of its words, and what was replaced in it."""
    row = change.segment
    place = (item_id, row["position"])
    original_words = _original_words(db, item_id, row)
    if change.uses:
        original = row["text"] if row["original"] is None else row["original"]
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
    if change.corrected:
        db.execute(
            "UPDATE corrections SET was_text = ?, was_words = ? WHERE correction_id = ?",
            (change.text, words, row["correction_id"]),
        )
    else:
        db.execute(
            "UPDATE segments SET text = ?, words = ? WHERE item_id = ? AND position = ?",
            (change.text, words, *place),
        )


def _original_words(db: sqlite3.Connection, item_id: int, row: sqlite3.Row) -> str | None:
    """Return the column `words` of a segment as the engine wrote it."""
    place: tuple[int, ...] = (item_id, row["position"])
    query = "SELECT words FROM segments WHERE item_id = ? AND position = ?"
    if row["original"] is not None:
        query = "SELECT words FROM replaced_segments WHERE item_id = ? AND position = ?"
    elif row["correction_id"] is not None:
        query, place = (
            "SELECT was_words FROM corrections WHERE correction_id = ?",
            (row["correction_id"],),
        )
    (words,) = db.execute(query, place).fetchone()
    return None if words is None else str(words)


def _words(row: sqlite3.Row, original_words: str | None, change: Change) -> str | None:
    """Return the column `words` of a segment with its new text."""
    if original_words is None:
        return None
    words = to_words(original_words)
    if change.uses:
        words = timed_words(words, change.text, row["start"], row["end"])
    if row["speaker"] is not None:
        words = tuple(replace(word, speaker=row["speaker"]) for word in words)
    return words_column(words)


def _count_corrected(db: sqlite3.Connection, word: WordReplacement, scope: Scope) -> int:
    """Return how many lines that a person corrected have the word."""
    chosen = item_filter(source_url=scope.source_url, channel=scope.channel)
    rows = db.execute(
        "SELECT text FROM segments JOIN (SELECT DISTINCT item_id, position FROM corrections) "
        "USING (item_id, position) "
        f"WHERE item_id IN (SELECT item_id FROM items {chosen.where})",
        chosen.parameters,
    )
    return sum(bool(word.apply(row["text"])[1]) for row in rows)
