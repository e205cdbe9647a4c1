"""Jobs started from the web interface: at most one listing and one run at a time, each in its own thread.

Each thread opens its own Library, and a run takes the library's lock, so a run started here and one started
in a terminal never overlap.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import Literal

from homescribe.assemble import build_run, build_speaker_run, open_library, open_sources
from homescribe.config import Config
from homescribe.core import Outcome
from homescribe.errors import Cancelled, HomescribeError, UserError
from homescribe.library import Library
from homescribe.pipeline import ListingResult, Progress, Sources, add, sync
from homescribe.pipeline.kept_corrections import corrected_lines, lost_corrections
from homescribe.speakers.speaker_setting import parse_speakers
from homescribe.text.log_lines import print_traceback
from homescribe.web.again import settings, settings_of_many

log = logging.getLogger(__name__)

RECENT_OUTCOMES = 6  # finished items that a run remembers
SHUTDOWN_SECONDS = 5.0  # seconds that a job may take to end when the server stops

Kind = Literal["list", "run"]


@dataclass
class Job:
    """A listing or a run. Its thread writes, any thread may read."""

    kind: Kind
    url: str = ""  # of a listing: one source, "" for all sources
    keys: frozenset[str] | None = None  # of a run: these items, None for all pending items
    again: bool = False  # of a run: transcribe `keys` even if they are transcribed
    finds_speakers: bool = False  # of a run: find the speakers of `keys`, without transcribing
    config: Config | None = None  # of a run: other settings than those of the server
    stop: Event = field(default_factory=Event)
    stopped_as: Literal["", "paused", "cancelled"] = ""
    finished: bool = False
    error: HomescribeError | None = None
    listed: list[ListingResult] = field(default_factory=list)
    new_sources: set[str] = field(default_factory=set)
    pause: float = 0.0  # of a listing: average seconds between two downloads of its new items
    progress: Progress | None = None
    recent: deque[Outcome] = field(default_factory=lambda: deque(maxlen=RECENT_OUTCOMES))
    done: set[str] = field(default_factory=set)  # keys of the items that a run has transcribed
    notes: dict[str, str] = field(default_factory=dict)  # about transcripts of a run, by key

    def new_keys(self) -> list[str]:
        return list(dict.fromkeys(item.key for listed in self.listed for item in listed.new))


class Jobs:
    """Starts and stops jobs. Every method may be called from any thread."""

    def __init__(self, config: Config) -> None:
        self.listing: Job | None = None  # the latest listing
        self.run: Job | None = None  # the latest run
        self.undecided: Job | None = (
            None  # a listing whose new items were neither accepted nor dropped
        )
        self.changes = 0  # grows whenever a job may have changed the library
        self.config = config  # of the next run
        self._lock = Lock()
        self._queued: dict[str, None] = {}  # keys of the next run, which starts when this one ends
        self._closing = False
        self._threads: dict[Kind, Thread] = {}

    # --- Actions -----------------------------------------------------------------------------------

    def add(self, url: str) -> None:
        """List the source at `url`. The listing waits in `undecided` if it has new items."""
        url = url.strip()
        if not url:
            raise UserError("No address given.", "Paste the address of a channel or a feed.")
        self._start(Job("list", url=url), self._list)

    def sync(self) -> None:
        """List every source again."""
        self._start(Job("list"), self._list)

    def transcribe(self, keys: Collection[str] | None = None) -> None:
        """Start a run over all pending items, or over `keys`."""
        self._run(Job("run", keys=None if keys is None else frozenset(keys)))

    def enqueue(self, keys: Collection[str]) -> bool:
        """Transcribe `keys` now, or when the present run of this server ends.

        Returns False if a run of another process uses the library: the items stay pending.
        """
        with self._lock:
            self._queued |= dict.fromkeys(keys)
        return self._start_queued()

    def queued(self) -> list[str]:
        """Return the keys of the items that the next run transcribes."""
        with self._lock:
            return list(self._queued)

    def _start_queued(self) -> bool:
        """Start a run over what is queued, unless one is active or paused here."""
        with self._lock:
            run = self.run
            waits = run is not None and (not run.finished or run.stopped_as == "paused")
            if self._closing or waits or not self._queued:
                return not self._closing
            keys = frozenset(self._queued)
            self._queued.clear()
        try:
            self.transcribe(keys)
        except UserError:
            with self._lock:
                if self.run is None or self.run.finished:
                    return False
                self._queued |= dict.fromkeys(keys)  # another thread has just started a run
        return True

    def again(self, key: str, model: str | None, language: str | None) -> None:
        """Transcribe an item again, with a model and a language as for `again.settings`."""
        with open_library(self.config) as library:
            key = library.item(key).item.key
            config = settings(self.config, library, key, model, language)
        self._run(Job("run", keys=frozenset([key]), again=True, config=config))

    def again_all(self, keys: Collection[str]) -> None:
        """Transcribe items again with the settings of the next run, without those that have no transcript."""
        with open_library(self.config) as library:
            records = [library.item(key) for key in keys]
            chosen = frozenset(record.item.key for record in records if record.has_transcript)
            if not chosen:
                raise UserError("None of these items is transcribed yet.", "Start a run.")
            config = settings_of_many(self.config, library, chosen)
        self._run(Job("run", keys=chosen, again=True, config=config))

    def find_speakers(self, key: str, speakers: str | None) -> None:
        """Find who speaks in an item that is transcribed.

        Args:
            speakers: as in `TranscriptionOptions.speakers`; None for that of the settings.
        """
        config = self.config
        if speakers is not None:
            config = dataclasses.replace(config, speakers=str(parse_speakers(speakers)))
        with open_library(config) as library:
            record = library.item(key)
        if record.state != "done":
            raise UserError(f"{record.item.key} is not transcribed yet.", "Start a run.")
        keys = frozenset([record.item.key])
        self._run(Job("run", keys=keys, finds_speakers=True, config=config))

    def _run(self, job: Job) -> None:
        with open_library(self.config) as library:
            process = library.running()
        if process is not None and process != str(os.getpid()):
            raise UserError(
                f"Another run uses this library (process {process or 'unknown'}).",
                "Its progress is shown on this page.",
            )
        self._start(job, self._transcribe)

    def accept(self) -> None:
        """Transcribe the new items of the latest listing."""
        listing = self._require_undecided()
        self.transcribe(listing.new_keys())
        self.undecided = None

    def keep(self) -> None:
        """Leave the new items of the latest listing pending, for a later run."""
        self._require_undecided()
        self.undecided = None

    def drop(self) -> None:
        """Remove the new items of the latest listing, unless a run has already started on them."""
        listing = self._require_undecided()
        with open_library(self.config) as library:
            library.remove([item.key for item in library.pending(keys=listing.new_keys())])
            for record in library.sources():
                if record.url in listing.new_sources:
                    library.remove_source(record.url)
        self.undecided = None
        self.changes += 1

    def resume(self) -> None:
        """Continue the paused run."""
        job = self.run
        if job is None or job.stopped_as != "paused":
            raise UserError("No run is paused.", "Start a run.")
        redone = job.again or job.finds_speakers
        keys = job.keys - job.done if job.keys is not None and redone else job.keys
        self._run(
            Job(
                "run",
                keys=keys,
                again=job.again,
                finds_speakers=job.finds_speakers,
                config=job.config,
            )
        )

    def pause(self) -> None:
        """Stop the run so that `resume` can continue it."""
        self._stop(self.run, "paused")

    def cancel(self) -> None:
        """Stop the run, or give up the paused one. Finished transcripts are kept."""
        with self._lock:
            job = self.run
            self._queued.clear()
            if job is not None and job.finished and job.stopped_as == "paused":
                job.stopped_as = "cancelled"
                return
        self._stop(job, "cancelled")

    def cancel_listing(self) -> None:
        """Stop the listing. Sources that were already listed are kept."""
        self._stop(self.listing, "cancelled")

    def retry(self, keys: Collection[str] | None) -> tuple[int, bool]:
        """Forget the failures of `keys`; None for all that a later run would retry anyway.

        With `keys`, also start a run over them unless one is active. Returns the number of forgotten
        failures and whether a run was started.
        """
        with open_library(self.config) as library:
            forgotten = library.retry(keys)
            is_free = library.running() is None
        self.changes += 1
        started = bool(keys) and is_free and (self.run is None or self.run.finished)
        if started:
            self.transcribe(keys)
        return forgotten, started

    def close(self) -> None:
        """Stop all jobs and wait up to SHUTDOWN_SECONDS for each."""
        with self._lock:
            self._closing = True
            jobs, threads = (self.listing, self.run), list(self._threads.values())
        for job in jobs:
            if job is not None:
                job.stop.set()
        for thread in threads:
            thread.join(SHUTDOWN_SECONDS)

    def _stop(self, job: Job | None, stopped_as: Literal["paused", "cancelled"]) -> None:
        with self._lock:
            if job is None or job.finished:
                raise UserError(
                    "Nothing is running here.", "Stop a run in a terminal there, with Ctrl-C."
                )
            job.stopped_as = stopped_as
            job.stop.set()

    def _require_undecided(self) -> Job:
        listing = self.undecided
        if listing is None:
            raise UserError("There are no new items to decide about.", "Add a source first.")
        return listing

    # --- The thread of a job -------------------------------------------------------------------------

    def _start(self, job: Job, work: Callable[[Job, Library, Sources], None]) -> None:
        with self._lock:
            latest = self.listing if job.kind == "list" else self.run
            if latest is not None and not latest.finished:
                what = "listing" if job.kind == "list" else "run"
                raise UserError(f"A {what} is already active.", "Wait for it to end, or cancel it.")
            if job.kind == "list":
                self.listing = job
            else:
                self.run = job
            thread = Thread(target=self._work, args=(job, work), name=job.kind, daemon=True)
            self._threads[job.kind] = thread
            thread.start()

    def _work(self, job: Job, work: Callable[[Job, Library, Sources], None]) -> None:
        config = self.config
        try:
            with open_library(config) as library, open_sources(config, library) as sources:
                work(job, library, sources)
        except Cancelled:
            job.stopped_as = job.stopped_as or "cancelled"
        except HomescribeError as error:
            job.error = error
        except Exception as error:  # noqa: BLE001 - a bug: traceback in the terminal, one line on the page
            print_traceback(error)
            job.error = UserError(
                f"Internal error: {type(error).__name__}.",
                "The terminal that runs homescribe serve shows the details. Please report them.",
            )
        finally:
            self.changes += 1
            job.finished = True
            if job.kind == "run":
                self._after(job)

    def _after(self, run: Job) -> None:
        """Start what is queued after a run, unless it ended early: then that stays pending."""
        if run.error is not None:
            with self._lock:
                self._queued.clear()
        elif not run.stopped_as:
            self._start_queued()

    def _list(self, job: Job, library: Library, sources: Sources) -> None:
        known = {record.url for record in library.sources()}
        url, stop = job.url, job.stop
        listing = add(library, sources, url, stop) if url else sync(library, sources, stop)
        for listed in listing:
            job.listed.append(listed)
            if listed.url not in known:
                job.new_sources.add(listed.url)
        pauses = [sum(sources.for_item(item).pause) / 2 for one in job.listed for item in one.new]
        job.pause = sum(pauses) / len(pauses) if pauses else 0.0
        if job.stop.is_set():
            raise Cancelled
        if job.new_keys():
            self.undecided = job

    def _transcribe(self, job: Job, library: Library, sources: Sources) -> None:
        again = job.keys or () if job.again else ()
        config = job.config or self.config
        if job.finds_speakers:
            run = build_speaker_run(config, library, sources, job.keys or (), stop=job.stop)
        else:
            run = build_run(config, library, sources, keys=job.keys, again=again, stop=job.stop)
        job.progress = run.progress
        for note in run.notes:
            log.warning("%s", note)
        corrected = corrected_lines(library, again)
        for outcome in run:
            key = outcome.item.key
            if outcome.transcript is not None:
                job.done.add(key)
                before = {key: corrected[key]} if key in corrected else {}
                job.notes |= dict(lost_corrections(library, before))
                if outcome.notes:
                    job.notes[key] = " ".join(filter(None, (job.notes.get(key), *outcome.notes)))
            job.recent.appendleft(outcome)
        for warning in run.warnings:
            log.warning("%s", warning)
