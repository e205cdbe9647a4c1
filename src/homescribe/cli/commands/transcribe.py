"""Commands that do the work: transcribe, run, sync, retry."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from pathlib import Path
from threading import Event

import click

from homescribe import plugins
from homescribe.assemble import build_run, open_library, open_sources
from homescribe.cli.commands.sources import add_all, say
from homescribe.cli.interrupt import interruptible
from homescribe.cli.options import RUN_SETTINGS, configured, output
from homescribe.cli.progress import Display
from homescribe.config import Config
from homescribe.core import Item, Transcript
from homescribe.errors import Cancelled
from homescribe.formats import writer
from homescribe.library import Library
from homescribe.pipeline import Run, Sources
from homescribe.pipeline import sync as list_again
from homescribe.text.display import count, moment, span
from homescribe.text.sanitize import terminal_safe

SOME_FAILED = 1
USER_MUST_ACT = 2


@click.command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@output(directory=".")
@configured(*RUN_SETTINGS)
def transcribe(
    config: Config, sources: tuple[str, ...], formats: list[str], output: Path | None
) -> int:
    """Add, run and export in one.

    Text for a video, a channel, a playlist, a podcast feed, a folder or a file. What the
    library holds already is not done again, only written. Default format: txt.
    """
    with interruptible() as stop, open_library(config) as library:
        with open_sources(config, library) as opened:
            listed = add_all(library, opened, sources, stop, everything=True)
            keys = list(dict.fromkeys(item.key for entry in listed for item in entry.items))
            unread = any(entry.error for entry in listed)
            if not keys:
                return USER_MUST_ACT
            writer = Writer(formats or ["txt"], output or Path())
            failed = say_what_was_before(library, keys, writer)
            code = execute(config, library, opened, stop, keys=keys, writer=writer, quiet=True)
        click.echo(
            f"{count(writer.files, 'file')} written to {writer.directory.absolute()}", err=True
        )
    return USER_MUST_ACT if unread else code or (SOME_FAILED if failed else 0)


@click.command()
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many items.")
@output()
@configured(*RUN_SETTINGS)
def run(
    config: Config,
    keys: tuple[str, ...],
    limit: int | None,
    formats: list[str],
    output: Path | None,
) -> int:
    """Download and transcribe what is pending.

    Goes on where an earlier run ended. With -f or -o, each transcript is also written to a file
    as it comes.
    """
    with interruptible() as stop, open_library(config) as library:
        chosen = [library.item(key).item.key for key in keys] or None
        with open_sources(config, library) as opened:
            writer = writer_for(formats, output)
            return execute(config, library, opened, stop, keys=chosen, limit=limit, writer=writer)


@click.command()
@click.option(
    "--all", "everything", is_flag=True, help="Read to the end, past items that are known."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many items.")
@output()
@configured(*RUN_SETTINGS)
def sync(
    config: Config, everything: bool, limit: int | None, formats: list[str], output: Path | None
) -> int:
    """List all sources again, then run. Fit for cron.

    Reading a channel stops at what is known already; --all reads it to its end.
    """
    with (
        interruptible() as stop,
        open_library(config) as library,
        open_sources(config, library) as opened,
    ):
        failed = False
        for entry in list_again(library, opened, stop, everything=everything):
            failed = failed or entry.error is not None
            if entry.new or entry.error:
                say(entry)
        if stop.is_set():
            raise Cancelled
        writer = writer_for(formats, output)
        code = execute(config, library, opened, stop, limit=limit, writer=writer, quiet=True)
    return code or (USER_MUST_ACT if failed else 0)


@click.command()
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option(
    "--all", "permanent", is_flag=True, help="Also what would fail again, as far as is known."
)
@configured()
def retry(config: Config, keys: tuple[str, ...], permanent: bool) -> None:
    """Forget failures, so that the next run tries again.

    Those that wait for their time, or the items named, also such as failed for good.
    """
    with open_library(config, must_exist=True) as library:
        chosen = [library.item(key).item.key for key in keys] or None
        forgotten = library.retry(chosen, permanent=permanent)
        click.echo(f"{count(forgotten, 'item')} will be tried again: homescribe run", err=True)


class Writer:
    """Writes transcripts as files and counts them."""

    def __init__(self, formats: Iterable[str], directory: Path) -> None:
        self.directory = directory
        self.files = 0
        writer.prepare(directory)
        self._exporters = {name: plugins.load("exporters", name) for name in formats}

    def write(self, item: Item, transcript: Transcript) -> None:
        """One file for each format."""
        self.files += len(writer.write(self.directory, item, transcript, self._exporters))

    def write_stored(self, library: Library, keys: Iterable[str]) -> int:
        """Write what the library holds of `keys`; how many items that were."""
        written = 0
        for key in keys:
            if transcript := library.transcript(key):
                self.write(library.item(key).item, transcript)
                written += 1
        return written


def say_what_was_before(library: Library, keys: list[str], writer: Writer) -> int:
    """Write what was transcribed before, say so, and give the number of items that failed before."""
    heard_by = set()
    for key in keys:
        if transcript := library.transcript(key):
            heard_by.add(f"{transcript.engine} {transcript.model}")
    written = writer.write_stored(library, keys)
    if written:
        click.echo(
            f"{count(written, 'item')} transcribed before, by {', '.join(sorted(heard_by))}. "
            "To do one again: homescribe remove KEY",
            err=True,
        )
    failed = [record for record in library.items(state="failed") if record.item.key in set(keys)]
    for record in failed:
        click.echo(
            f"{terminal_safe(record.item.title)} failed before: {terminal_safe(record.error or '')}",
            err=True,
        )
    if failed:
        click.echo("To try again: homescribe retry KEY", err=True)
    return len(failed)


def writer_for(formats: list[str], directory: Path | None) -> Writer | None:
    """A Writer when files were asked for."""
    if not formats and directory is None:
        return None
    return Writer(formats or ["txt"], directory or Path())


def execute(
    config: Config,
    library: Library,
    sources: Sources,
    stop: Event,
    *,
    keys: Collection[str] | None = None,
    limit: int | None = None,
    writer: Writer | None = None,
    quiet: bool = False,
) -> int:
    """Run, show it, and give the exit code. `quiet`: without a word when there is nothing to do."""
    running = build_run(config, library, sources, keys=keys, limit=limit, stop=stop)
    began = time.time()
    failed: set[str] = set()
    if not quiet:
        for site, (until, why) in library.blocked_sites().items():
            click.echo(
                f"{site} is left alone until {moment(until)}: {terminal_safe(why)}", err=True
            )
    display = Display(running)
    try:
        with display.shown():
            for outcome in running:
                display.outcome(outcome)
                if outcome.transcript:
                    failed.discard(outcome.item.key)
                    if writer:
                        writer.write(outcome.item, outcome.transcript)
                elif outcome.error:
                    failed.add(outcome.item.key)
    finally:
        if running.progress.done or running.progress.failed:
            summarise(running, library, time.time() - began)
    if not (running.progress.items or quiet):
        click.echo("Nothing to transcribe.", err=True)
    if stop.is_set():
        raise Cancelled
    return SOME_FAILED if failed else 0


def summarise(running: Run, library: Library, seconds: float) -> None:
    """The last words of a run: what was done, what was not, and when that will be tried again."""
    progress = running.progress
    speed = f", {progress.audio_seconds_done / seconds:.1f}x realtime" if seconds else ""
    click.echo(
        f"{count(progress.done, 'item')} transcribed ({span(progress.audio_seconds_done)} of audio "
        f"in {span(seconds)}{speed}), {progress.failed} failed.",
        err=True,
    )
    waiting = [record.retry_at for record in library.items(state="failed") if record.retry_at]
    if waiting:
        click.echo(
            f"{count(len(waiting), 'item')} will be tried again by a run after {moment(min(waiting))}.",
            err=True,
        )
    if progress.failed:
        click.echo("Why: homescribe list --state failed; what to do: homescribe show KEY", err=True)


COMMANDS = (transcribe, run, sync, retry)
