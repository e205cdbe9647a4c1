"""Transcribe a channel at Modal and write a report to publish.

    python -m benchmarks.live URL --limit 430 --max-cost 5
    python -m benchmarks.live --bill homescribe-live/report-20261125-2130.json

For a person with a Modal account (`modal setup`), on the connection that downloads should come from. It does
what `homescribe add` and `homescribe run --backend modal` do, with a library of its own, and can be
interrupted: run again to go on. `--limit` and `--max-cost` hold for all runs with that library together. Each
run writes a report, as Markdown and as JSON, of what it did itself: what it collected of an earlier run is
counted by the run that collected it.

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
from benchmarks.private_names import private_names
from benchmarks.wall_time import WallTime
from homescribe import __version__
from homescribe import config as settings
from homescribe.assemble import build_modal_backend, build_run, open_library, open_sources
from homescribe.backends.modal.call_metadata import read_metadata
from homescribe.config import Config
from homescribe.core import Call, Item
from homescribe.cost.plan import make_plan
from homescribe.cost.prices import DEFAULT_ENGINE, DEFAULT_GPU, DEFAULT_MODEL, machine
from homescribe.errors import HomescribeError, SetupError, UserError
from homescribe.library import Library, Spending
from homescribe.pipeline import Sources, add

PACKAGES = ("modal", "yt-dlp", "av", "faster-whisper", "openai-whisper")
APP = "homescribe"  # how the names of its apps begin
SHOWN = ("engine", "model", "gpu", "containers", "when", "upload", "sleep_interval", "beam_size")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, or add the bill to a report. Return the exit code."""
    options = _parser().parse_args(arguments)
    if options.bill is None and options.url is None:
        _parser().error("give the address of a channel, a playlist or a feed")
    try:
        return add_bill(options.bill) if options.bill is not None else _run(options)
    except HomescribeError as error:
        print(f"{error.message}\n{error.hint}".strip(), file=sys.stderr)
    except OSError as error:  # the report cannot be written
        print(error, file=sys.stderr)
    return 1


def _run(options: argparse.Namespace) -> int:
    """Transcribe, write the report and print it. Return the exit code."""
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
    report = transcribe(config, options.url, options.limit, stop)
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
    return 0 if (report.done or not report.items) and not report.ended_by else 1


def transcribe(config: Config, url: str, limit: int, stop: Event) -> LiveReport:
    """List `url`, transcribe up to `limit` of its items, and return the report.

    Items that earlier runs with this library have started count in `limit`, and what they spent counts in
    the cap. Raises UserError when nothing could be listed.
    """
    started, began = datetime.now(UTC), time.monotonic()
    with open_library(config) as library, open_sources(config, library) as sources:
        keys = [
            item.key
            for result in add(library, sources, url, stop, everything=True)
            for item in result.items
        ]
        listing_seconds = time.monotonic() - began
        due, stored = _work(library, keys, limit)
        items = len(due) + len(stored)
        planned = _planned_dollars(config, library, sources, [*due, *(c.item for c in stored)])
        print(f"{items} items; the plan is ${planned:.2f}.", file=sys.stderr)
        private = private_names(library, url)
        before, ended_by = library.spending(), ""
        in_flight = sum(read_metadata(call).get("expected", 0.0) for call in stored)
        run = build_run(
            _with_rest_of_cap(config, before.dollars + in_flight),
            library,
            sources,
            keys={*(item.key for item in due), *(call.item.key for call in stored)},
            stop=stop,
        )
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
                        failures[outcome.item.key] = private.without(outcome.error.message)
                    print(f"[{done + len(failures)}/{items}]", file=sys.stderr)
            except HomescribeError as error:
                ended_by = private.without(f"{error.message} {error.hint}".strip())
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
        earlier=before.dollars,
        billed_hours_end=f"{_next_hour(datetime.now(UTC)):%Y-%m-%dT%H:%MZ}",
    )
    return LiveReport(
        versions=_versions(),
        settings={name: private.without(str(getattr(config, name))) for name in SHOWN},
        started=f"{started:%Y-%m-%dT%H:%M:%SZ}",
        ended_by=ended_by,
        items=items,
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
    """Add to a report what Modal billed for its hours; return 1 while they are not over.

    Raises HomescribeError when the file is no report, or Modal does not say what it billed.
    """
    try:
        report = LiveReport.read(path)
        start = datetime.fromisoformat(report.started).astimezone(UTC)
        end = datetime.fromisoformat(report.money.billed_hours_end).astimezone(UTC)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"{path} is not a report of this command.", "Its name is report-....json."
        ) from error
    if datetime.now(UTC) < end:
        print(f"Modal's bill is complete after {report.money.billed_hours_end}.", file=sys.stderr)
        return 1
    try:
        billed = billed_dollars(start, end)
    except ImportError as error:
        raise SetupError(
            "The package 'modal' is not installed.", "pip install 'homescribe[modal]'"
        ) from error
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


def _work(library: Library, keys: Sequence[str], limit: int) -> tuple[list[Item], list[Call]]:
    """Return the items to transcribe and the calls to collect of those with `keys`.

    Runs with this library start `limit` items together. An item that failed, and may be tried again now, has
    been started.
    """
    wanted = set(keys)
    started = {
        record.item.key
        for record in library.items()
        if record.item.key in wanted and (record.state != "pending" or record.attempts)
    }
    pending = library.pending(keys=keys)
    again = [item for item in pending if item.key in started]
    first = [item for item in pending if item.key not in started]
    stored = [call for call in library.calls("modal") if call.item.key in wanted]
    return again + first[: max(0, limit - len(started))], stored


def _with_rest_of_cap(config: Config, spent: float) -> Config:
    """Return the settings with what is left of `max_cost` as the cap."""
    if config.max_cost is None:
        return config
    return replace(config, max_cost=max(0.0, config.max_cost - spent))


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
    parser.add_argument(
        "--limit", type=int, default=430, help="most items, of all runs (default: 430)"
    )
    parser.add_argument(
        "--max-cost", type=float, default=5.0, help="most dollars, of all runs (default: 5)"
    )
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
