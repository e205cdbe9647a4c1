"""SubRip (srt): as players read it, also with numbers or empty lines that are missing."""

from __future__ import annotations

from homescribe.captions.clock_times import cue_times
from homescribe.captions.markup import without_tags
from homescribe.captions.speaker_labels import with_speakers
from homescribe.captions.timed_cues import Cue, Cues, cue

END = "00:00 --> 00:00"  # as if another cue followed


def cues(text: str) -> list[Cue]:
    """Return the cues of an srt file. The text of a cue ends at the next line with times."""
    found = Cues()
    times: tuple[float, float] | None = None
    rows: list[str] = []
    for line in [*text.split("\n"), "", END]:
        following = cue_times(line)
        if following is None:
            rows.append(line)
            continue
        if rows and rows[-1].strip().isdecimal():  # the number of the following cue
            rows.pop()
        if times is not None:
            shown = [without_tags(row) for row in rows if row.strip()]
            found.add(cue(times[0], times[1], [("\n".join(shown), None)]))
        times, rows = following, []
    return with_speakers(found)
