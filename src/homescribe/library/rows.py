"""Values as rows of the library, and rows as values.

The columns of an item and of a segment are the fields of Item and Segment; tuples among them are JSON lists.

Text comes from strangers. What SQLite cannot hold as text, a lone surrogate or a NUL, becomes U+FFFD here,
before it is compared or stored.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from operator import itemgetter
from typing import Any, TypedDict, get_args, get_origin, get_type_hints

from homescribe.core import (
    Chapter,
    Item,
    Segment,
    Skipped,
    Speaker,
    Transcript,
    TranscriptionOptions,
    TranscriptLink,
    Turn,
    Word,
)
from homescribe.library.records import ItemRecord
from homescribe.text.sanitize import is_sqlite_safe, sqlite_safe

Part = Chapter | Skipped | TranscriptLink | Turn | Word | str  # of a field that is a tuple


def _parts(kind: type[Item] | type[Segment] | type[Transcript]) -> dict[str, type]:
    """Return the fields of `kind` that are tuples, with the type of their parts: stored as JSON lists."""
    hints = get_type_hints(kind)
    return {name: get_args(hint)[0] for name, hint in hints.items() if get_origin(hint) is tuple}


ITEM_FIELDS = tuple(field for field in fields(Item) if field.metadata.get("column", True))
ITEM_PARTS = _parts(Item)
ITEM_COLUMNS = ("key", *(field.name for field in ITEM_FIELDS))
SEGMENT_PARTS = _parts(Segment)
SEGMENT_COLUMNS = tuple(field.name for field in fields(Segment))
TRANSCRIPT_PARTS = _parts(Transcript)
_ITEM_GETTER = itemgetter(*(field.name for field in ITEM_FIELDS))
# Place and value of fields without a column.
_ITEM_DEFAULTS = [(n, f.default) for n, f in enumerate(fields(Item)) if f not in ITEM_FIELDS]
_ITEM_TUPLES = {n: ITEM_PARTS[f.name] for n, f in enumerate(ITEM_FIELDS) if f.name in ITEM_PARTS}
_ITEM_PATHS = [n for n, field in enumerate(ITEM_FIELDS) if "path" in field.metadata]
_SEGMENT_GETTER = itemgetter(*SEGMENT_COLUMNS)
_SEGMENT_TUPLES = {n: SEGMENT_PARTS[c] for n, c in enumerate(SEGMENT_COLUMNS) if c in SEGMENT_PARTS}
# Segments and speakers are rows of tables of their own.
TRANSCRIPT_COLUMNS = tuple(
    f.name for f in fields(Transcript) if f.name not in ("segments", "speakers")
)
_OPTIONS = tuple(field.name for field in fields(TranscriptionOptions))


def clean_item(item: Item) -> Item:
    """Return `item` as the library keeps it. A path that is not UTF-8 stays usable."""
    changes: dict[str, Any] = {}
    for field in ITEM_FIELDS:
        value = getattr(item, field.name)
        if isinstance(value, str):
            if is_sqlite_safe(value) or ("path" in field.metadata and _as_path(value)):
                continue
            changes[field.name] = sqlite_safe(value)
        elif isinstance(value, tuple):
            cleaned = tuple(map(_clean_part, value))
            if cleaned != value:
                changes[field.name] = cleaned
    return replace(item, **changes) if changes else item


def merged(old: Item, new: Item, *, by_listing: bool) -> Item:
    """Return `old` updated with what `new` knows. An unknown value never replaces a known one.

    `by_listing`: `old` was completed by its page, and `new` comes from a listing, which knows less.
    """
    changes: dict[str, Any] = {}
    for field in ITEM_FIELDS:
        known, value = getattr(old, field.name), getattr(new, field.name)
        if value in (None, "", ()) or value == known:
            continue
        if by_listing and "by_page" in field.metadata and known not in (None, "", ()):
            continue
        changes[field.name] = value
    return replace(old, **changes) if changes else old


def item_row(item: Item) -> tuple[object, ...]:
    """Return the values of ITEM_COLUMNS. `item` is clean (`clean_item`)."""
    values = (_to_column(getattr(item, field.name)) for field in ITEM_FIELDS)
    return (item.key, *values)


def to_item(row: sqlite3.Row) -> Item:
    values = _values(row, _ITEM_GETTER, _ITEM_TUPLES)
    for number in _ITEM_PATHS:
        if isinstance(values[number], bytes):
            values[number] = values[number].decode("utf-8", "surrogateescape")
    for number, default in _ITEM_DEFAULTS:
        values.insert(number, default)
    return Item(*values)


def segment_row(segment: Segment) -> tuple[object, ...]:
    """Return the values of SEGMENT_COLUMNS. `words` is a list of objects as in Whisper's JSON."""
    return tuple(
        sqlite_safe(value) if isinstance(value, str) else _to_column(value)
        for value in (getattr(segment, name) for name in SEGMENT_COLUMNS)
    )


def to_segment(row: sqlite3.Row) -> Segment:
    return Segment(*_values(row, _SEGMENT_GETTER, _SEGMENT_TUPLES))


def words_column(words: tuple[Word, ...]) -> str | None:
    """Return the column `words` of a segment; None without words."""
    column = _to_column(words)
    return None if column is None else str(column)


def to_words(column: str | None) -> tuple[Word, ...]:
    """Return the words of the column `words` of a segment."""
    return tuple(Word(**part) for part in json.loads(column)) if column else ()


def _values(
    row: sqlite3.Row, getter: Callable[[sqlite3.Row], tuple[Any, ...]], tuples: Mapping[int, type]
) -> list[Any]:
    """Return the fields of a row in order. Faster than `_from_column` for each: there are many rows."""
    values = list(getter(row))
    for number, kind in tuples.items():
        text = values[number]
        values[number] = tuple(_from_json(part, kind) for part in json.loads(text)) if text else ()
    return values


def _to_column(value: object) -> object:
    if isinstance(value, str):
        return _stored(value)
    if isinstance(value, tuple):
        parts = [_to_json(part) for part in value]
        return json.dumps(parts, ensure_ascii=False, separators=(",", ":")) if parts else None
    if isinstance(value, TranscriptionOptions):
        return options_column(value)
    return value


def _from_column(row: sqlite3.Row, name: str, parts: Mapping[str, type]) -> Any:
    value = row[name]
    if name == "options":
        return to_options(value)
    if name in parts:
        kind = parts[name]
        return tuple(_from_json(part, kind) for part in json.loads(value)) if value else ()
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value


def _to_json(part: Part) -> object:
    """Return a string, or a dataclass such as Word as an object, for JSON.

    Optional values that are None are left out.
    """
    if isinstance(part, str):
        return sqlite_safe(part)
    found: dict[str, object] = {}
    for field in fields(part):
        value = getattr(part, field.name)
        if value is None and field.default is None:
            continue
        if isinstance(value, float) and not math.isfinite(value):
            value = None  # NaN is not JSON: one such row breaks every query over the column
        found[field.name] = sqlite_safe(value) if isinstance(value, str) else value
    return found


def _from_json(part: str | dict[str, str | float | None], kind: type) -> object:
    if isinstance(part, str):
        return part
    return kind(**{name: math.nan if value is None else value for name, value in part.items()})


def _clean_part(part: Part) -> Part:
    """Return a part of a field, such as a Chapter, with its text as SQLite can hold it."""
    if isinstance(part, str):
        return sqlite_safe(part)
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    changes = {name: sqlite_safe(value) for name, value in values.items() if isinstance(value, str)}
    return replace(part, **changes)  # type: ignore[arg-type]


def to_record(row: sqlite3.Row) -> ItemRecord:
    item = to_item(row)
    return ItemRecord(
        item=item,
        state=row["state"],
        attempts=row["attempts"] or 0,
        error=row["error"],
        hint=row["hint"],
        permanent=bool(row["permanent"]),
        retry_at=row["retry_at"],
        added_at=row["added_at"],
        done_at=row["done_at"],
        seconds=row["seconds"],
        listed_title=row["listed_title"],
        ignored_at=row["ignored_at"],
        copies=tuple(replace(item, **place) for place in json.loads(row["copies"])),
        **(_coverage(row) if row["done_at"] is not None else {}),
    )


class _Coverage(TypedDict, total=False):
    """The fields of ItemRecord about a transcript."""

    captions: str | None
    words: int
    speech: bool
    languages: dict[str, float]
    skipped_seconds: float
    warnings: tuple[str, ...]


def _coverage(row: sqlite3.Row) -> _Coverage:
    languages = json.loads(row["languages"]) if row["languages"] else {}
    skipped = json.loads(row["skipped"]) if row["skipped"] else ()
    return {
        "captions": row["captions"],
        "words": row["words"],
        "speech": bool(languages),
        "languages": languages,
        "skipped_seconds": round(sum(part["end"] - part["start"] for part in skipped), 3),
        "warnings": tuple(json.loads(row["warnings"])) if row["warnings"] else (),
    }


def transcript_row(transcript: Transcript) -> tuple[object, ...]:
    """Return the values of TRANSCRIPT_COLUMNS."""
    values = (getattr(transcript, name) for name in TRANSCRIPT_COLUMNS)
    return tuple(
        _to_column(sqlite_safe(value) if isinstance(value, str) else value) for value in values
    )


def to_transcript(
    row: sqlite3.Row, segments: Iterable[sqlite3.Row], speakers: tuple[Speaker, ...]
) -> Transcript:
    values = {name: _from_column(row, name, TRANSCRIPT_PARTS) for name in TRANSCRIPT_COLUMNS}
    said = tuple(to_segment(segment) for segment in segments)
    return Transcript(**values, segments=said, speakers=speakers)


def to_turns(column: str) -> tuple[Turn, ...]:
    """Return the turns of a column `turns`."""
    return tuple(Turn(**part) for part in json.loads(column))


def options_column(options: TranscriptionOptions | None) -> str | None:
    """Return options as a JSON object, None if they are unknown."""
    if options is None:
        return None
    return sqlite_safe(json.dumps(asdict(options), ensure_ascii=False))


def to_options(text: str | None) -> TranscriptionOptions | None:
    """Return the options of a JSON object. Those of another version that are unknown here are ignored."""
    if text is None:
        return None
    values = {name: value for name, value in json.loads(text).items() if name in _OPTIONS}
    if "temperature" in values:
        values["temperature"] = tuple(values["temperature"])
    return TranscriptionOptions(**values)


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


def quoted(columns: Sequence[str]) -> str:
    """Return a list of column names for SQL; "end" is a keyword."""
    return ", ".join(f'"{column}"' for column in columns)


def marks(number: int) -> str:
    """Return `number` placeholders for SQL."""
    return ", ".join("?" * number)
