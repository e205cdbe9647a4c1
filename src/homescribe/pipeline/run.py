"""One run: everything that is pending goes through download and backend and ends as an Outcome.

    site threads --Fetched--> this thread --audio--> slot threads --Heard/Failed--> this thread --> library
                                  ^------Submitted (a call that outlives us: stored before all else)---'

This thread alone touches the library, one transaction for each item. A crash anywhere leaves an item as it
was: pending, or in flight with a call that the next run collects before it submits anything.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from queue import Empty, Queue, SimpleQueue
from threading import Event as Flag
from threading import Thread

from homescribe.core import (
    Audio,
    Backend,
    Call,
    Item,
    Outcome,
    Session,
    TranscriptionOptions,
    Uploads,
    Usage,
)
from homescribe.errors import (
    Cancelled,
    ItemError,
    PermanentError,
    SourceBlocked,
    UserError,
)
from homescribe.library import Library
from homescribe.pipeline.add import Sources
from homescribe.pipeline.downloads import TICK, Downloads
from homescribe.pipeline.events import (
    Blocked,
    Crashed,
    Event,
    Failed,
    Fetched,
    Halted,
    Heard,
    Left,
    Submitted,
    Used,
)

# Audios on disk ahead of the engine, for each slot, and at least.
AHEAD_PER_SLOT = 2
AHEAD = 4
# Audio that waits at home for the backend to be worth starting, in bytes. See `Session.worth_starting`.
GATHER = 2_000_000_000
# After a stop, how long threads may finish what they do before they are left behind, in seconds.
GRACE = 1.5


@dataclass
class Progress:
    """What a display shows. The run's threads write it, anyone may read it at any time."""

    items: int = 0  # in this run
    done: int = 0
    failed: int = 0
    audio_seconds: float = 0.0  # of all items in this run, as far as their durations are known
    audio_seconds_done: float = 0.0
    began: float | None = None  # Unix time at which the first audio reached the engine
    loading: str = ""  # the model being loaded
    uploads: Uploads | None = None  # where audio goes up to the backend
    downloading: dict[str, Item] = field(default_factory=dict)
    transcribing: dict[str, tuple[Item, float]] = field(
        default_factory=dict
    )  # seconds done of each
    waiting: dict[str, tuple[float, str]] = field(
        default_factory=dict
    )  # site: until (Unix time), why

    def transcribed_seconds(self) -> float:
        """Seconds of audio done, those inside unfinished items too."""
        return self.audio_seconds_done + sum(s for _, s in list(self.transcribing.values()))


class Run:
    """Transcribes what is pending; iterate over it for the Outcomes, as they happen.

    Args:
        keys: only these items; None for all.
        limit: at most so many items.
        sleep_interval: seconds between downloads from one site; None for the source's own pause.
        disk: bytes of audio that may wait here for a backend that is rented in bursts.
        stop: set it to end the run soon, from any thread or a signal handler; nothing is lost.

    Raises:
        UserError: the user must act. What was finished is stored. A site that blocks us (SourceBlocked)
            is raised after everything else is done.
    """

    def __init__(
        self,
        library: Library,
        sources: Sources,
        backend: Backend,
        *,
        engine: str | None = None,
        model: str | None = None,
        options: TranscriptionOptions | None = None,
        keys: Collection[str] | None = None,
        limit: int | None = None,
        sleep_interval: float | None = None,
        disk: int = GATHER,
        stop: Flag | None = None,
    ) -> None:
        self.progress = Progress()
        self.stop = stop or Flag()
        self._ending = Flag()  # what our threads look at: the caller asked to stop, or the run ends
        self._library = library
        self._sources = sources
        self._backend = backend
        self._engine = engine or backend.default_engine
        self._model = model or backend.default_model
        self._options = options or TranscriptionOptions()
        self._keys = keys
        self._limit = limit
        self._sleep_interval = sleep_interval
        self._disk = disk
        self._inbox: SimpleQueue[Event] = SimpleQueue()
        self._gathered: list[Audio] = []  # on disk, until it is worth starting the backend for it
        self._in_flight: set[str] = set()  # keys that a slot has or will have
        self._ready: Queue[Audio | Call] = Queue()
        self._workers: list[Thread] = []
        self._open: set[str] = set()  # keys of this pass that have not ended yet
        self._fetched: set[str] = set()  # keys whose audio holds a place in the window
        self._submitting: set[str] = set()  # keys whose calls are being made
        self._retryable: set[str] = set()  # keys that may be due again before the run ends
        self._halted: UserError | None = None
        self._blocked: dict[str, SourceBlocked] = {}

    def __iter__(self) -> Iterator[Outcome]:
        with self._library.run_lock():
            calls = self._calls()
            todo = self._due()
            if not calls and not todo:
                return
            self.progress.loading = self._model
            self._count(todo, calls)
            with self._session() as session:
                if session is not None:
                    yield from self._passes(session, todo, calls)

    # --- The thread that iterates ----------------------------------------------------------------

    @contextmanager
    def _session(self) -> Iterator[Session | None]:
        """The backend's session; None when the run is stopped before there is one.

        Loading or fetching a model takes long and cannot be cut short: a thread does it.
        """
        lent = self._backend.start(self._engine, self._model)
        entered: SimpleQueue[Session | BaseException] = SimpleQueue()

        def enter() -> None:
            try:
                entered.put(lent.__enter__())
            except BaseException as error:  # noqa: BLE001 - raised below
                entered.put(error)

        Thread(target=enter, name="load", daemon=True).start()
        while True:
            try:
                session = entered.get(timeout=TICK)
                break
            except Empty:
                if self.stop.is_set():
                    yield None
                    return
        self.progress.loading = ""
        if isinstance(session, BaseException):
            raise session
        self.progress.uploads = session.uploads
        try:
            yield session
        finally:
            lent.__exit__(None, None, None)

    def _passes(self, session: Session, todo: list[Item], calls: list[Call]) -> Iterator[Outcome]:
        """All that is pending, then what failed on the way and is due again by now."""
        downloads = self._downloads(session)
        downloads.sweep(record.item for record in self._library.items() if record.state != "done")
        self._workers = [
            Thread(target=self._work, args=(session,), name=f"slot {n}", daemon=True)
            for n in range(session.slots)
        ]
        for thread in self._workers:
            thread.start()
        try:
            while (todo or calls) and not self._ending.is_set():
                yield from self._pass(session, downloads, todo, calls)
                calls = []
                todo = [item for item in self._due() if item.key in self._retryable]
                downloads = self._downloads(session)
        finally:
            self._ending.set()
            self._store_calls()
        if self._halted:
            raise self._halted
        if self._blocked:
            raise next(iter(self._blocked.values()))

    def _pass(
        self, session: Session, downloads: Downloads, todo: list[Item], calls: list[Call]
    ) -> Iterator[Outcome]:
        self._open = {item.key for item in todo} | {call.item.key for call in calls}
        for call in calls:
            self._hand_over(call)
        downloads.start(todo)
        deadline = None
        while self._open:
            if self.stop.is_set():
                self._ending.set()
            if self._ending.is_set():
                deadline = deadline or time.monotonic() + GRACE
                if not self._busy(downloads) or (
                    time.monotonic() > deadline and not self._submitting
                ):
                    break
            if self._gathered and self._is_time(session, downloads):
                while self._gathered:
                    self._hand_over(self._gathered.pop(0))
            try:
                event = self._inbox.get(timeout=TICK)
            except Empty:
                continue
            yield from self._handle(event, downloads)
        while not self._inbox.empty():
            yield from self._handle(self._inbox.get(), downloads)

    def _hand_over(self, work: Audio | Call) -> None:
        self._in_flight.add(work.item.key)
        self._ready.put(work)

    def _is_time(self, session: Session, downloads: Downloads) -> bool:
        """Whether what is gathered goes to the slots now.

        A backend that is running takes all that comes. One that is not is started when that is worth it,
        or when nothing more comes soon: all is here, the disk is full, every site makes us wait.
        """
        if self._in_flight or not downloads.coming():
            return True
        gathered = sum(audio.path.stat().st_size for audio in self._gathered)
        seconds = sum(audio.duration or audio.item.duration or 0.0 for audio in self._gathered)
        return gathered >= self._disk or session.worth_starting(seconds)

    def _store_calls(self) -> None:
        """However the run ends: no call that was paid for is lost between two threads."""
        while self._submitting or not self._inbox.empty():
            try:
                event = self._inbox.get(timeout=TICK)
            except Empty:
                continue
            if isinstance(event, Submitted):
                self._library.add_call(event.call)
                event.stored.set()
            elif isinstance(event, Used):
                self._account_for(event.usage)

    def _handle(self, event: Event, downloads: Downloads) -> Iterator[Outcome]:
        match event:
            case Fetched(audio):
                self._fetched.add(audio.item.key)
                self._gathered.append(audio)
            case Submitted(call, stored):
                self._library.add_call(call)
                stored.set()
            case Used(usage):
                self._account_for(usage)
            case Heard(item, transcript, seconds):
                item = replace(item, duration=transcript.duration)  # what was heard is no estimate
                self._library.save(item, transcript, seconds)
                self.progress.done += 1
                self.progress.audio_seconds_done += transcript.duration
                self._end(item, downloads)
                yield Outcome(item, transcript=transcript, seconds=seconds)
            case Failed(item, error, fetched):
                self._library.fail(item, error)
                # What was downloaded in part is worth keeping; audio that could not be read is not.
                self._end(
                    item, downloads, keep=not fetched and not isinstance(error, PermanentError)
                )
                self.progress.failed += 1
                if not isinstance(error, PermanentError):
                    self._retryable.add(item.key)
                yield Outcome(item, error=error)
            case Blocked(site, item, error, until, asked):
                if until is None:
                    self._blocked[site] = error
                else:
                    self.progress.waiting[site] = until, error.message
                    if asked:
                        self._library.block_site(site, until, error.message)
                yield Outcome(item, error=error)
            case Left(items):
                self._open -= {item.key for item in items}
            case Halted(halted):
                self._halted = self._halted or halted
                self._ending.set()
            case Crashed(crash):
                self._ending.set()
                raise crash

    def _account_for(self, usage: Usage) -> None:
        """Before the outcome is stored: a call that is collected twice is accounted for once."""
        self._library.add_usage(usage)
        if usage.outcome != "done":
            # There is nothing left to collect, also when its failure ends the run instead of the item.
            self._library.drop_call(usage.call.item.key)

    def _end(self, item: Item, downloads: Downloads, *, keep: bool = False) -> None:
        """`item` is finished in this pass: its audio goes, its place in the window is free."""
        self._open.discard(item.key)
        self._in_flight.discard(item.key)
        self.progress.transcribing.pop(item.key, None)
        if item.key in self._fetched:
            self._fetched.discard(item.key)
            downloads.release(item, keep=keep)
        elif not keep:
            downloads.discard(item)

    def _busy(self, downloads: Downloads) -> bool:
        return downloads.alive() or any(thread.is_alive() for thread in self._workers)

    def _calls(self) -> list[Call]:
        calls = self._library.calls(self._backend.name)
        return [call for call in calls if self._keys is None or call.item.key in self._keys]

    def _due(self) -> list[Item]:
        return self._library.pending(keys=self._keys)[: self._limit]

    def _count(self, todo: list[Item], calls: list[Call]) -> None:
        items = [*todo, *(call.item for call in calls)]
        self.progress.items = len(items)
        self.progress.audio_seconds = sum(item.duration or 0.0 for item in items)

    def _downloads(self, session: Session) -> Downloads:
        def watch(item: Item, begins: bool) -> None:
            self.progress.waiting.pop(self._sources.for_item(item).rate_limit_key(item), None)
            if begins:
                self.progress.downloading[item.key] = item
            else:
                self.progress.downloading.pop(item.key, None)

        waits = self._library.blocked_sites()
        self.progress.waiting.update(waits)
        return Downloads(
            self._sources,
            self._library.directory / "downloads",
            self._inbox,
            self._ending,
            window=max(AHEAD, AHEAD_PER_SLOT * session.slots),
            sleep_interval=self._sleep_interval,
            waits=waits,
            watch=watch,
        )

    # --- The threads of the backend's slots ------------------------------------------------------

    def _work(self, session: Session) -> None:
        while not self._ending.is_set():
            try:
                work = self._ready.get(timeout=TICK)
            except Empty:
                continue
            try:
                self._inbox.put(self._transcribe(session, work))
            except Cancelled:
                return
            except ItemError as error:
                self._inbox.put(Failed(work.item, error, fetched=isinstance(work, Audio)))
            except UserError as error:
                self._inbox.put(Halted(error))
                return
            except BaseException as error:  # noqa: BLE001 - handed to the iterating thread, which raises it
                self._inbox.put(Crashed(error))
                return

    def _transcribe(self, session: Session, work: Audio | Call) -> Heard:
        """Submit audio and wait for its transcript, or wait for what an earlier run submitted."""
        item = work.item
        began = time.time()
        self.progress.began = self.progress.began or began
        self.progress.transcribing[item.key] = item, 0.0

        def tell(seconds: float) -> None:
            self.progress.transcribing[item.key] = item, seconds

        call = self._submit(session, work) if isinstance(work, Audio) else work
        try:
            transcript = session.result(call, self._ending, tell)
        finally:
            if (usage := session.usage(call)) is not None:
                self._inbox.put(Used(usage))
        return Heard(item, transcript, time.time() - began)

    def _submit(self, session: Session, audio: Audio) -> Call:
        """The call, stored by now if it outlives us."""
        self._submitting.add(audio.item.key)
        try:
            call = session.submit(audio, self._options, self._ending)
            submitted = Submitted(call)
            if call.id is not None:
                self._inbox.put(submitted)
        finally:
            self._submitting.discard(audio.item.key)
        if call.id is not None:
            submitted.stored.wait()
        return call
