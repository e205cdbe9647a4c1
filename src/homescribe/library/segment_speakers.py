"""The speaker of a segment, corrected by a person.

The turns follow, so that every output agrees, and so that the corrected speaker stays where the recording is
transcribed again without telling speakers apart. So does the flag of segments in which several people speak.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from homescribe.core import Segment, Transcript, Turn
from homescribe.errors import UserError
from homescribe.library.rows import (
    SEGMENT_COLUMNS,
    TRANSCRIPT_COLUMNS,
    segment_row,
    transcript_row,
)
from homescribe.speakers.turn_index import TurnIndex, marked_overlap, seconds_by_speaker


def check(stored: Transcript, positions: Collection[int], label: str) -> None:
    """Raise UserError for a segment or a speaker that there is not."""
    if label not in {speaker.label for speaker in stored.speakers}:
        raise UserError(f"There is no speaker {label} in this recording.", "")
    for position in positions:
        if not 0 <= position < len(stored.segments):
            raise UserError(f"There is no segment {position}.", "Reload the page.")


def with_speakers(stored: Transcript, labels: Mapping[int, str]) -> Transcript:
    """Return a transcript in which these speakers say the segments at these positions."""
    segments, turns = list(stored.segments), list(stored.turns)
    changed: list[Turn] = []
    for position, label in labels.items():
        segment = segments[position]
        if segment.speaker == label:
            continue
        segments[position] = said_by(segment, label)
        if segment.speaker is not None:
            turns = _without(turns, segment.speaker, segment.start, segment.end)
        turns.append(Turn(segment.start, segment.end, label))
        changed.append(turns[-1])
    found = replace(stored, segments=tuple(segments), turns=joined_turns(turns))
    return with_flags(found, [(turn.start, turn.end) for turn in changed])


def with_flags(stored: Transcript, changed: Iterable[tuple[float, float]]) -> Transcript:
    """Return a transcript with the right flags of overlapping speech where its turns have changed."""
    index = TurnIndex(stored.turns)
    touched = TurnIndex(joined_turns(Turn(start, end, "") for start, end in changed))
    flagged = (
        marked_overlap(each, index) if touched.seconds(each.start, each.end) else each
        for each in stored.segments
    )
    return replace(stored, segments=tuple(flagged))


def said_by(segment: Segment, label: str | None) -> Segment:
    """Return a segment, and its words, with another speaker."""
    words = tuple(replace(word, speaker=label) for word in segment.words)
    return replace(segment, speaker=label, words=words)


def _without(turns: Iterable[Turn], label: str, start: float, end: float) -> list[Turn]:
    """Return `turns` in which this speaker is silent from `start` to `end`."""
    found: list[Turn] = []
    for turn in turns:
        if turn.speaker != label or turn.end <= start or turn.start >= end:
            found.append(turn)
            continue
        if turn.start < start:
            found.append(replace(turn, end=start))
        if turn.end > end:
            found.append(replace(turn, start=end))
    return found


def joined_turns(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Return `turns` in order of time, with those of one speaker that touch or overlap as one."""
    latest: dict[str, Turn] = {}
    found: list[Turn] = []
    for turn in sorted(turns, key=lambda each: (each.start, each.end)):
        before = latest.get(turn.speaker)
        if before is not None and turn.start <= before.end:
            latest[turn.speaker] = replace(before, end=max(before.end, turn.end))
            continue
        if before is not None:
            found.append(before)
        latest[turn.speaker] = turn
    found += latest.values()
    return tuple(sorted(found, key=lambda each: (each.start, each.end, each.speaker)))


def store(db: sqlite3.Connection, item_id: int, stored: Transcript, changed: Transcript) -> None:
    """Store the speakers and flags of segments, the turns, and the seconds of speech of each speaker."""
    names = [SEGMENT_COLUMNS.index(name) for name in ("speaker", "words", "flags")]
    db.executemany(
        "UPDATE segments SET speaker = ?, words = ?, flags = ? WHERE item_id = ? AND position = ?",
        (
            (*(segment_row(segment)[n] for n in names), item_id, position)
            for position, (old, segment) in enumerate(
                zip(stored.segments, changed.segments, strict=True)
            )
            if old != segment
        ),
    )
    turns = transcript_row(changed)[TRANSCRIPT_COLUMNS.index("turns")]
    db.execute("UPDATE transcripts SET turns = ? WHERE item_id = ?", (turns, item_id))
    before, after = seconds_by_speaker(stored.turns), seconds_by_speaker(changed.turns)
    db.executemany(
        "UPDATE speakers SET seconds = max(0, seconds + ?) WHERE item_id = ? AND label = ?",
        (
            (after.get(each.label, 0.0) - before.get(each.label, 0.0), item_id, each.label)
            for each in stored.speakers
        ),
    )
