"""Calls in flight: work that a backend has taken, to be collected by this process or a later one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from homescribe.core import Call
from homescribe.library.rows import options_column, to_item, to_options
from homescribe.text.sanitize import sqlite_safe


def add(db: sqlite3.Connection, item_id: int, call: Call) -> None:
    """Store a call in place of an earlier one of the same item."""
    db.execute(
        "REPLACE INTO calls (item_id, backend, call_id, submitted_at, metadata, options) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (
            *(item_id, call.backend, call.id, call.submitted_at, sqlite_safe(call.metadata)),
            options_column(call.options),
        ),
    )


def in_flight(db: sqlite3.Connection, backend: str) -> list[Call]:
    """Return the calls to `backend`, the oldest first."""
    rows = db.execute(
        "SELECT items.*, calls.backend, call_id, submitted_at, metadata, calls.options "
        "FROM calls JOIN items USING (item_id) WHERE backend = ? ORDER BY submitted_at, item_id",
        (backend,),
    )
    return [
        Call(
            *(to_item(row), row["backend"], row["submitted_at"], row["call_id"], row["metadata"]),
            to_options(row["options"]),
        )
        for row in rows
    ]


def drop(db: sqlite3.Connection, key: str) -> None:
    """Delete the call of an item, if there is one."""
    db.execute(
        "DELETE FROM calls WHERE item_id = (SELECT item_id FROM items WHERE key = ?)",
        (sqlite_safe(key),),
    )


def drop_failed(db: sqlite3.Connection, item_ids: Iterable[int]) -> None:
    """Delete the calls of those items that also have a failure."""
    db.executemany(
        "DELETE FROM calls WHERE item_id = ? AND item_id IN (SELECT item_id FROM failures)",
        [(item_id,) for item_id in item_ids],
    )
