"""What several commands do: add sources, and run, with messages on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import nullcontext
from threading import Event

from homescribe.assemble import build_run, run_options
from homescribe.cli.caption_report import report_captions
from homescribe.cli.export_writer import ExportWriter
from homescribe.cli.program import message
from homescribe.cli.progress import Display
from homescribe.cli.summary import print_summary, report_corrections
from homescribe.config import Config
from homescribe.errors import Cancelled, HomescribeError, SetupError, UserError
from homescribe.exit_codes import ExitCode
from homescribe.library import Library
from homescribe.pipeline import ListingResult, Sources, add
from homescribe.pipeline.kept_corrections import corrected_lines
from homescribe.text.display import count, moment, span
from homescribe.text.redaction import shown_feed
from homescribe.text.sanitize import terminal_message, terminal_safe


def add_sources(
    library: Library,
    sources: Sources,
    urls: Iterable[str],
    stop: Event,
    *,
    everything: bool,
    since: str | None = None,
    latest: int | None = None,
    moved_from: str | None = None,
) -> list[ListingResult]:
    """Add each source to the library and report it. A source that cannot be listed does not stop the others.

    Args:
        urls: "-" stands for the lines of standard input.
        everything: read listings to their end, even past known items.
        since: only items of this date or later, also in later updates.
        latest: only that many of the newest items of each source.
        moved_from: the address of a known source, which moves to the first of `urls`.
    """
    results: list[ListingResult] = []
    for url in _with_stdin(urls):
        try:
            listings = add(
                library,
                sources,
                url,
                stop,
                everything=everything,
                since=since,
                latest=latest,
                moved_from=moved_from,
            )
            for result in listings:
                report_listing(result)
                results.append(result)
        except SetupError:
            raise
        except UserError as error:
            results.append(ListingResult(url, shown_feed(url), error=error))
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
        reason, title = terminal_message(result.error.message), terminal_message(result.title)
        message(f"Error: {reason}" if title in reason else f"Error: {title}: {reason}")
        if result.error.hint:
            message(terminal_message(result.error.hint))
        return
    if result.moved_from:
        message(
            f"{terminal_safe(result.title)} has moved: "
            f"{terminal_message(result.moved_from)} is now {terminal_message(result.url)}"
        )
    for warning in result.warnings:
        message(f"{terminal_safe(result.title)}: {terminal_message(warning)}")
    audio = sum(item.duration or 0.0 for item in result.new)
    duration = f" ({span(audio)} of audio)" if audio else ""
    new = count(len(result.new), "new item")
    message(f"{terminal_message(result.title)}: {new}{duration}")


def run_and_report(
    config: Config,
    library: Library,
    sources: Sources,
    stop: Event,
    *,
    keys: Collection[str] | None = None,
    again: Collection[str] = (),
    limit: int | None = None,
    writer: ExportWriter | None = None,
    formats: Collection[str] = (),
    captions: bool = True,
    quiet: bool = False,
) -> ExitCode:
    """Run, display the progress and print a summary.

    Args:
        again: transcribe these items even if they are transcribed or failed.
        writer: writes each transcript as it arrives.
        formats: what it writes; for subtitles, words get times.
        captions: request captions first, as the settings say.
        quiet: print nothing if nothing is pending.
    """
    run = build_run(
        config,
        library,
        sources,
        options=run_options(config, formats),
        keys=keys,
        again=again,
        limit=limit,
        captions=captions,
        stop=stop,
    )
    for note in run.notes:
        message(terminal_message(note))
    began = time.monotonic()
    failures: dict[str, HomescribeError] = {}
    corrected = corrected_lines(library, again)
    if not quiet:
        for site, (until, reason) in library.blocked_sites().items():
            message(f"No downloads from {site} before {moment(until)}: {terminal_message(reason)}")
    display = Display(run)
    try:
        # The live view and transcripts on the same terminal would overwrite each other.
        printing = writer is not None and writer.to_stdout and sys.stdout.isatty()
        with nullcontext() if printing else display.live_view():
            for outcome in run:
                display.print_outcome(outcome)
                if outcome.transcript:
                    failures.pop(outcome.item.key, None)
                    if writer:  # what is stored, with corrections that were carried over
                        stored = library.transcript(outcome.item.key)
                        writer.write_or_report(library, outcome.item, stored or outcome.transcript)
                elif outcome.error:
                    failures[outcome.item.key] = outcome.error
    finally:
        if run.progress.captions is not None:
            report_captions(run.progress.captions, quiet=quiet)
        if run.progress.done or run.progress.failed:
            print_summary(run.progress, library, failures.values(), time.monotonic() - began)
            report_corrections(library, corrected)
        for warning in run.warnings:
            message(f"Warning: {terminal_message(warning)}")
    searched = run.progress.captions is not None and run.progress.captions.items
    if not (run.progress.items or searched or quiet):
        message("No items are pending.")
    if stop.is_set():
        raise Cancelled
    unwritten = writer is not None and writer.failed
    return ExitCode.SOME_FAILED if failures or unwritten else ExitCode.OK
