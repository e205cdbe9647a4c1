"""Estimate the time, bytes and dollars of a run before anything is downloaded.

Durations come from listings. Speeds come from this library's own calls where it has enough of them, else
from published measurements. Every row names its source.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from homescribe import plugins
from homescribe.core import HOUR, EngineRequirements, Item
from homescribe.cost.prices import (
    BOOT,
    BURST_OVERHEAD,
    MACHINES,
    MAX_CONTAINERS,
    SCALEDOWN_WINDOW,
    Machine,
)
from homescribe.cost.speeds import cpu_speed, expected_speed
from homescribe.errors import HomescribeError
from homescribe.library import Library

# Seconds assumed for an item of unknown duration.
UNKNOWN_LENGTH = HOUR / 2
LOCAL_ENGINE = "faster-whisper"  # of the row for this machine
SPEECH_COPY_BYTES = 24_000 / 8  # per second, with --upload speech (audio/speech_copy.py)
Rate = Callable[[Machine], float]  # dollars per second
OWN_CALLS = "{} calls of this library"


@dataclass(frozen=True, slots=True)
class Row:
    """The estimate for one machine: this one, or one to rent."""

    backend: str
    gpu: str
    speed: float  # times realtime, of one working machine
    speed_source: str
    gpu_seconds: float
    overhead_seconds: float  # boot, model load and idle end of all containers, with --when burst
    wall_seconds: float  # from the start to the last transcript
    dollars: float  # with --when burst
    dollars_streamed: float  # with --when stream, where containers wait for downloads
    in_time: bool  # before the deadline; True without one
    # One standard error of the paid seconds per second of audio, as a share, by the scatter of single calls;
    # None where no call of this library measured it. How many containers start is not part of it.
    error: float | None = None
    note: str = ""  # why the engine may not run on this GPU


@dataclass(frozen=True, slots=True)
class Plan:
    """The estimates for all machines. `cheapest` names the GPU with the lowest price before the deadline."""

    items: int
    items_of_unknown_length: int
    audio_seconds: float
    bytes_down: int
    bytes_up: int
    download_seconds: float  # with the pauses between downloads
    prices: str  # their source
    rows: tuple[Row, ...]
    cheapest: str | None
    # Of `items`, those whose captions a run requests first. Where these are kept, nothing is transcribed.
    captions_to_request: int = 0


def make_plan(
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
    newest_gpu: tuple[int, int] | None = None,
    upload: Literal["original", "speech"] = "original",
    deadline: float | None = None,
) -> Plan:
    """Return the plan for transcribing `items`.

    Args:
        pause: returns the seconds between two downloads from the item's site.
        rate: returns the dollars per second of a machine.
        prices: the source of `rate`, as shown to the user.
        newest_gpu: the newest compute capability that the engine has code for; None: all. Newer GPUs are
            marked and never the cheapest.
        upload: what is uploaded: files as they are, or a smaller copy.
        deadline: seconds from now by which everything must be transcribed.
    """
    audio_seconds = sum(item.duration or UNKNOWN_LENGTH for item in items)
    kept = {one.key: one.bytes for one in library.audio.records() if one.is_there}
    downloads = [item for item in items if item.key not in kept]
    download_seconds = _download_seconds(downloads, pause)
    speakers = any(machine.speakers for machine in machines)
    rows = [_local(items, audio_seconds, download_seconds, model, deadline, speakers=speakers)]
    for machine in machines:
        rental = library.rental(engine, model, machine.gpu)
        speed, source = expected_speed(engine, model, machine)
        if rental:
            speed, source = rental.speed, OWN_CALLS.format(rental.calls)
        rows.append(
            _rented(
                machine,
                speed,
                source,
                rental.boot if rental else BOOT + SCALEDOWN_WINDOW,
                error=rental.error if rental else None,
                note=_note(engine, machine, newest_gpu),
                rate=rate(machine),
                audio_seconds=audio_seconds,
                download_seconds=download_seconds,
                containers=max(1, min(containers, len(items))),
                deadline=deadline,
            )
        )
    in_time = [row for row in rows if row.backend == "modal" and row.in_time and not row.note]
    return Plan(
        items=len(items),
        items_of_unknown_length=sum(item.duration is None for item in items),
        audio_seconds=audio_seconds,
        bytes_down=sum(_download_bytes(item) for item in downloads),
        bytes_up=sum(_upload_bytes(item, upload, kept.get(item.key)) for item in items),
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
    error: float | None,
    note: str,
    rate: float,
    audio_seconds: float,
    download_seconds: float,
    containers: int,
    deadline: float | None,
) -> Row:
    gpu_seconds = audio_seconds / speed
    boots = containers * boot
    # Where downloads are slower than the machines, there are many bursts. Each starts as soon as its
    # overhead is a tenth of its work. Otherwise there is one burst.
    many_bursts = download_seconds > gpu_seconds / containers
    overhead = max(boots, gpu_seconds * BURST_OVERHEAD if many_bursts else 0.0)
    # Bursts run during the downloads. The last one starts after the last download.
    last_burst = min(gpu_seconds, boots / BURST_OVERHEAD) / containers
    wall = max(gpu_seconds / containers, download_seconds + last_burst) + boot
    # A container that waits for downloads is paid from the first download to the last.
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
        error=error,
        note=note,
    )


def newest_gpu(engine: str) -> tuple[int, int] | None:
    """Return the newest compute capability that an engine has code for; None: all, or it does not say."""
    try:
        requirements = getattr(plugins.load("engines", engine), "requirements", None)
    except HomescribeError:
        return None  # its packages are not installed here
    return requirements.newest_gpu if isinstance(requirements, EngineRequirements) else None


def _note(engine: str, machine: Machine, newest: tuple[int, int] | None) -> str:
    if newest is None or machine.capability <= newest:
        return ""
    return f"{engine} has no compiled code for this GPU"


def _local(
    items: Sequence[Item],
    audio_seconds: float,
    download_seconds: float,
    model: str,
    deadline: float | None,
    *,
    speakers: bool,
) -> Row:
    """Return the row for this machine: free, at the published speed of a processor."""
    speed, source = cpu_speed(LOCAL_ENGINE, model, os.cpu_count() or 1, speakers=speakers)
    wall = max(audio_seconds / speed, download_seconds)
    return Row(
        backend="local",
        gpu="",
        speed=speed,
        speed_source=source,
        gpu_seconds=0.0,
        overhead_seconds=0.0,
        wall_seconds=wall,
        dollars=0.0,
        dollars_streamed=0.0,
        in_time=deadline is None or wall <= deadline,
    )


def _download_seconds(items: Sequence[Item], pause: Callable[[Item], float]) -> float:
    """Return the seconds that the pauses between downloads take. Sites are downloaded from in parallel."""
    seconds: dict[str, float] = {}
    for item in items:
        key = plugins.source_of(item).rate_limit_key(item)
        seconds[key] = seconds.get(key, 0.0) + pause(item)
    return max(seconds.values(), default=0.0)


def _download_bytes(item: Item) -> int:
    """Return the bytes to download for `item`."""
    return plugins.source_of(item).expected_bytes(item, item.duration or UNKNOWN_LENGTH)


def _upload_bytes(item: Item, upload: Literal["original", "speech"], kept: int | None) -> int:
    """Return the bytes to upload for `item`: of the local file, of the download, or of a smaller copy.

    Args:
        kept: bytes of its audio that the library keeps, which is transcribed instead of a download.
    """
    size = _original_bytes(item) if kept is None else kept
    copy = round((item.duration or UNKNOWN_LENGTH) * SPEECH_COPY_BYTES)
    return min(size, copy) if upload == "speech" else size


def _original_bytes(item: Item) -> int:
    path = plugins.source_of(item).local_path(item)
    if path is None:
        return _download_bytes(item)
    return path.stat().st_size if path.is_file() else 0
