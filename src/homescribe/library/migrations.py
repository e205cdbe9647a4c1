"""Migrations of an older library to the current schema.

Append-only: one function for each version, keyed by `PRAGMA user_version`. Each runs in a transaction of its
own, after the file was backed up. A published migration is never edited.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from homescribe.errors import SetupError, UserError
from homescribe.library import schema
from homescribe.library.passages import reindex
from homescribe.library.transactions import snapshot, transaction
from homescribe.text.identities import media_identity
from homescribe.text.scripts import count_words


def version_1(db: sqlite3.Connection) -> None:
    """Create the tables of the first release."""
    db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
    for statement in schema.VERSION_1:
        db.execute(statement)


def version_2(db: sqlite3.Connection) -> None:
    """Add the usage of calls to paid backends."""
    for statement in schema.VERSION_2:
        db.execute(statement)


def version_3(db: sqlite3.Connection) -> None:
    """Add the number of words of each transcript."""
    db.execute(schema.VERSION_3)
    ids = [row[0] for row in db.execute("SELECT item_id FROM transcripts")]
    for item_id in ids:
        texts = (
            row[0] for row in db.execute("SELECT text FROM segments WHERE item_id = ?", (item_id,))
        )
        words = count_words(texts)
        db.execute("UPDATE transcripts SET words = ? WHERE item_id = ?", (words, item_id))


def version_4(db: sqlite3.Connection) -> None:
    """Add corrections."""
    for statement in schema.VERSION_4:
        db.execute(statement)


def version_5(db: sqlite3.Connection) -> None:
    """Add the language of each segment, and the skipped stretches and warnings of each transcript."""
    for statement in schema.VERSION_5:
        db.execute(statement)


def version_6(db: sqlite3.Connection) -> None:
    """Add the record of what an engine in this process is working on."""
    for statement in schema.VERSION_6:
        db.execute(statement)


def version_7(db: sqlite3.Connection) -> None:
    """Add the seconds in each language of each transcript."""
    db.execute(schema.VERSION_7)
    db.execute(
        """
        UPDATE transcripts SET languages = (
            SELECT json_group_object(code, seconds) FROM (
                SELECT coalesce(segments.language, transcripts.language) AS code,
                    sum("end" - start) AS seconds
                FROM segments WHERE segments.item_id = transcripts.item_id
                GROUP BY code ORDER BY seconds DESC
            )
        )
        """
    )


def version_8(db: sqlite3.Connection) -> None:
    """Index text with folded letters, and words with hyphens as one word, too."""
    drop_trigger, rebuild, create_trigger = schema.VERSION_8
    db.execute(drop_trigger)
    reindex(db)
    db.execute(rebuild)
    db.execute(create_trigger)


def version_9(db: sqlite3.Connection) -> None:
    """Add what recordings are known by beside their keys, and further attempts after permanent failures."""
    for statement in schema.VERSION_9:
        db.execute(statement)
    rows = db.execute(
        "SELECT item_id, media_url, title, upload_date FROM items "
        "WHERE source = 'podcast' AND typeof(media_url) = 'text' AND upload_date IS NOT NULL"
    ).fetchall()
    db.executemany(
        "INSERT OR IGNORE INTO identities (identity, item_id) VALUES (?, ?)",
        [
            (media_identity(row["media_url"], row["title"], row["upload_date"]), row["item_id"])
            for row in rows
        ],
    )


def version_10(db: sqlite3.Connection) -> None:
    """Add which recordings of a source are left out."""
    for statement in schema.VERSION_10:
        db.execute(statement)


def version_11(db: sqlite3.Connection) -> None:
    """Add the options of transcripts and of calls in flight."""
    for statement in schema.VERSION_11:
        db.execute(statement)


def version_12(db: sqlite3.Connection) -> None:
    """Add the dollars of each call that no container measured."""
    db.execute(schema.VERSION_12)


def version_13(db: sqlite3.Connection) -> None:
    """Add where files are, and no further attempts at what crashed the process twice."""
    for statement in schema.VERSION_13:
        db.execute(statement)


def version_14(db: sqlite3.Connection) -> None:
    """Add who speaks, and the names of voices."""
    for statement in schema.VERSION_14:
        db.execute(statement)


def version_15(db: sqlite3.Connection) -> None:
    """Add audio that is kept."""
    for statement in schema.VERSION_15:
        db.execute(statement)


def version_16(db: sqlite3.Connection) -> None:
    """Add which exports were written to places where other files may be, too."""
    db.execute(schema.VERSION_16)


def version_17(db: sqlite3.Connection) -> None:
    """Add which items are ignored, and which are renamed."""
    for statement in schema.VERSION_17:
        db.execute(statement)


def version_18(db: sqlite3.Connection) -> None:
    """Add words that are replaced everywhere, and the words of the search index."""
    for statement in schema.VERSION_18:
        db.execute(statement)


def version_19(db: sqlite3.Connection) -> None:
    """Add speakers that were not found again, and corrected speakers of lines."""
    for statement in schema.VERSION_19:
        db.execute(statement)


def version_20(db: sqlite3.Connection) -> None:
    """Add the transcripts that a podcast feed offers for its episodes."""
    db.execute(schema.VERSION_20)


def version_21(db: sqlite3.Connection) -> None:
    """Add captions that are replaced later, and for which items they were requested."""
    for statement in schema.VERSION_21:
        db.execute(statement)


def version_22(db: sqlite3.Connection) -> None:
    """Add which items wait for the replacement of words."""
    db.execute(schema.VERSION_22)


def version_23(db: sqlite3.Connection) -> None:
    """Add the speakers of corrected lines as they were found."""
    for statement in schema.VERSION_23:
        db.execute(statement)


def version_24(db: sqlite3.Connection) -> None:
    """Add which rules of glossaries became replacements."""
    db.execute(schema.VERSION_24)


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    version_1,
    version_2,
    version_3,
    version_4,
    version_5,
    version_6,
    version_7,
    version_8,
    version_9,
    version_10,
    version_11,
    version_12,
    version_13,
    version_14,
    version_15,
    version_16,
    version_17,
    version_18,
    version_19,
    version_20,
    version_21,
    version_22,
    version_23,
    version_24,
)


# Copies in progress, beside the library.
PARTIAL_COPIES = "library-v*.part*"


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Migrate the library to the current schema, after a backup to `library-vN.db`."""
    with snapshot(db):
        version = file_version(db, path)
    if version == len(MIGRATIONS):
        return
    if version:
        try:
            _back_up(db, path, version)
        except OSError as error:
            raise UserError(
                f"Cannot back up {path} before it is migrated: {error.strerror}.",
                "Free some space in its folder, and make the folder writable.",
            ) from error
    # A migration may rebuild a table that others refer to. Some builds of SQLite have ON as the default.
    db.execute("PRAGMA foreign_keys = OFF")
    while version < len(MIGRATIONS):
        with transaction(db):
            version = file_version(db, path)  # another process may have migrated it meanwhile
            if version == len(MIGRATIONS):
                break
            MIGRATIONS[version](db)
            version += 1
            db.execute(f"PRAGMA user_version = {version}")
            if db.execute("PRAGMA foreign_key_check").fetchone():
                raise SetupError(
                    f"{path} could not be migrated to version {version}: "
                    "rows refer to rows that do not exist.",
                    "It was not changed. Please report this.",
                )


def file_version(db: sqlite3.Connection, path: Path) -> int:
    """Return how many migrations the file has had, 0 for an empty one.

    Called in a transaction: between its queries another process may create the library. Raises UserError for
    another program's database, and for a newer version.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    is_library = db.execute("PRAGMA application_id").fetchone()[0] == schema.APPLICATION_ID
    if not is_library and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise UserError(
            f"{path} is another program's database.",
            "Move it away, or choose another folder with --library DIR.",
        )
    if version > len(MIGRATIONS):
        raise UserError(
            f"{path} was made by a newer homescribe (schema {version}; this one knows {len(MIGRATIONS)}).",
            "Upgrade: git pull in the folder that homescribe was installed from, then pip install . there.",
        )
    return version


def _back_up(db: sqlite3.Connection, path: Path, version: int) -> None:
    """Copy the library, with its write-ahead log, to a file beside it."""
    copy = path.with_name(f"library-v{version}.db")
    partial = copy.with_name(
        f"{copy.name}.{os.getpid()}.part"
    )  # another process may be copying, too
    os.close(os.open(partial, os.O_CREAT | os.O_WRONLY, 0o600))
    with closing(sqlite3.connect(partial)) as target:
        db.backup(target)
        copied = int(target.execute("PRAGMA user_version").fetchone()[0])
    if copied == version:  # else another process migrated it meanwhile, and made the copy
        partial.replace(copy)
    else:
        partial.unlink()
