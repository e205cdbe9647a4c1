"""Commands for rented machines: plan, and modal with deploy, status and stop."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

import click

from homescribe.assemble import (
    build_modal_backend,
    build_ray_backend,
    compares_voices,
    endpoint_options,
    engine_and_model,
    open_library,
    open_sources,
    times_sent,
)
from homescribe.cli.options import Group, command, configured
from homescribe.cli.output import print_table
from homescribe.cli.program import message
from homescribe.config import Config
from homescribe.core import HOUR, Item
from homescribe.cost.endpoint_plan import endpoint_row
from homescribe.cost.own_machines import cluster_rows
from homescribe.cost.plan import Plan, Rate, Row, make_plan, newest_gpu
from homescribe.cost.prices import (
    DEFAULT_ENGINE,
    DEFAULT_MODEL,
    MACHINES,
    PRICES_DATE,
    PRICES_FROM,
    Machine,
    machine,
    published_rate,
)
from homescribe.cost.speeds import FIRST_PLAN_FACTOR
from homescribe.library import Library, Spending
from homescribe.pipeline import Sources
from homescribe.pipeline.caption_run import number_of_requests
from homescribe.text.display import count, realtime, size, span

PUBLISHED = f"{PRICES_FROM} as of {PRICES_DATE}"


@command()
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option(
    "--deadline",
    type=float,
    metavar="HOURS",
    help="Hours until everything must be done.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@configured(
    *("backend", "engine", "model", "speakers", "gpu", "upload", "containers", "workers"),
    *("base_url", "price_per_minute", "least_seconds", "request_seconds", "request_slots"),
    *("allow_http", "sleep_interval", "captions"),
)
def plan(config: Config, keys: tuple[str, ...], deadline: float | None, as_json: bool) -> None:
    """Estimate time, bytes and price of all pending items.

    Items whose captions are kept are not pending: see --captions.
    Nothing is downloaded. Prices are the published ones; with --backend modal, your account's own
    if Modal reports them. With --backend ray, also the cluster, at the speed of this library's calls. With
    --backend openai, also the endpoint, at --price-per-minute.
    """
    machines = [machine(config.gpu)] if config.gpu else list(MACHINES.values())
    if compares_voices(config.transcription()):
        machines = [rented.with_speakers for rented in machines]
    with open_library(config) as library, open_sources(config, library) as sources:

        def pause(item: Item) -> float:
            if config.sleep_interval is not None:
                return config.sleep_interval
            return sum(sources.for_item(item).pause) / 2

        library.apply_caption_policy(config.captions)
        rates, prices = _rates(config, library, machines)
        engine, model = config.engine or DEFAULT_ENGINE, config.model or DEFAULT_MODEL
        limit = deadline * HOUR if deadline else None
        items = library.pending(keys=[library.item(key).item.key for key in keys] or None)
        planned = make_plan(
            library,
            items,
            engine=engine,
            model=model,
            pause=pause,
            rate=rates,
            prices=prices,
            machines=machines,
            containers=config.containers,
            newest_gpu=newest_gpu(engine),
            upload=config.upload,
            deadline=limit,
        )
        if config.backend == "ray":
            planned = _with_cluster(config, library, planned, limit)
        if config.backend == "openai":
            planned = _with_endpoint(config, library, items, planned, limit)
        planned = dataclasses.replace(
            planned, captions_to_request=_captions_to_request(config, library, sources, items)
        )
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(planned), indent=2))
    elif planned.items:
        _show(planned)
    else:
        message("No items are pending. To add some: homescribe add URL")


def _rates(config: Config, library: Library, machines: Sequence[Machine]) -> tuple[Rate, str]:
    """Return the function that gives a machine's dollars per second, and the source of the prices."""
    if config.backend != "modal":
        return published_rate, PUBLISHED
    backend = build_modal_backend(config, library)
    missing = [rented.gpu for rented in machines if not backend.has_account_rate(rented)]
    if len(missing) == len(machines):
        return backend.rate, PUBLISHED
    source = "the account's own rates"
    return backend.rate, source + (f"; of {', '.join(missing)}: {PUBLISHED}" if missing else "")


def _with_cluster(config: Config, library: Library, planned: Plan, deadline: float | None) -> Plan:
    """Return the plan with rows for the Ray cluster, if its speed was measured."""
    backend = build_ray_backend(config)
    rows = cluster_rows(
        library,
        planned,
        backend.machines,
        engine=config.engine or backend.default_engine,
        model=config.model or backend.default_model,
        workers=config.workers,
        deadline=deadline,
    )
    if not rows:
        message("The cluster's speed is known after three recordings.")
    return dataclasses.replace(planned, rows=(planned.rows[0], *rows, *planned.rows[1:]))


def _with_endpoint(
    config: Config,
    library: Library,
    items: Sequence[Item],
    planned: Plan,
    deadline: float | None,
) -> Plan:
    """Return the plan with a row for the endpoint."""
    options = endpoint_options(config)
    engine, model = engine_and_model(config)
    row = endpoint_row(
        library,
        items,
        planned,
        host=options.host,
        engine=engine,
        model=model,
        price=None if options.price_per_minute is None else options.price,
        slots=options.slots,
        times=times_sent(config),
        deadline=deadline,
    )
    return dataclasses.replace(planned, rows=(planned.rows[0], row, *planned.rows[1:]))


def _captions_to_request(
    config: Config, library: Library, sources: Sources, items: Sequence[Item]
) -> int:
    """Return for how many of `items` captions are requested first, which may then be kept."""
    if config.captions not in ("auto", "use"):
        return 0
    return number_of_requests(library, sources, [item.key for item in items])


def _show(planned: Plan) -> None:
    """Print the plan as a table."""
    unknown = planned.items_of_unknown_length
    click.echo(
        f"{count(planned.items, 'item')}, {span(planned.audio_seconds)} of audio"
        + (f" ({unknown} of unknown duration, counted as half an hour each)" if unknown else "")
        + f". Download: {size(planned.bytes_down)} in {span(planned.download_seconds)}. "
        f"Upload to a rented GPU: {size(planned.bytes_up)}."
    )
    print_table(
        ("machine", "speed", "time", "price (burst)", "price (stream)", ""),
        [
            (
                row.gpu or "this machine",
                f"{row.speed:.0f}x",
                span(row.wall_seconds),
                _price(row),
                f"${row.dollars_streamed:.2f}" if row.backend == "modal" else "",
                _remark(planned, row),
            )
            for row in planned.rows
        ],
    )
    if planned.captions_to_request:
        asked = count(planned.captions_to_request, "item")
        message(
            f"Captions were not requested yet for {asked}: what has captions that are kept is not "
            "transcribed. To request them now: homescribe captions"
        )
    message(f"Prices: {planned.prices}. Speeds:")
    for source in dict.fromkeys(row.speed_source for row in planned.rows):
        message(f"  {source}")


def _price(row: Row) -> str:
    """Return "$1.20 (±12%)" for a rented GPU, "$1.20" where minutes are billed; "" for free or unknown."""
    if row.backend == "modal":
        return f"${row.dollars:.2f} {_error(row)}"
    return f"${row.dollars:.2f}" if row.backend == "openai" and not row.note else ""


def _error(row: Row) -> str:
    """Return how far a price may be off: "±12%", or "/3 to x3" where nothing was measured."""
    if row.error is None:
        return f"(/{FIRST_PLAN_FACTOR:.0f} to x{FIRST_PLAN_FACTOR:.0f})"
    return f"(±{2 * row.error:.0%})"


def _remark(planned: Plan, row: Row) -> str:
    if row.note:
        return row.note
    if not row.in_time:
        return "after the deadline"
    return "cheapest" if row.gpu and row.gpu == planned.cheapest else ""


@click.group(cls=Group)
def modal() -> None:
    """Deploy, show or stop the app in your Modal account."""


@modal.command()
@configured("engine")
def deploy(config: Config) -> None:
    """Deploy this version to your Modal account.

    Shows how the images are built: that of the default engine, and with --engine that of another one. A run
    with --backend modal deploys by itself what it needs. An app without running calls costs nothing.
    """
    with open_library(config) as library:
        engines = [config.engine] if config.engine else []
        build_modal_backend(config, library).deploy(*engines, show=True)
    message("Deployed.")


@modal.command("status")
@configured()
def modal_status(config: Config) -> None:
    """Show deployed version, calls in flight and costs."""
    with open_library(config) as library:
        backend = build_modal_backend(config, library)
        deployed = backend.deployed()
        for fingerprint in deployed or ["nothing"]:
            click.echo(f"deployed   {fingerprint}")
        if deployed and not backend.is_current(deployed[0]):
            click.echo(
                "           a different version or other engines; the next run deploys this one beside it"
            )
        click.echo(f"in flight  {count(len(library.calls('modal')), 'call')}")
        click.echo(f"spent      {spent_in_words(library.spending())}")


@modal.command()
@configured()
def stop(config: Config) -> None:
    """Stop the apps of all versions and all their containers now.

    The results of calls in flight are lost; the next run transcribes those items again.
    """
    with open_library(config) as library:
        stopped = build_modal_backend(config, library).stop()
    message("Stopped." if stopped else "Nothing is deployed.")


def spent_in_words(spent: Spending) -> str:
    """Return "$4.20 in 430 calls: $0.0195 per hour of audio, 56x realtime, 3% more than
    expected at submission".

    Calls that nobody measured, because a container died or an answer was lost, are counted at the most that
    they can have cost, and named.
    """
    text = f"${spent.dollars:.2f} in {count(spent.calls, 'call')}"
    if spent.unmetered_calls:
        text += (
            f" (up to ${spent.unmetered_dollars:.2f} of it unmetered: "
            f"{count(spent.unmetered_calls, 'call')} that nobody measured)"
        )
    if spent.dollars_per_audio_hour is not None and spent.speed is not None:
        text += f": ${spent.dollars_per_audio_hour:.4f} per hour of audio, {realtime(spent.speed)}"
    if spent.plan_error is not None:
        more = "more" if spent.plan_error >= 0 else "less"
        text += f", {abs(spent.plan_error):.0%} {more} than expected at submission"
    return text


COMMANDS = (plan, modal)
