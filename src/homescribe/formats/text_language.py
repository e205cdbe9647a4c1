"""The language that the text of a transcript is written in."""

from __future__ import annotations

from homescribe.core import Item, Transcript

# Whisper's codes that differ from ISO 639, which players read in names of subtitles.
_ISO = {"jw": "jv"}
UNDETERMINED = "und"  # without speech


def text_language(item: Item, transcript: Transcript) -> str | None:
    """Return the ISO 639 code of the text, "en" for a translation; None without text."""
    if transcript.language == UNDETERMINED:
        return None
    if transcript.options and transcript.options.task == "translate":
        return "en"
    return _ISO.get(transcript.language, transcript.language)
