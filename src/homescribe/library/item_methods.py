"""The methods of the library with which a person manages items: a base class of Library."""

from __future__ import annotations

import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass

from homescribe.errors import UserError
from homescribe.library import ignored, items, renamed
from homescribe.library.passages import index_metadata
from homescribe.library.rows import to_item
from homescribe.text.sanitize import TITLE_CHARACTERS, one_line, sqlite_safe


@dataclass(frozen=True, slots=True)
class Renaming:
    """What `Library.rename` did: the title before and after."""

    key: str
    before: str
    after: str


class ItemMethods(ABC):
    """Rename, ignore and remove items."""

    @abstractmethod
    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """Open a transaction."""

    def remove(self, keys: Collection[str], *, ignore: bool = False) -> int:
        """Delete items with everything that belongs to them, transcripts too; returns how many.

        `ignore`: keep what their sources say about them, and never transcribe them again.
        """
        now = time.time()
        with self._writing() as db:
            ids = items.find_ids(db, keys, now)
            return ignored.empty(db, ids, now) if ignore else items.remove(db, ids)

    def ignore(self, keys: Collection[str]) -> list[str]:
        """Never transcribe these items, also if a source lists them; returns those that were not ignored.

        Items that have a transcript are left as they are. The result of a call in flight is still stored.
        """
        with self._writing() as db:
            now = time.time()
            return list(items.keys(db, ignored.add(db, items.find_ids(db, keys, now), now)))

    def stop_ignoring(self, keys: Collection[str]) -> list[str]:
        """Ignore these items no longer; returns those that were ignored, which are pending again."""
        with self._writing() as db:
            found = ignored.remove(db, items.find_ids(db, keys, time.time()))
            return list(items.keys(db, found))

    def rename(self, key: str, title: str) -> Renaming:
        """Give an item another title, which stays when its source is listed again; "" for the source's title.

        Raises UserError for a title of more than TITLE_CHARACTERS.
        """
        given = sqlite_safe(one_line(title, len(title) + 1))
        if len(given) > TITLE_CHARACTERS:
            raise UserError(
                f"The title has {len(given):,} characters.",
                f"Shorten it to at most {TITLE_CHARACTERS}.",
            )
        with self._writing() as db:
            now = time.time()
            (item_id,) = items.find_ids(db, [key], now)
            before, after = renamed.rename(db, item_id, given, now)
            row = db.execute("SELECT * FROM items WHERE item_id = ?", (item_id,)).fetchone()
            index_metadata(db, {item_id: to_item(row)})
            return Renaming(row["key"], before, after)
