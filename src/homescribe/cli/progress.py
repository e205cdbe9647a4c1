"""What a run looks like while it runs: a live view on a terminal, a line for each item elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeVar

import click

from homescribe.core import Outcome, Uploads
from homescribe.errors import SourceBlocked
from homescribe.pipeline import Progress, Run
from homescribe.text.display import clock, moment, size, span
from homescribe.text.sanitize import terminal_safe

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live

Value = TypeVar("Value")

LOOK = 0.1  # seconds between two looks at whether the model is loaded


class Display:
    """Prints outcomes as they come, and keeps a view of what is being done below them on a terminal."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._progress = run.progress
        self._console: Console | None = None

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show the live view while the block runs, if standard error is a terminal."""
        if not sys.stderr.isatty():
            yield
            return
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True)
        live = Live(_View(self._run), console=self._console, transient=True, refresh_per_second=4)
        ended = Event()
        starter = Thread(target=self._start_when_loaded, args=(live, ended), daemon=True)
        starter.start()
        try:
            yield
        finally:
            ended.set()
            starter.join()
            live.stop()
            self._console = None

    def _start_when_loaded(self, live: Live, ended: Event) -> None:
        """Leave the terminal to the library that downloads a model, which shows progress of its own."""
        loading = ""
        while not ended.wait(LOOK):
            if self._progress.loading and not loading:
                loading = self._progress.loading
                self._print(f"Loading the model {loading}", "")
            if self._progress.items and not self._progress.loading:
                live.start()
                return

    def outcome(self, outcome: Outcome) -> None:
        """One line for an item that ended."""
        ended = self._progress.done + self._progress.failed
        where = f"[{ended}/{self._progress.items}]"
        title = terminal_safe(outcome.item.title)
        if outcome.transcript:
            speed = outcome.transcript.duration / outcome.seconds if outcome.seconds else 0
            line = f"{where} {title} ({clock(outcome.transcript.duration)}, {speed:.0f}x realtime)"
            self._print(line, "")
        elif isinstance(outcome.error, SourceBlocked):
            if outcome.error.retry_after is not None:  # else it ends the run, and is told then
                until = moment(time.time() + outcome.error.retry_after)
                self._print(
                    f"{where} {terminal_safe(outcome.error.message)} Waiting until {until}.",
                    "yellow",
                )
        elif outcome.error:
            self._print(f"{where} {title}: {terminal_safe(outcome.error.message)}", "red")

    def _print(self, line: str, style: str) -> None:
        if self._console:
            from rich.text import Text

            self._console.print(Text(line, style=style), soft_wrap=True)
        else:
            click.echo(line, err=True)


class _View:
    """The live lines: how far, how fast, how long, and what is being done now."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.progress_bar import ProgressBar
        from rich.segment import Segment
        from rich.text import Text

        progress = self._run.progress
        heard, total = progress.transcribed_seconds(), progress.audio_seconds
        ended = progress.done + progress.failed
        yield ProgressBar(
            total=total or progress.items or 1,
            completed=heard if total else ended,
            width=options.max_width,
        )
        yield Segment.line()
        yield Text(_summary(progress, heard, total, ended), no_wrap=True, overflow="ellipsis")
        for item, seconds in _few(progress.transcribing):
            share = (
                f"{min(100, 100 * seconds / item.duration):.0f} %"
                if item.duration
                else clock(seconds)
            )
            yield Text(
                f"hearing  {share:>5}  {terminal_safe(item.title)}",
                no_wrap=True,
                overflow="ellipsis",
            )
        if progress.uploads and progress.uploads.current:
            yield Text(_upload(progress.uploads), no_wrap=True, overflow="ellipsis")
        for item in _few(progress.downloading):
            yield Text(
                f"fetching        {terminal_safe(item.title)}", no_wrap=True, overflow="ellipsis"
            )
        if self._run.stop.is_set():
            yield Text("Stopping. Press Ctrl-C again to stop at once.", style="bold")
        for site, (until, why) in list(progress.waiting.items()):
            if until > time.time():
                yield Text(
                    f"waiting for {site} until {moment(until)}: {terminal_safe(why)}",
                    style="yellow",
                )


def _upload(uploads: Uploads) -> str:
    """What goes up, how large it is, how long it has taken, and how fast those before it went."""
    rate = f" at {size(uploads.rate)}/s" if uploads.rate else ""
    taken = clock(time.time() - uploads.current_since)
    return f"sending  {taken:>5}  {terminal_safe(uploads.current)} ({size(uploads.current_bytes)}{rate})"


def _few(mapping: Mapping[str, Value], most: int = 4) -> list[Value]:
    return list(mapping.values())[:most]


def _summary(progress: Progress, heard: float, total: float, ended: int) -> str:
    parts = [f"{ended}/{progress.items} items"]
    if total:
        parts.append(f"{span(heard)} of {span(total)}")
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    elapsed = time.time() - progress.began if progress.began else 0.0
    if heard and elapsed > 1:
        speed = heard / elapsed
        parts.append(f"{speed:.1f}x realtime")
        if total > heard:
            parts.append(f"{clock((total - heard) / speed)} left")
    return " · ".join(parts)
