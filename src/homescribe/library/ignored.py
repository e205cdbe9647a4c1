"""Items that are ignored: never transcribed, also if a source lists them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection

# What belongs to an item beside its passages. Segments and speakers go with the transcript.
CONTENT = (
    *("transcripts", "corrections", "kept_audio", "calls", "failures", "engine_work"),
    "caption_requests",
)


def add(db: sqlite3.Connection, ids: Collection[int], now: float) -> list[int]:
    """Ignore those of `ids` that are not done; return the newly ignored.

    Captions that runs would replace stay: they are the transcript of the item from then on.
    """
    rows = db.execute(
        "INSERT OR IGNORE INTO ignored (item_id, ignored_at) SELECT item_id, ? FROM items "
        "WHERE item_id IN (SELECT value FROM json_each(?)) "
        "AND item_id NOT IN (SELECT item_id FROM transcripts WHERE NOT upgrade) RETURNING item_id",
        (now, json.dumps(list(ids))),
    ).fetchall()
    return [row["item_id"] for row in rows]


def remove(db: sqlite3.Connection, ids: Collection[int]) -> list[int]:
    """Ignore items no longer; return which of `ids` were ignored."""
    rows = db.execute(
        "DELETE FROM ignored WHERE item_id IN (SELECT value FROM json_each(?)) RETURNING item_id",
        (json.dumps(list(ids)),),
    ).fetchall()
    return [row["item_id"] for row in rows]


def empty(db: sqlite3.Connection, ids: Collection[int], now: float) -> int:
    """Delete what belongs to items beside what their sources say, and ignore them; return how many."""
    chosen = json.dumps(list(ids))
    for table in CONTENT:
        db.execute(
            f"DELETE FROM {table} WHERE item_id IN (SELECT value FROM json_each(?))", (chosen,)
        )
    db.execute(
        "DELETE FROM passages WHERE passage_id > 0 AND item_id IN (SELECT value FROM json_each(?))",
        (chosen,),
    )
    add(db, ids, now)
    return len(ids)
