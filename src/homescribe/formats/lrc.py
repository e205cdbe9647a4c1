"""lrc: lyrics that music and podcast players show in time with the audio."""

from __future__ import annotations

import re

from homescribe.core import Item, Transcript
from homescribe.formats.attribution import introduced
from homescribe.text.sanitize import file_safe_line


def to_lrc(item: Item, transcript: Transcript) -> str:
    """LRC lyrics: a line with its time, [mm:ss.xx], for each segment that is not blank.

    A line begins with "Ann: " where another speaker spoke before.

    The format has no hours, so minutes exceed 59. https://en.wikipedia.org/wiki/LRC_(file_format)
    """
    minutes, seconds = divmod(round(transcript.duration), 60)
    headers = [("ti", item.title), ("ar", item.channel or "")]
    lines = [f"[{tag}:{_unbracketed(value)}]" for tag, value in headers if file_safe_line(value)]
    lines.append(f"[length:{minutes:02d}:{seconds:02d}]")
    for segment, label in introduced(transcript):
        if text := _lyric(segment.text):
            text = _lyric(label + text)
            minutes, hundredths = divmod(round(segment.start * 100), 6000)
            lines.append(f"[{minutes:02d}:{hundredths // 100:02d}.{hundredths % 100:02d}]{text}")
    return "".join(f"{line}\n" for line in lines)


# What a player reads as a tag: [mm:ss], [ar:...], and <mm:ss> before a word.
_LRC_TAG = re.compile(r"\[(?=[^\]]*:)|<(?=\s*\d+\s*:)")


def _lyric(text: str) -> str:
    """Return `text` on one line, without tags: "[Music]" stays, "[00:10]" becomes "(00:10)"."""
    line = file_safe_line(text)
    return _unbracketed(line) if _LRC_TAG.search(line) else line


def _unbracketed(text: str) -> str:
    return file_safe_line(text).translate(str.maketrans("[]<>", "()()"))
