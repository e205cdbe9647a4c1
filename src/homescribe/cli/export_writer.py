"""Write transcripts in the formats and to the directory that a command was given, or print them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from homescribe.cli.program import message
from homescribe.core import Item, SubtitleOptions, Transcript
from homescribe.errors import Cancelled, HomescribeError, UserError
from homescribe.formats import writer
from homescribe.formats.exporters import load_exporters
from homescribe.library import Library
from homescribe.pipeline.crash_log import internal_error
from homescribe.text.display import count
from homescribe.text.sanitize import terminal_message, terminal_safe, terminal_safe_part

STDOUT = Path("-")  # as `-o -`


class ExportWriter:
    """Writes transcripts as files in one or more formats, and counts them; `-` is standard output."""

    def __init__(self, formats: Iterable[str], directory: Path, subtitles: SubtitleOptions) -> None:
        self.directory = directory
        self.files = 0
        self.failed = 0  # transcripts that could not be written
        self._exporters = load_exporters(formats, subtitles)
        if not self.to_stdout:
            writer.prepare(directory)
        elif len(self._exporters) != 1:
            raise UserError(
                f"Only one format can be written to standard output, not {len(self._exporters)}.",
                "Give one format with -f, or a directory with -o.",
            )

    @property
    def to_stdout(self) -> bool:
        """Whether the transcripts are printed instead of written as files."""
        return self.directory == STDOUT

    def write(self, item: Item, transcript: Transcript, copies: Sequence[Item] = ()) -> None:
        """Write one file per format, for the item and each of its copies; print the transcript once.

        Say so if there are fewer because nobody speaks, or because it is not known who does.
        """
        self._report_missing(item, transcript)
        if not self.to_stdout:
            paths = writer.write(self.directory, item, transcript, self._exporters, copies)
            self.files += len(paths)
            return
        for name, exporter in self._exporters.items():
            if writer.nothing_to_write(name, transcript):
                continue
            text = exporter(item, transcript)
            if sys.stdout.isatty():
                text = "\n".join(map(terminal_safe_part, text.split("\n")))
            click.echo(text, nl=not text.endswith("\n"))

    def write_or_report(self, library: Library, item: Item, transcript: Transcript) -> None:
        """Write one file per format and copy; if that fails, print the reason and count the failure.

        The transcript is in the library, and other transcripts may be written.
        """
        try:
            self.write(item, transcript, library.item(item.key).copies)
            return
        except (Cancelled, KeyboardInterrupt, SystemExit, BrokenPipeError):
            raise
        except HomescribeError as known:
            error = known
        except BaseException as unforeseen:  # noqa: BLE001 - of a format's plug-in
            error = internal_error(unforeseen, library.directory, "writing", item.key)
        self.failed += 1
        message(f"{terminal_safe(item.title)} was not written: {terminal_message(error.message)}")

    def _report_missing(self, item: Item, transcript: Transcript) -> None:
        """Print that there is no speech, and which files are not written."""
        missing: dict[str, list[str]] = {} if transcript.text else {writer.NO_SPEECH: []}
        for name in self._exporters:
            if reason := writer.nothing_to_write(name, transcript):
                missing.setdefault(reason, []).append(name)
        for reason, names in missing.items():
            files = f", so no {' or '.join(names)} file is written" if names else ""
            message(f"{terminal_safe(item.title)}: {reason}{files}.")

    def write_stored(self, library: Library, keys: Iterable[str]) -> int:
        """Write the transcripts that the library has of `keys`; return how many it has.

        Raises UserError if nothing more can be written to the directory.
        """
        found = 0
        for key in keys:
            if transcript := library.transcript(key):
                failed = self.failed
                self.write_or_report(library, library.item(key).item, transcript)
                if self.failed > failed and not self.to_stdout:
                    writer.prepare(self.directory)
                found += 1
        return found

    def report(self) -> None:
        """Print how many files were written, and where."""
        if not self.to_stdout:
            message(f"{count(self.files, 'file')} written to {self.directory.absolute()}")
        if self.failed:
            message(
                f"{count(self.failed, 'transcript')} not written; the library has them. "
                "To write them: homescribe export"
            )


def optional_writer(
    formats: list[str], directory: Path | None, subtitles: SubtitleOptions
) -> ExportWriter | None:
    """Return a writer if `-f` or `-o` was given."""
    if not formats and directory is None:
        return None
    return ExportWriter(formats or ["txt"], directory or Path(), subtitles)
