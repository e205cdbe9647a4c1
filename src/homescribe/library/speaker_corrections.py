"""Lines whose speaker a person corrected: they outlive their transcript.

They are applied to a new one where it has the same text at the same time, and this speaker. Otherwise they
stay stored, and the new transcript says how many were not kept.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from homescribe.core import Segment, Transcript
from homescribe.library import segment_speakers
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


def remember(
    db: sqlite3.Connection, item_id: int, stored: Transcript, positions: Sequence[int], label: str
) -> None:
    """Store that a person said who speaks in these segments."""
    db.executemany(
        'INSERT INTO speaker_corrections (item_id, start, "end", text, label) VALUES (?, ?, ?, ?, ?) '
        'ON CONFLICT (item_id, start, "end") DO UPDATE SET text = excluded.text, label = excluded.label',
        (
            (item_id, each.start, each.end, sqlite_safe(each.text), label)
            for each in (stored.segments[position] for position in positions)
        ),
    )


def corrected_positions(db: sqlite3.Connection, item_id: int, stored: Transcript) -> set[int]:
    """Return the positions of the segments whose speaker a person corrected."""
    return {n for one in _load(db, item_id) for n in _positions(one, stored.segments)[0]}


def reapply(db: sqlite3.Connection, item_id: int, stored: Transcript) -> Transcript:
    """Return the new transcript, which is stored, with the corrected speakers, and store these."""
    known = {speaker.label for speaker in stored.speakers}
    changed, lost = stored, 0
    for one in _load(db, item_id):
        positions, whole = _positions(one, stored.segments)
        if one.label not in known or not whole:
            lost += 1
        else:
            segments, turns = segment_speakers.with_speaker(changed, positions, one.label)
            changed = replace(changed, segments=segments, turns=turns)
    if changed != stored:
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
        'SELECT start, "end", text, label FROM speaker_corrections WHERE item_id = ? '
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
