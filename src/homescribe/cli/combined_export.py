"""Write many transcripts together: into one file, into parts of bounded size, or as a website."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from homescribe.cli.export_writer import STDOUT, Target
from homescribe.cli.program import message
from homescribe.core import Item, Transcript
from homescribe.errors import UserError
from homescribe.formats import combined, writer
from homescribe.formats.filenames import safe_name
from homescribe.library import ItemRecord, Library
from homescribe.static_site.site_writer import write_site
from homescribe.text.display import count
from homescribe.text.sanitize import terminal_safe_part

NAME_BYTES = 100


def write_combined(
    library: Library,
    records: Sequence[ItemRecord],
    formats: list[str],
    target: Target,
    part_words: int,
    *,
    default: Path,
) -> None:
    """Write the transcripts of `records`, the oldest recording first, in one format.

    The file is named after the channel, if there is just one. Raises UserError for options that do not go
    together, and if the directory cannot be written to.
    """
    extension = combined.checked_format(formats)
    if target.beside or target.template:
        option = "--beside" if target.beside else "--output-template"
        raise UserError(f"{option} and --combine exclude each other.", "Give one of them.")
    name = safe_name(_title(records), size=NAME_BYTES, alone=True) or combined.TITLE
    oldest_first = sorted(records, key=lambda record: record.item.upload_date or "")
    recordings = _transcripts(library, oldest_first)
    if target.directory == STDOUT:
        _print(combined.one_file(recordings, extension))
        return
    directory = target.directory or default
    parts = combined.parts(recordings, extension, part_words)
    paths = writer.write_parts(directory, name, extension, parts)
    for path in paths:
        message(f"written: {path.absolute()}")
    if not paths:
        message("No transcript has text, so no file is written.")
    elif silent := sum(not record.speech for record in records):
        message(f"{count(silent, 'recording')} without speech left out.")


def write_site_and_report(library: Library, records: Sequence[ItemRecord], directory: Path) -> None:
    """Write the website of `records`, the newest recording first, and print where it is.

    Raises UserError if a file that homescribe did not write is in the way.
    """
    if directory == STDOUT:
        raise UserError("A site is a directory: it cannot be printed.", "Give one: --site DIR")
    if not records:
        raise UserError(
            "No recording is transcribed yet, so there is no site.",
            "Transcribe some: homescribe run",
        )
    newest_first = sorted(records, key=lambda record: record.item.upload_date or "", reverse=True)
    written = write_site(
        directory, _title(records).capitalize(), _transcripts(library, newest_first)
    )
    page = (directory / "index.html").absolute()
    message(f"{count(written, 'recording')} written. Open the page: {page.as_uri()}")


def _title(records: Iterable[ItemRecord]) -> str:
    return combined.common_title(record.item for record in records)


def _transcripts(
    library: Library, records: Iterable[ItemRecord]
) -> Iterator[tuple[Item, Transcript]]:
    for record in records:
        if transcript := library.transcript(record.item.key):
            yield record.item, transcript


def _print(parts: Iterable[str]) -> None:
    for part in parts:
        text = part
        if sys.stdout.isatty():
            text = "\n".join(map(terminal_safe_part, part.split("\n")))
        click.echo(text, nl=False)
