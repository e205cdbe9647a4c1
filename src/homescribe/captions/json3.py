"""json3, YouTube's own format of captions, in which automatic captions have the time of each word.

An event with `segs` is a line. An event with `aAppend` is the line break by which automatic captions scroll.
Times are milliseconds; `tOffsetMs` counts from the start of the event.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from homescribe.captions.json_values import as_list, as_object, as_text
from homescribe.captions.reading_time import least_seconds
from homescribe.captions.timed_cues import Cue, Cues, cue
from homescribe.core import SECOND

Pieces = list[tuple[str, float | None]]


def cues(document: Mapping[str, object]) -> list[Cue]:
    """Return the cues of a document in json3."""
    found = Cues()
    scrolls = False
    for event in map(as_object, as_list(document.get("events"))):
        start = _milliseconds(event.get("tStartMs"))
        segs = [as_object(seg) for seg in as_list(event.get("segs"))]
        text = "".join(as_text(seg.get("utf8")) for seg in segs)
        if start is None or not text.strip():
            scrolls = scrolls or "aAppend" in event
            continue
        lasts = _milliseconds(event.get("dDurationMs"))
        end = None if lasts is None else start + lasts
        found.add(cue(start, end, _pieces(start, segs)))
    return _shown_until_next(found) if scrolls else found


def _pieces(start: float, segs: list[Mapping[str, object]]) -> Pieces:
    """Return the parts of a line, with their times if the file has them."""
    timed = any("tOffsetMs" in seg for seg in segs)
    pieces: Pieces = []
    for seg in segs:
        offset = _milliseconds(seg.get("tOffsetMs", 0))
        time = start + offset if timed and offset is not None else None
        pieces.append((as_text(seg.get("utf8")), time))
    return pieces


def _shown_until_next(found: list[Cue]) -> list[Cue]:
    """Return the lines of captions that scroll, those without times of words until the next one begins.

    Of such lines YouTube writes a duration of three seconds, however long they are.
    """
    found = sorted(found, key=lambda each: each.start)
    ends = [after.start for _, after in pairwise(found)]
    for number, until in enumerate(ends):
        one = found[number]
        if one.end is None or any(time is not None for _, time in one.tokens):
            continue
        needed = one.start + least_seconds(one.text)
        end = max(one.end, min(needed, until))
        found[number] = Cue(one.start, end, one.rows, one.speaker)
    return found


def _milliseconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value / 1000 * SECOND
    except OverflowError:  # an integer with hundreds of digits
        return None
