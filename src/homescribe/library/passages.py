"""Passages: what the search index holds.

A passage is two neighbouring stretches of a transcript, each of up to STRETCH seconds, and each stretch is in
two passages. Words said within STRETCH seconds of each other are therefore always in one passage, wherever
the borders of segments are. Titles and descriptions are passages too.

After the text, on a line of its own, come its words with hyphens written as one ("email" for "e-mail"), so
that both spellings are found.
"""

from __future__ import annotations

import re
import sqlite3
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence

from homescribe.core import SECOND, Item, Segment
from homescribe.text.sanitize import sqlite_safe
from homescribe.text.scripts import spaced

STRETCH = 25 * SECOND
# Passage n of an item has the id `item_id << PASSAGE_BITS | n`, so that search knows the item without reading
# the table. Ids of titles and descriptions are negative: -2 * item_id for the title of an item,
# -2 * item_id - 1 for its description.
PASSAGE_BITS = 20

LAST_BIT = 62  # of `passage_speakers.speakers`; SQLite's integers have 63 and a sign

HYPHENS = "-\u2010\u2011"
# Possessive and from the start of a word: else the time grows with the square of a word's length.
COMPOUND = re.compile(rf"(?<![^\W_])[^\W_]++(?:[{HYPHENS}][^\W_]++)+")
Span = tuple[int, int]  # start and end offset in a text


def index_segments(db: sqlite3.Connection, item_id: int, segments: Sequence[Segment]) -> None:
    """Replace the passages of an item's transcript, and who speaks in them. Its speakers are stored."""
    db.execute("DELETE FROM passages WHERE item_id = ? AND passage_id > 0", (item_id,))
    found = [
        (item_id << PASSAGE_BITS | number, item_id, *passage)
        for number, passage in enumerate(passages(segments))
    ]
    db.executemany(
        "INSERT INTO passages (passage_id, item_id, first_segment, last_segment, text) "
        "VALUES (?, ?, ?, ?, ?)",
        found,
    )
    labels = db.execute(
        "SELECT label, position FROM speakers WHERE item_id = ? AND former_turns IS NULL",
        (item_id,),
    )
    if positions := dict(labels.fetchall()):
        db.executemany(
            "INSERT INTO passage_speakers (passage_id, speakers) VALUES (?, ?)",
            (
                (passage_id, _speaker_bits(segments[first : last + 1], positions))
                for passage_id, _, first, last, _ in found
            ),
        )


def _speaker_bits(segments: Sequence[Segment], positions: Mapping[str, int]) -> int:
    """Return the bits of those who speak in `segments`. Speakers from LAST_BIT on share one bit."""
    bits = 0
    for label in {segment.speaker for segment in segments if segment.speaker is not None}:
        if label in positions:
            bits |= 1 << min(positions[label], LAST_BIT)
    return bits


def index_metadata(db: sqlite3.Connection, items: Mapping[int, Item]) -> None:
    """Index the titles and descriptions of `items`, given by item_id.

    Rows are written in the order of their passage ids, from the highest item_id down: FTS5 flushes its buffer
    whenever an id is lower than the one before.
    """
    rows = (
        (passage_id, item_id, with_compounds(spaced(text)[0]))
        for item_id in sorted(items, reverse=True)
        for passage_id, text in (
            (-2 * item_id - 1, items[item_id].description),
            (-2 * item_id, items[item_id].title),
        )
        if text
    )
    db.executemany(
        "INSERT INTO passages (passage_id, item_id, text) VALUES (?, ?, ?) "
        "ON CONFLICT (passage_id) DO UPDATE SET text = excluded.text",
        rows,
    )


def passages(segments: Sequence[Segment]) -> Iterator[tuple[int, int, str]]:
    """Yield the first and last position and the indexed text of each passage over `segments`."""
    stretches = list(_stretches(segments))
    texts = [
        " ".join(_indexed(segment.text) for segment in segments[first : last + 1])
        for first, last in stretches
    ]
    for number in range(max(1, len(stretches) - 1)):
        pair = stretches[number : number + 2]
        text = " ".join(texts[number : number + 2])
        if text.strip():
            yield pair[0][0], pair[-1][1], with_compounds(text)


def _indexed(text: str) -> str:
    """Return the text of a segment as a passage has it."""
    return spaced(sqlite_safe(text).strip())[0]


def update_texts(db: sqlite3.Connection, item_id: int, positions: Collection[int]) -> None:
    """Index the texts of the segments at `positions` again. They have text, as before."""
    changed = sorted(positions)
    number = item_id << PASSAGE_BITS
    rows = db.execute(
        "SELECT passage_id, first_segment, last_segment FROM passages "
        "WHERE passage_id >= ? AND passage_id < ? ORDER BY passage_id",
        (number, number + (1 << PASSAGE_BITS)),
    ).fetchall()
    ranges = [
        (passage_id, range(first, last + 1))
        for passage_id, first, last in rows
        if bisect_left(changed, first) < bisect_right(changed, last)
    ]
    if not ranges:
        return
    texts: dict[int, str] = {
        position: _indexed(text)
        for position, text in db.execute(
            "SELECT position, text FROM segments WHERE item_id = ? AND position BETWEEN ? AND ?",
            (item_id, ranges[0][1].start, ranges[-1][1].stop - 1),
        )
    }
    db.executemany(
        "UPDATE passages SET text = ? WHERE passage_id = ?",
        (
            (with_compounds(" ".join(texts[n] for n in positions)), passage_id)
            for passage_id, positions in ranges
        ),
    )


def reindex(db: sqlite3.Connection) -> None:
    """Write the text of every passage again, where it differs from what is stored."""
    described = db.execute("SELECT item_id, title, description FROM items").fetchall()
    for item_id, title, description in described:
        texts = {-2 * item_id: title, -2 * item_id - 1: description}
        new = {number: with_compounds(spaced(text)[0]) for number, text in texts.items() if text}
        _replace_texts(db, item_id, new)
    for (item_id,) in db.execute("SELECT item_id FROM transcripts").fetchall():
        rows = db.execute(
            'SELECT start, "end", text FROM segments WHERE item_id = ? ORDER BY position',
            (item_id,),
        )
        found = passages([Segment(start, end, text) for start, end, text in rows])
        first = item_id << PASSAGE_BITS
        _replace_texts(db, item_id, {first | n: text for n, (_, _, text) in enumerate(found)})


def _replace_texts(db: sqlite3.Connection, item_id: int, new: Mapping[int, str]) -> None:
    """Store the texts of passages of an item, by id, where they differ."""
    rows = db.execute("SELECT passage_id, text FROM passages WHERE item_id = ?", (item_id,))
    old: dict[int, str] = dict(rows.fetchall())
    db.executemany(
        "UPDATE passages SET text = ? WHERE passage_id = ?",
        [(text, number) for number, text in new.items() if number in old and old[number] != text],
    )


def joined(text: str) -> str:
    """Return `text` without the hyphens inside words."""
    return COMPOUND.sub(lambda match: re.sub(f"[{HYPHENS}]", "", match[0]), text)


def with_compounds(text: str) -> str:
    """Return the text of a passage and, on a line of its own, its words with hyphens as one word each."""
    words = [joined(match[0]) for match in COMPOUND.finditer(text)]
    return f"{text}\n{' '.join(words)}" if words else text


def without_compounds(text: str, found: Sequence[Span]) -> tuple[str, list[Span]]:
    """Undo `with_compounds`: return the text, and ranges of the whole as ranges of it, sorted and apart."""
    text, _, line = text.partition("\n")
    compounds = [match.span() for match in COMPOUND.finditer(text)] if line else []
    spans: list[Span] = []
    for begin, end in found:
        if begin < len(text):
            spans.append((begin, min(end, len(text))))
            begin = len(text) + 1
        if end > begin:  # one or more words of the line
            first = line.count(" ", 0, begin - len(text) - 1)
            last = line.count(" ", 0, end - len(text) - 1)
            spans += compounds[first : last + 1]
    apart: list[Span] = []
    for begin, end in sorted(spans):
        if apart and begin < apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((begin, end))
    return text, apart


def _stretches(segments: Sequence[Segment]) -> Iterator[tuple[int, int]]:
    """Yield the first and last position of each stretch."""
    first = 0
    for position, segment in enumerate(segments):
        if position > first and segment.end - segments[first].start > STRETCH:
            yield first, position - 1
            first = position
    if segments:
        yield first, len(segments) - 1
