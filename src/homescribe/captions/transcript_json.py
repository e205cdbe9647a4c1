"""Transcripts as JSON: Podcasting 2.0, and Whisper's own format, which some publishers use instead.

https://github.com/Podcastindex-org/podcast-namespace/blob/main/transcripts/transcripts.md
"""

from __future__ import annotations

from collections.abc import Mapping

from homescribe.captions.clock_times import seconds
from homescribe.captions.json_values import as_list, as_object, as_text
from homescribe.captions.timed_cues import Cues, cue


def cues(segments: list[object]) -> Cues:
    """Return the cues of a list of segments. Those without a start are left out."""
    found = Cues()
    for segment in map(as_object, segments):
        start = seconds(_first(segment, "startTime", "start"))
        text = as_text(_first(segment, "body", "text"))
        if start is None:
            continue
        end = seconds(_first(segment, "endTime", "end"))
        speaker = as_text(segment.get("speaker"))
        found.add(cue(start, end, _words(segment) or [(text, None)], speaker))
    return found


def _words(segment: Mapping[str, object]) -> list[tuple[str, float | None]]:
    """Return the words of a segment of Whisper with their times; [] unless each has one."""
    words = [as_object(word) for word in as_list(segment.get("words"))]
    texts = [as_text(word.get("word")) for word in words]
    times = [seconds(word.get("start")) for word in words]
    if not all(texts) or None in times:
        return []
    return list(zip(texts, times, strict=True))


def _first(segment: Mapping[str, object], *names: str) -> object:
    return next((segment[name] for name in names if name in segment), None)
