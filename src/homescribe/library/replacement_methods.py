"""The methods of the library for words that are replaced everywhere: a base class of Library."""

from __future__ import annotations

import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import replace

from homescribe.library import listings, replacements, stats, transcripts
from homescribe.library.replacements import Replaced, Replacement
from homescribe.text.sanitize import sqlite_safe
from homescribe.text.word_replacement import WordReplacement


class ReplacementMethods(ABC):
    """Words that are replaced in stored and in new transcripts."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """Open a snapshot of the library."""

    @abstractmethod
    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """Open a transaction."""

    def replace_words(
        self,
        old: str,
        new: str,
        *,
        source: str | None = None,
        channel: str | None = None,
        match_case: bool = False,
        dry_run: bool = False,
    ) -> Replaced:
        """Replace a word or phrase in all transcripts, also in those that are stored later.

        Whole words only; other words keep their times, and lines that a person corrected stay as they are.
        Case is ignored unless `match_case`. `source` (a name as for `source_url`) and `channel` limit it to
        their recordings. With `dry_run`, nothing is changed.

        Raises UserError when the word is empty, is replaced already, or the source or channel is not known.
        """
        word = WordReplacement(old, new, match_case)
        channel = None if channel is None else sqlite_safe(channel)
        with self._writing() as db:
            if channel is not None:
                stats.check_channel(db, channel)
            url = None if source is None else listings.find_known(db, source)
            db.execute("SAVEPOINT replacing")
            replaced, changed = replacements.add(db, word, url, channel, time.time())
            if dry_run:
                db.execute("ROLLBACK TO replacing")
                replaced = replace(replaced, id=None)
            else:
                _refresh(db, changed)
            db.execute("RELEASE replacing")
            return replaced

    def replacements(self) -> list[Replacement]:
        """Replacements in the order in which they are applied."""
        with self._reading() as db:
            return replacements.stored(db)

    def remove_replacement(self, replacement: int | None = None) -> int:
        """Delete a replacement (`Replacement.id`, None for the latest), and undo what it changed.

        Returns the number of recordings that changed. UserError if there is no such replacement.
        """
        with self._writing() as db:
            number = replacements.latest(db) if replacement is None else replacement
            changed = replacements.remove(db, number)
            _refresh(db, changed)
            return len(changed)


def _refresh(db: sqlite3.Connection, item_ids: Iterable[int]) -> None:
    for item_id in item_ids:
        transcripts.refresh(db, item_id)
