"""The methods of the library for words that are replaced everywhere: a base class of Library."""

from __future__ import annotations

import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager

from homescribe.core import SECOND
from homescribe.library import glossary_rules, listings, replacements, stats, transcripts
from homescribe.library.glossary_rules import TakenRules
from homescribe.library.replacements import Replaced, ReplacedLine, Replacement, Scope
from homescribe.text.sanitize import sqlite_safe
from homescribe.text.word_replacement import WordReplacement

HELD = 1 * SECOND  # that one transaction takes, in which other programs wait to write
PAUSE = 0.15 * SECOND  # before another one, longer than SQLite ever sleeps before it tries again


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

        Other programs can write meanwhile. If the process is killed, the next run or replacement does the
        rest.

        Raises UserError when the word is empty, is replaced already, or the source or channel is not known.
        """
        word = WordReplacement(old, new, match_case)
        channel = None if channel is None else sqlite_safe(channel)
        if dry_run:
            with self._reading() as db:
                return replacements.preview(db, word, _scope(db, source, channel))
        self.finish_replacements()
        with self._writing() as db:
            number = replacements.add(db, word, _scope(db, source, channel), time.time())
            examples = _apply(db, number)
        examples += self.finish_replacements(number)
        with self._reading() as db:
            return replacements.counted(db, number, examples[: replacements.MAX_EXAMPLES])

    def take_rules(self, rules: Sequence[tuple[str, str]]) -> TakenRules:
        """Make rules of a glossary, (misheard, right), replacements; each once in the life of the library.

        A replacement that was removed is not made again. One that a person made, and that contradicts a
        rule, stays.
        """
        with self._reading() as db:
            new = glossary_rules.unknown(db, rules)
            removed = glossary_rules.removed(db, rules)
        if not new:
            return TakenRules(removed=removed)
        self.finish_replacements()
        with self._writing() as db:
            ids, conflicts = glossary_rules.take(db, new, time.time())
        self.finish_replacements()
        with self._reading() as db:
            return glossary_rules.counted(db, ids, conflicts, removed)

    def finish_replacements(self, replacement: int | None = None) -> list[ReplacedLine]:
        """Do what is left of replacements, or of their removal, when a process was killed meanwhile.

        Returns lines that `replacement` (`Replacement.id`) has changed.
        """
        examples: list[ReplacedLine] = []
        while self.unfinished_replacements():
            time.sleep(PAUSE)
            with self._writing() as db:
                examples += _apply(db, replacement)
        return examples

    def unfinished_replacements(self) -> int:
        """Number of recordings that `finish_replacements` has to change."""
        with self._reading() as db:
            return len(replacements.unreplaced(db))

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
            _apply(db)
        self.finish_replacements()
        return changed


def _scope(db: sqlite3.Connection, source: str | None, channel: str | None) -> Scope:
    """Return the recordings of a source and a channel. UserError if either is not known."""
    if channel is not None:
        stats.check_channel(db, channel)
    return Scope(None if source is None else listings.find_known(db, source), channel)


def _apply(db: sqlite3.Connection, replacement: int | None = None) -> list[ReplacedLine]:
    """Change recordings that are still to be changed, for HELD seconds.

    Returns lines that `replacement` has changed.
    """
    until = time.monotonic() + HELD
    examples: list[ReplacedLine] = []
    for item_id, key in replacements.unreplaced(db):
        changes = replacements.apply(db, item_id)
        own = [change for change in changes if not change.corrected]
        transcripts.refresh(
            db, item_id, {change.segment["position"]: change.texts for change in own}
        )
        missing = replacements.MAX_EXAMPLES - len(examples)
        of_this = [change for change in own if replacement in change.uses]
        examples += [replacements.example(key, change) for change in of_this[:missing]]
        if time.monotonic() > until:
            break
    return examples
