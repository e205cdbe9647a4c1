"""List sources and transcribe what is new: once, or again and again with `sync --watch`."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from threading import Event

from homescribe import pipeline, plugins
from homescribe.assemble import open_sources
from homescribe.cli.actions import report_listing, run_and_report
from homescribe.cli.export_writer import ExportWriter
from homescribe.cli.program import message
from homescribe.config import Config
from homescribe.core import MINUTE, FileState
from homescribe.errors import AnotherRun, Cancelled, SetupError, UserError
from homescribe.exit_codes import ExitCode
from homescribe.library import Library
from homescribe.pipeline import Sources, may_have_new_items
from homescribe.pipeline.folder_changes import FolderChanges
from homescribe.text.display import count, span
from homescribe.text.sanitize import terminal_message, terminal_safe

EVERY = "6h"  # between two listings of all sources
MIN_EVERY = 5 * MINUTE  # sites are not asked more often
POLL = 5.0  # seconds between two looks at folders
# Looking at folders takes at most this part of the time, and so does listing them.
LOOKING, LISTING = 1 / 50, 1 / 5
PENDING_INTERVAL = MINUTE  # between two checks for items that are due again
ERROR_PAUSE = 15 * MINUTE  # after an error that concerns all items, until a run tries again
# Items of one run: new files wait for its end.
LOCAL_ITEMS, RENTED_ITEMS = 20, 200

Files = Mapping[str, FileState]


@dataclass(frozen=True, slots=True)
class Sync:
    """What `sync` does, with its options."""

    config: Config
    everything: bool
    limit: int | None
    writer: ExportWriter | None
    formats: Sequence[str]

    def once(self, library: Library, stop: Event) -> ExitCode:
        """List all sources, transcribe what is pending, and report both."""
        with open_sources(self.config, library) as sources:
            listed = self.list_sources(library, sources, stop)
            try:
                code = self.transcribe_pending(library, sources, stop)
            except AnotherRun as error:
                if sys.stderr.isatty():
                    message(f"Error: {terminal_message(error.message)}")
                    message(error.hint)
                code = ExitCode.ANOTHER_RUN if listed else ExitCode.OK
        return code or (ExitCode.OK if listed else ExitCode.USER_ERROR)

    def list_sources(
        self,
        library: Library,
        sources: Sources,
        stop: Event,
        *,
        only: Collection[str] | None = None,
        new: list[str] | None = None,
    ) -> bool:
        """List sources, and report what is new. Returns whether all could be listed.

        Args:
            only: addresses of the sources; None for all.
            new: gets the keys of new items.
        """
        complete = True
        # While a long run works, cron sends no mail, except about a source that cannot be listed.
        on_terminal = sys.stderr.isatty()
        for result in pipeline.sync(library, sources, stop, everything=self.everything, only=only):
            complete = complete and result.error is None
            news = result.new or result.warnings or result.moved_from
            if result.error or (news and (on_terminal or library.running() is None)):
                report_listing(result)
            if new is not None:
                new += [item.key for item in result.new]
        if stop.is_set():
            raise Cancelled
        return complete

    def transcribe_pending(
        self,
        library: Library,
        sources: Sources,
        stop: Event,
        keys: Collection[str] | None = None,
    ) -> ExitCode:
        """Transcribe what is pending, of `keys` only unless None, and report it."""
        return run_and_report(
            self.config,
            library,
            sources,
            stop,
            keys=keys,
            limit=self.limit,
            writer=self.writer,
            formats=self.formats,
            quiet=True,
        )


class Watcher:
    """Looks at the folders of a library again and again, and lists all of its sources now and then.

    Args:
        every: seconds between two listings of all sources.
        poll: seconds between two looks at folders.
    """

    def __init__(
        self, sync: Sync, library: Library, stop: Event, every: float, poll: float
    ) -> None:
        self._sync, self._library, self._stop = sync, library, stop
        self._every, self._poll = every, poll
        self._folders: dict[str, FolderChanges] = {}  # by address of the source
        self._missing: set[str] = set()  # addresses of folders whose disk is not connected
        self._next_listing = 0.0  # of all sources, in Unix time: a laptop that slept is late
        # By the monotonic clock:
        self._next_folders = 0.0  # listing of folders
        self._next_run = 0.0

    def watch(self) -> None:
        """List and transcribe until `stop` is set; then raise Cancelled."""
        message(self._plan())
        while not self._stop.is_set():
            began = time.monotonic()
            found = self._look()
            looked = time.monotonic() - began
            now = time.time()
            if now >= self._next_listing or self._next_listing > now + self._every:
                self._list_all(found)
            elif time.monotonic() >= self._next_folders and (due := self._due(found)):
                self._list_folders(due)
            elif time.monotonic() >= self._next_run:
                self._transcribe()
            else:
                self._stop.wait(max(self._poll, looked / LOOKING))
        raise Cancelled

    def _plan(self) -> str:
        """Return what is watched, in words."""
        sources = self._library.sources()
        if not sources:
            return "There are no sources yet. In another terminal: homescribe add URL"
        listed = count(len(sources), "source")
        return f"Watching {listed}; all are listed every {span(self._every)}. Ctrl-C ends it."

    # --- Folders -----------------------------------------------------------------------------------

    def _look(self) -> dict[str, Files]:
        """Return the files of each folder that is there, by address. Says once which one is not."""
        found: dict[str, Files] = {}
        for record in self._library.sources():
            if not may_have_new_items(self._library, record):
                continue
            try:
                source = plugins.load("sources", record.source)
                files = source.files_at(record.url, self._stop)
            except (UserError, OSError) as error:
                if record.url not in self._missing:
                    self._missing.add(record.url)
                    message(f"{terminal_message(str(error))} Looking again until it is there.")
                continue
            if files is None:
                continue
            if record.url in self._missing:
                self._missing.discard(record.url)
                message(f"{terminal_safe(record.title)} is there again.")
            found[record.url] = files
        return found

    def _due(self, found: Mapping[str, Files]) -> list[str]:
        """Return the addresses of folders in which something has changed and is complete."""
        due = []
        for url, files in found.items():
            now = time.monotonic()
            changes = self._folders.setdefault(url, FolderChanges())
            changes.look(files, now)
            # A folder without recordings cannot be listed: somebody moves away what is transcribed.
            if files and changes.due(now, time.time()):
                due.append(url)
        return due

    # --- Listing and transcribing ------------------------------------------------------------------

    def _list_all(self, found: Mapping[str, Files]) -> None:
        """List all sources, but those folders that have nothing to list."""
        self._next_listing = time.time() + self._every
        for url, files in found.items():
            now = time.monotonic()
            if url in self._folders:
                self._folders[url].look(files, now)
                self._folders[url].listed(now, time.time())
            else:
                self._folders[url] = FolderChanges()
                self._folders[url].start(files, now, time.time())
        without = self._missing.union(url for url, files in found.items() if not files)
        urls = {record.url for record in self._library.sources()} - without
        with open_sources(self._sync.config, self._library) as sources:
            self._sync.list_sources(self._library, sources, self._stop, only=urls)
        self._next_run = time.monotonic()

    def _list_folders(self, due: Sequence[str]) -> None:
        """List folders, and transcribe first what is new in them."""
        began = time.monotonic()
        for url in due:
            self._folders[url].listed(began, time.time())
        new: list[str] = []
        with open_sources(self._sync.config, self._library) as sources:
            self._sync.list_sources(self._library, sources, self._stop, only=due, new=new)
        # A listing reads a part of every file: it is not made for each of a thousand that arrive in a row.
        took = time.monotonic() - began
        self._next_folders = time.monotonic() + took / LISTING
        self._transcribe(new)

    def _transcribe(self, first: Sequence[str] = ()) -> None:
        """Transcribe some of what is pending, of `first` only if any is given.

        An error that may pass is printed, and the next run tries again later.
        """
        self._next_run = time.monotonic() + PENDING_INTERVAL
        if self._library.running() is not None:
            return
        before = [item.key for item in self._library.pending()]
        with open_sources(self._sync.config, self._library) as sources:
            keys = list(first) or self._possible(sources)
            if not keys:
                return
            try:
                self._sync.transcribe_pending(self._library, sources, self._stop, keys)
            except AnotherRun:  # it has just started
                return
            except SetupError:
                raise
            except UserError as error:
                message(f"Error: {terminal_message(error.message)}")
                if error.hint:
                    message(terminal_message(error.hint))
                self._next_run = time.monotonic() + ERROR_PAUSE
                return
        if len(self._library.pending()) < len(before):
            self._next_run = time.monotonic()  # the rest, unless a folder is due

    def _possible(self, sources: Sources) -> list[str]:
        """Return the keys of the items of the next run, without those whose site asked to wait."""
        waits = self._library.blocked_sites()
        most = LOCAL_ITEMS if self._sync.config.backend == "local" else RENTED_ITEMS
        possible = (
            item.key
            for item in self._library.pending()
            if sources.for_item(item).rate_limit_key(item) not in waits
        )
        return [key for _, key in zip(range(most), possible, strict=False)]
