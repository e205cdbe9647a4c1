"""What several commands do: add sources, run, and write exports, with messages on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from threading import Event

import click

from homescribe.assemble import build_run
from homescribe.cli.exit_codes import ExitCode
from homescribe.cli.progress import Display
from homescribe.config import Config
from homescribe.core import Item, SubtitleOptions, Transcript
from homescribe.errors import Cancelled, HomescribeError, SetupError, UserError
from homescribe.formats import writer
from homescribe.formats.exporters import load_exporters
from homescribe.library import Library
from homescribe.pipeline import ListingResult, Run, Sources, add
from homescribe.pipeline.crash_log import internal_error
from homescribe.text.display import count, moment, span
from homescribe.text.sanitize import terminal_safe


def add_sources(
    library: Library, sources: Sources, urls: Iterable[str], stop: Event, *, everything: bool
) -> list[ListingResult]:
    """Add each source to the library and report it. A source that cannot be listed does not stop the others.

    Args:
        urls: "-" stands for the lines of standard input.
        everything: read listings to their end, even past known items.
    """
    results = []
    for url in _with_stdin(urls):
        try:
            for result in add(library, sources, url, stop, everything=everything):
                report_listing(result)
                results.append(result)
        except SetupError:
            raise
        except UserError as error:
            results.append(ListingResult(url, url, error=error))
            report_listing(results[-1])
        if stop.is_set():
            raise Cancelled
    return results


def _with_stdin(urls: Iterable[str]) -> Iterator[str]:
    """Replace "-" by the lines of standard input, without empty ones and those that start with #."""
    for url in urls:
        if url == "-":
            lines = (line.strip() for line in sys.stdin)
            yield from (line for line in lines if line and not line.startswith("#"))
        else:
            yield url


def report_listing(result: ListingResult) -> None:
    """Print how many new items a listing contained, or its error."""
    if result.error:
        message, title = terminal_safe(result.error.message), terminal_safe(result.title)
        click.echo(
            f"Error: {message}" if title in message else f"Error: {title}: {message}", err=True
        )
        if result.error.hint:
            click.echo(terminal_safe(result.error.hint), err=True)
        return
    if result.moved_from:
        click.echo(
            f"{terminal_safe(result.title)} has moved: "
            f"{terminal_safe(result.moved_from)} is now {terminal_safe(result.url)}",
            err=True,
        )
    for warning in result.warnings:
        click.echo(f"{terminal_safe(result.title)}: {terminal_safe(warning)}", err=True)
    audio = sum(item.duration or 0.0 for item in result.new)
    duration = f" ({span(audio)} of audio)" if audio else ""
    new = count(len(result.new), "new item")
    click.echo(f"{terminal_safe(result.title)}: {new}{duration}", err=True)


class ExportWriter:
    """Writes transcripts as files in one or more formats, and counts the files."""

    def __init__(self, formats: Iterable[str], directory: Path, subtitles: SubtitleOptions) -> None:
        self.directory = directory
        self.files = 0
        self.failed = 0  # transcripts that could not be written
        writer.prepare(directory)
        self._exporters = load_exporters(formats, subtitles)

    def write(self, item: Item, transcript: Transcript) -> None:
        """Write one file per format. Say so if there are fewer because nobody speaks."""
        written = len(writer.write(self.directory, item, transcript, self._exporters))
        self.files += written
        if not transcript.text:
            missing = [name for name in self._exporters if name in writer.TEXT_FORMATS]
            files = f", so no {' or '.join(missing)} file is written" if missing else ""
            title = terminal_safe(item.title)
            click.echo(f"{title}: no speech was found{files}.", err=True)

    def write_or_report(self, library: Library, item: Item, transcript: Transcript) -> None:
        """Write one file per format; if that fails, print the reason and count the failure.

        The transcript is in the library, and other transcripts may be written.
        """
        try:
            self.write(item, transcript)
            return
        except (Cancelled, KeyboardInterrupt, SystemExit):
            raise
        except HomescribeError as known:
            error = known
        except BaseException as unforeseen:  # noqa: BLE001 - of a format's plug-in
            error = internal_error(unforeseen, library.directory, "writing", item.key)
        self.failed += 1
        title, message = terminal_safe(item.title), terminal_safe(error.message)
        click.echo(f"{title} was not written: {message}", err=True)

    def write_stored(self, library: Library, keys: Iterable[str]) -> int:
        """Write the transcripts that the library has of `keys`; return how many it has.

        Raises UserError if nothing more can be written to the directory.
        """
        found = 0
        for key in keys:
            if transcript := library.transcript(key):
                failed = self.failed
                self.write_or_report(library, library.item(key).item, transcript)
                if self.failed > failed:
                    writer.prepare(self.directory)
                found += 1
        return found

    def report(self) -> None:
        """Print how many files were written, and where."""
        files = count(self.files, "file")
        click.echo(f"{files} written to {self.directory.absolute()}", err=True)
        if self.failed:
            click.echo(
                f"{count(self.failed, 'transcript')} not written; the library has them. "
                "To write them: homescribe export",
                err=True,
            )


def optional_writer(
    formats: list[str], directory: Path | None, subtitles: SubtitleOptions
) -> ExportWriter | None:
    """Return a writer if `-f` or `-o` was given."""
    if not formats and directory is None:
        return None
    return ExportWriter(formats or ["txt"], directory or Path(), subtitles)


def report_earlier_results(library: Library, keys: list[str]) -> int:
    """Print which of `keys` earlier runs transcribed, and which failed; return how many failed."""
    transcripts = [found for key in keys if (found := library.transcript(key))]
    if transcripts:
        models = sorted({f"{found.engine} {found.model}" for found in transcripts})
        click.echo(
            f"{count(len(transcripts), 'item')} already transcribed ({', '.join(models)}). "
            "To transcribe one again, remove it first: homescribe remove KEY",
            err=True,
        )
    failed = [record for record in library.items(state="failed") if record.item.key in set(keys)]
    for record in failed:
        title, error = terminal_safe(record.item.title), terminal_safe(record.error or "")
        click.echo(f"{title} failed in an earlier run: {error}", err=True)
    if failed:
        click.echo("To try again: homescribe retry KEY", err=True)
    return len(failed)


def run_and_report(
    config: Config,
    library: Library,
    sources: Sources,
    stop: Event,
    *,
    keys: Collection[str] | None = None,
    limit: int | None = None,
    writer: ExportWriter | None = None,
    formats: Collection[str] = (),
    quiet: bool = False,
) -> ExitCode:
    """Run, display the progress and print a summary.

    Args:
        writer: writes each transcript as it arrives.
        formats: what it writes; for subtitles, words get times.
        quiet: print nothing if nothing is pending.
    """
    options = config.transcription(formats)
    run = build_run(config, library, sources, options=options, keys=keys, limit=limit, stop=stop)
    began = time.monotonic()
    failed: set[str] = set()
    if not quiet:
        for site, (until, reason) in library.blocked_sites().items():
            click.echo(
                f"No downloads from {site} before {moment(until)}: {terminal_safe(reason)}",
                err=True,
            )
    display = Display(run)
    try:
        with display.live_view():
            for outcome in run:
                display.print_outcome(outcome)
                if outcome.transcript:
                    failed.discard(outcome.item.key)
                    if writer:
                        writer.write_or_report(library, outcome.item, outcome.transcript)
                elif outcome.error:
                    failed.add(outcome.item.key)
    finally:
        if run.progress.done or run.progress.failed:
            _print_summary(run, library, time.monotonic() - began)
    if not (run.progress.items or quiet):
        click.echo("No items are pending.", err=True)
    if stop.is_set():
        raise Cancelled
    unwritten = writer is not None and writer.failed
    return ExitCode.SOME_FAILED if failed or unwritten else ExitCode.OK


def _print_summary(run: Run, library: Library, seconds: float) -> None:
    """Print how many items were transcribed, how many failed, and when those are tried again."""
    progress = run.progress
    speed = f", {progress.audio_seconds_done / seconds:.1f}x realtime" if seconds else ""
    click.echo(
        f"{count(progress.done, 'item')} transcribed ({span(progress.audio_seconds_done)} of audio "
        f"in {span(seconds)}{speed}), {progress.failed} failed.",
        err=True,
    )
    retries = [record.retry_at for record in library.items(state="failed") if record.retry_at]
    if retries:
        items = count(len(retries), "failed item")
        click.echo(f"{items} will be tried again by runs after {moment(min(retries))}.", err=True)
    if progress.failed:
        click.echo(
            "For the reasons: homescribe list --state failed. For what to do: homescribe show KEY",
            err=True,
        )
