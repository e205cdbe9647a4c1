"""What is kept about the speakers of a recording that is transcribed again: their names, and rejected voices.

New labels are matched to the speakers before by their voices, else by the time in which both speak.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from homescribe.core import Speaker, Turn
from homescribe.library import known_voices, speaker_rows
from homescribe.library.known_voices import Name
from homescribe.library.namings import set_name

MIN_OVERLAP = 0.5  # of the speech of the one who speaks less


@dataclass(frozen=True, slots=True)
class Before:
    """The speakers of a transcript that is replaced."""

    speakers: tuple[Speaker, ...]  # with embeddings
    turns: tuple[Turn, ...]
    names: tuple[Name, ...]
    rejected: tuple[tuple[str, int], ...]  # label and voice


def before(db: sqlite3.Connection, item_id: int, turns: tuple[Turn, ...]) -> Before:
    """Return the speakers of the stored transcript, which has these turns."""
    names = db.execute(
        "SELECT item_id, label, name, named_by, voice_id FROM speakers "
        "WHERE item_id = ? AND name IS NOT NULL",
        (item_id,),
    ).fetchall()
    rejected = db.execute(
        "SELECT label, voice_id FROM rejected_voices WHERE item_id = ?", (item_id,)
    ).fetchall()
    return Before(
        speaker_rows.load_with_embeddings(db, item_id),
        turns,
        tuple(Name(*row) for row in names),
        tuple((row["label"], row["voice_id"]) for row in rejected),
    )


def carry_over(
    db: sqlite3.Connection,
    item_id: int,
    old: Before,
    speakers: Sequence[Speaker],
    turns: Sequence[Turn],
) -> None:
    """Give the new speakers, which are stored, the names of the old ones, then those that voices give."""
    labels = matched(old.speakers, old.turns, speakers, turns)
    for name in old.names:
        if name.label in labels:
            set_name(db, Name(item_id, labels[name.label], name.name, name.named_by, name.voice_id))
    db.executemany(
        "INSERT INTO rejected_voices (item_id, label, voice_id) VALUES (?, ?, ?)",
        [(item_id, labels[label], voice) for label, voice in old.rejected if label in labels],
    )
    # Namings that can be undone refer to the new labels.
    db.execute(
        "UPDATE naming_changes SET label = (SELECT value FROM json_each(:labels) WHERE key = label) "
        "WHERE item_id = :item",
        {"labels": json.dumps(labels), "item": item_id},
    )
    db.execute("DELETE FROM naming_changes WHERE item_id = ? AND label IS NULL", (item_id,))
    for name in known_voices.recognized(db, [item_id]):
        set_name(db, name)


def matched(
    old: Sequence[Speaker],
    old_turns: Sequence[Turn],
    new: Sequence[Speaker],
    new_turns: Sequence[Turn],
) -> dict[str, str]:
    """Return the new label of each old one that is found again."""
    found: dict[str, str] = {}
    for scores in (_similarities(old, new), _overlaps(old_turns, new_turns)):
        pairs = sorted(((score, *pair) for pair, score in scores.items()), reverse=True)
        for _, old_label, new_label in pairs:
            if old_label not in found and new_label not in found.values():
                found[old_label] = new_label
    return found


def _similarities(old: Sequence[Speaker], new: Sequence[Speaker]) -> dict[tuple[str, str], float]:
    """Return the similarity of each pair of labels whose voices are the same."""
    from homescribe.speakers.voices import SAME, similarity

    scores = {
        (one.label, other.label): similarity(one.embedding, other.embedding)
        for one in old
        for other in new
        if one.embedding
        and len(one.embedding) == len(other.embedding)
        and one.embedding_model == other.embedding_model
    }
    return {pair: score for pair, score in scores.items() if score >= SAME}


def _overlaps(old: Sequence[Turn], new: Sequence[Turn]) -> dict[tuple[str, str], float]:
    """Return the seconds in which both of a pair of labels speak, where these are MIN_OVERLAP or more."""
    shared: dict[tuple[str, str], float] = {}
    first = 0
    for turn in sorted(old, key=lambda each: each.start):
        while first < len(new) and new[first].end <= turn.start:
            first += 1
        for other in new[first:]:
            if other.start >= turn.end:
                break
            seconds = min(turn.end, other.end) - max(turn.start, other.start)
            if seconds > 0:
                pair = turn.speaker, other.speaker
                shared[pair] = shared.get(pair, 0.0) + seconds
    spoken_old, spoken_new = _seconds(old), _seconds(new)
    return {
        (one, other): seconds
        for (one, other), seconds in shared.items()
        if seconds >= MIN_OVERLAP * min(spoken_old[one], spoken_new[other])
    }


def _seconds(turns: Sequence[Turn]) -> Mapping[str, float]:
    found: dict[str, float] = {}
    for turn in turns:
        found[turn.speaker] = found.get(turn.speaker, 0.0) + turn.end - turn.start
    return found
