"""Find the items that a listing means: by their keys, else by what identifies them beside the key.

An item whose key is known but whose title, date and media address all changed is another recording: its
publisher used a guid again.
"""

from __future__ import annotations

import bisect
import datetime
import hashlib
import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from homescribe.core import Item
from homescribe.text.identities import AUDIO, KEY, LOCAL, key_identity, without_trackers

DAY = datetime.timedelta(days=1)
NEAR = 1.0  # seconds by which the lengths of one recording may differ, as two programs state them


@dataclass(frozen=True, slots=True)
class Match:
    """A listed item under the key that it has in the library."""

    item: Item
    current: bool  # whether the listing's description replaces the known one


def matched(db: sqlite3.Connection, source_id: int, listed: Collection[Item]) -> list[Match]:
    """Return the items of a listing under the keys of the library, in the same order."""
    if not any(item.identities for item in listed):
        return [Match(item, current=True) for item in listed]
    by_key = _rows_by_key(db, source_id, listed)
    taken: dict[int, Item] = {}  # item_id: the listed item that it is
    keys: dict[str, tuple[sqlite3.Row, bool]] = {}  # by the listed key
    for item in listed:
        row = by_key.get(item.key)
        if row is not None and row["item_id"] not in taken and is_same(row, item):
            taken[row["item_id"]] = item
            keys[item.key] = row, row["key"] == item.key or bool(row["current"])
    rest = [item for item in listed if item.key not in keys]
    candidates = _rows_by_identity(db, source_id, rest)
    for item in rest:
        rows = ((name, row) for name in item.identities for row in candidates.get(name, ()))
        row = next(
            (row for name, row in rows if row["item_id"] not in taken or name.startswith(AUDIO)),
            None,
        )
        if row is not None:
            taken[row["item_id"]] = item
            keys[item.key] = row, bool(row["current"])
    found = []
    for item in listed:
        if item.key in keys:
            row, current = keys[item.key]
            found.append(Match(replace(item, source=row["source"], id=row["id"]), current))
        elif item.key in by_key:  # the key of another recording
            found.append(Match(replace(item, id=f"{item.id}-{_short(item)}"), current=True))
        else:
            found.append(Match(item, current=True))
    return found


def store(
    db: sqlite3.Connection, ids: Mapping[str, int], pairs: Iterable[tuple[Item, Item]]
) -> None:
    """Store the identities of listed items, and the keys under which they were listed.

    Args:
        ids: item_ids by key.
        pairs: each listed item, and the same under the key that it has in the library.
    """
    rows = []
    for listed, item in pairs:
        item_id = ids[item.key]
        rows += [(name, item_id) for name in listed.identities]
        if listed.key != item.key and not item.id.startswith(f"{listed.id}-"):
            rows.append((key_identity(listed.key), item_id))
    db.executemany("INSERT OR IGNORE INTO identities (identity, item_id) VALUES (?, ?)", rows)


def maybe_known(db: sqlite3.Connection, listed: Iterable[Item]) -> frozenset[str]:
    """Return the keys of listed items that are new, but may be known recordings that were edited.

    They have the address of an item whose audio is known, or nearly its length.
    """
    items = list({item.key: item for item in listed}.values())
    matches = matched(db, 0, items)
    keys = json.dumps([match.item.key for match in matches])
    known = db.execute(
        "SELECT key FROM items WHERE key IN (SELECT value FROM json_each(?))", (keys,)
    )
    found = {row["key"] for row in known}
    new = [item for item, match in zip(items, matches, strict=True) if match.item.key not in found]
    if not new:
        return frozenset()
    rows = db.execute(
        "SELECT url, coalesce(transcripts.duration, items.duration) AS length FROM items "
        "LEFT JOIN transcripts USING (item_id) WHERE item_id IN "
        "(SELECT item_id FROM identities WHERE identity > ? AND identity < ?)",
        (AUDIO, AUDIO + "~"),
    ).fetchall()
    urls = {row["url"] for row in rows}
    lengths = sorted(row["length"] for row in rows if row["length"] is not None)
    return frozenset(
        item.key for item in new if item.url in urls or _is_near(item.duration, lengths)
    )


def _is_near(seconds: float | None, lengths: Sequence[float]) -> bool:
    """Whether one of `lengths`, which are sorted, is within NEAR of `seconds`."""
    if seconds is None:
        return False
    at = bisect.bisect_left(lengths, seconds - NEAR)
    return at < len(lengths) and lengths[at] <= seconds + NEAR


def is_same(row: sqlite3.Row, item: Item) -> bool:
    """Whether the known item in `row` may be `item`, which has its key: not everything has changed."""
    if not item.identities or not (row["media_url"] and item.media_url):
        return True
    if without_trackers(str(row["media_url"])) == without_trackers(item.media_url):
        # Without a guid, which makes local identities, the address may be that of the latest episode.
        if any(name.startswith(LOCAL) for name in item.identities):
            return True
        return _same_title(row, item) or _same_date(row, item) is not False
    return _same_title(row, item) or _same_date(row, item) is True


def _same_title(row: sqlite3.Row, item: Item) -> bool:
    return str(row["title"]).casefold().split() == item.title.casefold().split()


def _same_date(row: sqlite3.Row, item: Item) -> bool | None:
    """Whether the dates are the same, up to a time zone; None if one is unknown."""
    try:
        first, second = (
            datetime.date.fromisoformat(text or "")
            for text in (row["upload_date"], item.upload_date)
        )
    except ValueError:
        return None
    return abs(first - second) <= DAY


def _short(item: Item) -> str:
    return hashlib.sha256(min(item.identities).encode()).hexdigest()[:8]


# An item that several sources list is described by the first of them, and until it is done by any.
_COLUMNS = """
    items.item_id, items.key, items.source, items.id, upload_date, media_url,
    coalesce((SELECT listed_title FROM renamed WHERE renamed.item_id = items.item_id), title) AS title,
    ((SELECT min(source_id) FROM source_items AS listed WHERE listed.item_id = items.item_id) = :source_id
        OR NOT EXISTS (SELECT 1 FROM transcripts WHERE transcripts.item_id = items.item_id)) AS current
"""


def _rows_by_key(
    db: sqlite3.Connection, source_id: int, listed: Collection[Item]
) -> dict[str, sqlite3.Row]:
    """Return known items by the key of the listed one, which may be that of another listing."""
    keys = json.dumps([item.key for item in listed])
    parameters = {"source_id": source_id, "keys": keys}
    found: dict[str, sqlite3.Row] = {}
    for row in db.execute(
        f"SELECT {_COLUMNS}, substr(identity, {len(KEY) + 1}) AS listed FROM identities "
        f"JOIN items USING (item_id) WHERE identity IN (SELECT '{KEY}' || value FROM json_each(:keys))",
        parameters,
    ):
        found[row["listed"]] = row
    for row in db.execute(
        f"SELECT {_COLUMNS} FROM items WHERE key IN (SELECT value FROM json_each(:keys))",
        parameters,
    ):
        found[row["key"]] = row
    return found


def _rows_by_identity(
    db: sqlite3.Connection, source_id: int, listed: Collection[Item]
) -> dict[str, list[sqlite3.Row]]:
    """Return the known items that share an identity with a listed one: local ones of this source only.

    The key of a known item is an identity of it, too.
    """
    names = json.dumps(sorted({name for item in listed for name in item.identities}))
    found: dict[str, list[sqlite3.Row]] = {}
    for row in db.execute(
        f"SELECT {_COLUMNS}, identity, source_items.item_id IS NOT NULL AS here FROM identities "
        "JOIN items USING (item_id) "
        "LEFT JOIN source_items ON source_items.item_id = items.item_id AND source_id = :source_id "
        "WHERE identity IN (SELECT value FROM json_each(:names))",
        {"source_id": source_id, "names": names},
    ):
        if row["here"] or not row["identity"].startswith(LOCAL):
            found.setdefault(row["identity"], []).append(row)
    for row in db.execute(
        f"SELECT {_COLUMNS} FROM items WHERE key IN "
        f"(SELECT substr(value, {len(KEY) + 1}) FROM json_each(:names) WHERE value LIKE '{KEY}%')",
        {"source_id": source_id, "names": names},
    ):
        found.setdefault(key_identity(row["key"]), []).append(row)
    return found
