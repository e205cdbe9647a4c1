"""Names that a person gives to speakers: each naming can be undone, the latest first.

A name makes a voice, which names the speakers of other recordings (known_voices.py). Every change of a naming
is stored with the values before it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from homescribe.errors import UserError
from homescribe.library import known_voices
from homescribe.library.known_voices import PERSON, Name
from homescribe.text.sanitize import one_line, sqlite_safe

KEPT_NAMINGS = 50  # that can be undone
MAX_NAME = 80  # characters


@dataclass(frozen=True, slots=True)
class Naming:
    """What naming, confirming or rejecting a speaker, or undoing this, has changed."""

    name: str | None  # of the speaker now
    recordings: int  # other recordings in which this voice is known now
    maybe: int  # other recordings in which it may be
    id: int | None = field(default=None, compare=False)  # to undo it; None: it has changed nothing


def act(
    db: sqlite3.Connection,
    item_ids: Collection[int],
    action: Callable[[NewNaming], None],
    now: float,
) -> int | None:
    """Do `action`, which names speakers of these recordings, and what follows from it elsewhere.

    Returns the id of the naming, None when nothing was changed.
    """
    drop_unused(db)
    cursor = db.execute("INSERT INTO namings (named_at) VALUES (?)", (now,))
    naming = NewNaming(db, cursor.lastrowid or 0)
    action(naming)
    for name in known_voices.recognized(db, known_voices.neighbours(db, item_ids)):
        naming.set(name)
    naming.drop_unused()
    changed = db.execute(
        "SELECT 1 FROM naming_changes WHERE naming_id = ?", (naming.id,)
    ).fetchone()
    if changed is None:
        db.execute("DELETE FROM namings WHERE naming_id = ?", (naming.id,))
    db.execute("DELETE FROM namings WHERE naming_id <= ?", (naming.id - KEPT_NAMINGS,))
    return None if changed is None else naming.id


class NewNaming:
    """A naming that is being done. Its changes are stored with the values before them."""

    def __init__(self, db: sqlite3.Connection, naming_id: int) -> None:
        self.db = db
        self.id = naming_id

    def name_speakers(self, item_id: int, labels: Sequence[str], name: str) -> None:
        """Give speakers of a recording the name that a person wrote, "" for none."""
        rows = [_speaker_row(self.db, item_id, label) for label in labels]
        ids = {row["voice_id"] for row in rows if row["named_by"] == "person"}
        if len(labels) > 1 and len(ids) == 1 and (name := checked_name(name)):
            (voice_id,) = ids
            targets = {_find_voice(self.db, item_id, label, name) for label in labels}
            if targets <= {None, voice_id} and len(rows) == _samples(self.db, voice_id):
                self.rename_voice(voice_id, name)  # the same person, written anew
                return
        for label in labels:
            self.name_speaker(item_id, label, name)

    def name_speaker(self, item_id: int, label: str, name: str) -> None:
        """Give a speaker the name that a person wrote, "" for none."""
        row = _speaker_row(self.db, item_id, label)
        name = checked_name(name)
        if not name:
            if row["name"] is not None:
                self.reject(item_id, label)
            return
        known = row["voice_id"]
        target = _find_voice(self.db, item_id, label, name)
        if row["named_by"] == "person" and known is not None and target in (None, known):
            if target == known or _samples(self.db, known) == 1:  # the same voice, written anew
                self.rename_voice(known, name)
                return
        elif row["named_by"] in ("voice", "maybe") and known not in (None, target):
            self._reject_voice(item_id, label, known)
        if target is None:
            target = self._new_voice(name)
        (written,) = self.db.execute(
            "SELECT name FROM voices WHERE voice_id = ?", (target,)
        ).fetchone()
        self._accept_voice(item_id, label, target)
        self.set(Name(item_id, label, written, "person", target))

    def confirm(self, item_id: int, label: str) -> None:
        """Make the name that a speaker has by its voice a name that a person gave."""
        row = _speaker_row(self.db, item_id, label)
        if row["name"] is None:
            raise UserError(
                "This speaker has no name yet.", "Name it: homescribe speakers rename KEY OLD NEW"
            )
        if row["voice_id"] is None:  # of a voice that was forgotten
            self.name_speaker(item_id, label, row["name"])
        else:
            self.set(Name(item_id, label, row["name"], "person", row["voice_id"]))

    def reject(self, item_id: int, label: str) -> None:
        """Remove the name of a speaker, and keep that it is not this voice."""
        row = _speaker_row(self.db, item_id, label)
        if row["name"] is None:
            raise UserError("This speaker has no name.", "")
        if row["voice_id"] is not None:
            self._reject_voice(item_id, label, row["voice_id"])
        self.set(Name(item_id, label, None, None, None))

    def rename_voice(self, voice_id: int, name: str) -> None:
        """Rename a voice, and every speaker that is known by it."""
        name = checked_name(name)
        (before,) = self.db.execute(
            "SELECT name FROM voices WHERE voice_id = ?", (voice_id,)
        ).fetchone()
        if not name:
            raise UserError("A voice needs a name.", "")
        if name == before:
            return
        self._store("voice", voice_id=voice_id, name=before)
        self.db.execute("UPDATE voices SET name = ? WHERE voice_id = ?", (name, voice_id))
        for row in self.db.execute(
            "SELECT item_id, label, named_by FROM speakers WHERE voice_id = ?", (voice_id,)
        ).fetchall():
            self.set(Name(row["item_id"], row["label"], name, row["named_by"], voice_id))

    def set(self, new: Name) -> None:
        """Set the name of a speaker."""
        before = _speaker_row(self.db, new.item_id, new.label)
        if (before["name"], before["named_by"], before["voice_id"]) == (
            *(new.name, new.named_by, new.voice_id),
        ):
            return
        self._store(
            *("speaker", new.item_id, new.label),
            *(before["voice_id"], before["name"], before["named_by"]),
        )
        set_name(self.db, new)

    def drop_unused(self) -> None:
        """Delete the voices that no person's name stands for any more, and the names that they gave."""
        for voice_id, name in _unused(self.db):
            for row in self.db.execute(
                "SELECT item_id, label FROM speakers WHERE voice_id = ?", (voice_id,)
            ).fetchall():
                self.set(Name(row["item_id"], row["label"], None, None, None))
            for row in self.db.execute(
                "SELECT item_id, label FROM rejected_voices WHERE voice_id = ?", (voice_id,)
            ).fetchall():
                self._store("rejected", row["item_id"], row["label"], voice_id)
            self._store("voice", voice_id=voice_id, name=name)
            self.db.execute("DELETE FROM voices WHERE voice_id = ?", (voice_id,))

    def _new_voice(self, name: str) -> int:
        cursor = self.db.execute("INSERT INTO voices (name) VALUES (?)", (name,))
        return cursor.lastrowid or 0

    def _reject_voice(self, item_id: int, label: str, voice_id: int) -> None:
        self._store("accepted", item_id, label, voice_id)
        _insert_rejection(self.db, item_id, label, voice_id)

    def _accept_voice(self, item_id: int, label: str, voice_id: int) -> None:
        """Forget that a person rejected this voice."""
        if _delete_rejection(self.db, item_id, label, voice_id):
            self._store("rejected", item_id, label, voice_id)

    def _store(
        self,
        kind: str,
        item_id: int | None = None,
        label: str | None = None,
        voice_id: int | None = None,
        name: str | None = None,
        named_by: str | None = None,
    ) -> None:
        """Store the values before a change: of a "speaker", of a "voice", or that a voice was "rejected" or
        "accepted" (not rejected) for a speaker.
        """
        self.db.execute(
            "INSERT INTO naming_changes (naming_id, kind, item_id, label, voice_id, name, named_by) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self.id, kind, item_id, label, voice_id, name, named_by),
        )


def undo(db: sqlite3.Connection, wanted: int | None = None) -> list[int]:
    """Undo the latest naming that was not undone; return the recordings that it changed.

    Raises UserError when there is none, or when it is not the `wanted` one.
    """
    (naming_id,) = db.execute("SELECT max(naming_id) FROM naming_changes").fetchone()
    if naming_id is None:
        raise UserError("There is no naming to undo.", "")
    if wanted is not None and wanted < naming_id:
        raise UserError(
            "Another name was given since, so this one cannot be undone alone.",
            "Undo the latest first: homescribe speakers undo",
        )
    if wanted is not None and wanted != naming_id:
        raise UserError("This naming was undone already.", "Reload the page.")
    changes = db.execute(
        "SELECT * FROM naming_changes WHERE naming_id = ? ORDER BY kind != 'voice', change_id DESC",
        (naming_id,),
    ).fetchall()
    for row in changes:
        item_id, label, voice_id = row["item_id"], row["label"], row["voice_id"]
        if row["kind"] == "voice":
            db.execute(
                "INSERT INTO voices (voice_id, name) VALUES (?, ?) "
                "ON CONFLICT (voice_id) DO UPDATE SET name = excluded.name",
                (voice_id, row["name"]),
            )
        elif row["kind"] == "rejected":
            _insert_rejection(db, item_id, label, voice_id)
        elif row["kind"] == "accepted":
            _delete_rejection(db, item_id, label, voice_id)
        else:
            set_name(db, Name(item_id, label, row["name"], row["named_by"], voice_id))
    db.execute("DELETE FROM namings WHERE naming_id = ?", (naming_id,))
    for voice_id, _ in _unused(db):  # of recordings that were stored since
        db.execute(
            "UPDATE speakers SET name = NULL, named_by = NULL WHERE voice_id = ?", (voice_id,)
        )
    drop_unused(db)
    return list(dict.fromkeys(row["item_id"] for row in changes if row["item_id"] is not None))


def set_name(db: sqlite3.Connection, name: Name) -> None:
    """Set the name of a speaker without storing the value before. The voice may not exist any more."""
    db.execute(
        "UPDATE speakers SET name = ?, named_by = ?, "
        "voice_id = (SELECT voice_id FROM voices WHERE voice_id = ?) WHERE item_id = ? AND label = ?",
        (name.name, name.named_by, name.voice_id, name.item_id, name.label),
    )


def drop_unused(db: sqlite3.Connection) -> None:
    """Delete voices whose named speakers were removed with their recordings; names that they gave stay."""
    db.executemany(
        "DELETE FROM voices WHERE voice_id = ?", [(voice_id,) for voice_id, _ in _unused(db)]
    )


def checked_name(name: str) -> str:
    """Return a name on one line, as the library stores it. A question mark at its end would mean "maybe"."""
    return one_line(sqlite_safe(name), MAX_NAME).rstrip("? ")


def counted(db: sqlite3.Connection, item_id: int, label: str, naming_id: int | None) -> Naming:
    """Return the name of a speaker, and in how many other recordings its voice is known."""
    row = _speaker_row(db, item_id, label)
    known, maybe = db.execute(
        "SELECT count(DISTINCT CASE WHEN named_by != 'maybe' THEN item_id END), "
        "count(DISTINCT CASE WHEN named_by = 'maybe' THEN item_id END) "
        "FROM speakers WHERE voice_id = ? AND item_id != ? AND former_turns IS NULL",
        (row["voice_id"], item_id),
    ).fetchone()
    return Naming(row["name"], known, maybe, naming_id)


def _unused(db: sqlite3.Connection) -> list[tuple[int, str]]:
    """Return the voices, with their names, that stand for no person's name."""
    rows = db.execute(
        "SELECT voice_id, name FROM voices WHERE voice_id NOT IN "
        f"(SELECT voice_id FROM speakers WHERE {PERSON})"
    )
    return [(row["voice_id"], row["name"]) for row in rows]


def _speaker_row(db: sqlite3.Connection, item_id: int, label: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute(
        "SELECT * FROM speakers WHERE item_id = ? AND label = ?", (item_id, label)
    ).fetchone()
    if row is None:
        raise UserError(f"There is no speaker {label} in this recording.", "")
    return row


def _find_voice(db: sqlite3.Connection, item_id: int, label: str, name: str) -> int | None:
    """Return the voice with this name, whatever its case: of a recording of the same source or channel, else
    one that resembles this speaker's.
    """
    voices = [
        voice_id
        for voice_id, known in db.execute("SELECT voice_id, name FROM voices ORDER BY voice_id")
        if known.casefold() == name.casefold()
    ]
    near = known_voices.voices_near(db, item_id)
    found = next((voice_id for voice_id in voices if voice_id in near), None)
    return found or known_voices.resembling(db, item_id, label, voices)


def _samples(db: sqlite3.Connection, voice_id: int | None) -> int:
    """Return to how many speakers a person gave this voice's name."""
    (number,) = db.execute(
        f"SELECT count(*) FROM speakers WHERE {PERSON} AND voice_id = ?", (voice_id,)
    ).fetchone()
    return int(number)


def _insert_rejection(db: sqlite3.Connection, item_id: int, label: str, voice_id: int) -> None:
    db.execute(
        "INSERT OR IGNORE INTO rejected_voices (item_id, label, voice_id) "
        "SELECT item_id, label, voices.voice_id FROM speakers, voices "
        "WHERE item_id = ? AND label = ? AND voices.voice_id = ?",
        (item_id, label, voice_id),
    )


def _delete_rejection(db: sqlite3.Connection, item_id: int, label: str, voice_id: int) -> bool:
    return bool(
        db.execute(
            "DELETE FROM rejected_voices WHERE item_id = ? AND label = ? AND voice_id = ?",
            (item_id, label, voice_id),
        ).rowcount
    )
