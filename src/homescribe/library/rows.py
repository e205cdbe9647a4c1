"""How values become rows, and rows values again: nothing else knows the columns of an item.

What comes in is hostile: a lone surrogate or a NUL in a title, which SQLite cannot hold as text, becomes
U+FFFD here, once, before it is compared or stored.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from homescribe.core import Chapter, Item, Segment, Transcript, Word
from homescribe.text.sanitize import is_sqlite_safe, sqlite_safe

State = Literal["done", "in flight", "failed", "pending"]
STATES: tuple[State, ...] = ("done", "in flight", "failed", "pending")

ITEM_COLUMNS = (
    *("key", "source", "id", "url", "title", "channel", "channel_id", "duration", "upload_date"),
    *("language", "description", "chapters", "media_url"),
)
SEGMENT_COLUMNS = (
    *("start", "end", "text", "avg_logprob", "no_speech_prob", "compression_ratio", "temperature"),
    *("words", "flags"),
)
# A page knows these better than a listing, which may round or guess them (approximate dates).
KNOWN_BY_PAGE = frozenset(
    {"channel_id", "duration", "upload_date", "language", "description", "chapters"}
)


@dataclass(frozen=True, slots=True)
class ItemRecord:
    """An item and how it stands. Times are Unix times.

    `error` and `hint` are those of the last failure; `attempts` counts failures since the last success.
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


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """A source that was added, with how many of its items are done and failed for good."""

    url: str
    source: str  # plug-in name
    title: str
    items: int
    done: int
    failed: int
    added_at: float  # Unix time
    listed_at: float  # Unix time


@dataclass(frozen=True, slots=True)
class Status:
    """The library in figures."""

    states: dict[State, int]  # number of items in each, every state present
    audio_seconds: float  # of all items whose length is known
    audio_seconds_done: float
    path: Path
    bytes: int  # on disk, with the write-ahead log


def clean_item(item: Item) -> Item:
    """`item` as the library keeps it. A path that is not UTF-8 stays usable."""
    changes: dict[str, Any] = {}
    for name in ("source", "id", "title", "channel", "channel_id", "language", "description"):
        value = getattr(item, name)
        if value is not None and not is_sqlite_safe(value):
            changes[name] = sqlite_safe(value)
    for name in ("url", "media_url"):
        value = getattr(item, name)
        if value is not None and not is_sqlite_safe(value) and _as_path(value) is None:
            changes[name] = sqlite_safe(value)
    if any(not is_sqlite_safe(chapter.title) for chapter in item.chapters):
        changes["chapters"] = tuple(
            replace(chapter, title=sqlite_safe(chapter.title)) for chapter in item.chapters
        )
    return replace(item, **changes) if changes else item


def merged(old: Item, new: Item, *, by_listing: bool) -> Item:
    """`old` refreshed by what `new` knows. What is not known never erases what is.

    `by_listing`: `old` was completed by its page, and `new` is only what a listing tells.
    """
    changes: dict[str, Any] = {}
    for field in fields(Item):
        known, value = getattr(old, field.name), getattr(new, field.name)
        if value in (None, "", ()) or value == known:
            continue
        if by_listing and field.name in KNOWN_BY_PAGE and known not in (None, "", ()):
            continue
        changes[field.name] = value
    return replace(old, **changes) if changes else old


def item_row(item: Item) -> tuple[Any, ...]:
    """Values of ITEM_COLUMNS."""
    chapters = None
    if item.chapters:
        chapters = json.dumps(
            [{"start": c.start, "end": c.end, "title": c.title} for c in item.chapters],
            ensure_ascii=False,
        )
    return (
        *(item.key, item.source, item.id, _stored(item.url), item.title, item.channel),
        *(item.channel_id, item.duration, item.upload_date, item.language, item.description),
        *(chapters, None if item.media_url is None else _stored(item.media_url)),
    )


def to_item(row: sqlite3.Row) -> Item:
    chapters = json.loads(row["chapters"]) if row["chapters"] else ()
    return Item(
        source=row["source"],
        id=row["id"],
        url=_restored(row["url"]),
        title=row["title"],
        channel=row["channel"],
        channel_id=row["channel_id"],
        duration=row["duration"],
        upload_date=row["upload_date"],
        language=row["language"],
        description=row["description"],
        chapters=tuple(Chapter(c["start"], c["end"], c["title"]) for c in chapters),
        media_url=None if row["media_url"] is None else _restored(row["media_url"]),
    )


def to_record(row: sqlite3.Row) -> ItemRecord:
    return ItemRecord(
        item=to_item(row),
        state=row["state"],
        attempts=row["attempts"] or 0,
        error=row["error"],
        hint=row["hint"],
        permanent=bool(row["permanent"]),
        retry_at=row["retry_at"],
        added_at=row["added_at"],
        done_at=row["done_at"],
        seconds=row["seconds"],
    )


def segment_row(segment: Segment) -> tuple[Any, ...]:
    """Values of SEGMENT_COLUMNS. `words` is Whisper's list of objects as JSON."""
    words = flags = None
    if segment.words:
        words = json.dumps(
            [
                {
                    "start": word.start,
                    "end": word.end,
                    "word": sqlite_safe(word.word),
                    # Not a number is not JSON, and one such row would fail every query over the column.
                    "probability": word.probability if math.isfinite(word.probability) else None,
                }
                for word in segment.words
            ],
            ensure_ascii=False,
            separators=(",", ":"),
        )
    if segment.flags:
        flags = json.dumps([sqlite_safe(flag) for flag in segment.flags], ensure_ascii=False)
    return (
        *(segment.start, segment.end, sqlite_safe(segment.text), segment.avg_logprob),
        *(segment.no_speech_prob, segment.compression_ratio, segment.temperature, words, flags),
    )


def to_segment(row: sqlite3.Row) -> Segment:
    words = json.loads(row["words"]) if row["words"] else ()
    return Segment(
        start=row["start"],
        end=row["end"],
        text=row["text"],
        avg_logprob=row["avg_logprob"],
        no_speech_prob=row["no_speech_prob"],
        compression_ratio=row["compression_ratio"],
        temperature=row["temperature"],
        words=tuple(
            Word(
                w["start"],
                w["end"],
                w["word"],
                math.nan if w["probability"] is None else w["probability"],
            )
            for w in words
        ),
        flags=tuple(json.loads(row["flags"])) if row["flags"] else (),
    )


def to_transcript(row: sqlite3.Row, segments: Iterable[sqlite3.Row]) -> Transcript:
    return Transcript(
        engine=row["engine"],
        model=row["model"],
        language=row["language"],
        duration=row["duration"],
        segments=tuple(to_segment(segment) for segment in segments),
    )


def _as_path(text: str) -> bytes | None:
    """The bytes of a path that is not UTF-8, which Python spells with surrogates; None for other text."""
    if "\x00" in text:
        return None
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return None


def _stored(address: str) -> str | bytes:
    """An address is TEXT, or a BLOB when it is a path that is not UTF-8."""
    if not is_sqlite_safe(address):
        return _as_path(address) or sqlite_safe(address)
    return address


def _restored(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
