"""The ledger: an actor on the cluster that keeps calls and their replies by id until a client collects them.

It is detached: it lives on when the client that started it ends. It gives the calls to its workers, which
belong to it and end with it. Without calls and clients it ends itself after a while. The audio that waits is
in Ray's object store, the replies are in memory: a ledger whose machine ends loses both, and its calls are
transcribed again.

There is one ledger for each version of the code, and only plain values pass between a ledger and a client,
so that a later version can collect the calls of an earlier one.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import ray

from homescribe.backends.ray.ray_worker import ActorHandle, encode
from homescribe.backends.ray.worker_pool import PoolCall, Worker, WorkerPool
from homescribe.backends.ray.worker_spec import WorkerSpec
from homescribe.backends.wire import Reply, Request
from homescribe.core import HOUR
from homescribe.errors import RetryableError

NAMESPACE = "homescribe"
PREFIX = "calls-"  # of the names of ledgers; the fingerprint of the code follows

KEEP = 7 * 24 * HOUR  # seconds that a reply is kept for a client that does not come
KEEP_LOCALLY = 24 * HOUR  # the same on a cluster that was started on this machine, for this purpose
# Bytes of replies; beyond, the oldest are deleted, and DELETED is the reply to their calls. An hour of speech
# takes about 20 KB.
MAX_KEPT = 256 * 2**20
MAX_WAITING = 4 * 2**30  # bytes of audio; beyond, clients wait before they send more
IDLE = 30.0  # seconds without a call and a client, after which workers end, and then the ledger
SWITCH = 3.0  # the same for workers in the way of others, of another model
TICK = 0.1
MOST_REPLIES = 16  # in one answer


DELETED = encode(
    Reply(
        error=RetryableError(
            "Its result was deleted before it was collected: the cluster keeps "
            f"{MAX_KEPT // 2**20} MiB of results for all its users."
        )
    )
)


class Admission(TypedDict):
    """What a client that wants to send a recording is to do."""

    call: str  # id of a call with the same recording and options; "" for none
    full: bool  # wait: enough audio is waiting


class PoolFigures(TypedDict):
    """What a status shows of the workers of one model."""

    engine: str
    model: str
    machine: str
    workers: int
    ready: int
    unfinished: int
    done: int
    retried: int
    deaths: int
    starts: int
    error: str


class CallLedger:
    """The actor. Its methods are coroutines of one event loop, so no two of them run at the same moment."""

    def __init__(self, keep: float = KEEP, lease: str = "", idle: float = IDLE) -> None:
        """Start without calls.

        Args:
            keep: seconds.
            lease: file to touch while there is anything to do or to keep; "" for none.
            idle: seconds.
        """
        self._keep = keep
        self._lease = lease
        self._idle = idle
        self._pools: dict[WorkerSpec, WorkerPool] = {}
        self._seen: dict[WorkerSpec, float] = {}  # when a client last wanted these workers
        self._last_client = time.monotonic()
        self._calls: dict[str, PoolCall] = {}
        self._pool_of: dict[str, WorkerSpec] = {}
        self._tokens: dict[str, str] = {}  # of calls that no client has collected
        self._housekeeping: asyncio.Task[None] | None = None

    # --- Workers -----------------------------------------------------------------------------------

    async def ensure(self, spec: WorkerSpec, workers: int) -> None:
        """Start `workers` workers, unless they are there."""
        if self._housekeeping is None:
            self._housekeeping = asyncio.get_running_loop().create_task(self._keep_house())
        if spec not in self._pools:
            self._pools[spec] = WorkerPool(
                workers, spec.slots, lambda: self.start_worker(spec), encode, self._finished
            )
        for other, pool in self._pools.items():
            if other != spec and not pool.unfinished and self._unseen(other) > SWITCH:
                pool.close()  # its machines may be needed now
        self._touch(spec)
        self._pools[spec].ensure(workers)

    def start_worker(self, spec: WorkerSpec) -> Worker:
        """Start a worker and return at once."""
        return ActorHandle(spec)

    async def ready(self, spec: WorkerSpec) -> tuple[int, bytes]:
        """Return how many workers are ready and, if none can be started, a Reply with the error."""
        self._touch(spec)
        pool = self._pools[spec]
        failed = pool.error is not None and not pool.workers
        return pool.ready, encode(Reply(error=pool.error)) if failed else b""

    # --- Calls -------------------------------------------------------------------------------------

    async def admit(self, token: str, size: int) -> Admission:
        """Return what to do with a recording of `size` bytes. `token` is that of its Request."""
        self._touch()
        waiting = sum(call.size for call in self._calls.values() if call.reply is None)
        return {
            "call": self._tokens.get(token, ""),
            "full": waiting > 0 and waiting + size > MAX_WAITING,
        }

    async def submit(self, spec: WorkerSpec, request: Request, media: bytes) -> str:
        """Take a recording and return the id of its call."""
        self._touch(spec)
        if known := self._tokens.get(request["token"]):
            return known
        call = PoolCall(f"ray-{uuid.uuid4().hex}", request, self.store(media), len(media))
        self._calls[call.id], self._pool_of[call.id] = call, spec
        self._tokens[request["token"]] = call.id
        pool = self._pools[spec]
        pool.add(call)
        if not pool.workers:  # they ended because there was nothing to do
            pool.ensure(1)
        return call.id

    def store(self, media: bytes) -> object:
        """Return what workers find the media by. It belongs to this actor, not to the client."""
        return ray.put(media)

    async def collect(
        self, ids: Sequence[str], forget: Sequence[str], seconds: float
    ) -> dict[str, bytes]:
        """Return the replies to some of `ids`, as soon as there is one, at the latest after `seconds`.

        An id that is not known has an empty reply. Calls in `forget` are deleted first. A Reply that is
        returned is kept until it is forgotten, since the client may end before it has stored it.
        """
        for call_id in forget:
            self._drop(call_id)
        deadline = time.monotonic() + seconds
        while True:
            for spec in {self._pool_of[call_id] for call_id in ids if call_id in self._pool_of}:
                self._touch(spec)
            self._touch()
            found = {}
            for call_id in ids:
                call = self._calls.get(call_id)
                if call is None:
                    found[call_id] = b""
                elif call.reply is not None:
                    found[call_id] = call.reply
                    # From now on, the client knows this call by its id.
                    self._forget_token(call)
                elif (failure := await self._cannot_start(call_id)) is not None:
                    return {"": failure}
                if len(found) == MOST_REPLIES:
                    break
            if found or time.monotonic() > deadline:
                return found
            await asyncio.sleep(TICK)

    async def _cannot_start(self, call_id: str) -> bytes | None:
        """Return the error that keeps all workers for this call from starting."""
        spec = self._pool_of[call_id]
        if self._pools[spec].workers or self._pools[spec].error is None:
            return None
        return encode(Reply(error=self._pools[spec].error))

    def _finished(self, call: PoolCall) -> None:
        call.finished_at = time.time()

    def _drop(self, call_id: str) -> None:
        """Delete a call that has a reply."""
        call = self._calls.get(call_id)
        if call is None or call.reply is None:
            return
        del self._calls[call_id], self._pool_of[call_id]
        self._forget_token(call)

    def _forget_token(self, call: PoolCall) -> None:
        """Let the next request with this recording be a call of its own."""
        if self._tokens.get(call.request["token"]) == call.id:
            del self._tokens[call.request["token"]]

    # --- Status and end ------------------------------------------------------------------------------

    async def status(self) -> list[PoolFigures]:
        """Return what every pool of workers does and has done."""
        return [
            {
                "engine": spec.engine,
                "model": spec.model,
                "machine": spec.machine,
                "workers": pool.workers,
                "ready": pool.ready,
                "unfinished": pool.unfinished,
                "error": "" if pool.error is None else pool.error.message,
                "done": pool.counts.done,
                "retried": pool.counts.retried,
                "deaths": pool.counts.deaths,
                "starts": pool.counts.starts,
            }
            for spec, pool in self._pools.items()
        ]

    async def kept(self) -> int:
        """Return how many replies wait to be collected or forgotten."""
        return sum(call.reply not in (None, DELETED) for call in self._calls.values())

    async def stop(self) -> None:
        """End all workers. What they work on is lost."""
        for pool in self._pools.values():
            pool.close()

    def _unseen(self, spec: WorkerSpec) -> float:
        """Return the seconds since a client last wanted these workers."""
        return time.monotonic() - self._seen[spec]

    def _touch(self, spec: WorkerSpec | None = None) -> None:
        self._last_client = time.monotonic()
        if spec is not None:
            self._seen[spec] = self._last_client

    async def _keep_house(self) -> None:
        """Delete what is too old, end workers and finally this actor when nobody needs them."""
        while True:
            now = time.monotonic()
            self._delete_old(time.time())
            for spec, pool in self._pools.items():
                if not pool.unfinished and self._unseen(spec) > self._idle:
                    pool.close()
            idle = now - self._last_client > self._idle
            if self._lease and (self._calls or not idle):
                Path(self._lease).touch()
            if (idle and not self._calls) or now - self._last_client > self._keep:
                self.end()
                return
            await asyncio.sleep(min(1.0, self._idle / 4))

    def _delete_old(self, now: float) -> None:
        done = sorted(
            (call for call in self._calls.values() if call.reply is not None),
            key=lambda call: call.finished_at,
        )
        kept = sum(len(call.reply or b"") for call in done)
        for call in done:
            size = len(call.reply or b"")
            if now - call.finished_at > self._keep:
                kept -= size
                self._drop(call.id)
            elif kept > MAX_KEPT and size > len(DELETED):
                kept -= size - len(DELETED)
                call.reply = DELETED
                self._forget_token(call)

    def end(self) -> None:
        """End this actor, and with it its workers."""
        ray.kill(ray.get_runtime_context().current_actor)
