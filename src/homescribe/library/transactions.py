"""Transactions, and SQLite's errors as UserErrors with a hint."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from homescribe.errors import SetupError, UserError

LEAST_ROOM = (
    1 << 20
)  # free bytes below which a disk counts as full: SQLite needs some for its own files


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All of the block or nothing. IMMEDIATE, so that a second writer waits instead of failing halfway."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if (
            db.in_transaction
        ):  # after some errors, a full disk for one, SQLite has rolled back itself
            db.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """Read transaction: all queries see the same state, whatever other processes write meanwhile."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        db.execute("ROLLBACK")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors that a person can act on, as one line and a hint; bugs of ours pass through."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_IOERR and _is_full(path.parent):
            code = (
                sqlite3.SQLITE_FULL
            )  # the log's index cannot be made, which SQLite takes for a defect
        reaction = REACTIONS.get(code)
        if reaction is None and "no such module: fts5" in str(error):
            reaction = (SetupError, "This Python's SQLite has no full-text search (FTS5).", NO_FTS5)
        if reaction is None:
            raise
        kind, message, hint = reaction
        raise kind(message.format(path=path), hint) from error


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < LEAST_ROOM
    except OSError:
        return False


NO_FTS5 = "Use a Python from python.org, uv, conda or your system's packages."
REACTIONS: dict[int, tuple[type[UserError], str, str]] = {
    sqlite3.SQLITE_FULL: (
        UserError,
        "The disk is full: nothing more can be written to {path}.",
        "Free some space and run the same command again; nothing is lost.",
    ),
    sqlite3.SQLITE_BUSY: (
        UserError,
        "Another program is writing to {path}.",
        "Try again when it has finished.",
    ),
    sqlite3.SQLITE_READONLY: (
        UserError,
        "{path} may not be written.",
        "Give yourself the right to write it and its folder, or choose another with --library DIR.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        UserError,
        "{path} cannot be opened.",
        "It must be a file in a folder that you may write; or choose another with --library DIR.",
    ),
    sqlite3.SQLITE_NOTADB: (
        UserError,
        "{path} is not a library.",
        "Move it away, or choose another folder with --library DIR.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        SetupError,
        "{path} is damaged.",
        "Put back a copy of it, or save what is readable: sqlite3 library.db .recover",
    ),
    sqlite3.SQLITE_IOERR: (
        SetupError,
        "The disk failed while reading or writing {path}.",
        "Check the disk; network folders may not suit SQLite: choose another with --library DIR.",
    ),
    sqlite3.SQLITE_PERM: (
        UserError,
        "{path} may not be opened.",
        "Give yourself the right to read and write it, or choose another with --library DIR.",
    ),
}
