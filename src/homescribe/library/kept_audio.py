"""The audio that a library keeps: files in its folder `audio`, and a row in `kept_audio` for each.

A file is complete before its row is stored, and is deleted after its row. So a row always has its file,
wherever a process is killed. When a row is deleted, by whatever statement, a trigger adds the name of its
file to `unused_audio`, where it stays until the file is deleted. A file without a row, of a process that was
killed before it stored one, is deleted by `sweep`.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from homescribe import private_files
from homescribe.core import Item
from homescribe.errors import LibraryBusy
from homescribe.library import items

FOLDER = "audio"
# What the names of files of this folder look like. Files of other names are not touched.
NAME = re.compile(r"[0-9a-f]{20}-[0-9a-f]{8}(\.[a-z0-9]{1,8}){0,2}(\.part)?")
SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")

# "speech": a copy for speech, mono; "all": the file as it was downloaded.
Kind = Literal["speech", "all"]
Transaction = Callable[[], AbstractContextManager[sqlite3.Connection]]


@dataclass(frozen=True, slots=True)
class KeptAudio:
    """The audio of an item that is in the library's folder."""

    key: str
    title: str
    path: Path
    kind: Kind
    bytes: int
    duration: float | None  # seconds of the decoded audio; None if unknown
    track: int | None  # audio track of the recording that a speech copy has; None: the default
    kept_at: float  # Unix time

    @property
    def is_there(self) -> bool:
        """Whether the file is there, with all its bytes."""
        try:
            return self.path.is_file() and self.path.stat().st_size == self.bytes
        except OSError:
            return False


@dataclass(frozen=True, slots=True)
class AudioTotal:
    """How much audio is kept."""

    files: int
    bytes: int


class AudioFolder:
    """The audio that a library keeps, as `Library.audio`. Removing an item removes its audio.

    Args:
        directory: of the library.
        reading, writing: begin a transaction.
    """

    def __init__(self, directory: Path, reading: Transaction, writing: Transaction) -> None:
        self.path = directory / FOLDER
        self._reading = reading
        self._writing = writing

    # --- Reading -----------------------------------------------------------------------------------

    def find(self, key: str) -> KeptAudio | None:
        """The kept audio of the item with this key; None if there is none, or its file is gone."""
        with self._reading() as db:
            found = self._rows(db, "WHERE items.key = ?", key)
        return found[0] if found and found[0].is_there else None

    def records(self) -> list[KeptAudio]:
        """All kept audio, the oldest first. Whether the files are there is not checked."""
        with self._reading() as db:
            return self._rows(db)

    def total(self) -> AudioTotal:
        """The number of files and of bytes."""
        with self._reading() as db:
            files, size = db.execute("SELECT count(*), total(bytes) FROM kept_audio").fetchone()
        return AudioTotal(files, int(size))

    def _rows(self, db: sqlite3.Connection, where: str = "", *parameters: str) -> list[KeptAudio]:
        rows = db.execute(
            "SELECT key, title, kept_audio.* FROM kept_audio JOIN items USING (item_id) "
            f"{where} ORDER BY kept_at, item_id",
            parameters,
        )
        return [
            KeptAudio(
                row["key"],
                row["title"],
                self.path / row["name"],
                row["kind"],
                row["bytes"],
                row["duration"],
                row["track"],
                row["kept_at"],
            )
            for row in rows
        ]

    # --- Writing -----------------------------------------------------------------------------------

    def new_path(self, key: str, suffix: str) -> Path:
        """Return a path for a new file with the audio of an item. No part of its name is from a title."""
        private_files.make_folder(self.path)
        name = f"{hashlib.sha256(key.encode()).hexdigest()[:20]}-{secrets.token_hex(4)}"
        return self.path / (name + (suffix.lower() if SUFFIX.fullmatch(suffix.lower()) else ""))

    def add(
        self,
        item: Item,
        path: Path,
        kind: Kind,
        *,
        duration: float | None = None,
        track: int | None = None,
    ) -> bool:
        """Store that the file at `path`, which `new_path` returned, has the audio of `item`.

        It takes the place of an earlier one. Returns False, and deletes the file, if the item is not in the
        library. The file is also deleted when its row cannot be stored, except after LibraryBusy, so that it
        can be tried again.
        """
        now = time.time()
        try:
            size = path.stat().st_size
            with self._writing() as db:
                known = items.known_rows(db, [item.key]).get(item.key)
                if known is not None:
                    db.execute("DELETE FROM kept_audio WHERE item_id = ?", (known["item_id"],))
                    db.execute(
                        "INSERT INTO kept_audio (item_id, name, kind, bytes, duration, track, kept_at) "
                        "VALUES (?, ?, ?, ?, ?, ?, ?)",
                        (known["item_id"], path.name, kind, size, duration, track, now),
                    )
                    return True
        except LibraryBusy:
            raise
        except BaseException:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            raise
        path.unlink(missing_ok=True)
        return False

    def remove(self, keys: Collection[str]) -> int:
        """Delete the kept audio of these items, not their transcripts; returns the number of bytes."""
        with self._writing() as db:
            chosen = json.dumps(list(keys))
            freed = db.execute(
                "DELETE FROM kept_audio WHERE item_id IN "
                "(SELECT item_id FROM items WHERE key IN (SELECT value FROM json_each(?))) "
                "RETURNING bytes",
                (chosen,),
            ).fetchall()
        return sum(row["bytes"] for row in freed)

    def over(self, limit: int, spared: Collection[str] = ()) -> list[KeptAudio]:
        """The oldest kept audio, as much as has to go so that `limit` bytes remain.

        Args:
            spared: keys of items whose audio stays, even if more than `limit` bytes remain.
        """
        kept = self.records()
        excess = sum(one.bytes for one in kept) - limit
        chosen: list[KeptAudio] = []
        for one in kept:
            if excess <= 0:
                break
            if one.key not in spared:
                chosen.append(one)
                excess -= one.bytes
        return chosen

    # --- Files that no row names, and rows whose file is gone --------------------------------------------

    def delete_unused(self, db: sqlite3.Connection) -> None:
        """Delete the files whose rows are gone. Called after each transaction that writes.

        It raises no error of SQLite or of the disk, because that transaction is stored.
        """
        names: list[str] = []
        with suppress(sqlite3.Error):
            names = [row["name"] for row in db.execute("SELECT name FROM unused_audio")]
        for name in names:
            with suppress(OSError, sqlite3.Error):  # it is tried again after the next transaction
                (self.path / name).unlink(missing_ok=True)
                db.execute("DELETE FROM unused_audio WHERE name = ?", (name,))

    def unrecorded(self) -> list[Path]:
        """Files of this folder that belong to no item. Call it only with the run lock: a run adds files."""
        try:
            files = [path for path in self.path.iterdir() if NAME.fullmatch(path.name)]
        except OSError:  # there is no such folder
            return []
        with self._reading() as db:
            known = {row["name"] for row in db.execute("SELECT name FROM kept_audio")}
        return [path for path in files if path.name not in known]

    def sweep(self) -> int:
        """Delete the files that belong to no item; returns how many. Call it only with the run lock."""
        unrecorded = self.unrecorded()
        for path in unrecorded:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        return len(unrecorded)

    def missing(self) -> list[KeptAudio]:
        """Kept audio whose file was deleted or cut by somebody else.

        Empty if the folder itself is gone: it may be on a disk that is not there.
        """
        if not self.path.is_dir():
            return []
        return [one for one in self.records() if not one.is_there]
