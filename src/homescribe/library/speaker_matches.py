"""What is kept about the speakers of a recording whose speakers are found again: names, and rejected voices.

New labels are matched to the speakers before by their voices, else by the time in which both speak. A speaker
that is not found again is former: it is stored, with its name, voice and turns, until a later transcript has
it again, for example after another number of speakers was tried. A label in which several speakers before are
joined does not get the name that a person gave to one of them: the name's voice would be known by a mixture.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from homescribe.core import Speaker, Turn
from homescribe.library import known_voices, speaker_rows
from homescribe.library.known_voices import Name
from homescribe.library.namings import set_name
from homescribe.speakers.turn_index import seconds_by_speaker

MIN_OVERLAP = 0.5  # of the speech of the one who speaks less
MAX_OTHERS = 0.25  # of the speech of a label: more of other people makes it a mixture


@dataclass(frozen=True, slots=True)
class Before:
    """The speakers of a transcript that is replaced."""

    speakers: tuple[Speaker, ...]  # with embeddings
    turns: tuple[Turn, ...]
    former: tuple[Speaker, ...]  # of earlier transcripts, not found in this one
    former_turns: tuple[Turn, ...]
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
        *speaker_rows.load_former(db, item_id),
        tuple(Name(*row) for row in names),
        tuple((row["label"], row["voice_id"]) for row in rejected),
    )


def carry_over(
    db: sqlite3.Connection,
    item_id: int,
    old: Before,
    speakers: Sequence[Speaker],
    turns: Sequence[Turn],
) -> dict[str, str]:
    """Give the new speakers, which are stored, the names of the old ones, then those that voices give.

    Returns the new label of each old one that is found again or kept as a former speaker.
    """
    everybody = (*old.speakers, *old.former)
    labels = matched(everybody, (*old.turns, *old.former_turns), speakers, turns)
    for label in _in_mixtures(old, labels, turns):
        del labels[label]
    labels |= _store_former(db, item_id, old, labels, {each.label for each in speakers})
    for name in old.names:
        if name.label in labels:
            set_name(db, Name(item_id, labels[name.label], name.name, name.named_by, name.voice_id))
    db.executemany(
        "INSERT INTO rejected_voices (item_id, label, voice_id) VALUES (?, ?, ?)",
        [(item_id, labels[label], voice) for label, voice in old.rejected if label in labels],
    )
    # Namings that can be undone, and corrected lines, refer to the new labels.
    for table in ("naming_changes", "speaker_corrections"):
        known = {"labels": json.dumps(labels), "item": item_id}
        db.execute(
            f"DELETE FROM {table} WHERE item_id = :item AND label NOT IN "
            "(SELECT key FROM json_each(:labels))",
            known,
        )
        db.execute(
            f"UPDATE {table} SET label = (SELECT value FROM json_each(:labels) WHERE key = label) "
            "WHERE item_id = :item",
            known,
        )
    for found in known_voices.recognized(db, [item_id]):
        set_name(db, found)
    return labels


def _store_former(
    db: sqlite3.Connection,
    item_id: int,
    old: Before,
    labels: Mapping[str, str],
    taken: Collection[str],
) -> dict[str, str]:
    """Store the old speakers that are not found again and that something stored is about.

    That is a name that a person gave, a rejected voice, a naming that can be undone, or a corrected line.
    Returns their new labels.
    """
    wanted = {name.label for name in old.names if name.named_by == "person"}
    wanted |= {label for label, _ in old.rejected}
    for table in ("naming_changes", "speaker_corrections"):
        rows = db.execute(f"SELECT DISTINCT label FROM {table} WHERE item_id = ?", (item_id,))
        wanted |= {row["label"] for row in rows}
    free = (label for n in count() if (label := f"FORMER_{n:02}") not in taken)
    turns: dict[str, list[Turn]] = {}
    for turn in (*old.turns, *old.former_turns):
        turns.setdefault(turn.speaker, []).append(turn)
    found: dict[str, str] = {}
    for speaker in (*old.speakers, *old.former):
        if speaker.label in wanted and speaker.label not in labels:
            found[speaker.label] = next(free)
            speaker_rows.insert_former(
                *(db, item_id, replace(speaker, label=found[speaker.label])),
                *(turns.get(speaker.label, ()), len(taken) + len(found)),
            )
    return found


def _in_mixtures(old: Before, labels: Mapping[str, str], turns: Sequence[Turn]) -> list[str]:
    """Return the old labels, named by a person, whose new label is largely other people's speech."""
    named = {name.label: name for name in old.names if name.named_by == "person"}
    speakers = {each.label: each for each in (*old.speakers, *old.former)}
    former = {each.label for each in old.former}
    shared = _shared((*old.turns, *old.former_turns), turns)
    found = []
    for label in named.keys() & labels.keys():
        own = others = 0.0
        for (other, new), seconds in shared.items():
            # The turns of a former speaker are those of a transcript before, so others spoke in them, too.
            if new != labels[label] or (other in former) != (label in former):
                continue
            if other not in speakers:
                continue
            if other == label or _is_same(speakers[label], speakers[other], named):
                own += seconds
            else:
                others += seconds
        if others > MAX_OTHERS * (own + others):
            found.append(label)
    return found


def _is_same(one: Speaker, other: Speaker, named: Mapping[str, Name]) -> bool:
    """Whether two speakers are one person, by their names, else by their voices."""
    a, b = named[one.label], named.get(other.label)
    if b is not None:
        return (a.name or "").casefold() == (b.name or "").casefold()
    return bool(_similarities([one], [other]))  # SAME or more


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
    """Return the share of their speech that a pair of labels has in common, from MIN_OVERLAP of one's on."""
    spoken_old, spoken_new = seconds_by_speaker(old), seconds_by_speaker(new)
    return {
        (one, other): seconds / (spoken_old[one] + spoken_new[other] - seconds)
        for (one, other), seconds in _shared(old, new).items()
        if seconds >= MIN_OVERLAP * min(spoken_old[one], spoken_new[other])
    }


def _shared(old: Sequence[Turn], new: Sequence[Turn]) -> dict[tuple[str, str], float]:
    """Return the seconds in which both of a pair of labels speak."""
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
    return shared
