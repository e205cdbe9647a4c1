"""rttm: who speaks when, as tools that evaluate or edit diarization read it.

The format is that of NIST's Rich Transcription evaluation (2009, appendix A of its plan), with one line for
each turn.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from homescribe import plugins
from homescribe.core import Item, Transcript, Turn
from homescribe.formats.attribution import Names, turns
from homescribe.text.sanitize import one_line

NAME_CHARACTERS = 200


def to_rttm(item: Item, transcript: Transcript) -> str:
    """RTTM: `SPEAKER file 1 start duration <NA> <NA> name <NA> <NA>`, times in seconds; "" without speakers.

    Turns of several speakers may overlap. The file is the name of a local file without its extension, as in
    reference files, else the item's key.
    """
    names = Names(transcript)
    path = plugins.source_of(item).local_path(item)
    file = _field(path.stem if path else item.key)
    return "".join(
        f"SPEAKER {file} 1 {turn.start:.3f} {turn.end - turn.start:.3f} <NA> <NA> "
        f"{_field(turn.speaker)} <NA> <NA>\n"
        for turn in _by_name(turns(transcript), names)
        if round(turn.end - turn.start, 3) > 0
    )


def _by_name(found: Iterable[Turn], names: Names) -> list[Turn]:
    """Return the turns of each name, which several labels may have, without overlaps among themselves."""
    joined: list[Turn] = []
    latest: dict[str, int] = {}  # position of the last turn of each name
    for turn in sorted(found, key=lambda turn: turn.start):
        name = names.name(turn.speaker)
        position = latest.get(name)
        if position is not None and turn.start <= joined[position].end:
            longer = max(joined[position].end, turn.end)
            joined[position] = replace(joined[position], end=longer)
            continue
        latest[name] = len(joined)
        joined.append(replace(turn, speaker=name))
    return joined


def _field(text: str) -> str:
    """Return `text` without spaces, which separate the fields: "Ann_Lee"; ";;" would begin a comment."""
    return one_line(text, NAME_CHARACTERS).replace(" ", "_").replace(";;", ";") or "<NA>"
