"""srt and vtt subtitles.

`cues.py` and `reading_cues.py` decide what is shown and when. Text that would break out of its cue is changed
as little as possible: see `_clean`.

srt names a speaker in the text, where another one spoke before: "Ann: Yes." vtt names the speaker of each cue
in a tag, which players do not show: "<v Ann>Yes.</v>".
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator

from homescribe.core import Item, SubtitleOptions, Transcript
from homescribe.formats.cues import Cue, whisper_cues
from homescribe.formats.made_with import engine_in_words
from homescribe.formats.reading_cues import reading_cues

DEFAULT_OPTIONS = SubtitleOptions()

# Stand for the tags around a highlighted word while its text is cleaned. No text contains control characters.
_BEGIN, _END = "\x01", "\x02"


def to_srt(item: Item, transcript: Transcript, options: SubtitleOptions = DEFAULT_OPTIONS) -> str:
    """SubRip: numbered cues, times with hours and a comma before the milliseconds. Nothing is escaped."""
    cues = _shown(transcript, options, str, labels=True)
    return "".join(
        f"{number}\n{_timestamp(start, ',', True)} --> {_timestamp(end, ',', True)}\n{text}\n\n"
        for number, (start, end, text, _) in enumerate(cues, start=1)
    )


def to_vtt(item: Item, transcript: Transcript, options: SubtitleOptions = DEFAULT_OPTIONS) -> str:
    """WebVTT: times with hours only from one hour on. Unlike in Whisper's files, `&<>` are escaped.

    https://www.w3.org/TR/webvtt1/#webvtt-cue-text
    """
    cues = "".join(
        f"{_timestamp(start, '.', False)} --> {_timestamp(end, '.', False)}\n"
        f"{_spoken(text, speaker)}\n\n"
        for start, end, text, speaker in _shown(transcript, options, _escaped, labels=False)
    )
    # A comment, which players skip: https://www.w3.org/TR/webvtt1/#introduction-comments
    note = f"NOTE {engine_in_words(transcript)}\n\n" if transcript.is_captions else ""
    return f"WEBVTT\n\n{note}{cues}"


def _spoken(text: str, speaker: str) -> str:
    """Return the text of a cue in a voice span: https://www.w3.org/TR/webvtt1/#webvtt-cue-voice-span"""
    # A name that ends in "--" would make an arrow of the end of the tag.
    voice = re.sub("-$", "&#45;", _escaped(speaker))
    return f"<v {voice}>{text}</v>" if speaker else text


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _timestamp(milliseconds: int, marker: str, always_hours: bool) -> str:
    """Format a time as whisper.utils.format_timestamp does: [hh:]mm:ss, `marker` and milliseconds."""
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, milliseconds = divmod(milliseconds, 1000)
    hours_shown = f"{hours:02d}:" if always_hours or hours else ""
    return f"{hours_shown}{minutes:02d}:{whole:02d}{marker}{milliseconds:03d}"


def _shown(
    transcript: Transcript, options: SubtitleOptions, escape: Callable[[str], str], *, labels: bool
) -> Iterator[tuple[int, int, str, str]]:
    """Yield start and end in milliseconds, the text and the speaker's name of each cue of the file."""
    if options.as_whisper:
        cues = whisper_cues(transcript, options, labels=labels)
    else:
        cues = reading_cues(transcript, labels=labels)
    for cue in cues:
        for start, end, text in _highlighted(cue) if options.highlight_words else _plain(cue):
            cleaned = escape(_clean(cue.label + text))
            if cleaned:
                shown = cleaned.replace(_BEGIN, "<u>").replace(_END, "</u>")
                yield start, end, shown, cue.speaker


def _plain(cue: Cue) -> Iterator[tuple[int, int, str]]:
    yield _milliseconds(cue.start), _milliseconds(cue.end), "".join(w.text for w in cue.words)


def _highlighted(cue: Cue) -> Iterator[tuple[int, int, str]]:
    """Yield the cue once for each word, which is marked, and once for each pause, as Whisper does."""
    texts = [word.text for word in cue.words]
    last = _milliseconds(cue.start)
    for number, word in enumerate(cue.words):
        start, end = _milliseconds(word.start), _milliseconds(word.end)
        if last != start:
            yield last, start, "".join(texts)
        marked = re.sub(r"^(\s*)(\S.*)$", rf"\1{_BEGIN}\2{_END}", word.text)
        yield start, end, "".join([*texts[:number], marked, *texts[number + 1 :]])
        last = end
    if last < _milliseconds(cue.end):
        yield last, _milliseconds(cue.end), "".join(texts)


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000.0)


def _clean(text: str) -> str:
    """Return `text` so that it cannot end its cue or begin another one.

    Empty lines are left out, and "-->" becomes "->". Whisper replaces arrows too, but not longer ones and
    not in transcripts with words.
    """
    lines = [line for line in re.sub("--+>", "->", text).split("\n") if line.strip()]
    # SubRip readers take a line that is only a number for the number of the next cue.
    number = rf"\n(?=[\s{_BEGIN}]*-?\d+\.?\d*[\s{_END}]*(?:\n|$))"
    return re.sub(number, " ", "\n".join(lines))
