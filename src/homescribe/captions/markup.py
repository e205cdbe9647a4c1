"""Tags and character references in the text of cues. Each function takes a time in proportion to the text."""

from __future__ import annotations

import html
import re

# A tag of HTML or of a vtt cue. Text such as "a < b" is none.
TAG = re.compile(r"</?[A-Za-z][^<>]{0,1000}>")
TIME_TAG = re.compile(r"<[0-9:.]{4,20}>", re.ASCII)  # the time of the next word
_OVERRIDE = re.compile(r"\{(?:\\[^{}]{0,200}|/?[biu])\}")  # "{\an8}" and "{i}" in srt
# With its semicolon: "AT&T" and "&copy=2" in the text of a cue are none.
_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")


def unescaped(text: str) -> str:
    """Return `text` with characters in place of references such as "&amp;"."""
    return _REFERENCE.sub(lambda match: html.unescape(match[0]), text) if "&" in text else text


def without_tags(text: str) -> str:
    """Return the text of an srt cue without tags and positions."""
    return unescaped(_OVERRIDE.sub("", TAG.sub("", TIME_TAG.sub("", text))))


def without_blocks(text: str, begin: str, end: str) -> str:
    """Return `text` without everything from each `begin` to the next `end`, or to the end of the text."""
    kept: list[str] = []
    at = 0
    while (found := text.find(begin, at)) >= 0:
        kept.append(text[at:found])
        until = text.find(end, found + len(begin))
        if until < 0:
            return "".join(kept)
        at = until + len(end)
    return "".join([*kept, text[at:]])
