"""Sources that were added, and the items that each of them lists, in its order."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from homescribe.core import Item, Listing
from homescribe.errors import UserError
from homescribe.library import copies, items, same_recordings
from homescribe.library.copies import Copy
from homescribe.library.records import Selection, SourceRecord
from homescribe.library.rows import clean_item, to_item
from homescribe.library.schema import IS_DONE
from homescribe.text.redaction import shown_address, shown_feed
from homescribe.text.sanitize import sqlite_safe


@dataclass(frozen=True, slots=True)
class Recorded:
    """The items of a listing under their keys in the library, and those among them that are new to it."""

    items: list[Item]
    new: list[Item]
    # Items with a transcript or a call that no source lists any more: another content is at their address.
    replaced: list[Item]
    # Files that have the same content as another one, and are new to the library.
    copies: list[Copy]


def record(
    db: sqlite3.Connection,
    source: str,
    listing: Listing,
    listed: Sequence[Item],
    now: float,
    selection: Selection | None = None,
    gone: Collection[str] = (),
) -> Recorded:
    """Store a source and its items, and what is left out of it unless `selection` is None.

    An item may be known by another key: see same_recordings.py.

    Args:
        gone: addresses of known files, not in the listing, that do not exist any more.
    """
    if listing.moved_from is not None:
        move(db, listing.moved_from, listing.url)
    source_id = _put_source(db, source, listing, now)
    named: dict[str, list[Item]] = {}  # by key
    for item in map(clean_item, listed):
        named.setdefault(item.key, []).append(item)
    # Files with one key are copies. Other listings have an item twice only by mistake.
    unique = [_with_identities(same) if listing.by_content else same[-1] for same in named.values()]
    matches = same_recordings.matched(db, source_id, unique)
    known = items.known_rows(db, {match.item.key for match in matches})
    found: dict[str, Item] = {}  # by the key in the library
    files: dict[str, list[Item]] = {}  # all as listed, by the same
    for item, match in zip(unique, matches, strict=True):
        key = match.item.key
        found[key] = match.item
        same = named[item.key] if listing.by_content else [item]
        files.setdefault(key, []).extend(_with_key(each, match.item) for each in same)
    current = [m.item for m in matches if m.current or m.item.key not in known]
    if listing.by_content:
        chosen = [copies.described(db, known.get(key), same, gone) for key, same in files.items()]
        current = [item for item in chosen if item is not None]
    put = items.put(db, current, now, by_listing=True)
    ids = {key: put[key] if key in put else int(known[key]["item_id"]) for key in found}
    same_recordings.store(
        db, ids, ((item, match.item) for item, match in zip(unique, matches, strict=True))
    )
    _link(db, source_id, list(ids.values()))
    if selection is not None:
        _put_selection(db, source_id, selection, unique)
    found.update({item.key: item for item in current})
    new = [item for key, item in found.items() if key not in known]
    if not listing.by_content:
        return Recorded(list(found.values()), new, [], [])
    readable = {ids[key]: [file for file in same if file.identities] for key, same in files.items()}
    new_copies = copies.store(db, source_id, readable, gone)
    listed_files = [file for same in readable.values() for file in same]
    replaced = remove_replaced(db, source_id, listed_files, ids.values())
    return Recorded(list(found.values()), new, replaced, new_copies)


def _with_identities(copies: Sequence[Item]) -> Item:
    """Return the first of `copies` with the identities of all: their tags may differ."""
    if len(copies) == 1:
        return copies[0]
    names = dict.fromkeys(name for item in copies for name in item.identities)
    return replace(copies[0], identities=tuple(names))


def _with_key(item: Item, own: Item) -> Item:
    """Return `item` under the key of `own`."""
    return item if item.key == own.key else replace(item, source=own.source, id=own.id)


def remove_replaced(
    db: sqlite3.Connection, source_id: int, listed: Sequence[Item], listed_ids: Iterable[int]
) -> list[Item]:
    """Remove the items at the addresses of `listed` that are not listed: their content was replaced.

    One that another source lists stays there. Of the others, one with a transcript or a call stays in the
    library, without a source; the rest are deleted with their failures.

    Returns:
        Those that stay without a source.
    """
    rows = db.execute(
        "SELECT items.*, transcripts.item_id IS NOT NULL AS done, calls.item_id IS NOT NULL AS called "
        "FROM items LEFT JOIN transcripts USING (item_id) LEFT JOIN calls USING (item_id) "
        "WHERE url IN (SELECT value FROM json_each(?)) "
        "AND items.source IN (SELECT value FROM json_each(?)) "
        "AND items.item_id IN (SELECT item_id FROM source_items) "
        "AND items.item_id NOT IN (SELECT value FROM json_each(?))",
        (
            json.dumps([item.url for item in listed]),
            json.dumps(sorted({item.source for item in listed})),
            json.dumps(list(listed_ids)),
        ),
    ).fetchall()
    kept: list[Item] = []
    for row in rows:
        db.execute(
            "DELETE FROM source_items WHERE item_id = ? AND source_id IN "
            "(SELECT source_id FROM sources WHERE source_id = ? OR url = ?)",
            (row["item_id"], source_id, row["url"]),
        )
        links = "SELECT 1 FROM source_items WHERE item_id = ?"
        if db.execute(links, (row["item_id"],)).fetchone() is not None:
            continue
        if row["done"] or row["called"]:
            kept.append(to_item(row))
        else:
            items.remove(db, [row["item_id"]])
    return kept


def selection(db: sqlite3.Connection, url: str) -> Selection:
    """Return what is left out of the source at `url`."""
    row = db.execute(
        "SELECT source_id, since FROM sources WHERE url = ?", (sqlite_safe(url),)
    ).fetchone()
    if row is None:
        return Selection()
    names = db.execute("SELECT name FROM left_out WHERE source_id = ?", (row["source_id"],))
    return Selection(row["since"], frozenset(name["name"] for name in names))


def _put_selection(
    db: sqlite3.Connection, source_id: int, chosen: Selection, listed: Sequence[Item]
) -> None:
    """Store what is left out of a source, of which `listed` is not."""
    db.execute("UPDATE sources SET since = ? WHERE source_id = ?", (chosen.since, source_id))
    names = (name for item in listed for name in (item.key, *item.identities))
    db.executemany(
        "DELETE FROM left_out WHERE source_id = ? AND name = ?",
        ((source_id, name) for name in names),
    )
    db.executemany(
        "INSERT OR IGNORE INTO left_out (source_id, name) VALUES (?, ?)",
        ((source_id, sqlite_safe(name)) for name in chosen.left_out),
    )


def move(db: sqlite3.Connection, old: str, new: str) -> None:
    """Give the source at `old` the address `new`; where there is a source already, it gets the items."""
    ids = {
        row["url"]: row["source_id"]
        for row in db.execute(
            "SELECT url, source_id FROM sources WHERE url IN (?, ?)",
            (sqlite_safe(old), sqlite_safe(new)),
        )
    }
    before, after = ids.get(sqlite_safe(old)), ids.get(sqlite_safe(new))
    if before is None or before == after:
        return
    db.execute(
        "UPDATE replacements SET source_url = ? WHERE source_url = ?",
        (sqlite_safe(new), sqlite_safe(old)),
    )
    if after is None:
        db.execute("UPDATE sources SET url = ? WHERE source_id = ?", (sqlite_safe(new), before))
        return
    # The older row stays: its items are listed first.
    db.execute("UPDATE OR IGNORE places SET source_id = ? WHERE source_id = ?", (before, after))
    db.execute(
        "UPDATE OR IGNORE source_items SET source_id = ? WHERE source_id = ?", (before, after)
    )
    db.execute("DELETE FROM sources WHERE source_id = ?", (after,))
    db.execute("UPDATE sources SET url = ? WHERE source_id = ?", (sqlite_safe(new), before))


def known_keys(db: sqlite3.Connection, url: str) -> frozenset[str]:
    """Return the keys of the items that the source at `url` lists; none when it is unknown."""
    rows = db.execute(
        "SELECT key FROM items JOIN source_items USING (item_id) JOIN sources USING (source_id) "
        "WHERE sources.url = ?",
        (sqlite_safe(url),),
    )
    return frozenset(row["key"] for row in rows)


def sources(db: sqlite3.Connection) -> list[SourceRecord]:
    """Return every source, in the order in which they were added."""
    rows = db.execute(
        f"""
        SELECT url, sources.source, title, sources.added_at, listed_at, since,
            count(source_items.item_id) AS items,
            count(CASE WHEN {IS_DONE} THEN 1 END) AS done,
            count(CASE WHEN failures.permanent THEN 1 END)
                - count(CASE WHEN failures.permanent AND {IS_DONE} THEN 1 END) AS failed
        FROM sources
        LEFT JOIN source_items USING (source_id)
        LEFT JOIN transcripts USING (item_id)
        LEFT JOIN failures USING (item_id)
        LEFT JOIN ignored USING (item_id)
        GROUP BY source_id ORDER BY source_id
        """
    )
    return [SourceRecord(**dict(row)) for row in rows]


def find_url(db: sqlite3.Connection, name: str) -> str | None:
    """Return the address of the source `name`: an address, or one as outputs show it, with marks for secrets.

    None when there is no such source.
    """
    known = [row["url"] for row in db.execute("SELECT url FROM sources")]
    if name in known:
        return name
    return next((url for url in known if name in (shown_feed(url), shown_address(url))), None)


def find_known(db: sqlite3.Connection, name: str) -> str:
    """Return the address of the source `name`, as `find_url` does; UserError when there is none."""
    found = find_url(db, sqlite_safe(name))
    if found is None:
        known = [shown_feed(row["url"]) for row in db.execute("SELECT url FROM sources")]
        hint = items.did_you_mean(name, known)
        raise UserError(f"There is no source {shown_feed(name)}.", hint)
    return found


def remove_source(db: sqlite3.Connection, url: str, *, with_items: bool) -> int:
    """Delete a source and, `with_items`, the items that only it lists; return how many items."""
    found = find_known(db, url)
    row = db.execute("SELECT source_id FROM sources WHERE url = ?", (found,)).fetchone()
    removed = 0
    if with_items:
        only_here = db.execute(
            "SELECT item_id FROM source_items GROUP BY item_id "
            "HAVING min(source_id) = ? AND max(source_id) = min(source_id)",
            (row["source_id"],),
        )
        removed = items.remove(db, [row["item_id"] for row in only_here])
    here = db.execute(
        "SELECT item_id FROM places WHERE source_id = ?", (row["source_id"],)
    ).fetchall()
    db.execute("DELETE FROM sources WHERE source_id = ?", (row["source_id"],))
    copies.describe(db, {place["item_id"] for place in here})
    return removed


def only_listed_by(db: sqlite3.Connection, urls: Collection[str]) -> list[str]:
    """Return the keys of the items that no source lists except those at `urls`."""
    given = json.dumps([sqlite_safe(url) for url in urls])
    rows = db.execute(
        "SELECT key FROM items JOIN source_items USING (item_id) JOIN sources USING (source_id) "
        "GROUP BY item_id HAVING min(sources.url IN (SELECT value FROM json_each(?))) "
        "ORDER BY min(source_id), position",
        (given,),
    )
    return [row["key"] for row in rows]


def _put_source(db: sqlite3.Connection, source: str, listing: Listing, now: float) -> int:
    """Insert or update the source of `listing`; return its source_id."""
    url, title = sqlite_safe(listing.url), sqlite_safe(listing.title)
    db.execute(
        "INSERT INTO sources (url, source, title, added_at, listed_at) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (url) DO UPDATE SET source = excluded.source, "
        "title = coalesce(nullif(excluded.title, ''), title), listed_at = excluded.listed_at",
        (url, sqlite_safe(source), title, now, now),
    )
    row = db.execute("SELECT source_id FROM sources WHERE url = ?", (url,)).fetchone()
    return int(row["source_id"])


def _link(db: sqlite3.Connection, source_id: int, listed: Sequence[int]) -> None:
    """Link items to a source, new ones in their place among the known ones."""
    rows = db.execute(
        "SELECT item_id, position FROM source_items WHERE source_id = ? ORDER BY position",
        (source_id,),
    )
    positions = {row["item_id"]: row["position"] for row in rows}
    order = enumerate(merged_order(list(positions), listed))
    db.executemany(
        "INSERT INTO source_items (source_id, item_id, position) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET position = excluded.position",
        (
            (source_id, item_id, position)
            for position, item_id in order
            if positions.get(item_id) != position
        ),
    )


def merged_order(known: Sequence[int], listed: Sequence[int]) -> list[int]:
    """Return `known` in its order with the new ids of `listed` inserted.

    A new id goes after the known one that precedes it in `listed`, or before the first known one when none
    precedes it. All go to the end when `listed` has no known one.
    """
    old = set(known)
    leading = listed[: next((n for n, item_id in enumerate(listed) if item_id in old), 0)]
    following: dict[int, list[int]] = {}
    last: int | None = None
    for item_id in listed[len(leading) :]:
        if item_id in old:
            last = item_id
        elif last is not None:
            following.setdefault(last, []).append(item_id)
    if last is None:
        return [*known, *listed]
    order: list[int] = []
    for item_id in known:
        if item_id == listed[len(leading)]:
            order += leading
        order += [item_id, *following.get(item_id, ())]
    return order
