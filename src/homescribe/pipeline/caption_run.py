"""Captions: request the publishers' captions of pending items, so that they can be searched at once.

    caption threads --Requested, Refused, Crashed--> iterating thread
    (one per caption key)

A run does this before it downloads anything. Each key of `Source.caption_key` has a thread of its own, with a
pause between two requests. Only the iterating thread uses the library. It stores each result when it arrives,
so that a run that is killed requests nothing twice but what it was requesting.

A request that fails is no failure of its item, and a site that refuses captions ends nothing but the requests
to it: the recordings are downloaded and transcribed all the same.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event as Flag
from threading import Semaphore, Thread

from homescribe import private_files
from homescribe.core import CaptionPolicy, Captions, Item, Outcome, Source
from homescribe.errors import (
    Cancelled,
    ItemError,
    RetryableError,
    SiteBusy,
    SourceBlocked,
    UserError,
)
from homescribe.library import Library
from homescribe.pipeline.add import Sources
from homescribe.pipeline.crash_log import NOT_OF_ONE_ITEM, internal_error
from homescribe.pipeline.repeated_writes import RepeatedWrites
from homescribe.pipeline.state import CaptionProgress

TICK = 0.1  # seconds between two checks for the end
GRACE = 1.5  # seconds that the threads get to finish after a stop
# Requests in a row without an answer, after which the site or the network counts as down.
OUTAGE = 3
PARALLEL = 8  # requests at a time: yt-dlp takes a process for each


@dataclass(frozen=True, slots=True)
class Requested:
    """The answer for one item: its captions, or an error. None: its source offers no captions of it."""

    key: str  # of the rate limit
    item: Item
    result: Captions | ItemError | None


@dataclass(frozen=True, slots=True)
class Refused:
    """No more captions are requested with this key in this run."""

    key: str
    error: UserError
    retry_after: float | None  # seconds that later runs wait, too


@dataclass(frozen=True, slots=True)
class Crashed:
    """A bug in the thread itself."""

    error: BaseException


class CaptionRun:
    """Request the captions of pending items. Iterate over it for an Outcome of each item that they finish.

    Items whose captions a run replaces have no Outcome yet: they are pending, and can be searched.

    Args:
        policy: the setting `captions`.
        keys: only these items; None for all that are pending.
        limit: items that the run transcribes at most. Captions of as many are requested at most, and the run
            leaves out the items in `left_out`.
        sleep_interval: seconds between two requests with one key; None for the source's own.
        stop: set it to end early. Nothing is lost.
    """

    def __init__(
        self,
        library: Library,
        sources: Sources,
        policy: CaptionPolicy,
        *,
        keys: Collection[str] | None = None,
        limit: int | None = None,
        sleep_interval: float | None = None,
        stop: Flag | None = None,
    ) -> None:
        self.progress = CaptionProgress()
        self.left_out: frozenset[str] = frozenset()  # keys of items that are due, above the limit
        self.stop = stop or Flag()
        self._library = library
        self._write = RepeatedWrites(library, self.stop)
        self._sources = sources
        self._policy = policy
        self._keys = keys
        self._limit = limit
        self._sleep_interval = sleep_interval
        self._inbox: SimpleQueue[Requested | Refused | Crashed] = SimpleQueue()
        self._places = Semaphore(PARALLEL)
        self._ended = Flag()  # nothing is stored any more, so that nothing is to be requested
        self._first_at = 0.0  # Unix time of the first request
        self._waiting: dict[str, int] = {}  # number of items that are not requested yet, by key
        self._pauses: dict[str, float] = {}  # average seconds between two requests, by key

    def __iter__(self) -> Iterator[Outcome]:
        self._write(self._library.apply_caption_policy, self._policy)
        try:
            if self._policy != "ignore":
                yield from self._request(self._by_key())
        finally:
            self._ended.set()
            self.progress.ended = True

    # --- The iterating thread ----------------------------------------------------------------------

    def _by_key(self) -> dict[str, list[Item]]:
        """Return the items whose captions are requested, by the key of their rate limit."""
        blocked = self._library.blocked_captions()
        wanted: list[tuple[Item, Source, str]] = []
        for item, source in to_request(self._library, self._sources, self._keys):
            key = source.caption_key(item)
            if key in blocked:
                self._block(key, blocked[key][1])
            else:
                wanted.append((item, source, key))
        if self._limit is not None:
            number = max(0, self._limit - (self._without_text() - len(wanted)))
            self.left_out = frozenset(item.key for item, _, _ in wanted[number:])
            del wanted[number:]
        found: dict[str, list[Item]] = {}
        for item, source, key in wanted:
            found.setdefault(key, []).append(item)
            self._pauses[key] = self._average_pause(key, source)
        self._waiting = {key: len(items) for key, items in found.items()}
        self.progress.items = sum(self._waiting.values())
        self._estimate()
        return found

    def _without_text(self) -> int:
        """Return the number of pending items without a transcript."""
        return sum(
            not record.has_transcript and (self._keys is None or record.item.key in self._keys)
            for record in self._library.items(state="pending")
        )

    def _request(self, by_key: dict[str, list[Item]]) -> Iterator[Outcome]:
        latest = self._library.latest_caption_request()
        self._first_at = latest or 0.0
        threads = [
            Thread(target=self._request_all, args=(key, items), name=f"captions {key}", daemon=True)
            for key, items in by_key.items()
        ]
        for thread in threads:
            thread.start()
        deadline: float | None = None
        while any(thread.is_alive() for thread in threads) or not self._inbox.empty():
            if self.stop.is_set():
                deadline = deadline or time.monotonic() + GRACE
                if time.monotonic() > deadline:
                    return
            try:
                event = self._inbox.get(timeout=TICK)
            except Empty:
                continue
            yield from self._handle(event)

    def _handle(self, event: Requested | Refused | Crashed) -> Iterator[Outcome]:
        match event:
            case Requested(key, item, result):
                self._waiting[key] -= 1
                self._estimate()
                if result is None:  # nothing was requested
                    self.progress.items -= 1
                    return
                self.progress.requested += 1
                if isinstance(result, ItemError):
                    self._fail(item, result)
                else:
                    yield from self._store(result)
            case Refused(key, error, retry_after):
                self._waiting[key] = 0
                self._estimate()
                self._block(key, error.message)
                if retry_after is not None:
                    until = time.time() + retry_after
                    self._write(self._library.block_captions, key, until, error.message)
            case Crashed(error):
                raise error

    def _fail(self, item: Item, error: ItemError) -> None:
        self.progress.failed += 1
        self._write(self._library.fail_captions, item, error)

    def _store(self, found: Captions) -> Iterator[Outcome]:
        try:
            stored = self._write(self._library.save_captions, found, self._policy)
        except UserError:
            raise
        except Exception as error:  # noqa: BLE001 - a source's transcript that is none
            action = "storing the captions of"
            problem = internal_error(error, self._library.directory, action, found.item.key)
            self._fail(found.item, problem)
            return
        if stored == "not stored" or found.transcript is None:
            return
        if found.transcript.model == "manual":
            self.progress.manual += 1
        else:
            self.progress.automatic += 1
        if stored == "kept":
            self.progress.kept += 1
            # The stored one has replaced words and the names of known voices.
            transcript = self._library.transcript(found.item.key) or found.transcript
            yield Outcome(found.item, transcript=transcript)

    def _block(self, key: str, reason: str) -> None:
        self.progress.blocked = {**self.progress.blocked, key: reason}

    def _estimate(self) -> None:
        """Compute how long the pauses take that are left. Sites are requested from in parallel."""
        left = (number * self._pauses[key] for key, number in self._waiting.items())
        self.progress.seconds_left = max(left, default=0.0)

    # --- The thread of a key ----------------------------------------------------------------------------

    def _request_all(self, key: str, items: list[Item]) -> None:
        try:
            if key:
                self._sleep(self._first_at + self._pauses[key] - time.time())
            unanswered = 0  # in a row
            for number, item in enumerate(items, 1):
                result = self._request_one(item)
                self._inbox.put(Requested(key, item, result))
                if isinstance(result, SiteBusy):
                    self._inbox.put(Refused(key, _as_blocked(result), result.retry_after))
                    return
                unanswered = unanswered + 1 if _is_unanswered(result) else 0
                if key and unanswered >= OUTAGE and isinstance(result, ItemError):
                    self._inbox.put(Refused(key, _as_blocked(result), None))
                    return
                if result is not None and number < len(items):
                    self._sleep(self._pause(key, item))
        except Cancelled:
            pass
        except SourceBlocked as error:
            self._inbox.put(Refused(key, error, error.retry_after))
        except UserError as error:  # the download meets it, too, and the run says what to do
            self._inbox.put(Refused(key, error, None))
        except BaseException as error:  # noqa: BLE001 - the iterating thread raises it
            self._inbox.put(Crashed(error))

    def _request_one(self, item: Item) -> Captions | ItemError | None:
        if self.stop.is_set() or self._ended.is_set():
            raise Cancelled
        name = hashlib.sha256(item.key.encode()).hexdigest()[:16]
        # Where the next run removes what a killed process leaves.
        folder = self._library.directory / "downloads" / f"captions-{name}"
        try:
            private_files.make_folder(folder)
        except OSError as error:
            raise UserError(
                f"Cannot write to {folder.parent}: {error.strerror}.",
                "Free some disk space, or choose another directory with --library.",
            ) from error
        try:
            with self._places:
                return self._sources.for_item(item).captions(item, folder, self.stop)
        except ItemError as error:
            return error
        except NOT_OF_ONE_ITEM:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is about this item
            action = "requesting the captions of"
            return internal_error(error, self._library.directory, action, item.key)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _pause(self, key: str, item: Item) -> float:
        if not key:
            return 0.0
        if self._sleep_interval is not None:
            return self._sleep_interval
        return random.uniform(*self._sources.for_item(item).caption_pause)

    def _average_pause(self, key: str, source: Source) -> float:
        if not key:
            return 0.0
        if self._sleep_interval is not None:
            return self._sleep_interval
        return sum(source.caption_pause) / 2

    def _sleep(self, seconds: float) -> None:
        if seconds > 0 and self.stop.wait(seconds):
            raise Cancelled


def number_of_requests(library: Library, sources: Sources, keys: Collection[str] | None) -> int:
    """Return how many requests for captions the next run makes; for `keys`, unless None."""
    found = to_request(library, sources, keys)
    return sum(bool(source.caption_key(item)) for item, source in found)


def to_request(
    library: Library, sources: Sources, keys: Collection[str] | None
) -> list[tuple[Item, Source]]:
    """Return the items whose captions the next run requests, with their sources; of `keys`, unless None."""
    found = []
    for item in library.captions_due(keys):
        with suppress(UserError):  # a package that is not installed any more: the run says so
            source = sources.for_item(item)
            if type(source).captions is not Source.captions:
                found.append((item, source))
    return found


def _as_blocked(error: ItemError) -> SourceBlocked:
    return SourceBlocked(error.message, error.hint)


def _is_unanswered(result: Captions | ItemError | None) -> bool:
    """Return whether the site or the network may be down."""
    return isinstance(result, RetryableError) and result.retry_after is None
