"""Speakers that are added to a transcript that is stored.

The text stays as it is. A segment in which the speaker changes becomes several, but one that a person
corrected stays whole, so that its correction can be undone: its speaker is who speaks most in it, or whom the
person named (speaker_corrections.py).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import replace

from homescribe.core import Segment, Speaker, Transcript, Turn
from homescribe.library.corrections import corrected
from homescribe.library.speaker_corrections import corrected_positions


def with_added(
    db: sqlite3.Connection,
    item_id: int,
    stored: Transcript,
    speakers: tuple[Speaker, ...],
    turns: tuple[Turn, ...],
    least: int,
) -> tuple[Transcript, dict[int, int]]:
    """Return the stored transcript with speakers, and the new position of each corrected segment.

    Args:
        least: number of speakers that there are at least; others with little speech are left out.
    """
    kept = corrected(db, item_id).keys() | corrected_positions(db, item_id, stored)
    rest = tuple(each for n, each in enumerate(stored.segments) if n not in kept)
    found = assigned(replace(stored, segments=rest, speakers=()), speakers, turns, least)
    whole = {n: _with_speaker(stored.segments[n], found.turns) for n in kept}
    numbered: list[tuple[Segment, int | None]] = [(each, None) for each in found.segments]
    numbered += [(each, n) for n, each in whole.items()]
    numbered.sort(key=lambda pair: (pair[0].start, pair[0].end))
    places = {old: new for new, (_, old) in enumerate(numbered) if old is not None}
    return replace(found, segments=tuple(each for each, _ in numbered)), places


def assigned(
    transcript: Transcript, speakers: tuple[Speaker, ...], turns: tuple[Turn, ...], least: int
) -> Transcript:
    """Return the transcript with the speakers of its words and segments."""
    from homescribe.speakers.assignment import with_speakers
    from homescribe.speakers.diarizer import Diarization

    return with_speakers(transcript, Diarization(turns, speakers), least)


def move_corrections(db: sqlite3.Connection, item_id: int, places: dict[int, int]) -> None:
    """Store the new positions of corrected segments."""
    db.execute(
        "UPDATE corrections SET position = (SELECT value FROM json_each(:places) WHERE key = position) "
        "WHERE item_id = :item AND position IS NOT NULL",
        {"item": item_id, "places": json.dumps(places)},
    )


def _with_speaker(segment: Segment, turns: Sequence[Turn]) -> Segment:
    """Return the segment with the one who speaks most in it; None where nobody does."""
    label = _most(segment, turns)
    words = tuple(replace(word, speaker=label) for word in segment.words)
    return replace(segment, speaker=label, words=words)


def _most(segment: Segment, turns: Collection[Turn]) -> str | None:
    seconds: dict[str, float] = {}
    for turn in turns:
        shared = min(turn.end, segment.end) - max(turn.start, segment.start)
        if shared > 0:
            seconds[turn.speaker] = seconds.get(turn.speaker, 0.0) + shared
    return max(seconds, key=lambda label: seconds[label], default=None)
