"""The library: one SQLite file that holds all state. No other module writes SQL.

How an item stands is never written down, it follows from what is there: with a transcript it is done, with
a call in flight, with a failure failed (until its next try is due), else pending. Every public write is one
transaction, so that a process may be killed at any point and the next one goes on.

A Library belongs to the thread that made it. Any number of processes may read while one writes.
"""

from __future__ import annotations

import difflib
import json
import re
import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Self

from homescribe.core import HOUR, MINUTE, Call, Item, Listing, Segment, Transcript, Usage
from homescribe.errors import ItemError, PermanentError, RetryableError, SetupError, UserError
from homescribe.library import connection, corrections, lock, passages, search, stats, usages
from homescribe.library.corrections import Correction
from homescribe.library.records import STATES, ItemRecord, SourceRecord, State, Status
from homescribe.library.rows import (
    ITEM_COLUMNS,
    SEGMENT_COLUMNS,
    clean_item,
    item_row,
    merged,
    segment_row,
    to_item,
    to_record,
    to_segment,
    to_transcript,
)
from homescribe.library.search import Hit
from homescribe.library.stats import ChannelRecord, Day, Page, RunRecord, Sort
from homescribe.library.transactions import transaction, translated
from homescribe.library.usages import Rental, Spending
from homescribe.text.sanitize import sqlite_safe
from homescribe.text.scripts import count_words

# Seconds before the second, third, ... try; the last one goes for all that follow.
BACKOFF = (1 * MINUTE, 10 * MINUTE, 1 * HOUR, 6 * HOUR, 24 * HOUR)

# Every item with how it stands at :now, and the same in listing order: the source that was added first, then
# its own order; items that no source lists any more come last.
_COLUMNS = """
    items.*, transcripts.done_at, transcripts.seconds, transcripts.duration AS heard,
    failures.attempts, failures.error, failures.hint, failures.permanent, failures.retry_at,
    CASE
        WHEN transcripts.item_id IS NOT NULL THEN 'done'
        WHEN calls.item_id IS NOT NULL THEN 'in flight'
        WHEN failures.permanent OR failures.retry_at > :now THEN 'failed'
        ELSE 'pending'
    END AS state
"""
_TABLES = """
    items
    LEFT JOIN transcripts USING (item_id)
    LEFT JOIN calls USING (item_id)
    LEFT JOIN failures USING (item_id)
"""
UNORDERED = f"SELECT {_COLUMNS} FROM {_TABLES}"
RECORDS = f"""
    SELECT {_COLUMNS}, listed.source_id AS listed_in, listed.position AS listed_at
    FROM {_TABLES} LEFT JOIN (
        SELECT item_id, source_id, position, min(source_id) FROM source_items GROUP BY item_id
    ) AS listed USING (item_id)
"""
IN_LISTING_ORDER = "ORDER BY listed_in IS NULL, listed_in, listed_at, item_id"


class Library:
    """The library in `directory`, created or migrated when it is opened. Where nothing may be written it is
    read all the same (`read_only`), and whatever would write raises UserError.

    Raises UserError when the directory or its `library.db` cannot be used, SetupError when the file is
    damaged. Every method raises UserError when the disk is full or another program holds the file.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "library.db"
        self._db = connection.connect(self.path)
        self.read_only = connection.is_read_only(self._db)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def run_lock(self) -> AbstractContextManager[None]:
        """Held by a run for as long as it works; UserError naming the process when another holds it."""
        return lock.run_lock(self.directory / "run.lock")

    def running(self) -> str | None:
        """The number of the process whose run is at work here, "" if unknown; None when there is none."""
        return lock.holder(self.directory / "run.lock")

    # --- Sources -----------------------------------------------------------------------------------

    def record(self, source: str, listing: Listing, items: Sequence[Item]) -> list[Item]:
        """Store what the plug-in `source` listed: the source, its items and their order.

        Known items are refreshed. Returns the items that the library had never seen, as it keeps them.
        """
        now = time.time()
        unique = {item.key: item for item in map(clean_item, items)}
        with self._writing():
            source_id = self._put_source(source, listing, now)
            known = set(self._known(unique))
            ids = self._put(unique.values(), now, by_listing=True)
            self._link(source_id, list(ids.values()))
        return [item for key, item in unique.items() if key not in known]

    def known_keys(self, url: str) -> frozenset[str]:
        """Keys of the items linked to the source at `url`; empty when it was never listed."""
        rows = self._read(
            "SELECT key FROM items JOIN source_items USING (item_id) JOIN sources USING (source_id) "
            "WHERE sources.url = ?",
            (sqlite_safe(url),),
        )
        return frozenset(row["key"] for row in rows)

    def sources(self) -> list[SourceRecord]:
        """Every source, in the order in which they were added."""
        rows = self._read(
            """
            SELECT url, sources.source, title, sources.added_at, listed_at,
                count(source_items.item_id) AS items,
                count(transcripts.item_id) AS done,
                count(CASE WHEN failures.permanent AND transcripts.item_id IS NULL THEN 1 END) AS failed
            FROM sources
            LEFT JOIN source_items USING (source_id)
            LEFT JOIN transcripts USING (item_id)
            LEFT JOIN failures USING (item_id)
            GROUP BY source_id ORDER BY source_id
            """
        )
        return [SourceRecord(**dict(row)) for row in rows]

    def remove_source(self, url: str, *, with_items: bool = False) -> int:
        """Forget the source at `url`; `with_items`, also the items that no other source lists, with their
        transcripts. Returns the number of items removed.
        """
        with self._writing():
            row = self._db.execute(
                "SELECT source_id FROM sources WHERE url = ?", (sqlite_safe(url),)
            ).fetchone()
            if row is None:
                known = [row["url"] for row in self._db.execute("SELECT url FROM sources")]
                raise UserError(f"There is no source {url}.", _did_you_mean(url, known))
            removed = 0
            if with_items:
                removed = self._db.execute(
                    "DELETE FROM items WHERE item_id IN (SELECT item_id FROM source_items "
                    "GROUP BY item_id HAVING min(source_id) = ? AND max(source_id) = min(source_id))",
                    (row["source_id"],),
                ).rowcount
            self._db.execute("DELETE FROM sources WHERE source_id = ?", (row["source_id"],))
        return removed

    # --- Items -------------------------------------------------------------------------------------

    def pending(
        self, *, keys: Collection[str] | None = None, now: float | None = None
    ) -> list[Item]:
        """Items to be worked on at `now` (Unix time), in listing order. `keys` narrows them down."""
        condition, chosen = _in_keys(keys)
        rows = self._read(
            f"SELECT * FROM ({RECORDS} {condition}) WHERE state = 'pending' {IN_LISTING_ORDER}",
            {"now": _at(now), "keys": chosen},
        )
        return [to_item(row) for row in rows]

    def items(
        self,
        *,
        state: State | None = None,
        channel: str | None = None,
        source_url: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> Iterator[ItemRecord]:
        """Records in listing order. `channel` is a name or id; `since` and `until` are dates of upload
        ("2026-03-01"), both included.
        """
        conditions, parameters = _filters(channel, since, until)
        if source_url is not None:
            conditions.append(
                "item_id IN (SELECT item_id FROM source_items JOIN sources USING (source_id) "
                "WHERE sources.url = :source_url)"
            )
            parameters["source_url"] = sqlite_safe(source_url)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        rows = self._read(
            f"SELECT * FROM ({RECORDS} {where}) "
            f"WHERE :state IS NULL OR state = :state {IN_LISTING_ORDER}",
            {"now": time.time(), "state": state, **parameters},
        )
        return map(to_record, rows)

    def item(self, key: str) -> ItemRecord:
        """The item with this key, id or address. UserError when there is none or more than one."""
        rows = self._read(
            f"{UNORDERED} WHERE key = :name OR id = :name OR url = :name",
            {"now": time.time(), "name": sqlite_safe(key)},
        )
        exact = [row for row in rows if row["key"] == sqlite_safe(key)]
        if len(exact or rows) == 1:
            return to_record((exact or rows)[0])
        if rows:
            found = ", ".join(row["key"] for row in rows)
            raise UserError(f"{key} stands for several items: {found}.", "Name one of them.")
        if "://" in key:
            known = [row["url"] for row in self._read("SELECT url FROM sources")]
            hint = "Sources are named by their address as `homescribe sources` shows it."
            raise UserError(
                f"The library has nothing at {key}.", f"{_did_you_mean(key, known)} {hint}".strip()
            )
        known = [name for row in self._read("SELECT key, id FROM items") for name in row]
        raise UserError(f"There is no item {key} in the library.", _did_you_mean(key, known))

    def transcript(self, key: str) -> Transcript | None:
        """The transcript of the item with this key; None when it has none."""
        with self._reading():
            row = self._db.execute(
                "SELECT transcripts.* FROM transcripts JOIN items USING (item_id) WHERE key = ?",
                (sqlite_safe(key),),
            ).fetchone()
            if row is None:
                return None
            segments = self._db.execute(
                "SELECT * FROM segments WHERE item_id = ? ORDER BY position", (row["item_id"],)
            )
            return to_transcript(row, segments)

    def save(self, item: Item, transcript: Transcript, seconds: float = 0.0) -> None:
        """Store the transcript, in place of an earlier one; `item` tells what its page knew.

        `seconds` is the wall time that it took. The item's failure and call are over.
        """
        now = time.time()
        with self._writing():
            item_id = self._put_one(item, now)
            for table in ("segments", "transcripts", "failures", "calls"):
                self._db.execute(f"DELETE FROM {table} WHERE item_id = ?", (item_id,))
            self._db.execute(
                "INSERT INTO transcripts "
                "(item_id, engine, model, language, duration, seconds, done_at, words) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(item_id, sqlite_safe(transcript.engine), sqlite_safe(transcript.model)),
                    *(sqlite_safe(transcript.language), transcript.duration, seconds, now),
                    count_words(segment.text for segment in transcript.segments),
                ),
            )
            self._db.executemany(
                f"INSERT INTO segments (item_id, position, {_quoted(SEGMENT_COLUMNS)}) "
                f"VALUES ({_marks(2 + len(SEGMENT_COLUMNS))})",
                (
                    (item_id, position, *segment_row(segment))
                    for position, segment in enumerate(transcript.segments)
                ),
            )
            if corrections.carry_over(self._db, item_id):
                self._reindex(item_id)
            else:
                passages.index_segments(self._db, item_id, transcript.segments)

    def fail(self, item: Item, error: ItemError, now: float | None = None) -> None:
        """Record that `item` failed: for good, or until the backoff and the error's own wait are over."""
        at = _at(now)
        with self._writing():
            item_id = self._put_one(item, at)
            row = self._db.execute(
                "SELECT attempts FROM failures WHERE item_id = ?", (item_id,)
            ).fetchone()
            attempts = row["attempts"] + 1 if row else 1
            permanent = isinstance(error, PermanentError)
            wait = BACKOFF[min(attempts, len(BACKOFF)) - 1]
            if isinstance(error, RetryableError) and error.retry_after is not None:
                wait = max(wait, error.retry_after)
            self._db.execute(
                "REPLACE INTO failures "
                "(item_id, attempts, error, hint, permanent, retry_at, failed_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(item_id, attempts, sqlite_safe(error.message), sqlite_safe(error.hint)),
                    *(permanent, None if permanent else at + wait, at),
                ),
            )
            self._db.execute("DELETE FROM calls WHERE item_id = ?", (item_id,))

    def add_call(self, call: Call) -> None:
        """Store a call before anything else happens, so that its result can be collected by any later
        process. A call without an id ends with this process: there is nothing to store.
        """
        if call.id is None:
            return
        with self._writing():
            item_id = self._put_one(call.item, time.time())
            self._db.execute(
                "REPLACE INTO calls (item_id, backend, call_id, submitted_at, metadata) "
                "VALUES (?, ?, ?, ?, ?)",
                (item_id, call.backend, call.id, call.submitted_at, sqlite_safe(call.metadata)),
            )

    def calls(self, backend: str) -> list[Call]:
        """Calls to `backend` whose results have not come home, the oldest first."""
        rows = self._read(
            "SELECT items.*, calls.backend, call_id, submitted_at, metadata "
            "FROM calls JOIN items USING (item_id) WHERE backend = ? ORDER BY submitted_at, item_id",
            (backend,),
        )
        return [
            Call(to_item(row), row["backend"], row["submitted_at"], row["call_id"], row["metadata"])
            for row in rows
        ]

    def drop_call(self, key: str) -> None:
        """Forget the call of an item, which is then pending again. Nothing happens when it has none."""
        with self._writing():
            self._db.execute(
                "DELETE FROM calls WHERE item_id = (SELECT item_id FROM items WHERE key = ?)",
                (sqlite_safe(key),),
            )

    def add_usage(self, usage: Usage) -> None:
        """Store what a rented call took, once, however often it is told."""
        with self._writing():
            usages.add(self._db, usage)

    def rental(self, engine: str, model: str, gpu: str) -> Rental | None:
        """How this library's own calls of one kind went; None when they are too few to judge by."""
        with self._reading():
            return usages.rental(self._db, engine, model, gpu)

    def spending(self) -> Spending:
        """What rented calls have cost so far."""
        with self._reading():
            return usages.spending(self._db)

    def suspects(self) -> frozenset[str]:
        """Keys of items whose last rented call ended with its container."""
        with self._reading():
            return usages.suspects(self._db)

    def retry(self, keys: Collection[str] | None = None, *, permanent: bool = False) -> int:
        """Forget failures, so that their items are tried again in the next run; returns how many.

        Permanent failures are forgotten when their item is named, or all of them with `permanent`.
        """
        with self._writing():
            if keys is None:
                which = "" if permanent else " WHERE NOT permanent"
                return self._db.execute(f"DELETE FROM failures{which}").rowcount
            return self._db.execute(
                "DELETE FROM failures WHERE item_id IN (SELECT value FROM json_each(?))",
                (json.dumps(self._named(keys)),),
            ).rowcount

    def remove(self, keys: Collection[str]) -> int:
        """Forget items with all that belongs to them, transcripts too; returns how many."""
        with self._writing():
            return self._db.execute(
                "DELETE FROM items WHERE item_id IN (SELECT value FROM json_each(?))",
                (json.dumps(self._named(keys)),),
            ).rowcount

    def block_site(self, site: str, until: float, reason: str) -> None:
        """Remember that `site` turned us away, and not to ask it before `until` (Unix time)."""
        with self._writing():
            self._db.execute(
                "REPLACE INTO sites (site, blocked_until, reason) VALUES (?, ?, ?)",
                (sqlite_safe(site), until, sqlite_safe(reason)),
            )

    def blocked_sites(self, now: float | None = None) -> dict[str, tuple[float, str]]:
        """Sites not to be asked at `now`: until when (Unix time), and why."""
        rows = self._read(
            "SELECT site, blocked_until, reason FROM sites WHERE blocked_until > ? ORDER BY site",
            (_at(now),),
        )
        return {row["site"]: (row["blocked_until"], row["reason"]) for row in rows}

    # --- Reading -----------------------------------------------------------------------------------

    def search(
        self,
        query: str,
        *,
        raw: bool = False,
        as_typed: bool = False,
        channel: str | None = None,
        source: str | None = None,
        language: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int = 20,
        offset: int = 0,
    ) -> list[Hit]:
        """Where `query` was said or written, best first: every word within half a minute, "quoted words"
        in that order. Case and accents do not matter.

        `raw` takes the query for FTS5's own syntax (AND, OR, NOT, NEAR, prefix*) and raises UserError when
        it is none. `as_typed`: the last word may still be growing. `channel`, `since` and `until` as for
        `items`, `source` and `language` as for `page`.
        """
        conditions, parameters = _filters(channel, since, until, source, language)
        chosen = (
            f"SELECT item_id FROM items WHERE {' AND '.join(conditions)}" if conditions else None
        )
        with self._reading():
            return search.find(
                self._db,
                query,
                raw=raw,
                as_typed=as_typed,
                chosen=chosen,
                parameters=parameters,
                limit=limit,
                offset=offset,
            )

    def status(self) -> Status:
        """The number of items in each state, hours of audio, and the size of the file."""
        rows = self._read(
            f"SELECT state, count(*) AS items, total(length) AS seconds FROM (SELECT state, "
            "coalesce((SELECT t.duration FROM transcripts AS t WHERE t.item_id = records.item_id), "
            f"duration) AS length FROM ({UNORDERED}) AS records) GROUP BY state",
            {"now": time.time()},
        )
        found = {row["state"]: row for row in rows}
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return Status(
            states={state: found[state]["items"] if state in found else 0 for state in STATES},
            audio_seconds=sum((row["seconds"] for row in rows), 0.0),
            audio_seconds_done=found["done"]["seconds"] if "done" in found else 0.0,
            path=self.path,
            bytes=sum(file.stat().st_size for file in files if file.exists()),
        )

    def check(self) -> list[str]:
        """What is wrong with the file, in words; empty when nothing is.

        Whether the search index agrees can be asked only where the file may be written.
        """
        try:
            rows = self._read("PRAGMA integrity_check")
        except SetupError as error:
            return [error.message]
        problems = [f"The file is damaged: {row[0]}." for row in rows if row[0] != "ok"]
        orphans = self._read("PRAGMA foreign_key_check")
        if orphans:
            tables = ", ".join(sorted({row["table"] for row in orphans}))
            problems.append(f"{len(orphans)} rows belong to nothing that exists (in {tables}).")
        if self.read_only:
            return problems
        try:
            with self._writing():
                self._db.execute(
                    "INSERT INTO passages_fts (passages_fts, rank) VALUES ('integrity-check', 1)"
                )
        except SetupError:
            problems.append("The search index does not agree with the passages.")
        return problems

    # --- Correcting ----------------------------------------------------------------------------------

    def correct(self, key: str, position: int, text: str, *, was: str | None = None) -> Segment:
        """Let `text` stand in the line at `position` of a transcript, and keep what the machine wrote.
        Returns the line: its words keep their times as far as they are the same.

        Raises UserError when there is no such line, `text` is empty, or the line does not say `was`.
        """
        with self._writing():
            item_id = self._named([key])[0]
            corrections.correct(self._db, item_id, key, position, text, was, time.time())
            self._reindex(item_id)
            return self._segment(item_id, position)

    def undo_correction(self, key: str, position: int) -> Segment:
        """Take back the latest correction of a line; returns the line as it was before."""
        with self._writing():
            item_id = self._named([key])[0]
            corrections.undo(self._db, item_id, key, position)
            self._reindex(item_id)
            return self._segment(item_id, position)

    def corrections(self, key: str) -> dict[int, Correction]:
        """The lines of an item's transcript that were corrected, by position."""
        with self._reading():
            return corrections.corrected(self._db, self._named([key])[0])

    # --- Looking through -----------------------------------------------------------------------------

    def page(
        self,
        *,
        state: State | None = None,
        channel: str | None = None,
        source: str | None = None,
        language: str | None = None,
        since: str | None = None,
        until: str | None = None,
        sort: Sort = "listed",
        limit: int = 50,
        offset: int = 0,
    ) -> Page:
        """Some records in the order of `sort`, and how many there are. `source` is an Item's ("youtube"),
        `language` that of the transcript; the rest as for `items`.
        """
        conditions, parameters = _filters(channel, since, until, source, language)
        parameters |= {"now": time.time(), "state": state}
        with self._reading():
            return stats.page(
                self._db,
                UNORDERED,
                RECORDS if sort == "listed" else UNORDERED,
                conditions,
                parameters,
                sort=sort,
                limit=limit,
                offset=offset,
            )

    def channels(self) -> list[ChannelRecord]:
        """Every channel that items name, the one with the most items first."""
        with self._reading():
            return stats.channels(self._db)

    def pace(self) -> float | None:
        """Seconds of audio in a second of work, of the latest transcripts; None before there are any."""
        with self._reading():
            return stats.pace(self._db)

    def days(self) -> list[Day]:
        """What was transcribed on each day on which something was, the first first."""
        with self._reading():
            return stats.days(self._db)

    def runs(self) -> list[RunRecord]:
        """Stretches of work without a longer break, with their speed and price, the latest first."""
        with self._reading():
            return stats.runs(self._db)

    def languages(self) -> list[str]:
        """The languages of the transcripts, the most frequent first."""
        rows = self._read(
            "SELECT language FROM transcripts GROUP BY language ORDER BY count(*) DESC, language"
        )
        return [row["language"] for row in rows]

    def item_sources(self) -> list[str]:
        """Where items come from ("youtube", "file"), the most frequent first."""
        rows = self._read("SELECT source FROM items GROUP BY source ORDER BY count(*) DESC, source")
        return [row["source"] for row in rows]

    # --- Inside ------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with translated(self.path), transaction(self._db):
            yield

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Several queries that see the same state, whatever another process writes meanwhile."""
        with translated(self.path):
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("ROLLBACK")

    def _read(
        self, statement: str, parameters: Sequence[object] | dict[str, object] = ()
    ) -> list[sqlite3.Row]:
        with translated(self.path):
            return self._db.execute(statement, parameters).fetchall()

    def _put_source(self, source: str, listing: Listing, now: float) -> int:
        url, title = sqlite_safe(listing.url), sqlite_safe(listing.title)
        self._db.execute(
            "INSERT INTO sources (url, source, title, added_at, listed_at) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (url) DO UPDATE SET source = excluded.source, "
            "title = coalesce(nullif(excluded.title, ''), title), listed_at = excluded.listed_at",
            (url, sqlite_safe(source), title, now, now),
        )
        row = self._db.execute("SELECT source_id FROM sources WHERE url = ?", (url,)).fetchone()
        return int(row["source_id"])

    def _link(self, source_id: int, listed: Sequence[int]) -> None:
        """Link items to a source, each at its place among those that are known."""
        rows = self._db.execute(
            "SELECT item_id, position FROM source_items WHERE source_id = ? ORDER BY position",
            (source_id,),
        )
        positions = {row["item_id"]: row["position"] for row in rows}
        order = enumerate(_inserted(list(positions), listed))
        self._db.executemany(
            "INSERT INTO source_items (source_id, item_id, position) VALUES (?, ?, ?) "
            "ON CONFLICT DO UPDATE SET position = excluded.position",
            (
                (source_id, item_id, position)
                for position, item_id in order
                if positions.get(item_id) != position
            ),
        )

    def _known(self, keys: Collection[str]) -> dict[str, sqlite3.Row]:
        rows = self._db.execute(
            "SELECT items.*, EXISTS (SELECT 1 FROM transcripts WHERE item_id = items.item_id) AS done "
            "FROM items WHERE key IN (SELECT value FROM json_each(?))",
            (json.dumps(list(keys)),),
        )
        return {row["key"]: row for row in rows}

    def _put_one(self, item: Item, now: float) -> int:
        item = clean_item(item)
        return self._put([item], now, by_listing=False)[item.key]

    def _put(self, items: Collection[Item], now: float, *, by_listing: bool) -> dict[str, int]:
        """Insert or refresh items; returns their item_ids by key, in the same order."""
        known = self._known([item.key for item in items])
        ids: dict[str, int] = {}
        written: dict[int, Item] = {}
        for item in items:
            row = known.get(item.key)
            if row is None:
                cursor = self._db.execute(
                    f"INSERT INTO items ({_quoted(ITEM_COLUMNS)}, added_at) "
                    f"VALUES ({_marks(1 + len(ITEM_COLUMNS))})",
                    (*item_row(item), now),
                )
                ids[item.key] = item_id = cursor.lastrowid or 0
                written[item_id] = item
                continue
            ids[item.key] = item_id = row["item_id"]
            old = to_item(row)
            new = merged(old, item, by_listing=by_listing and bool(row["done"]))
            if new != old:
                self._db.execute(
                    f"UPDATE items SET ({_quoted(ITEM_COLUMNS)}) = ({_marks(len(ITEM_COLUMNS))}) "
                    "WHERE item_id = ?",
                    (*item_row(new), item_id),
                )
            if (new.title, new.description) != (old.title, old.description):
                written[item_id] = new
        passages.index_metadata(self._db, written)
        return ids

    def _segment(self, item_id: int, position: int) -> Segment:
        return to_segment(
            self._db.execute(
                "SELECT * FROM segments WHERE item_id = ? AND position = ?", (item_id, position)
            ).fetchone()
        )

    def _reindex(self, item_id: int) -> None:
        """Make findable, and count, what stands in the transcript now."""
        rows = self._db.execute(
            "SELECT * FROM segments WHERE item_id = ? ORDER BY position", (item_id,)
        )
        segments = [to_segment(row) for row in rows]
        passages.index_segments(self._db, item_id, segments)
        words = count_words(segment.text for segment in segments)
        self._db.execute("UPDATE transcripts SET words = ? WHERE item_id = ?", (words, item_id))

    def _named(self, keys: Collection[str]) -> list[int]:
        """item_ids of `keys`, each a key, id or address; UserError for the first that is unknown."""
        known = {key: row["item_id"] for key, row in self._known(keys).items()}
        for key in keys:
            if key not in known:
                found = self.item(key).item.key
                known[key] = self._known([found])[found]["item_id"]
        return list(known.values())


def _inserted(known: Sequence[int], listed: Sequence[int]) -> list[int]:
    """`known` in its order, with what is new in `listed` put where it stands there: before the first that
    is known, or after the one before it; at the end when none is known.
    """
    old = set(known)
    leading = listed[: next((n for n, item in enumerate(listed) if item in old), 0)]
    following: dict[int, list[int]] = {}
    last: int | None = None
    for item in listed[len(leading) :]:
        if item in old:
            last = item
        elif last is not None:
            following.setdefault(last, []).append(item)
    if last is None:
        return [*known, *listed]
    order: list[int] = []
    for item in known:
        if item == listed[len(leading)]:
            order += leading
        order += [item, *following.get(item, ())]
    return order


def _at(now: float | None) -> float:
    return time.time() if now is None else now


def _quoted(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)  # "end" is a word of SQL


def _marks(number: int) -> str:
    return ", ".join("?" * number)


def _in_keys(keys: Collection[str] | None) -> tuple[str, str | None]:
    if keys is None:
        return "", None
    return "WHERE key IN (SELECT value FROM json_each(:keys))", json.dumps(
        list(map(sqlite_safe, keys))
    )


def _filters(
    channel: str | None,
    since: str | None,
    until: str | None,
    source: str | None = None,
    language: str | None = None,
) -> tuple[list[str], dict[str, object]]:
    """Conditions on `items` and their parameters. UserError for a date that is none."""
    conditions: list[str] = []
    parameters: dict[str, object] = {}
    if channel is not None:
        conditions.append("(channel = :channel COLLATE NOCASE OR channel_id = :channel)")
        parameters["channel"] = sqlite_safe(channel)
    if since is not None:
        conditions.append("upload_date >= :since")
        parameters["since"] = _day(since)
    if until is not None:
        conditions.append("upload_date <= :until")
        parameters["until"] = _day(until)
    if source is not None:
        conditions.append("items.source = :source")
        parameters["source"] = sqlite_safe(source)
    if language is not None:
        conditions.append("item_id IN (SELECT item_id FROM transcripts WHERE language = :language)")
        parameters["language"] = sqlite_safe(language)
    return conditions, parameters


def _day(written: str) -> str:
    """`written`, which must be a date as items have theirs: they are compared as text."""
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", written):
            raise ValueError
        date.fromisoformat(written)
    except ValueError:
        raise UserError(f"{written!r} is not a date.", "Write it like 2026-03-01.") from None
    return written


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    return f"Did you mean {' or '.join(close)}?" if close else ""
