"""Print to standard output: tables, JSON, and text with highlights."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence

import click

from homescribe.text.sanitize import terminal_safe_part

GAP = 2  # spaces between two columns
MIN_WIDTH = 12  # of a column whose text may be cut


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str = "", flexible: int = 1
) -> None:
    """Print a table on a terminal, or tab-separated lines without a heading for other programs.

    Args:
        empty: message for standard error if there are no rows.
        flexible: how many columns, counted from the last, share the width that the others leave.
    """
    if not rows:
        if empty:
            click.echo(empty, err=True)
        return
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(row))
        return
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    fixed = len(columns) - flexible
    widths = [max(cell_len(row[n]) for row in (columns, *rows)) for n in range(fixed)]
    remaining = console.width - sum(width + GAP for width in widths) - GAP * (flexible - 1)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        width = widths[number] if number < fixed else max(MIN_WIDTH, remaining // flexible)
        table.add_column(column, no_wrap=True, overflow="ellipsis", width=width)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def print_json(value: object) -> None:
    """Print `value` as indented JSON. Objects that JSON does not have become strings."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


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
