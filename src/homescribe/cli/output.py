"""How values look on a terminal. Titles and messages come from strangers: no control character gets out."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import click

from homescribe.text.display import clock, count, moment, size, span

__all__ = ["clean", "clock", "count", "highlighted", "moment", "size", "span"]

# Reordering characters with which a title could rewrite the rest of its line.
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def clean(text: str) -> str:
    """`text` on one line, without control characters (terminal escapes) and bidirectional overrides."""
    return _cleaned(text).strip()


def _cleaned(text: str) -> str:
    kept = (" " if character in "\n\t\r" else character for character in text)
    return "".join(character for character in kept if not _harmful(character))


def _harmful(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or character in _BIDI_CONTROLS


def highlighted(text: str, ranges: Iterable[tuple[int, int]]) -> str:
    """`text` on one line, with these ranges of its characters in bold where the output is a terminal."""
    parts = []
    at = 0
    for start, end in ranges:
        parts += [
            _cleaned(text[at:start]),
            click.style(_cleaned(text[start:end]), bold=True, fg="yellow"),
        ]
        at = end
    return "".join([*parts, _cleaned(text[at:])]).strip()
