"""Search by speaker: `speaker:name` in a query, and what a person says.

A part of a name is enough: `speaker:ann` is Ann, or where nobody has just this name, it is Ann Lee.
"""

from __future__ import annotations

import difflib
import json
import re
import sqlite3
from collections.abc import Iterator, Sequence

from homescribe.errors import UserError
from homescribe.library.filters import Filter
from homescribe.library.passages import LAST_BIT, PASSAGE_BITS
from homescribe.text.scripts import folded_words

SPEAKER = re.compile(r'(?<!\S)speaker:(?:"([^"]*)"?|(\S*))', re.IGNORECASE)
QUOTES = str.maketrans(dict.fromkeys("\u201c\u201d\u201e\u00ab\u00bb\uff02", '"'))
LISTED_NAMES = 10  # in a hint
LINE_CHARACTERS = 300  # of what a person says without a break, in one hit

NAMED = "IN (SELECT value FROM json_each(:names))"
# Condition on `passages_fts` that one of the people called :names speaks in a passage. Most passages are of
# recordings in which none of them does: these are left out first.
SPOKEN_BY = f"""rowid >> {PASSAGE_BITS} IN (SELECT item_id FROM speakers WHERE name {NAMED})
    AND rowid IN (
        SELECT passage_id FROM passage_speakers WHERE passage_id = passages_fts.rowid AND EXISTS (
            SELECT 1 FROM speakers AS speaking WHERE speaking.item_id = passage_id >> {PASSAGE_BITS}
            AND speaking.former_turns IS NULL AND speaking.name {NAMED}
            AND passage_speakers.speakers >> min(speaking.position, {LAST_BIT}) & 1))"""


def split_speakers(query: str) -> tuple[str, list[str]]:
    """Return `query` without speaker:name and speaker:"a name", and these names."""
    query = query.translate(QUOTES)
    names = [(quoted or word).strip() for quoted, word in SPEAKER.findall(query)]
    return SPEAKER.sub(" ", query), [name for name in names if name]


def known_names(db: sqlite3.Connection, wanted: Sequence[str]) -> list[str]:
    """Return the stored names that `wanted` means. UserError for one that nobody has."""
    known = [
        row["name"]
        for row in db.execute(
            "SELECT name FROM speakers WHERE name IS NOT NULL AND former_turns IS NULL "
            "GROUP BY name ORDER BY count(*) DESC, name"
        )
    ]
    found: dict[str, None] = {}
    for name in wanted:
        meant = _meant(name, known)
        if not meant:
            raise UserError(f"No speaker is called {name}.", _hint(name, known))
        found.update(dict.fromkeys(meant))
    return list(found)


def _meant(name: str, known: Sequence[str]) -> list[str]:
    """Return the names that are `name`, else those that contain it as words, else as their beginning."""
    words = folded_words(name)
    folded = {each: folded_words(each) for each in known}
    if not words:
        return []
    text = f" {' '.join(words)}"
    for matches in (
        [each for each, own in folded.items() if own == words],
        [each for each, own in folded.items() if f"{text} " in f" {' '.join(own)} "],
        [each for each, own in folded.items() if text in f" {' '.join(own)}"],
    ):
        if matches:
            return matches
    return []


def _hint(name: str, known: Sequence[str]) -> str:
    if not known:
        return "No speaker has a name yet. Give one: homescribe speakers rename KEY OLD NEW"
    by_folded = {" ".join(folded_words(each)): each for each in known}
    close = difflib.get_close_matches(" ".join(folded_words(name)), by_folded, n=3)
    if close:
        return f"Did you mean {' or '.join(by_folded[each] for each in close)}?"
    more = ", ..." if len(known) > LISTED_NAMES else ""
    return f"Names: {', '.join(known[:LISTED_NAMES])}{more}"


def labels_of(db: sqlite3.Connection, item_id: int, names: Sequence[str]) -> set[str]:
    """Return the labels of the people with these names in a recording."""
    rows = db.execute(
        "SELECT label FROM speakers WHERE item_id = ? AND name IN (SELECT value FROM json_each(?))",
        (item_id, json.dumps(list(names))),
    )
    return {row["label"] for row in rows}


def lines_of(
    db: sqlite3.Connection, names: Sequence[str], chosen: Filter
) -> Iterator[tuple[sqlite3.Row, list[sqlite3.Row]]]:
    """Yield what these people say without a break, with the row of its item: the newest item first.

    A longer speech is several, of up to LINE_CHARACTERS.
    """
    # Sorted without other columns: a sort keeps in memory what it selects.
    ids = db.execute(
        f"SELECT item_id FROM items WHERE item_id IN (SELECT item_id FROM speakers WHERE name {NAMED}) "
        f"AND item_id IN (SELECT item_id FROM items {chosen.where}) "
        "ORDER BY upload_date IS NULL, upload_date DESC, item_id DESC",
        {**chosen.parameters, "names": json.dumps(list(names))},
    ).fetchall()
    for (item_id,) in ids:
        row = db.execute("SELECT * FROM items WHERE item_id = ?", (item_id,)).fetchone()
        labels = json.dumps(list(labels_of(db, item_id, names)))
        line: list[sqlite3.Row] = []
        length = 0
        for segment in db.execute(
            "SELECT * FROM segments WHERE item_id = ? "
            "AND speaker IN (SELECT value FROM json_each(?)) ORDER BY position",
            (item_id, labels),
        ):
            if line and not (
                segment["position"] == line[-1]["position"] + 1
                and segment["speaker"] == line[-1]["speaker"]
                and length + len(segment["text"]) <= LINE_CHARACTERS
            ):
                yield row, line
                line, length = [], 0
            line.append(segment)
            length += len(segment["text"])
        if line:
            yield row, line
