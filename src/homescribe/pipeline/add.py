"""Add and sync: record in the library which items a source lists, without downloading recordings.

A listing is recorded completely or not at all. So if an item of a newest-first listing is known, all older
items are known too, and an update can stop there. That makes a daily sync of a large channel a single
request.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from threading import Event
from types import TracebackType

from homescribe import plugins
from homescribe.core import Addresses, Item, Listing, Source, SourceOptions
from homescribe.errors import ItemError, SetupError, SourceBlocked, UserError
from homescribe.library import Copy, ItemRecord, Library, Selection, SourceRecord
from homescribe.pipeline.crash_log import NOT_OF_ONE_ITEM, internal_error
from homescribe.pipeline.repeated_writes import RepeatedWrites
from homescribe.pipeline.selection import choose, names_of, update
from homescribe.text.display import moment
from homescribe.text.redaction import is_redacted, shown_feed
from homescribe.text.sanitize import one_line

NAMED = 5  # copies that a warning names; of more it says how many

MAX_DEPTH = 3  # of addresses that lead to others: a list, a show's page in it, the page's feed


@dataclass(frozen=True, slots=True)
class ListingResult:
    """What one listing contained: its `items` and the `new` ones among them, or the `error` it raised.

    `items` ends where an update stopped.
    """

    url: str
    title: str
    items: tuple[Item, ...] = ()
    new: tuple[Item, ...] = ()
    warnings: tuple[
        str, ...
    ] = ()  # about recordings that were not listed, were replaced, or are copies
    moved_from: str | None = None  # the source's address until now, if it has moved
    error: UserError | None = None


@dataclass(frozen=True, slots=True)
class ListingOptions:
    """How listings are read: see `add`."""

    everything: bool = False
    # `since` and `latest` of an `add`, in place of the stored selection; None: keep that.
    choice: tuple[str | None, int | None] | None = None
    moved_from: str | None = None


class Sources:
    """The source plug-ins, each created when it is first used."""

    def __init__(self, options: SourceOptions) -> None:
        self._options = options
        self._created: dict[str, Source] = {}

    def by_name(self, name: str) -> Source:
        """Return the source plug-in `name`."""
        if name not in self._created:
            self._created[name] = plugins.load("sources", name)(self._options)
        return self._created[name]

    def for_url(self, url: str) -> tuple[str, Source]:
        """Return the first plug-in that matches `url`, with its name.

        Raises UserError when none does. An address that does not answer is left to the plug-ins that know it
        by its form, never to the one for any site.
        """
        unanswered: UserError | None = None
        for name in plugins.names("sources"):
            if unanswered is not None and name == plugins.ANY_SITE:
                break
            source = self.by_name(name)
            try:
                if source.matches(url):
                    return name, source
            except UserError as error:
                unanswered = unanswered or error
        if unanswered is not None:
            raise unanswered
        raise UserError(
            f"No source can read {shown_feed(url)!r}.",
            "Give a URL (https://...), a file, a folder or a pattern such as 'talks/*.mp3'.",
        )

    def addresses(self, url: str, stop: Event) -> Addresses | None:
        """Return what to add in place of `url`; None to list `url` itself.

        Raises UserError for a list that cannot be read.
        """
        for name in plugins.names("sources"):
            source = self.by_name(name)
            try:
                found = source.addresses(url, stop)
            except UserError:
                if source.knows(url) or not self._is_known(url, besides=(name, plugins.ANY_SITE)):
                    raise
                continue
            if found is None:
                continue
            besides = (name,) if found.guess else (name, plugins.ANY_SITE)
            if source.knows(url) or not self._is_known(url, besides=besides):
                return found
        return None

    def _is_known(self, url: str, besides: tuple[str, ...]) -> bool:
        """Whether a source knows `url` by its form, besides those that are named."""
        names = plugins.names("sources")
        return any(self.by_name(name).knows(url) for name in names if name not in besides)

    def listing_keys(self, url: str, known: str | None) -> frozenset[str]:
        """Return the keys of the rate limits that listing `url` may concern; none for a path.

        `known`: the plug-in that lists `url`, if that is known.
        """
        if not (host := listing_host(url)):
            return frozenset()
        names = [known] if known else plugins.names("sources")
        return frozenset({host, *(self.by_name(name).listing_key(url) for name in names)} - {""})

    def for_item(self, item: Item) -> Source:
        """Return the source that `item` comes from."""
        return self.by_name(plugins.source_name(item))

    def close(self) -> None:
        """Close all plug-ins."""
        with ExitStack() as stack:
            for source in self._created.values():
                stack.callback(source.close)
        self._created.clear()

    def __enter__(self) -> Sources:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def add(
    library: Library,
    sources: Sources,
    url: str,
    stop: Event,
    *,
    everything: bool = False,
    since: str | None = None,
    latest: int | None = None,
    moved_from: str | None = None,
) -> Iterator[ListingResult]:
    """List `url`, record the new items, and yield a ListingResult per listing.

    A source that the library knows is listed by the plug-in that it was added with: a feed that is down for a
    moment, or shows a web page, must not become the page of another source. Of a list (OPML, a playlist),
    each address is added; one that fails yields its error and does not stop the others.

    Args:
        everything: read listings to their end, even past known items.
        since: only items of this date ("2026-03-01") or later, also in later updates of the source.
        latest: only that many of the newest items. Later updates leave out what this one left out.
        moved_from: the address of a known source, which this one is from now on.

    Raises:
        UserError: nothing can be listed at `url`. Listings that were yielded before are recorded.
    """
    url = library.source_url(url) or url  # which may be written as outputs show it
    if is_redacted(url):
        raise UserError(
            f"There is no source {url}.",
            "Its secrets are left out (~...): give the whole address, as its publisher gave it to you.",
        )
    choice = (since, latest) if moved_from is None else None
    options = ListingOptions(everything, choice, moved_from)
    yield from _add(library, sources, url, stop, options, MAX_DEPTH)


def _add(
    library: Library,
    sources: Sources,
    url: str,
    stop: Event,
    options: ListingOptions,
    depth: int,
    *,
    in_list: bool = False,
) -> Iterator[ListingResult]:
    """Add what is at `url`, or what it leads to in at most `depth` steps, of which one may be a list."""
    with _no_unforeseen_errors(library, url):
        known = next((record.source for record in library.sources() if record.url == url), None)
        _check_wait(library, sources.listing_keys(url, known))
        try:
            named = None if known or not depth else sources.addresses(url, stop)
            name = known or ("" if named else sources.for_url(url)[0])
        except SourceBlocked as error:
            _store_wait(library, listing_host(url), error, stop)
            raise
        if named is None:
            yield from _list(library, sources, name, url, stop, options)
            return
    if named.each and in_list:
        raise UserError(f"{shown_feed(url)} is a list within a list.", "Add it by its own address.")
    if options.moved_from is not None and len(named.urls) > 1:
        raise UserError(
            f"{shown_feed(url)} is a list of {len(named.urls)} addresses.",
            "Give the one to which the source has moved.",
        )
    note = (named.note,) if named.note else ()
    blocked: dict[str, SourceBlocked] = {}  # by host
    for one in named.urls:
        if stop.is_set():
            return
        host = listing_host(one)
        try:
            if host in blocked:
                raise blocked[host]
            in_list = in_list or named.each
            for result in _add(library, sources, one, stop, options, depth - 1, in_list=in_list):
                yield replace(result, warnings=(*note, *result.warnings))
                note = ()
        except UserError as error:
            if not named.each or isinstance(error, SetupError):
                raise
            if host and isinstance(error, SourceBlocked):
                blocked[host] = error
            yield ListingResult(one, shown_feed(one), error=error)


def sync(
    library: Library,
    sources: Sources,
    stop: Event,
    *,
    everything: bool = False,
    only: Collection[str] | None = None,
) -> Iterator[ListingResult]:
    """List the sources of the library again, record the new items, and yield a ListingResult per listing.

    With `only`, the sources with these addresses; else all of them.

    A source that fails yields its error and does not stop the others. A host that refuses requests gets no
    further one before the time that it named, also not from later runs; other hosts are not concerned. A
    single video or file cannot have new items and is not listed again.
    """
    blocked: dict[str, SourceBlocked] = {}  # by host
    for record in library.sources():
        if only is not None and record.url not in only:
            continue
        if not may_have_new_items(library, record):
            continue
        if stop.is_set():
            return
        host = ""
        try:
            with _no_unforeseen_errors(library, record.url):
                host = sources.by_name(record.source).listing_key(record.url)
                if host in blocked:
                    raise blocked[host]
                _check_wait(library, (host,))
                options = ListingOptions(everything)
                yield from _list(library, sources, record.source, record.url, stop, options)
        except UserError as error:
            if isinstance(error, SourceBlocked):
                blocked[host] = error
            yield ListingResult(record.url, record.title, error=error)


def _list(
    library: Library,
    sources: Sources,
    name: str,
    url: str,
    stop: Event,
    options: ListingOptions,
) -> Iterator[ListingResult]:
    """List `url` with the plug-in `name`, and record the items. A wait that the host requests is stored."""
    everything, choice, moved_from = options.everything, options.choice, options.moved_from
    chosen = choice is not None and choice != (None, None)
    source = sources.by_name(name)
    write = RepeatedWrites(library, stop)
    try:
        for listing in source.list(url, stop):
            if moved_from is not None:
                listing = replace(listing, moved_from=moved_from)
            stored = library.selection(listing.url)
            if stored == Selection() and listing.moved_from is not None:
                stored = library.selection(listing.moved_from)
            chosen = chosen or (choice is not None and stored != Selection())
            if choice is None or not chosen:
                known = frozenset() if everything else library.known_keys(listing.url)
                items = update(listing, known, stored)
                items = with_audio(library, source, listing, items, stop)
                gone = _gone(library, listing, items)
                recorded = write(library.record, name, listing, items, gone=gone)
            else:
                taken = choose(listing, *choice)
                left_out = frozenset[str]().union(*map(names_of, taken.left_out))
                selection = Selection(choice[0], left_out)
                items = with_audio(library, source, listing, taken.items, stop)
                gone = _gone(library, listing, items)
                recorded = write(library.record, name, listing, items, selection, gone)
            for refused, wait in listing.refused.items():
                _store_wait(library, source.listing_key(refused), wait, stop)
            yield ListingResult(
                listing.url,
                listing.title,
                tuple(recorded.items),
                tuple(recorded.new),
                (
                    *listing.warnings,
                    *_incomplete(listing, recorded.new),
                    *(_replaced(library.item(item.key)) for item in recorded.replaced),
                    *_copied(recorded.copies),
                ),
                listing.moved_from,
            )
            moved_from = None
    except SourceBlocked as error:
        _store_wait(library, source.listing_key(url) or listing_host(url), error, stop)
        raise


@contextmanager
def _no_unforeseen_errors(library: Library, url: str) -> Iterator[None]:
    """Raise a UserError for whatever else a plug-in raises during the block, with its traceback in a log.

    So a bug in a plug-in is the failure of one address, and the others are still listed.
    """
    try:
        yield
    except ItemError as error:
        raise UserError(error.message, error.hint) from error
    except NOT_OF_ONE_ITEM:
        raise
    except BaseException as error:
        failure = internal_error(error, library.directory, "listing", url)
        raise UserError(failure.message, failure.hint) from error


def listing_host(url: str) -> str:
    """Return the host of `url`, also of feed:https://host; "" for a path."""
    return Source.listing_key(re.sub(r"^[a-z]+:(?=https?:)", "", url))


def _check_wait(library: Library, hosts: Collection[str]) -> None:
    """Raise SourceBlocked if one of `hosts` asked to wait, in this run or an earlier one."""
    waits = library.blocked_sites()
    for host in hosts:
        if host in waits:
            until, reason = waits[host]
            hint = f"It asked to wait: there are no requests to {host} before {moment(until)}."
            raise SourceBlocked(reason, hint, max(0.0, until - time.time()))


def _store_wait(library: Library, host: str, error: SourceBlocked, stop: Event) -> None:
    """Store the wait that a host requests, so that neither this process nor a later one sends a request."""
    if host and error.retry_after is not None:
        until = time.time() + error.retry_after
        RepeatedWrites(library, stop)(library.block_site, host, until, error.message)


def with_audio(
    library: Library, source: Source, listing: Listing, items: list[Item], stop: Event
) -> list[Item]:
    """Return `items` with the identity of their audio for those that may be known recordings, edited."""
    if not listing.by_content:
        return items
    keys = library.maybe_known(items)
    return [_identified(source, item, stop) if item.key in keys else item for item in items]


def _identified(source: Source, item: Item, stop: Event) -> Item:
    name = source.audio_identity(item, stop)
    return replace(item, identities=(*item.identities, name)) if name else item


def _incomplete(listing: Listing, new: Sequence[Item]) -> Iterator[str]:
    """Yield a sentence about new items whose files are shorter than their headers say, if there are any."""
    found = [listing.incomplete[item.url] for item in new if item.url in listing.incomplete]
    if found:
        yield f"incomplete, since shorter than the header says: {_named(found)}"


def _named(names: Sequence[str]) -> str:
    """Return the first names, and of how many more than NAMED there are the number."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _replaced(record: ItemRecord) -> str:
    """Return a sentence about an item whose content was replaced at its address."""
    item = record.item
    kept = "is kept" if record.state == "done" else "is still being made, and will be kept"
    return (
        f"{item.title} has changed and is a new item. The transcript of the earlier recording {kept} as "
        f"{item.key}. To delete it: homescribe remove {item.key}"
    )


def _gone(library: Library, listing: Listing, items: Sequence[Item]) -> frozenset[str]:
    """Return the addresses of known files of the source, and of known copies, that do not exist any more."""
    if not listing.by_content:
        return frozenset()
    known = library.known_elsewhere(listing.url, items)
    return frozenset(item.url for item in known if not _exists(plugins.source_of(item), item))


def _exists(source: type[Source], item: Item) -> bool:
    path = source.local_path(item)
    try:
        return path is None or path.exists()
    except OSError:  # its folder may not be read: nothing is known about the file
        return True


def _copied(copies: Sequence[Copy]) -> Iterator[str]:
    """Yield a sentence about new copies of other files, if there are any."""
    if not copies:
        return
    named = _named([f"{one_line(one.url)} (as {one_line(one.of)})" for one in copies])
    yield (
        "the same content as another file, so it is transcribed once and each file gets an export: "
        f"{named}"
    )


def may_have_new_items(library: Library, record: SourceRecord) -> bool:
    """Return whether a source may list new items: all but a recording that was added by its own address."""
    if record.items != 1:
        return True
    [key] = library.known_keys(record.url)
    return library.item(key).item.url != record.url
