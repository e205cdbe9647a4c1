"""Files with the same content: all of them are one item, described by one, and the others are its copies.

A place is where a listing found the content of an item. The item has the description of one of its places, as
long as the content is there; then another one describes it. Only listings by content have places: see
`Listing.by_content`.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from homescribe.core import Item
from homescribe.library import renamed
from homescribe.library.passages import index_metadata
from homescribe.library.rows import to_item
from homescribe.text.identities import KEY
from homescribe.text.sanitize import is_sqlite_safe, sqlite_safe

# Column of a query over `items`: the other places, as JSON.
AS_JSON = """(
    SELECT json_group_array(json_object(
        'url', url, 'title', title, 'channel', channel, 'upload_date', upload_date))
    FROM (
        SELECT places.url, places.title, places.channel, places.upload_date FROM places
        WHERE places.item_id = items.item_id AND NOT missing AND places.url != items.url
        GROUP BY places.url ORDER BY min(source_id), position
    )
)"""


@dataclass(frozen=True, slots=True)
class Copy:
    """A file that has the same content as `of`, the item's own one."""

    url: str
    of: str


def elsewhere(db: sqlite3.Connection, url: str, listed: Collection[Item]) -> list[Item]:
    """Return the places of the source at `url`, and of the listed items, that are not among the listed.

    Each is an item with its own description. The caller knows whether a file is still there.
    """
    rows = db.execute(
        "SELECT items.*, json_object('url', places.url) AS place FROM places JOIN items USING (item_id) "
        "JOIN sources USING (source_id) WHERE NOT missing "
        "AND places.url NOT IN (SELECT value FROM json_each(:urls)) "
        "AND (sources.url = :url OR items.key IN (SELECT value FROM json_each(:keys)) OR item_id IN ("
        "SELECT item_id FROM identities "
        f"WHERE identity IN (SELECT '{KEY}' || value FROM json_each(:keys))))",
        {
            "url": sqlite_safe(url),
            "urls": json.dumps([sqlite_safe(item.url) for item in listed]),
            "keys": json.dumps([item.key for item in listed]),
        },
    )
    return [replace(to_item(row), **json.loads(row["place"])) for row in rows]


def described(
    db: sqlite3.Connection, row: sqlite3.Row | None, files: Sequence[Item], gone: Collection[str]
) -> Item | None:
    """Return which of `files`, found in a listing, describes an item, which is known if there is a `row`.

    None if another place describes it, which the listing does not have.
    """
    if row is None:
        return files[0]
    for file in files:
        if file.url == row["url"]:
            return file
    known = db.execute(
        "SELECT 1 FROM places WHERE item_id = ? AND url = ? AND NOT missing",
        (row["item_id"], row["url"]),
    ).fetchone()
    return files[0] if known is None or row["url"] in gone else None


def store(
    db: sqlite3.Connection,
    source_id: int,
    files: Mapping[int, Sequence[Item]],
    gone: Collection[str],
) -> list[Copy]:
    """Store where a listing found items, and return the copies among them that were not known before.

    Args:
        files: the items as listed, by item_id.
        gone: addresses of known places at which there is no file any more.
    """
    found = {
        item.url: (item_id, position, item)
        for item_id, listed in files.items()
        for position, item in enumerate(listed)
        if is_sqlite_safe(item.url)
    }
    urls = json.dumps(list(found))
    known = {
        (row["url"], row["item_id"])
        for row in db.execute(
            "SELECT url, item_id FROM places WHERE url IN (SELECT value FROM json_each(?))", (urls,)
        )
    }
    left = [(url, item_id) for url, item_id in known if found[url][0] != item_id]
    _leave(db, left)
    db.executemany("UPDATE places SET missing = 1 WHERE url = ?", ((url,) for url in gone))
    db.executemany(
        "INSERT OR REPLACE INTO places "
        "(source_id, url, item_id, title, channel, upload_date, position, missing) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
        (
            (source_id, url, item_id, item.title, item.channel, item.upload_date, position)
            for url, (item_id, position, item) in found.items()
        ),
    )
    describe(db, {item_id for _, item_id in left})
    new = {url: item_id for url, (item_id, *_) in found.items() if (url, item_id) not in known}
    return _copies(db, new)


def _copies(db: sqlite3.Connection, new: Mapping[str, int]) -> list[Copy]:
    """Return which of the new places, with their item_ids, are copies of an item that has another place.

    In a new item it is the first one that has copies.
    """
    rows = db.execute(
        "SELECT items.item_id, items.url FROM items JOIN places USING (item_id) WHERE NOT missing "
        "AND items.item_id IN (SELECT value FROM json_each(?)) "
        "GROUP BY items.item_id HAVING count(DISTINCT places.url) > 1",
        (json.dumps(sorted(set(new.values()))),),
    )
    of = {row["item_id"]: row["url"] for row in rows}
    return [Copy(url, of[item_id]) for url, item_id in new.items() if of.get(item_id, url) != url]


def _leave(db: sqlite3.Connection, places: Iterable[tuple[str, int]]) -> None:
    """Delete places that have another content now. A source without a place of the item lists it no more.

    An item without a place is left to `listings.remove_replaced`.
    """
    for url, item_id in places:
        rows = db.execute(
            "DELETE FROM places WHERE url = ? AND item_id = ? RETURNING source_id", (url, item_id)
        ).fetchall()
        others = "SELECT 1 FROM places WHERE item_id = ? AND NOT missing"
        if db.execute(others, (item_id,)).fetchone() is None:
            continue
        db.executemany(
            "DELETE FROM source_items WHERE source_id = :source AND item_id = :item AND NOT EXISTS "
            "(SELECT 1 FROM places WHERE source_id = :source AND item_id = :item)",
            [{"source": row["source_id"], "item": item_id} for row in rows],
        )


def describe(db: sqlite3.Connection, ids: Collection[int]) -> None:
    """Give those of `ids` that have places, but none at their address, the description of the first one."""
    rows = db.execute(
        "SELECT items.*, (SELECT json_object("
        "'url', url, 'title', title, 'channel', channel, 'upload_date', upload_date) FROM places "
        "WHERE item_id = items.item_id AND NOT missing ORDER BY source_id, position LIMIT 1) AS place "
        "FROM items WHERE item_id IN (SELECT value FROM json_each(?)) AND place IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM places WHERE places.item_id = items.item_id AND places.url = items.url)",
        (json.dumps(list(ids)),),
    ).fetchall()
    titles = renamed.listed_titles(db, [row["item_id"] for row in rows])
    for row in rows:
        item = replace(to_item(row), **json.loads(row["place"]))
        if row["item_id"] in titles:
            renamed.update(db, row["item_id"], item.title)
            item = replace(item, title=row["title"])
        db.execute(
            "UPDATE items SET url = ?, title = ?, channel = ?, upload_date = ? WHERE item_id = ?",
            (item.url, item.title, item.channel, item.upload_date, row["item_id"]),
        )
        index_metadata(db, {row["item_id"]: item})
