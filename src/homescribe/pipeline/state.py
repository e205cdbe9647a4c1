"""State that the threads of a run share: the stage of each item, and the progress that a display shows.

Each class guards its data with a lock of its own, so every method may be called from any thread.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from threading import Lock
from typing import TypeVar

from homescribe.core import Item, Uploads

Value = TypeVar("Value")


class Stage(Enum):
    """How far an item is in a run. Only a slot's thread sets SUBMITTING and SUBMITTED."""

    WAITING = auto()  # not downloaded yet
    DOWNLOADED = auto()  # on disk, held back until the backend is worth starting
    QUEUED = auto()  # in the queue to the slots
    SUBMITTING = auto()  # a slot is submitting it to the backend
    SUBMITTED = auto()  # submitted; its call is stored if it outlives this process
    COLLECTING = auto()  # an earlier run submitted it; there is no audio on this machine
    # Final in one pass of the run:
    DONE = auto()  # the transcript is stored
    FAILED = auto()  # the failure is stored; this run does not try again
    RETRYABLE = auto()  # the failure is stored; this run tries again when the item is due
    PENDING = auto()  # not downloaded, because its site is blocked or the run is ending


FINAL = frozenset({Stage.DONE, Stage.FAILED, Stage.RETRYABLE, Stage.PENDING})
WITH_BACKEND = frozenset({Stage.QUEUED, Stage.SUBMITTING, Stage.SUBMITTED, Stage.COLLECTING})
# Stages in which an item's audio takes up a place in the download buffer.
BUFFERED = frozenset({Stage.DOWNLOADED, Stage.QUEUED, Stage.SUBMITTING, Stage.SUBMITTED})


class Stages:
    """The stage of each item of a run, by key."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._stages: dict[str, Stage] = {}
        self._counts: Counter[Stage] = (
            Counter()
        )  # of `_stages`, so that no method looks at every item
        self._closed = False

    def get(self, key: str) -> Stage | None:
        """Return the stage of `key`, None if it is not part of the run."""
        with self._lock:
            return self._stages.get(key)

    def set(self, keys: Iterable[str], stage: Stage) -> None:
        """Set the stage of `keys`."""
        with self._lock:
            for key in keys:
                self._set(key, stage)

    def start_submitting(self, key: str) -> bool:
        """Set SUBMITTING, or return False after `close`."""
        with self._lock:
            if not self._closed:
                self._set(key, Stage.SUBMITTING)
            return not self._closed

    def close(self) -> None:
        """Let no submission start from now on."""
        with self._lock:
            self._closed = True

    def any_in(self, stages: Iterable[Stage]) -> bool:
        """Return whether any item is in one of `stages`."""
        with self._lock:
            return any(self._counts[stage] for stage in stages)

    def all_final(self) -> bool:
        """Return whether every item has reached a final stage."""
        return not self.any_in(stage for stage in Stage if stage not in FINAL)

    def not_final(self) -> frozenset[str]:
        """Return the keys of the items that have not reached a final stage."""
        with self._lock:
            return frozenset(key for key, stage in self._stages.items() if stage not in FINAL)

    def _set(self, key: str, stage: Stage) -> None:
        if key in self._stages:
            self._counts[self._stages[key]] -= 1
        self._stages[key] = stage
        self._counts[stage] += 1


@dataclass
class CaptionProgress:
    """What a display shows of the requests for captions. Only the iterating thread changes it."""

    items: int = 0  # whose captions are requested in this run
    requested: int = 0
    manual: int = 0  # found, written by a person
    automatic: int = 0
    kept: int = 0  # of those found, which this run does not replace
    failed: int = 0  # requests
    seconds_left: float = 0.0  # at least, with the pauses between two requests
    # By key of the rate limit: why no more captions are requested there.
    blocked: Mapping[str, str] = field(default_factory=dict)
    ended: bool = False

    @property
    def found(self) -> int:
        return self.manual + self.automatic


@dataclass
class Progress:
    """What a display shows of a run.

    The iterating thread sets the numbers; download and slot threads use the methods. Any thread may read the
    fields at any time, because the mappings are replaced, never changed.
    """

    captions: CaptionProgress | None = None  # None: this run requests none
    items: int = 0  # in this run
    done: int = 0
    failed: int = 0
    audio_seconds: float = 0.0  # of all items of this run whose durations are known
    audio_seconds_done: float = 0.0
    began: float | None = None  # `time.monotonic()` when the first audio reached the engine
    loading: str = ""  # name of the model that is being loaded
    uploads: Uploads | None = None  # None if the backend needs no uploads
    downloading: Mapping[str, Item] = field(default_factory=dict)
    # Item and its transcribed seconds.
    transcribing: Mapping[str, tuple[Item, float]] = field(default_factory=dict)
    # Unix time at which each site is tried again, and the reason.
    waiting: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    library_busy: bool = False  # another program writes to it: this run waits to store results
    _lock: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)

    def transcribed_seconds(self) -> float:
        """Return the seconds of audio transcribed so far, including those of unfinished items."""
        return self.audio_seconds_done + sum(s for _, s in self.transcribing.values())

    def download_started(self, item: Item, site: str) -> None:
        """Show `item` as downloading; its site is no longer waited for."""
        with self._lock:
            self.waiting = _without(self.waiting, site)
            self.downloading = {**self.downloading, item.key: item}

    def download_ended(self, item: Item) -> None:
        """Show `item` as no longer downloading."""
        with self._lock:
            self.downloading = _without(self.downloading, item.key)

    def site_blocked(self, site: str, until: float, reason: str) -> None:
        """Show that `site` is not tried again before the Unix time `until`."""
        with self._lock:
            self.waiting = {**self.waiting, site: (until, reason)}

    def library_is_busy(self, busy: bool) -> None:
        """Show whether the run waits for another program that writes to the library."""
        self.library_busy = busy

    def transcription_started(self, item: Item) -> None:
        """Show `item` as transcribing."""
        with self._lock:
            self.began = self.began or time.monotonic()
            self.transcribing = {**self.transcribing, item.key: (item, 0.0)}

    def transcription_progressed(self, item: Item, seconds: float) -> None:
        """Show that `seconds` of `item` are transcribed."""
        with self._lock:
            if item.key in self.transcribing:  # an engine may report late
                self.transcribing = {**self.transcribing, item.key: (item, seconds)}

    def transcription_ended(self, item: Item) -> None:
        """Show `item` as no longer transcribing."""
        with self._lock:
            self.transcribing = _without(self.transcribing, item.key)


def _without(mapping: Mapping[str, Value], key: str) -> dict[str, Value]:
    return {name: value for name, value in mapping.items() if name != key}
