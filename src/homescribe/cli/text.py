"""How values look on a terminal. Titles and messages come from strangers: no control character gets out."""

from __future__ import annotations

import datetime
import unicodedata
from collections.abc import Iterable

import click

from homescribe.core import HOUR, MINUTE

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


def clock(seconds: float | None) -> str:
    """`1:02:03` or `2:03`; "?" for an unknown length."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def span(seconds: float) -> str:
    """A length in the largest unit that says something: "46.2 h", "12 min", "8 s"."""
    if seconds >= HOUR:
        return f"{seconds / HOUR:.1f} h"
    if seconds >= MINUTE:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """Bytes in decimal units, as file managers show them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def moment(unix_time: float) -> str:
    """Local time, with the date when it is not today."""
    then = datetime.datetime.fromtimestamp(unix_time)
    today = then.date() == datetime.date.today()
    return then.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")


def count(number: int, noun: str) -> str:
    """ "1 item", "430 items"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


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
