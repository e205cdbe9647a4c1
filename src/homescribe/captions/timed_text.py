"""Timed Text Markup Language (TTML, DFXP), which broadcasters publish: https://www.w3.org/TR/ttml2/"""

from __future__ import annotations

import re

from homescribe.captions.clock_times import clock
from homescribe.captions.markup import unescaped, without_blocks
from homescribe.captions.timed_cues import Cues, cue
from homescribe.core import HOUR, MINUTE, SECOND

# Not an XML parser: what is needed are a few tags, and nothing in the file can name another file.
_PARTS = re.compile(r"(</?[A-Za-z][^<>]{0,4000}>)")
_TAG = re.compile(r"<(/?)(?:[\w-]{1,40}:)?([A-Za-z]\w{0,40})")
_ATTRIBUTE = re.compile(r"(?:[\w-]{1,40}:)?([A-Za-z]\w{0,40})\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_OFFSET = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)(h|ms|m|s|f|t)", re.ASCII)
_FRAMES = re.compile(r"(\d{1,4}:\d{1,2}:\d{1,2}):(\d{1,3})", re.ASCII)

Attributes = dict[str, str]


def is_timed_text(text: str) -> bool:
    """Whether a document that begins with `text` is TTML, by its root element."""
    tags = (_TAG.match(part) for part in _PARTS.findall(without_blocks(text[:5000], "<!--", "-->")))
    return next((tag[2].lower() for tag in tags if tag), "") == "tt"


def cues(text: str) -> tuple[Cues, str | None]:
    """Return the cues of a document, and the language that its root element names."""
    reader = _Reader()
    for part in _PARTS.split(without_blocks(text, "<!--", "-->")):
        if tag := _TAG.match(part):
            reader.tag(tag[2].lower(), part, closes=bool(tag[1]))
        elif reader.times is not None:
            reader.text.append(re.sub(r"\s+", " ", unescaped(part)))
    return reader.found, reader.language


class _Reader:
    def __init__(self) -> None:
        self.found = Cues()
        self.language: str | None = None
        self.frames = 30.0  # a second, unless the root element says otherwise
        self.ticks = 1.0
        self.times: tuple[float, float | None] | None = None
        self.text: list[str] = []

    def tag(self, name: str, part: str, *, closes: bool) -> None:
        if name == "br":
            self.text.append("\n")
        elif name == "tt" and not closes:
            found = _attributes(part)
            self.language = found.get("lang")
            self.frames = _number(found.get("frameRate")) or self.frames
            self.ticks = _number(found.get("tickRate")) or self.ticks
        elif name == "p":
            self._end()
            self.times = None if closes else self._times(part)
        elif name == "span" and not closes and (times := self._times(part)):
            self._end()
            self.times = times

    def _end(self) -> None:
        text = "".join(self.text)
        if self.times is not None:
            self.found.add(cue(*self.times, [(text, None)]))
        self.text = []

    def _times(self, part: str) -> tuple[float, float | None] | None:
        found = _attributes(part)
        start, end = self._time(found.get("begin")), self._time(found.get("end"))
        lasts = self._time(found.get("dur"))
        if start is None:
            return None
        return start, end if end is not None or lasts is None else start + lasts

    def _time(self, text: str | None) -> float | None:
        """Return the seconds in "00:01:02.5", "00:01:02:12" (frames), "62.5s" or "620000t"."""
        if text is None:
            return None
        if match := _FRAMES.fullmatch(text.strip()):
            whole = clock(match[1])
            return None if whole is None else whole + int(match[2]) / self.frames
        if match := _OFFSET.fullmatch(text.strip()):
            unit = {
                "h": HOUR,
                "m": MINUTE,
                "s": SECOND,
                "ms": SECOND / 1000,
                "f": 1 / self.frames,
                "t": 1 / self.ticks,
            }
            return float(match[1]) * unit[match[2]]
        return clock(text)


def _attributes(part: str) -> Attributes:
    return {name: double or single for name, double, single in _ATTRIBUTE.findall(part)}


def _number(text: str | None) -> float | None:
    """Return a rate; None for a missing one, and for zero."""
    if text is None or not re.fullmatch(r"\d{1,10}", text.strip(), re.ASCII):
        return None
    return float(text) or None
