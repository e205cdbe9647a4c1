"""Windows of many recordings in one batch: the queue before a network, and the one thread that runs it.

Recordings take turns, a window each, so that a short one is not stuck behind a long one. A batch that runs
out of memory is halved; one that fails otherwise is run again window by window, so that only the recording
with the poisonous window fails. What a caller no longer wants is dropped, also in the middle of a batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Condition, Event, Thread
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from homescribe.engines.loading import is_out_of_memory
from homescribe.engines.timing import Aligned
from homescribe.errors import Cancelled, UserError

POLL = 0.1  # seconds between looks at a stop event
LINGER = 0.3  # seconds that a batch waits for windows that are being decoded


@dataclass(frozen=True, slots=True)
class Written:
    """What the network wrote for one window."""

    tokens: tuple[int, ...]  # without the prompt and the end
    avg_logprob: float
    no_speech_prob: float
    words: tuple[Aligned, ...] = ()


@dataclass(slots=True)
class Task:
    """One window for the network. With a `prompt` it is written down, without one its language is heard."""

    samples: NDArray[np.float32]
    stop: Event
    prompt: tuple[int, ...] = ()
    tokenizer: Any = None
    language: str = "en"
    task: str = "transcribe"
    temperature: float = 0.0
    beam_size: int = 1
    words: bool = False
    seed: int = 0
    features: Any = None  # of the encoder, kept for another try
    result: Any = field(default=None)  # Written, or the probability of each language
    error: BaseException | None = None
    done: Event = field(default_factory=Event)

    @property
    def frames(self) -> int:
        """Of the spectrogram, 100 a second, without the silence it is filled up with."""
        return min(3000, len(self.samples) // 160)

    @property
    def kind(self) -> tuple[object, ...]:
        """Tasks of one kind can be in one batch."""
        spoken = (self.language, self.task) if self.words else ()
        return (len(self.prompt), self.beam_size, self.words, spoken)

    def cancelled(self) -> bool:
        return self.stop.is_set()


class Network(Protocol):
    """A model that hears and writes several windows at once."""

    batch: int  # windows that fit into memory

    @property
    def languages(self) -> list[str]:
        """Codes of the languages it knows."""

    def tokenizer(self, language: str, task: str) -> Any:
        """Tokens to text and back."""

    def encode(self, samples: Sequence[NDArray[np.float32]]) -> list[Any]:
        """What `hear_language` and `write` need of each window."""

    def hear_language(self, features: Sequence[Any]) -> list[dict[str, float]]:
        """Probability of every language, per window."""

    def write(self, tasks: Sequence[Task]) -> list[Written]:
        """What is said in each window. The tasks are of one kind and have features."""


class Scheduler:
    """The queue of one network. Callers `put` tasks and `wait` for them, each from a thread of its own."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.size = network.batch  # becomes smaller when memory runs out
        self.queues: deque[deque[Task]] = deque()  # one per caller that has tasks waiting
        self.feeding = 0  # callers that are decoding and not waiting
        self.changed = Condition()
        self.closed = False
        self.thread = Thread(target=self._run, name="whisper-batches", daemon=True)
        self.thread.start()

    # --- For callers -----------------------------------------------------------------------------

    def put(self, queue: deque[Task], task: Task, *, first: bool = False) -> None:
        """Add `task` to the caller's own `queue`; at its head when it is another try."""
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

    def wait(self, task: Task) -> Any:
        """The result of `task`. Raises what it failed with, or Cancelled when its stop is set."""
        with self.changed:
            self.feeding -= 1
            self.changed.notify_all()
        try:
            while not task.done.wait(POLL):
                if task.stop.is_set() or self.closed:
                    raise Cancelled
        finally:
            with self.changed:
                self.feeding += 1
        if task.stop.is_set():
            raise Cancelled
        if task.error is not None:
            raise task.error
        return task.result

    def enter(self) -> None:
        """A caller begins to decode."""
        with self.changed:
            self.feeding += 1

    def leave(self, queue: deque[Task]) -> None:
        """A caller has all it wants; what still waits in its `queue` is dropped."""
        with self.changed:
            self.feeding -= 1
            queue.clear()
            self.changed.notify_all()

    def close(self) -> None:
        """End the thread, after the batch it is at."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        self.thread.join()

    # --- The thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while batch := self._gather():
            self._process(batch)

    def _gather(self) -> list[Task]:
        """The next batch; [] at the end alone. Waits a little for callers that are about to add to it."""
        with self.changed:
            while not self.closed:
                if not self._waiting():
                    self.changed.wait()
                    continue
                if self.feeding:
                    self.changed.wait_for(self._enough, LINGER)
                batch = self._take()
                if batch:  # all of it may have been called off meanwhile
                    return batch
        return []

    def _waiting(self) -> int:
        for queue in self.queues:
            while queue and queue[0].cancelled():
                queue.popleft().done.set()
        self.queues = deque(queue for queue in self.queues if queue)
        return sum(map(len, self.queues))

    def _enough(self) -> bool:
        return self.closed or not self.feeding or self._waiting() >= self.size

    def _take(self) -> list[Task]:
        """One task of each caller in turn, of the same kind as the first, until the batch is full."""
        batch: list[Task] = []
        passed = 0
        while self.queues and len(batch) < self.size and passed < len(self.queues):
            queue = self.queues[0]
            self.queues.rotate(-1)
            if not queue:
                self.queues.pop()
            elif batch and queue[0].kind != batch[0].kind:
                passed += 1
            else:
                batch.append(queue.popleft())
                passed = 0
        return batch

    def _process(self, batch: list[Task]) -> None:
        try:
            self._compute(batch)
        except Exception as error:  # noqa: BLE001 (handed to the caller whose window it is)
            self._recover(batch, error)

    def _compute(self, batch: list[Task]) -> None:
        fresh = [task for task in batch if task.features is None]
        if fresh:
            features = self.network.encode([task.samples for task in fresh])
            for task, one in zip(fresh, features, strict=True):
                task.features = one
        if batch[0].prompt:
            results: list[Any] = list(self.network.write(batch))
        else:
            results = list(self.network.hear_language([task.features for task in batch]))
        for task, result in zip(batch, results, strict=True):
            task.result = result
            task.done.set()

    def _recover(self, batch: list[Task], error: Exception) -> None:
        """Smaller batches when memory ran out, one window at a time when something else went wrong."""
        memory = is_out_of_memory(error)
        if len(batch) == 1:
            batch[0].error = _too_large(error) if memory else error
            batch[0].done.set()
            return
        del error  # its traceback holds what the network had allocated
        size = max(1, len(batch) // 2) if memory else 1
        if memory:
            self.size = min(self.size, size)
            for task in batch:
                task.features = None
            release_memory()
        for start in range(0, len(batch), size):
            self._process(batch[start : start + size])


def _too_large(error: Exception) -> UserError:
    failure = UserError(
        "Out of memory with a single window of speech.",
        "Choose a smaller model, or close other programs.",
    )
    failure.__cause__ = error
    return failure


def release_memory() -> None:
    """Give back what torch keeps for later, where torch is in use."""
    import gc
    import sys

    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
