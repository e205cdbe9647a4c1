"""Values that the library returns about items and sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from homescribe.core import Item
from homescribe.text.redaction import shown_feed

State = Literal["done", "in flight", "failed", "pending", "ignored"]
STATES: tuple[State, ...] = ("done", "in flight", "failed", "pending", "ignored")


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """An item and its state. Times are Unix times.

    `error` and `hint` are from the latest failure; `attempts` counts failures since the latest success.
    """

    item: Item
    state: State
    attempts: int = 0
    error: str | None = None
    hint: str | None = None
    permanent: bool = False
    retry_at: float | None = None
    added_at: float = 0.0
    done_at: float | None = None
    seconds: float | None = None  # wall time from submission to transcript
    listed_title: str | None = None  # what the source calls it, if a person gave it another title
    ignored_at: float | None = None  # since when it is ignored
    # Of the transcript, where there is one:
    captions: str | None = None  # "manual" or "automatic" if it is the publisher's captions
    words: int | None = None
    speech: bool | None = None  # whether it has segments
    languages: Mapping[str, float] | None = None  # seconds of the segments, the most spoken first
    skipped_seconds: float | None = None  # without text
    warnings: tuple[str, ...] = ()
    copies: tuple[
        Item, ...
    ] = ()  # other files with the same content, each as the item that it would be

    @property
    def has_transcript(self) -> bool:
        """Whether there is text: a transcript of an engine or captions, also those that a run replaces."""
        return self.done_at is not None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which items of a source are left out of the library.

    `since` is a date ("2026-03-01"): older items are left out. `left_out` has keys and identities.
    """

    since: str | None = None
    left_out: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A source that was added, with the numbers of its items that are done and that failed permanently.

    `url` is for requests. Outputs show `shown_url`, which commands accept as well.
    """

    url: str
    source: str  # plug-in name
    title: str
    items: int
    done: int
    failed: int
    added_at: float  # Unix time
    listed_at: float  # Unix time
    since: str | None = None  # items of an earlier date are left out

    @property
    def shown_url(self) -> str:
        return shown_feed(self.url)


@dataclass(frozen=True, slots=True)
class Status:
    """The size of the library."""

    states: dict[State, int]  # number of items in each, every state present
    audio_seconds: float  # of all items whose length is known
    audio_seconds_done: float
    path: Path
    bytes: int  # on disk, with the write-ahead log
