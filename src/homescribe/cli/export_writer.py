"""Write transcripts in the formats and to the directory that a command was given, or print them."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from homescribe import plugins
from homescribe.cli.program import message
from homescribe.core import Item, SubtitleOptions, Transcript
from homescribe.errors import Cancelled, HomescribeError, UserError
from homescribe.formats import placed_files, writer
from homescribe.formats.exporters import BINARY, SINGLE, load_exporters
from homescribe.library import Library
from homescribe.pipeline.crash_log import internal_error
from homescribe.text.display import count
from homescribe.text.sanitize import terminal_message, terminal_safe, terminal_safe_part

STDOUT = Path("-")  # as `-o -`


@dataclass(frozen=True, slots=True)
class Target:
    """Where a command writes files."""

    directory: Path | None = None  # None: the command's default
    beside: bool = (
        False  # beside the recordings; those that are not files on this computer to `directory`
    )
    template: str | None = (
        None  # of names in `directory`, as `checked_template` returns it; None: safe names
    )

    def __post_init__(self) -> None:
        """Raise UserError if these do not go together."""
        chosen = [
            option
            for option, given in (
                ("-o -", self.directory == STDOUT),
                ("--beside", self.beside),
                ("--output-template", self.template),
            )
            if given
        ]
        if len(chosen) > 1:
            raise UserError(f"{chosen[0]} and {chosen[1]} exclude each other.", "Give one of them.")


class ExportWriter:
    """Writes transcripts as files in one or more formats, and counts them; `-` is standard output."""

    def __init__(
        self, formats: Iterable[str], target: Target, subtitles: SubtitleOptions, *, default: Path
    ) -> None:
        self.target = target
        self.directory = target.directory or default
        self.files = 0
        self.failed = 0  # transcripts that could not be written
        self._printed = False
        self._elsewhere = 0  # transcripts of recordings that are not on this computer, not written
        self._exporters = load_exporters(formats, subtitles)
        if not self.to_stdout:
            self._prepare()
        elif len(self._exporters) != 1:
            raise UserError(
                f"Only one format can be written to standard output, not {len(self._exporters)}.",
                "Give one format with -f, or a directory with -o.",
            )
        else:
            for name in BINARY.intersection(self._exporters):
                _refuse_terminal(name)

    @property
    def to_stdout(self) -> bool:
        """Whether the transcripts are printed instead of written as files."""
        return self.directory == STDOUT

    def _prepare(self) -> None:
        """Raise UserError if the directory cannot be written to."""
        if not self.target.beside or self.target.directory:
            writer.prepare(self.directory)

    def write(
        self, library: Library, item: Item, transcript: Transcript, copies: Sequence[Item] = ()
    ) -> None:
        """Write one file per format, for the item and each of its copies; print the transcript once.

        Say so if there are fewer because nobody speaks, or because it is not known who does.
        """
        self._report_missing(item, transcript)
        if not self.to_stdout:
            placed = self._written(library, item, transcript, copies)
            self.files += len(placed.paths)
            if placed.refused:
                raise _one_error(placed.refused)
            return
        for name, exporter in self._exporters.items():
            if writer.nothing_to_write(name, transcript):
                continue
            if self._printed and name in SINGLE:
                raise _several(name)
            text = exporter(item, transcript)
            self._printed = True
            if isinstance(text, bytes):
                _refuse_terminal(name)
                click.echo(text, nl=False)
                continue
            if sys.stdout.isatty():
                text = "\n".join(map(terminal_safe_part, text.split("\n")))
            click.echo(text, nl=not text.endswith("\n"))

    def _written(
        self, library: Library, item: Item, transcript: Transcript, copies: Sequence[Item]
    ) -> placed_files.Placed:
        if self.target.template:
            return placed_files.write_by_template(
                self.directory,
                self.target.template,
                item,
                transcript,
                self._exporters,
                library,
                copies,
            )
        if self.target.beside:
            if plugins.source_of(item).local_path(item):
                return placed_files.write_beside(item, transcript, self._exporters, library, copies)
            if not self.target.directory:
                self._elsewhere += 1
                return placed_files.Placed()
        return placed_files.Placed(
            writer.write(self.directory, item, transcript, self._exporters, copies)
        )

    def write_or_report(self, library: Library, item: Item, transcript: Transcript) -> None:
        """Write one file per format and copy; if that fails, print the reason and count the failure.

        The transcript is in the library, and other transcripts may be written.
        """
        try:
            self.write(library, item, transcript, library.item(item.key).copies)
            return
        except (Cancelled, KeyboardInterrupt, SystemExit, BrokenPipeError):
            raise
        except HomescribeError as known:
            error = known
        except BaseException as unforeseen:  # noqa: BLE001 - of a format's plug-in
            error = internal_error(unforeseen, library.directory, "writing", item.key)
        self.failed += 1
        hint = f" {terminal_message(error.hint)}" if isinstance(error, UserError) else ""
        message(
            f"{terminal_safe(item.title)} was not written: {terminal_message(error.message)}{hint}"
        )

    def _report_missing(self, item: Item, transcript: Transcript) -> None:
        """Print that there is no speech, and which files are not written."""
        missing: dict[str, list[str]] = {} if transcript.text else {writer.NO_SPEECH: []}
        for name in self._exporters:
            if reason := writer.nothing_to_write(name, transcript):
                missing.setdefault(reason, []).append(name)
        for reason, names in missing.items():
            files = f", so no {' or '.join(names)} file is written" if names else ""
            message(f"{terminal_safe(item.title)}: {reason}{files}.")

    def write_stored(self, library: Library, keys: Collection[str]) -> int:
        """Write the transcripts that the library has of `keys`; return how many it has.

        Raises UserError if nothing more can be written to the directory, or if several recordings cannot be
        printed in the format.
        """
        if self.to_stdout and len(keys) > 1:
            for name in SINGLE.intersection(self._exporters):
                raise _several(name)
        found = 0
        for key in keys:
            if transcript := library.transcript(key):
                failed = self.failed
                self.write_or_report(library, library.item(key).item, transcript)
                if self.failed > failed and not self.to_stdout:
                    self._prepare()
                found += 1
        return found

    def report(self) -> None:
        """Print how many files were written, and where."""
        if not self.to_stdout:
            place = f"to {self.directory.absolute()}"
            if self.target.beside:
                place = f"beside the recordings{f' or {place}' if self.target.directory else ''}"
            message(f"{count(self.files, 'file')} written {place}")
        if self._elsewhere:
            message(
                f"{count(self._elsewhere, 'recording')} not on this computer, so nothing is written beside. "
                "To write the transcripts to a directory, add -o DIR."
            )
        if self.failed:
            message(
                f"{count(self.failed, 'transcript')} not written; the library has them. "
                f"To write them: {self._command()}"
            )

    def _command(self) -> str:
        """Return the command that writes the transcripts as this one was to."""
        words = ["homescribe", "export"]
        if self.target.beside:
            words.append("--beside")
        words += ["-f", ",".join(self._exporters)]
        directory = self.target.directory if self.target.beside else self.directory
        if directory and directory != STDOUT:
            words += ["-o", str(directory)]
        if self.target.template:
            words += ["--output-template", self.target.template]
        return shlex.join(words)


def _one_error(errors: Sequence[UserError]) -> UserError:
    """Return one error with all messages, and each hint once."""
    hints = dict.fromkeys(error.hint for error in errors if error.hint)
    return UserError(" ".join(error.message for error in errors), " ".join(hints))


def _several(name: str) -> UserError:
    """Return the error for several recordings on standard output in one of SINGLE."""
    return UserError(
        f"Several recordings cannot be printed as one {name} file.",
        "Export one recording (homescribe export KEY), or give a directory with -o.",
    )


def _refuse_terminal(name: str) -> None:
    if sys.stdout.isatty():
        raise UserError(f"{name} is not text: it is not printed to a terminal.", "Add -o DIR.")


def optional_writer(
    formats: list[str], target: Target, subtitles: SubtitleOptions
) -> ExportWriter | None:
    """Return a writer if an option says what to write, or where."""
    if not formats and target == Target():
        return None
    return ExportWriter(formats or ["txt"], target, subtitles, default=Path())
