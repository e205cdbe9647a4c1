"""Items with a title that a person gave. It is in `items`; `renamed` has what their source calls it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection


def listed_titles(db: sqlite3.Connection, ids: Collection[int]) -> dict[int, str]:
    """Return what sources call those of `ids` that are renamed, by item_id."""
    rows = db.execute(
        "SELECT item_id, listed_title FROM renamed WHERE item_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    )
    return {row["item_id"]: row["listed_title"] for row in rows}


def update(db: sqlite3.Connection, item_id: int, title: str) -> None:
    """Store that the source of a renamed item calls it `title` now."""
    db.execute("UPDATE renamed SET listed_title = ? WHERE item_id = ?", (title, item_id))


def rename(db: sqlite3.Connection, item_id: int, title: str, now: float) -> tuple[str, str]:
    """Give an item a title, "" for what its source calls it. Returns the titles before and after."""
    row = db.execute("SELECT title FROM items WHERE item_id = ?", (item_id,)).fetchone()
    before: str = row["title"]
    listed = listed_titles(db, [item_id]).get(item_id, before)
    after = title or listed
    if after == listed:
        db.execute("DELETE FROM renamed WHERE item_id = ?", (item_id,))
    else:
        db.execute(
            "INSERT INTO renamed (item_id, listed_title, renamed_at) VALUES (?, ?, ?) "
            "ON CONFLICT (item_id) DO UPDATE SET renamed_at = excluded.renamed_at",
            (item_id, listed, now),
        )
    db.execute("UPDATE items SET title = ? WHERE item_id = ?", (after, item_id))
    return before, after
