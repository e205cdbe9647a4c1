"""The plan of a run on machines of one's own: no price, and the speed of this library's own calls."""

from __future__ import annotations

from collections.abc import Sequence

from homescribe.cost.plan import OWN_CALLS, Plan, Row
from homescribe.library import Library


def cluster_rows(
    library: Library,
    planned: Plan,
    machines: Sequence[str],
    *,
    engine: str,
    model: str,
    workers: int | None = None,
    deadline: float | None = None,
) -> list[Row]:
    """Return a row for each kind of worker whose speed this library has measured.

    Args:
        planned: the plan for the same items.
        machines: the names under which the speeds are stored.
        workers: how many there are; None: as many as worked on the latest calls are unknown, so one.
        deadline: as for `make_plan`.
    """
    rows = []
    for machine in machines:
        rental = library.rental(engine, model, machine)
        if rental is None:
            continue
        seconds = planned.audio_seconds / rental.speed
        wall = max(seconds / (workers or 1), planned.download_seconds)
        rows.append(
            Row(
                backend="ray",
                gpu=machine,
                speed=rental.speed,
                speed_source=f"{OWN_CALLS.format(rental.calls)} on the cluster, for one worker",
                gpu_seconds=seconds,
                overhead_seconds=0.0,
                wall_seconds=wall,
                dollars=0.0,
                dollars_streamed=0.0,
                in_time=deadline is None or wall <= deadline,
            )
        )
    return rows
