"""The methods of the library about speakers and their names: a base class of Library."""

from __future__ import annotations

import re
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from homescribe.core import Speaker, Turn
from homescribe.library import engine_work, items, named_voices, namings, speaker_rows, transcripts
from homescribe.library.named_voices import Person, VoiceRecord
from homescribe.library.namings import Naming, NewNaming

VOICES_SINCE = 14  # the schema's version


_Action = Callable[[NewNaming, int, Sequence[str]], None]


class SpeakerMethods(ABC):
    """Speakers of transcripts, their names, and the voices that are known by a name."""

    directory: Path

    @abstractmethod
    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """Open a snapshot of the library."""

    @abstractmethod
    def _writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """Open a transaction."""

    def speakers(self, key: str) -> tuple[Speaker, ...]:
        """The speakers of an item's transcript in the order of their first words, without embeddings."""
        with self._reading() as db:
            (item_id,) = items.find_ids(db, [key], time.time())
            return speaker_rows.load(db, item_id)

    def without_speakers(self, source_url: str | None = None) -> list[str]:
        """Keys of transcribed items whose speakers were not told apart; of all, or of those of one source."""
        with self._reading() as db:
            return transcripts.without_speakers(db, source_url)

    def add_speakers(
        self,
        key: str,
        speakers: tuple[Speaker, ...],
        turns: tuple[Turn, ...],
        *,
        setting: str = "auto",
        least: int = 1,
        warnings: tuple[str, ...] = (),
    ) -> bool:
        """Add speakers to an item's transcript, in place of those that it has; False when there is none.

        Its text, its corrections and the names of its speakers stay. `setting` is stored as
        `TranscriptionOptions.speakers`; of more than `least` speakers, those with little speech are left out.
        `warnings` are added to those of the transcript.
        """
        with self._writing() as db:
            found = items.known_rows(db, [key])
            if key not in found:
                return False
            item_id = int(found[key]["item_id"])
            engine_work.end(db, item_id)
            return transcripts.add_speakers(
                db, item_id, speakers, turns, setting, least, warnings=warnings
            )

    def set_speaker(self, key: str, positions: Sequence[int], label: str) -> dict[int, str | None]:
        """Correct who says the segments at `positions`: the speaker with this label.

        Returns the labels that they had, by position. Raises UserError for a segment or a speaker that there
        is not.
        """
        with self._writing() as db:
            (item_id,) = items.find_ids(db, [key], time.time())
            return transcripts.set_speaker(db, item_id, positions, label)

    def name_speaker(self, key: str, label: str | Sequence[str], name: str) -> Naming:
        """Name a speaker of an item's transcript, or several that are one person; "" to remove the name.

        The other recordings of the same sources and channel get the name where its voice is recognized. A
        name that another voice there has makes the two one. Where the speaker had its name by its voice, that
        voice is rejected for it.
        """
        return self._act(
            key, label, lambda naming, item, labels: naming.name_speakers(item, labels, name)
        )

    def confirm_speaker(self, key: str, label: str | Sequence[str]) -> Naming:
        """Confirm the name that a speaker has by its voice: its voice is then known better."""
        return self._act(key, label, _each(NewNaming.confirm))

    def reject_speaker(self, key: str, label: str | Sequence[str]) -> Naming:
        """Remove the name of a speaker, and keep that it is not that voice."""
        return self._act(key, label, _each(NewNaming.reject))

    def rename_voice(self, voice: int | Sequence[int], name: str) -> int | None:
        """Rename a voice (`VoiceRecord.id`), or several as one change, in all recordings.

        Returns the id of the change, for `undo_naming`; None when nothing was changed.
        """
        voices = [voice] if isinstance(voice, int) else voice

        def rename(naming: NewNaming) -> None:
            for each in voices:
                naming.rename_voice(each, name)

        with self._writing() as db:
            return namings.act(db, [], rename, time.time())

    def undo_naming(self, naming: int | None = None) -> tuple[str, ...]:
        """Undo the latest of these four that was not undone. Returns the keys of the items that changed.

        The latest 50 can be undone, one after the other. Raises UserError when there is none, or when it is
        not `naming` (`Naming.id`).
        """
        with self._writing() as db:
            return items.keys(db, namings.undo(db, naming))

    def voices(self) -> list[VoiceRecord]:
        """Named voices, those with the most speech first."""
        with self._reading() as db:
            return named_voices.voices(db)

    def find_voices(self, name: str) -> list[int]:
        """Ids of the voices with this name, whatever its case; UserError if there is none."""
        with self._reading() as db:
            return named_voices.find(db, name)

    def people(self) -> list[Person]:
        """Names of speakers with their seconds of speech, the most first."""
        with self._reading() as db:
            return named_voices.people(db)

    def forget_voice(self, voice: int, *, keep_names: bool = False) -> int:
        """Delete a voice with the embeddings of its speakers from the file; returns how many it had.

        Its name is removed from all recordings, unless `keep_names`. Earlier namings cannot be undone then.
        """
        with self._writing() as db:
            number = named_voices.forget(db, [voice], keep_names=keep_names)
        self._empty_log()
        return number

    def forget_all_voices(self, *, keep_names: bool = False) -> int:
        """Delete all voices and embeddings, also those of speakers without a name; returns how many."""
        with self._writing() as db:
            number = named_voices.forget_all(db, keep_names=keep_names)
        self._empty_log()
        return number

    def backups_with_voices(self) -> list[str]:
        """Names of the files beside the library that migrations left and that may have voices."""
        versions = (
            (path.name, re.fullmatch(r"library-v(\d+)\.db", path.name))
            for path in sorted(self.directory.glob("library-v*.db"))
        )
        return [name for name, found in versions if found and int(found[1]) >= VOICES_SINCE]

    @abstractmethod
    def _empty_log(self) -> None:
        """Write everything from the write-ahead log to the file, and truncate the log."""

    def _act(self, key: str, label: str | Sequence[str], action: _Action) -> Naming:
        now = time.time()
        labels = [label] if isinstance(label, str) else label
        with self._writing() as db:
            (item_id,) = items.find_ids(db, [key], now)
            made = namings.act(db, [item_id], lambda naming: action(naming, item_id, labels), now)
            return namings.counted(db, item_id, labels[0], made)


def _each(action: Callable[[NewNaming, int, str], None]) -> _Action:
    """Return what does `action` with each label."""

    def act(naming: NewNaming, item_id: int, labels: Sequence[str]) -> None:
        for label in labels:
            action(naming, item_id, label)

    return act
