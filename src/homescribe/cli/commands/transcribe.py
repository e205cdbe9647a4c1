"""Commands that transcribe: transcribe, run, sync, retry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from homescribe.assemble import check_options, open_library, open_sources
from homescribe.cli.actions import add_sources, run_and_report
from homescribe.cli.export_writer import ExportWriter, Target, optional_writer
from homescribe.cli.interrupt import interruptible
from homescribe.cli.options import (
    RUN_SETTINGS,
    command,
    configured,
    export_options,
    origins,
    selection_options,
)
from homescribe.cli.program import message
from homescribe.cli.summary import report_earlier_results
from homescribe.cli.sync_loop import EVERY, MIN_EVERY, POLL, Sync, Watcher
from homescribe.config import Config
from homescribe.errors import UserError
from homescribe.exit_codes import ExitCode
from homescribe.text.display import count
from homescribe.text.durations import in_seconds

# This command is for transcripts of an engine.
TRANSCRIBE_SETTINGS = tuple(name for name in RUN_SETTINGS if name != "captions")

limit_option = click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Transcribe at most N items, and request captions of as many.",
)
again_option = click.option(
    "--again",
    is_flag=True,
    help="Transcribe again what is already transcribed or failed. Corrections are carried over.",
)


def watch_options(function: Callable[..., object]) -> Callable[..., object]:
    """Add --watch, --every and --poll."""
    for option in (
        click.option(
            "--poll",
            type=click.FloatRange(min=1),
            metavar="SECONDS",
            help="With --watch, how often folders are looked at; more for slow network drives. "
            f"Default: {POLL:.0f}.",
        ),
        click.option(
            "--every",
            metavar="TIME",
            help=f"With --watch, how often all sources are listed: 30min, 6h, 1d. Default: {EVERY}.",
        ),
        click.option(
            "--watch",
            is_flag=True,
            help="Go on, and transcribe new files of folders as soon as they are complete.",
        ),
    ):
        function = option(function)
    return function


def check_watch_options(watch: bool, every: str | None, poll: float | None) -> None:
    """Raise UserError for options that are not valid, or have no effect."""
    if not watch and (every or poll):
        raise UserError("--every and --poll need --watch.", "Add it, or leave them out.")
    if every:
        in_seconds(every, MIN_EVERY)


@command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@again_option
@selection_options
@export_options(directory="the current one")
@configured(*TRANSCRIBE_SETTINGS)
def transcribe(
    config: Config,
    sources: tuple[str, ...],
    again: bool,
    since: str | None,
    latest: int | None,
    formats: list[str],
    target: Target,
) -> ExitCode:
    """Add sources, transcribe them, and write transcripts as files.

    SOURCE is the address of a video, channel, playlist, podcast feed or show's web page, or a
    folder, a file, a pattern such as 'talks/*.mp3', OPML or a playlist. Items that are already transcribed
    are only written, unless --again is given. The default format is txt.
    """
    check_options(config)
    writer = ExportWriter(formats or ["txt"], target, config.subtitles(), default=Path())
    with interruptible() as stop, open_library(config) as library:
        with open_sources(config, library) as opened:
            results = add_sources(
                library, opened, sources, stop, everything=True, since=since, latest=latest
            )
            keys = list(dict.fromkeys(item.key for result in results for item in result.items))
            if not keys:
                failed = any(result.error for result in results)
                return ExitCode.USER_ERROR if failed else ExitCode.OK
            earlier = 0
            if not again:
                library.apply_caption_policy(config.captions)
                done = {record.item.key for record in library.items(state="done")}
                writer.write_stored(library, [key for key in keys if key in done])
                earlier = report_earlier_results(library, keys, config, origins())
            code = run_and_report(
                config,
                library,
                opened,
                stop,
                keys=keys,
                again=keys if again else (),
                writer=writer,
                formats=formats,
                captions=False,
                quiet=True,
            )
        writer.report()
    if any(result.error for result in results):
        return ExitCode.USER_ERROR
    return code or (ExitCode.SOME_FAILED if earlier else ExitCode.OK)


@command()
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@limit_option
@again_option
@export_options()
@configured(*RUN_SETTINGS)
def run(
    config: Config,
    keys: tuple[str, ...],
    again: bool,
    limit: int | None,
    formats: list[str],
    target: Target,
) -> ExitCode:
    """Download and transcribe pending items.

    Transcribes all, or only those with a given KEY, and continues where an earlier run ended. With
    -f or -o, each transcript is also written as a file when it is finished. --again needs KEY.
    First, publishers' captions make all of them searchable: see --captions.
    """
    check_options(config)
    if again and not keys:
        raise UserError(
            "Nothing was transcribed: --again needs the keys of items.",
            "Name them: homescribe run --again KEY. To list them: homescribe list",
        )
    writer = optional_writer(formats, target, config.subtitles())
    with interruptible() as stop, open_library(config) as library:
        chosen = list(dict.fromkeys(library.item(key).item.key for key in keys)) or None
        if chosen and not again:
            report_earlier_results(library, chosen, config, origins())
        with open_sources(config, library) as sources:
            return run_and_report(
                config,
                library,
                sources,
                stop,
                keys=chosen,
                again=(chosen or ()) if again else (),
                limit=limit,
                writer=writer,
                formats=formats,
            )


@command()
@click.option(
    "--all", "everything", is_flag=True, help="Read listings to their end, even past known items."
)
@watch_options
@limit_option
@export_options()
@configured(*RUN_SETTINGS)
def sync(
    config: Config,
    everything: bool,
    watch: bool,
    every: str | None,
    poll: float | None,
    limit: int | None,
    formats: list[str],
    target: Target,
) -> ExitCode:
    """List all sources again, then transcribe pending items.

    Captions are requested in between, as by `run`. Prints nothing if nothing is new, so it suits cron.
    If another run is working on the library, sources are listed, nothing is transcribed, and the
    exit code is 5; then only a terminal shows messages, except about a source that cannot be listed
    (exit code 2). Reading a channel stops at known items unless --all is given.

    With --watch it goes on until Ctrl-C. A file is transcribed when it has not changed for half a
    minute. What arrives during a run is transcribed by the next one, which follows at once.
    """
    check_options(config)
    check_watch_options(watch, every, poll)
    sync = Sync(
        config, everything, limit, optional_writer(formats, target, config.subtitles()), formats
    )
    with interruptible() as stop, open_library(config) as library:
        if watch:
            interval = in_seconds(every or EVERY, MIN_EVERY)
            Watcher(sync, library, stop, interval, poll or POLL).watch()
        return sync.once(library, stop)


@command()
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--all", "permanent", is_flag=True, help="Also forget permanent failures.")
@configured()
def retry(config: Config, keys: tuple[str, ...], permanent: bool) -> None:
    """Forget failures, so that the next run tries again.

    Without KEY: all failures that are not permanent. With KEY: any failure of these items.
    """
    with open_library(config, must_exist=True) as library:
        chosen = [library.item(key).item.key for key in keys] or None
        forgotten = library.retry(chosen, permanent=permanent)
        left = [record for record in library.items(state="failed") if record.permanent]
    if forgotten:
        message(f"{count(forgotten, 'item')} pending again. Transcribe: homescribe run")
    else:
        message("No failures to retry.")
    if left and chosen is None:
        message(
            f"{count(len(left), 'permanent failure')} not retried. "
            "To retry them too: homescribe retry --all, or homescribe retry KEY"
        )


COMMANDS = (transcribe, run, sync, retry)
