"""Downloads, politely ahead of the engine: one thread for each site, one download at a time there.

The window bounds how many audios lie on this disk at once. Pauses follow the source ("6 to 14 seconds for
YouTube"), and a site that asks us to wait is left alone for as long as it asks.
"""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Event as Flag
from threading import Semaphore, Thread

from homescribe.core import HOUR, MINUTE, Item
from homescribe.errors import Cancelled, ItemError, RetryableError, SourceBlocked, UserError
from homescribe.pipeline.add import Sources
from homescribe.pipeline.events import Blocked, Crashed, Event, Failed, Fetched, Halted, Left

# Times in a row that a site may ask us to wait before it counts as blocked.
MAX_WAITS = 3
# Downloads in a row that fail for want of an answer before a site counts as down, and how long it is then
# left alone before each further try, in seconds. A night's outage costs a few items one attempt each.
OUTAGE = 3
OUTAGE_PAUSES = (1 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, 1 * HOUR, 1 * HOUR, 2 * HOUR)
# How often a thread that waits looks whether it should end, in seconds.
TICK = 0.1


class Downloads:
    """Fetches items below `directory`, each in a folder of its own, and posts what became of them.

    Args:
        window: audios that may be on disk and not yet `release`d.
        sleep_interval: seconds between two downloads from one site; None for the source's own range.
        waits: sites that asked us to wait: {site: (Unix time until which, their reason)}.
        watch: told of each item when its download begins (True) and ends (False).
    """

    def __init__(
        self,
        sources: Sources,
        directory: Path,
        inbox: SimpleQueue[Event],
        stop: Flag,
        *,
        window: int,
        sleep_interval: float | None = None,
        waits: Mapping[str, tuple[float, str]] | None = None,
        watch: Callable[[Item, bool], None] = lambda item, begins: None,
    ) -> None:
        self._sources = sources
        self._directory = directory
        self._inbox = inbox
        self._stop = stop
        self._sleep_interval = sleep_interval
        self._waits = dict(waits or {})
        self._watch = watch
        self._places = Semaphore(window)
        self._threads: list[Thread] = []
        self._stalled: set[str] = set()  # sites whose thread waits for room or for the site

    def start(self, items: Iterable[Item]) -> None:
        """Begin to fetch `items`, in their order within each site."""
        sites: dict[str, list[Item]] = {}
        for item in items:
            sites.setdefault(self._sources.for_item(item).rate_limit_key(item), []).append(item)
        self._threads = [
            Thread(target=self._fetch_all, args=(site, queue), name=f"download {site}", daemon=True)
            for site, queue in sites.items()
        ]
        for thread in self._threads:
            thread.start()

    def release(self, item: Item, *, keep: bool = False) -> None:
        """The audio of `item` is no longer needed: make room for the next. `keep` its files for resuming."""
        self._places.release()
        if not keep:
            self.discard(item)

    def discard(self, item: Item) -> None:
        """Remove what was downloaded of `item`."""
        shutil.rmtree(self._folder(item), ignore_errors=True)

    def sweep(self, keep: Iterable[Item]) -> None:
        """Remove what earlier runs left behind of items that are not in `keep`."""
        if not self._directory.is_dir():
            return
        wanted = {self._folder(item) for item in keep}
        for folder in self._directory.iterdir():
            if folder not in wanted:
                shutil.rmtree(folder, ignore_errors=True)

    def alive(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def coming(self) -> bool:
        """Whether more audio comes soon: a polite pause is soon, a full window or a blocked site is not."""
        return any(
            thread.is_alive() and thread.name.removeprefix("download ") not in self._stalled
            for thread in self._threads
        )

    def _folder(self, item: Item) -> Path:
        """The item's own folder, named by its key: no title, no path of a stranger's making."""
        readable = re.sub(r"[^A-Za-z0-9_-]", "-", item.key)[:60]
        return self._directory / f"{readable}-{hashlib.sha256(item.key.encode()).hexdigest()[:8]}"

    def _fetch_all(self, site: str, items: list[Item]) -> None:
        left = list(items)
        try:
            until, _ = self._waits.get(site, (0.0, ""))
            with self._stall(site):
                self._sleep(until - time.time())
            waits = outages = 0  # in a row
            while left:
                self._take_place(site)
                item = left[0]
                try:
                    self._inbox.put(self._fetch(item))
                    left.pop(0)
                    waits = outages = 0
                except SourceBlocked as error:
                    self._places.release()
                    waits += 1
                    wait = error.retry_after if waits <= MAX_WAITS else None
                    if not self._wait_for(site, item, error, wait, asked=True):
                        return
                except ItemError as error:
                    self._places.release()
                    self._inbox.put(Failed(left.pop(0), error, fetched=False))
                    waits = 0
                    outages = outages + 1 if site and _is_outage(error) else 0
                    if outages >= OUTAGE and not self._wait_out(site, item, error, outages):
                        return
                if left:
                    self._sleep(self._pause(left[0]))
        except Cancelled:
            pass
        except UserError as error:
            self._inbox.put(Halted(error))
        except BaseException as error:  # noqa: BLE001 - handed to the iterating thread, which raises it
            self._inbox.put(Crashed(error))
        finally:
            self._inbox.put(Left(tuple(left)))

    def _wait_out(self, site: str, item: Item, error: ItemError, outages: int) -> bool:
        """Nothing works there any more: wait ever longer, so that an outage does not use up every item."""
        pause = dict(enumerate(OUTAGE_PAUSES, OUTAGE)).get(outages)
        blocked = SourceBlocked(
            f"{outages} downloads in a row failed from {site}: {error.message}",
            error.hint or "Check the network, then: homescribe run",
            pause,
        )
        return self._wait_for(site, item, blocked, pause, asked=False)

    def _wait_for(
        self, site: str, item: Item, error: SourceBlocked, seconds: float | None, *, asked: bool
    ) -> bool:
        """Leave `site` alone for so long; False when it is given up (None)."""
        until = None if seconds is None else time.time() + seconds
        self._inbox.put(Blocked(site, item, error, until, asked))
        if seconds is None:
            return False
        with self._stall(site):
            self._sleep(seconds)
        return True

    def _fetch(self, item: Item) -> Fetched:
        folder = self._folder(item)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"Cannot write to {self._directory}: {error.strerror}.",
                "Make room or choose another --library.",
            ) from error
        self._watch(item, True)
        try:
            return Fetched(self._sources.for_item(item).fetch(item, folder, self._stop))
        finally:
            self._watch(item, False)
            with suppress(OSError):  # unless there is something to resume from
                folder.rmdir()

    def _pause(self, item: Item) -> float:
        if self._sleep_interval is not None:
            return self._sleep_interval
        return random.uniform(*self._sources.for_item(item).pause)

    def _take_place(self, site: str) -> None:
        if not self._places.acquire(blocking=False):
            with self._stall(site):
                while not self._places.acquire(timeout=TICK):
                    if self._stop.is_set():
                        raise Cancelled
        if self._stop.is_set():
            raise Cancelled

    @contextmanager
    def _stall(self, site: str) -> Iterator[None]:
        self._stalled.add(site)
        try:
            yield
        finally:
            self._stalled.discard(site)

    def _sleep(self, seconds: float) -> None:
        if seconds > 0 and self._stop.wait(seconds):
            raise Cancelled


def _is_outage(error: ItemError) -> bool:
    """Whether the site or the network may be down, not only this item late (which says until when)."""
    return isinstance(error, RetryableError) and error.retry_after is None
