"""What the page has done for it: at most one listing and one run at a time, each in a thread of its own.

A thread has its own Library, and a run takes the library's lock, so that a run in a terminal and one from
the page never meet. What is being done is told as a snapshot, made anew for whoever asks; when another
process is at work, the snapshot is what the database shows.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Literal

from homescribe.assemble import build_run, open_library, open_sources
from homescribe.config import Config
from homescribe.core import Item, Outcome
from homescribe.cost import plan as planning
from homescribe.cost.prices import (
    DEFAULT_ENGINE,
    DEFAULT_GPU,
    DEFAULT_MODEL,
    PRICES_DATE,
    PRICES_FROM,
    machine,
    published_rate,
)
from homescribe.errors import Cancelled, HomescribeError, SourceBlocked, UserError
from homescribe.library import Library
from homescribe.pipeline import ListingResult, Progress, Sources, add, sync

RECENT = 6  # outcomes that are told
DOING = 6  # items under way that are told
SHARE = 10  # a look at the whole library may take a tenth of the time
STALE = (
    3.0  # seconds after which it is looked at anyway: failures become due again without a change
)
GRACE = 5.0  # seconds a job may take to end when the server does

Kind = Literal["list", "run"]
Snapshot = dict[str, Any]


@dataclass
class Job:
    """A listing or a run, and what came of it. Its thread writes, anyone may read."""

    kind: Kind
    url: str = ""
    keys: frozenset[str] | None = None  # of a run: only these items
    stop: Event = field(default_factory=Event)
    ending: Literal["", "paused", "cancelled"] = ""
    over: bool = False
    error: HomescribeError | None = None
    found: list[ListingResult] = field(default_factory=list)
    new_sources: set[str] = field(default_factory=set)
    progress: Progress | None = None
    recent: deque[Outcome] = field(default_factory=lambda: deque(maxlen=RECENT))
    pause: float = 0.0  # seconds of politeness before each download of what was found

    def new_keys(self) -> list[str]:
        return list(dict.fromkeys(item.key for listed in self.found for item in listed.new))


@dataclass(frozen=True)
class _Seen:
    """What the database showed, and its files' stamps then."""

    at: float  # time.monotonic
    took: float  # seconds
    stamps: tuple[tuple[int, int], ...]
    figures: Snapshot

    def is_old(self, now: float, stamps: tuple[tuple[int, int], ...]) -> bool:
        """Whether to look again: the database has changed, and looking is not all that we do."""
        age = now - self.at
        return age >= STALE or (stamps != self.stamps and age >= self.took * SHARE)


class Work:
    """Starts and ends jobs. Every method may be called from any thread."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = Lock()
        self._jobs: dict[str, Job] = {}  # the latest of each kind
        self._plan: Job | None = None  # a listing whose new items nobody has decided about
        self._threads: dict[str, Thread] = {}
        self._seen: _Seen | None = None

    # --- What can be asked for ---------------------------------------------------------------------

    def add(self, url: str) -> None:
        """List what is at `url`; its plan is in the snapshot when that is done."""
        url = url.strip()
        if not url:
            raise UserError("There is nothing to add.", "Paste the address of a channel or a feed.")
        self._begin(Job("list", url=url), self._list)

    def sync(self) -> None:
        """List every source again."""
        self._begin(Job("list"), self._list)

    def run(self, keys: Collection[str] | None = None) -> None:
        """Transcribe what is pending, or only `keys` of it."""
        with open_library(self._config) as library:
            process = library.running()
        if process is not None and process != str(os.getpid()):
            raise UserError(
                f"Another run is at work in this library (process {process or 'unknown'}).",
                "Its progress is shown here.",
            )
        self._begin(Job("run", keys=None if keys is None else frozenset(keys)), self._run)

    def accept(self) -> None:
        """Transcribe what the last listing found."""
        plan = self._decided()
        self.run(plan.new_keys())
        self._plan = None

    def keep(self) -> None:
        """Leave what the last listing found on the list, for a later run."""
        self._decided()
        self._plan = None

    def drop(self) -> None:
        """Take what the last listing found off the list again, as far as nothing was done with it."""
        plan = self._decided()
        with open_library(self._config) as library:
            library.remove([item.key for item in library.pending(keys=plan.new_keys())])
            for record in library.sources():
                if record.url in plan.new_sources:
                    library.remove_source(record.url)
        self._plan = self._seen = None

    def resume(self) -> None:
        """Go on with the run that was paused."""
        job = self._jobs.get("run")
        if job is None or job.ending != "paused":
            raise UserError("No run is paused.", "Start one.")
        self.run(job.keys)

    def stop(self, kind: Kind, ending: Literal["paused", "cancelled"]) -> None:
        """End a listing or a run, soon. Nothing that was finished is lost."""
        with self._lock:
            job = self._jobs.get(kind)
            if job is not None and job.over and job.ending == "paused" and ending == "cancelled":
                job.ending = "cancelled"
                return
            if job is None or job.over:
                raise UserError(
                    "Nothing is being done here.", "A run in a terminal ends with Ctrl-C."
                )
            job.ending = ending
            job.stop.set()

    def retry(self, keys: Collection[str] | None) -> tuple[int, bool]:
        """Forget failures of `keys`, or those that would be tried again anyway; begin at once with named
        ones if nothing else is being done. Returns how many there were, and whether a run was begun.
        """
        with open_library(self._config) as library:
            forgotten = library.retry(keys)
            free = library.running() is None
        self._seen = None
        run = self._jobs.get("run")
        began = bool(keys) and free and (run is None or run.over)
        if began:
            self.run(keys)
        return forgotten, began

    def close(self) -> None:
        """End what is being done, and wait a moment for it."""
        with self._lock:
            jobs, threads = list(self._jobs.values()), list(self._threads.values())
        for job in jobs:
            job.stop.set()
        for thread in threads:
            thread.join(GRACE)

    # --- The thread ----------------------------------------------------------------------------------

    def _begin(self, job: Job, work: Callable[[Job, Library, Sources], None]) -> None:
        with self._lock:
            last = self._jobs.get(job.kind)
            if last is not None and not last.over:
                what = "a list is being read" if job.kind == "list" else "a run is at work"
                raise UserError(f"Not now: {what}.", "Wait until it has finished, or cancel it.")
            self._jobs[job.kind] = job
            thread = Thread(target=self._do, args=(job, work), name=job.kind, daemon=True)
            self._threads[job.kind] = thread
            thread.start()

    def _do(self, job: Job, work: Callable[[Job, Library, Sources], None]) -> None:
        config = self._config
        try:
            with open_library(config) as library, open_sources(config, library) as sources:
                work(job, library, sources)
        except Cancelled:
            job.ending = job.ending or "cancelled"
        except HomescribeError as error:
            job.error = error
        except Exception as error:  # noqa: BLE001 - a bug: told in the terminal, and that there is one
            traceback.print_exception(error, file=sys.stderr)
            job.error = UserError(
                f"homescribe made a mistake: {type(error).__name__}.",
                "The terminal it was started in says which. Please report it.",
            )
        finally:
            self._seen = None
            job.over = True

    def _list(self, job: Job, library: Library, sources: Sources) -> None:
        known = {record.url for record in library.sources()}
        if job.url:
            _, source = sources.for_url(job.url)
            job.pause = sum(source.pause) / 2
            listing = add(library, sources, job.url, job.stop)
        else:
            listing = sync(library, sources, job.stop)
        for listed in listing:
            job.found.append(listed)
            if listed.url not in known:
                job.new_sources.add(listed.url)
        if job.stop.is_set():
            raise Cancelled
        if job.new_keys():
            self._plan = job

    def _run(self, job: Job, library: Library, sources: Sources) -> None:
        running = build_run(self._config, library, sources, keys=job.keys, stop=job.stop)
        job.progress = running.progress
        for outcome in running:
            job.recent.appendleft(outcome)

    def _decided(self) -> Job:
        plan = self._plan
        if plan is None:
            raise UserError("There is nothing to decide about.", "Add something first.")
        return plan

    # --- What it looks like --------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """Everything that the page shows of the work, as JSON: documented in docs/reference/json.md."""
        listing, run, plan = self._jobs.get("list"), self._jobs.get("run"), self._plan
        library = self._library()
        return {
            "state": _state(run, library["process"]),
            "process": library["process"],
            "items": library["items"],
            "audio_seconds": library["audio_seconds"],
            "audio_seconds_done": library["audio_seconds_done"],
            "waiting_for": library["waiting_for"],
            "listing": _listing(listing) if listing else None,
            "plan": self._estimate(plan, library["pace"]) if plan else None,
            "progress": _progress(run.progress) if run and run.progress else None,
            "recent": [_outcome(outcome) for outcome in list(run.recent)] if run else [],
            "error": _error(run),
        }

    def _library(self) -> Snapshot:
        """What the database shows, looked at again only when it has changed."""
        path = self._config.library / "library.db"
        stamps = tuple(_stamp(file) for file in (path, path.with_name("library.db-wal")))
        with open_library(self._config) as library:
            seen = self._seen
            began = time.monotonic()
            if seen is None or seen.is_old(began, stamps):
                status = library.status()
                figures: Snapshot = {
                    "items": dict(status.states),
                    "audio_seconds": status.audio_seconds,
                    "audio_seconds_done": status.audio_seconds_done,
                    "waiting_for": {
                        site: {"until": until, "reason": reason}
                        for site, (until, reason) in library.blocked_sites().items()
                    },
                    "pace": library.pace(),
                }
                ended = time.monotonic()
                self._seen = seen = _Seen(ended, ended - began, stamps, figures)
            return {**seen.figures, "process": library.running()}

    def _estimate(self, listing: Job, pace: float | None) -> Snapshot:
        """What transcribing the new items would take. Unknown is None, never a guess.

        Here, the time is that of this machine's own latest transcripts; rented, that of the plan.
        """
        items = [item for listed in listing.found for item in listed.new]
        audio = sum(item.duration or 0.0 for item in items)
        pause = self._config.sleep_interval
        found: Snapshot = {
            "titles": list(dict.fromkeys(listed.title for listed in listing.found if listed.new)),
            "items": len(items),
            "audio_seconds": audio,
            "unknown_lengths": sum(item.duration is None for item in items),
            "download_seconds": len(items) * (listing.pause if pause is None else pause),
            "backend": self._config.backend,
            "pace": None,
            "seconds": None,
            "dollars": None,
            "prices": "",
        }
        if self._config.backend == "local":
            # Downloads run ahead of the engine, so the longer of the two counts.
            work = audio / pace if pace and audio else None
            seconds = None if work is None else max(work, found["download_seconds"])
            return {**found, "pace": pace, "seconds": seconds, "dollars": 0.0}
        if self._config.backend == "modal":
            return {**found, **self._rented(items, listing.pause if pause is None else pause)}
        return found

    def _rented(self, items: Sequence[Item], pause: float) -> Snapshot:
        """Time and price of the GPU that the settings name, at published prices."""
        config = self._config
        with open_library(config) as library:
            planned = planning.plan(
                library,
                items,
                engine=config.engine or DEFAULT_ENGINE,
                model=config.model or DEFAULT_MODEL,
                pause=lambda item: pause,
                rate=published_rate,
                prices=f"{PRICES_FROM} as of {PRICES_DATE}",
                machines=[machine(config.gpu or DEFAULT_GPU)],
                containers=config.containers,
            )
        row = next(row for row in planned.rows if row.backend == "modal")
        dollars = row.dollars_streamed if config.when == "stream" else row.dollars
        return {
            "pace": row.speed,
            "seconds": row.wall_seconds,
            "dollars": dollars,
            "prices": f"{planned.prices}, on {row.gpu}",
        }


def _state(run: Job | None, process: str | None) -> str:
    """idle, running, stopping, paused, or elsewhere: in another process."""
    if run is not None and not run.over:
        return "stopping" if run.ending else "running"
    if process is not None and process != str(os.getpid()):
        return "elsewhere"
    return "paused" if run is not None and run.ending == "paused" else "idle"


def _listing(job: Job) -> Snapshot:
    return {
        "over": job.over,
        "url": job.url,
        "listed": [_listed(listed) for listed in job.found],
        "error": _error(job),
    }


def _error(job: Job | None) -> Snapshot | None:
    if job is None or job.error is None:
        return None
    return {"message": job.error.message, "hint": job.error.hint}


def _listed(listed: ListingResult) -> Snapshot:
    return {
        "url": listed.url,
        "title": listed.title,
        "items": len(listed.items),
        "new": len(listed.new),
        "audio_seconds": sum(item.duration or 0.0 for item in listed.new),
        "error": listed.error.message if listed.error else None,
    }


def _progress(progress: Progress) -> Snapshot:
    """Figures of a run; `seconds_left` is None as long as nothing can be told from."""
    heard = progress.transcribed_seconds()
    elapsed = time.time() - progress.began if progress.began else 0.0
    speed = heard / elapsed if heard and elapsed > 1 else None
    left = max(0.0, progress.audio_seconds - heard)
    return {
        "items": progress.items,
        "done": progress.done,
        "failed": progress.failed,
        "audio_seconds": progress.audio_seconds,
        "heard_seconds": round(heard, 1),
        "speed": None if speed is None else round(speed, 2),
        "seconds_left": round(left / speed) if speed and progress.audio_seconds else None,
        "loading": progress.loading,
        "downloading": [
            {"key": item.key, "title": item.title}
            for item in list(progress.downloading.values())[:DOING]
        ],
        "transcribing": [
            {
                "key": item.key,
                "title": item.title,
                "share": min(1.0, round(seconds / item.duration, 3)) if item.duration else None,
            }
            for item, seconds in list(progress.transcribing.values())[:DOING]
        ],
    }


def _outcome(outcome: Outcome) -> Snapshot:
    return {
        "key": outcome.item.key,
        "title": outcome.item.title,
        "done": outcome.transcript is not None,
        "blocked": isinstance(outcome.error, SourceBlocked),
        "error": outcome.error.message if outcome.error else None,
        "hint": outcome.error.hint if outcome.error else None,
    }


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when a file does."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
