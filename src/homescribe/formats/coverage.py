"""What of a recording a transcript covers: its languages, and the stretches without text."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from homescribe.core import SECOND, Segment, Skipped, Transcript
from homescribe.text.display import clock

NO_SPEECH = "No speech was found."
HOLE = 5 * SECOND  # a longer stretch without text is shown where it is
GAP = 1 * SECOND  # between two stretches of one hole: engines leave out shorter stretches
LISTED_HOLES = 8  # the longest ones
LEAST_SHARE = 0.005  # of the speech; a language with less is not listed


def holes(transcript: Transcript) -> list[tuple[int, Skipped]]:
    """Return stretches of more than HOLE seconds without text, each with the position of the next segment.

    Neighbouring stretches are one hole. Its reason is "no_speech" only if that of all is.
    """
    middles = [(segment.start + segment.end) / 2 for segment in transcript.segments]
    merged: list[tuple[int, Skipped]] = []
    for stretch in transcript.skipped:
        position = bisect_left(middles, (stretch.start + stretch.end) / 2)
        if merged and merged[-1][0] == position and stretch.start - merged[-1][1].end <= GAP:
            last = merged.pop()[1]
            reason = last.reason if last.reason == stretch.reason else "no_text"
            stretch = Skipped(last.start, stretch.end, reason)
        merged.append((position, stretch))
    return [(position, hole) for position, hole in merged if hole.end - hole.start > HOLE]


def with_holes(transcript: Transcript) -> Iterator[Segment | Skipped]:
    """Yield the segments and, between them, the holes."""
    before: dict[int, Skipped] = dict(holes(transcript))
    for position, segment in enumerate(transcript.segments):
        if position in before:
            yield before[position]
        yield segment
    if transcript.segments and len(transcript.segments) in before:
        yield before[len(transcript.segments)]


def hole_in_words(hole: Skipped) -> str:
    """Return "no speech, 1:12 to 1:40"."""
    return f"{hole.reason.replace('_', ' ')}, {_range(hole)}"


def skipped_in_words(transcript: Transcript) -> str:
    """Return "83 s: 1:12 to 1:40, 5:00 to 5:20 and shorter ones"; "" if all of the recording has text.

    Lists the longest holes, in order of time.
    """
    seconds = transcript.skipped_seconds
    if seconds < SECOND / 2:
        return ""
    long = [hole for _, hole in holes(transcript)]
    listed = sorted(sorted(long, key=lambda hole: hole.start - hole.end)[:LISTED_HOLES], key=_start)
    total = f"{seconds:,.0f} s"
    if not listed:
        return f"{total}, in short stretches"
    shown = sum(hole.end - hole.start for hole in listed)
    rest = " and shorter ones" if seconds - shown >= SECOND / 2 else ""
    return f"{total}: {', '.join(map(_range, listed))}{rest}"


def languages_in_words(transcript: Transcript) -> str:
    """Return "en 62 %, de 38 %", by seconds of the segments; the code alone where there is one language."""
    seconds = transcript.languages
    total = sum(seconds.values())
    shares = {code: each / total for code, each in seconds.items()} if total else {}
    listed = {code: share for code, share in shares.items() if share >= LEAST_SHARE}
    if len(listed) < 2:
        return next(iter(listed), transcript.language)
    return ", ".join(f"{code} {share:.0%}".replace("%", " %") for code, share in listed.items())


def _range(stretch: Skipped) -> str:
    return f"{clock(stretch.start)} to {clock(stretch.end)}"


def _start(stretch: Skipped) -> float:
    return stretch.start
