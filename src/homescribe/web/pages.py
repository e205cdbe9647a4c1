"""The pages to read: search, library, one item."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from homescribe import plugins
from homescribe.core import HOUR, Chapter, Item
from homescribe.library import ChannelRecord, Hit, Library
from homescribe.plugins import link
from homescribe.web import charts, params, transcript_view
from homescribe.web.jinja import page
from homescribe.web.media import shown_as

HITS = 40  # on a page of results
SHOWN_OF_ITEM = 4  # hits of one item before the rest is folded away
ITEMS = 50  # on a page of the library
RECENT = 8
FAILURES = 100  # on the page of the work
CHOICES = 300  # channels, those with the most items, in a filter
CHARTED = 20  # bars of a chart
CHANNELS = 60  # on the first page

SORTS = {
    "listed": "as listed",
    "newest": "newest first",
    "oldest": "oldest first",
    "longest": "longest first",
    "shortest": "shortest first",
    "title": "by title",
    "done": "last transcribed first",
}


@dataclass(frozen=True, slots=True)
class Group:
    """The hits in one item, in order of time."""

    key: str
    title: str
    channel: str | None
    upload_date: str | None
    hits: tuple[Hit, ...]


def home(request: Request) -> HTMLResponse:
    """Search, and without a query what there is to search."""
    query = request.query_params.get("q", "").strip()
    chosen = params.filters(request)
    with Library(request.app.state.config.library) as library:
        results = _results(request, library, query, chosen)
        channels = library.channels()
        overview = None
        if not query:
            overview = {
                "status": library.status(),
                "channels": channels,
                "recent": library.page(state="done", sort="done", limit=RECENT).records,
            }
        choices = _choices(library, channels)
    return page(
        request,
        "home.html",
        query=query,
        chosen=asdict(chosen),
        narrowed=chosen.any(),
        choices=choices,
        overview=overview,
        most_channels=CHANNELS,
        **results,
    )


def results(request: Request) -> HTMLResponse:
    """Only the results of a search, for the page that is being typed in."""
    query = request.query_params.get("q", "").strip()
    with Library(request.app.state.config.library) as library:
        found = _results(request, library, query, params.filters(request))
    return page(request, "results.html", query=query, **found)


def _results(
    request: Request, library: Library, query: str, chosen: params.Filters
) -> dict[str, Any]:
    offset = params.number(request, "offset", 0, 10_000)
    hits: list[Hit] = []
    if query:
        hits = library.search(
            query, as_typed=True, **chosen.arguments(), limit=HITS + 1, offset=offset
        )
    return {
        "groups": _grouped(hits[:HITS]),
        "shown_of_item": SHOWN_OF_ITEM,
        "more": _next(request, offset + HITS) if len(hits) > HITS else None,
        "offset": offset,
    }


def _next(request: Request, offset: int) -> dict[str, object]:
    return {**request.query_params, "offset": offset}


def _grouped(hits: Sequence[Hit]) -> list[Group]:
    """Items in the order of their best hit."""
    groups: dict[str, list[Hit]] = {}
    for hit in hits:
        groups.setdefault(hit.key, []).append(hit)
    return [
        Group(
            key,
            found[0].title,
            found[0].channel,
            found[0].upload_date,
            tuple(sorted(found, key=lambda hit: (hit.end > 0, hit.start))),
        )
        for key, found in groups.items()
    ]


def _choices(library: Library, channels: Sequence[ChannelRecord]) -> dict[str, list[str]]:
    """What can be chosen in each filter."""
    return {
        "channel": [channel.name for channel in channels[:CHOICES]],
        "language": library.languages(),
        "source": library.item_sources(),
    }


def library(request: Request) -> HTMLResponse:
    """Items, sorted and narrowed down."""
    chosen = params.filters(request)
    state, sort = params.state(request), params.sort(request)
    offset = params.number(request, "offset", 0, 10_000_000)
    with Library(request.app.state.config.library) as opened:
        found = opened.page(
            **chosen.arguments(), state=state, sort=sort, limit=ITEMS, offset=offset
        )
        choices = _choices(opened, opened.channels())
    later, earlier = offset + ITEMS, max(0, offset - ITEMS)
    return page(
        request,
        "library.html",
        found=found,
        chosen=asdict(chosen),
        state=state,
        sort=sort,
        sorts=SORTS,
        choices=choices,
        offset=offset,
        previous=_next(request, earlier) if offset else None,
        following=_next(request, later) if later < found.total else None,
        formats=plugins.names("exporters"),
    )


def item(request: Request) -> HTMLResponse:
    """One item: its transcript to read along, what is known of it, or why there is no transcript."""
    with Library(request.app.state.config.library) as library:
        record = params.item(request, library)
        transcript = library.transcript(record.item.key)
        corrections = library.corrections(record.item.key)
    found = record.item
    heard = {position: correction.heard for position, correction in corrections.items()}
    return page(
        request,
        "item.html",
        record=record,
        item=found,
        transcript=transcript,
        parts=transcript_view.parts(transcript, found.chapters, heard) if transcript else [],
        direction=transcript_view.direction(transcript.language) if transcript else "auto",
        chapters=_chapters(found.chapters),
        media_type=shown_as(found),
        player=_player(found),
        original=link(found, 0),
        query=request.query_params.get("q", ""),
        formats=plugins.names("exporters"),
    )


def _chapters(chapters: Sequence[Chapter]) -> list[Chapter]:
    return sorted(chapters, key=lambda chapter: chapter.start)


def _player(item: Item) -> str:
    """The id of the video that YouTube's player can play; "" for anything else."""
    player = plugins.source_of(item).embedded_player(item)
    return player.id if player and player.name == "youtube" else ""


def work(request: Request) -> HTMLResponse:
    """Add, run, pause, and what went wrong."""
    snapshot = json.dumps(request.app.state.work.snapshot())
    return page(request, "work.html", snapshot=snapshot, **_lists(request))


def lists(request: Request) -> HTMLResponse:
    """Only the lists on that page, for when they have changed."""
    return page(request, "lists.html", **_lists(request))


def _lists(request: Request) -> dict[str, Any]:
    with Library(request.app.state.config.library) as library:
        failed = library.page(state="failed", sort="listed", limit=FAILURES)
        return {"failures": failed, "sources": library.sources()}


def figures(request: Request) -> HTMLResponse:
    """What has been done so far: hours over time, words per channel, speed and price of each run."""
    with Library(request.app.state.config.library) as library:
        days, channels, runs = library.days(), library.channels(), library.runs()
    talkative = sorted(channels, key=lambda channel: -channel.words)
    return page(
        request,
        "figures.html",
        days=days,
        hours=charts.rising([(day.day, day.audio_seconds / HOUR) for day in days]),
        audio_seconds=sum(day.audio_seconds for day in days),
        words=sum(day.words for day in days),
        channels=charts.bars([(c.name, float(c.words)) for c in talkative if c.words][:CHARTED]),
        others=max(0, sum(bool(channel.words) for channel in channels) - CHARTED),
        runs=runs[:CHARTED],
        speeds=charts.bars([(str(run.began), run.speed or 0.0) for run in runs[:CHARTED]]),
    )
