"""Machines that can be rented, and their prices.

A price is in dollars per second for a whole machine (GPU, processor cores, memory), which is billed from
its boot to its end. The table has a date. The account's own prices replace it where Modal reports them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

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
    capability: tuple[int, int]  # CUDA compute capability: https://developer.nvidia.com/cuda-gpus
    cores: float = 2.0  # physical
    memory: int = 8  # GiB
    streams: int = 1  # times the recordings that an engine works on at once, to fill larger batches
    speakers: bool = False  # its cores also tell speakers apart

    @property
    def with_speakers(self) -> Machine:
        """The machine for a run that tells speakers apart: with twice the cores beside its GPU."""
        cores = self.cores * (2 if self.gpu_dollars else 1)
        return replace(self, cores=cores, speakers=True)


# Two cores decode audio and detect speech at about 240 times realtime (speeds.CORE_SPEED). GPUs that are
# faster get four. Those with more memory work on twice as many recordings at once, which fills batches of 64
# windows. 8 GiB hold the largest model while it is loaded, and a few recordings.
MACHINES = {
    machine.gpu: machine
    for machine in (
        Machine("T4", 0.59, 320, (7, 5)),
        Machine("L4", 0.80, 300, (8, 9)),
        Machine("A10", 1.10, 600, (8, 6)),
        Machine("L40S", 1.95, 864, (8, 9), streams=2),
        Machine("A100-40GB", 2.10, 1555, (8, 0), cores=4.0, streams=2),
        Machine("A100-80GB", 2.50, 2039, (8, 0), cores=4.0, streams=2),
        Machine("H100", 3.95, 3350, (9, 0), cores=4.0, memory=16, streams=2),
        Machine("H200", 4.54, 4800, (9, 0), cores=4.0, memory=16, streams=2),
        Machine("B200", 6.25, 8000, (10, 0), cores=4.0, memory=16, streams=2),
        Machine("CPU", 0.0, 0, (0, 0), cores=4.0),
    )
}
DEFAULT_GPU = "A10"
DEFAULT_ENGINE = "openai-whisper"  # OpenAI's own weights; a rented GPU decodes them in batches
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

    Modal does not document the names of rates. A rate is found by the words in its name, and read as a price
    per hour or per second, whichever is near the published one.
    """
    gpu: float | None = 0.0
    if rented.gpu_dollars:
        gpu = _gpu_rate(rented, rates)
    core = _find(rates, "CPU", CORE_DOLLARS)
    memory = _find(rates, "MEMORY", MEMORY_DOLLARS)
    if gpu is None or core is None or memory is None:
        return None
    return gpu + rented.cores * core + rented.memory * memory


def _gpu_rate(rented: Machine, rates: Mapping[str, float]) -> float | None:
    """Return the dollars per second of a machine's GPU, by its name or else by an alias of it."""
    price = rented.gpu_dollars / HOURLY
    if (found := _find(rates, rented.gpu, price)) is not None:
        return found
    # "A100" means the one with 40 GB, except where the name of another one goes on.
    others = [name for name in MACHINES if name != rented.gpu]
    left = {rate: value for rate, value in rates.items() if not any(_has(rate, o) for o in others)}
    for alias, gpu in ALIASES.items():
        if gpu == rented.gpu and (found := _find(left, alias, price)) is not None:
            return found
    return None


def _find(rates: Mapping[str, float], name: str, expected: float) -> float | None:
    """Return the dollars per second of the first rate that is named so, if near `expected`."""
    for rate, value in rates.items():
        if _has(rate, name):
            for price in (value, value / HOURLY):
                if expected / 2 <= price <= expected * 2:
                    return price
    return None


def _has(rate: str, name: str) -> bool:
    """Return whether the words of `name` are in the name of a rate, whole and in order.

    "A10" is not in "gpu_a100". "A100-80GB" is in "gpu_a100_80gb" and in "GpuA10080GB".
    """
    words = [word.removeprefix("GPU") for word in _words(rate)]
    wanted = "".join(_words(name))
    return any(
        "".join(words[start:end]) == wanted
        for start in range(len(words))
        for end in range(start + 1, len(words) + 1)
    )


def _words(name: str) -> list[str]:
    """Return the words of a name in capitals: "gpuA100_80gb" has GPU, A100 and 80GB."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return [word for word in re.split(r"[^A-Z0-9]+", parted.upper()) if word]
