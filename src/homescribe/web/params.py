"""Query and path parameters, validated: filters, sort order, numbers and the item's key."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TypedDict, get_args

from starlette.exceptions import HTTPException
from starlette.requests import Request

from homescribe.config import Config
from homescribe.core import SubtitleOptions
from homescribe.errors import UserError
from homescribe.library import ItemRecord, Library, Sort, State
from homescribe.library.search import Order
from homescribe.text.dates import checked_date
from homescribe.text.language_names import language_code

CAPTIONS = ("any", "manual", "automatic")
MAX_SUBTITLE_NUMBER = 1000


class ListArguments(TypedDict):
    """What `Library.page` lists, as keyword arguments."""

    channel: str | None
    since: str | None
    until: str | None
    language: str | None
    source: str | None
    captions: str | None
    title: str | None
    state: State | None
    sort: Sort


class FilterArguments(TypedDict):
    """Filters as keyword arguments of the library's methods; None selects everything."""

    channel: str | None
    since: str | None
    until: str | None
    language: str | None
    source: str | None
    captions: str | None


@dataclass(frozen=True, slots=True)
class Filters:
    """Filters of a search or a list; None selects everything."""

    channel: str | None = None
    since: str | None = None
    until: str | None = None
    language: str | None = None
    source: str | None = None
    captions: str | None = (
        None  # "manual", "automatic" or "any": only transcripts that are captions
    )

    def arguments(self) -> FilterArguments:
        return FilterArguments(
            channel=self.channel,
            since=self.since,
            until=self.until,
            language=self.language,
            source=self.source,
            captions=self.captions,
        )

    def any(self) -> bool:
        return self != Filters()


def filters(request: Request) -> Filters:
    """The filters in the query. Raises UserError for an invalid value."""
    given = {name: request.query_params.get(name) or None for name in Filters.__slots__}
    for name in ("since", "until"):
        value = given[name]
        if value is not None:
            checked_date(value)
    given["captions"] = _one_of(request, "captions", CAPTIONS)
    if given["language"]:
        given["language"] = language_code(given["language"])
    return Filters(**given)


def listed(request: Request) -> ListArguments:
    """What the query of the library page lists: filters, state and order."""
    given = request.query_params.get("title", "").strip() or None
    return ListArguments(
        **filters(request).arguments(), title=given, state=state(request), sort=sort(request)
    )


def speaker(request: Request) -> str | None:
    """The name of the speaker that a search is limited to; None for everybody."""
    return request.query_params.get("speaker", "").strip() or None


def state(request: Request) -> State | None:
    """The `state` filter; None selects every state."""
    given = _one_of(request, "state", get_args(State))
    return next((known for known in get_args(State) if known == given), None)


def sort(request: Request) -> Sort:
    given = _one_of(request, "sort", get_args(Sort))
    return next((known for known in get_args(Sort) if known == given), "listed")


def order(request: Request) -> Order:
    """The order of search results."""
    given = _one_of(request, "sort", get_args(Order))
    return next((known for known in get_args(Order) if known == given), "rank")


def number(request: Request, name: str, default: int, maximum: int, least: int = 0) -> int:
    """A whole number from `least`; larger than `maximum` is `maximum`."""
    given = request.query_params.get(name)
    if not given:
        return default
    if not (given.isascii() and given.isdigit() and int(given[:9]) >= least):
        raise UserError(
            f"{name} {given!r} is not valid.",
            f"Write a whole number from {least} to {maximum}.",
        )
    return min(int(given[:9]), maximum)


def subtitles(request: Request) -> SubtitleOptions:
    """The subtitle options in the query; those that it does not name are those of the config."""
    config: Config = request.app.state.config
    highlight = _one_of(request, "highlight_words", ("true", "false"))

    def given(name: str, default: int | None) -> int | None:
        return number(request, name, default or 0, MAX_SUBTITLE_NUMBER, least=1) or None

    return dataclasses.replace(
        config,
        max_line_width=given("max_line_width", config.max_line_width),
        max_line_count=given("max_line_count", config.max_line_count),
        max_words_per_line=given("max_words_per_line", config.max_words_per_line),
        highlight_words=highlight == "true" if highlight else config.highlight_words,
    ).subtitles()


def item(request: Request, library: Library) -> ItemRecord:
    """The item whose key is in the path. Raises HTTPException 404 for anything but a complete key."""
    key: str = request.path_params["key"]
    try:
        record = library.item(key)
    except UserError as error:
        raise HTTPException(404, error.message) from error
    if record.item.key != key:  # the library also finds items by a part of their key
        raise HTTPException(404, f"There is no item {key} in the library.")
    return record


def _one_of(request: Request, name: str, known: tuple[str, ...]) -> str | None:
    given = request.query_params.get(name)
    if not given:
        return None
    if given not in known:
        raise UserError(f"Unknown {name} {given!r}.", f"Choose from: {', '.join(known)}.")
    return given
