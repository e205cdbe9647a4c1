"""What a request asks for, parsed at the edge: filters, order, page, and an item by its key."""

from __future__ import annotations

import datetime
from dataclasses import asdict, dataclass
from typing import Any, get_args

from starlette.exceptions import HTTPException
from starlette.requests import Request

from homescribe.errors import UserError
from homescribe.library import ItemRecord, Library, Sort, State


@dataclass(frozen=True, slots=True)
class Filters:
    """What a search or a list is narrowed down to; None where it is not."""

    channel: str | None = None
    since: str | None = None
    until: str | None = None
    language: str | None = None
    source: str | None = None

    def arguments(self) -> dict[str, Any]:
        """As the library's methods take them."""
        return asdict(self)

    def any(self) -> bool:
        return any(value is not None for value in asdict(self).values())


def filters(request: Request) -> Filters:
    """The filters in the address. UserError for a date that is none."""
    given = {name: request.query_params.get(name) or None for name in Filters.__slots__}
    for name in ("since", "until"):
        value = given[name]
        if value is not None and not _is_date(value):
            raise UserError(f"{value!r} is not a date.", "Write it like 2026-03-01.")
    return Filters(**given)


def state(request: Request) -> State | None:
    chosen: State | None = _one_of(request, "state", get_args(State))
    return chosen


def sort(request: Request) -> Sort:
    chosen: Sort | None = _one_of(request, "sort", get_args(Sort))
    return chosen or "listed"


def number(request: Request, name: str, default: int, most: int) -> int:
    """A whole number from 0 to `most`."""
    given = request.query_params.get(name)
    if not given:
        return default
    if not (given.isascii() and given.isdigit()):
        raise UserError(f"{name} = {given!r} is not a number.", f"It goes from 0 to {most}.")
    return min(int(given[:9]), most)


def item(request: Request, library: Library) -> ItemRecord:
    """The item whose key stands in the path; nothing else names it here."""
    return item_named(library, request.path_params["key"])


def item_named(library: Library, key: str) -> ItemRecord:
    try:
        record = library.item(key)
    except UserError as error:
        raise HTTPException(404, error.message) from error
    if record.item.key != key:
        raise HTTPException(404, f"There is no item {key} in the library.")
    return record


def _one_of(request: Request, name: str, known: tuple[Any, ...]) -> Any:
    given = request.query_params.get(name)
    if not given:
        return None
    if given not in known:
        raise UserError(f"{name} = {given!r} is unknown.", f"It is one of: {', '.join(known)}.")
    return given


def _is_date(text: str) -> bool:
    try:
        return len(text) == len("2026-03-01") and bool(datetime.date.fromisoformat(text))
    except ValueError:
        return False
