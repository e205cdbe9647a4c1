"""The speakers of a transcript: how they are stored, with the embeddings of their voices.

Embeddings stay in this package: a transcript that is read has its speakers without them.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from array import array
from collections.abc import Sequence
from dataclasses import replace

from homescribe.core import Speaker, Turn
from homescribe.text.sanitize import sqlite_safe

# A speaker as `speakers` and `speaker_embeddings` store it.
FIELDS = ("label", "seconds", "embedding_model", "name", "named_by")
COLUMNS = ", ".join(FIELDS)


def load(db: sqlite3.Connection, item_id: int) -> tuple[Speaker, ...]:
    """Return the speakers of a transcript in the order of their first words, without embeddings."""
    rows = db.execute(
        f"SELECT {COLUMNS} FROM speakers WHERE item_id = ? AND former_turns IS NULL ORDER BY position",
        (item_id,),
    )
    return tuple(Speaker(**dict(row)) for row in rows)


def shown_name(db: sqlite3.Connection, item_id: int, label: str | None) -> str | None:
    """Return the name of a speaker as outputs show it; None for an unknown one."""
    if label is None:
        return None
    return {
        each.label: each.shown_name(number) for number, each in enumerate(load(db, item_id), 1)
    }.get(label)


def load_with_embeddings(db: sqlite3.Connection, item_id: int) -> tuple[Speaker, ...]:
    """Return the same with embeddings."""
    return _with_embeddings(db, item_id, load(db, item_id))


def load_former(
    db: sqlite3.Connection, item_id: int
) -> tuple[tuple[Speaker, ...], tuple[Turn, ...]]:
    """Return the speakers that later transcripts do not have, with embeddings, and their turns."""
    rows = db.execute(
        f"SELECT {COLUMNS}, former_turns FROM speakers "
        "WHERE item_id = ? AND former_turns IS NOT NULL ORDER BY position",
        (item_id,),
    ).fetchall()
    found = tuple(Speaker(**{name: row[name] for name in FIELDS}) for row in rows)
    turns = (
        Turn(start, end, row["label"])
        for row in rows
        for start, end in json.loads(row["former_turns"])
    )
    return _with_embeddings(db, item_id, found), tuple(turns)


def insert_former(
    db: sqlite3.Connection, item_id: int, speaker: Speaker, turns: Sequence[Turn], position: int
) -> None:
    """Store a speaker that was not found again, without its name."""
    db.execute(
        "INSERT INTO speakers (item_id, position, label, seconds, embedding_model, former_turns) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (
            *(item_id, position, speaker.label, speaker.seconds, speaker.embedding_model),
            json.dumps([[turn.start, turn.end] for turn in turns]),
        ),
    )
    _insert_embeddings(db, item_id, [speaker])


def _with_embeddings(
    db: sqlite3.Connection, item_id: int, speakers: Sequence[Speaker]
) -> tuple[Speaker, ...]:
    rows = db.execute(
        "SELECT label, embedding FROM speaker_embeddings WHERE item_id = ?", (item_id,)
    )
    embeddings = {row["label"]: from_blob(row["embedding"]) for row in rows}
    return tuple(replace(each, embedding=embeddings.get(each.label, ())) for each in speakers)


def insert(db: sqlite3.Connection, item_id: int, speakers: Sequence[Speaker]) -> None:
    """Store the speakers of a new transcript. Of several with one label, the first counts."""
    by_label: dict[str, Speaker] = {}
    for each in speakers:
        label = sqlite_safe(each.label)
        by_label.setdefault(label, replace(each, label=label))
    cleaned = list(by_label.values())
    db.executemany(
        f"INSERT INTO speakers (item_id, position, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (
                *(item_id, position, each.label, each.seconds, sqlite_safe(each.embedding_model)),
                *(each.name and sqlite_safe(each.name), each.named_by),
            )
            for position, each in enumerate(cleaned)
        ),
    )
    _insert_embeddings(db, item_id, cleaned)


def _insert_embeddings(db: sqlite3.Connection, item_id: int, speakers: Sequence[Speaker]) -> None:
    db.executemany(
        "INSERT INTO speaker_embeddings (item_id, label, embedding) VALUES (?, ?, ?)",
        (
            (item_id, each.label, to_blob(each.embedding))
            for each in speakers
            if each.embedding and each.embedding_model
        ),
    )


def to_blob(embedding: Sequence[float]) -> bytes:
    """Return an embedding as little-endian float32."""
    return _little_endian(array("f", embedding)).tobytes()


def from_blob(blob: bytes) -> tuple[float, ...]:
    """Return the embedding that `to_blob` wrote."""
    return tuple(_little_endian(array("f", blob)))


def _little_endian(values: array[float]) -> array[float]:
    if sys.byteorder == "big":
        values.byteswap()
    return values
