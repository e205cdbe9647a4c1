"""What a run will take, in hours, bytes and dollars, before anything is downloaded.

Lengths come from listings. Speed comes from this library's own rented calls where there are any, else from
published figures; every row says which.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from homescribe import plugins
from homescribe.core import HOUR, Item
from homescribe.cost.prices import (
    BOOT,
    BURST_OVERHEAD,
    CORE_SPEED,
    MACHINES,
    MAX_CONTAINERS,
    MEASURED_CPU_SPEED,
    RELATIVE_SPEED,
    SCALEDOWN_WINDOW,
    SPEED_SOURCE,
    Machine,
    expected_speed,
)
from homescribe.library import Library

# Seconds of an item that no listing tells the length of.
UNKNOWN_LENGTH = HOUR / 2
Rate = Callable[[Machine], float]  # dollars a second
OWN_CALLS = "{} calls of this library"


@dataclass(frozen=True, slots=True)
class Row:
    """The plan for one place to transcribe in. Seconds, and dollars for all of it."""

    backend: str
    gpu: str
    speed: float  # times realtime, of one machine at work
    speed_source: str
    gpu_seconds: float
    overhead_seconds: float  # boots, model loads and idle ends, rented in bursts
    wall_seconds: float  # from the start to the last transcript
    dollars: float  # rented in bursts
    dollars_streamed: float  # rented while the downloads trickle in
    in_time: bool  # within the deadline, or there is none


@dataclass(frozen=True, slots=True)
class Plan:
    """All rows for the same items. `cheapest` is the rented row with the lowest price that is in time."""

    items: int
    items_of_unknown_length: int
    audio_seconds: float
    bytes_down: int
    bytes_up: int
    download_seconds: float  # at the sites' polite pace
    prices: str  # where they come from
    rows: tuple[Row, ...]
    cheapest: str | None


def plan(
    library: Library,
    items: Sequence[Item],
    *,
    engine: str,
    model: str,
    pause: Callable[[Item], float],
    rate: Rate,
    prices: str,
    machines: Sequence[Machine] = tuple(MACHINES.values()),
    containers: int = MAX_CONTAINERS,
    deadline: float | None = None,
) -> Plan:
    """The plan for `items`.

    Args:
        pause: seconds between two downloads from the item's site.
        rate: dollars a second of a machine.
        prices: where `rate` has them from, in words.
        deadline: seconds in which it must be done.
    """
    audio_seconds = sum(item.duration or UNKNOWN_LENGTH for item in items)
    download_seconds = _polite_seconds(items, pause)
    rows = [_local(items, audio_seconds, download_seconds, model, deadline)]
    for machine in machines:
        rental = library.rental(engine, model, machine.gpu)
        rows.append(
            _rented(
                machine,
                rental.speed if rental else expected_speed(engine, model, machine),
                OWN_CALLS.format(rental.calls) if rental else SPEED_SOURCE,
                rental.boot if rental else BOOT + SCALEDOWN_WINDOW,
                rate=rate(machine),
                audio_seconds=audio_seconds,
                download_seconds=download_seconds,
                containers=max(1, min(containers, len(items))),
                deadline=deadline,
            )
        )
    in_time = [row for row in rows if row.backend != "local" and row.in_time]
    return Plan(
        items=len(items),
        items_of_unknown_length=sum(item.duration is None for item in items),
        audio_seconds=audio_seconds,
        bytes_down=sum(_download_bytes(item) for item in items),
        bytes_up=sum(_upload_bytes(item) for item in items),
        download_seconds=download_seconds,
        prices=prices,
        rows=tuple(rows),
        cheapest=min(in_time, key=lambda row: row.dollars).gpu if in_time and items else None,
    )


def _rented(
    machine: Machine,
    speed: float,
    speed_source: str,
    boot: float,
    *,
    rate: float,
    audio_seconds: float,
    download_seconds: float,
    containers: int,
    deadline: float | None,
) -> Row:
    gpu_seconds = audio_seconds / speed
    boots = containers * boot
    # Where downloads are slower than the machines there is burst after burst, each of them as soon as its
    # boots are a tenth of its work. Where they are not, one burst takes all.
    trickling = download_seconds > gpu_seconds / containers
    overhead = max(boots, gpu_seconds * BURST_OVERHEAD if trickling else 0.0)
    # Downloads and bursts overlap; the last burst begins when the last download is there.
    last_burst = min(gpu_seconds, boots / BURST_OVERHEAD) / containers
    wall = max(gpu_seconds / containers, download_seconds + last_burst) + boot
    # A container that waits for downloads is paid from the first to the last of them.
    streamed = max(download_seconds, gpu_seconds) + boots
    return Row(
        backend="modal",
        gpu=machine.gpu,
        speed=speed,
        speed_source=speed_source,
        gpu_seconds=gpu_seconds,
        overhead_seconds=overhead,
        wall_seconds=wall,
        dollars=(gpu_seconds + overhead) * rate,
        dollars_streamed=streamed * rate,
        in_time=deadline is None or wall <= deadline,
    )


def _local(
    items: Sequence[Item],
    audio_seconds: float,
    download_seconds: float,
    model: str,
    deadline: float | None,
) -> Row:
    """This machine: no money, and time as the published figure for a processor says."""
    family = model.rpartition("/")[2].lower()
    relative = next((speed for name, speed in RELATIVE_SPEED.items() if name in family), 1.0)
    threads = os.cpu_count() or 1
    speed = min(MEASURED_CPU_SPEED * relative * threads / 8, CORE_SPEED * threads)
    wall = max(audio_seconds / speed, download_seconds)
    return Row(
        backend="local",
        gpu="",
        speed=speed,
        speed_source="faster-whisper's README (eight threads of a Core i7), scaled by threads",
        gpu_seconds=0.0,
        overhead_seconds=0.0,
        wall_seconds=wall,
        dollars=0.0,
        dollars_streamed=0.0,
        in_time=deadline is None or wall <= deadline,
    )


def _polite_seconds(items: Sequence[Item], pause: Callable[[Item], float]) -> float:
    """Seconds that downloads take when each site is asked for one at a time, with its pauses between."""
    seconds: dict[str, float] = {}
    for item in items:
        key = plugins.source_of(item).rate_limit_key(item)
        seconds[key] = seconds.get(key, 0.0) + pause(item)
    return max(seconds.values(), default=0.0)


def _download_bytes(item: Item) -> int:
    """Bytes to download for `item`."""
    return plugins.source_of(item).expected_bytes(item, item.duration or UNKNOWN_LENGTH)


def _upload_bytes(item: Item) -> int:
    """Bytes to upload for `item`: the local file, or what was downloaded."""
    path = plugins.source_of(item).local_path(item)
    if path is None:
        return _download_bytes(item)
    return path.stat().st_size if path.is_file() else 0
