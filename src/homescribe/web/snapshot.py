"""The state of the queue as JSON, for the queue page and /api/queue. Documented in docs/reference/api.md.

Each snapshot is complete, so a client that reconnects has missed nothing. While another process transcribes,
the snapshot shows what the database holds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from homescribe.assemble import open_library
from homescribe.config import Config
from homescribe.core import Item, Outcome
from homescribe.errors import SourceBlocked
from homescribe.formats.coverage import NO_SPEECH
from homescribe.formats.made_with import engine_in_words
from homescribe.library import Library
from homescribe.library import State as ItemState
from homescribe.pipeline import ListingResult, Progress
from homescribe.pipeline.state import CaptionProgress
from homescribe.text.redaction import shown_feed, shown_text
from homescribe.text.sanitize import utf8_safe
from homescribe.web.estimate import Estimate, estimate
from homescribe.web.jobs import Job, Jobs
from homescribe.web.storage import storage_problem

ACTIVE_ITEMS = 6  # items shown as downloading or transcribing, each
# The library's figures are read again when the database changed, but for at most a tenth of the time ...
MAX_READING_SHARE = 0.1
# ... and in any case after this many seconds: failed items become pending by time alone.
MAX_AGE = 3.0


class Message(TypedDict):
    message: str
    hint: str


class Wait(TypedDict):
    until: float  # Unix time
    reason: str


class ListedSource(TypedDict):
    url: str
    title: str
    items: int
    new: int
    audio_seconds: float  # of the new items
    warnings: list[str]  # about recordings that were not listed, or were replaced
    moved_from: str | None  # the source's address until now, if it has moved
    error: str | None
    hint: str | None


class Listing(TypedDict):
    finished: bool
    url: str  # "" for all sources
    sources: list[ListedSource]
    error: Message | None


class ItemTitle(TypedDict):
    key: str
    title: str


class ItemProgress(ItemTitle):
    fraction: float | None  # 0 to 1; None while the duration is unknown


class CaptionRequests(TypedDict):
    items: int  # whose captions are requested
    requested: int
    found: int
    seconds_left: int


class RunProgress(TypedDict):
    captions: CaptionRequests | None  # while captions are requested, before anything is downloaded
    items: int
    done: int
    failed: int
    audio_seconds: float  # of all items, as far as their durations are known
    transcribed_seconds: float
    speed: float | None  # times realtime
    seconds_left: int | None  # None until it can be estimated
    loading: str  # the model being loaded, or ""
    downloading: list[ItemTitle]
    transcribing: list[ItemProgress]


class FinishedItem(ItemTitle):
    done: bool
    blocked: bool  # by its site: the item stays pending
    error: str | None
    hint: str | None
    note: (
        str | None
    )  # that no speech was found, corrections were not carried over, or it is captions


class LibraryFigures(TypedDict):
    items: dict[ItemState, int]  # number of items in each state
    audio_seconds: float
    audio_seconds_done: float
    searchable: int  # items with a transcript, also captions
    to_upgrade: int  # of them, those with captions that a run replaces
    waiting_for: dict[str, Wait]  # by site


State = Literal["idle", "running", "stopping", "paused", "elsewhere"]


class Snapshot(LibraryFigures):
    state: State
    process: str | None  # number of the process that transcribes
    listing: Listing | None
    plan: Estimate | None
    progress: RunProgress | None
    finding_speakers: list[str]  # keys of the items in which the latest run finds the speakers
    recent: list[FinishedItem]
    queued: list[str]  # keys of the items that are transcribed after the present run
    error: Message | None
    storage_problem: str | None  # why nothing new can be stored in the library


@dataclass(frozen=True)
class _Reading:
    """What was read from the database, and the state of its files and jobs before that."""

    at: float  # time.monotonic
    took: float  # seconds
    version: tuple[int, ...]
    figures: LibraryFigures
    speed: float | None  # of the latest transcripts, times realtime

    def is_outdated(self, now: float, version: tuple[int, ...]) -> bool:
        age = now - self.at
        job_changed = version[0] != self.version[0]  # rare, and shown at once
        changed = version != self.version and age >= self.took / MAX_READING_SHARE
        return job_changed or changed or age >= MAX_AGE


class Snapshots:
    """Takes snapshots of the library and its jobs, from any thread."""

    def __init__(self, config: Config, jobs: Jobs) -> None:
        self._config = config
        self._jobs = jobs
        self._latest: _Reading | None = None

    def take(self) -> Snapshot:
        run, latest = self._jobs.run, self._jobs.listing
        # In this order: a listing that is finished has its plan.
        listing = _listing(latest) if latest else None
        undecided = self._jobs.undecided
        # Before the figures are read, so that those of a finished run are final.
        active = run is not None and not run.finished
        reading, process = self._read()
        return {
            **reading.figures,
            "state": _state(run, active, process),
            "process": process,
            "listing": listing,
            "plan": _plan(self._jobs.config, undecided, reading.speed) if undecided else None,
            "progress": _progress(run.progress) if run and run.progress else None,
            "finding_speakers": sorted(run.keys or ()) if run and run.finds_speakers else [],
            "recent": [_finished_item(each, run.notes) for each in list(run.recent)] if run else [],
            "queued": self._jobs.queued(),
            "error": _error(run),
            "storage_problem": storage_problem(self._config.library),
        }

    def _read(self) -> tuple[_Reading, str | None]:
        """The library's figures, read again only after a change, and the process that transcribes."""
        database = self._config.library / "library.db"
        log = database.with_name("library.db-wal")
        version = (self._jobs.changes, *_file_version(database), *_file_version(log))
        with open_library(self._config) as library:
            reading, began = self._latest, time.monotonic()
            if reading is None or reading.is_outdated(began, version):
                figures, speed = _library_figures(library), library.pace()
                ended = time.monotonic()
                self._latest = reading = _Reading(ended, ended - began, version, figures, speed)
            return reading, library.running()


def _library_figures(library: Library) -> LibraryFigures:
    status, captions = library.status(), library.caption_figures()
    return {
        "items": dict(status.states),
        "audio_seconds": status.audio_seconds,
        "audio_seconds_done": status.audio_seconds_done,
        "searchable": captions.searchable,
        "to_upgrade": captions.to_upgrade,
        "waiting_for": {
            site: {"until": until, "reason": shown_text(reason)}
            for site, (until, reason) in {
                **library.blocked_sites(),
                **library.blocked_captions(),
            }.items()
        },
    }


def _file_version(path: Path) -> tuple[int, int]:
    """Modification time and size of a file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0, 0
    return status.st_mtime_ns, status.st_size


def _state(run: Job | None, active: bool, process: str | None) -> State:
    if run is not None and active:
        return "stopping" if run.stopped_as else "running"
    if process is not None and process != str(os.getpid()):
        return "elsewhere"
    return "paused" if run is not None and run.stopped_as == "paused" else "idle"


def _listing(job: Job) -> Listing:
    return {
        "finished": job.finished,
        "url": utf8_safe(shown_feed(job.url)),
        "sources": [_listed_source(listed) for listed in job.listed],
        "error": _error(job),
    }


def _listed_source(listed: ListingResult) -> ListedSource:
    return {
        "url": utf8_safe(shown_feed(listed.url)),
        "title": _shown(listed.title),
        "items": len(listed.items),
        "new": len(listed.new),
        "audio_seconds": sum(item.duration or 0.0 for item in listed.new),
        "warnings": [_shown(warning) for warning in listed.warnings],
        "moved_from": utf8_safe(shown_feed(listed.moved_from)) if listed.moved_from else None,
        "error": _shown(listed.error.message) if listed.error else None,
        "hint": _shown(listed.error.hint) if listed.error else None,
    }


def _error(job: Job | None) -> Message | None:
    if job is None or job.error is None:
        return None
    return {"message": _shown(job.error.message), "hint": _shown(job.error.hint)}


def _shown(text: str) -> str:
    """Return a title or a message without the secrets in its addresses, as JSON can hold it."""
    return utf8_safe(shown_text(text))


def _plan(config: Config, listing: Job, local_speed: float | None) -> Estimate:
    """The estimate for the new items of `listing`."""
    titles = dict.fromkeys(_shown(listed.title) for listed in listing.listed if listed.new)
    items = [item for listed in listing.listed for item in listed.new]
    pause = listing.pause if config.sleep_interval is None else config.sleep_interval
    return estimate(config, items, list(titles), pause, local_speed)


def _progress(progress: Progress) -> RunProgress:
    transcribed = progress.transcribed_seconds()
    elapsed = time.monotonic() - progress.began if progress.began else 0.0
    speed = transcribed / elapsed if transcribed and elapsed > 1 else None
    left = max(0.0, progress.audio_seconds - transcribed)
    return {
        "captions": _caption_requests(progress.captions),
        "items": progress.items,
        "done": progress.done,
        "failed": progress.failed,
        "audio_seconds": progress.audio_seconds,
        "transcribed_seconds": round(transcribed, 1),
        "speed": None if speed is None else round(speed, 2),
        "seconds_left": round(left / speed) if speed and progress.audio_seconds else None,
        "loading": progress.loading,
        "downloading": [
            {"key": item.key, "title": utf8_safe(item.title)}
            for item in list(progress.downloading.values())[:ACTIVE_ITEMS]
        ],
        "transcribing": _transcribing(list(progress.transcribing.values())[:ACTIVE_ITEMS]),
    }


def _caption_requests(captions: CaptionProgress | None) -> CaptionRequests | None:
    if captions is None or captions.ended or not captions.items:
        return None
    return {
        "items": captions.items,
        "requested": captions.requested,
        "found": captions.found,
        "seconds_left": round(captions.seconds_left),
    }


def _transcribing(items: Sequence[tuple[Item, float]]) -> list[ItemProgress]:
    return [
        {
            "key": item.key,
            "title": utf8_safe(item.title),
            "fraction": min(1.0, round(seconds / item.duration, 3)) if item.duration else None,
        }
        for item, seconds in items
    ]


def _finished_item(outcome: Outcome, notes: Mapping[str, str]) -> FinishedItem:
    transcript, note = outcome.transcript, notes.get(outcome.item.key)
    if transcript is not None and transcript.is_captions:
        note = engine_in_words(transcript)
    elif transcript is not None and not transcript.segments:
        note = NO_SPEECH
    return {
        "key": outcome.item.key,
        "title": utf8_safe(outcome.item.title),
        "done": outcome.transcript is not None,
        "blocked": isinstance(outcome.error, SourceBlocked),
        "error": _shown(outcome.error.message) if outcome.error else None,
        "hint": _shown(outcome.error.hint) if outcome.error else None,
        "note": note,
    }
