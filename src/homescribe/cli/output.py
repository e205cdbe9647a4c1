"""Print to standard output: tables, JSON, and text with highlights."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence

import click

from homescribe.cli.program import message
from homescribe.text.sanitize import terminal_safe_part

GAP = 2  # spaces between two columns
# Not escaped by json.dumps: DEL, C1 controls, bidirectional controls, lone surrogates.
_CONTROLS = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
MIN_WIDTH = 12  # of a column whose text may be cut
NOTE_INDENT = 4  # spaces before the note of a row


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    empty: str = "",
    flexible: int = 1,
    notes: Sequence[str] | None = None,
) -> None:
    """Print a table on a terminal, or tab-separated lines without a heading for other programs.

    Args:
        empty: message for standard error if there are no rows.
        flexible: how many columns, counted from the last, share the width that the others leave.
        notes: text below each row, which is never cut; "" for none. For other programs, a last column.
    """
    if not rows:
        if empty:
            message(empty)
        return
    if not sys.stdout.isatty():
        for number, row in enumerate(rows):
            cells = [*row, notes[number]] if notes else row
            click.echo("\t".join(map(terminal_safe_part, cells)))
        return
    from rich.cells import cell_len
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False)
    fixed = len(columns) - flexible
    widths = [max(cell_len(row[n]) for row in (columns, *rows)) for n in range(fixed)]
    remaining = console.width - sum(width + GAP for width in widths) - GAP * (flexible - 1)
    widths += [max(MIN_WIDTH, remaining // flexible)] * flexible

    def line(cells: Sequence[str], style: str = "") -> Text:
        text = Text(no_wrap=True, overflow="ellipsis", style=style)
        for cell, width in zip(cells, widths, strict=True):
            part = Text(terminal_safe_part(cell))
            part.truncate(width, overflow="ellipsis", pad=True)
            text.append_text(part).append(" " * GAP)
        text.rstrip()
        return text

    console.print(line(columns, "bold"))
    for number, row in enumerate(rows):
        console.print(line(row))
        if notes and notes[number]:
            console.print(
                Padding(
                    Text(terminal_safe_part(notes[number]), style="red"), (0, 0, 0, NOTE_INDENT)
                )
            )


def print_json(value: object) -> None:
    """Print `value` as indented JSON. Objects that JSON does not have become strings.

    Characters that could control a terminal are escaped. JSON itself requires that for some of them only.
    """
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    click.echo(_CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


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
