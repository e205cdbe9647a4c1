"""What the engine in this process is working on, to know after a crash which item may have caused it.

A crash in native code, or for want of memory, leaves no exception behind. Each item that was active then has
one death more. With one death, an item is processed alone, so that the next death has a single cause. With
SUSPECT_DEATHS it is a suspect.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from homescribe.core import Item
from homescribe.library.rows import to_item

SUSPECT_DEATHS = 2


@dataclass(frozen=True, slots=True)
class Deaths:
    """Items that were active when a process died: keys of those to process alone, and suspects."""

    alone: frozenset[str]
    suspects: tuple[Item, ...]


def start(db: sqlite3.Connection, item_id: int) -> None:
    """Record that the engine works on an item from now on."""
    db.execute(
        "INSERT INTO engine_work (item_id, active, deaths) VALUES (?, 1, 0) "
        "ON CONFLICT (item_id) DO UPDATE SET active = 1",
        (item_id,),
    )


def end(db: sqlite3.Connection, item_id: int) -> None:
    """Delete the record of an item whose work has an outcome."""
    db.execute("DELETE FROM engine_work WHERE item_id = ?", (item_id,))


def stop(db: sqlite3.Connection) -> None:
    """Record that nothing is active, because the run ends in order. Earlier deaths still count."""
    db.execute("DELETE FROM engine_work WHERE active AND deaths = 0")
    db.execute("UPDATE engine_work SET active = 0")


def doubt(db: sqlite3.Connection, keys: Collection[str]) -> None:
    """Count items as if a process had died once, so that they are processed last, and alone.

    Unlike a death, this never makes a suspect.
    """
    db.execute(
        "INSERT INTO engine_work (item_id, active, deaths) SELECT item_id, 0, 1 FROM items "
        "WHERE key IN (SELECT value FROM json_each(?)) "
        "ON CONFLICT (item_id) DO UPDATE SET active = 0, deaths = max(deaths, 1)",
        (json.dumps(list(keys)),),
    )


def count_deaths(db: sqlite3.Connection) -> Deaths:
    """Count a death for each item that is still active, because its process did not end in order."""
    db.execute("UPDATE engine_work SET active = 0, deaths = deaths + 1 WHERE active")
    rows = db.execute("SELECT items.*, deaths FROM engine_work JOIN items USING (item_id)")
    alone, suspects = set(), []
    for row in rows:
        if row["deaths"] >= SUSPECT_DEATHS:
            suspects.append(to_item(row))
        else:
            alone.add(row["key"])
    return Deaths(frozenset(alone), tuple(suspects))
