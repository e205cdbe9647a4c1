"""Rows for people on a terminal, tab-separated lines for programs in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

GAP = 2  # columns of the terminal between two of the table
NARROWEST = 12  # what a wide column keeps when there is no room


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str = "", wide: int = 1
) -> None:
    """Print `rows` to stdout. On a terminal the last `wide` columns share the room that others leave."""
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
    narrow = len(columns) - wide
    widths = [max(cell_len(row[n]) for row in (columns, *rows)) for n in range(narrow)]
    room = console.width - sum(width + GAP for width in widths) - GAP * (wide - 1)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        width = widths[number] if number < narrow else max(NARROWEST, room // wide)
        table.add_column(column, no_wrap=True, overflow="ellipsis", width=width)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
