"""Transcribe a channel at Modal and write a report to publish.

    python -m benchmarks.live URL --limit 430 --max-cost 5
    python -m benchmarks.live --bill homescribe-live/report-20261125-2130.json

For a person with a Modal account (`modal setup`), on the connection that downloads should come from. It does
what `homescribe add` and `homescribe run --backend modal` do, with a library of its own, and can be
interrupted: run again to go on. Each run writes a report, as Markdown and as JSON, of what it did itself.

Modal bills by the hour. Until the last hour of a run has ended, its report has no bill: the second command
adds it.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import platform
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from threading import Event

from benchmarks.live_report import LiveReport, Money
from benchmarks.wall_time import WallTime
from homescribe import __version__
from homescribe import config as settings
from homescribe.assemble import build_modal_backend, build_run, open_library, open_sources
from homescribe.config import Config
from homescribe.core import Item
from homescribe.cost.plan import make_plan
from homescribe.cost.prices import DEFAULT_ENGINE, DEFAULT_GPU, DEFAULT_MODEL, machine
from homescribe.errors import HomescribeError, UserError
from homescribe.library import Library, Spending
from homescribe.pipeline import Sources, add
from homescribe.text.redaction import shown_text

PACKAGES = ("modal", "yt-dlp", "av", "faster-whisper", "openai-whisper")
APP = "homescribe"  # how the names of its apps begin
SHOWN = ("engine", "model", "gpu", "containers", "when", "upload", "sleep_interval", "beam_size")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, or add the bill to a report. Return the exit code."""
    options = _parser().parse_args(arguments)
    if options.bill is not None:
        return add_bill(options.bill)
    if options.url is None:
        _parser().error("give the address of a channel, a playlist or a feed")
    flags = {
        "library": options.library,
        "backend": "modal",
        **{name: getattr(options, name) for name in ("engine", "model", "gpu", "upload", "when")},
        **{name: getattr(options, name) for name in ("max_cost", "containers", "sleep_interval")},
    }
    config = settings.load(flags)[0]
    config = replace(
        config,
        engine=config.engine or DEFAULT_ENGINE,
        model=config.model or DEFAULT_MODEL,
        gpu=config.gpu or DEFAULT_GPU,
    )
    stop = Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        report = transcribe(config, options.url, options.limit, stop)
    except UserError as error:
        print(f"{error.message}\n{error.hint}", file=sys.stderr)
        return 1
    place = config.library / f"report-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    _write(report, place)
    print(report.markdown())
    print(f"The report: {place.with_suffix('.md')}", file=sys.stderr)
    if report.money.billed is None:
        print(
            f"Modal's bill is complete after {report.money.billed_hours_end}. To add it, run then: "
            f"python -m benchmarks.live --bill {place}",
            file=sys.stderr,
        )
    return 0 if report.done and not report.ended_by else 1


def transcribe(config: Config, url: str, limit: int, stop: Event) -> LiveReport:
    """List `url`, transcribe up to `limit` of its items, and return the report.

    Raises UserError when nothing could be listed.
    """
    started, began = datetime.now(UTC), time.monotonic()
    with open_library(config) as library, open_sources(config, library) as sources:
        keys = [
            item.key
            for result in add(library, sources, url, stop, everything=True)
            for item in result.items
        ]
        listing_seconds = time.monotonic() - began
        due = library.pending(keys=keys)[:limit]
        planned = _planned_dollars(config, library, sources, due)
        print(f"{len(due)} items; the plan is ${planned:.2f}.", file=sys.stderr)
        before, ended_by = library.spending(), ""
        run = build_run(config, library, sources, keys=keys, limit=limit, stop=stop)
        done, audio_seconds = 0, 0.0
        failures: dict[str, str] = {}  # reason of the latest failure of each item
        with WallTime(run.progress) as wall:
            try:
                for outcome in run:
                    if outcome.transcript is not None:
                        done += 1
                        audio_seconds += outcome.transcript.duration
                        failures.pop(outcome.item.key, None)
                    elif outcome.error is not None:
                        failures[outcome.item.key] = _reason(outcome.error, outcome.item)
                    print(f"[{done + len(failures)}/{len(due)}]", file=sys.stderr)
            except HomescribeError as error:
                ended_by = shown_text(f"{error.message} {error.hint}".strip())
        if stop.is_set():
            ended_by = ended_by or "Interrupted."
        spent = _difference(library.spending(), before)
        uploads = run.progress.uploads
    money = Money(
        planned=planned,
        expected=spent.expected_dollars,
        metered=spent.dollars,
        unmetered=spent.unmetered_dollars,
        cap=config.max_cost,
        billed_hours_end=f"{_next_hour(datetime.now(UTC)):%Y-%m-%dT%H:%MZ}",
    )
    return LiveReport(
        versions=_versions(),
        settings={name: str(getattr(config, name)) for name in SHOWN},
        started=f"{started:%Y-%m-%dT%H:%M:%SZ}",
        ended_by=ended_by,
        items=len(due),
        done=done,
        failures=dict(Counter(failures.values()).most_common()),
        audio_seconds=audio_seconds,
        wall_seconds=time.monotonic() - began,
        listing_seconds=listing_seconds,
        wall_parts=wall.parts(),
        gpu_seconds=spent.gpu_seconds,
        overhead_seconds=spent.overhead_seconds,
        boots=spent.boots,
        uploaded_bytes=uploads.bytes if uploads else 0,
        uploading_seconds=uploads.seconds if uploads else 0.0,
        money=money,
    )


def add_bill(path: Path) -> int:
    """Add to a report what Modal billed for its hours; return 1 while they are not over."""
    report = LiveReport.read(path)
    end = datetime.fromisoformat(report.money.billed_hours_end)
    if datetime.now(UTC) < end:
        print(f"Modal's bill is complete after {report.money.billed_hours_end}.", file=sys.stderr)
        return 1
    billed = billed_dollars(datetime.fromisoformat(report.started), end)
    report = replace(report, money=replace(report.money, billed=billed))
    _write(report, path)
    print(report.markdown())
    return 0


def billed_dollars(start: datetime, end: datetime) -> float:
    """Return what Modal billed for homescribe's apps in the hours of a run. Other runs then count, too."""
    import modal

    from homescribe.backends.modal.modal_errors import account_errors

    with account_errors():
        rows = modal.Workspace.from_context().billing.report(
            start=start.replace(minute=0, second=0, microsecond=0), end=end, resolution="h"
        )
    return float(sum(row.cost for row in rows if row.description.startswith(APP)))


def _planned_dollars(
    config: Config, library: Library, sources: Sources, items: Sequence[Item]
) -> float:
    """Return the price that `homescribe plan` prints for the GPU of `config`."""

    def pause(item: Item) -> float:
        if config.sleep_interval is not None:
            return config.sleep_interval
        return sum(sources.for_item(item).pause) / 2

    planned = make_plan(
        library,
        items,
        engine=config.engine or DEFAULT_ENGINE,
        model=config.model or DEFAULT_MODEL,
        pause=pause,
        rate=build_modal_backend(config, library).rate,
        prices="",
        machines=[machine(config.gpu or DEFAULT_GPU)],
        containers=config.containers,
        upload=config.upload,
    )
    row = next(row for row in planned.rows if row.backend == "modal")
    return row.dollars_streamed if config.when == "stream" else row.dollars


def _reason(error: HomescribeError, item: Item) -> str:
    """Return why an item failed, without its title and address."""
    text = shown_text(error.message)
    for private in (item.title, item.url, item.id):
        text = text.replace(private, "...") if len(private) > 3 else text
    return text


def _difference(after: Spending, before: Spending) -> Spending:
    """Return what was spent between two moments."""
    names = [field.name for field in dataclasses.fields(Spending)]
    return Spending(*(getattr(after, name) - getattr(before, name) for name in names))


def _versions() -> dict[str, str]:
    found = {"homescribe": __version__, "Python": platform.python_version()}
    found["system"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _next_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


def _write(report: LiveReport, path: Path) -> None:
    report.write(path)
    path.with_suffix(".md").write_text(report.markdown(), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", nargs="?", help="a channel, a playlist, a feed or a folder")
    parser.add_argument("--limit", type=int, default=430, help="most items (default: 430)")
    parser.add_argument("--max-cost", type=float, default=5.0, help="most dollars (default: 5)")
    parser.add_argument("--library", type=Path, default=Path("homescribe-live"))
    parser.add_argument("--engine", help="as in homescribe run, like all that follow")
    parser.add_argument("--model")
    parser.add_argument("--gpu")
    parser.add_argument("--containers", type=int)
    parser.add_argument("--when", choices=["burst", "stream"])
    parser.add_argument("--upload", choices=["original", "speech"])
    parser.add_argument("--sleep-interval", type=float)
    parser.add_argument("--bill", type=Path, metavar="REPORT", help="add Modal's bill to a report")
    return parser


if __name__ == "__main__":
    sys.exit(main())
