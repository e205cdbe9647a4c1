"""The command `captions`."""

from __future__ import annotations

from pathlib import Path

import click

from homescribe.assemble import build_caption_run, open_library, open_sources
from homescribe.cli.actions import add_sources
from homescribe.cli.caption_report import captions_in_words, live_captions, report_captions
from homescribe.cli.interrupt import interruptible
from homescribe.cli.options import REQUEST_SETTINGS, command, configured
from homescribe.cli.program import message
from homescribe.config import Config
from homescribe.errors import Cancelled, UserError
from homescribe.exit_codes import ExitCode
from homescribe.pipeline import Sources


@command()
@click.argument("names", metavar="[KEY|SOURCE]...", nargs=-1)
@configured(*REQUEST_SETTINGS, "sleep_interval", "captions")
def captions(config: Config, names: tuple[str, ...]) -> ExitCode:
    """Request captions, to search recordings at once.

    No recording is downloaded. Without arguments, captions of all pending items are requested; else of those
    with a KEY or of a SOURCE, which is added if the library does not have it. Those with a KEY are requested
    even if they had none lately. `run` and `sync` do the same before they download. There is a pause of six
    seconds or more between two requests to YouTube; Ctrl-C ends them, and the next time continues there.
    """
    if config.captions == "ignore":
        raise UserError(
            "Nothing was requested: the setting captions is ignore.",
            "Request captions: homescribe captions --captions auto",
        )
    with (
        interruptible() as stop,
        open_library(config) as library,
        open_sources(config, library) as sources,
    ):
        keys: dict[str, None] = {}
        named: list[str] = []  # by KEY
        unreadable = False
        for name in names:
            url = library.source_url(name)
            if url is not None:
                keys |= dict.fromkeys(library.known_keys(url))
                continue
            try:
                named.append(library.item(name).item.key)
                continue
            except UserError:
                if not _may_be_source(sources, name):
                    raise
            for result in add_sources(library, sources, [name], stop, everything=True):
                unreadable = unreadable or result.error is not None
                keys |= dict.fromkeys(item.key for item in result.items)
        if named:
            library.request_captions_again(named)
            keys |= dict.fromkeys(named)
        run = build_caption_run(
            config, library, sources, keys=keys.keys() if names else None, stop=stop
        )
        try:
            with library.run_lock(), live_captions(run.progress):
                for _ in run:
                    pass
        finally:
            report_captions(run.progress)
        if stop.is_set():
            raise Cancelled
        if not run.progress.items and not run.progress.blocked:
            message("There are no captions to request.")
        message(f"{captions_in_words(library.caption_figures())}.")
    if unreadable:
        return ExitCode.USER_ERROR
    failed = run.progress.failed or run.progress.blocked
    return ExitCode.SOME_FAILED if failed else ExitCode.OK


def _may_be_source(sources: Sources, name: str) -> bool:
    """Whether `name`, which the library does not know, is an address, or a path that exists."""
    if "://" in name or Path(name).expanduser().exists():
        return True
    try:
        sources.for_url(name)
    except UserError:
        return False
    return True


COMMANDS = (captions,)
