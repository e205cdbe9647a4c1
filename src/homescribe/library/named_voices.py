"""The named voices of the library: a list of them, and how one is forgotten so that no byte of it is left."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from homescribe.errors import UserError
from homescribe.library.items import did_you_mean
from homescribe.library.known_voices import PERSON


@dataclass(frozen=True, slots=True)
class VoiceRecord:
    """A named voice."""

    id: int
    name: str
    recordings: int  # in which it is known
    maybe: int  # in which it may be
    seconds: float  # of its speech in the recordings in which it is known
    samples: int  # speakers that a person gave this name
    sources: tuple[
        str, ...
    ]  # titles of the sources and names of the channels in which it is looked for


@dataclass(frozen=True, slots=True)
class Person:
    """Everybody with one name."""

    name: str
    recordings: int
    seconds: float


def voices(db: sqlite3.Connection) -> list[VoiceRecord]:
    """Return the named voices, those with the most speech first."""
    sources: dict[int, dict[str, None]] = {}
    for query in (
        "SELECT DISTINCT voice_id, title FROM speakers JOIN source_items USING (item_id) "
        f"JOIN sources USING (source_id) WHERE {PERSON} ORDER BY source_id",
        f"SELECT DISTINCT voice_id, channel FROM speakers JOIN items USING (item_id) WHERE {PERSON} "
        "AND channel IS NOT NULL ORDER BY channel",
    ):
        for voice_id, title in db.execute(query):
            sources.setdefault(voice_id, {})[title] = None
    rows = db.execute(
        """
        SELECT voices.voice_id AS id, voices.name,
            count(DISTINCT CASE WHEN current AND named_by != 'maybe' THEN item_id END) AS recordings,
            count(DISTINCT CASE WHEN current AND named_by = 'maybe' THEN item_id END) AS maybe,
            total(CASE WHEN current AND named_by != 'maybe' THEN seconds END) AS seconds,
            total(named_by = 'person') AS samples
        FROM voices JOIN (SELECT *, former_turns IS NULL AS current FROM speakers) USING (voice_id)
        GROUP BY voice_id HAVING samples > 0 ORDER BY seconds DESC, voices.name
        """
    )
    return [
        VoiceRecord(
            **{**dict(row), "samples": int(row["samples"])},
            sources=tuple(sources.get(row["id"], ())),
        )
        for row in rows
    ]


def people(db: sqlite3.Connection) -> list[Person]:
    """Return the names of speakers with their seconds of speech, the most first. Questions do not count."""
    rows = db.execute(
        "SELECT name, count(DISTINCT item_id) AS recordings, total(seconds) AS seconds FROM speakers "
        "WHERE name IS NOT NULL AND named_by != 'maybe' AND former_turns IS NULL "
        "GROUP BY name ORDER BY seconds DESC, name"
    )
    return [Person(**dict(row)) for row in rows]


def find(db: sqlite3.Connection, name: str) -> list[int]:
    """Return the ids of the voices with this name, whatever its case; UserError if there is none."""
    known: dict[int, str] = dict(db.execute("SELECT voice_id, name FROM voices").fetchall())
    found = [voice_id for voice_id, each in known.items() if each.casefold() == name.casefold()]
    if not found:
        hint = did_you_mean(name, list(known.values()))
        raise UserError(
            f"There is no voice called {name}.", hint or "List them: homescribe speakers voices"
        )
    return found


def forget(db: sqlite3.Connection, voice_ids: Collection[int], *, keep_names: bool) -> int:
    """Delete voices and the embeddings of their speakers; return how many speakers they had.

    Their names are removed, too, unless `keep_names`. Namings can no longer be undone. SQLite overwrites what
    is deleted (`secure_delete`); the write-ahead log has to be emptied afterwards.
    """
    ids = json.dumps(list(voice_ids))
    of_voices = "voice_id IN (SELECT value FROM json_each(:ids))"
    (number,) = db.execute(
        f"SELECT count(*) FROM speakers WHERE {of_voices}", {"ids": ids}
    ).fetchone()
    db.execute(
        "DELETE FROM speaker_embeddings WHERE (item_id, label) IN "
        f"(SELECT item_id, label FROM speakers WHERE {of_voices})",
        {"ids": ids},
    )
    if not keep_names:
        db.execute(
            f"DELETE FROM speakers WHERE former_turns IS NOT NULL AND {of_voices}", {"ids": ids}
        )
    kept = "named_by != 'maybe'" if keep_names else "0"
    db.execute(
        f"UPDATE speakers SET name = CASE WHEN {kept} THEN name END, "
        f"named_by = CASE WHEN {kept} THEN 'person' END, voice_id = NULL WHERE {of_voices}",
        {"ids": ids},
    )
    db.execute(f"DELETE FROM voices WHERE {of_voices}", {"ids": ids})
    db.execute("DELETE FROM namings")
    return int(number)


def forget_all(db: sqlite3.Connection, *, keep_names: bool) -> int:
    """Delete every voice and every embedding, also those without a name; return how many speakers had one."""
    (number,) = db.execute("SELECT count(*) FROM speaker_embeddings").fetchone()
    rows = db.execute("SELECT voice_id FROM voices").fetchall()
    forget(db, [row["voice_id"] for row in rows], keep_names=keep_names)
    db.execute("DELETE FROM speaker_embeddings")
    return int(number)
