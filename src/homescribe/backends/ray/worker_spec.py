"""How many workers to start on a cluster, and what each gets of its machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from homescribe.core import EngineRequirements
from homescribe.errors import SetupError, UserError

# Cores of a worker with a GPU: enough to decode audio and to detect speech while the GPU works.
CORES_BESIDE_GPU = 4
# Names under which the speed of workers is stored: with a GPU, and without.
MACHINES = ("ray GPU", "ray CPU")


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster: what Ray may give away of it in all."""

    id: str
    cpus: float
    gpus: float


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """Everything that a worker is started with. Equal specs share their workers, also between clients."""

    engine: str
    engine_class: str  # "module:name"
    model: str
    slots: int  # recordings at once
    cpus: float
    gpus: float
    packages: tuple[str, ...] = ()  # pip requirements to install first; () where they are installed
    environment: tuple[tuple[str, str], ...] = ()  # as EngineRequirements.environment
    # Paths on the worker's machine of the models that tell speakers apart, "" for those that are published;
    # None: they are not loaded.
    speakers: tuple[str, str] | None = None

    @property
    def machine(self) -> str:
        """The name under which the speed of such workers is stored."""
        return MACHINES[0] if self.gpus else MACHINES[1]


@dataclass(frozen=True, slots=True)
class WorkerShare:
    """The number of workers, and cores and GPUs of each."""

    workers: int
    cpus: float
    gpus: float


def share_of_workers(
    nodes: Sequence[Node],
    requirements: EngineRequirements,
    workers: int | None = None,
    gpu_per_worker: float | None = None,
) -> WorkerShare:
    """Return the workers to start on `nodes`.

    By default one for each GPU that the engine can use, else one for each machine. A worker with a GPU gets
    up to CORES_BESIDE_GPU cores; without, those of a machine are divided among its workers.

    Raises UserError for a setting that the engine does not fit, SetupError when no machine can have a worker.
    """
    uses_gpus = requirements.gpu_available is not None
    if gpu_per_worker and not uses_gpus:
        raise UserError("This engine does not use a GPU.", "Use --gpu-per-worker 0.")
    if gpu_per_worker and gpu_per_worker > 1 and gpu_per_worker != int(gpu_per_worker):
        raise UserError(
            f"A worker cannot have {gpu_per_worker:g} GPUs.",
            "Use a part of one, or a whole number.",
        )
    usable = [node for node in nodes if node.cpus >= 1]
    gpus = gpu_per_worker
    if gpus is None:
        gpus = 1.0 if uses_gpus and any(node.gpus >= 1 for node in usable) else 0.0
    if requirements.gpu_required and not gpus:
        raise SetupError(
            "This engine needs a GPU, and the cluster has none.", "Add a machine with one."
        )
    if gpus:
        places = [int(node.gpus / gpus + 1e-9) for node in usable]
        usable = [node for node, number in zip(usable, places, strict=True) if number]
        if not usable:
            raise SetupError(
                f"No machine of the cluster has {gpus:g} GPU and a core for a worker.",
                "Use --gpu-per-worker 0, or add a machine with a GPU.",
            )
        workers = workers or sum(places)
    if not usable:
        raise SetupError("The cluster has no machine with a free core.", "Add a machine to it.")
    workers = workers or len(usable)
    on_one = -(-workers // len(usable))  # rounded up
    cpus = float(max(1, min(int(node.cpus) for node in usable) // on_one))
    return WorkerShare(workers, min(cpus, CORES_BESIDE_GPU) if gpus else cpus, gpus)
