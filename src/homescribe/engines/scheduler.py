"""Batches windows of many recordings: a queue in front of one network, and the threads that run it.

Each thread, a worker, computes one batch at a time. The windows that wait are shared out among the workers,
so that a single recording keeps all of them busy. Recordings take turns, one window each, so that a short
one does not wait for a long one. A batch that runs out of memory is halved. A batch that fails otherwise is
run again window by window, so that only the recording whose window caused the failure fails. Windows of a
cancelled recording are dropped, also in the middle of a batch.

Nothing here is specific to Whisper: a task carries samples, the function that computes its result, and that
function's options. What Whisper needs is in whisper_network.py.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from threading import Condition, Event, Thread
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from homescribe.engines.out_of_memory import is_out_of_memory
from homescribe.errors import Cancelled, UserError

STOP_POLL = 0.1  # seconds between two checks of a stop event
MIN_CAPACITY = 6  # windows of one caller, who may wait for the first while the others are computed
BATCH_WAIT = 0.3  # seconds that a batch waits for windows that are still being decoded

Samples: TypeAlias = NDArray[np.float32]  # mono, 16 kHz
Options = TypeVar("Options")
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class Task(Generic[Options, Result]):
    """One window of samples and what to compute from it.

    Tasks with the same `compute`, `batch_key` and `length` can run in one batch.
    """

    samples: Samples
    # Result of each task of a batch, in order. The tasks have features.
    compute: Callable[[Sequence[Task[Options, Result]]], Sequence[Result]]
    options: Options
    stop: Event
    batch_key: Hashable = ()
    length: int = (
        0  # at which the network computes the window; 0: what `Encoder.padded_length` returns
    )
    features: Any = None  # what `Encoder.encode` returned; a retry uses it again
    result: Result | None = None
    error: BaseException | None = None
    done: Event = field(default_factory=Event)

    def cancelled(self) -> bool:
        return self.stop.is_set()


AnyTask: TypeAlias = Task[Any, Any]


class Encoder(Protocol):
    """What the scheduler itself needs of a network."""

    @property
    def batch_size(self) -> int:
        """Windows that one worker computes at once."""

    @property
    def workers(self) -> int:
        """Batches that are computed at the same time, each by a thread of its own."""

    def start_worker(self) -> None:
        """Prepare the current thread, a worker, for computing."""

    def padded_length(self, samples: Samples) -> int:
        """Length at which the network computes a window. Windows of equal length can share a batch."""

    def encode(self, samples: Sequence[Samples], length: int) -> Sequence[object]:
        """Features of each window at this length, which `Task.compute` reads."""


class Scheduler:
    """The queue of one network. Callers `put` tasks and `wait` for them, each from a thread of its own."""

    def __init__(self, network: Encoder) -> None:
        self.network = network
        self.batch_size = network.batch_size  # reduced when memory runs out
        self.queues: deque[deque[AnyTask]] = deque()  # one per caller with waiting tasks
        self.callers = 0
        self.decoding = 0  # callers that are decoding audio rather than waiting for a result
        self.changed = Condition()
        self.closed = False
        self.threads = [
            Thread(target=self._run, name=f"batch-scheduler-{number}", daemon=True)
            for number in range(network.workers)
        ]
        for thread in self.threads:
            thread.start()

    @property
    def capacity(self) -> int:
        """Windows that a caller keeps waiting or running, so that no worker is idle.

        Several callers share them: each window takes memory.
        """
        together = 2 * self.batch_size * len(self.threads)
        return max(MIN_CAPACITY, together // max(1, self.callers))

    # --- For callers -----------------------------------------------------------------------------

    def put(self, queue: deque[AnyTask], task: AnyTask, *, first: bool = False) -> None:
        """Add `task` to the caller's own `queue`, at its head if `first` (a retry)."""
        task.length = task.length or self.network.padded_length(task.samples)
        with self.changed:
            if self.closed:
                raise Cancelled
            if first:
                queue.appendleft(task)
            else:
                queue.append(task)
            if not any(other is queue for other in self.queues):
                self.queues.append(queue)
            self.changed.notify_all()

    def wait(self, task: Task[Options, Result]) -> Result:
        """Return the result of `task`. Raises its error, or Cancelled when its stop event is set."""
        with self.changed:
            self.decoding -= 1
            self.changed.notify_all()
        try:
            while not task.done.wait(STOP_POLL):
                if task.cancelled() or self.closed:
                    raise Cancelled
        finally:
            with self.changed:
                self.decoding += 1
        if task.cancelled():
            raise Cancelled
        if task.error is not None:
            raise task.error
        assert task.result is not None
        return task.result

    def enter(self) -> None:
        """Register a caller that starts to decode audio."""
        with self.changed:
            self.callers += 1
            self.decoding += 1

    def leave(self, queue: deque[AnyTask]) -> None:
        """Unregister a caller and drop the tasks that are still in its `queue`."""
        with self.changed:
            self.callers -= 1
            self.decoding -= 1
            queue.clear()
            self.changed.notify_all()

    def close(self) -> None:
        """End each thread after its current batch."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        for thread in self.threads:
            thread.join()

    # --- The threads ------------------------------------------------------------------------------

    def _run(self) -> None:
        self.network.start_worker()
        while batch := self._next_batch():
            self._process(batch)

    def _next_batch(self) -> list[AnyTask]:
        """Return the next batch, [] only when closed. Waits briefly for callers that may add to it."""
        with self.changed:
            while not self.closed:
                if not self._waiting():
                    self.changed.wait()
                    continue
                if self.decoding:
                    self.changed.wait_for(self._ready, BATCH_WAIT)
                batch = self._take()
                if batch:  # all waiting tasks may have been cancelled in the meantime
                    return batch
        return []

    def _waiting(self) -> int:
        """Number of waiting tasks. Drops cancelled tasks and empty queues."""
        for queue in self.queues:
            while queue and queue[0].cancelled():
                queue.popleft().done.set()
        self.queues = deque(queue for queue in self.queues if queue)
        return sum(map(len, self.queues))

    def _ready(self) -> bool:
        full = self.batch_size * len(self.threads)
        return self.closed or not self.decoding or self._waiting() >= full

    def _take(self) -> list[AnyTask]:
        """Return the first task of the caller whose turn it is, and others that can run with it.

        The others come from all callers in turn, and from anywhere in their queues. The first task of a
        queue waits for at most one batch of each other caller. The batch is this worker's share of what
        waits: another worker, which is busy now, will want the rest.
        """
        share = min(self.batch_size, -(-self._waiting() // len(self.threads)))
        if not self.queues:
            return []
        first = self.queues[0].popleft()
        self.queues.rotate(-1)
        batch = [first]
        # Tasks of each caller that can run with the first, next caller first.
        fitting = [
            (
                queue,
                deque(task for task in queue if _same_batch(task, first) and not task.cancelled()),
            )
            for queue in self.queues
        ]
        while len(batch) < share and any(tasks for _, tasks in fitting):
            for queue, tasks in fitting:
                if tasks and len(batch) < share:
                    batch.append(tasks.popleft())
                    queue.remove(batch[-1])
        return batch

    def _process(self, batch: list[AnyTask]) -> None:
        try:
            self._compute(batch)
        except Exception as error:  # noqa: BLE001 (raised again in the caller that waits for the window)
            self._recover(batch, error)

    def _compute(self, batch: list[AnyTask]) -> None:
        new = [task for task in batch if task.features is None]
        if new:
            features = self.network.encode([task.samples for task in new], batch[0].length)
            for task, one in zip(new, features, strict=True):
                task.features = one
        results = batch[0].compute(batch)
        for task, result in zip(batch, results, strict=True):
            task.result = result
            task.done.set()

    def _recover(self, batch: list[AnyTask], error: Exception) -> None:
        """Run `batch` again: in halves after running out of memory, else one window at a time."""
        out_of_memory = is_out_of_memory(error)
        if len(batch) == 1:
            batch[0].error = _single_window_too_large(error) if out_of_memory else error
            batch[0].done.set()
            return
        del error  # its traceback keeps the network's tensors alive
        size = max(1, len(batch) // 2) if out_of_memory else 1
        if out_of_memory:
            with self.changed:
                self.batch_size = min(self.batch_size, size)
            for task in batch:
                task.features = None
            release_memory()
        for start in range(0, len(batch), size):
            self._process(batch[start : start + size])


def _same_batch(one: AnyTask, other: AnyTask) -> bool:
    """Whether two tasks can run in one batch."""
    return (
        one.length == other.length
        and one.compute == other.compute
        and one.batch_key == other.batch_key
    )


def _single_window_too_large(error: Exception) -> UserError:
    failure = UserError(
        "Out of memory with a single window of speech.",
        "Choose a smaller model, or close other programs.",
    )
    failure.__cause__ = error
    return failure


def release_memory() -> None:
    """Return memory that torch caches, if torch is loaded."""
    import gc
    import sys

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
