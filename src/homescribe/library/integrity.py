"""Checks of the library file."""

from __future__ import annotations

import sqlite3


def file_problems(db: sqlite3.Connection) -> list[str]:
    """Return what is wrong with the file, one sentence each."""
    rows = db.execute("PRAGMA integrity_check").fetchall()
    problems = [f"The file is damaged: {row[0]}." for row in rows if row[0] != "ok"]
    orphans = db.execute("PRAGMA foreign_key_check").fetchall()
    if orphans:
        tables = ", ".join(sorted({row["table"] for row in orphans}))
        problems.append(f"{len(orphans)} rows refer to rows that do not exist (in {tables}).")
    return problems


def check_index(db: sqlite3.Connection) -> None:
    """Compare the search index with the passages: SQLITE_CORRUPT when they differ. Needs a write lock."""
    db.execute("INSERT INTO passages_fts (passages_fts, rank) VALUES ('integrity-check', 1)")
