"""Transcripts and their segments."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from homescribe.core import Segment, Transcript, Turn
from homescribe.library import speaker_matches, speaker_rows
from homescribe.library.corrections import reapply
from homescribe.library.passages import index_segments
from homescribe.library.rows import (
    SEGMENT_COLUMNS,
    TRANSCRIPT_COLUMNS,
    marks,
    quoted,
    segment_row,
    to_segment,
    to_transcript,
    transcript_row,
)
from homescribe.text.sanitize import sqlite_safe
from homescribe.text.scripts import count_words


def load(db: sqlite3.Connection, key: str) -> Transcript | None:
    """Return the transcript of the item with this key, None when it has none."""
    row = db.execute(
        "SELECT transcripts.* FROM transcripts JOIN items USING (item_id) WHERE key = ?",
        (sqlite_safe(key),),
    ).fetchone()
    if row is None:
        return None
    item_id = row["item_id"]
    return to_transcript(row, _segment_rows(db, item_id), speaker_rows.load(db, item_id))


def save(
    db: sqlite3.Connection, item_id: int, transcript: Transcript, seconds: float, now: float
) -> None:
    """Store a transcript in place of an earlier one, and end the item's failure and call.

    Names of speakers and corrections are carried over.
    """
    old = speaker_matches.before(db, item_id, _turns(db, item_id))
    for table in ("segments", "transcripts", "failures", "calls"):
        db.execute(f"DELETE FROM {table} WHERE item_id = ?", (item_id,))
    db.execute(
        "INSERT INTO transcripts (item_id, seconds, done_at, words, languages, "
        f"{quoted(TRANSCRIPT_COLUMNS)}) VALUES ({marks(5 + len(TRANSCRIPT_COLUMNS))})",
        (
            *(item_id, seconds, now, count_words(one.text for one in transcript.segments)),
            json.dumps(transcript.languages),
            *transcript_row(transcript),
        ),
    )
    db.executemany(
        f"INSERT INTO segments (item_id, position, {quoted(SEGMENT_COLUMNS)}) "
        f"VALUES ({marks(2 + len(SEGMENT_COLUMNS))})",
        (
            (item_id, position, *segment_row(segment))
            for position, segment in enumerate(transcript.segments)
        ),
    )
    speaker_rows.insert(db, item_id, transcript.speakers)
    speaker_matches.carry_over(db, item_id, old, transcript.speakers, transcript.turns)
    if reapply(db, item_id):
        refresh(db, item_id)
    else:
        index_segments(db, item_id, transcript.segments)


def refresh(db: sqlite3.Connection, item_id: int) -> None:
    """Index the segments and count the words of a transcript again, after a correction."""
    segments: Sequence[Segment] = [to_segment(row) for row in _segment_rows(db, item_id)]
    index_segments(db, item_id, segments)
    words = count_words(segment.text for segment in segments)
    db.execute("UPDATE transcripts SET words = ? WHERE item_id = ?", (words, item_id))


def segment(db: sqlite3.Connection, item_id: int, position: int) -> Segment:
    """Return the segment at `position`, which exists."""
    return to_segment(
        db.execute(
            "SELECT * FROM segments WHERE item_id = ? AND position = ?", (item_id, position)
        ).fetchone()
    )


def _turns(db: sqlite3.Connection, item_id: int) -> tuple[Turn, ...]:
    """Return the turns of the stored transcript, () without one."""
    row = db.execute("SELECT * FROM transcripts WHERE item_id = ?", (item_id,)).fetchone()
    return () if row is None else to_transcript(row, (), ()).turns


def _segment_rows(db: sqlite3.Connection, item_id: int) -> sqlite3.Cursor:
    return db.execute("SELECT * FROM segments WHERE item_id = ? ORDER BY position", (item_id,))
