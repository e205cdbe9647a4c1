"""Rows for people on a terminal, tab-separated lines for programs in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str = "", wide: int = 1
) -> None:
    """Print `rows` to stdout. The last `wide` columns share what room is left on a terminal."""
    if not rows:
        if empty:
            click.echo(empty, err=True)
        return
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        narrow = number < len(columns) - wide
        table.add_column(column, no_wrap=True, overflow="ellipsis", min_width=4 if narrow else 12)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
