"""Listing: what is at an address goes into the library, without touching the recordings.

A listing is recorded whole or not at all. So everything below a known item of a newest-first listing is
known too, and an update may stop there: that is what makes a daily sync of a large channel one request.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from threading import Event
from types import TracebackType
from typing import Any

from homescribe import plugins
from homescribe.core import Item, Listing, Source, SourceOptions
from homescribe.errors import ItemError, SourceBlocked, UserError
from homescribe.library import Library, SourceRecord

# Known items in a row after which the rest is taken as known. More than one, since channels pin old
# videos to the top and move scheduled ones; one page of a tab, so it costs no extra request.
STOP_AFTER_KNOWN = 30


@dataclass(frozen=True, slots=True)
class ListingResult:
    """What one listing offered: its `items`, the `new` ones among them. Or the `error` it gave.

    `items` ends where an update may stop, at items that are known.
    """

    url: str
    title: str
    items: tuple[Item, ...] = ()
    new: tuple[Item, ...] = ()
    error: UserError | None = None


class Sources:
    """The source plug-ins of one run, each built when first asked for."""

    def __init__(self, options: SourceOptions) -> None:
        self._options = options
        self._built: dict[str, Source] = {}

    def by_name(self, name: str) -> Source:
        """The source plug-in `name`."""
        if name not in self._built:
            self._built[name] = plugins.load("sources", name)(self._options)
        return self._built[name]

    def for_url(self, url: str) -> tuple[str, Source]:
        """The first plug-in that says `url` is its own, with its name."""
        for name in plugins.names("sources"):
            source = self.by_name(name)
            if source.matches(url):
                return name, source
        raise UserError(
            f"Nothing at {url!r} can be read.",
            "Give a URL (https://...), a file, a folder or a pattern such as 'talks/*.mp3'.",
        )

    def for_item(self, item: Item) -> Source:
        """Return the source that `item` comes from."""
        return self.by_name(plugins.source_name(item))

    def close(self) -> None:
        with ExitStack() as stack:
            for source in self._built.values():
                stack.callback(source.close)
        self._built.clear()

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
    library: Library, sources: Sources, url: str, stop: Event, *, everything: bool = False
) -> Iterator[ListingResult]:
    """List `url` and record what is new, a ListingResult for each listing there.

    Args:
        everything: read listings to their end, also past items that are known.

    Raises:
        UserError: nothing can be listed there. What was listed before it is recorded.
    """
    name, source = sources.for_url(url)
    try:
        for listing in source.list(url, stop):
            known = frozenset() if everything else library.known_keys(listing.url)
            items = _take(listing, known)
            new = library.record(name, listing, items)
            yield ListingResult(listing.url, listing.title, tuple(items), tuple(new))
    except ItemError as error:
        raise UserError(error.message, error.hint) from error


def sync(
    library: Library, sources: Sources, stop: Event, *, everything: bool = False
) -> Iterator[ListingResult]:
    """List every source of the library again. A source that fails is told and does not stop the others.

    A single video or file that was added has nothing new to offer and is not asked again.
    """
    blocked: dict[str, SourceBlocked] = {}
    for record in library.sources():
        if not may_have_new_items(library, record):
            continue
        if stop.is_set():
            return
        try:
            if record.source in blocked:
                raise blocked[record.source]
            yield from add(library, sources, record.url, stop, everything=everything)
        except UserError as error:
            if isinstance(error, SourceBlocked):
                blocked[record.source] = error
            yield ListingResult(record.url, record.title, error=error)


def may_have_new_items(library: Library, record: SourceRecord) -> bool:
    """Whether a source can bring something new: all but a recording that was added by itself."""
    if record.items != 1:
        return True
    [key] = library.known_keys(record.url)
    return library.item(key).item.url != record.url


def _take(listing: Listing, known: frozenset[str]) -> list[Item]:
    """The listing's items, down to where an update may stop."""
    items: Any = listing.items
    with closing(items) if hasattr(items, "close") else ExitStack():
        taken: list[Item] = []
        known_in_a_row = 0
        for item in items:
            taken.append(item)
            known_in_a_row = known_in_a_row + 1 if item.key in known else 0
            if listing.newest_first and known_in_a_row >= STOP_AFTER_KNOWN:
                break
        return taken
