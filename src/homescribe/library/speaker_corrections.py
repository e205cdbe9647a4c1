"""Lines whose speaker a person corrected: they outlive their transcript.

They are applied to a new one where it has the same text at the same time, and this speaker. Otherwise they
stay stored, and the new transcript says how many were not kept.

The speakers and turns that were found stay stored, too. Each change applies all corrections to them anew, so
that a line that gets the speaker back who was found leaves nothing behind.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from homescribe.core import Segment, Transcript
from homescribe.library import segment_speakers
from homescribe.library.rows import to_turns
from homescribe.text.display import count
from homescribe.text.sanitize import sqlite_safe
from homescribe.text.scripts import folded_words

SAME_TEXT = 0.9  # share of a line's letters that a new transcript has at its time
WARNING = re.compile(r"[\d,]+ corrected speakers? of (a line was|lines were) not kept\.")


@dataclass(frozen=True, slots=True)
class SpeakerCorrection:
    """A line, and the label of the speaker that a person gave it."""

    start: float
    end: float
    text: str
    label: str
    # A JSON list: for each segment of the line, the label that was found. None: it is not applied to this
    # transcript, or was by a version that did not store this.
    found: str | None = None


def correct(
    db: sqlite3.Connection, item_id: int, stored: Transcript, positions: Sequence[int], label: str
) -> Transcript:
    """Store that a person said who speaks in these segments; return the transcript with all corrections.

    A correction that is taken back, by the label that was found, is deleted.
    """
    before = _load(db, item_id)
    found = _as_found(db, item_id, stored, before)
    known = {(one.start, one.end) for one in before}
    for position in positions:
        line, was = stored.segments[position], found.segments[position].speaker
        if was == label and (line.start, line.end) in known:
            db.execute(
                'DELETE FROM speaker_corrections WHERE item_id = ? AND start = ? AND "end" = ?',
                (item_id, line.start, line.end),
            )
        else:
            db.execute(
                'INSERT INTO speaker_corrections (item_id, start, "end", text, label, found) '
                'VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (item_id, start, "end") DO UPDATE SET '
                "text = excluded.text, label = excluded.label, found = excluded.found",
                (
                    *(item_id, line.start, line.end, sqlite_safe(line.text), label),
                    json.dumps([was]),
                ),
            )
    after = _load(db, item_id)
    labels = {
        position: one.label
        for one in after
        if one.found is not None
        for position in _positions(one, stored.segments)[0]
    }
    db.execute(
        "UPDATE transcripts SET found_turns = coalesce(found_turns, turns, '[]') WHERE item_id = ?",
        (item_id,),
    )
    changed = segment_speakers.with_speakers(found, labels)
    return segment_speakers.with_flags(changed, {(one.start, one.end) for one in before + after})


def _as_found(
    db: sqlite3.Connection,
    item_id: int,
    stored: Transcript,
    corrections: Sequence[SpeakerCorrection],
) -> Transcript:
    """Return the transcript with the speakers and turns that were found."""
    segments = list(stored.segments)
    for one in corrections:
        positions, _ = _positions(one, stored.segments)
        labels = [] if one.found is None else json.loads(one.found)
        for position, label in zip(positions, labels, strict=False):
            segments[position] = segment_speakers.said_by(segments[position], label)
    (turns,) = db.execute(
        "SELECT found_turns FROM transcripts WHERE item_id = ?", (item_id,)
    ).fetchone()
    found = stored.turns if turns is None else to_turns(turns)
    return replace(stored, segments=tuple(segments), turns=found)


def corrected_positions(db: sqlite3.Connection, item_id: int, stored: Transcript) -> set[int]:
    """Return the positions of the segments whose speaker a person corrected."""
    return {n for one in _load(db, item_id) for n in _positions(one, stored.segments)[0]}


def reapply(db: sqlite3.Connection, item_id: int, stored: Transcript) -> Transcript:
    """Return the new transcript, which is stored, with the corrected speakers, and store these."""
    known = {speaker.label for speaker in stored.speakers}
    labels: dict[int, str] = {}
    lost = 0
    for one in _load(db, item_id):
        positions, whole = _positions(one, stored.segments)
        found = None
        if one.label in known and whole:
            found = json.dumps([stored.segments[position].speaker for position in positions])
            labels |= dict.fromkeys(positions, one.label)
        else:
            lost += 1
        db.execute(
            'UPDATE speaker_corrections SET found = ? WHERE item_id = ? AND start = ? AND "end" = ?',
            (found, item_id, one.start, one.end),
        )
    changed = segment_speakers.with_speakers(stored, labels) if labels else stored
    if changed != stored:
        db.execute(
            "UPDATE transcripts SET found_turns = coalesce(turns, '[]') WHERE item_id = ?",
            (item_id,),
        )
        segment_speakers.store(db, item_id, stored, changed)
    warnings = tuple(each for each in stored.warnings if not WARNING.fullmatch(each))
    if lost and known:
        of_lines = "of a line was" if lost == 1 else "of lines were"
        warnings += (f"{count(lost, 'corrected speaker')} {of_lines} not kept.",)
    if warnings != stored.warnings:
        db.execute(
            "UPDATE transcripts SET warnings = ? WHERE item_id = ?",
            (json.dumps(warnings) if warnings else None, item_id),
        )
    return replace(changed, warnings=warnings)


def _load(db: sqlite3.Connection, item_id: int) -> list[SpeakerCorrection]:
    rows = db.execute(
        'SELECT start, "end", text, label, found FROM speaker_corrections WHERE item_id = ? '
        "ORDER BY correction_id",
        (item_id,),
    )
    return [SpeakerCorrection(**dict(row)) for row in rows]


def _positions(one: SpeakerCorrection, segments: Sequence[Segment]) -> tuple[list[int], bool]:
    """Return the segments that are the line or parts of it, and whether they are all of it.

    A segment with the same times is the line, whatever its text: a person may have corrected that, too.
    """
    text = _folded(one.text)
    found: list[int] = []
    letters = 0
    for n, segment in enumerate(segments):
        if (segment.start, segment.end) == (one.start, one.end):
            return [n], True
        own = _folded(segment.text)
        if own and one.start <= (segment.start + segment.end) / 2 <= one.end and own in text:
            found.append(n)
            letters += len(own)
    return found, letters >= SAME_TEXT * max(len(text), 1)


def _folded(text: str) -> str:
    return "".join(folded_words(text))
