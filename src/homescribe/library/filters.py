"""Filters on items, as SQL conditions with named parameters."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from homescribe.core import CAPTIONS
from homescribe.text.dates import checked_date
from homescribe.text.sanitize import sqlite_safe

# Filter: the condition that it sets on `items`. The value is bound as a parameter of the same name.
CONDITIONS = {
    "channel": "(channel = :channel COLLATE NOCASE OR channel_id = :channel)",
    "since": "upload_date >= :since",
    "until": "upload_date <= :until",
    "source": "items.source = :source",
    "language": (
        "item_id IN (SELECT item_id FROM transcripts WHERE language = :language "
        "OR EXISTS (SELECT 1 FROM json_each(languages) WHERE json_each.key = :language))"
    ),
    "captions": (
        "item_id IN (SELECT item_id FROM transcripts "
        f"WHERE engine = '{CAPTIONS}' AND :captions IN ('any', model))"
    ),
    "title": "instr(folded(title), folded(:title))",
    "source_url": (
        "item_id IN (SELECT item_id FROM source_items JOIN sources USING (source_id) "
        "WHERE sources.url = :source_url)"
    ),
}
DATES = ("since", "until")


def folded(text: str | None) -> str:
    """Return `text` without case and accents: a function of the library's connections to SQLite."""
    if text is None or text.isascii():
        return (text or "").lower()
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


@dataclass(frozen=True, slots=True)
class Filter:
    """A WHERE clause on `items`, "" for all items, and the values of its parameters."""

    where: str
    parameters: dict[str, str]


def item_filter(**values: str | None) -> Filter:
    """Return the filter for these values of CONDITIONS; None means any. UserError for an invalid date."""
    given = {name: value for name, value in values.items() if value is not None}
    where = " AND ".join(CONDITIONS[name] for name in given)
    parameters = {
        name: checked_date(value) if name in DATES else sqlite_safe(value)
        for name, value in given.items()
    }
    return Filter(f"WHERE {where}" if where else "", parameters)
