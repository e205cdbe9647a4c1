"""Transcripts as HTML, in the form of Podcasting 2.0: `<cite>` names who speaks, `<time>` when, `<p>` what.

https://github.com/Podcastindex-org/podcast-namespace/blob/main/transcripts/transcripts.md

A time is the start of a paragraph; the file has no ends.
"""

from __future__ import annotations

import re

from homescribe.captions.clock_times import clock
from homescribe.captions.markup import unescaped, without_blocks
from homescribe.captions.timed_cues import Cues, cue

# Not `html.parser`: it can take a time that grows with the square of the length.
_PARTS = re.compile(r"(</?[A-Za-z][^<>]{0,2000}>)")
_NAME = re.compile(r"</?([A-Za-z][A-Za-z0-9]*)")
_HIDDEN = frozenset({"head", "nav", "script", "style", "title"})
_BLOCKS = frozenset({"br", "div", "dd", "dt", "h1", "h2", "h3", "h4", "li", "p", "section", "tr"})


def cues(text: str) -> Cues:
    """Return a cue for each paragraph that has a time, or follows one that has."""
    return _Reader().read(without_blocks(text, "<!--", "-->"))


class _Reader:
    """The state of reading: the time and the speaker that the next words have."""

    def __init__(self) -> None:
        self.found = Cues()
        self.start: float | None = None
        self.speaker = ""
        self.words: list[str] = []
        self.within = ""  # "cite" or "time", while its text is read
        self.inner: list[str] = []  # that text
        self.hidden = ""  # the element whose text is not read

    def read(self, text: str) -> Cues:
        for part in _PARTS.split(text):
            if _PARTS.fullmatch(part) and (name := _NAME.match(part)):
                self._tag(name[1].lower(), closes=part.startswith("</"))
            elif not self.hidden:
                (self.inner if self.within else self.words).append(unescaped(part))
        self._end_paragraph()
        return self.found

    def _tag(self, name: str, *, closes: bool) -> None:
        if name == "body":  # the head need not be closed
            self.hidden = ""
        if self.hidden or name in _HIDDEN:
            if closes and name == self.hidden:
                self.hidden = ""
            elif not closes and not self.hidden:
                self.hidden = name
        elif name in ("cite", "time"):
            if not closes:
                self._end_paragraph()
                self.within, self.inner = name, []
            elif self.within == name:
                self._end_label()
        elif name in _BLOCKS:
            self._end_paragraph()

    def _end_label(self) -> None:
        """Take the text of an element as the speaker or as the time of what follows."""
        label = " ".join("".join(self.inner).split())
        if self.within == "cite":
            self.speaker = label.rstrip(" :")
        elif (start := clock(label.strip("[]()"))) is not None:
            self.start = start
        self.within = ""

    def _end_paragraph(self) -> None:
        if self.within:  # an element that is not closed
            self._end_label()
        text = " ".join("".join(self.words).split())
        self.words = []
        if self.start is not None:
            self.found.add(cue(self.start, None, [(text, None)], self.speaker))
