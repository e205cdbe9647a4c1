"""Transactions, and SQLite errors translated to UserErrors with a hint."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from homescribe.errors import LibraryBusy, SetupError, UserError

# Free bytes below which a disk counts as full. SQLite needs some for its files beside the library.
MIN_FREE_BYTES = 1 << 20


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Commit the block, or roll it back when it raises.

    IMMEDIATE: a second writer waits at the beginning instead of failing halfway.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # after some errors, such as a full disk, SQLite rolls back by itself
            db.execute("ROLLBACK")
        raise


@contextmanager
def snapshot(db: sqlite3.Connection) -> Iterator[None]:
    """Let all queries of the block see the same state, whatever other processes write meanwhile."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Translate SQLite errors that the user can act on. Others are bugs and pass through."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if is_full_disk(error, path):
            code = sqlite3.SQLITE_FULL
        reaction = REACTIONS.get(code)
        if reaction is None and "no such module: fts5" in str(error):
            reaction = (SetupError, "This Python's SQLite has no full-text search (FTS5).", NO_FTS5)
        if reaction is None:
            raise
        kind, message, hint = reaction
        raise kind(message.format(path=path), hint) from error


def is_full_disk(error: sqlite3.Error, path: Path) -> bool:
    """Whether `error` means that the disk of `path` is full.

    SQLite reports an I/O error when it cannot create its -shm file. A library that was opened on a full disk
    is read-only.
    """
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY):
        return code == sqlite3.SQLITE_FULL
    try:
        return shutil.disk_usage(path.parent).free < MIN_FREE_BYTES
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
        LibraryBusy,
        "Another program is writing to {path}.",
        "Try again when it has finished.",
    ),
    sqlite3.SQLITE_READONLY: (
        UserError,
        "{path} is not writable.",
        "Make it and its folder writable, or choose another folder with --library DIR.",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        UserError,
        "{path} cannot be opened.",
        "Make it a file in a writable folder, or choose another folder with --library DIR.",
    ),
    sqlite3.SQLITE_NOTADB: (
        UserError,
        "{path} is not a library.",
        "Move it away, or choose another folder with --library DIR.",
    ),
    sqlite3.SQLITE_CORRUPT: (
        SetupError,
        "{path} is damaged.",
        "Restore a backup, or save what is readable: sqlite3 library.db .recover",
    ),
    sqlite3.SQLITE_IOERR: (
        SetupError,
        "The disk failed while reading or writing {path}.",
        "Check the disk. SQLite may not work on network folders: choose another with --library DIR.",
    ),
    sqlite3.SQLITE_PERM: (
        UserError,
        "There is no permission to open {path}.",
        "Make it readable and writable, or choose another folder with --library DIR.",
    ),
}
