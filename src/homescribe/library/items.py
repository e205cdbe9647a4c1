"""Items: how they are stored, and the queries for items with their state.

The state of an item is not stored. It follows from what is there: with a transcript it is done, with a call
in flight, else with a row in `ignored` ignored, with a failure failed (until its next attempt is due), else
pending. Captions that a run replaces do not count as a transcript here.
"""

from __future__ import annotations

import difflib
import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from homescribe.core import CAPTIONS, Item
from homescribe.errors import UserError
from homescribe.library import copies, failures, renamed
from homescribe.library.filters import Filter
from homescribe.library.passages import index_metadata
from homescribe.library.records import ItemRecord, State
from homescribe.library.rows import (
    ITEM_COLUMNS,
    clean_item,
    item_row,
    marks,
    merged,
    quoted,
    to_item,
    to_record,
)
from homescribe.library.schema import ITEM_STATE, STATE_TABLES
from homescribe.text.redaction import is_redacted, shown_address, shown_feed, shown_page
from homescribe.text.sanitize import sqlite_safe

Sort = Literal[
    "listed",
    "newest",
    "oldest",
    "longest",
    "shortest",
    "title",
    "title-reversed",
    "channel",
    "channel-reversed",
    "most-words",
    "fewest-words",
    "state",
    "state-reversed",
    "done",
]

# By how much a person has to do about an item: what failed first.
_STATE_RANK = (
    "CASE state WHEN 'failed' THEN 0 WHEN 'in flight' THEN 1 WHEN 'pending' THEN 2 "
    "WHEN 'done' THEN 3 ELSE 4 END"
)
# Rows without the value that is sorted by come last.
ORDERS: dict[Sort, str] = {
    "listed": "listed_in IS NULL, listed_in, listed_at, item_id",
    "newest": "upload_date IS NULL, upload_date DESC, item_id",
    "oldest": "upload_date IS NULL, upload_date, item_id",
    "longest": "length IS NULL, length DESC, item_id",
    "shortest": "length IS NULL, length, item_id",
    "title": "title COLLATE NOCASE, item_id",
    "title-reversed": "title COLLATE NOCASE DESC, item_id",
    "channel": "channel IS NULL, channel COLLATE NOCASE, upload_date DESC, item_id",
    "channel-reversed": "channel IS NULL, channel COLLATE NOCASE DESC, upload_date DESC, item_id",
    "most-words": "words IS NULL, words DESC, item_id",
    "fewest-words": "words IS NULL, words, item_id",
    "state": f"{_STATE_RANK}, upload_date DESC, item_id",
    "state-reversed": f"{_STATE_RANK} DESC, upload_date DESC, item_id",
    "done": "done_at IS NULL, done_at DESC, item_id",
}

# In :state, or in any but "ignored" when it is NULL.
IN_STATE = "state = :state OR (:state IS NULL AND state != 'ignored')"

# Every item with its state at :now.
_COLUMNS = f"""
    items.*, transcripts.done_at, transcripts.seconds, transcripts.words, ignored.ignored_at,
    (SELECT listed_title FROM renamed WHERE renamed.item_id = items.item_id) AS listed_title,
    transcripts.languages, transcripts.skipped, transcripts.warnings,
    CASE WHEN transcripts.engine = '{CAPTIONS}' THEN transcripts.model END AS captions,
    coalesce(transcripts.duration, items.duration) AS length,
    failures.attempts, failures.error, failures.hint, failures.permanent, failures.retry_at,
    {ITEM_STATE.format(now=":now")} AS state,
    {copies.AS_JSON} AS copies
"""
UNORDERED = f"SELECT {_COLUMNS} FROM {STATE_TABLES}"
# The same with the columns for listing order: the source that was added first, then its own order. Items that
# no source lists any more come last.
LISTED = f"""
    SELECT {_COLUMNS}, listed.source_id AS listed_in, listed.position AS listed_at
    FROM {STATE_TABLES} LEFT JOIN (
        SELECT item_id, source_id, position, min(source_id) FROM source_items GROUP BY item_id
    ) AS listed USING (item_id)
"""


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the records that match, and the number of all that match."""

    records: tuple[ItemRecord, ...]
    total: int
    audio_seconds: float  # of all that match, where their length is known


# --- Queries ---------------------------------------------------------------------------------------


def pending(
    db: sqlite3.Connection, keys: Collection[str] | None, again: Collection[str], now: float
) -> list[Item]:
    """Return the items that are pending at `now`, with their identities, in listing order.

    Those with captions, which can be searched already, come last, and after them those that failed before:
    what fails again may end a run. Only those of `keys`, unless it is None.

    Of `again`, also those that have a transcript, unless a call is in flight or a failure is not due.
    """
    where, chosen = "", None
    if keys is not None:
        where = "WHERE key IN (SELECT value FROM json_each(:keys))"
        chosen = json.dumps([sqlite_safe(key) for key in keys])
    rows = db.execute(
        f"SELECT * FROM ({LISTED} {where}) WHERE state = 'pending' OR (state = 'done' "
        "AND key IN (SELECT value FROM json_each(:again)) AND NOT coalesce(permanent, 0) "
        "AND coalesce(retry_at, 0) <= :now AND item_id NOT IN (SELECT item_id FROM calls)) "
        f"ORDER BY attempts IS NOT NULL, captions IS NOT NULL, {ORDERS['listed']}",
        {"now": now, "keys": chosen, "again": json.dumps([sqlite_safe(key) for key in again])},
    ).fetchall()
    names = identities(db, [row["item_id"] for row in rows])
    return [replace(to_item(row), identities=names.get(row["item_id"], ())) for row in rows]


def identities(db: sqlite3.Connection, ids: Collection[int]) -> dict[int, tuple[str, ...]]:
    """Return the identities of those of `ids` that have any."""
    rows = db.execute(
        "SELECT item_id, json_group_array(identity) AS names FROM identities "
        "WHERE item_id IN (SELECT value FROM json_each(?)) GROUP BY item_id",
        (json.dumps(list(ids)),),
    )
    return {row["item_id"]: tuple(json.loads(row["names"])) for row in rows}


def records(
    db: sqlite3.Connection, chosen: Filter, state: State | None, now: float
) -> list[sqlite3.Row]:
    """Return the rows of records that match, in listing order."""
    return db.execute(
        f"SELECT * FROM ({LISTED} {chosen.where}) WHERE {IN_STATE} ORDER BY {ORDERS['listed']}",
        {"now": now, "state": state, **chosen.parameters},
    ).fetchall()


def page(
    db: sqlite3.Connection,
    chosen: Filter,
    state: State | None,
    now: float,
    *,
    sort: Sort,
    limit: int,
    offset: int,
) -> Page:
    """Return `limit` records that match, after the first `offset`.

    Ids are sorted first, without other columns: descriptions are long, and a sort keeps in memory what it
    selects.
    """
    parameters: Mapping[str, object] = {"now": now, "state": state, **chosen.parameters}
    in_state = f"WHERE ({IN_STATE})"
    total, seconds = db.execute(
        f"SELECT count(*), total(length) FROM ({UNORDERED} {chosen.where}) {in_state}", parameters
    ).fetchone()
    sorted_ids = (
        f"SELECT item_id FROM ({LISTED if sort == 'listed' else UNORDERED} {chosen.where}) {in_state} "
        f"ORDER BY {ORDERS[sort]} LIMIT :limit OFFSET :offset"
    )
    cut = {**parameters, "limit": limit, "offset": offset}
    ids = [row["item_id"] for row in db.execute(sorted_ids, cut)]
    rows = db.execute(
        f"{UNORDERED} WHERE items.item_id IN (SELECT value FROM json_each(:ids))",
        {"now": now, "ids": json.dumps(ids)},
    )
    found = {row["item_id"]: to_record(row) for row in rows}
    return Page(tuple(found[item_id] for item_id in ids), total, seconds)


def find(db: sqlite3.Connection, name: str, now: float) -> ItemRecord:
    """Return the item with this key, id or URL, or that of a copy. UserError if there is not just one."""
    rows = db.execute(
        f"{UNORDERED} WHERE key = :name OR id = :name OR url = :name "
        "OR items.item_id IN (SELECT item_id FROM places WHERE places.url = :name AND NOT missing)",
        {"now": now, "name": sqlite_safe(name)},
    ).fetchall()
    exact = [row for row in rows if row["key"] == sqlite_safe(name)]
    if len(exact or rows) == 1:
        return to_record((exact or rows)[0])
    if rows:
        found = ", ".join(row["key"] for row in rows)
        raise UserError(f"{name} is the name of several items: {found}.", "Name one of them.")
    if is_redacted(name):
        shown = db.execute("SELECT key, url, media_url FROM items").fetchall()
        keys = [row["key"] for row in shown if name in _shown_urls(row)]
        if len(keys) == 1:
            return find(db, keys[0], now)
    if "://" in name:
        known = [shown_feed(row["url"]) for row in db.execute("SELECT url FROM sources")]
        hint = "Sources are named by their URL as `homescribe sources` shows it."
        raise UserError(
            f"The library has nothing at {shown_feed(name)}.",
            f"{did_you_mean(name, known)} {hint}".strip(),
        )
    known = [known for row in db.execute("SELECT key, id FROM items") for known in row]
    raise UserError(f"There is no item {name} in the library.", did_you_mean(name, known))


def _shown_urls(row: sqlite3.Row) -> tuple[str, ...]:
    """Return the address of an item as outputs show it."""
    url = row["url"]
    if not isinstance(url, str):  # a path that is not UTF-8
        return ()
    return (shown_page(url), *([shown_address(url)] if url == row["media_url"] else []))


def find_ids(db: sqlite3.Connection, names: Collection[str], now: float) -> list[int]:
    """Return the item_ids of `names`, each a key, id or URL; UserError for the first that is unknown."""
    known = {key: int(row["item_id"]) for key, row in known_rows(db, names).items()}
    for name in names:
        if name not in known:
            key = find(db, name, now).item.key
            known[name] = known_rows(db, [key])[key]["item_id"]
    return list(known.values())


def keys(db: sqlite3.Connection, ids: Collection[int]) -> tuple[str, ...]:
    """Return the keys of items by their ids."""
    rows = db.execute(
        "SELECT key FROM items WHERE item_id IN (SELECT value FROM json_each(?)) ORDER BY item_id",
        (json.dumps(list(ids)),),
    )
    return tuple(row["key"] for row in rows)


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return a hint with the known names that are close to `name`, "" when none is."""
    close = difflib.get_close_matches(name, known, n=3)
    return f"Did you mean {' or '.join(close)}?" if close else ""


# --- Storing -----------------------------------------------------------------------------------------


def known_rows(db: sqlite3.Connection, keys: Collection[str]) -> dict[str, sqlite3.Row]:
    """Return the rows of `items` with these keys, by key.

    With the columns `has_text`, for any transcript, and `done`, for one that is not captions to be replaced.
    """
    rows = db.execute(
        "SELECT items.*, EXISTS (SELECT 1 FROM transcripts WHERE item_id = items.item_id) AS has_text, "
        "EXISTS (SELECT 1 FROM transcripts WHERE item_id = items.item_id AND NOT upgrade) AS done "
        "FROM items WHERE key IN (SELECT value FROM json_each(?))",
        (json.dumps(list(keys)),),
    )
    return {row["key"]: row for row in rows}


def put_one(db: sqlite3.Connection, item: Item, now: float, *, insert: bool = True) -> int | None:
    """Update an item that its page may have completed, and return its item_id.

    An unknown one is inserted, or without `insert` None is returned.
    """
    item = clean_item(item)
    if not insert and not known_rows(db, [item.key]):
        return None
    item_id = put(db, [item], now, by_listing=False)[item.key]
    db.executemany(
        "INSERT OR IGNORE INTO identities (identity, item_id) VALUES (?, ?)",
        ((name, item_id) for name in item.identities),
    )
    return item_id


def put(
    db: sqlite3.Connection, items: Collection[Item], now: float, *, by_listing: bool
) -> dict[str, int]:
    """Insert or update clean items; return their item_ids by key, in the same order."""
    known = known_rows(db, [item.key for item in items])
    titles = renamed.listed_titles(db, [row["item_id"] for row in known.values()])
    ids: dict[str, int] = {}
    changed: dict[int, Item] = {}  # whose title or description is to be indexed
    for item in items:
        row = known.get(item.key)
        if row is None:
            ids[item.key] = item_id = _insert(db, item, now)
            changed[item_id] = item
            continue
        ids[item.key] = item_id = row["item_id"]
        old = to_item(row)
        if by_listing and not row["done"]:
            failures.forget_if_repaired(db, item_id, old, item, now)
        new = merged(old, item, by_listing=by_listing and bool(row["has_text"]))
        if item_id in titles and new.title != old.title:  # the title that a person gave stays
            renamed.update(db, item_id, new.title)
            new = replace(new, title=old.title)
        if new != old:
            db.execute(
                f"UPDATE items SET ({quoted(ITEM_COLUMNS)}) = ({marks(len(ITEM_COLUMNS))}) "
                "WHERE item_id = ?",
                (*item_row(new), item_id),
            )
        if (new.title, new.description) != (old.title, old.description):
            changed[item_id] = new
    index_metadata(db, changed)
    return ids


def _insert(db: sqlite3.Connection, item: Item, now: float) -> int:
    cursor = db.execute(
        f"INSERT INTO items ({quoted(ITEM_COLUMNS)}, added_at) "
        f"VALUES ({marks(1 + len(ITEM_COLUMNS))})",
        (*item_row(item), now),
    )
    return cursor.lastrowid or 0


def remove(db: sqlite3.Connection, ids: Iterable[int]) -> int:
    """Delete items with everything that belongs to them; return how many."""
    return db.execute(
        "DELETE FROM items WHERE item_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    ).rowcount
