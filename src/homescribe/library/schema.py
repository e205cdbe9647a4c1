"""The library's file: how it is opened, what is in it, and how an older one becomes today's.

Migrations are append-only: one function each, keyed by `PRAGMA user_version`, run in a transaction of its
own after a copy of the file was laid beside it. A published migration is never edited. The schema is told
in docs/reference/library-schema.md.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from homescribe.core import SECOND
from homescribe.errors import SetupError, UserError
from homescribe.library import corrections, stats, usages

APPLICATION_ID = 0x686F7363  # "hosc", in the header of every library of ours
BUSY_TIMEOUT = 30 * SECOND  # another process may be saving a long transcript
LEAST_ROOM = (
    1 << 20
)  # bytes; a disk with less free is full, SQLite's own files beside ours need some
OLDEST_SQLITE = (3, 27, 0)  # unicode61 with `remove_diacritics 2`

# Passage n of an item has the id `item_id << PASSAGE_BITS | n`, so that search knows the item without a
# look into the table. Negative ids are what the publisher wrote: -2 * item_id is the title of an item,
# -2 * item_id - 1 its description.
PASSAGE_BITS = 20

VERSION_1 = (
    # A channel, playlist, feed, folder or single recording that was added.
    """
    CREATE TABLE sources (
        source_id INTEGER PRIMARY KEY,
        url TEXT NOT NULL UNIQUE,
        source TEXT NOT NULL,
        title TEXT NOT NULL,
        added_at REAL NOT NULL,
        listed_at REAL NOT NULL
    )
    """,
    """
    CREATE TABLE items (
        item_id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        source TEXT NOT NULL,
        id TEXT NOT NULL,
        url TEXT NOT NULL,
        title TEXT NOT NULL,
        channel TEXT,
        channel_id TEXT,
        duration REAL,
        upload_date TEXT,
        language TEXT,
        description TEXT,
        chapters TEXT,
        media_url TEXT,
        added_at REAL NOT NULL
    )
    """,
    """
    CREATE TABLE source_items (
        source_id INTEGER NOT NULL REFERENCES sources(source_id) ON DELETE CASCADE,
        item_id INTEGER NOT NULL REFERENCES items(item_id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        PRIMARY KEY (source_id, item_id)
    )
    """,
    "CREATE INDEX source_items_item_id ON source_items (item_id)",
    """
    CREATE TABLE transcripts (
        item_id INTEGER PRIMARY KEY REFERENCES items(item_id) ON DELETE CASCADE,
        engine TEXT NOT NULL,
        model TEXT NOT NULL,
        language TEXT NOT NULL,
        duration REAL NOT NULL,
        seconds REAL NOT NULL,
        done_at REAL NOT NULL
    )
    """,
    """
    CREATE TABLE segments (
        segment_id INTEGER PRIMARY KEY,
        item_id INTEGER NOT NULL REFERENCES transcripts(item_id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        start REAL NOT NULL,
        "end" REAL NOT NULL,
        text TEXT NOT NULL,
        avg_logprob REAL,
        no_speech_prob REAL,
        compression_ratio REAL,
        temperature REAL,
        words TEXT,
        flags TEXT,
        UNIQUE (item_id, position)
    )
    """,
    """
    CREATE TABLE failures (
        item_id INTEGER PRIMARY KEY REFERENCES items(item_id) ON DELETE CASCADE,
        attempts INTEGER NOT NULL,
        error TEXT NOT NULL,
        hint TEXT NOT NULL,
        permanent INTEGER NOT NULL,
        retry_at REAL,
        failed_at REAL NOT NULL
    )
    """,
    """
    CREATE TABLE calls (
        item_id INTEGER PRIMARY KEY REFERENCES items(item_id) ON DELETE CASCADE,
        backend TEXT NOT NULL,
        call_id TEXT NOT NULL,
        submitted_at REAL NOT NULL,
        metadata TEXT NOT NULL
    )
    """,
    """
    CREATE TABLE sites (
        site TEXT PRIMARY KEY,
        blocked_until REAL NOT NULL,
        reason TEXT NOT NULL
    )
    """,
    # What search reads; search.py tells how.
    """
    CREATE TABLE passages (
        passage_id INTEGER PRIMARY KEY,
        item_id INTEGER NOT NULL REFERENCES items(item_id) ON DELETE CASCADE,
        first_segment INTEGER,
        last_segment INTEGER,
        text TEXT NOT NULL
    )
    """,
    "CREATE INDEX passages_item_id ON passages (item_id)",
    # Marks (M*) are letters here: without them Hindi and Thai words fall apart at their vowel signs.
    # The prefix index makes search answer while a word is typed: an eighth of the file.
    # Datasette and sqlite-utils find the index by `content="passages"`, in this very spelling.
    """
    CREATE VIRTUAL TABLE passages_fts USING fts5 (
        text,
        content="passages",
        content_rowid="passage_id",
        tokenize="unicode61 remove_diacritics 2 categories 'L* N* Co Mn Mc'",
        prefix='3'
    )
    """,
    """
    CREATE TRIGGER passages_inserted AFTER INSERT ON passages BEGIN
        INSERT INTO passages_fts (rowid, text) VALUES (new.passage_id, new.text);
    END
    """,
    """
    CREATE TRIGGER passages_deleted AFTER DELETE ON passages BEGIN
        INSERT INTO passages_fts (passages_fts, rowid, text)
        VALUES ('delete', old.passage_id, old.text);
    END
    """,
    """
    CREATE TRIGGER passages_updated AFTER UPDATE ON passages BEGIN
        INSERT INTO passages_fts (passages_fts, rowid, text)
        VALUES ('delete', old.passage_id, old.text);
        INSERT INTO passages_fts (rowid, text) VALUES (new.passage_id, new.text);
    END
    """,
    # For people who open the file with other programs.
    """
    CREATE VIEW item_states AS
    SELECT items.item_id, items.key, items.title, items.channel, items.upload_date, items.url,
        CASE
            WHEN transcripts.item_id IS NOT NULL THEN 'done'
            WHEN calls.item_id IS NOT NULL THEN 'in flight'
            WHEN failures.permanent OR failures.retry_at > (julianday('now') - 2440587.5) * 86400
                THEN 'failed'
            ELSE 'pending'
        END AS state,
        failures.attempts, failures.error,
        datetime(failures.retry_at, 'unixepoch') AS retry_at,
        datetime(items.added_at, 'unixepoch') AS added_at,
        datetime(transcripts.done_at, 'unixepoch') AS done_at,
        coalesce(transcripts.duration, items.duration) AS duration
    FROM items
    LEFT JOIN transcripts USING (item_id)
    LEFT JOIN calls USING (item_id)
    LEFT JOIN failures USING (item_id)
    """,
    """
    CREATE VIEW transcripts_text AS
    SELECT items.item_id, items.key, items.title, items.channel, items.upload_date, items.url,
        transcripts.language, transcripts.duration, transcripts.engine, transcripts.model,
        trim((
            SELECT group_concat(text, '') FROM (
                SELECT text FROM segments WHERE segments.item_id = transcripts.item_id ORDER BY position
            )
        )) AS text
    FROM transcripts JOIN items USING (item_id)
    """,
)


def version_1(db: sqlite3.Connection) -> None:
    """Everything the first release keeps."""
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for statement in VERSION_1:
        db.execute(statement)


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    version_1,
    usages.create,
    stats.create,
    corrections.create,
)


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
        migrate(db, path)
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
        if _version(db, path) < len(MIGRATIONS):
            raise UserError(
                f"{path} was made by an older homescribe and may not be brought up to date.",
                "Copy it to where you may write, and name that folder with --library DIR.",
            )
        db.execute("PRAGMA query_only = ON")
    except BaseException:
        db.close()
        raise
    return db


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Bring an older library to today's schema, after a copy of it to `library-vN.db`."""
    version = _version(db, path)
    if version == len(MIGRATIONS):
        return
    if version:
        try:
            _back_up(db, path, version)
        except OSError as error:
            raise UserError(
                f"Cannot copy {path} before it is brought up to date: {error.strerror}.",
                "Make room in its folder and the right to write there.",
            ) from error
    # A migration may rebuild a table that others refer to. OFF is the default, but not of every build.
    db.execute("PRAGMA foreign_keys = OFF")
    while version < len(MIGRATIONS):
        with transaction(db):
            version = _version(db, path)  # another process may have been faster
            if version == len(MIGRATIONS):
                break
            MIGRATIONS[version](db)
            version += 1
            db.execute(f"PRAGMA user_version = {version}")
            if db.execute("PRAGMA foreign_key_check").fetchone():
                raise SetupError(
                    f"The library in {path} could not be brought to version {version}: rows refer to "
                    "others that do not exist.",
                    "It was left as it was. Please report this.",
                )


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


def _version(db: sqlite3.Connection, path: Path) -> int:
    """How many migrations the file has seen; 0 for an empty one. Raises UserError when it is not ours."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    ours = db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    if not ours and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise UserError(
            f"{path} is another program's database.",
            "Move it away, or choose another folder with --library DIR.",
        )
    if version > len(MIGRATIONS):
        raise UserError(
            f"{path} was made by a newer homescribe (its version {version}, this one's {len(MIGRATIONS)}).",
            "Upgrade: git pull in the folder that homescribe was installed from, then pip install . there.",
        )
    return version


def _back_up(db: sqlite3.Connection, path: Path, version: int) -> None:
    """Copy the library as it is, with what its write-ahead log holds, to a file beside it."""
    copy = path.with_name(f"library-v{version}.db")
    partial = copy.with_name(f"{copy.name}.{os.getpid()}.part")  # others may be copying, too
    with closing(sqlite3.connect(partial)) as target:
        db.backup(target)
        copied = int(target.execute("PRAGMA user_version").fetchone()[0])
    if copied == version:  # else another process has migrated it, and made its own copy
        partial.replace(copy)
    else:
        partial.unlink()
