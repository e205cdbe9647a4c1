"""A connection to a Ray cluster, by Ray's client (ray://). One in a process, as Ray allows.

Ray's client keeps this process apart from the cluster. A process that joins the cluster itself is ended by
Ray when the cluster ends.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock, Thread
from typing import TypedDict, cast

import ray
import ray.exceptions
from ray._raylet import AuthenticationTokenLoader, Config
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import homescribe
from homescribe.backends.engine_code import EngineClass, local_package, source_files
from homescribe.backends.ray.call_ledger import NAMESPACE, PREFIX, CallLedger
from homescribe.backends.ray.cluster_probe import probe
from homescribe.backends.ray.ray_errors import Unavailable, cluster_errors
from homescribe.backends.ray.ray_worker import missing_packages
from homescribe.backends.ray.worker_spec import Node
from homescribe.errors import SetupError, UserError

SCHEME = "ray://"
DEFAULT_PORT = 10001  # of Ray's client server
# A cluster starts a process for each client, which fails now and then.
CONNECT_ATTEMPTS = 3
CONNECT_PAUSE = 1.0  # seconds
CLOSE_LIMIT = 5.0  # seconds to say goodbye to a cluster that may be gone
# Parts of the package that workers do not need.
NOT_SENT = ["demo/samples", "web", "**/__pycache__"]


class RayNode(TypedDict):
    """What ray.nodes() says about a machine, as far as it is used."""

    NodeID: str
    Alive: bool
    Resources: dict[str, float]


def checked_address(address: str) -> str:
    """Return an address of Ray's client server; UserError for any other."""
    host, _, port = address.removeprefix(SCHEME).rpartition(":")
    if not address.startswith(SCHEME) or not host or not port.isdigit():
        raise UserError(
            f"{address!r} is not the address of a Ray cluster.",
            f"Use {SCHEME}HOST:{DEFAULT_PORT}, where HOST is the machine on which `ray start --head` ran.",
        )
    return address


def code_to_send(engine_class: EngineClass | None = None) -> list[str]:
    """Return the packages of this machine that workers need: paths of modules."""
    names = ["homescribe"]
    if engine_class is not None and (own := local_package(engine_class)):
        names.append(own)
    return names


def fingerprint(packages: Sequence[str]) -> str:
    """Return a name for the code of `packages`, which changes with it."""
    digest = hashlib.sha256()
    for package in packages:
        for name, content in source_files(package):
            digest.update(name.encode() + content)
    return f"{homescribe.__version__}-{digest.hexdigest()[:12]}"


class Cluster:
    """A cluster that this process is connected to, and sends the code of `packages` to."""

    def __init__(
        self, address: str, token: str = "", packages: Sequence[str] = ("homescribe",)
    ) -> None:
        self.address = checked_address(address)
        self.name = f"{PREFIX}{fingerprint(packages)}"  # of the ledger for this code
        self._token = token
        self._packages = packages
        self._lock = Lock()
        self._connections = 0
        if ray.is_initialized():
            raise UserError(
                "This process is connected to a Ray cluster already.", "End that connection first."
            )
        for left in reversed(range(CONNECT_ATTEMPTS)):
            try:
                self._connect()
                return
            except Unavailable:
                self.close()
                if not left:
                    raise
                time.sleep(CONNECT_PAUSE)

    def close(self) -> None:
        """End the connection. Calls in flight continue on the cluster."""
        thread = Thread(target=_disconnect, name="ray goodbye", daemon=True)
        thread.start()
        thread.join(CLOSE_LIMIT)

    def _connect(self) -> None:
        modules = [str(_location(package)) for package in self._packages]
        with cluster_errors(), _token_set(self._token), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            probe(*_host_and_port(self.address))
            ray.init(
                self.address,
                namespace=NAMESPACE,
                log_to_driver=False,
                logging_level=logging.CRITICAL,  # what goes wrong is raised
                runtime_env={"py_modules": modules, "excludes": NOT_SENT},
            )
        self._connections += 1

    @property
    def connection(self) -> int:
        """The number of the present connection."""
        return self._connections

    def reconnect(self, lost: int) -> None:
        """Connect again, unless another thread has done so since the connection `lost`."""
        with self._lock:
            if lost == self._connections:
                self.close()
                self._connect()

    # --- Machines ----------------------------------------------------------------------------------

    def nodes(self) -> list[Node]:
        """Return the machines that are alive."""
        with cluster_errors():
            found = cast(list[RayNode], ray.nodes())
        return [
            Node(
                node["NodeID"], node["Resources"].get("CPU", 0.0), node["Resources"].get("GPU", 0.0)
            )
            for node in found
            if node["Alive"]
        ]

    def missing_packages(self, nodes: Sequence[Node], requirements: Sequence[str]) -> list[str]:
        """Return those of `requirements` that some of the machines have not installed."""
        if not requirements:
            return []
        with cluster_errors():
            asked = [
                ray.remote(missing_packages)
                .options(
                    num_cpus=0,
                    scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
                )
                .remote(list(requirements))
                for node in nodes
            ]
            lacking = {name for missing in ray.get(asked, timeout=60) for name in missing}
        return [requirement for requirement in requirements if requirement in lacking]

    # --- Ledgers -----------------------------------------------------------------------------------

    def start_ledger(self, keep: float, lease: str, idle: float) -> None:
        """Start the ledger for this code, unless there is one. It lives on the head of the cluster."""
        with cluster_errors():
            handle = (
                ray.remote(CallLedger)
                .options(
                    name=self.name,
                    lifetime="detached",
                    get_if_exists=True,
                    num_cpus=0,
                    max_concurrency=1000,
                    resources={"node:__internal_head__": 0.001},
                )
                .remote(keep, lease, idle)
            )
            ray.get(handle.status.remote(), timeout=120)

    def ledgers(self) -> list[str]:
        """Return the names of all ledgers, also those of other versions."""
        with cluster_errors():
            return sorted(n for n in ray.util.list_named_actors() if n.startswith(PREFIX))

    def ask(self, ledger: str, method: str, *arguments: object, limit: float = 30.0) -> object:
        """Return what a method of the ledger returns, within `limit` seconds. Bytes are sent by ray.put."""
        with cluster_errors():
            handle = ray.get_actor(ledger, namespace=NAMESPACE)
            sent = [ray.put(each) if isinstance(each, bytes) else each for each in arguments]
            return ray.get(getattr(handle, method).remote(*sent), timeout=limit)

    def kill(self, ledger: str) -> None:
        """End a ledger and its workers."""
        with cluster_errors(), suppress(ray.exceptions.GetTimeoutError):
            handle = ray.get_actor(ledger, namespace=NAMESPACE)
            ray.get(handle.stop.remote(), timeout=30)
            ray.kill(handle)


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.removeprefix(SCHEME).rpartition(":")
    return host.strip("[]"), int(port)


def _location(package: str) -> Path:
    """Return the folder or file of an installed package."""
    module = __import__(package)
    if paths := list(getattr(module, "__path__", [])):
        return Path(paths[0])
    if module.__file__ is None:
        raise SetupError(f"The package {package!r} has no files to send.")
    return Path(module.__file__)


def _disconnect() -> None:
    with suppress(Exception):
        ray.shutdown()


@contextmanager
def _token_set(token: str) -> Iterator[None]:
    """Set Ray's variables for `token` while it connects, so that no child process inherits them."""
    if not token:
        yield
        return
    before = {name: os.environ.get(name) for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token)
    # Ray has read its variables when it was imported, perhaps for another cluster.
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
