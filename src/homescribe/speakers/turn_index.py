"""Look up who speaks when: seconds of each speaker in a stretch of time, the nearest turn, overlaps.

Segments in which several people speak are marked by them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace

from homescribe.core import Segment, Turn

OVERLAP = "overlap"  # the flag of a segment
MIN_OVERLAP = 0.5  # seconds, or half of a shorter segment

Stretch = tuple[float, float]


class TurnIndex:
    """The turns of a recording by speaker. Turns of one speaker do not overlap."""

    def __init__(self, turns: Iterable[Turn]) -> None:
        self._turns: dict[str, list[Stretch]] = {}
        for turn in sorted(turns, key=lambda turn: (turn.start, turn.end)):
            self._turns.setdefault(turn.speaker, []).append((turn.start, turn.end))
        self._starts = {label: [a for a, _ in turns] for label, turns in self._turns.items()}
        self._ends = {label: [b for _, b in turns] for label, turns in self._turns.items()}
        self._several = _several(self._turns.values())
        self._several_ends = [end for _, end in self._several]

    def seconds(self, start: float, end: float) -> dict[str, float]:
        """Return by speaker how long they speak between `start` and `end`, without those who do not."""
        found = {}
        for label in self._turns:
            spoken = sum(min(b, end) - max(a, start) for a, b in self._within(label, start, end))
            if spoken > 0:
                found[label] = spoken
        return found

    def likeness(self, label: str, start: float, end: float) -> float:
        """Return how much of a turn and of the stretch they share, for the most similar turn: 0 to 1."""
        return max(
            (
                (min(b, end) - max(a, start)) / (max(b, end) - min(a, start))
                for a, b in self._within(label, start, end)
            ),
            default=0.0,
        )

    def nearest(self, start: float, end: float, limit: float) -> str | None:
        """Return who speaks nearest to the stretch, None when nobody does within `limit` seconds."""
        best: tuple[float, str] | None = None
        for label, turns in self._turns.items():
            after = bisect_left(self._starts[label], end)
            for a, b in turns[max(0, after - 1) : after + 1]:
                distance = max(a - end, start - b, 0.0)
                if distance <= limit and (best is None or distance < best[0]):
                    best = distance, label
        return best[1] if best else None

    def overlap(self, start: float, end: float) -> float:
        """Return the seconds between `start` and `end` in which several people speak."""
        seconds = 0.0
        for a, b in self._several[bisect_right(self._several_ends, start) :]:
            if a >= end:
                break
            seconds += min(b, end) - max(a, start)
        return seconds

    def _within(self, label: str, start: float, end: float) -> Sequence[Stretch]:
        """Return the turns of a speaker that share time with the stretch."""
        first = bisect_right(self._ends[label], start)
        return self._turns[label][first : bisect_left(self._starts[label], end)]


def seconds_by_speaker(turns: Iterable[Turn]) -> dict[str, float]:
    """Return the seconds of speech of each speaker, in the order of their first turns."""
    found: dict[str, float] = {}
    for turn in turns:
        found[turn.speaker] = found.get(turn.speaker, 0.0) + (turn.end - turn.start)
    return found


def marked_overlap(segment: Segment, index: TurnIndex) -> Segment:
    """Return the segment with the flag if several people speak in it, else without."""
    length = segment.end - segment.start
    several = index.overlap(segment.start, segment.end) >= max(min(MIN_OVERLAP, length / 2), 0.05)
    flags = tuple(flag for flag in segment.flags if flag != OVERLAP)
    return replace(segment, flags=(*flags, OVERLAP) if several else flags)


def _several(speakers: Iterable[Sequence[Stretch]]) -> list[Stretch]:
    """Return the stretches in which more than one of the speakers speaks, in order of time."""
    changes = sorted(
        change for turns in speakers for start, end in turns for change in ((start, 1), (end, -1))
    )
    found: list[Stretch] = []
    speaking, since = 0, 0.0
    for time, change in changes:
        if speaking > 1 and time > since:
            if found and found[-1][1] == since:
                found[-1] = (found[-1][0], time)
            else:
                found.append((since, time))
        speaking, since = speaking + change, time
    return found
