"""WebVTT (https://www.w3.org/TR/webvtt1/): cues with voices and times within a line.

X-TIMESTAMP-MAP, which maps times to those of a video stream, is ignored, as players do for a file of its own.
"""

from __future__ import annotations

import re

from homescribe.captions.clock_times import clock, cue_times
from homescribe.captions.markup import TAG, TIME_TAG, unescaped
from homescribe.captions.timed_cues import Cues, cue

_LANGUAGE = re.compile(r"language\s*[:=]\s*([\w-]{2,20})\s*$", re.IGNORECASE)
_OTHER_BLOCK = re.compile(r"(?:NOTE|STYLE|REGION)(?:\s|$)")
_PARTS = re.compile(rf"({TAG.pattern}|{TIME_TAG.pattern})")
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s+([^<>]+)>")
_ANNOTATION = re.compile(r"<rt\b[^<>]*>[^<]*</rt>")  # the pronunciation above a word


def is_vtt(text: str) -> bool:
    """Whether a file that begins with `text` is WebVTT."""
    return re.match(r"WEBVTT(?:\s|$)", text) is not None


def language(text: str) -> str | None:
    """Return the language in the header of a file, as YouTube writes it; None without one."""
    for line in text[:2000].split("\n")[1:]:
        if not line.strip() or cue_times(line):
            return None
        if match := _LANGUAGE.match(line):
            return match[1]
    return None


def cues(text: str) -> Cues:
    """Return the cues of a file, one for each voice of a cue."""
    found = Cues()
    times: tuple[float, float] | None = None
    rows: list[str] = []
    begins_block, skipped, after_gap = True, False, False
    for line in [*text.split("\n"), ""]:
        following = None if skipped else cue_times(line)
        if times is not None and not line and not rows:
            # The first row of automatic captions, without the space in it; or the cue is empty.
            begins_block = after_gap = True
        elif following is not None or not line:  # a line of spaces is part of the text
            if times is not None:
                if after_gap and following is not None and rows:
                    rows.pop()  # the identifier of the following cue
                for one in _voices(times, "\n".join(rows)):
                    found.add(one)
            times, rows = following, []
            begins_block, skipped, after_gap = not line, skipped and bool(line), False
        elif begins_block and _OTHER_BLOCK.match(line):
            times, begins_block, skipped = None, False, True
        else:
            begins_block = False
            rows.append(line)
    return found


def _voices(times: tuple[float, float], text: str) -> Cues:
    """Return the cues in the text of one: where voices change, one for each."""
    found = Cues()
    pieces: list[tuple[str, float | None]] = []
    speaker: str | None = None
    at = times[0] if TIME_TAG.search(text) else None

    def end_voice() -> None:
        found.add(cue(*times, pieces, speaker))
        pieces.clear()

    for part in _PARTS.split(_ANNOTATION.sub("", text)):
        if not part:
            continue
        if voice := _VOICE.fullmatch(part):
            end_voice()
            speaker = unescaped(voice[1])
        elif part == "</v>":
            end_voice()
            speaker = None
        elif TIME_TAG.fullmatch(part):
            at = clock(part[1:-1])
        elif not TAG.fullmatch(part):
            pieces.append((unescaped(part), at))
            at = None
    end_voice()
    return found
