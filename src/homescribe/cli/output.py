"""Print to standard output: tables, JSON, and text with highlights."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import click

from homescribe.cli.program import message
from homescribe.text.json_text import json_text
from homescribe.text.sanitize import spreadsheet_safe, terminal_safe_part

GAP = 2  # spaces between two columns
MIN_WIDTH = 12  # of a column whose text may be cut
NOTE_INDENT = 4  # spaces before the note of a row
MIN_TEXT_WIDTH = 20  # columns of wrapped text; in less, it is not wrapped


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    empty: str = "",
    flexible: int = 1,
    details: Sequence[str] | None = None,
    notes: Sequence[str] | None = None,
) -> None:
    """Print a table on a terminal, or tab-separated lines without a heading for other programs.

    In these, a cell that a spreadsheet would take for a formula begins with an apostrophe.

    Args:
        empty: message for standard error if there are no rows.
        flexible: how many columns, counted from the last, share the width that the others leave.
        details: text below each row, which is never cut; "" for none.
        notes: the same, below that, about what failed. For other programs, both are one last column.
    """
    if not rows:
        if empty:
            message(empty)
        return
    if not sys.stdout.isatty():
        for number, row in enumerate(rows):
            last = [text[number] for text in (details, notes) if text is not None]
            cells = [*row, "; ".join(filter(None, last))] if last else row
            click.echo("\t".join(map(_cell, cells)))
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
        for texts, style in ((details, "dim"), (notes, "red")):
            if texts and texts[number]:
                text = Text(terminal_safe_part(texts[number]), style=style)
                console.print(Padding(text, (0, 0, 0, NOTE_INDENT)))


def _cell(text: str) -> str:
    """Return a cell of a table that a spreadsheet may open: a formula is put after an apostrophe."""
    return spreadsheet_safe(terminal_safe_part(text))


def print_json(value: object) -> None:
    """Print `value` as indented JSON, as `json_text` does."""
    click.echo(json_text(value, indent=2))


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


def print_wrapped(label: str, text: str) -> None:
    """Print `text` after `label`. On a terminal, its further lines begin below its first.

    Args:
        text: safe for a terminal; it may have styles.
    """
    if not sys.stdout.isatty():
        click.echo(f"{label}{text}")
        return
    from rich.cells import cell_len
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    indent = cell_len(label)
    width = console.width - indent
    if width < MIN_TEXT_WIDTH:
        click.echo(f"{label}{text}")
        return
    lines = Text.from_ansi(text).wrap(console, width) if text else [Text()]
    for number, line in enumerate(lines):
        line.rstrip()
        console.print(Text(label if number == 0 else " " * indent) + line, soft_wrap=True)


def print_cut(text: str) -> None:
    """Print `text` in bold; on a terminal, cut to one line."""
    if sys.stdout.isatty():
        from rich.cells import cell_len, set_cell_size

        width = terminal_width()
        if cell_len(text) > width:
            text = set_cell_size(text, width - 1).rstrip() + "…"
    click.echo(click.style(text, bold=True))


def terminal_width() -> int:
    """Return the columns of the terminal."""
    from rich.console import Console

    return Console().width
