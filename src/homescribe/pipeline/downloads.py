"""Downloads ahead of the engine, with the pauses that sites expect.

Each site has a thread of its own, which downloads one item at a time and pauses between two downloads. A
site that requests a longer pause gets it. The download buffer limits how many audios are on this disk at
once.
"""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from threading import Event as Flag
from threading import Lock, Semaphore, Thread

from homescribe import private_files
from homescribe.core import HOUR, MINUTE, Audio, Item
from homescribe.errors import (
    Cancelled,
    ItemError,
    RetryableError,
    SiteBusy,
    SourceBlocked,
    UserError,
)
from homescribe.library import KeptAudio
from homescribe.pipeline.add import Sources
from homescribe.pipeline.audio_copies import NewAudio, NotKept
from homescribe.pipeline.crash_log import NOT_OF_ONE_ITEM, internal_error
from homescribe.pipeline.events import (
    Blocked,
    Crashed,
    Downloaded,
    Event,
    Failed,
    Halted,
    NotDownloaded,
)
from homescribe.pipeline.speech_upload import Prepare
from homescribe.pipeline.state import Progress

# Consecutive pauses that a site may request before it counts as blocked for this run.
MAX_WAITS = 3
# Consecutive downloads without an answer after which a site counts as down, and the pauses in seconds
# before each further attempt. So an outage of a night costs a few items one attempt each.
OUTAGE = 3
OUTAGE_PAUSES = (1 * MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, 1 * HOUR, 1 * HOUR, 2 * HOUR)
# Makes the file that is kept of a download.
Keep = Callable[[Audio, Flag], NewAudio | NotKept | None]
# Seconds between two checks of a waiting thread for the end of the run.
TICK = 0.1


class Downloads:
    """Download items into `directory`, each into a folder of its own, and send an event for each.

    Threads: the iterating thread calls every public method. One thread per site runs `_download_all`. They
    share `_places`, a semaphore, and `_stalled`, guarded by `_lock`.

    Args:
        buffer_size: audios that may be on disk and not yet `release`d.
        sleep_interval: seconds between two downloads from one site; None for the source's own range.
        waits: for each site that requested a pause, the Unix time at which it ends, and the site's reason.
        next_at: for each site, the monotonic time of the next download. It is updated, for later Downloads.
        copies: by key, other files with the content of an item, used where its own is missing or was changed.
        kept: by key, audio that the library keeps, used instead of a download.
        keep: makes the file that is kept of a download.
    """

    def __init__(
        self,
        sources: Sources,
        directory: Path,
        inbox: SimpleQueue[Event],
        stop: Flag,
        progress: Progress,
        *,
        buffer_size: int,
        sleep_interval: float | None = None,
        waits: Mapping[str, tuple[float, str]] | None = None,
        next_at: dict[str, float] | None = None,
        copies: Mapping[str, Sequence[Item]] | None = None,
        kept: Mapping[str, KeptAudio] | None = None,
        keep: Keep | None = None,
        prepare: Prepare | None = None,
    ) -> None:
        self._sources = sources
        self._directory = directory
        self._inbox = inbox
        self._stop = stop
        self._progress = progress
        self._sleep_interval = sleep_interval
        self._waits = dict(waits or {})
        self._next_at = {} if next_at is None else next_at
        self._copies = copies or {}
        self._kept = kept or {}
        self._keep = keep
        self._prepare = prepare
        self._prepared: dict[str, float] = {}  # seconds that it took for the last download, by site
        self._places = Semaphore(buffer_size)
        self._threads: dict[str, Thread] = {}  # by site
        self._lock = Lock()
        self._stalled: set[str] = set()  # sites whose thread waits for a place or for the site

    def start(self, items: Iterable[Item]) -> None:
        """Start downloading `items`, in their order within each site."""
        sites: dict[str, list[Item]] = {}
        for item in items:
            try:
                source = self._sources.for_item(item)
                site = "" if self._is_kept(item) else source.rate_limit_key(item)
            except NOT_OF_ONE_ITEM as error:
                if not isinstance(error, UserError):
                    raise
                self._inbox.put(Failed(item, RetryableError(error.message, error.hint)))
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is about this item
                self._inbox.put(Failed(item, self._internal_error(error, item)))
            else:
                sites.setdefault(site, []).append(item)
        self._threads = {
            site: Thread(
                target=self._download_all, args=(site, queue), name=f"download {site}", daemon=True
            )
            for site, queue in sites.items()
        }
        for thread in self._threads.values():
            thread.start()

    def release(self) -> None:
        """Free the place of an audio that is no longer needed."""
        self._places.release()

    def remove(self, item: Item) -> None:
        """Remove the downloaded files of `item`."""
        shutil.rmtree(self._folder(item), ignore_errors=True)

    def remove_all_except(self, items: Iterable[Item]) -> None:
        """Remove what earlier runs downloaded of any items but these."""
        if not self._directory.is_dir():
            return
        kept = {self._folder(item) for item in items}
        for folder in self._directory.iterdir():
            if folder not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def alive(self) -> bool:
        """Return whether any download thread is still running."""
        return any(thread.is_alive() for thread in self._threads.values())

    def more_soon(self) -> bool:
        """Return whether more audio arrives soon.

        A pause between two downloads counts as soon; a full buffer or a blocked site does not.
        """
        with self._lock:
            return any(
                thread.is_alive() and site not in self._stalled
                for site, thread in self._threads.items()
            )

    def _folder(self, item: Item) -> Path:
        """Return the item's folder, named by its key: no part of a path comes from a title."""
        readable = re.sub(r"[^A-Za-z0-9_-]", "-", item.key)[:60]
        return self._directory / f"{readable}-{hashlib.sha256(item.key.encode()).hexdigest()[:8]}"

    def _download_all(self, site: str, items: list[Item]) -> None:
        remaining = list(items)
        try:
            until, _ = self._waits.get(site, (0.0, ""))
            with self._stall(site):
                self._sleep(until - time.time())
            self._sleep(self._next_at.get(site, 0.0) - time.monotonic())
            waits = outages = 0  # consecutive
            while remaining:
                self._take_place(site)
                item = remaining[0]
                try:
                    self._inbox.put(self._download(site, item))
                    remaining.pop(0)
                    waits = outages = 0
                except SourceBlocked as error:
                    self._places.release()
                    waits += 1
                    seconds = error.retry_after if waits <= MAX_WAITS else None
                    if not self._wait_for(site, item, error, seconds, requested=True):
                        return
                except ItemError as error:
                    self._places.release()
                    self._inbox.put(Failed(remaining.pop(0), error))
                    waits = waits + 1 if isinstance(error, SiteBusy) else 0
                    if isinstance(error, SiteBusy):
                        more = bool(remaining)
                        if not self._wait_while_busy(site, item, error, waits, more=more):
                            return
                    outages = outages + 1 if site and _is_outage(error) else 0
                    if outages >= OUTAGE and not self._wait_out(site, item, error, outages):
                        return
                except NOT_OF_ONE_ITEM:
                    raise
                except BaseException as error:  # noqa: BLE001 - whatever it is, it is about this item
                    self._places.release()
                    self._inbox.put(Failed(remaining.pop(0), self._internal_error(error, item)))
                pause = self._pause(item) - self._prepared.pop(site, 0.0)
                self._next_at[site] = time.monotonic() + pause
                if remaining:
                    self._sleep(pause)
        except Cancelled:
            pass
        except UserError as error:
            self._inbox.put(Halted(error))
        except BaseException as error:  # noqa: BLE001 - the iterating thread raises it
            self._inbox.put(Crashed(error))
        finally:
            self._inbox.put(NotDownloaded(tuple(remaining)))

    def _wait_while_busy(
        self, site: str, item: Item, error: SiteBusy, waits: int, *, more: bool
    ) -> bool:
        """Wait as long as the site of a failed item requests; return False when it did so too many times.

        Without `more` items of the site, only later runs wait.

        The item counts as failed, unlike after SourceBlocked: a server that fails for one recording only
        must not keep the site's others from ever being downloaded.
        """
        blocked = SourceBlocked(error.message, error.hint, error.retry_after)
        seconds = error.retry_after if waits <= MAX_WAITS or not more else None
        if not more and seconds is not None:
            self._inbox.put(Blocked(site, item, blocked, time.time() + seconds, requested=True))
            return True
        return self._wait_for(site, item, blocked, seconds, requested=True)

    def _wait_out(self, site: str, item: Item, error: ItemError, outages: int) -> bool:
        """Wait longer after each failure, so that an outage does not use up an attempt of every item.

        Returns False when the outage has lasted too long.
        """
        pause = dict(enumerate(OUTAGE_PAUSES, OUTAGE)).get(outages)
        blocked = SourceBlocked(
            f"{outages} downloads in a row failed from {site}: {error.message}",
            error.hint or "Check the network, then: homescribe run",
            pause,
        )
        return self._wait_for(site, item, blocked, pause, requested=False)

    def _wait_for(
        self, site: str, item: Item, error: SourceBlocked, seconds: float | None, *, requested: bool
    ) -> bool:
        """Wait `seconds` before the next request to `site`; return False at once if they are None."""
        until = None if seconds is None else time.time() + seconds
        self._inbox.put(Blocked(site, item, error, until, requested))
        if seconds is None:
            return False
        with self._stall(site):
            self._sleep(seconds)
        return True

    def _is_kept(self, item: Item) -> bool:
        kept = self._kept.get(item.key)
        return kept is not None and kept.is_there

    def _download(self, site: str, item: Item) -> Downloaded:
        folder = self._folder(item)
        try:
            private_files.make_folder(folder)
        except OSError as error:
            raise UserError(
                f"Cannot write to {self._directory}: {error.strerror}.",
                "Free some disk space, or choose another directory with --library.",
            ) from error
        self._progress.download_started(item, site)
        try:
            audio = self._fetch(item, folder)
            if self._keep is None and self._prepare is None:
                return Downloaded(audio)
            began = time.monotonic()
            new = self._keep(audio, self._stop) if self._keep is not None else None
            if self._prepare is not None:
                copy = new if isinstance(new, NewAudio) else None
                audio = self._prepare(audio, folder, self._stop, copy)
            self._prepared[site] = time.monotonic() - began
            return Downloaded(audio, new)
        finally:
            with suppress(OSError):  # not empty: there is something to resume
                folder.rmdir()

    def _fetch(self, item: Item, folder: Path) -> Audio:
        try:
            if self._is_kept(item):
                kept = self._kept[item.key]
                return Audio(item, kept.path, duration=kept.duration, temporary=False)
            source = self._sources.for_item(item)
            return source.fetch(item, folder, self._stop)
        except ItemError:
            for copy in self._copies.get(item.key, ()):
                with suppress(ItemError):
                    audio = source.fetch(
                        replace(copy, identities=item.identities), folder, self._stop
                    )
                    known = replace(item, identities=audio.item.identities)
                    return replace(audio, item=known)
            raise
        finally:
            self._progress.download_ended(item)

    def _pause(self, item: Item) -> float:
        """Return the seconds to wait after downloading `item`."""
        if self._is_kept(item):
            return 0.0
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

    def _internal_error(self, error: BaseException, item: Item) -> ItemError:
        return internal_error(error, self._directory.parent, "downloading", item.key)

    @contextmanager
    def _stall(self, site: str) -> Iterator[None]:
        """Mark `site` as stalled during the block."""
        with self._lock:
            self._stalled.add(site)
        try:
            yield
        finally:
            with self._lock:
                self._stalled.discard(site)

    def _sleep(self, seconds: float) -> None:
        if seconds > 0 and self._stop.wait(seconds):
            raise Cancelled


def _is_outage(error: ItemError) -> bool:
    """Return whether the site or the network may be down, rather than this item not available yet."""
    return isinstance(error, RetryableError) and error.retry_after is None
