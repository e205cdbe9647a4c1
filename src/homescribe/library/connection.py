"""Opens the library file: creates or migrates it, or opens it read-only where it is not writable."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from homescribe import private_files
from homescribe.core import MINUTE, SECOND
from homescribe.errors import SetupError, UserError
from homescribe.library import migrations
from homescribe.library.filters import folded
from homescribe.library.transactions import is_full_disk, snapshot, translated

BUSY_TIMEOUT = 30 * SECOND  # another process may be saving a long transcript
BUSY_INTERVAL = 0.01 * SECOND
ABANDONED = 10 * MINUTE  # without a change, after which a partial copy is one of a killed process
FOLDERS = ("cache", "downloads", "logs", "uploads")  # of other modules, beside the library
Reaction = tuple[str, str]  # message and hint
OLDER_SCHEMA: Reaction = (
    "{path} was made by an older homescribe, and is only read here.",
    "Run homescribe status once: it migrates the library.",
)
OLDER_NOT_WRITABLE: Reaction = (
    "{path} was made by an older homescribe, and is not writable to be migrated.",
    "Copy it to a writable folder, and name that folder with --library DIR.",
)
OLDEST_SQLITE = (3, 27, 0)  # unicode61 with `remove_diacritics 2`


def connect(path: Path) -> sqlite3.Connection:
    """Open the library at `path`: created or migrated, or read-only where it is not writable.

    Raises UserError when the file is not a library, has a newer schema, or must be migrated and is not
    writable; SetupError when it is damaged or SQLite is too old.
    """
    _check_sqlite()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"Cannot create the folder {path.parent}: {error.strerror}.",
            "Choose another one with --library DIR.",
        ) from error
    with translated(path):
        _remove_abandoned_copies(path)
        try:
            db = _open(path)
        except sqlite3.OperationalError as error:
            if path.is_file() and is_full_disk(error, path):
                db = _open_on_a_full_disk(path)
            elif _is_only_readable(path):
                db = _open_read_only(path)
            else:
                raise
        db.create_function("folded", 1, folded, deterministic=True)
        return db


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open the library at `path` so that nothing can be written, while other processes may write to it.

    Raises UserError where `connect` does, and when the file has an older schema, because it is not migrated.
    """
    _check_sqlite()
    with translated(path):
        try:
            return _checked(path, f"{path.absolute().as_uri()}?mode=ro", OLDER_SCHEMA)
        except sqlite3.OperationalError as error:
            if path.is_file() and is_full_disk(error, path):
                return _open_on_a_full_disk(path)
            if not _is_only_readable(path):
                raise
            return _open_read_only(path)


def _check_sqlite() -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise SetupError(
            f"SQLite {sqlite3.sqlite_version} is too old for the library.",
            "Use a Python that comes with SQLite 3.27 or later.",
        )


def is_read_only(db: sqlite3.Connection) -> bool:
    """Whether the library was opened read-only, because it is not writable."""
    return bool(db.execute("PRAGMA query_only").fetchone()[0])


def create_private(path: Path) -> None:
    """Create an empty file that only its owner can read, unless there is a file. SQLite gives others access.

    Does nothing where it cannot be created: opening it says why. SQLite's files beside it get the same mode.
    """
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _restrict(path: Path) -> None:
    """Take away access from others to what earlier versions left readable."""
    for file in path.parent.glob(f"{path.stem}*.db*"):  # also backups, and SQLite's own files
        private_files.restrict_file(file)
    for name in FOLDERS:
        private_files.restrict_folder(path.parent / name)


def _open(path: Path) -> sqlite3.Connection:
    create_private(path)
    _restrict(path)
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        migrations.migrate(db, path)
        _use_wal(db)
        db.execute("PRAGMA foreign_keys = ON")
        # What is deleted is overwritten: voices of people are. Some builds of SQLite have OFF as the default.
        db.execute("PRAGMA secure_delete = ON")
        if not os.access(path, os.W_OK):  # SQLite would raise only at the first write
            db.execute("PRAGMA query_only = ON")
    except BaseException:
        db.close()
        raise
    return db


def _use_wal(db: sqlite3.Connection) -> None:
    """Set WAL mode, in which readers and the one writer do not wait for each other. The file keeps the mode.

    SQLite does not wait for a writer here: it fails at once, while another process creates the library.
    """
    give_up_at = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > give_up_at:
                raise
        time.sleep(BUSY_INTERVAL)


@contextmanager
def busy_timeout(db: sqlite3.Connection, seconds: float) -> Iterator[None]:
    """Let the writes of the block wait only so long for another program that writes."""
    (before,) = db.execute("PRAGMA busy_timeout").fetchone()
    db.execute(f"PRAGMA busy_timeout = {round(1000 * seconds)}")
    try:
        yield
    finally:
        db.execute(f"PRAGMA busy_timeout = {before}")


def empty_log(db: sqlite3.Connection) -> None:
    """Write everything from the write-ahead log to the file, and truncate the log, with what what is deleted.

    Waits for readers, and raises UserError when one does not end.
    """
    (busy, _, _) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise UserError(
            "The voice was deleted, but another program is reading the library: library.db-wal still has it.",
            "It is gone from there when all programs that use the library are closed.",
        )


def _open_on_a_full_disk(path: Path) -> sqlite3.Connection:
    """Open a library for reading where there is no room for the file through which processes share it.

    Nothing writes to the library then, so the file is read as it is. Only if a killed run left changes in the
    write-ahead log, SQLite has to have the library to itself to read them: close it soon, others wait.
    """
    whole = not _has_log(path)
    address = f"{path.absolute().as_uri()}{'?mode=ro&immutable=1' if whole else ''}"
    db = sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        if not whole:
            db.execute("PRAGMA locking_mode = EXCLUSIVE")  # before the first access
        with snapshot(db):
            version = migrations.file_version(db, path)
        if version < len(migrations.MIGRATIONS):
            raise UserError(
                f"The disk is full: {path} cannot be migrated to this version of homescribe.",
                "Free some space and run the same command again; nothing is lost.",
            )
        db.execute("PRAGMA query_only = ON")
    except BaseException:
        db.close()
        raise
    return db


def _has_log(path: Path) -> bool:
    """Whether there are changes in the write-ahead log that are not in the file."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


def _remove_abandoned_copies(path: Path) -> None:
    """Remove copies that a process was making before a migration when it was killed."""
    with suppress(OSError):
        for copy in path.parent.glob(migrations.PARTIAL_COPIES):
            if time.time() - copy.stat().st_mtime > ABANDONED:
                copy.unlink(missing_ok=True)


def _is_only_readable(path: Path) -> bool:
    if not (path.is_file() and os.access(path, os.R_OK)):
        return False
    return not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def _open_read_only(path: Path) -> sqlite3.Connection:
    """Open a library where SQLite cannot create the files beside it that processes share.

    `immutable` reads only the file. Changes that a killed run left in the write-ahead log would be missing,
    which is an error.
    """
    if _has_log(path):
        raise UserError(
            f"{path} is not writable, and its latest changes are still in {path.name}-wal.",
            "Copy the whole folder to a writable place, and name it with --library DIR.",
        )
    return _checked(path, f"{path.absolute().as_uri()}?mode=ro&immutable=1", OLDER_NOT_WRITABLE)


def _checked(path: Path, address: str, older: Reaction) -> sqlite3.Connection:
    """Open the library for reading at a URI of SQLite. Raises UserError with `older` for an older schema."""
    db = sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)
    try:
        db.row_factory = sqlite3.Row
        with snapshot(db):
            version = migrations.file_version(db, path)
        if version < len(migrations.MIGRATIONS):
            message, hint = older
            raise UserError(message.format(path=path), hint)
        db.execute("PRAGMA query_only = ON")
    except BaseException:
        db.close()
        raise
    return db
