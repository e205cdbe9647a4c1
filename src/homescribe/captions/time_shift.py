"""Captions whose times do not fit the recording, as where a host puts advertisements into it."""

from __future__ import annotations

from homescribe.core import MINUTE, SECOND, Transcript
from homescribe.text.display import clock

PAST_END = 5 * SECOND  # a cue may be shown a little longer than the recording lasts
MISSING = 1 * MINUTE  # without captions at the end: music and credits
MISSING_SHARE = 0.02  # of a long recording


def drift(transcript: Transcript, duration: float) -> str | None:
    """Return a sentence if captions end after a recording of `duration` seconds, or long before its end.

    None if they fit it, and for a transcript that is no captions.
    """
    if not transcript.is_captions or not transcript.segments or duration <= 0:
        return None
    end = max(segment.end for segment in transcript.segments)
    if end > duration + PAST_END:
        return (
            f"The publisher's captions end {clock(end - duration)} after the recording: their times are "
            "those of another version of it."
        )
    if duration - end > max(MISSING, MISSING_SHARE * duration):
        return (
            f"The publisher's captions end {clock(duration - end)} before the recording: their end is "
            "missing, or advertisements in the recording shift their times."
        )
    return None
