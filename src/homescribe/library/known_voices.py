"""Names of speakers by their voices.

A voice is known by the embeddings of the speakers that a person named. In the other recordings of the same
source or channel, the speaker who resembles it most has it: its name from SAME on, and from MAYBE on the name
as a question. The name is also a question where the speaker resembles two people about as much, as a mixture
of their voices does. In one recording a voice belongs to one speaker at most, unless a person says otherwise,
and a voice that a person rejected for a speaker stays rejected.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_SAMPLES = 20  # of a voice: the latest that a person named
CLOSE = (
    0.1  # difference of similarities below which either of two known voices may be the speaker's
)
BATCH = 1000  # speakers that are compared at once

PERSON = "named_by = 'person' AND voice_id IS NOT NULL"


Score = tuple[float, str, int, bool]  # similarity, label, voice, whether it is SAME or more


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a speaker in a recording; `name` None for none."""

    item_id: int
    label: str
    name: str | None
    named_by: Literal["person", "voice", "maybe", "publisher"] | None
    voice_id: int | None


@dataclass(frozen=True, slots=True)
class _Unnamed:
    """A speaker that no person named, with the name that it has now."""

    item_id: int
    label: str
    model: str
    embedding: bytes
    name: str | None
    voice_id: int | None


def neighbours(db: sqlite3.Connection, item_ids: Collection[int]) -> list[int]:
    """Return the recordings with speakers that share a source or a channel with one of these, and these."""
    rows = db.execute(
        """
        SELECT DISTINCT item_id FROM speakers WHERE item_id IN (
            SELECT value FROM json_each(:ids)
            UNION SELECT others.item_id FROM source_items AS others WHERE source_id IN (
                SELECT source_id FROM source_items WHERE item_id IN (SELECT value FROM json_each(:ids)))
            UNION SELECT others.item_id FROM items AS others JOIN items AS own
                ON others.source = own.source AND others.channel = own.channel
                AND others.channel_id IS own.channel_id
                WHERE own.item_id IN (SELECT value FROM json_each(:ids))
        )
        """,
        {"ids": json.dumps(list(item_ids))},
    )
    return [row["item_id"] for row in rows]


def voices_near(db: sqlite3.Connection, item_id: int) -> set[int]:
    """Return the voices that a person named in recordings of the same source or channel."""
    return _voices_of_items(db, json.dumps([item_id])).get(item_id, set())


def resembling(
    db: sqlite3.Connection, item_id: int, label: str, voices: Collection[int]
) -> int | None:
    """Return which of `voices` is that of a speaker, by its embedding; None if none of them is."""
    row = db.execute(
        "SELECT item_id, label, embedding_model AS model, embedding, name, voice_id "
        "FROM speakers JOIN speaker_embeddings USING (item_id, label) WHERE item_id = ? AND label = ?",
        (item_id, label),
    ).fetchone()
    if row is None or not voices:
        return None
    samples = _samples(db, voices)
    scores = _scores([_Unnamed(**dict(row))], {item_id: set(voices)}, samples)
    _, _, voice_id, sure = max(scores.get(item_id, ()), default=(0.0, "", None, False))
    return voice_id if sure else None


def recognized(db: sqlite3.Connection, item_ids: Collection[int]) -> list[Name]:
    """Return the names that speakers of these recordings get by their voices, where they differ from now.

    A name stays where its voice cannot be compared: it is of another model's embeddings, or of no source of
    this recording any more, or forgotten.
    """
    ids = json.dumps(list(item_ids))
    speakers = _unnamed(db, ids)
    if not speakers:
        return []
    voices = _voices_of_items(db, ids)
    samples = _samples(db, {voice for found in voices.values() for voice in found})
    taken, rejected = _taken(db, ids), _rejected(db, ids)
    sampled = {row[0] for row in db.execute(f"SELECT voice_id FROM speakers WHERE {PERSON}")}
    scores = _scores(speakers, voices, samples)
    names: dict[int, str] = dict(db.execute("SELECT voice_id, name FROM voices").fetchall())
    found: list[Name] = []
    for item_id, of_item in _by_item(speakers).items():
        busy: set[int | None] = {*taken.get(item_id, ())}
        open_labels = []
        for each in of_item:
            comparable = (each.voice_id, each.model) in samples and (
                each.voice_id in voices.get(item_id, ())
            )
            # With samples of its voice elsewhere, or of no stored voice.
            kept = each.voice_id is None or each.voice_id in sampled
            if each.name is not None and kept and not comparable:
                busy.add(each.voice_id)
            else:
                open_labels.append(each.label)
        of_speakers = scores.get(item_id, ())
        best = _best(of_speakers, open_labels, busy, rejected.get(item_id, set()))
        unclear = _unclear(of_speakers, names)
        for label in open_labels:
            if label in best:
                voice_id, sure = best[label]
                by: Literal["voice", "maybe"] = (
                    "voice" if sure and label not in unclear else "maybe"
                )
                found.append(Name(item_id, label, names[voice_id], by, voice_id))
            else:
                found.append(Name(item_id, label, None, None, None))
    return _different(db, found)


def _best(
    scores: Iterable[Score],
    labels: Collection[str],
    busy: set[int | None],
    rejected: Collection[tuple[str, int]],
) -> dict[str, tuple[int, bool]]:
    """Return the voice of each of `labels` that has one, and whether it is sure: the most similar first.

    Args:
        busy: voices that another speaker of the recording has.
        rejected: pairs of label and voice.
    """
    best: dict[str, tuple[int, bool]] = {}
    for _, label, voice_id, sure in sorted(scores, reverse=True):
        if label in labels and label not in best and voice_id not in busy:
            if (label, voice_id) in rejected:
                continue
            best[label] = voice_id, sure
            busy.add(voice_id)
    return best


def _unclear(scores: Collection[Score], names: Mapping[int, str]) -> set[str]:
    """Return the labels that resemble two people with different names about as much."""
    best = {label: (value, names[voice]) for value, label, voice, _ in sorted(scores)}
    return {
        label
        for value, label, voice, sure in scores
        if sure and names[voice] != best[label][1] and value > best[label][0] - CLOSE
    }


def _different(db: sqlite3.Connection, names: Iterable[Name]) -> list[Name]:
    """Return those of `names` that speakers do not have yet."""
    return [
        each
        for each in names
        if db.execute(
            "SELECT 1 FROM speakers WHERE item_id = ? AND label = ? "
            "AND name IS ? AND named_by IS ? AND voice_id IS ?",
            (each.item_id, each.label, each.name, each.named_by, each.voice_id),
        ).fetchone()
        is None
    ]


def _by_item(speakers: Iterable[_Unnamed]) -> dict[int, list[_Unnamed]]:
    found: dict[int, list[_Unnamed]] = {}
    for speaker in speakers:
        found.setdefault(speaker.item_id, []).append(speaker)
    return found


def _unnamed(db: sqlite3.Connection, ids: str) -> list[_Unnamed]:
    """Return the speakers that no person named and whose voice is stored."""
    rows = db.execute(
        "SELECT item_id, label, embedding_model AS model, embedding, name, voice_id "
        "FROM speakers JOIN speaker_embeddings USING (item_id, label) "
        "WHERE item_id IN (SELECT value FROM json_each(?)) AND named_by IS NOT 'person' "
        "AND former_turns IS NULL",
        (ids,),
    )
    return [_Unnamed(**dict(row)) for row in rows]


def _voices_of_items(db: sqlite3.Connection, ids: str) -> dict[int, set[int]]:
    """Return, for each recording, the voices that a person named in one of the same source or channel."""
    by_scope: dict[object, set[int]] = {}
    scopes = {
        "source_items": "source_id",
        "items": "items.source || ' ' || coalesce(channel_id, '') || ' ' || channel",
    }
    for table, scope in scopes.items():
        for voice_id, value in db.execute(
            f"SELECT DISTINCT voice_id, {scope} FROM speakers JOIN {table} USING (item_id) WHERE {PERSON}"
        ):
            by_scope.setdefault(value, set()).add(voice_id)
    by_scope.pop(None, None)  # without a channel
    found: dict[int, set[int]] = {}
    for table, scope in scopes.items():
        for item_id, value in db.execute(
            f"SELECT item_id, {scope} FROM {table} WHERE item_id IN (SELECT value FROM json_each(?))",
            (ids,),
        ):
            found.setdefault(item_id, set()).update(by_scope.get(value, ()))
    return found


def _samples(
    db: sqlite3.Connection, voices: Collection[int]
) -> dict[tuple[int, str], NDArray[np.float32]]:
    """Return the embeddings of voices, by voice and model: the latest MAX_SAMPLES of each."""
    import numpy as np

    blobs: dict[tuple[int, str], list[bytes]] = {}
    rows = db.execute(
        "SELECT voice_id, embedding_model, embedding FROM speakers "
        f"JOIN speaker_embeddings USING (item_id, label) WHERE {PERSON} "
        "AND voice_id IN (SELECT value FROM json_each(?)) ORDER BY speaker_embeddings.rowid DESC",
        (json.dumps(list(voices)),),
    )
    for voice_id, model, embedding in rows:
        kept = blobs.setdefault((voice_id, model), [])
        if len(kept) < MAX_SAMPLES and len(embedding) == len(kept[0] if kept else embedding):
            kept.append(embedding)
    return {
        key: np.frombuffer(b"".join(found), "<f4").reshape(len(found), -1)
        for key, found in blobs.items()
    }


def _scores(
    speakers: Collection[_Unnamed],
    voices: dict[int, set[int]],
    samples: dict[tuple[int, str], NDArray[np.float32]],
) -> dict[int, list[Score]]:
    """Return the scores of the speakers of each recording, from MAYBE on."""
    import numpy as np

    from homescribe.speakers.voices import MAYBE, SAME

    found: dict[int, list[Score]] = {}
    for voice_id, model in samples:
        known = samples[voice_id, model]
        comparable = [
            each
            for each in speakers
            if each.model == model
            and len(each.embedding) == known.shape[1] * known.itemsize
            and voice_id in voices.get(each.item_id, ())
        ]
        for begin in range(0, len(comparable), BATCH):
            some = comparable[begin : begin + BATCH]
            embeddings = np.frombuffer(b"".join(each.embedding for each in some), "<f4")
            similar = (embeddings.reshape(len(some), -1) @ known.T).max(axis=1)
            for each, value in zip(some, similar.tolist(), strict=True):
                if value >= MAYBE:
                    found.setdefault(each.item_id, []).append(
                        (value, each.label, voice_id, value >= SAME)
                    )
    return found


def _taken(db: sqlite3.Connection, ids: str) -> dict[int, set[int]]:
    """Return the voices that a person named in each recording."""
    found: dict[int, set[int]] = {}
    for item_id, voice_id in db.execute(
        f"SELECT item_id, voice_id FROM speakers WHERE {PERSON} AND former_turns IS NULL "
        "AND item_id IN (SELECT value FROM json_each(?))",
        (ids,),
    ):
        found.setdefault(item_id, set()).add(voice_id)
    return found


def _rejected(db: sqlite3.Connection, ids: str) -> dict[int, set[tuple[str, int]]]:
    """Return the pairs of label and voice that a person rejected, of each recording."""
    found: dict[int, set[tuple[str, int]]] = {}
    for row in db.execute(
        "SELECT item_id, label, voice_id FROM rejected_voices "
        "WHERE item_id IN (SELECT value FROM json_each(?))",
        (ids,),
    ):
        found.setdefault(row["item_id"], set()).add((row["label"], row["voice_id"]))
    return found
