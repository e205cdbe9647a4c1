"""Delivers the notifications of a run in threads, so that the run does not wait for a slow command or server.

When the run has ended, it waits until everything is delivered. After Ctrl-C that takes a few seconds at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Event, Thread
from types import TracebackType
from typing import Self

from homescribe.core import SECOND, Outcome
from homescribe.errors import HomescribeError
from homescribe.notifications.delivery import NotDelivered, Target
from homescribe.notifications.notification import (
    Notification,
    item_notification,
    run_notification,
)
from homescribe.text.display import count

PLACES = 100  # of notifications that wait for a target; the run waits for a place
POLL_INTERVAL = 0.1 * SECOND
GRACE = 5 * SECOND  # after the run was stopped
LEAST_GRACE = 3 * SECOND  # for what is being delivered, after that
MOST_WARNINGS = 5  # of one target


class Notifier:
    """Notifies `targets` of each outcome of a run, and at the end of the run itself. Use it in `with`.

    Args:
        library: directory of the library, which notifications name.
        stop: the run's; set to end early.
    """

    def __init__(self, targets: Sequence[Target], library: Path, stop: Event) -> None:
        self.warnings: list[str] = []  # complete after the end
        self._library = library
        self._stop = stop
        self._workers = [_Worker(target) for target in targets]
        self._outcomes: dict[str, Outcome] = {}
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        for worker in self._workers:
            worker.start()
        return self

    def add(self, outcome: Outcome) -> None:
        """Notify of an outcome. Waits while too many wait to be delivered."""
        # What the notification of the run says of it; of two outcomes of one item, the later.
        self._outcomes[outcome.item.key] = replace(outcome, transcript=None)
        self._send(lambda: item_notification(outcome, self._library))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After anything but an end or an error of the run itself, the caller does not want to wait.
        hurry = self._stop.is_set() or not (error is None or isinstance(error, HomescribeError))
        if self._outcomes:
            self._send(
                lambda: run_notification(
                    [*self._outcomes.values()],
                    self._library,
                    time.monotonic() - self._began,
                    stopped=hurry,
                    error=error if isinstance(error, HomescribeError) else None,
                )
            )
        self._finish(hurry)
        for worker in self._workers:
            self.warnings += worker.summary()

    def _send(self, make: Callable[[], Notification]) -> None:
        """Make a notification and give it to the targets. An error is a warning and does not end the run."""
        try:
            notification = make()
            for worker in self._workers:
                if worker.target.wants(notification.kind):
                    worker.put(notification, self._stop)
        except Exception as error:  # noqa: BLE001 - the run goes on
            warning = f"A notification was not made: internal error ({type(error).__name__})."
            if warning not in self.warnings:
                self.warnings.append(warning)

    def _finish(self, hurry: bool) -> None:
        """Wait until everything is delivered; after a stop, only for GRACE."""
        for worker in self._workers:
            worker.close()
        give_up_at: float | None = None
        while any(worker.is_alive() for worker in self._workers):
            if hurry or self._stop.is_set():
                give_up_at = give_up_at or time.monotonic() + GRACE
                if time.monotonic() > give_up_at:
                    break
            time.sleep(POLL_INTERVAL)
        for worker in self._workers:
            worker.ending.set()
        for worker in self._workers:
            worker.join(LEAST_GRACE)


class _Worker(Thread):
    """Delivers to one target, in order."""

    def __init__(self, target: Target) -> None:
        super().__init__(daemon=True)
        self.target = target
        self.ending = Event()
        self._queue: Queue[Notification] = Queue(PLACES)
        self._failures: list[str] = []
        self._in_a_row = 0
        self._dropped = 0
        self._closed = False

    def put(self, notification: Notification, stop: Event) -> None:
        """Wait for a place in the queue; without one, drop the notification once the run is stopped."""
        while self.is_alive():
            try:
                self._queue.put(notification, timeout=POLL_INTERVAL)
                return
            except Full:
                if stop.is_set():
                    break
        self._dropped += 1

    def close(self) -> None:
        """Let the thread end after what is in the queue."""
        self._closed = True

    def run(self) -> None:
        while not self.ending.is_set():
            try:
                notification = self._queue.get(timeout=POLL_INTERVAL)
            except Empty:
                if self._closed:
                    return
            else:
                self._deliver(notification)

    def summary(self) -> list[str]:
        """Return sentences about what was not delivered, once the thread has ended."""
        found = list(dict.fromkeys(self._failures))
        warnings = found[:MOST_WARNINGS]
        lost = len(self._failures) - len(warnings) + self._dropped + self._queue.qsize()
        if lost:
            warnings.append(
                f"{self.target.name}: {count(lost, 'notification')} more not delivered."
            )
        return warnings

    def _deliver(self, notification: Notification) -> None:
        most = self.target.most_failures
        if most is not None and self._in_a_row >= most:
            self._dropped += 1
            return
        try:
            self.target.deliver(notification, self.ending)
            self._in_a_row = 0
        except NotDelivered as error:
            self._count_failure(str(error))
        except Exception as error:  # noqa: BLE001 - the next notification may be delivered
            # Only the type: the text may contain addresses and passwords.
            self._count_failure(f"{self.target.name}: internal error ({type(error).__name__}).")

    def _count_failure(self, reason: str) -> None:
        self._failures.append(reason)
        self._in_a_row += 1
