"""podcast.json: the transcript of an episode for `podcast:transcript` of a feed, in JSON of Podcasting 2.0.

https://github.com/Podcastindex-org/podcast-namespace/blob/main/transcripts/transcripts.md

Its segments are the cues of vtt, each on one line.
"""

from __future__ import annotations

import json
from typing import NotRequired, TypedDict

from homescribe.core import Item, Transcript
from homescribe.formats.cues import Cue
from homescribe.formats.reading_cues import reading_cues
from homescribe.text.sanitize import utf8_safe
from homescribe.text.scripts import separator

VERSION = "1.0.0"  # of the format


class SegmentJSON(TypedDict):
    """A segment of the format; times are in seconds."""

    speaker: NotRequired[str]  # where the transcript has speakers
    startTime: float
    endTime: float
    body: str


def to_podcast_json(item: Item, transcript: Transcript) -> str:
    """JSON of Podcasting 2.0 on one line, in ASCII."""
    segments = [_segment(cue) for cue in reading_cues(transcript)]
    return json.dumps({"version": VERSION, "segments": [one for one in segments if one["body"]]})


def _segment(cue: Cue) -> SegmentJSON:
    text = ""
    for word in cue.words:
        rest = word.text.removeprefix("\n")
        text += rest if rest == word.text else separator(text, rest) + rest
    result: SegmentJSON = {
        "startTime": round(cue.start, 3),
        "endTime": round(cue.end, 3),
        "body": utf8_safe(text.strip()),
    }
    return {"speaker": utf8_safe(cue.speaker), **result} if cue.speaker else result
