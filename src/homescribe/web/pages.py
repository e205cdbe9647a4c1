"""The HTML pages: search, library, item, queue and statistics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TypedDict

from starlette.requests import Request
from starlette.responses import HTMLResponse

from homescribe import plugins
from homescribe.assemble import audio_limit, open_library
from homescribe.config import Config
from homescribe.core import HOUR, Item
from homescribe.errors import UserError
from homescribe.formats import coverage
from homescribe.formats.combined import PART_WORDS
from homescribe.formats.made_with import options_in_words
from homescribe.formats.paragraphs import sections
from homescribe.formats.writer import nothing_to_write
from homescribe.library import ChannelRecord, Hit, Library, Page, Sort, SourceRecord
from homescribe.library.search import Order
from homescribe.library.speaker_query import split_speakers
from homescribe.plugins import link
from homescribe.text.language_names import language_code
from homescribe.web import again, charts, model_choices, params, transcript_view
from homescribe.web.jinja import render
from homescribe.web.media import missing_file, playable
from homescribe.web.speaker_search import Suggestion, labels_meant, suggestions
from homescribe.web.speaker_view import speaker_views

# Entries on a page, each list's longest first part.
HITS = 40
HITS_PER_ITEM = 4  # more are folded away
ITEMS = 100
RECENT_ITEMS = 8
FAILED_ITEMS = 100
CHANNEL_CHOICES = 300  # the channels with the most items, in a filter
SPEAKER_CHOICES = 300  # those with the most speech
CHART_BARS = 20
CHANNELS = 60

SORTS = {
    "listed": "as listed",
    "newest": "newest first",
    "oldest": "oldest first",
    "longest": "longest first",
    "shortest": "shortest first",
    "title": "by title",
    "title-reversed": "by title, from Z",
    "channel": "by channel",
    "channel-reversed": "by channel, from Z",
    "most-words": "most words first",
    "fewest-words": "fewest words first",
    "state": "by state, failed first",
    "state-reversed": "by state, failed last",
    "done": "last transcribed first",
}
# Columns of the table: label, its order, and the order of the other direction.
COLUMNS: tuple[tuple[str, Sort, Sort], ...] = (
    ("Title", "title", "title-reversed"),
    ("Channel", "channel", "channel-reversed"),
    ("Date", "newest", "oldest"),
    ("Length", "longest", "shortest"),
    ("Words", "most-words", "fewest-words"),
    ("State", "state", "state-reversed"),
)
ASCENDING = frozenset(("title", "channel", "oldest", "shortest", "fewest-words", "state"))


@dataclass(frozen=True, slots=True)
class Group:
    """The hits in one item, in order of time."""

    key: str
    title: str
    channel: str | None
    upload_date: str | None
    hits: tuple[Hit, ...]

    @property
    def size(self) -> int:
        return len(self.hits)

    @property
    def captions(self) -> str | None:
        """ "manual" or "automatic" where captions say what was found."""
        return next((hit.captions for hit in self.hits if hit.captions), None)


class Results(TypedDict):
    """Variables of results.html."""

    groups: list[Group]
    hits_per_item: int
    more: dict[str, object] | None  # query of the next page of results
    offset: int
    did_you_mean: dict[str, object] | None  # the query with words that were said
    order: Order
    speaker: str | None  # the search is limited to what this person says
    suggestions: list[Suggestion]  # speakers whose names begin as the query ends
    problem: str  # why there can be no results, or ""
    is_empty: bool  # whether nothing was found because nothing is transcribed


def home(request: Request) -> HTMLResponse:
    """Search; without a query, an overview of the library."""
    query = request.query_params.get("q", "").strip()
    filters = params.filters(request)
    with open_library(request.app.state.config) as library:
        results = _search(request, library, query, filters)
        channels = library.channels()
        overview = None
        if not query and not results["speaker"]:
            latest = library.page(sort="done", limit=RECENT_ITEMS).records
            overview = {
                "status": library.status(),
                "captions": library.caption_figures(),
                "channels": channels[:CHANNELS],
                "recent": [record for record in latest if record.has_transcript],
            }
        choices = _choices(library, channels)
        choices["speaker"] = _names(library)[:SPEAKER_CHOICES]
    return render(
        request,
        "home.html",
        query=query,
        filters=asdict(filters),
        is_filtered=filters.any() or results["speaker"] is not None or results["order"] != "rank",
        choices=choices,
        overview=overview,
        **results,
    )


def results(request: Request) -> HTMLResponse:
    """The results of a search alone, for search while typing."""
    query = request.query_params.get("q", "").strip()
    with open_library(request.app.state.config) as library:
        found = _search(request, library, query, params.filters(request))
    return render(request, "results.html", query=query, **found)


def _search(request: Request, library: Library, query: str, filters: params.Filters) -> Results:
    offset = params.number(request, "offset", 0, 10_000)
    speaker = params.speaker(request)
    hits: list[Hit] = []
    problem = ""
    if query or speaker:
        try:
            hits = library.search(
                query,
                speaker=speaker,
                as_typed=True,
                order=params.order(request),
                **filters.arguments(),
                limit=HITS + 1,
                offset=offset,
            )
        except UserError as error:  # nobody has the name
            problem = f"{error.message} {error.hint}".strip()
    meant = None if hits or problem or offset else library.did_you_mean(query)
    return {
        "is_empty": not hits and not library.caption_figures().searchable,
        "did_you_mean": {**request.query_params, "q": meant} if meant else None,
        "order": params.order(request),
        "speaker": speaker,
        "suggestions": suggestions(query, _names(library)) if "speaker:" in query.lower() else [],
        "problem": problem,
        "groups": _groups(hits[:HITS]),
        "hits_per_item": HITS_PER_ITEM,
        "more": _query_at(request, offset + HITS) if len(hits) > HITS else None,
        "offset": offset,
    }


def _names(library: Library) -> list[str]:
    """The names of speakers, those with the most speech first."""
    return [person.name for person in library.people()]


def _query_at(request: Request, offset: int) -> dict[str, object]:
    """The query of `request` with another offset."""
    return {**request.query_params, "offset": offset}


def _groups(hits: Sequence[Hit]) -> list[Group]:
    """Hits by item, the item with the best hit first."""
    by_key: dict[str, list[Hit]] = {}
    for hit in hits:
        by_key.setdefault(hit.key, []).append(hit)
    return [
        Group(
            key,
            found[0].title,
            found[0].channel,
            found[0].upload_date,
            tuple(sorted(found, key=lambda hit: (hit.end > 0, hit.start))),
        )
        for key, found in by_key.items()
    ]


def _choices(library: Library, channels: Sequence[ChannelRecord]) -> dict[str, list[str]]:
    """The values that each filter offers."""
    return {
        "channel": [channel.name for channel in channels[:CHANNEL_CHOICES]],
        "language": library.languages(),
        "source": library.item_sources(),
    }


def library(request: Request) -> HTMLResponse:
    """The items of the library, sorted and filtered."""
    filters = params.filters(request)
    listed = params.listed(request)
    offset = params.number(request, "offset", 0, 10_000_000)
    with open_library(request.app.state.config) as opened:
        found = opened.page(**listed, limit=ITEMS, offset=offset)
        choices = _choices(opened, opened.channels())
    return render(
        request,
        "library.html",
        found=found,
        filters=asdict(filters),
        title_filter=listed["title"],
        state=listed["state"],
        sort=listed["sort"],
        sorts=SORTS,
        columns=[_column(request, listed["sort"], *column) for column in COLUMNS],
        choices=choices,
        offset=offset,
        previous_page=_query_at(request, max(0, offset - ITEMS)) if offset else None,
        next_page=_query_at(request, offset + ITEMS) if offset + ITEMS < found.total else None,
        formats=plugins.names("exporters"),
        part_words=PART_WORDS,
        no_speech=coverage.NO_SPEECH,
    )


@dataclass(frozen=True, slots=True)
class Column:
    """The header of a column, which sorts the table."""

    label: str
    query: dict[str, object]  # of the page that is sorted by it, or in the other direction
    direction: str  # aria-sort, "" for a column that the table is not sorted by


def _column(request: Request, sort: Sort, label: str, first: Sort, second: Sort) -> Column:
    query = {name: value for name, value in request.query_params.items() if name != "offset"}
    direction = ""
    if sort in (first, second):
        direction = "ascending" if sort in ASCENDING else "descending"
    return Column(label, {**query, "sort": second if sort == first else first}, direction)


def item(request: Request) -> HTMLResponse:
    """One item: its transcript and player, or why there is no transcript."""
    config: Config = request.app.state.config
    with open_library(config) as library:
        record = params.item(request, library)
        transcript = library.transcript(record.item.key)
        corrections = library.corrections(record.item.key)
        kept = library.audio.find(record.item.key)
        media = playable(library, record.item)
    found = record.item
    made_with = transcript.options if transcript else None
    given_language = language_code(config.language or "") or (made_with and made_with.language)
    originals = {position: correction.original for position, correction in corrections.items()}
    divided = list(sections(transcript, found.chapters)) if transcript else []
    speakers = speaker_views(transcript) if transcript else {}
    query = request.query_params.get("q", "")
    words, names = split_speakers(query)
    names += [name] if (name := params.speaker(request)) else []
    return render(
        request,
        "item.html",
        record=record,
        item=found,
        transcript=transcript,
        sections=divided,
        lines=transcript_view.lines(divided, originals),
        speakers=speakers,
        chosen=labels_meant(names, speakers.values()),
        direction=transcript_view.direction,
        languages=coverage.languages_in_words(transcript) if transcript else "",
        skipped=coverage.skipped_in_words(transcript) if transcript else "",
        hole_in_words=coverage.hole_in_words,
        no_speech=coverage.NO_SPEECH,
        options=options_in_words(transcript) if transcript else "",
        models=model_choices.models(config, transcript) if transcript else [],
        given_language=given_language or "",
        language_choices=again.language_choices(),
        chapters=sorted(found.chapters, key=lambda chapter: chapter.start),
        media_type=media.type if media else None,
        kept=kept,
        missing_file=missing_file(found),
        youtube_id=_youtube_id(found),
        original=link(found, 0),
        query=query,
        words=words.strip(),
        formats=[
            name
            for name in plugins.names("exporters")
            if transcript and not nothing_to_write(name, transcript)
        ],
    )


def _youtube_id(item: Item) -> str:
    """The id for YouTube's player; "" for anything else."""
    player = plugins.source_of(item).embedded_player(item)
    return player.id if player and player.name == "youtube" else ""


def queue(request: Request) -> HTMLResponse:
    """The queue: add sources, start and pause runs, retry failed items."""
    snapshot = json.dumps(request.app.state.snapshots.take())
    return render(request, "queue.html", snapshot=snapshot, **_queue_lists(request))


def queue_lists(request: Request) -> HTMLResponse:
    """The lists of the queue page alone, for when they have changed."""
    return render(request, "queue_lists.html", **_queue_lists(request))


class QueueLists(TypedDict):
    """Variables of queue_lists.html."""

    failed: Page
    sources: list[SourceRecord]


def _queue_lists(request: Request) -> QueueLists:
    with open_library(request.app.state.config) as library:
        failed = library.page(state="failed", sort="listed", limit=FAILED_ITEMS)
        return {"failed": failed, "sources": library.sources()}


def statistics(request: Request) -> HTMLResponse:
    """Audio transcribed over time, words of channels, speech of people, speed and price of each run."""
    config: Config = request.app.state.config
    with open_library(config) as library:
        days, channels, runs = library.days(), library.channels(), library.runs()
        people, kept = library.people(), library.audio.total()
        captions = library.caption_figures()
    by_words = sorted((c for c in channels if c.words), key=lambda channel: -channel.words)
    return render(
        request,
        "statistics.html",
        days=days,
        hours=charts.cumulative([(day.day, day.audio_seconds / HOUR) for day in days]),
        audio_seconds=sum(day.audio_seconds for day in days),
        words=sum(day.words for day in days),
        channels=charts.bars([(c.name, float(c.words)) for c in by_words[:CHART_BARS]]),
        other_channels=max(0, len(by_words) - CHART_BARS),
        people=charts.bars([(person.name, person.seconds) for person in people[:CHART_BARS]]),
        other_people=max(0, len(people) - CHART_BARS),
        runs=runs[:CHART_BARS],
        captions=captions,
        kept=kept,
        audio_limit=audio_limit(config),
        speeds=charts.bars([(str(run.began), run.speed or 0.0) for run in runs[:CHART_BARS]]),
    )
