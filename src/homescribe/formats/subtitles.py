"""srt and vtt subtitles, byte for byte as openai-whisper writes them (`whisper.utils.SubtitlesWriter`).

Text that would break out of its cue is changed as little as possible: see `_cue_text`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from homescribe.core import Item, Transcript, Word
from homescribe.text.sanitize import file_safe

# Longest line of a subtitle made of words, and most words in one (whisper.utils).
LINE_CHARACTERS = 1000
CUE_WORDS = 1000


def to_srt(item: Item, transcript: Transcript) -> str:
    """SubRip: numbered cues, times with hours and a comma before the milliseconds."""
    return "".join(
        f"{number}\n{_timestamp(start, ',', True)} --> {_timestamp(end, ',', True)}\n{text}\n\n"
        for number, (start, end, text) in enumerate(_cues(transcript), start=1)
    )


def to_vtt(item: Item, transcript: Transcript) -> str:
    """WebVTT: times with hours only from one hour on. `<` and `&` are not escaped, as in Whisper's files."""
    cues = "".join(
        f"{_timestamp(start, '.', False)} --> {_timestamp(end, '.', False)}\n{text}\n\n"
        for start, end, text in _cues(transcript)
    )
    return f"WEBVTT\n\n{cues}"


def _timestamp(seconds: float, marker: str, always_hours: bool) -> str:
    """Format a time as whisper.utils.format_timestamp does: [hh:]mm:ss, `marker` and milliseconds."""
    minutes, milliseconds = divmod(round(seconds * 1000.0), 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, milliseconds = divmod(milliseconds, 1000)
    hours_shown = f"{hours:02d}:" if always_hours or hours else ""
    return f"{hours_shown}{minutes:02d}:{whole:02d}{marker}{milliseconds:03d}"


def _cues(transcript: Transcript) -> Iterator[tuple[float, float, str]]:
    """Yield start, end and text of each cue, cut as whisper.utils.SubtitlesWriter cuts them.

    In a transcript with words, a segment without words is shown at its own time. Whisper drops it, because
    there its text is always empty; here a person may have typed the text.
    """
    with_words = any(segment.words for segment in transcript.segments)
    for segment in transcript.segments:
        for first in range(0, len(segment.words), CUE_WORDS):
            words = segment.words[first : first + CUE_WORDS]
            yield words[0].start, words[-1].end, _cue_text(_wrapped(words))
        if not segment.words and (segment.text.strip() or not with_words):
            yield segment.start, segment.end, _cue_text(segment.text.strip())


def _wrapped(words: Iterable[Word]) -> str:
    """Join `words` into lines of at most LINE_CHARACTERS."""
    text, width = "", 0
    for word in words:
        if width and width + len(word.word) <= LINE_CHARACTERS:
            text += word.word
            width += len(word.word)
        else:
            text += ("\n" if width else "") + word.word.strip()
            width = len(word.word.strip())
    return text


def _cue_text(text: str) -> str:
    """Return `text` so that it cannot end its cue or begin another one.

    Empty lines are left out, and "-->" becomes "->". Whisper replaces arrows too, but not longer ones and
    not in transcripts with words.
    """
    lines = [line for line in re.sub("--+>", "->", file_safe(text)).split("\n") if line.strip()]
    # SubRip readers take a line that begins with a number for the number of the next cue.
    return re.sub(r"\n(?=\s*-?\d)", " ", "\n".join(lines))
