"""Passages: what the search index holds.

A passage is two neighbouring stretches of a transcript, each of up to STRETCH seconds, and each stretch is in
two passages. Words said within STRETCH seconds of each other are therefore always in one passage, wherever
the borders of segments are. Titles and descriptions are passages too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence

from homescribe.core import SECOND, Item, Segment
from homescribe.text.sanitize import sqlite_safe
from homescribe.text.scripts import spaced

STRETCH = 25 * SECOND
# Passage n of an item has the id `item_id << PASSAGE_BITS | n`, so that search knows the item without reading
# the table. Ids of titles and descriptions are negative: -2 * item_id for the title of an item,
# -2 * item_id - 1 for its description.
PASSAGE_BITS = 20


def index_segments(db: sqlite3.Connection, item_id: int, segments: Sequence[Segment]) -> None:
    """Replace the passages of an item's transcript."""
    db.execute("DELETE FROM passages WHERE item_id = ? AND passage_id > 0", (item_id,))
    db.executemany(
        "INSERT INTO passages (passage_id, item_id, first_segment, last_segment, text) "
        "VALUES (?, ?, ?, ?, ?)",
        (
            (item_id << PASSAGE_BITS | number, item_id, *passage)
            for number, passage in enumerate(passages(segments))
        ),
    )


def index_metadata(db: sqlite3.Connection, items: Mapping[int, Item]) -> None:
    """Index the titles and descriptions of `items`, given by item_id.

    Rows are written in the order of their passage ids, from the highest item_id down: FTS5 flushes its buffer
    whenever an id is lower than the one before.
    """
    rows = (
        (passage_id, item_id, spaced(text)[0])
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
        " ".join(
            spaced(sqlite_safe(segment.text).strip())[0] for segment in segments[first : last + 1]
        )
        for first, last in stretches
    ]
    for number in range(max(1, len(stretches) - 1)):
        pair = stretches[number : number + 2]
        text = " ".join(texts[number : number + 2])
        if text.strip():
            yield pair[0][0], pair[-1][1], text


def _stretches(segments: Sequence[Segment]) -> Iterator[tuple[int, int]]:
    """Yield the first and last position of each stretch."""
    first = 0
    for position, segment in enumerate(segments):
        if position > first and segment.end - segments[first].start > STRETCH:
            yield first, position - 1
            first = position
    if segments:
        yield first, len(segments) - 1
