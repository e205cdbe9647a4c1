"""A Ray cluster on this machine, for those who have none: started by the first run that needs it.

It lives on when that run ends, however it ends, so that its calls can be collected. A small process, the
keeper, starts Ray, and ends it when its ledgers have had nothing to do or to keep for a while (`lease`).

    keeper --starts--> ray start --head --block --starts--> Ray's processes, the ledger, the workers

Ray is bound to the loopback interface and takes requests with its token only. The token is in the environment
of these processes, and in a file that only this user can read and that the keeper removes.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import FrameType

import filelock

from homescribe.core import MINUTE
from homescribe.errors import SetupError

LEASE = 1 * MINUTE  # since a ledger renewed the lease, after which the keeper ends Ray
FIRST_LEASE = 3 * MINUTE  # until the first ledger is there
START_LIMIT = 2 * MINUTE
STOP_LIMIT = 20.0  # seconds
OBJECT_STORE = 200_000_000  # bytes of memory for audio that waits; Ray puts more than that on disk
# Ray takes 127.0.0.1 as its own address only where it believes that there is no other machine.
LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
CPUS = "HOMESCRIBE_RAY_CPUS"  # cores that Ray may give to workers; all by default
SCRATCH = "hs-ray-"  # prefix of the directory for Ray's sockets and logs
TICK = 0.2


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """A cluster that is running on this machine."""

    address: str
    token: str
    lease: Path
    keeper: int  # process id


def folder() -> Path:
    """Return the directory for the files of this machine's cluster. Only this user can read it."""
    import platformdirs

    # A home directory may be shared by several machines.
    place = platformdirs.user_state_path("homescribe") / f"ray-{socket.gethostname()}"
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o700)
    return place


def find() -> LocalCluster | None:
    """Return the cluster of this user on this machine, if it is running."""
    place = folder()
    if not _is_kept(place):
        return None
    try:
        stated = json.loads((place / "cluster.json").read_text(encoding="utf-8"))
        return LocalCluster(stated["address"], stated["token"], place / "lease", stated["keeper"])
    except (OSError, ValueError, KeyError):
        return None


def ensure() -> LocalCluster:
    """Return this machine's cluster, started if needed. SetupError when it does not start."""
    place = folder()
    with filelock.FileLock(place / "start.lock"):
        if found := find():
            (place / "lease").touch()
            return found
        log = place / "log"
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        environment |= LOOPBACK_ONLY | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            # Ray's client server forks while it uses gRPC, whose fork handlers then end the child at times.
            "GRPC_ENABLE_FORK_SUPPORT": "0",
        }
        (place / "lease").touch()
        with log.open("wb") as output:
            keeper = subprocess.Popen(
                [sys.executable, "-m", "homescribe.backends.ray.local_cluster", str(place)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the run only
            )
        deadline = time.monotonic() + START_LIMIT
        while keeper.poll() is None and time.monotonic() < deadline:
            if found := find():
                keeper.returncode = 0  # it outlives this process, which Popen would warn of
                return found
            time.sleep(TICK)
        keeper.terminate()
        keeper.wait()
        raise SetupError("Ray does not start on this machine.", f"See {log}.")


def stop() -> bool:
    """End this machine's cluster. Return False when there is none."""
    found = find()
    if found is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(found.keeper, signal.SIGTERM)
    deadline = time.monotonic() + STOP_LIMIT
    while _is_kept(folder()) and time.monotonic() < deadline:
        time.sleep(TICK)
    return True


def _is_kept(place: Path) -> bool:
    """Return whether a keeper is alive. It holds a lock as long as it is."""
    lock = filelock.FileLock(place / "keeper.lock")
    try:
        with lock.acquire(timeout=0):
            return False
    except filelock.Timeout:
        return True


# --- The keeper ------------------------------------------------------------------------------------


def keep(place: Path) -> int:
    """Start Ray, wait until nobody needs it, end it, and leave nothing behind. Return the exit code."""
    ended = Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)
    lease, stated = place / "lease", place / "cluster.json"
    _remove_leftovers(stated)
    with filelock.FileLock(place / "keeper.lock").acquire(timeout=10), _scratch() as scratch:
        port = _free_port()
        ray = subprocess.Popen(
            _ray_start(port, scratch), process_group=0, preexec_fn=_end_with_parent
        )
        try:
            while ray.poll() is None and not ended.is_set() and not _answers(port):
                time.sleep(TICK)
            draft = stated.with_suffix(".new")
            draft.touch(mode=0o600)
            draft.write_text(
                json.dumps(
                    {
                        "address": f"ray://127.0.0.1:{port}",
                        "token": os.environ["RAY_AUTH_TOKEN"],
                        "keeper": os.getpid(),
                        "scratch": scratch,
                    }
                ),
                encoding="utf-8",
            )
            draft.replace(stated)
            started = time.time()
            while ray.poll() is None and not ended.wait(TICK):
                renewed = lease.stat().st_mtime
                limit = LEASE if renewed > started else FIRST_LEASE
                if time.time() - max(renewed, started) > limit:
                    break
        finally:
            stated.unlink(missing_ok=True)
            # All processes of Ray at once: there is nothing to save, and Ray takes half a minute to end them.
            # Workers have groups of their own, and end when they miss their raylet.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(ray.pid, signal.SIGKILL)
            ray.wait()
    return 0


def _ray_start(port: int, scratch: str) -> list[str]:
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--port=0"),
        *(f"--ray-client-server-port={port}", f"--object-store-memory={OBJECT_STORE}"),
        *("--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={scratch}"),
    ]
    if cpus := os.environ.get(CPUS):
        command.append(f"--num-cpus={cpus}")
    return command


@contextlib.contextmanager
def _scratch() -> Iterator[str]:
    """Make a directory for Ray's sockets and logs, in one that other users cannot enter.

    The path of a socket must be short.
    """
    made = tempfile.mkdtemp(prefix=SCRATCH, dir="/tmp")
    try:
        yield f"{made}/ray"
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _remove_leftovers(stated: Path) -> None:
    """Remove what a keeper that was killed has left: its directory, and the file with its token."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        left = Path(json.loads(stated.read_text(encoding="utf-8"))["scratch"]).parent
        if left.name.startswith(SCRATCH):
            shutil.rmtree(left, ignore_errors=True)
        stated.unlink()


def _free_port() -> int:
    """Return a free port. Ray takes 10002 to 19999 for its workers."""
    while True:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port: int = found.getsockname()[1]
        if not 10_002 <= port <= 19_999:
            return port


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _end_with_parent() -> None:
    """Let Linux end this process when its parent ends, even by SIGKILL."""
    if sys.platform == "linux":
        end_with_parent = 1  # PR_SET_PDEATHSIG, from linux/prctl.h
        ctypes.CDLL(None).prctl(end_with_parent, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(keep(Path(sys.argv[1])))
