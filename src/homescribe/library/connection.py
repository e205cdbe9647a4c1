"""Opening the library file: created, migrated, or read-only where it may not be written."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from homescribe.core import SECOND
from homescribe.errors import SetupError, UserError
from homescribe.library import migrations
from homescribe.library.transactions import translated

BUSY_TIMEOUT = 30 * SECOND  # another process may be saving a long transcript
OLDEST_SQLITE = (3, 27, 0)  # unicode61 with `remove_diacritics 2`


def connect(path: Path) -> sqlite3.Connection:
    """The library at `path`, created or brought up to date; one that may not be written, to be read.

    Raises UserError when the file is not ours, newer than we are, or needs to be written and may not be,
    SetupError when it is damaged or SQLite is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise SetupError(
            f"SQLite {sqlite3.sqlite_version} is too old for the library.",
            "Use a Python that comes with SQLite 3.27 or later.",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Cannot make the folder {path.parent}: {error.strerror}.",
            "Choose another one with --library DIR.",
        ) from error
    with translated(path):
        try:
            return _opened(path)
        except sqlite3.OperationalError:
            if not _can_only_be_read(path):
                raise
            return _opened_to_be_read(path)


def is_read_only(db: sqlite3.Connection) -> bool:
    """Whether the library was opened for reading alone, since it may not be written."""
    return bool(db.execute("PRAGMA query_only").fetchone()[0])


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        migrations.migrate(db, path)
        # Readers and the one writer do not wait for each other. Kept in the file, so usually a no-op.
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA foreign_keys = ON")
        if not os.access(path, os.W_OK):  # SQLite would say so at the first write only
            db.execute("PRAGMA query_only = ON")
    except BaseException:
        db.close()
        raise
    return db


def _can_only_be_read(path: Path) -> bool:
    if not (path.is_file() and os.access(path, os.R_OK)):
        return False
    return not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def _opened_to_be_read(path: Path) -> sqlite3.Connection:
    """The library on a disk or in a folder where SQLite cannot make the files that it shares with others.

    `immutable` reads the file alone. What a run that was cut off has left in the log beside it would be
    missed, which must not go unsaid.
    """
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise UserError(
            f"{path} may not be written, and its latest changes still stand in {log.name}.",
            "Copy its whole folder to where you may write, and name that one with --library DIR.",
        )
    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    db = sqlite3.connect(address, uri=True, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        if migrations.file_version(db, path) < len(migrations.MIGRATIONS):
            raise UserError(
                f"{path} was made by an older homescribe and may not be brought up to date.",
                "Copy it to where you may write, and name that folder with --library DIR.",
            )
        db.execute("PRAGMA query_only = ON")
    except BaseException:
        db.close()
        raise
    return db
