"""The plan of a run at an endpoint that bills audio by the minute: its price is known, its speed measured."""

from __future__ import annotations

from collections.abc import Sequence

from homescribe.core import Item
from homescribe.cost.audio_budget import AudioPrice
from homescribe.cost.plan import OWN_CALLS, UNKNOWN_LENGTH, Plan, Row
from homescribe.library import Library

ASSUMED_SPEED = 10.0  # times realtime, of one request, until three recordings have measured it
NO_PRICE = "price unknown: --price-per-minute"


def endpoint_row(
    library: Library,
    items: Sequence[Item],
    planned: Plan,
    *,
    host: str,
    engine: str,
    model: str,
    price: AudioPrice | None,
    slots: int,
    times: int = 1,
    deadline: float | None = None,
) -> Row:
    """Return the row of an endpoint.

    Args:
        planned: the plan for the same items.
        price: what it bills; None: unknown, so the row's dollars are 0 and its note says so.
        slots: requests at once.
        times: how often each recording is sent.
        deadline: as for `make_plan`.
    """
    rental = library.rental(engine, model, host)
    speed, source = ASSUMED_SPEED, f"assumed for {host}, until three recordings have measured it"
    if rental is not None:
        speed, source = rental.speed, f"{OWN_CALLS.format(rental.calls)} at {host}"
    seconds = times * planned.audio_seconds / speed
    wall = max(seconds / max(1, min(slots, len(items))), planned.download_seconds)
    lengths = (times * (item.duration or UNKNOWN_LENGTH) for item in items)
    dollars = sum(map(price.of, lengths)) if price else 0.0
    return Row(
        backend="openai",
        gpu=host,
        speed=speed,
        speed_source=source,
        gpu_seconds=seconds,
        overhead_seconds=0.0,
        wall_seconds=wall,
        dollars=dollars,
        dollars_streamed=dollars,
        in_time=deadline is None or wall <= deadline,
        note="" if price else NO_PRICE,
    )
