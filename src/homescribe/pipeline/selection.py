"""Which items of a listing are recorded: all, those since a date, or the newest ones."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing, nullcontext
from dataclasses import dataclass

from homescribe.core import Item, Listing
from homescribe.errors import UserError
from homescribe.library import Selection
from homescribe.text.sanitize import one_line

# Consecutive known items after which the rest counts as known. More than one, because channels pin old
# videos to the top and move scheduled ones. One page of a tab, so it costs no extra request.
STOP_AFTER_KNOWN = 30


@dataclass(frozen=True, slots=True)
class Taken:
    """The items of a listing that are recorded, and those that `--latest` leaves out.

    Of a newest-first listing, `left_out` has only as many as suffice for an update to stop there.
    """

    items: list[Item]
    left_out: list[Item]


def names_of(item: Item) -> frozenset[str]:
    """Return what an item is known by: its key and its identities."""
    return frozenset((item.key, *item.identities))


def update(listing: Listing, known: frozenset[str], selection: Selection) -> list[Item]:
    """Return the items of a known source, up to where an update may stop, without what was left out."""
    return _read(listing, known, selection, None).items


def choose(listing: Listing, since: str | None, latest: int | None) -> Taken:
    """Return the items of a source that is added: those since a date, and of them the `latest` newest.

    Items without a date are not older than any. Without any date, a listing is in the order of its source.

    Raises UserError when `since` is given and no item has a date.
    """
    taken = _read(listing, frozenset(), Selection(since), latest)
    if since and taken.items and not any(item.upload_date for item in taken.items):
        raise UserError(
            f"The listing of {one_line(listing.title)} has no dates, so --since cannot be applied.",
            "To add only the newest recordings: --latest N.",
        )
    if latest is None or listing.newest_first:
        return taken
    newest = set(_newest(taken.items, latest))
    return Taken(
        [item for item in taken.items if item.key in newest],
        [item for item in taken.items if item.key not in newest],
    )


def _newest(items: Iterable[Item], latest: int) -> list[str]:
    """Return the keys of the `latest` newest items, in listing order where the dates are equal."""
    listed = list({item.key: item for item in items}.values())
    if all(item.upload_date for item in listed):
        listed.sort(key=lambda item: item.upload_date or "", reverse=True)
    return [item.key for item in listed[:latest]]


def _read(
    listing: Listing, known: frozenset[str], selection: Selection, latest: int | None
) -> Taken:
    """Read a listing up to where it may stop: of a newest-first one, at what is known, old or left out."""
    items = listing.items
    with closing(items) if isinstance(items, Generator) else nullcontext():
        taken = Taken([], [])
        in_a_row = 0
        for item in items:
            if _is_old(item, selection.since) or not selection.left_out.isdisjoint(names_of(item)):
                in_a_row += 1
            elif listing.newest_first and latest is not None and len(taken.items) >= latest:
                taken.left_out.append(item)
                # Twice as many, so that an update stops there also when some are deleted meanwhile.
                if len(taken.left_out) >= 2 * STOP_AFTER_KNOWN:
                    break
            else:
                taken.items.append(item)
                in_a_row = in_a_row + 1 if item.key in known else 0
            if listing.newest_first and in_a_row >= STOP_AFTER_KNOWN:
                break
        return taken


def _is_old(item: Item, since: str | None) -> bool:
    return since is not None and item.upload_date is not None and item.upload_date < since
