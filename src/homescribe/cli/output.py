"""Style text for the terminal."""

from __future__ import annotations

from collections.abc import Iterable

import click

from homescribe.text.sanitize import terminal_safe_part


def highlighted(text: str, ranges: Iterable[tuple[int, int]]) -> str:
    """Return `text` on one line, with these ranges of its characters in bold if the output is a terminal."""
    parts = []
    at = 0
    for start, end in ranges:
        parts += [
            terminal_safe_part(text[at:start]),
            click.style(terminal_safe_part(text[start:end]), bold=True, fg="yellow"),
        ]
        at = end
    return "".join([*parts, terminal_safe_part(text[at:])]).strip()
