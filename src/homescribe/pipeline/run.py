"""Run: download and transcribe everything that is pending, and yield an Outcome per item.

    download threads --Downloaded--> iterating thread --audio--> slot threads
      (one per site)                        ^                    (one per slot)
                                            '--Submitted, Transcribed, Failed--'

Only the iterating thread uses the library, with one transaction per item. A slot that has submitted a call
that outlives this process waits until the iterating thread has stored the call. So a crash at any moment
leaves an item either pending or with a stored call, which the next run collects before it submits anything.

The threads share two queues (`Run._inbox` for events, `Run._queue` for work), two flags (`Run.stop`, set by
the caller, and `Run._ending`), and the state in state.py, which guards itself.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
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
    Usage,
)
from homescribe.errors import (
    ItemError,
    PermanentError,
    SourceBlocked,
    SuspectError,
    UserError,
)
from homescribe.library import Library
from homescribe.pipeline.add import Sources
from homescribe.pipeline.audio_copies import KeepAudio, keep_audio, usable
from homescribe.pipeline.caption_run import CaptionRun
from homescribe.pipeline.crash_log import internal_error
from homescribe.pipeline.downloads import TICK, Downloads
from homescribe.pipeline.engine_faults import CHECK_KEY, EngineFaults
from homescribe.pipeline.events import (
    Blocked,
    Check,
    Checked,
    Crashed,
    Downloaded,
    Event,
    Failed,
    Halted,
    NotDownloaded,
    Started,
    Submitted,
    Transcribed,
    Used,
)
from homescribe.pipeline.outcome_listener import OutcomeListener
from homescribe.pipeline.run_storage import RunStorage, Store, gone
from homescribe.pipeline.slots import Slots
from homescribe.pipeline.speech_upload import Prepare
from homescribe.pipeline.state import BUFFERED, WITH_BACKEND, Progress, Stage, Stages
from homescribe.text.language_names import language_code

# Places in the download buffer: for each slot of the backend, and at least.
BUFFER_PER_SLOT = 2
MIN_BUFFER = 4
# Bytes of audio to hold back until the backend is worth starting. See `Session.worth_starting`.
HELD_BACK_BYTES = 2_000_000_000
# Seconds that the threads get to finish after a stop.
GRACE = 1.5


def with_language_code(options: TranscriptionOptions) -> TranscriptionOptions:
    """Return `options` with Whisper's code as the language: "de" for "German" or "de_AT"."""
    if options.language is None or options.language == language_code(options.language):
        return options
    return replace(options, language=language_code(options.language))


class Run:
    """Transcribe what is pending. Iterate over a Run for its Outcomes, in the order in which items finish.

    Args:
        backend: where the engine runs: `LocalBackend()` for this computer.
        engine, model: as for `transcribe`.
        keys: transcribe only these items; None for all.
        again: transcribe these items even if they are transcribed or failed. A stored transcript is replaced
            only by a new one.
        limit: transcribe at most this many items.
        captions: what requests captions before anything is downloaded. None: nothing does.
        sleep_interval: seconds between two downloads from one site; None for the source's default.
        disk: bytes of audio to hold back at most until a rented backend is worth starting.
        known_good: a recording that any engine can transcribe, to find out whether an engine that fails is
            broken. None: each failure is that of its item.
        keep_audio: keep the audio of downloads in the library. Kept audio is transcribed without a download.
        store: stores what the engine returns, and returns the transcript of the item; None if the item is not
            there any more. Default: its transcript is replaced.
        listener: gets each outcome before it is yielded, and is left when the run has ended.
        notes: sentences for the user, before the run starts.
        prepare: makes what is submitted from what was fetched, in the pause before the next download.
        stop: set it, from any thread or a signal handler, to end the run early. Nothing is lost.

    Raises:
        UserError: the user must act. What was finished is stored. A site that blocks downloads
            (SourceBlocked) is raised after everything else is done.
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
        again: Collection[str] = (),
        limit: int | None = None,
        captions: CaptionRun | None = None,
        sleep_interval: float | None = None,
        disk: int = HELD_BACK_BYTES,
        known_good: Path | None = None,
        keep_audio: KeepAudio | None = None,
        prepare: Prepare | None = None,
        store: Store | None = None,
        listener: OutcomeListener | None = None,
        notes: Sequence[str] = (),
        stop: Flag | None = None,
    ) -> None:
        # Used by all threads:
        self.progress = Progress(captions=captions.progress if captions else None)
        self.notes = tuple(notes)
        self.stop = stop or Flag()
        self._ending = Flag()  # the run is to end: the caller set `stop`, or something ended it
        self._ended = Flag()  # nothing is stored any more
        self._stages = Stages()
        self._inbox: SimpleQueue[Event] = SimpleQueue()
        self._queue: Queue[Audio | Call | Check] = Queue()  # work for the slots
        # Constant:
        self._sources = sources
        self._backend = backend
        self._engine = engine or backend.default_engine
        self._model = model or backend.default_model
        self._options = with_language_code(options or TranscriptionOptions())
        self._keys = keys
        self._again = again
        self._limit = limit
        self._captions = captions
        self._sleep_interval = sleep_interval
        self._disk = disk
        self._keep_audio = keep_audio
        self._prepare = prepare
        self._listener = listener
        # Used only by the iterating thread:
        self._library = library
        self._storage = RunStorage(
            library,
            self.progress,
            self.stop,
            self._stages.not_final,
            self._end,
            keep_audio=keep_audio,
            store=store,
        )
        self._held_back: list[Audio] = []  # of the items in stage DOWNLOADED
        self._slots: Slots | None = None
        self._faults = EngineFaults(known_good)
        self._started: Session | None = None
        self._halted: UserError | None = None
        self._blocked: dict[str, SourceBlocked] = {}
        self._alone: frozenset[str] = frozenset()  # keys of items to process alone
        self._copies: dict[str, tuple[Item, ...]] = {}  # by key, files with the content of an item
        self._next_at: dict[str, float] = {}  # monotonic time of the next download, by site

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the user, once the run has ended."""
        of_listener = self._listener.warnings if self._listener else ()
        return (*self._storage.writes.warnings, *of_listener)

    def __iter__(self) -> Iterator[Outcome]:
        if self._listener is None:
            yield from self._outcomes()
            return
        with self._listener as listener:
            for outcome in self._outcomes():
                listener.add(outcome)
                yield outcome

    def _outcomes(self) -> Iterator[Outcome]:
        with self._library.run_lock():
            self._storage.finish_replacements()
            self._storage.retry(self._again)
            self._library.audio.sweep()
            yield from self._set_suspects_aside()
            if self._captions is not None:
                yield from self._captions
                if self.stop.is_set():
                    return
            calls = self._stored_calls()
            items = self._due()
            if not calls and not items:
                return
            self.progress.loading = self._model
            self._count(items, calls)
            with self._session() as session:
                self._started = session
                if session is not None:
                    yield from self._passes(session, items, calls)

    # --- The iterating thread ----------------------------------------------------------------------

    def _set_suspects_aside(self) -> Iterator[Outcome]:
        """Fail each item during which the process died twice, so that it does not end this run, too."""
        deaths = self._storage.deaths()
        self._alone = deaths.alone
        for item in deaths.suspects:
            error = SuspectError(
                "The process died twice while this recording was being transcribed.",
                "It may need too much memory, or crash the decoder. To try it again: homescribe retry KEY",
            )
            self._storage.failure(item, error)
            if self._keys is None or item.key in self._keys:
                self.progress.failed += 1
                yield Outcome(item, error=error)

    @contextmanager
    def _session(self) -> Iterator[Session | None]:
        """Start the backend's session; None if the run is stopped before it has started.

        A thread does it, because loading or downloading a model takes long and cannot be interrupted.
        """
        manager = self._backend.start(self._engine, self._model)
        started: SimpleQueue[Session | BaseException] = SimpleQueue()

        def start() -> None:
            try:
                started.put(manager.__enter__())
            except BaseException as error:  # noqa: BLE001 - raised below
                started.put(error)

        Thread(target=start, name="load", daemon=True).start()
        while True:
            try:
                session = started.get(timeout=TICK)
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
            manager.__exit__(None, None, None)

    def _passes(self, session: Session, items: list[Item], calls: list[Call]) -> Iterator[Outcome]:
        """Process everything that is pending, then whatever failed meanwhile and is due again."""
        records = list(self._library.items())
        self._copies = {record.item.key: record.copies for record in records if record.copies}
        downloads = self._downloads(session)
        downloads.remove_all_except(record.item for record in records if record.state != "done")
        self._slots = Slots(
            session,
            self._options,
            self._queue,
            self._inbox,
            self._stages,
            self.progress,
            self._ending,
            self._ended,
            self._library.directory,
        )
        self._slots.start()
        try:
            # Items during which a process died come last, and one at a time.
            alone = [item for item in items if item.key in self._alone]
            items = [item for item in items if item.key not in self._alone]
            while (items or calls or alone) and not self._ending.is_set():
                if items or calls:
                    yield from self._pass(session, downloads, items, calls)
                else:
                    item = alone.pop(0)
                    if self._sources.for_item(item).rate_limit_key(item) in self._blocked:
                        continue
                    yield from self._pass(session, downloads, [item], [])
                calls = []
                retryable = (i for i in self._due() if self._stages.get(i.key) is Stage.RETRYABLE)
                items = [item for item in retryable if item.key not in self._faults.held]
                downloads = self._downloads(session)
            yield from self._record_held()
        finally:
            self._end()
            try:
                self._store_rest()
            finally:
                self._ended.set()
                self._slots.join()
                self._storage.stopped()
        if self._halted:
            raise self._halted
        if self._blocked:
            raise next(iter(self._blocked.values()))

    def _pass(
        self, session: Session, downloads: Downloads, items: list[Item], calls: list[Call]
    ) -> Iterator[Outcome]:
        """Process `items` and collect `calls` until each has ended, or the run ends."""
        self._stages.set((item.key for item in items), Stage.WAITING)
        self._stages.set((call.item.key for call in calls), Stage.COLLECTING)
        for call in calls:
            self._queue.put(call)
        downloads.start(items)
        deadline = None
        while not self._stages.all_final():
            if self.stop.is_set():
                self._end()
            if self._ending.is_set():
                deadline = deadline or time.monotonic() + GRACE
                if not self._threads_alive(downloads) or (
                    time.monotonic() > deadline and not self._stages.any_in([Stage.SUBMITTING])
                ):
                    break
            if self._held_back and self._should_submit(session, downloads):
                self._queue_held_back()
            try:
                event = self._inbox.get(timeout=TICK)
            except Empty:
                continue
            yield from self._handle(event, downloads)
        while not self._inbox.empty():
            yield from self._handle(self._inbox.get(), downloads)

    def _should_submit(self, session: Session, downloads: Downloads) -> bool:
        """Return whether to pass the audio that is held back to the slots now.

        A backend that is already working takes audio as it arrives. One that is not is started when this
        much audio justifies it, or when no more arrives soon: everything is downloaded, the disk limit or
        the download buffer is reached, or every site makes us wait.
        """
        if self._stages.any_in(WITH_BACKEND) or not downloads.more_soon():
            return True
        size = sum(_size(audio.path) for audio in self._held_back)
        seconds = sum(audio.duration or audio.item.duration or 0.0 for audio in self._held_back)
        return size >= self._disk or session.worth_starting(seconds)

    def _queue_held_back(self) -> None:
        self._stages.set((audio.item.key for audio in self._held_back), Stage.QUEUED)
        for audio in self._held_back:
            self._queue.put(audio)
        self._held_back.clear()

    def _end(self) -> None:
        """Let all threads end soon, and no submission start any more."""
        self._stages.close()
        self._ending.set()

    def _store_rest(self) -> None:
        """Store what has arrived meanwhile, however the run ends: the calls of submissions that have started,
        which are paid for, and finished transcripts.

        Raises UserError when some could not be stored, after it tried all.
        """
        failed: UserError | None = None
        self._storage.writes.give_up_soon()
        while self._stages.any_in([Stage.SUBMITTING]) or not self._inbox.empty():
            try:
                event = self._inbox.get(timeout=TICK)
            except Empty:
                continue
            try:
                match event:
                    case Submitted(call, stored):
                        self._storage.call(call)
                        stored.set()
                    case Started(_, stored):
                        stored.set()  # nothing starts any more
                    case Used(usage):
                        self._store_usage(usage)
                    case Transcribed():
                        self._store_transcript(event)
                    case _:  # the item stays pending
                        pass
            except UserError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _handle(self, event: Event, downloads: Downloads) -> Iterator[Outcome]:
        match event:
            case Downloaded(audio, kept):
                self._storage.audio(audio.item, kept)
                self._stages.set([audio.item.key], Stage.DOWNLOADED)
                self._held_back.append(audio)
            case Submitted(call, stored):
                try:
                    self._storage.call(call)
                except UserError:
                    self._inbox.put(event)  # `_store_rest` tries once more
                    raise
                stored.set()
            case Started(item, stored):
                self._storage.started(item)
                stored.set()
            case Used(usage):
                self._store_usage(usage)
            case Transcribed():
                try:
                    done = self._store_transcript(event)
                except UserError:
                    self._inbox.put(event)  # `_store_rest` tries once more
                    raise
                if isinstance(done, Failed):
                    yield from self._handle(done, downloads)
                    return
                item = event.item
                yield from self._record_held()  # the engine works
                self.progress.done += 1
                self.progress.audio_seconds_done += event.transcript.duration
                self._finish(item, Stage.DONE, downloads)
                self._storage.limit_audio()
                yield replace(done, notes=self._storage.why_not_kept(item))
            case Failed(item, error):
                permanent = isinstance(error, PermanentError)
                self._finish(item, Stage.FAILED if permanent else Stage.RETRYABLE, downloads)
                if not self._faults.hold(event):
                    yield self._record(event)
                elif (known_good := self._faults.check_due(self._alone)) is not None:
                    self._stages.set([CHECK_KEY], Stage.QUEUED)
                    self._queue.put(Check(known_good))
            case Checked(problem):
                self._stages.set([CHECK_KEY], Stage.DONE)
                if problem is None:
                    self._faults.passed()
                    yield from self._record_held()
                    return
                yield from self._leave_pending(self._faults.release())
                broken = self._faults.broken(problem, self._engine, self._library.directory)
                yield from self._handle(Halted(broken), downloads)
            case Blocked(site, item, error, until, requested):
                if until is None:
                    self._blocked[site] = error
                else:
                    self.progress.site_blocked(site, until, error.message)
                if requested and error.retry_after is not None:  # later runs wait, too
                    end = until or time.time() + error.retry_after
                    self._storage.blocked_site(site, end, error.message)
                yield Outcome(item, error=error)
            case NotDownloaded(items):
                self._stages.set((item.key for item in items), Stage.PENDING)
            case Halted(halted):
                self._halted = self._halted or halted
                self._end()
            case Crashed(crash):
                self._end()
                raise crash

    def _store_transcript(self, event: Transcribed) -> Outcome | Failed:
        """Store a transcript; return its Outcome, or why there is none. Raises UserError."""
        try:
            # Measured, not estimated.
            item = replace(event.item, duration=event.transcript.duration)
            stored = self._storage.transcript(item, event.transcript, event.seconds)
        except UserError:
            raise
        except Exception as error:  # noqa: BLE001 - an engine's transcript that is none
            failure = self._internal_error(error, "saving", event.item)
            return Failed(event.item, failure, keep_call=True)
        if stored is None:
            return Failed(item, gone(item))
        self._forget(item)
        return Outcome(item, transcript=stored, seconds=event.seconds)

    def _record(self, failed: Failed) -> Outcome:
        self._storage.failure(failed.item, failed.error, keep_call=failed.keep_call)
        if not failed.keep_call:
            self._forget(failed.item)
        self.progress.failed += 1
        return Outcome(failed.item, error=failed.error)

    def _leave_pending(self, held: list[Failed]) -> Iterator[Outcome]:
        """Record nothing of failures for which the engine is the reason, but who may have broken it.

        The first ones may have, as many as were processed at once: the next run processes them last, and
        alone. If the first one did run alone, the failure is its own.
        """
        if held and held[0].item.key in self._alone:
            yield self._record(held[0])
        elif self._slots is not None:
            suspected = held[: self._slots.number]
            self._storage.process_alone([failed.item.key for failed in suspected])

    def _record_held(self) -> Iterator[Outcome]:
        """Record the failures that were held back, because the engine is not the reason."""
        for failed in self._faults.release():
            yield self._record(failed)

    def _store_usage(self, usage: Usage) -> None:
        self._storage.usage(usage)
        if usage.outcome != "done":  # nothing is left to collect
            self._forget(usage.call.item)

    def _finish(self, item: Item, stage: Stage, downloads: Downloads) -> None:
        """Set the final stage of `item`, and remove its audio.

        Only a partial download is kept, to be resumed. Audio that could not be transcribed is downloaded
        again.
        """
        buffered = self._stages.get(item.key) in BUFFERED
        self._stages.set([item.key], stage)
        self.progress.transcription_ended(item)
        if buffered:
            downloads.release()
        if buffered or stage is not Stage.RETRYABLE:
            downloads.remove(item)

    def _forget(self, item: Item) -> None:
        """Let the backend delete what it keeps of an item whose outcome is stored."""
        if self._started is not None:
            self._started.forget(item.key)

    def _threads_alive(self, downloads: Downloads) -> bool:
        return downloads.alive() or (self._slots is not None and self._slots.alive())

    def _stored_calls(self) -> list[Call]:
        calls = self._library.calls(self._backend.name)
        return [call for call in calls if self._keys is None or call.item.key in self._keys]

    def _due(self) -> list[Item]:
        pending = self._library.pending(keys=self._keys, again=self._again)
        if self._captions is not None:
            pending = [item for item in pending if item.key not in self._captions.left_out]
        return pending[: self._limit]

    def _count(self, items: list[Item], calls: list[Call]) -> None:
        items = [*items, *(call.item for call in calls)]
        self.progress.items = len(items)
        self.progress.audio_seconds = sum(item.duration or 0.0 for item in items)

    def _downloads(self, session: Session) -> Downloads:
        waits = self._library.blocked_sites()
        for site, (until, reason) in waits.items():
            self.progress.site_blocked(site, until, reason)
        folder, keep = self._library.audio, self._keep_audio
        return Downloads(
            self._sources,
            self._library.directory / "downloads",
            self._inbox,
            self._ending,
            self.progress,
            buffer_size=max(MIN_BUFFER, BUFFER_PER_SLOT * session.slots),
            sleep_interval=self._sleep_interval,
            waits=waits,
            next_at=self._next_at,
            copies=self._copies,
            kept={one.key: one for one in folder.records() if usable(one, self._options)},
            keep=(lambda audio, stop: keep_audio(audio, keep, folder.new_path, stop))
            if keep
            else None,
            prepare=self._prepare,
        )

    def _internal_error(self, error: BaseException, action: str, item: Item) -> ItemError:
        return internal_error(error, self._library.directory, action, item.key)


def _size(path: Path) -> int:
    """Return the bytes of a file, 0 if it was removed meanwhile."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
