"""The class that owns the library: its methods, each one transaction.

Every public write is one transaction, so that a process may be killed at any point and the next one goes on.
The queries are in the modules around this one, as functions over the connection.

A Library belongs to the thread that opened it. Any number of processes may read while one writes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from homescribe.core import Call, Item, Listing, Segment, Transcript, Usage
from homescribe.errors import ItemError, SetupError
from homescribe.library import (
    calls,
    connection,
    copies,
    corrections,
    engine_work,
    failures,
    integrity,
    items,
    listings,
    lock,
    same_recordings,
    transcripts,
    usages,
    written_files,
)
from homescribe.library.caption_methods import CaptionMethods
from homescribe.library.corrections import Correction
from homescribe.library.engine_work import Deaths
from homescribe.library.filters import item_filter
from homescribe.library.item_methods import ItemMethods
from homescribe.library.items import Page, Sort
from homescribe.library.kept_audio import AudioFolder
from homescribe.library.listings import Recorded
from homescribe.library.query_methods import QueryMethods
from homescribe.library.records import ItemRecord, Selection, SourceRecord, State
from homescribe.library.replacement_methods import ReplacementMethods
from homescribe.library.rows import to_record
from homescribe.library.speaker_methods import SpeakerMethods
from homescribe.library.transactions import snapshot, transaction, translated
from homescribe.library.usages import Measured, Rental, Spending


class Library(SpeakerMethods, ReplacementMethods, ItemMethods, CaptionMethods, QueryMethods):
    """The library in `directory`, created or migrated when it is opened. "~" is the home folder.

    With `read_only`, and where the files are not writable, the library can be read, and methods that write
    raise UserError. With `read_only` nothing is created or migrated.

    Raises UserError when the directory or its `library.db` cannot be used, SetupError when the file is
    damaged. Every method raises UserError when the disk is full, and LibraryBusy when another program writes
    to the file for longer than 30 seconds.
    """

    def __init__(self, directory: Path | str, *, read_only: bool = False) -> None:
        self.directory = Path(directory).expanduser()
        self.path = self.directory / "library.db"
        connect = connection.connect_read_only if read_only else connection.connect
        self._db = connect(self.path)
        self.read_only = connection.is_read_only(self._db)
        self.audio = AudioFolder(self.directory, self._reading, self._writing)

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
        """Lock that a run holds while it works. Raises AnotherRun naming the process that holds it."""
        return lock.run_lock(self.directory)

    def running(self) -> str | None:
        """Id of the process that holds the run lock, "" if unknown; None when no process holds it."""
        return lock.holder(self.directory)

    def busy_timeout(self, seconds: float) -> AbstractContextManager[None]:
        """In the block, methods that write wait only so long for another program, then raise LibraryBusy."""
        return connection.busy_timeout(self._db, seconds)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with translated(self.path), transaction(self._db):
            yield self._db
        self.audio.delete_unused(self._db)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with translated(self.path), snapshot(self._db):
            yield self._db

    def _empty_log(self) -> None:
        connection.empty_log(self._db)

    # --- Sources -----------------------------------------------------------------------------------

    def record(
        self,
        source: str,
        listing: Listing,
        items: Sequence[Item],
        selection: Selection | None = None,
        gone: Collection[str] = (),
    ) -> Recorded:
        """Store what the plug-in `source` listed: the source, its items and their order.

        Known items are updated. Returns the items under their keys in the library, which may differ from
        the listed ones if a recording was known from elsewhere. `selection` is stored with the source; `gone`
        are those of `known_elsewhere` whose files do not exist any more.
        """
        with self._writing() as db:
            return listings.record(db, source, listing, items, time.time(), selection, gone)

    def selection(self, url: str) -> Selection:
        """Which items of the source at `url` are left out; none of an unknown one."""
        with self._reading() as db:
            return listings.selection(db, url)

    def known_elsewhere(self, url: str, items: Sequence[Item]) -> list[Item]:
        """Known files of the source at `url`, and known copies of `items`, that are not among `items`."""
        with self._reading() as db:
            return copies.elsewhere(db, url, items)

    def maybe_known(self, items: Sequence[Item]) -> frozenset[str]:
        """Keys of listed items that are new, but may be known recordings that were edited: only a hash of
        their audio could tell (`Source.audio_identity`).
        """
        with self._reading() as db:
            return same_recordings.maybe_known(db, items)

    def known_keys(self, url: str) -> frozenset[str]:
        """Keys of the items that the source at `url` lists; empty when it was never listed."""
        with self._reading() as db:
            return listings.known_keys(db, url)

    def sources(self) -> list[SourceRecord]:
        """Every source, in the order in which they were added."""
        with self._reading() as db:
            return listings.sources(db)

    def only_listed_by(self, urls: Collection[str]) -> list[str]:
        """Keys of the items that no source lists except those at `urls`."""
        with self._reading() as db:
            return listings.only_listed_by(db, urls)

    def source_url(self, name: str) -> str | None:
        """The address of the source `name`, which may be as outputs show it; None if there is none."""
        with self._reading() as db:
            return listings.find_url(db, name)

    def find_source(self, name: str) -> str:
        """The address of the source `name`, as for `source_url`; UserError if there is none."""
        with self._reading() as db:
            return listings.find_known(db, name)

    def remove_source(self, url: str, *, with_items: bool = False) -> int:
        """Delete the source at `url`; `with_items`, also the items that no other source lists, with their
        transcripts. Returns the number of items deleted.
        """
        with self._writing() as db:
            return listings.remove_source(db, url, with_items=with_items)

    # --- Items -------------------------------------------------------------------------------------

    def pending(
        self,
        *,
        keys: Collection[str] | None = None,
        again: Collection[str] = (),
        now: float | None = None,
    ) -> list[Item]:
        """Items that are pending at `now` (Unix time), in listing order; of `keys` only, unless None.

        Those with captions come last, and after them those that failed before.

        Of `again`, also those that are transcribed, unless a call is in flight or a failure is not due.
        """
        with self._reading() as db:
            return items.pending(db, keys, again, _time(now))

    def items(
        self,
        *,
        state: State | None = None,
        channel: str | None = None,
        source_url: str | None = None,
        captions: str | None = None,
        since: str | None = None,
        until: str | None = None,
    ) -> Iterator[ItemRecord]:
        """Records in listing order; without a `state`, all that are not ignored.

        `channel` is a name or id; `captions`: those whose transcript is captions, "manual", "automatic" or
        "any"; `since` and `until` are upload dates ("2026-03-01"), inclusive.
        """
        chosen = item_filter(
            channel=channel, source_url=source_url, captions=captions, since=since, until=until
        )
        with self._reading() as db:
            return map(to_record, items.records(db, chosen, state, time.time()))

    def page(
        self,
        *,
        state: State | None = None,
        channel: str | None = None,
        source: str | None = None,
        language: str | None = None,
        captions: str | None = None,
        since: str | None = None,
        until: str | None = None,
        title: str | None = None,
        sort: Sort = "listed",
        limit: int = 50,
        offset: int = 0,
    ) -> Page:
        """Some records in the order of `sort`, and the number of all. `source` is an Item's ("youtube"),
        `language` that of the transcript or of some of its segments, `title` a part of the title without
        regard to case and accents; the rest as for `items`. Without a `state`, ignored items are left out.
        """
        chosen = item_filter(
            channel=channel,
            source=source,
            language=language,
            captions=captions,
            since=since,
            until=until,
            title=title,
        )
        with self._reading() as db:
            return items.page(db, chosen, state, time.time(), sort=sort, limit=limit, offset=offset)

    def item(self, key: str) -> ItemRecord:
        """The item with this key, id or URL, or that of a copy. UserError if there is not just one."""
        with self._reading() as db:
            return items.find(db, key, time.time())

    # --- Exports --------------------------------------------------------------------------------------

    def written_file(self, path: Path) -> tuple[str, bytes] | None:
        """The key of the item that `path` was last written for, and the SHA-256 of what was written."""
        with self._reading() as db:
            return written_files.find(db, path)

    def record_written_file(self, path: Path, key: str, sha256: bytes) -> None:
        """Record that `path` was written for the item with this key."""
        with self._writing() as db:
            written_files.record(db, path, key, sha256, time.time())

    # --- Transcripts ---------------------------------------------------------------------------------

    def transcript(self, key: str) -> Transcript | None:
        """The transcript of the item with this key; None when it has none."""
        with self._reading() as db:
            return transcripts.load(db, key)

    def save(
        self, item: Item, transcript: Transcript, seconds: float = 0.0, *, insert: bool = True
    ) -> bool:
        """Store a transcript in place of an earlier one, with what the page of `item` added to it.

        `seconds` is the wall time that it took. The item's failure and call are deleted. An item that is not
        in the library is inserted; without `insert`, nothing is stored then and False is returned.
        """
        now = time.time()
        with self._writing() as db:
            item_id = items.put_one(db, item, now, insert=insert)
            if item_id is None:
                return False
            transcripts.save(db, item_id, transcript, max(0.0, seconds), now)
            engine_work.end(db, item_id)
            return True

    def correct(self, key: str, position: int, text: str, *, was: str | None = None) -> Segment:
        """Replace the text of the segment at `position`, and keep what the engine wrote. Returns the segment;
        words that are unchanged keep their times.

        Raises UserError when there is no such segment, `text` is empty, or its text is not `was`.
        """
        now = time.time()
        with self._writing() as db:
            (item_id,) = items.find_ids(db, [key], now)
            changes = corrections.correct(db, item_id, key, position, text, was, now)
            transcripts.refresh(db, item_id, changes)
            return transcripts.segment(db, item_id, position)

    def undo_correction(self, key: str, position: int) -> Segment:
        """Take back the latest correction of a segment; returns the segment as it was before."""
        with self._writing() as db:
            (item_id,) = items.find_ids(db, [key], time.time())
            changes = corrections.undo(db, item_id, key, position)
            transcripts.refresh(db, item_id, changes)
            return transcripts.segment(db, item_id, position)

    def corrections(self, key: str) -> dict[int, Correction]:
        """The corrected segments of an item's transcript, by position."""
        with self._reading() as db:
            (item_id,) = items.find_ids(db, [key], time.time())
            return corrections.corrected(db, item_id)

    # --- Failures, calls and blocked sites -------------------------------------------------------------

    def fail(
        self,
        item: Item,
        error: ItemError,
        now: float | None = None,
        *,
        keep_call: bool = False,
        insert: bool = True,
    ) -> None:
        """Record that `item` failed: permanently, or until the backoff and the error's own wait are over.

        The item's call is deleted, unless `keep_call`: then a later run collects its result. `insert` is as
        for `save`, here and below.
        """
        with self._writing() as db:
            item_id = items.put_one(db, item, _time(now), insert=insert)
            if item_id is None:
                return
            failures.add(db, item_id, error, _time(now))
            engine_work.end(db, item_id)
            if not keep_call:
                calls.drop(db, item.key)

    def retry(self, keys: Collection[str] | None = None, *, permanent: bool = False) -> int:
        """Delete failures, so that the next run tries their items again; returns how many.

        Permanent failures are deleted only for items in `keys`, or with `permanent`. So is the call of an
        item that has a failure: its result could not be collected.
        """
        with self._writing() as db:
            if keys is None:
                return failures.forget_all(db, permanent=permanent)
            ids = items.find_ids(db, keys, time.time())
            calls.drop_failed(db, ids)
            return failures.forget(db, ids)

    def add_call(self, call: Call, *, insert: bool = True) -> None:
        """Store a call before anything else happens, so that any later process can collect its result.

        A call without an id ends with this process, and is not stored.
        """
        if call.id is None:
            return
        with self._writing() as db:
            item_id = items.put_one(db, call.item, time.time(), insert=insert)
            if item_id is not None:
                calls.add(db, item_id, call)

    def calls(self, backend: str) -> list[Call]:
        """Calls to `backend` whose results were not collected yet, the oldest first."""
        with self._reading() as db:
            return calls.in_flight(db, backend)

    def drop_call(self, key: str) -> None:
        """Delete the call of an item, which is then pending again; does nothing when it has none."""
        with self._writing() as db:
            calls.drop(db, key)

    def block_site(self, site: str, until: float, reason: str) -> None:
        """Record that `site` refuses requests, and is not asked again before `until` (Unix time)."""
        with self._writing() as db:
            failures.block_site(db, site, until, reason, time.time())

    def blocked_sites(self, now: float | None = None) -> dict[str, tuple[float, str]]:
        """Sites that refuse requests at `now`: until when (Unix time), and why."""
        with self._reading() as db:
            return failures.blocked_sites(db, _time(now))

    def start_work(self, item: Item, *, insert: bool = True) -> None:
        """Record that the engine in this process works on `item`, until `save`, `fail` or `stop_work`."""
        with self._writing() as db:
            item_id = items.put_one(db, item, time.time(), insert=insert)
            if item_id is not None:
                engine_work.start(db, item_id)

    def stop_work(self) -> None:
        """Record that the engine in this process works on nothing any more."""
        with self._writing() as db:
            engine_work.stop(db)

    def process_alone(self, keys: Collection[str]) -> None:
        """Let the next run process these items last, and one at a time."""
        with self._writing() as db:
            engine_work.doubt(db, keys)

    def count_deaths(self) -> Deaths:
        """Count a process that died while its engine worked. Call it only with the run lock."""
        with self._writing() as db:
            return engine_work.count_deaths(db)

    # --- Usage of paid backends ------------------------------------------------------------------------

    def add_usage(self, usage: Usage) -> None:
        """Store the usage of a paid call, in place of an earlier row of the same call."""
        with self._writing() as db:
            usages.add(db, usage)

    def rental(self, engine: str, model: str, gpu: str) -> Rental | None:
        """Measurements of this library's own calls of one kind; None when there are too few."""
        with self._reading() as db:
            return usages.rental(db, engine, model, gpu)

    def spending(self) -> Spending:
        """What paid calls have cost so far."""
        with self._reading() as db:
            return usages.spending(db)

    def measured(self, backend: str) -> list[Measured]:
        """Calls and speed of a backend's machines; empty where none was measured."""
        with self._reading() as db:
            return usages.measured(db, backend)

    def suspects(self) -> frozenset[str]:
        """Keys of items whose latest paid call ended because its container died."""
        with self._reading() as db:
            return usages.suspects(db)

    def check(self) -> list[str]:
        """What is wrong with the file, one sentence each; empty when nothing is.

        Whether the search index agrees with the passages is checked only where the file is writable.
        """
        try:
            with translated(self.path):
                problems = integrity.file_problems(self._db)
        except SetupError as error:
            return [error.message]
        if self.read_only:
            return problems
        try:
            with self._writing() as db:
                integrity.check_index(db)
        except SetupError:
            problems.append("The search index does not agree with the passages.")
        return problems


def _time(now: float | None) -> float:
    return time.time() if now is None else now


def kept_audio(library: Library, item: Item) -> Path | None:
    """The file with the audio of `item` that the library keeps; None if it keeps none."""
    kept = library.audio.find(item.key)
    return kept.path if kept else None
