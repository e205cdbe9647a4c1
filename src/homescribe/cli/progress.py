"""Display of a run: a live view on a terminal, and a line for each item that finishes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING, TypeVar

from homescribe.cli.caption_report import progress_in_words
from homescribe.cli.program import message
from homescribe.core import MINUTE, SECOND, Outcome, Transcript, Uploads
from homescribe.errors import SourceBlocked
from homescribe.formats.coverage import NO_SPEECH, languages_in_words
from homescribe.pipeline import Progress, Run
from homescribe.text.display import clock, count, moment, realtime, shortened, size, span
from homescribe.text.sanitize import terminal_message, terminal_safe

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live

Value = TypeVar("Value")

MOST_LINES = 4  # for items of one kind
CHECK_INTERVAL = 0.1  # seconds between two checks whether the model is loaded
AMOUNT_WIDTH = 8  # columns of "50%", "for 0:07" and "at 1:30"
ACTION_WIDTH = 12  # columns of "transcribing", "downloading" and "uploading"
ANNOUNCED = 5 * MINUTE  # of requests for captions, from which on a log says how long they take

BUSY = "another program is writing to the library: waiting to store results"


class Display:
    """Print the outcomes of a run, above a live view of what it is doing if standard error is a terminal.

    Args:
        action: what the engine does, in the live view.
    """

    def __init__(self, run: Run, action: str = "transcribing") -> None:
        self._run = run
        self._action = action
        self._progress = run.progress
        self._console: Console | None = None

    @contextmanager
    def live_view(self) -> Iterator[None]:
        """Show the live view during the block, if standard error is a terminal."""
        ended = Event()
        if not sys.stderr.isatty():
            announcer = Thread(target=self._announce_captions, args=(ended,), daemon=True)
            announcer.start()
            try:
                yield
            finally:
                ended.set()
                announcer.join()
            return
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True)
        live = Live(
            _View(self._run, self._action),
            console=self._console,
            transient=True,
            refresh_per_second=4,
        )
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
        """Start the live view when the model is loaded. Until then a download of the model may be shown.

        Requests for captions, which come before, are shown, too.
        """
        loading = ""
        while not ended.wait(CHECK_INTERVAL):
            if self._progress.loading and not loading:
                loading = self._progress.loading
                self._print(f"Loading the model {loading}", "")
            if requesting_captions(self._progress):
                live.start()
                continue
            live.stop()
            if self._progress.items and not self._progress.loading:
                live.start()
                return

    def _announce_captions(self, ended: Event) -> None:
        """Print how long the requests for captions take, if that is long."""
        while not ended.wait(CHECK_INTERVAL):
            captions = self._progress.captions
            if captions is None or captions.ended:
                return
            if captions.seconds_left >= ANNOUNCED:
                self._print(
                    f"Captions of {count(captions.items, 'item')} are requested first, which takes "
                    f"{span(captions.seconds_left)}.",
                    "",
                )
                return

    def print_outcome(self, outcome: Outcome) -> None:
        """Print a line about an item that finished, or about a site that blocks downloads."""
        finished = self._progress.done + self._progress.failed
        position = f"[{finished}/{self._progress.items}]"
        captions = self._progress.captions
        if captions and outcome.transcript and outcome.transcript.is_captions:
            position = f"[captions {captions.requested}/{captions.items}]"
        title = shortened(terminal_safe(outcome.item.title))
        if outcome.transcript:
            self._print(f"{position} {title}{_result(outcome.transcript, outcome.seconds)}", "")
            for warning in (*outcome.transcript.warnings, *outcome.notes):
                self._print(f"{' ' * len(position)} {terminal_safe(warning)}", "yellow")
        elif isinstance(outcome.error, SourceBlocked):
            if outcome.error.retry_after is not None:  # otherwise the run ends with this error
                until = moment(time.time() + outcome.error.retry_after)
                message = terminal_message(outcome.error.message)
                self._print(
                    f"{position} {message} No request to the site before {until}.", "yellow"
                )
        elif outcome.error:
            self._print(f"{position} {title}: {terminal_message(outcome.error.message)}", "red")

    def _print(self, line: str, style: str) -> None:
        if self._console:
            from rich.text import Text

            self._console.print(Text(line, style=style), soft_wrap=True)
        else:
            message(line)


def _result(transcript: Transcript, seconds: float) -> str:
    """Return what the line of a finished item says after its title. `seconds` is the wall time."""
    speed = transcript.duration / seconds if seconds else 0.0
    made = f"{transcript.model} captions" if transcript.is_captions else realtime(speed)
    facts = [clock(transcript.duration), made]
    if not transcript.segments:
        return f": {NO_SPEECH} ({', '.join(facts)})"
    languages = languages_in_words(transcript)
    if languages != transcript.language:
        facts.append(languages)
    if transcript.speakers:
        facts.append(count(len(transcript.speakers), "speaker"))
    if transcript.skipped_seconds >= SECOND:
        facts.append(f"{transcript.skipped_seconds:,.0f} s without text")
    return f" ({', '.join(facts)})"


class _View:
    """The live view: a progress bar, a summary, and a line per item or site."""

    def __init__(self, run: Run, action: str) -> None:
        self._run = run
        self._action = action
        self._since: dict[str, float] = {}  # when each item was first shown, by the monotonic clock

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.progress_bar import ProgressBar
        from rich.segment import Segment
        from rich.text import Text

        progress = self._run.progress
        if requesting_captions(progress) and progress.captions:
            line = f"captions  {progress_in_words(progress.captions)}"
            yield Text(line, no_wrap=True, overflow="ellipsis")
            return
        transcribed, total = progress.transcribed_seconds(), progress.audio_seconds
        finished = progress.done + progress.failed
        yield ProgressBar(
            total=None if is_unknown(progress) else total or progress.items or 1,
            completed=transcribed if total else finished,
            width=options.max_width,
        )
        yield Segment.line()
        for line in _lines(progress, self._since, self._action):
            yield Text(line, no_wrap=True, overflow="ellipsis")
        if self._run.stop.is_set():
            yield Text("Stopping. Press Ctrl-C again to stop at once.", style="bold")
        if progress.library_busy:
            yield Text(BUSY, style="yellow")
        for site, (until, reason) in progress.waiting.items():
            if until > time.time():
                line = f"waiting for {site} until {moment(until)}: {terminal_message(reason)}"
                yield Text(line, style="yellow")


def requesting_captions(progress: Progress) -> bool:
    """Whether captions are being requested, before anything is downloaded."""
    return bool(progress.captions and progress.captions.items and not progress.captions.ended)


def is_unknown(progress: Progress) -> bool:
    """Whether work is going on of which no share is known: the bar then moves instead of standing at 0 %.

    The windows of a short recording are decoded in one batch, and a recording may have no known duration.
    """
    finished = progress.done + progress.failed
    known = progress.transcribed_seconds() if progress.audio_seconds else finished
    return bool(progress.transcribing) and not known


def _lines(
    progress: Progress, since: dict[str, float], action: str = "transcribing"
) -> Iterator[str]:
    """Return the summary and what is being done, a line each.

    An item shows for how long it is being transcribed until its first windows are done: they are decoded in
    one batch, so a share of 0 % would stand still, for short recordings until the end. Where its duration is
    unknown, it then shows the time in the recording.
    """
    yield _summary(progress)
    for item, seconds in _first(progress.transcribing):
        now = time.monotonic()
        elapsed = now - since.setdefault(item.key, now)
        share = f"at {clock(seconds)}" if seconds else f"for {clock(elapsed)}"
        if item.duration and seconds:
            share = f"{min(1.0, seconds / item.duration):.0%}"
        yield _line(action, share, item.title)
    if progress.uploads and progress.uploads.current:
        yield _upload(progress.uploads)
    for item in _first(progress.downloading):
        yield _line("downloading", "", item.title)


def _line(action: str, amount: str, title: str) -> str:
    return f"{action:<{ACTION_WIDTH}}  {amount:>{AMOUNT_WIDTH}}  {terminal_safe(title)}"


def _upload(uploads: Uploads) -> str:
    """Return the line of the current upload: its time so far, its size, and the rate of earlier uploads."""
    rate = f" at {size(uploads.rate)}/s" if uploads.rate else ""
    elapsed = clock(time.monotonic() - uploads.current_since)
    return _line("uploading", elapsed, f"{uploads.current} ({size(uploads.current_bytes)}{rate})")


def _first(mapping: Mapping[str, Value]) -> list[Value]:
    return list(mapping.values())[:MOST_LINES]


def _summary(progress: Progress) -> str:
    """Return the counts, the speed and the remaining time, as far as known."""
    transcribed, total = progress.transcribed_seconds(), progress.audio_seconds
    parts = [f"{progress.done + progress.failed}/{progress.items} items"]
    if total:
        parts.append(f"{span(transcribed)} of {span(total)}")
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    elapsed = time.monotonic() - progress.began if progress.began else 0.0
    if transcribed and elapsed > 1:
        speed = transcribed / elapsed
        parts.append(realtime(speed))
        if total > transcribed:
            parts.append(f"{clock((total - transcribed) / speed)} left")
    return " · ".join(parts)
