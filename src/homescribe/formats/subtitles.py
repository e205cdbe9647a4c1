"""srt and vtt subtitles, byte for byte as openai-whisper writes them (`whisper.utils.SubtitlesWriter`).

Text that would break out of its cue is changed as little as possible: see `_cue_text`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from homescribe.core import Item, Transcript, Word
from homescribe.text.sanitize import file_safe

# A subtitle line ends before it is longer, and a subtitle after so many words (whisper.utils).
LINE_CHARACTERS = 1000
CUE_WORDS = 1000


def to_srt(item: Item, transcript: Transcript) -> str:
    """SubRip: numbered cues, hours always, a comma before the milliseconds."""
    return "".join(
        f"{number}\n{_timestamp(start, ',', True)} --> {_timestamp(end, ',', True)}\n{text}\n\n"
        for number, (start, end, text) in enumerate(_cues(transcript), start=1)
    )


def to_vtt(item: Item, transcript: Transcript) -> str:
    """WebVTT: hours only where there are any. Text stands as Whisper leaves it: `<` and `&` as they are."""
    cues = "".join(
        f"{_timestamp(start, '.', False)} --> {_timestamp(end, '.', False)}\n{text}\n\n"
        for start, end, text in _cues(transcript)
    )
    return f"WEBVTT\n\n{cues}"


def _timestamp(seconds: float, marker: str, always_hours: bool) -> str:
    """whisper.utils.format_timestamp: [hh:]mm:ss and milliseconds after `marker`."""
    minutes, milliseconds = divmod(round(seconds * 1000.0), 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, milliseconds = divmod(milliseconds, 1000)
    hours_shown = f"{hours:02d}:" if always_hours or hours else ""
    return f"{hours_shown}{minutes:02d}:{whole:02d}{marker}{milliseconds:03d}"


def _cues(transcript: Transcript) -> Iterator[tuple[float, float, str]]:
    """Start, end and text of each subtitle, as whisper.utils.SubtitlesWriter cuts them.

    A segment without words, in a transcript that has words, shows at its own time: Whisper would drop it,
    which loses nothing there (its text is empty), but would where somebody else filled in the text.
    """
    with_words = any(segment.words for segment in transcript.segments)
    for segment in transcript.segments:
        for first in range(0, len(segment.words), CUE_WORDS):
            words = segment.words[first : first + CUE_WORDS]
            yield words[0].start, words[-1].end, _cue_text(_wrapped(words))
        if not segment.words and (segment.text.strip() or not with_words):
            yield segment.start, segment.end, _cue_text(segment.text.strip())


def _wrapped(words: Iterable[Word]) -> str:
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
    """`text` that neither ends its cue nor begins another: no empty line, no arrow, no number on its own.

    Whisper too writes "->" for "-->", but not among words and not for longer arrows.
    """
    lines = [line for line in re.sub("--+>", "->", file_safe(text)).split("\n") if line.strip()]
    # Readers of SubRip take a line that begins with a number for the next cue's.
    return re.sub(r"\n(?=\s*-?\d)", " ", "\n".join(lines))
