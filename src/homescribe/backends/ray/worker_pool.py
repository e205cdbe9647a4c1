"""Workers that have one model loaded, and the calls that wait for them. It knows nothing of Ray.

Each worker gets as many calls at once as its engine has slots, so that the windows of several recordings
meet in one batch. When a worker's process or machine ends, another takes its place, and the calls that it
worked on are tried again, each alone in a worker: any of them may be what ended it. A call that has ended
MAX_DEATHS workers fails, alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Protocol

from homescribe.backends.wire import Reply, Request, describe, one_line
from homescribe.errors import HomescribeError, PermanentError, RetryableError, SetupError

MAX_DEATHS = 3  # of a call: once beside others, then twice alone
MAX_LOADS = 3  # attempts to load the model, of which each ended the worker
PAUSE = 1.0  # seconds before a worker that ended while it loaded is replaced


class WorkerLost(Exception):
    """The process or the machine of a worker has ended, or is out of reach."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A worker's reply as bytes (see ray_worker.py), and whether the worker must be replaced."""

    content: bytes
    worn_out: bool = False


class Worker(Protocol):
    """A process that has an engine, or will have it."""

    async def load(self) -> HomescribeError | None:
        """Load the model; return why it cannot be loaded. Raises WorkerLost."""

    async def transcribe(self, call: PoolCall) -> Answer:
        """Transcribe the recording of `call`. Raises WorkerLost."""

    def end(self) -> None:
        """End the process, if it has not ended."""


@dataclass(slots=True, eq=False)
class PoolCall:
    """A recording to transcribe. `media` is what the workers know its content by, None when it is done."""

    id: str
    request: Request
    media: object
    size: int  # bytes of the media
    deaths: int = 0  # workers that ended while they worked on it
    reply: bytes | None = None
    finished_at: float = 0.0


@dataclass(slots=True, eq=False)
class _Member:
    """A worker of the pool."""

    worker: Worker
    ready: bool = False
    worn_out: bool = False  # gets no more calls, and is replaced after those that it has
    alone: bool = False  # works on one call that may end it
    running: set[PoolCall] = field(default_factory=set)


@dataclass(slots=True)
class Counts:
    """What happened in a pool."""

    done: int = 0  # calls that were answered
    retried: int = 0  # times that a call was given to another worker
    deaths: int = 0  # of workers with a call
    starts: int = 0  # of workers


class WorkerPool:
    """The workers of one spec. All methods are called in one event loop.

    Args:
        start_worker: starts a worker and returns at once.
        finished: called for a call that has its reply.
    """

    def __init__(
        self,
        size: int,
        slots: int,
        start_worker: Callable[[], Worker],
        encode: Callable[[Reply], bytes],
        finished: Callable[[PoolCall], None],
    ) -> None:
        self.counts = Counts()
        self.error: HomescribeError | None = None  # why no worker could be started
        self._size = size
        self._slots = slots
        self._start_worker = start_worker
        self._encode = encode
        self._finished = finished
        self._members: list[_Member] = []
        self._waiting: deque[PoolCall] = deque()
        self._suspects: deque[PoolCall] = deque()  # each has ended a worker, perhaps
        self._failed_loads = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def ensure(self, size: int) -> None:
        """Start workers until there are `size`, also after an earlier attempt failed."""
        self._size = max(self._size, size)
        self.error, self._failed_loads = None, 0
        while len(self._members) < self._size:
            self._add_worker()

    def add(self, call: PoolCall) -> None:
        """Give a call to a worker, now or when one is free."""
        self._waiting.append(call)
        self._dispatch()

    def close(self) -> None:
        """End all workers. Calls keep waiting for `ensure`; those at work are lost to it."""
        for member in self._members:
            member.worker.end()
        self._members.clear()

    @property
    def ready(self) -> int:
        """Workers that have the model loaded."""
        return sum(member.ready for member in self._members)

    @property
    def workers(self) -> int:
        """Workers that are started."""
        return len(self._members)

    @property
    def unfinished(self) -> int:
        """Calls without a reply."""
        running = sum(len(member.running) for member in self._members)
        return len(self._waiting) + len(self._suspects) + running

    # --- Workers -----------------------------------------------------------------------------------

    def _add_worker(self) -> None:
        member = _Member(self._start_worker())
        self._members.append(member)
        self.counts.starts += 1
        self._run(self._load(member))

    async def _load(self, member: _Member) -> None:
        try:
            error = await member.worker.load()
        except WorkerLost as lost:
            self._failed_loads += 1
            if self._failed_loads < MAX_LOADS:
                await asyncio.sleep(PAUSE)
                self._replace(member)
                return
            error = SetupError(
                f"The worker ended {MAX_LOADS} times while it loaded the model: {one_line(str(lost))}",
                "It may need more memory than its machine has. Use a smaller --model.",
            )
        except Exception as unforeseen:  # noqa: BLE001 - whatever it is, this worker is of no use
            words = describe(unforeseen)
            error = SetupError(f"A worker could not be started: {words}")
        if error is None:
            self.error, self._failed_loads = None, 0
            member.ready = True
            self._dispatch()
        elif member in self._members:
            self.error = error
            self._members.remove(member)
            member.worker.end()

    def _replace(self, member: _Member) -> None:
        """Start another worker in place of one that has ended, or must end."""
        if member not in self._members:  # it was replaced, or the pool is closed
            return
        self._members.remove(member)
        member.worker.end()
        self._add_worker()

    # --- Calls -------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Give waiting calls to workers with free slots."""
        members = [member for member in self._members if member.ready and not member.worn_out]
        if self._suspects and members and not any(member.alone for member in members):
            # The worker with the least to do gets no other call, until it can take this one alone.
            reserved = min(members, key=lambda member: len(member.running))
            members.remove(reserved)
            if not reserved.running:
                reserved.alone = True
                self._start(reserved, self._suspects.popleft())
        while self._waiting:
            free = [m for m in members if not m.alone and len(m.running) < self._slots]
            if not free:
                return
            self._start(min(free, key=lambda member: len(member.running)), self._waiting.popleft())

    def _start(self, member: _Member, call: PoolCall) -> None:
        member.running.add(call)
        self._run(self._transcribe(member, call))

    async def _transcribe(self, member: _Member, call: PoolCall) -> None:
        try:
            answer = await member.worker.transcribe(call)
        except WorkerLost as lost:
            self._count_death(member, call, lost)
        except Exception as error:  # noqa: BLE001 - it is about this call: its audio cannot be read, ...
            words = describe(error)
            self._finish(
                call, self._encode(Reply(error=RetryableError(f"The call failed: {words}")))
            )
        else:
            self._finish(call, answer.content)
            member.worn_out = member.worn_out or answer.worn_out
        member.running.discard(call)
        member.alone = False
        if member.worn_out and not member.running:
            self._replace(member)
        self._dispatch()

    def _count_death(self, member: _Member, call: PoolCall, lost: WorkerLost) -> None:
        """Let `call` be tried again, or fail it. All calls of the worker come here, one after the other."""
        if member in self._members:
            self.counts.deaths += 1
            self._replace(member)
        call.deaths += 1
        if call.deaths < MAX_DEATHS:
            self.counts.retried += 1
            self._suspects.append(call)
            return
        error = PermanentError(
            f"{call.deaths} workers ended while they transcribed it, two of them with nothing else to do: "
            f"{one_line(str(lost))}",
            "It may need too much memory, or crash the decoder. To try it again: homescribe retry KEY",
        )
        self._finish(call, self._encode(Reply(error=error, died=True)))

    def _finish(self, call: PoolCall, reply: bytes) -> None:
        call.reply, call.media = reply, None
        self.counts.done += 1
        self._finished(call)

    def _run(self, work: Coroutine[object, None, None]) -> None:
        """Run `work` in the event loop, which keeps no reference to a task by itself."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
