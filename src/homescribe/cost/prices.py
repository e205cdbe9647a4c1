"""Machines that can be rented, their prices and their expected speeds.

A price is in dollars per second for a whole machine (GPU, processor cores, memory), which is billed from
its boot to its end. The table has a date. The account's own prices replace it where Modal reports them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from homescribe.errors import UserError

HOURLY = 3600.0  # seconds

PRICES_FROM = "https://modal.com/pricing"
PRICES_DATE = "2026-10"


@dataclass(frozen=True, slots=True)
class Machine:
    """A container to rent: one GPU or none, processor cores and memory."""

    gpu: str
    gpu_dollars: float  # per hour
    bandwidth: float  # of the GPU's memory in GB/s, from its data sheet
    cores: float = 2.0  # physical
    memory: int = 8  # GiB


# Two cores decode audio and detect speech at about 240 times realtime (see `CORE_SPEED`). GPUs that are
# faster get four. 8 GiB hold the largest model while it is loaded, and a few recordings.
MACHINES = {
    machine.gpu: machine
    for machine in (
        Machine("T4", 0.59, 320),
        Machine("L4", 0.80, 300),
        Machine("A10", 1.10, 600),
        Machine("L40S", 1.95, 864),
        Machine("A100-40GB", 2.10, 1555, cores=4.0),
        Machine("A100-80GB", 2.50, 2039, cores=4.0),
        Machine("H100", 3.95, 3350, cores=4.0, memory=16),
        Machine("H200", 4.54, 4800, cores=4.0, memory=16),
        Machine("B200", 6.25, 8000, cores=4.0, memory=16),
        Machine("CPU", 0.0, 0, cores=4.0),
    )
}
DEFAULT_GPU = "A10"
DEFAULT_ENGINE = "faster-whisper"
DEFAULT_MODEL = "turbo"
ALIASES = {"A10G": "A10", "A100": "A100-40GB", "NONE": "CPU"}

# Seconds without work after which a container ends. They are billed. In a burst, the gap between two
# recordings is no longer than an upload.
SCALEDOWN_WINDOW = 10.0
# Each container pays for its own boot, and two are faster than the downloads, which bring about 180 hours
# of audio per hour.
MAX_CONTAINERS = 2
# Seconds from a call to a container that is ready, where no call has measured it: the boot of a built image
# and the load of a large model, as reported in Modal's examples.
BOOT = 60.0
# A burst starts when boot, model load and idle end cost less than this share of its work.
BURST_OVERHEAD = 0.1

CORE_DOLLARS = 0.0000131  # per second and physical core
MEMORY_DOLLARS = 0.00000222  # per second and GiB

# --- Expected speed, where this library has not measured its own -----------------------------------

# 13 minutes of audio with large-v2 at fp16 on an RTX 3070 Ti (608 GB/s), from the benchmark in
# faster-whisper's README: faster-whisper 1 min 03 s, openai-whisper 2 min 23 s. One file at a time: engines
# that batch are faster, so a first plan overestimates the price.
MEASURED_BANDWIDTH = 608.0
MEASURED_SPEED = {"faster-whisper": 780 / 63, "openai-whisper": 780 / 143}  # times realtime
# The same audio with small at int8 on eight threads of a Core i7-12700K: 1 min 42 s. Used for the four
# physical cores of a machine without a GPU.
MEASURED_CPU_SPEED = (780 / 102) / 4  # of the large model; `small` is four times as fast
# Models relative to large, from the table in openai/whisper's README (an A100, English).
RELATIVE_SPEED = {
    "tiny": 10.0,
    "base": 7.0,
    "small": 4.0,
    "medium": 2.0,
    "turbo": 8.0,  # before large: "large-v3-turbo" is the turbo
    "large": 1.0,
}
# Times realtime that one core decodes audio and detects speech: about 30 s per hour (benchmarks/stages.py).
CORE_SPEED = 120.0

SPEED_SOURCE = "faster-whisper's README (an RTX 3070 Ti), scaled by memory bandwidth and model size"


def machine(gpu: str) -> Machine:
    """Return the machine with this GPU. Case does not matter. UserError when there is none."""
    name = gpu.strip().upper()
    found = MACHINES.get(ALIASES.get(name, name))
    if found is None:
        raise UserError(
            f"Modal has no GPU named {gpu!r}.", f"Choose one of: {', '.join(MACHINES)}."
        )
    return found


def published_rate(rented: Machine) -> float:
    """Return the published dollars per second of a machine."""
    return (
        rented.gpu_dollars / HOURLY + rented.cores * CORE_DOLLARS + rented.memory * MEMORY_DOLLARS
    )


def account_rate(rented: Machine, rates: Mapping[str, float]) -> float | None:
    """Return the dollars per second of a machine by the account's own rates; None when one is missing.

    Modal does not document the names of rates. A rate is found by a part of its name, and read as a price
    per hour or per second, whichever is near the published one.
    """
    gpu = 0.0
    if rented.gpu_dollars:
        found = _find(rates, rented.gpu.replace("-", ""), rented.gpu_dollars / HOURLY)
        if found is None:
            return None
        gpu = found
    core = _find(rates, "CPU", CORE_DOLLARS)
    memory = _find(rates, "MEMORY", MEMORY_DOLLARS)
    if core is None or memory is None:
        return None
    return gpu + rented.cores * core + rented.memory * memory


def _find(rates: Mapping[str, float], word: str, expected: float) -> float | None:
    """Return the dollars per second of the rate whose name contains `word`, if near `expected`."""
    for name, value in rates.items():
        spelled = "".join(character for character in name.upper() if character.isalnum())
        if word in spelled:
            for price in (value, value / HOURLY):
                if expected / 2 <= price <= expected * 2:
                    return price
    return None


def expected_speed(engine: str, model: str, rented: Machine) -> float:
    """Return the expected times realtime of `model` on a machine that was not measured."""
    family = model.rpartition("/")[2].lower()
    relative = next((speed for name, speed in RELATIVE_SPEED.items() if name in family), 1.0)
    if rented.bandwidth == 0:
        return MEASURED_CPU_SPEED * relative * rented.cores / 4
    measured = MEASURED_SPEED.get(engine, MEASURED_SPEED["openai-whisper"])
    speed = measured * relative * rented.bandwidth / MEASURED_BANDWIDTH
    return min(speed, CORE_SPEED * rented.cores)
