"""What renting costs: machines, prices, how fast they are thought to be, and the cap on spending.

Prices are dollars a second for a whole machine (GPU, processor cores, memory), since that is what is billed
from its boot to its end. They are a table with a date; the account's own rates replace it where they can be
read (`backends/modal/modal_transcribe.py`).
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
    """A container as it is rented: one GPU (or none) and what is beside it."""

    gpu: str
    gpu_dollars: float  # an hour
    bandwidth: float  # of the GPU's memory, GB/s, from the maker's data sheet
    cores: float = 2.0  # physical
    memory: int = 8  # GiB


# Two cores decode and find speech for about 240 times realtime (see `CORE_SPEED`), four for the GPUs that
# are faster than that. 8 GiB hold the largest model on its way to the GPU beside a few recordings.
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

# Idle seconds are paid for. A burst leaves no gaps longer than an upload between two recordings.
SCALEDOWN_WINDOW = 10.0
# More containers only divide the same work and each pays for its own boot: two already outrun the 180
# hours of audio an hour that polite downloads bring.
MAX_CONTAINERS = 2
# Seconds from the order to a container that can begin, where no call has told yet: boot of a built image
# and load of a large model, as Modal's examples report them.
BOOT = 60.0
# Boot, model load and the wait for the end are to cost less than this part of a burst's work.
BURST_OVERHEAD = 0.1

CORE_DOLLARS = 0.0000131  # a second, for a physical core
MEMORY_DOLLARS = 0.00000222  # a second, for a GiB

# --- Speed, before this library has calls of its own to judge by ----------------------------------

# A recording of 13 minutes with large-v2 at fp16, from the benchmark in faster-whisper's README: RTX 3070 Ti
# (608 GB/s), faster-whisper 1 min 03 s, openai-whisper 2 min 23 s. One file at a time: engines that batch
# are faster, so a first plan is rather too dear than too cheap.
MEASURED_BANDWIDTH = 608.0
MEASURED_SPEED = {"faster-whisper": 780 / 63, "openai-whisper": 780 / 143}  # times realtime
# The same recording with small at int8 on eight threads of a Core i7-12700K: 1 min 42 s, which is taken for
# the four physical cores of a machine without a GPU.
MEASURED_CPU_SPEED = (780 / 102) / 4  # of the large model, `small` being four times as fast
# Models relative to large, from the table in openai/whisper's README (an A100, English).
RELATIVE_SPEED = {
    "tiny": 10.0,
    "base": 7.0,
    "small": 4.0,
    "medium": 2.0,
    "turbo": 8.0,  # before large: "large-v3-turbo" is the turbo
    "large": 1.0,
}
# Decoding and finding speech take one core about 30 s for an hour of audio (benchmarks/stages.py).
CORE_SPEED = 120.0

SPEED_SOURCE = "faster-whisper's README (an RTX 3070 Ti), scaled by memory bandwidth and model size"


def machine(gpu: str) -> Machine:
    """The machine for a GPU's name in any case, under an older name too. UserError when there is none."""
    name = gpu.strip().upper()
    found = MACHINES.get(ALIASES.get(name, name))
    if found is None:
        raise UserError(
            f"Modal has no GPU named {gpu!r}.", f"Choose one of: {', '.join(MACHINES)}."
        )
    return found


def published_rate(rented: Machine) -> float:
    """Dollars a second of a machine, by the published table."""
    return (
        rented.gpu_dollars / HOURLY + rented.cores * CORE_DOLLARS + rented.memory * MEMORY_DOLLARS
    )


def account_rate(rented: Machine, rates: Mapping[str, float]) -> float | None:
    """Dollars a second of a machine by an account's own rates; None when they do not name all of it.

    The service does not document the names, so a rate is taken by what its name contains, and as a price
    for an hour or a second by which of the two is near the published one.
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
    """The rate whose name contains `word`, in dollars a second, within a factor of two of `expected`."""
    for name, value in rates.items():
        spelled = "".join(character for character in name.upper() if character.isalnum())
        if word in spelled:
            for price in (value, value / HOURLY):
                if expected / 2 <= price <= expected * 2:
                    return price
    return None


def expected_speed(engine: str, model: str, rented: Machine) -> float:
    """Times realtime that `model` is thought to run on a machine nobody has tried yet."""
    family = model.rpartition("/")[2].lower()
    relative = next((speed for name, speed in RELATIVE_SPEED.items() if name in family), 1.0)
    if rented.bandwidth == 0:
        return MEASURED_CPU_SPEED * relative * rented.cores / 4
    measured = MEASURED_SPEED.get(engine, MEASURED_SPEED["openai-whisper"])
    speed = measured * relative * rented.bandwidth / MEASURED_BANDWIDTH
    return min(speed, CORE_SPEED * rented.cores)
