"""rttm: who speaks when, as tools that evaluate or edit diarization read it.

The format is that of NIST's Rich Transcription evaluation (2009, appendix A of its plan), with one line for
each turn.
"""

from __future__ import annotations

from homescribe import plugins
from homescribe.core import Item, Transcript
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
        f"{_field(names.name(turn.speaker))} <NA> <NA>\n"
        for turn in turns(transcript)
        if round(turn.end - turn.start, 3) > 0
    )


def _field(text: str) -> str:
    """Return `text` without spaces, which separate the fields: "Ann_Lee"; ";;" would begin a comment."""
    return one_line(text, NAME_CHARACTERS).replace(" ", "_").replace(";;", ";") or "<NA>"
