"""The Ray backend: connects to a cluster or starts one here, sizes the workers, starts sessions.

    this machine                      the cluster
    RaySession --bytes, options-->    CallLedger  --calls-->  TranscribingActor (one for each GPU or machine)
               <--replies by id--     (detached)  <--replies--

The ledger (call_ledger.py) outlives this process; its workers (ray_worker.py) end with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import cast

from homescribe import plugins
from homescribe.backends.engine_code import EngineClass
from homescribe.backends.ray import local_cluster
from homescribe.backends.ray.call_ledger import IDLE, KEEP, KEEP_LOCALLY, PoolFigures
from homescribe.backends.ray.cluster import Cluster, checked_address, code_to_send
from homescribe.backends.ray.ray_errors import LedgerGone, Unavailable
from homescribe.backends.ray.ray_session import MAX_SILENCE, NAME, RaySession
from homescribe.backends.ray.ray_worker import decode
from homescribe.backends.ray.worker_spec import MACHINES, Node, WorkerSpec, share_of_workers
from homescribe.core import MINUTE, EngineRequirements, Session
from homescribe.errors import SetupError, UserError
from homescribe.speakers.speaker_models import PACKAGES, SpeakerModels

START_LIMIT = 30 * MINUTE  # until the first worker is ready: packages and a model may be downloaded
TICK = 0.5


@dataclass(frozen=True, slots=True)
class RayOptions:
    """Which cluster, and how many workers of what size. None: see worker_spec.share_of_workers."""

    address: str | None = None  # "ray://HOST:10001"; None: a cluster on this machine
    workers: int | None = None
    gpu_per_worker: float | None = None
    speakers: SpeakerModels | None = None  # which tell speakers apart; None: no run needs that
    idle: float = IDLE  # seconds without work after which workers end
    max_silence: float = MAX_SILENCE


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """What `homescribe ray status` shows."""

    address: str
    nodes: tuple[Node, ...]
    pools: tuple[PoolFigures, ...]
    kept: int  # replies that wait to be collected

    @property
    def unfinished(self) -> int:
        """How many calls are at work or wait for a worker, of everybody who uses the cluster."""
        return sum(pool["unfinished"] for pool in self.pools)


class RayBackend:
    """Runs engines on a Ray cluster. `options` are checked here, before anything is started."""

    name = NAME
    default_engine = "faster-whisper"
    default_model = "turbo"
    machines = MACHINES  # the names under which speeds are stored

    def __init__(self, options: RayOptions | None = None) -> None:
        self.options = options or RayOptions()
        if self.options.address is not None:
            checked_address(self.options.address)

    @contextmanager
    def start(self, engine: str, model: str) -> Iterator[Session]:
        """Start a session, as soon as one worker has loaded the model."""
        engine_class = self._engine_class(engine)
        requirements = engine_class.requirements
        cluster, keep, lease = self._connect(code_to_send(engine_class))
        try:
            nodes = cluster.nodes()
            share = share_of_workers(
                nodes, requirements, self.options.workers, self.options.gpu_per_worker
            )
            packages = [
                *requirements.packages,
                *(requirements.gpu_packages if share.gpus else ()),
                *(PACKAGES if self.options.speakers is not None else ()),
            ]
            spec = WorkerSpec(
                engine=engine,
                engine_class=f"{engine_class.__module__}:{engine_class.__qualname__}",
                model=model,
                slots=requirements.slots,
                cpus=share.cpus,
                gpus=share.gpus,
                packages=tuple(packages) if cluster.missing_packages(nodes, packages) else (),
                environment=tuple(requirements.environment.items()) if share.gpus else (),
                speakers=_paths(self.options.speakers),
            )

            def start_ledger() -> None:
                cluster.start_ledger(keep, lease, self.options.idle)
                cluster.ask(cluster.name, "ensure", spec, share.workers)

            start_ledger()
            self._wait_until_ready(cluster, spec, start_ledger)
            session = RaySession(
                cluster,
                spec,
                share.workers,
                requirements,
                start_ledger,
                max_silence=self.options.max_silence,
            )
            try:
                yield session
            finally:
                session.close()
        except Unavailable as error:
            raise _unreachable(error) from error
        finally:
            cluster.close()

    def _engine_class(self, engine: str) -> EngineClass:
        """Return an engine's class. UserError when it does not state what it needs."""
        found = plugins.load("engines", engine)
        if not isinstance(getattr(found, "requirements", None), EngineRequirements):
            raise UserError(
                f"The engine {engine!r} states no requirements, so Ray cannot install it.",
                "Use --backend local, or another engine.",
            )
        return cast(EngineClass, found)

    def _connect(self, packages: Sequence[str]) -> tuple[Cluster, float, str]:
        """Return the cluster, and for its ledger how long it keeps replies and which lease it renews."""
        try:
            if self.options.address is not None:
                return Cluster(self.options.address, packages=packages), KEEP, ""
            local = local_cluster.ensure()
            cluster = Cluster(local.address, local.token, packages)
            return cluster, KEEP_LOCALLY, str(local.lease)
        except Unavailable as error:
            raise _unreachable(error) from error

    def _wait_until_ready(
        self, cluster: Cluster, spec: WorkerSpec, start_ledger: Callable[[], None]
    ) -> None:
        """Wait until a worker has loaded the model. Raises the error that keeps all of them from it."""
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            try:
                ready, failure = cast(tuple[int, bytes], cluster.ask(cluster.name, "ready", spec))
            except LedgerGone:
                start_ledger()
                continue
            if failure:
                error = decode(failure).error
                assert error is not None
                raise error
            if ready:
                return
            time.sleep(TICK)
        raise SetupError(
            f"No worker has started in {START_LIMIT / MINUTE:.0f} minutes.",
            "Others may use the cluster's machines: `ray status` on its head shows it.",
        )

    # --- For the commands --------------------------------------------------------------------------

    @contextmanager
    def _existing(self) -> Iterator[Cluster | None]:
        """Connect to the cluster, if there is one; nothing is started."""
        local = None if self.options.address else local_cluster.find()
        if self.options.address is None and local is None:
            yield None
            return
        try:
            cluster = Cluster(
                self.options.address or (local.address if local else ""),
                local.token if local else "",
            )
        except Unavailable as error:
            raise _unreachable(error) from error
        try:
            yield cluster
        except Unavailable as error:
            raise _unreachable(error) from error
        finally:
            cluster.close()

    def status(self) -> ClusterStatus | None:
        """Return what runs on the cluster; None when there is none on this machine."""
        with self._existing() as cluster:
            if cluster is None:
                return None
            pools: list[PoolFigures] = []
            kept = 0
            for ledger in cluster.ledgers():
                with suppress(LedgerGone):  # it ended meanwhile
                    pools += cast(list[PoolFigures], cluster.ask(ledger, "status"))
                    kept += cast(int, cluster.ask(ledger, "kept"))
            return ClusterStatus(cluster.address, tuple(cluster.nodes()), tuple(pools), kept)

    def stop(self) -> bool:
        """End all ledgers and workers, and the cluster if it is this machine's own.

        What they have is lost, also for other libraries and people: the calls that are not finished, and the
        results that nobody has collected. Return False when there was nothing to end.
        """
        if self.options.address is None:
            return local_cluster.stop()
        with self._existing() as cluster:
            assert cluster is not None
            ledgers = cluster.ledgers()
            for ledger in ledgers:
                with suppress(LedgerGone):  # it ended meanwhile
                    cluster.kill(ledger)
            return bool(ledgers)


def _paths(models: SpeakerModels | None) -> tuple[str, str] | None:
    """Return the paths of models as text, "" for a published one, so that equal ones are equal everywhere."""
    if models is None:
        return None
    return str(models.segmentation or ""), str(models.embedding or "")


def _unreachable(error: Unavailable) -> SetupError:
    return SetupError(
        f"The Ray cluster cannot be used now: {error.message}",
        "Check the address, and that Ray is running there: `ray status` on its head.",
    )
