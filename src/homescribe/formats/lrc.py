"""lrc: lyrics that music and podcast players show in time with the audio."""

from __future__ import annotations

import re

from homescribe.core import Item, Transcript
from homescribe.text.sanitize import file_safe_line


def to_lrc(item: Item, transcript: Transcript) -> str:
    """Lyrics for music players: [mm:ss.xx] and a line for each segment that says something.

    Minutes go on above 59: the format has no hours. https://en.wikipedia.org/wiki/LRC_(file_format)
    """
    minutes, seconds = divmod(round(transcript.duration), 60)
    headers = [("ti", item.title), ("ar", item.channel or "")]
    lines = [f"[{tag}:{_unbracketed(value)}]" for tag, value in headers if file_safe_line(value)]
    lines.append(f"[length:{minutes:02d}:{seconds:02d}]")
    for segment in transcript.segments:
        text = _lyric(segment.text)
        if text:
            minutes, hundredths = divmod(round(segment.start * 100), 6000)
            lines.append(f"[{minutes:02d}:{hundredths // 100:02d}.{hundredths % 100:02d}]{text}")
    return "".join(f"{line}\n" for line in lines)


# What a player takes for a tag: [mm:ss], [ar:...], and <mm:ss> before a word.
_LRC_TAG = re.compile(r"\[(?=[^\]]*:)|<(?=\s*\d+\s*:)")


def _lyric(text: str) -> str:
    """`text` in which no player finds a tag: "[Music]" stays, "[00:10]" becomes "(00:10)"."""
    return _unbracketed(text) if _LRC_TAG.search(file_safe_line(text)) else file_safe_line(text)


def _unbracketed(text: str) -> str:
    return file_safe_line(text).translate(str.maketrans("[]<>", "()()"))
