"""Full-text search: from a query to the seconds at which it was said.

The index holds passages (passages.py). Neighbouring passages overlap, so both may match for the same words:
such hits are merged.

Indexed text and queries both go through `spaced`: in scripts without spaces every character is a word, and a
query becomes a phrase of characters.

Ranking every match of a common word in a million segments takes too long. Only the newest CANDIDATES matches
are ranked by BM25, in speech and in titles and descriptions each; the rest follow by age.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from homescribe.core import CAPTIONS
from homescribe.errors import UserError
from homescribe.library import speaker_rows
from homescribe.library.filters import Filter
from homescribe.library.hit_text import HitText, said_by, speech_text, written_line
from homescribe.library.passages import PASSAGE_BITS, Span, joined, without_compounds
from homescribe.library.rows import to_item
from homescribe.library.speaker_query import (
    SPOKEN_BY,
    known_names,
    labels_of,
    lines_of,
    split_speakers,
)
from homescribe.plugins import link
from homescribe.text.sanitize import sqlite_safe
from homescribe.text.scripts import UNSPACED, folded_words, spaced

CANDIDATES = (
    1000  # matches that are ranked, of each kind: 10 ms for a word that is in every passage
)
RAW_HINT = "See https://www.sqlite.org/fts5.html, section 3."
PREFIX_LETTERS = 3  # of an incomplete word, for which the index has entries
EXTRA_PASSAGES = 10  # read beyond the wanted number, because some hits are merged

Order = Literal["rank", "date"]  # of hits: best first, or the newest recording first

WHOLE = (0, 1 << 62)  # a match that all segments are shown for
SPEECH = "rowid > 0"  # ids of passages of speech

OPEN, CLOSE = "\x02", "\x03"  # around matches; `spaced` removes control characters
QUOTES = str.maketrans(dict.fromkeys("“”„«»＂", '"'))
PHRASE_OR_WORD = re.compile('"([^"]*)"|([^"\\s]+)')


@dataclass(frozen=True, slots=True)
class Hit:
    """A match in speech, or in the title or description of an item (`start` is 0).

    `start`: seconds at which the first found word is said where word times are stored, else at which its
    segment starts; `url` opens the recording there. `text` begins with that segment and ends at `end`;
    `highlights` are ranges of its characters that match. `speaker` is who says the beginning of it ("Ann",
    "Ann?" if it may be her, "Speaker 1" without a name); where another one goes on, a dash is in front of it.
    """

    key: str
    title: str
    channel: str | None
    upload_date: str | None
    start: float
    end: float
    text: str
    highlights: tuple[Span, ...]
    url: str
    speaker: str | None = None
    captions: str | None = None  # "manual" or "automatic" where captions say it


@dataclass(frozen=True, slots=True)
class HitCount:
    """How many hits a query has in all, and in how many recordings."""

    hits: int
    recordings: int
    exact: bool = True  # False: there are more than were counted


# --- The query -----------------------------------------------------------------------------------


def terms(query: str) -> list[str]:
    """Return the phrases of `query`, which must all match: "quoted phrases", and single words."""
    found = PHRASE_OR_WORD.findall(sqlite_safe(query).translate(QUOTES))
    phrases = (spaced(phrase or word)[0].replace('"', " ").strip() for phrase, word in found)
    # Of equal phrases the last is kept, because the last word may be incomplete.
    return list(
        dict.fromkeys(phrase for phrase in reversed(list(phrases)) if folded_words(phrase))
    )[::-1]


def match_expression(phrases: Sequence[str], *, unfinished: bool = False) -> str:
    """Return the FTS5 expression for passages with every phrase. Phrases are quoted: they have no syntax.

    `unfinished`: the last phrase also matches words that begin with it.
    """
    expressions = []
    for number, phrase in enumerate(phrases, 1):
        star = "*" if unfinished and number == len(phrases) else ""
        found = [f'"{spelling}"{star}' for spelling in _spellings(phrase)]
        expressions.append(f"({' OR '.join(found)})" if len(found) > 1 else found[0])
    return " AND ".join(expressions)


def _spellings(phrase: str) -> list[str]:
    """Return `phrase` and, where it has words with hyphens, the same with these as one word."""
    return list(dict.fromkeys((phrase, joined(phrase))))


def is_unfinished(query: str) -> bool:
    """Whether the last word of a query that is being typed counts as incomplete.

    Not below PREFIX_LETTERS, with which too many words begin, and not in scripts without spaces, where a
    character is a word.
    """
    last = query[-PREFIX_LETTERS:]
    return len(last) == PREFIX_LETTERS and last.isalnum() and not UNSPACED.search(last)


# --- Finding -------------------------------------------------------------------------------------


def find(
    db: sqlite3.Connection,
    query: str,
    chosen: Filter,
    *,
    speaker: str | None = None,
    raw: bool,
    as_typed: bool,
    order: Order,
    limit: int,
    offset: int,
) -> list[Hit]:
    """Return hits of `query` in the items that match `chosen`, in this order.

    With `speaker`, or speaker:name in the query, only what this person says; without other words all of it,
    the newest first.
    """
    wanted_names = [] if speaker is None else [speaker]
    if not raw:
        query, in_query = split_speakers(query)
        wanted_names += in_query
    speakers = known_names(db, wanted_names) if wanted_names else None
    phrases = [] if raw else terms(query)
    unfinished = bool(phrases) and as_typed and is_unfinished(query)
    expression = match_expression(phrases, unfinished=unfinished)
    if raw and query.strip():
        # In parentheses, because FTS5 reads an asterisk at the start as a command.
        expression = f"({spaced(sqlite_safe(query))[0]})"
    if not expression:
        if speakers is None or query.strip():
            return []
        lines = islice(_lines(db, speakers, chosen), offset, offset + limit)
        return list(lines)
    hits: dict[tuple[object, ...], Hit] = {}
    wanted = offset + limit
    try:
        in_order = _by_date if order == "date" else _matching
        matching = in_order(db, expression, chosen, speakers)
        while len(hits) < wanted:
            ids = list(islice(matching, wanted - len(hits) + EXTRA_PASSAGES))
            if not ids:
                break
            found = _marked(db, expression, ids, prefixes=unfinished or raw)
            for passage_id in ids:
                hit = _hit(db, found[passage_id], phrases, unfinished, speakers)
                if hit is None:
                    continue
                hits.setdefault((hit.key, hit.start, min(0, passage_id)), hit)
    except sqlite3.OperationalError as error:
        if not raw or getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR:
            raise
        raise UserError(f"The query is not valid: {error}.", RAW_HINT) from error
    return list(hits.values())[offset:wanted]


def number_of(hits: Sequence[Hit], most: int) -> HitCount:
    """Count the first `most` of `hits`."""
    counted = hits[:most]
    return HitCount(len(counted), len({hit.key for hit in counted}), len(hits) <= most)


def _matching(
    db: sqlite3.Connection, expression: str, chosen: Filter, speakers: Sequence[str] | None
) -> Iterator[int]:
    """Yield ids of passages that match: the CANDIDATES of each kind by rank, then the rest, newest first.

    With `speakers`, only passages in which one of them speaks.
    """
    best: list[tuple[float, int, int]] = []
    rests = []
    for kind, item_id, order, older in (
        (SPEECH, f"rowid >> {PASSAGE_BITS}", "DESC", "rowid < :last"),  # speech
        ("rowid < 0", "(-rowid) >> 1", "ASC", "rowid > :last"),  # titles and descriptions
    ):
        if speakers is not None and kind != SPEECH:
            continue
        scope = kind if speakers is None else f"{kind} AND {SPOKEN_BY}"
        if chosen.where:
            scope += f" AND {item_id} IN (SELECT item_id FROM items {chosen.where})"
        matching = f"FROM passages_fts WHERE passages_fts MATCH :expression AND {scope}"
        values = {**chosen.parameters, "expression": expression, "names": json.dumps(speakers)}
        found = db.execute(
            f"SELECT bm25(passages_fts), rowid {matching} ORDER BY rowid {order} LIMIT {CANDIDATES}",
            values,
        ).fetchall()
        best += [(score, place, passage_id) for place, (score, passage_id) in enumerate(found)]
        if len(found) == CANDIDATES:
            rest = f"SELECT rowid {matching} AND {older} ORDER BY rowid {order}"
            rests.append((rest, {**values, "last": found[-1][1]}))
    for _, _, passage_id in sorted(best):
        yield passage_id
    for rest, values in rests:
        for row in db.execute(rest, values):
            yield row[0]


def _by_date(
    db: sqlite3.Connection, expression: str, chosen: Filter, speakers: Sequence[str] | None
) -> Iterator[int]:
    """Yield ids of passages that match: of the newest recording first, in order of time, its title last."""
    values = {**chosen.parameters, "expression": expression, "names": json.dumps(speakers)}
    spoken = f"{SPEECH} AND {SPOKEN_BY}" if speakers is not None else SPEECH
    written = "rowid < 0" if speakers is None else "FALSE"
    matching = "FROM passages_fts WHERE passages_fts MATCH :expression"
    only = f"AND item_id IN (SELECT item_id FROM items {chosen.where})" if chosen.where else ""
    newest = db.execute(
        f"SELECT item_id FROM items WHERE (item_id IN (SELECT rowid >> {PASSAGE_BITS} {matching} "
        f"AND {spoken}) OR item_id IN (SELECT (-rowid) >> 1 {matching} AND {written})) {only} "
        "ORDER BY coalesce(upload_date, '') DESC, item_id DESC",
        values,
    ).fetchall()
    for (item_id,) in newest:
        places = {"first": item_id << PASSAGE_BITS, "end": (item_id + 1) << PASSAGE_BITS}
        of_title = {"first": -2 * item_id - 1, "end": -2 * item_id + 1}
        for scope, of_item in ((spoken, places), (written, of_title)):
            for (passage_id,) in db.execute(
                f"SELECT rowid {matching} AND {scope} AND rowid >= :first AND rowid < :end "
                "ORDER BY rowid",
                {**values, **of_item},
            ):
                yield passage_id


def _lines(db: sqlite3.Connection, names: Sequence[str], chosen: Filter) -> Iterator[Hit]:
    """Yield what these people say, the newest recording first."""
    for row, segments in lines_of(db, names, chosen):
        yield _as_hit(db, row, speech_text(segments, (), WHOLE))


def _marked(
    db: sqlite3.Connection, expression: str, ids: Sequence[int], *, prefixes: bool
) -> dict[int, sqlite3.Row]:
    """Return passages by id, with OPEN and CLOSE around matches, and their items.

    FTS5 looks each id up on its own, and with `prefixes` collects all words with a prefix each time. Then one
    scan from the lowest to the highest id of each kind is faster; the + keeps SQLite from using the ids.
    """
    statement = (
        "SELECT passage_id, highlight(passages_fts, 0, :open, :close) AS marked, "
        "first_segment, last_segment, items.* FROM passages_fts "
        "CROSS JOIN passages ON passage_id = passages_fts.rowid CROSS JOIN items USING (item_id) "
        f"WHERE passages_fts MATCH :expression AND {'+' * prefixes}passages_fts.rowid IN "
        "(SELECT value FROM json_each(:ids)) AND passages_fts.rowid BETWEEN :lowest AND :highest"
    )
    found: dict[int, sqlite3.Row] = {}
    for kind in ([i for i in ids if i > 0], [i for i in ids if i < 0]):
        if kind:
            values = {"lowest": min(kind), "highest": max(kind), "ids": json.dumps(kind)}
            values |= {"expression": expression, "open": OPEN, "close": CLOSE}
            found |= {row["passage_id"]: row for row in db.execute(statement, values)}
    return found


def _hit(
    db: sqlite3.Connection,
    row: sqlite3.Row,
    phrases: Sequence[str],
    unfinished: bool,
    speakers: Sequence[str] | None,
) -> Hit | None:
    """Return the hit in a passage; None if none of `speakers` says all of the phrases in it."""
    passage_id = row["passage_id"]
    text, found = without_compounds(*_without_marks(row["marked"]))
    if passage_id < 0:
        match = _shortest_match(text, found, phrases, unfinished) or _first(found)
        item = to_item(row)
        written = item.title if passage_id % 2 == 0 else item.description or ""
        return _as_hit(db, row, written_line(written, found, match))
    item_id = row["item_id"]
    segments = db.execute(
        "SELECT * FROM segments WHERE item_id = ? AND position BETWEEN ? AND ? ORDER BY position",
        (item_id, row["first_segment"], row["last_segment"]),
    ).fetchall()
    if speakers is not None:
        found = said_by(segments, labels_of(db, item_id, speakers), found)
        if not found:
            return None
    shortest = _shortest_match(text, found, phrases, unfinished)
    if shortest is None and speakers is not None and phrases:
        return None
    match = shortest or _first(found)
    return _as_hit(db, row, speech_text(segments, found, match))


def caption_kind(db: sqlite3.Connection, item_id: int) -> str | None:
    """Return "manual" or "automatic" for an item whose transcript is captions, else None."""
    row = db.execute(
        "SELECT model FROM transcripts WHERE item_id = ? AND engine = ?", (item_id, CAPTIONS)
    ).fetchone()
    return None if row is None else str(row["model"])


def _first(found: Sequence[Span]) -> Span:
    return next(iter(found), (0, 0))


def _as_hit(db: sqlite3.Connection, row: sqlite3.Row, found: HitText) -> Hit:
    """Return the hit with this text in the item of `row`."""
    item = to_item(row)
    return Hit(
        key=item.key,
        title=item.title,
        channel=item.channel,
        upload_date=item.upload_date,
        start=found.start,
        end=found.end,
        text=found.text,
        highlights=found.highlights,
        url=link(item, found.start),
        speaker=speaker_rows.shown_name(db, row["item_id"], found.speaker),
        captions=caption_kind(db, row["item_id"]) if found.end else None,
    )


def _without_marks(marked: str) -> tuple[str, list[Span]]:
    """Return the indexed text without OPEN and CLOSE, and the ranges between them."""
    pieces: list[str] = []
    found: list[Span] = []
    length = begin = 0
    for piece in re.split(f"([{OPEN}{CLOSE}])", marked):
        if piece == OPEN:
            begin = length
        elif piece == CLOSE:
            found.append((begin, length))
        else:
            pieces.append(piece)
            length += len(piece)
    return "".join(pieces), found


def _shortest_match(
    text: str, found: Sequence[Span], phrases: Sequence[str], unfinished: bool
) -> Span | None:
    """Return the shortest range of `text` with every phrase; None where there is none."""
    wanted = [[_words(spelling) for spelling in _spellings(phrase)] for phrase in phrases]
    if unfinished:
        wanted[-1] = [words.rstrip() for words in wanted[-1]]
    best: Span | None = None
    latest: dict[int, int] = {}  # number of a phrase: offset of its latest match
    for begin, end in found:
        said = [_words(spelling) for spelling in _spellings(text[begin:end])]
        latest |= {
            number: begin
            for number, phrase in enumerate(wanted)
            if any(spelling in words for spelling in phrase for words in said)
        }
        if latest and len(latest) == len(wanted):
            first = min(latest.values())
            if best is None or end - first < best[1] - best[0]:
                best = (first, end)
    return best


def _words(text: str) -> str:
    """Return the folded words of `text`, each between spaces."""
    return f" {' '.join(folded_words(text))} "
