"""Answers to the questions of a language model, as objects for JSON.

Each function answers from an open library. What strangers said or wrote goes through `visible`; links through
`plugins.link`, which leaves out secrets.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from itertools import islice

from homescribe.assistants.answer_size import MAX_TEXT, Entry, fitting, paged
from homescribe.assistants.tool_arguments import Given
from homescribe.assistants.transcript_lines import Line, transcript_lines
from homescribe.assistants.visible_text import visible, visible_message
from homescribe.core import Item, Transcript
from homescribe.errors import UserError
from homescribe.library import Hit, ItemRecord, Library, Sort
from homescribe.library.records import STATES
from homescribe.plugins import link
from homescribe.text.display import clock
from homescribe.text.language_names import language_code

ORDERS: tuple[Sort, ...] = ("newest", "oldest", "longest", "shortest", "title", "listed")
TITLE_CHARACTERS = 300
NAMES_IN_HINT = 10
DAYS = 14  # of the latest in the statistics
FEWER_WORDS = (
    "Nothing matches. All words must be said within about 25 seconds: try fewer or other words, without "
    "filters."
)

Answer = Callable[[Library, Given], Entry]


def search(library: Library, given: Given) -> Entry:
    """Return hits of a search, best first."""
    query, speaker = given.text("query"), given.text("speaker")
    if query is None and speaker is None:
        raise UserError("Nothing to search for.", "Pass query, speaker or both.")
    offset, limit = given.whole("offset"), given.whole("limit")
    channel, language = _channel(library, given), _language(library, given)
    hits = library.search(
        query or "",
        speaker=speaker,
        channel=channel,
        language=language,
        since=given.text("since"),
        until=given.text("until"),
        limit=limit + 1,
        offset=offset,
    )
    answer = paged("results", map(_hit, hits[:limit]), offset, more=len(hits) > limit)
    return answer if hits else {**answer, "hint": FEWER_WORDS}


def read_passage(library: Library, given: Given) -> Entry:
    """Return what is said around a time of a recording."""
    item, transcript = _transcript(library, given)
    at, around = given.number("at"), given.number("around")
    if at > transcript.duration:
        raise UserError(
            f"at is {at:g}, but the recording ends at {transcript.duration:.0f} seconds.",
            "Pass seconds from its beginning, as in the `start` of a search result.",
        )
    lines = [
        (number, line)
        for number, line in enumerate(transcript_lines(transcript))
        if line.end >= at - around and line.start <= at + around
    ]
    # Where not all fit, those that are nearest to the time.
    nearest = sorted(lines, key=lambda pair: max(pair[1].start - at, at - pair[1].end, 0.0))
    taken, complete = fitting(_line(item, number, line) for number, line in nearest)
    answer: Entry = {
        "recording": _recording(item, transcript),
        "lines": sorted(taken, key=lambda entry: int(str(entry["line"]))),
    }
    if not lines:
        answer["hint"] = "Nothing is said there."
    return answer if complete else {**answer, "cut": "Pass a smaller `around`."}


def read_transcript(library: Library, given: Given) -> Entry:
    """Return the lines of a transcript from one on, as many as fit."""
    item, transcript = _transcript(library, given)
    first = given.whole("first_line")
    lines = list(transcript_lines(transcript))
    if lines and first >= len(lines):
        raise UserError(
            f"first_line is {first}, but the transcript has {len(lines)} lines.",
            "They are counted from 0.",
        )
    taken, complete = fitting(
        _line(item, number, line) for number, line in islice(enumerate(lines), first, None)
    )
    answer: Entry = {
        "recording": _recording(item, transcript),
        "lines_in_all": len(lines),
        "lines": taken,
    }
    return answer if complete else {**answer, "next_line": first + len(taken)}


def recordings(library: Library, given: Given) -> Entry:
    """Return recordings with their state."""
    offset = given.whole("offset")
    page = library.page(
        state=next((each for each in STATES if each == given.text("state")), None),
        channel=_channel(library, given),
        language=_language(library, given),
        since=given.text("since"),
        until=given.text("until"),
        sort=next((each for each in ORDERS if each == given.text("order")), "newest"),
        limit=given.whole("limit"),
        offset=offset,
    )
    more = offset + len(page.records) < page.total
    answer = paged("recordings", map(_record, page.records), offset, more=more)
    return {"recordings_in_all": page.total, "hours_in_all": _hours(page.audio_seconds), **answer}


def channels(library: Library, given: Given) -> Entry:
    """Return the channels, the one with the most recordings first."""
    found = library.channels()
    offset = given.whole("offset")
    entries: list[Entry] = [
        {
            "channel": visible(each.name, TITLE_CHARACTERS),
            "recordings": each.items,
            "transcribed": each.done,
            "searchable": each.searchable,
            "hours": _hours(each.audio_seconds),
            "words": each.words,
            "newest": each.newest,
        }
        for each in found
    ]
    return {"channels_in_all": len(found), **paged("channels", entries[offset:], offset)}


def speakers(library: Library, given: Given) -> Entry:
    """Return who speaks in a recording, or everybody with a name."""
    offset = given.whole("offset")
    entries: list[Entry]
    if given.text("key") is None:
        entries = [
            {
                "speaker": visible(each.name, TITLE_CHARACTERS),
                "recordings": each.recordings,
                "hours": _hours(each.seconds),
            }
            for each in library.people()
        ]
        return {"speakers_in_all": len(entries), **paged("speakers", entries[offset:], offset)}
    item, transcript = _transcript(library, given)
    first: dict[str, Line] = {}
    for line in transcript_lines(transcript):
        if line.speaker is not None:
            first.setdefault(line.speaker, line)
    entries = []
    for speaker in transcript.speakers:
        name = transcript.speaker_names[speaker.label]
        entry: Entry = {
            "speaker": visible(name, TITLE_CHARACTERS),
            "named": speaker.name is not None,
            "minutes": round(speaker.seconds / 60, 1),
        }
        if name in first:
            entry["first_words"] = _line(item, None, first[name])
        entries.append(entry)
    answer: Entry = {"recording": _recording(item, transcript)}
    if not entries:
        answer["hint"] = "Speakers were not told apart in this recording."
    return {**answer, **paged("speakers", entries[offset:], offset)}


def statistics(library: Library, given: Given) -> Entry:
    """Return the library in numbers."""
    status, spent = library.status(), library.spending()
    captions = library.caption_figures()
    languages = library.languages()
    return {
        "recordings": dict(status.states),
        "hours_in_all": _hours(status.audio_seconds),
        "hours_transcribed": _hours(status.audio_seconds_done),
        "searchable": captions.searchable,
        "searchable_by_captions": captions.found,
        "words": captions.words,
        "channels": len(library.channels()),
        "named_speakers": len(library.people()),
        "languages": languages,
        "transcribed_by_day": {
            each.day: {"recordings": each.items, "hours": _hours(each.audio_seconds)}
            for each in library.days()[-DAYS:]
        },
        "paid_calls": spent.calls,
        "paid_dollars": round(spent.dollars, 2),
    }


# --- Entries ---------------------------------------------------------------------------------------


def _hit(hit: Hit) -> Entry:
    spoken = hit.end > 0
    entry: Entry = {
        "key": hit.key,
        "title": visible(hit.title, TITLE_CHARACTERS),
        "channel": visible(hit.channel or "", TITLE_CHARACTERS),
        "upload_date": hit.upload_date,
        "found_in": "speech" if spoken else "title or description",
    }
    if spoken:
        entry |= {"start": round(hit.start, 2), "end": round(hit.end, 2), "time": clock(hit.start)}
    if hit.captions:
        entry["made_by"] = f"captions ({hit.captions})"
    if hit.speaker:
        entry["speaker"] = visible(hit.speaker, TITLE_CHARACTERS)
    entry |= {"text": visible(hit.text, MAX_TEXT), "url": hit.url}
    return _without_empty(entry)


def _line(item: Item, number: int | None, line: Line) -> Entry:
    return _without_empty(
        {
            "line": number,
            "start": round(line.start, 2),
            "time": clock(line.start),
            "speaker": visible(line.speaker or "", TITLE_CHARACTERS),
            "text": visible(line.text, MAX_TEXT),
            "may_be_wrong": ", ".join(line.flags).replace("_", " "),
            "url": link(item, line.start),
        }
    )


def _recording(item: Item, transcript: Transcript) -> Entry:
    languages = transcript.languages
    return _without_empty(
        {
            "key": item.key,
            "title": visible(item.title, TITLE_CHARACTERS),
            "channel": visible(item.channel or "", TITLE_CHARACTERS),
            "upload_date": item.upload_date,
            "seconds": round(transcript.duration, 1),
            "languages": ", ".join(languages),
            "made_by": f"captions ({transcript.model})" if transcript.is_captions else "",
            "url": link(item, 0),
        }
    )


def _record(record: ItemRecord) -> Entry:
    item = record.item
    return _without_empty(
        {
            "key": item.key,
            "title": visible(item.title, TITLE_CHARACTERS),
            "channel": visible(item.channel or "", TITLE_CHARACTERS),
            "upload_date": item.upload_date,
            "seconds": item.duration and round(item.duration, 1),
            "state": record.state,
            "transcript": _text_of(record),
            "error": record.error and visible_message(record.error),
            "languages": ", ".join(record.languages or ()),
            "url": link(item, 0),
        }
    )


def _text_of(record: ItemRecord) -> str:
    """Return "captions (automatic)" or "speech recognition"; "" without a transcript."""
    if record.captions:
        return f"captions ({record.captions})"
    return "speech recognition" if record.has_transcript else ""


def _without_empty(entry: Entry) -> Entry:
    return {name: value for name, value in entry.items() if value is not None and value != ""}


def _hours(seconds: float) -> float:
    return round(seconds / 3600, 2)


# --- What is asked for -------------------------------------------------------------------------------


def _transcript(library: Library, given: Given) -> tuple[Item, Transcript]:
    """Return the recording of `key` and its transcript. UserError where there is none."""
    record = library.item(given.text("key") or "")
    transcript = library.transcript(record.item.key)
    if transcript is None:
        raise UserError(
            f"{record.item.key} has no transcript: it is {record.state}.",
            f"{record.error} {record.hint or ''}"
            if record.error
            else "homescribe run transcribes what is pending.",
        )
    return record.item, transcript


def _channel(library: Library, given: Given) -> str | None:
    """Return the channel to filter by, as the library names it. UserError if there is none of this name."""
    wanted = given.text("channel")
    if wanted is None:
        return None
    if library.page(channel=wanted, limit=1).total:
        return wanted
    names = [each.name for each in library.channels()]
    found = _alike(wanted, names)
    if len(found) == 1:
        return found[0]
    raise UserError(f"There is no channel {wanted!r}.", _names_hint("Channels", found or names))


def _language(library: Library, given: Given) -> str | None:
    """Return the code of the language to filter by. UserError if no transcript has it."""
    wanted = given.text("language")
    if wanted is None:
        return None
    known = library.languages()
    code = language_code(wanted)
    if code in known:
        return code
    raise UserError(f"No transcript is in {wanted!r}.", _names_hint("Languages", known))


def _alike(name: str, names: Sequence[str]) -> list[str]:
    """Return the names that contain `name`, else those that are spelled alike. Case does not matter."""
    folded = {each.casefold(): each for each in names}
    inside = [each for key, each in folded.items() if name.casefold() in key]
    if inside:
        return inside
    close = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.75)
    return [folded[each] for each in close]


def _names_hint(noun: str, names: Sequence[str]) -> str:
    more = ", ..." if len(names) > NAMES_IN_HINT else ""
    shown = ", ".join(visible(each, TITLE_CHARACTERS) for each in names[:NAMES_IN_HINT])
    return f"{noun}: {shown}{more}" if names else ""
