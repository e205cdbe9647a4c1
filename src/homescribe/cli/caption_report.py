"""What commands say about captions: how many are searchable, and what the requests for them found."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from homescribe.cli.program import message
from homescribe.library import CaptionFigures
from homescribe.pipeline.state import CaptionProgress
from homescribe.text.display import count, span
from homescribe.text.sanitize import terminal_message


def captions_in_words(figures: CaptionFigures) -> str:
    """Return "430 items searchable, 212 by captions, 212 to upgrade"."""
    parts = [f"{count(figures.searchable, 'item')} searchable", f"{figures.found:,} by captions"]
    if figures.to_upgrade:
        parts.append(f"{figures.to_upgrade:,} to upgrade")
    return ", ".join(parts)


def progress_in_words(progress: CaptionProgress) -> str:
    """Return "120/430 · 118 found · 26 min left" for the live view."""
    parts = [f"{progress.requested}/{progress.items}", f"{progress.found} found"]
    if progress.seconds_left:
        parts.append(f"{span(progress.seconds_left)} left")
    return " · ".join(parts)


@contextmanager
def live_captions(progress: CaptionProgress) -> Iterator[None]:
    """Show the progress of the requests during the block, if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    def view() -> Text:
        return Text(f"captions  {progress_in_words(progress)}", no_wrap=True, overflow="ellipsis")

    with Live(
        get_renderable=view, console=Console(stderr=True), transient=True, refresh_per_second=4
    ):
        yield


def report_captions(progress: CaptionProgress, *, quiet: bool = False) -> None:
    """Print what the requests for captions found, and which sites refuse more of them.

    Args:
        quiet: print nothing about requests that found nothing.
    """
    if progress.found or (progress.requested and not quiet):
        found = f"Captions found for {progress.found:,} of {count(progress.requested, 'item')}"
        kinds = [
            f"{number:,} {kind}"
            for kind, number in (("manual", progress.manual), ("automatic", progress.automatic))
            if number
        ]
        message(f"{found}: {', '.join(kinds)}." if kinds else f"{found}.")
        replaced = progress.found - progress.kept
        if replaced:
            message(f"{replaced:,} of them can be searched, and are transcribed later.")
        if progress.kept:
            message(
                f"{progress.kept:,} of them stay. To transcribe one: homescribe run --again KEY. "
                "To transcribe all: --captions upgrade"
            )
        if progress.failed:
            message(
                f"{count(progress.failed, 'request')} for captions failed. Later runs repeat them."
            )
    for key, reason in progress.blocked.items():
        message(f"No more requests for {key} in this run: {terminal_message(reason)}")
