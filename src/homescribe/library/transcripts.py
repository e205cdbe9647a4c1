"""Transcripts and their segments."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from homescribe.core import (
    SECOND,
    Segment,
    Speaker,
    Transcript,
    TranscriptionOptions,
    Turn,
)
from homescribe.errors import UserError
from homescribe.library import (
    added_speakers,
    replacements,
    segment_speakers,
    speaker_corrections,
    speaker_matches,
    speaker_rows,
)
from homescribe.library.corrections import TextChanges, detach, reapply
from homescribe.library.filters import item_filter
from homescribe.library.passages import index_segments, update_texts
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

SAME_AUDIO = 1 * SECOND  # difference of durations up to which two transcripts are of the same audio


def load(db: sqlite3.Connection, key: str) -> Transcript | None:
    """Return the transcript of the item with this key, None when it has none."""
    row = db.execute("SELECT item_id FROM items WHERE key = ?", (sqlite_safe(key),)).fetchone()
    return None if row is None else _load(db, row["item_id"])


def _load(db: sqlite3.Connection, item_id: int) -> Transcript | None:
    row = db.execute("SELECT * FROM transcripts WHERE item_id = ?", (item_id,)).fetchone()
    if row is None:
        return None
    return to_transcript(row, _segment_rows(db, item_id), speaker_rows.load(db, item_id))


def save(
    db: sqlite3.Connection, item_id: int, transcript: Transcript, seconds: float, now: float
) -> None:
    """Store a transcript in place of an earlier one, and end the item's failure and call.

    Captions end neither.

    Words are replaced (replacements.py). Names of speakers and corrections are carried over. So are the
    speakers themselves, where the new one was made of the same audio without telling speakers apart.
    """
    old = _load(db, item_id)
    before = speaker_matches.before(db, item_id, old.turns if old else ())
    if old is not None and _lacks_speakers(transcript, old):
        found = added_speakers.assigned(
            transcript, before.speakers, before.turns, len(before.speakers)
        )
        transcript = replace(found, warnings=transcript.warnings)
    ended = () if transcript.is_captions else ("failures", "calls")
    for table in ("segments", "transcripts", *ended):
        db.execute(f"DELETE FROM {table} WHERE item_id = ?", (item_id,))
    _insert(db, item_id, transcript, seconds, now)
    speaker_rows.insert(db, item_id, transcript.speakers)
    speaker_matches.carry_over(db, item_id, before, transcript.speakers, transcript.turns)
    segments: Sequence[Segment] = _with_corrected_speakers(db, item_id, transcript.segments)
    detach(db, item_id)
    replaced = replacements.apply(db, item_id)
    if reapply(db, item_id) or replaced:
        segments = _count_words(db, item_id)
    index_segments(db, item_id, segments)


def add_speakers(
    db: sqlite3.Connection,
    item_id: int,
    speakers: tuple[Speaker, ...],
    turns: tuple[Turn, ...],
    setting: str,
    least: int,
    *,
    warnings: tuple[str, ...] = (),
) -> bool:
    """Add speakers to the stored transcript in place of those that it has; False when there is none.

    Args:
        setting: as in `TranscriptionOptions.speakers`.
        least: number of speakers that there are at least.
        warnings: sentences about the recording, which are stored once.
    """
    replacements.revert(db, item_id)
    stored = _load(db, item_id)
    if stored is None:
        return False
    before = speaker_matches.before(db, item_id, stored.turns)
    done = db.execute(
        "SELECT seconds, done_at FROM transcripts WHERE item_id = ?", (item_id,)
    ).fetchone()
    found, places = added_speakers.with_added(db, item_id, stored, speakers, turns, least)
    options = replace(stored.options or TranscriptionOptions(), speakers=setting)
    for table in ("segments", "transcripts", "failures"):
        db.execute(f"DELETE FROM {table} WHERE item_id = ?", (item_id,))
    known = tuple(dict.fromkeys((*found.warnings, *warnings)))
    found = replace(found, options=options, warnings=known)
    _insert(db, item_id, found, done["seconds"], done["done_at"])
    added_speakers.move_corrections(db, item_id, places)
    speaker_rows.insert(db, item_id, found.speakers)
    speaker_matches.carry_over(db, item_id, before, found.speakers, found.turns)
    _with_corrected_speakers(db, item_id, found.segments)
    replacements.apply(db, item_id)
    index_segments(db, item_id, _count_words(db, item_id))
    return True


def _with_corrected_speakers(
    db: sqlite3.Connection, item_id: int, segments: Sequence[Segment]
) -> Sequence[Segment]:
    """Store the corrected speakers of lines in a new transcript; return its segments."""
    stored = _load(db, item_id)
    return segments if stored is None else speaker_corrections.reapply(db, item_id, stored).segments


def without_speakers(db: sqlite3.Connection, source_url: str | None) -> list[str]:
    """Return the keys of transcribed items whose speakers were not told apart; of one source, or of all."""
    chosen = item_filter(source_url=source_url)
    rows = db.execute(
        "SELECT key FROM items JOIN transcripts USING (item_id) WHERE turns IS NULL AND NOT upgrade "
        "AND json_extract(options, '$.speakers') IS NULL "
        f"AND item_id IN (SELECT item_id FROM items {chosen.where}) ORDER BY item_id",
        chosen.parameters,
    )
    return [row["key"] for row in rows]


def _lacks_speakers(new: Transcript, old: Transcript) -> bool:
    """Whether speakers of `old` are missing in `new`, which is of the same audio."""
    if new.speakers or new.turns or not old.turns:
        return False
    return abs(new.duration - old.duration) <= SAME_AUDIO


def _insert(
    db: sqlite3.Connection, item_id: int, transcript: Transcript, seconds: float, now: float
) -> None:
    """Insert a transcript with its segments, without its speakers."""
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


def set_speaker(
    db: sqlite3.Connection, item_id: int, positions: Sequence[int], label: str
) -> dict[int, str | None]:
    """Store that the speaker `label` says these segments. Returns their speakers before, by position."""
    stored = _load(db, item_id)
    if stored is None:
        raise UserError("This recording is not transcribed.", "Start a run.")
    segment_speakers.check(stored, positions, label)
    changed = speaker_corrections.correct(db, item_id, stored, positions, label)
    segment_speakers.store(db, item_id, stored, changed)
    index_segments(db, item_id, changed.segments)
    return {position: stored.segments[position].speaker for position in positions}


def refresh(db: sqlite3.Connection, item_id: int, changes: TextChanges) -> None:
    """Index changed texts of a transcript, and count its words again."""
    if not changes:
        return
    before = count_words(before for before, _ in changes.values())
    after = count_words(after for _, after in changes.values())
    db.execute(
        "UPDATE transcripts SET words = words + ? WHERE item_id = ?", (after - before, item_id)
    )
    if all(text.strip() for change in changes.values() for text in change):
        update_texts(db, item_id, changes)
    else:  # the number of passages may differ
        index_segments(db, item_id, [to_segment(row) for row in _segment_rows(db, item_id)])


def _count_words(db: sqlite3.Connection, item_id: int) -> Sequence[Segment]:
    """Store the number of words of a transcript. Returns its segments."""
    segments = [to_segment(row) for row in _segment_rows(db, item_id)]
    words = count_words(segment.text for segment in segments)
    db.execute("UPDATE transcripts SET words = ? WHERE item_id = ?", (words, item_id))
    return segments


def segment(db: sqlite3.Connection, item_id: int, position: int) -> Segment:
    """Return the segment at `position`, which exists."""
    return to_segment(
        db.execute(
            "SELECT * FROM segments WHERE item_id = ? AND position = ?", (item_id, position)
        ).fetchone()
    )


def _segment_rows(db: sqlite3.Connection, item_id: int) -> sqlite3.Cursor:
    return db.execute("SELECT * FROM segments WHERE item_id = ? ORDER BY position", (item_id,))
