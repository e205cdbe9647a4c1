"""Search: from what a person typed to the second at which it was said.

The index is over passages, not segments, so that a phrase is found across the border of two segments: each
passage is two neighbouring stretches of up to STRETCH seconds, and each stretch stands in two passages. So
any words said within one stretch's time of each other are found together, wherever the borders fall; what
two passages both find is shown once.

One index serves every script. Where words are not set apart by spaces (Chinese, Japanese, Thai; Korean,
whose particles cling to the word), every character is indexed as a word and what is searched becomes a
phrase of characters: a text of any length is found, from one character on. `spaced` does that, for the
index and the query alike.

Ranking every match of a common word in a million segments takes too long, so the newest CANDIDATES that
match are ranked by BM25; titles and descriptions have their own share.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from homescribe.core import SECOND, Item, Segment, link
from homescribe.errors import UserError
from homescribe.library.rows import clean, to_item
from homescribe.library.schema import PASSAGE_BITS

STRETCH = 25 * SECOND
CANDIDATES = 1000  # ranked of each kind; 10 ms for a word that is in every passage
CONTEXT = 160  # characters of a hit's text at least, where the passage has them

Span = tuple[int, int]  # from, to: offsets of characters

OPEN, CLOSE = "\x02", "\x03"  # around what FTS5 found; `spaced` lets no control character through
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # kana, bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\uac00-\ud7a3]"  # Hangul
)
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
JAMO = re.compile("[\u1100-\u11ff]")  # parts of a Hangul syllable, as macOS spells file names


@dataclass(frozen=True, slots=True)
class Hit:
    """A place where the query was said, or an item whose title or description holds it (`start` is 0).

    `text` is what is said from `start` to `end` seconds; `highlights` are the ranges of characters in it
    that were found. `url` opens the recording there.
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


# --- The text that is indexed --------------------------------------------------------------------


def spaced(text: str) -> tuple[str, Sequence[int]]:
    """`text` as it is indexed, and for each of its characters where in `text` it comes from.

    Compatibility forms are folded (NFKC: full-width letters, decomposed accents), control characters are
    blanks, characters of scripts without spaces stand apart.
    """
    text = CONTROL.sub(" ", text)
    if not UNSPACED.search(text) and unicodedata.is_normalized("NFKC", text):
        return text, range(len(text))
    pieces: list[str] = []
    origins: list[int] = []
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and _belongs(text[start], text[end]):
            end += 1
        piece = unicodedata.normalize("NFKC", text[start:end])
        piece = UNSPACED.sub(r" \g<0>", piece)
        if UNSPACED.match(piece[-1:]) or UNSPACED.match(piece[1:2]):
            piece += " "
        pieces.append(piece)
        origins += [start] * len(piece)
        start = end
    return "".join(pieces), origins


def _belongs(base: str, following: str) -> bool:
    """Whether two characters are one to a reader: a letter and its accent or vowel sign."""
    return unicodedata.category(following)[0] == "M" or bool(
        JAMO.match(base) and JAMO.match(following)
    )


def passages(segments: Sequence[Segment]) -> Iterator[tuple[int, int, str]]:
    """First and last position and indexed text of each passage over `segments`."""
    stretches = list(_stretches(segments))
    for number, (first, last) in enumerate(stretches):
        if number + 1 < len(stretches):
            last = stretches[number + 1][1]
        elif number:
            break  # the last stretch stands in the passage before; there is none to share it with
        text = " ".join(spaced(clean(segment.text))[0] for segment in segments[first : last + 1])
        if text.strip():
            yield first, last, text


def _stretches(segments: Sequence[Segment]) -> Iterator[Span]:
    first = 0
    for position, segment in enumerate(segments):
        if position > first and segment.end - segments[first].start > STRETCH:
            yield first, position - 1
            first = position
    if segments:
        yield first, len(segments) - 1


# --- The query -----------------------------------------------------------------------------------


def terms(query: str) -> list[str]:
    """What a person typed, as phrases that must all be there: "quoted ones" whole, else word by word."""
    query = re.sub("[“”„«»＂]", '"', clean(query))
    parts = query.split('"')
    if len(parts) % 2 == 0:  # a quotation mark that is never closed
        parts[-2:] = [f"{parts[-2]} {parts[-1]}"] if len(parts) == 2 else parts[-2:]
    phrases: list[str] = []
    for number, part in enumerate(parts):
        quoted = number % 2 == 1 and number < len(parts) - 1
        phrases += [part] if quoted else part.split()
    indexed = (spaced(phrase)[0].replace('"', " ").strip() for phrase in phrases)
    return list(dict.fromkeys(phrase for phrase in indexed if _words(phrase)))


def match_expression(phrases: Sequence[str]) -> str:
    """FTS5's own syntax for passages that hold every phrase: nothing of a phrase is read as syntax."""
    return " AND ".join(f'"{phrase}"' for phrase in phrases)


def _words(text: str) -> list[str]:
    """`text` as words without case and accents, about as the index has them."""
    letters = (
        letter
        for letter in unicodedata.normalize("NFD", text.casefold())
        if unicodedata.category(letter) != "Mn"
    )
    return "".join(
        letter
        if unicodedata.category(letter)[0] in "LNM" or unicodedata.category(letter) == "Co"
        else " "
        for letter in letters
    ).split()


# --- Finding -------------------------------------------------------------------------------------


def find(
    db: sqlite3.Connection,
    query: str,
    *,
    raw: bool,
    chosen: str | None,
    parameters: Mapping[str, object],
    limit: int,
    offset: int,
) -> list[Hit]:
    """Hits of `query`, best first. `chosen` is a SELECT of the item_ids to look in, None for all."""
    phrases = [] if raw else terms(query)
    expression = spaced(clean(query))[0].strip() if raw else match_expression(phrases)
    if not expression:
        return []
    hits: list[Hit] = []
    seen: set[tuple[object, ...]] = set()
    for passage_id in _ranked(
        db, expression, chosen, parameters, max(CANDIDATES, 4 * (offset + limit))
    ):
        if len(hits) == offset + limit:
            break
        hit = _hit(db, expression, phrases, passage_id)
        place = (hit.key, hit.start, passage_id if passage_id < 0 else None)
        if place not in seen:
            seen.add(place)
            hits.append(hit)
    return hits[offset:]


def _ranked(
    db: sqlite3.Connection,
    expression: str,
    chosen: str | None,
    parameters: Mapping[str, object],
    candidates: int,
) -> list[int]:
    """Ids of passages that match, best first, the newer first among equals."""
    found: list[tuple[float, int]] = []
    for kind, item_id in (
        ("rowid > 0", f"rowid >> {PASSAGE_BITS}"),
        ("rowid < 0", "(-rowid) >> 1"),
    ):
        condition = f"{kind} AND {item_id} IN ({chosen})" if chosen else kind
        statement = (
            "SELECT bm25(passages_fts), rowid FROM passages_fts "
            f"WHERE passages_fts MATCH :expression AND {condition} ORDER BY rowid DESC LIMIT {candidates}"
        )
        try:
            found += db.execute(statement, {"expression": expression, **parameters}).fetchall()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR:
                raise
            raise UserError(
                f"The query is not valid: {error}.",
                "See https://www.sqlite.org/fts5.html, section 3.",
            ) from error
    found.sort(key=lambda row: (row[0], -abs(row[1])))
    return [passage_id for _, passage_id in found]


def _hit(db: sqlite3.Connection, expression: str, phrases: Sequence[str], passage_id: int) -> Hit:
    row = db.execute(
        "SELECT highlight(passages_fts, 0, ?, ?) FROM passages_fts "
        "WHERE passages_fts MATCH ? AND rowid = ?",
        (OPEN, CLOSE, expression, passage_id),
    ).fetchone()
    text, found = _marked(row[0])
    begin, end = _tightest(text, found, phrases)
    item_row = db.execute(
        "SELECT * FROM items WHERE item_id = ?",
        (passage_id >> PASSAGE_BITS if passage_id > 0 else -passage_id >> 1,),
    ).fetchone()
    item = to_item(item_row)
    if passage_id < 0:
        written = item.title if passage_id % 2 == 0 else item.description or ""
        shown, highlights = _cut(written, found, begin)
        return _as_hit(item, 0.0, 0.0, shown, highlights)
    passage = db.execute(
        "SELECT first_segment, last_segment FROM passages WHERE passage_id = ?", (passage_id,)
    ).fetchone()
    segments = db.execute(
        'SELECT start, "end", text FROM segments '
        "WHERE item_id = ? AND position BETWEEN ? AND ? ORDER BY position",
        (item_row["item_id"], passage["first_segment"], passage["last_segment"]),
    ).fetchall()
    return _as_hit(item, *_spoken(segments, found, begin, end))


def _as_hit(item: Item, start: float, end: float, text: str, highlights: tuple[Span, ...]) -> Hit:
    return Hit(
        key=item.key,
        title=item.title,
        channel=item.channel,
        upload_date=item.upload_date,
        start=start,
        end=end,
        text=text,
        highlights=highlights,
        url=link(item, start),
    )


def _marked(highlighted: str) -> tuple[str, list[Span]]:
    """The indexed text without FTS5's marks, and the ranges that they stood around."""
    pieces: list[str] = []
    spans: list[Span] = []
    length = begin = 0
    for piece in re.split(f"([{OPEN}{CLOSE}])", highlighted):
        if piece == OPEN:
            begin = length
        elif piece == CLOSE:
            spans.append((begin, length))
        else:
            pieces.append(piece)
            length += len(piece)
    return "".join(pieces), spans


def _tightest(text: str, found: Sequence[Span], phrases: Sequence[str]) -> Span:
    """The shortest stretch of `text` that holds every phrase; the first range found where that is unknown."""
    wanted = [" ".join(_words(phrase)) for phrase in phrases]
    holds = []
    for begin, end in found:
        words = f" {' '.join(_words(text[begin:end]))} "
        holds.append({number for number, phrase in enumerate(wanted) if f" {phrase} " in words})
    best: Span | None = None
    latest: dict[int, int] = {}  # phrase: where it was last found
    for (begin, end), numbers in zip(found, holds, strict=True):
        latest.update(dict.fromkeys(numbers, begin))
        if latest and len(latest) == len(wanted):
            first = min(latest.values())
            if best is None or end - first < best[1] - best[0]:
                best = (first, end)
    return best or found[0]


def _spoken(
    segments: Sequence[sqlite3.Row], found: Sequence[Span], begin: int, end: int
) -> tuple[float, float, str, tuple[Span, ...]]:
    """Times, text and highlights of the segments from the one with `begin` on, in the passage's offsets."""
    shown = ""
    highlights: list[Span] = []
    offset = 0
    started: sqlite3.Row | None = None
    last = segments[-1]
    for segment in segments:
        indexed, origins = spaced(segment["text"])
        stop = offset + len(indexed)
        if stop > begin:
            if started is None:
                started = segment
            elif offset >= end and len(shown) >= CONTEXT:
                break
            text = CONTROL.sub(" ", segment["text"])
            base = len(shown) + (1 if shown else 0) - (len(text) - len(text.lstrip()))
            here = _within(found, offset, stop, origins, len(text))
            highlights += [(base + a, base + b) for a, b in here]
            shown = f"{shown} {text.strip()}" if shown else text.strip()
            last = segment
        offset = stop + 1
    first = started or segments[0]
    return first["start"], last["end"], shown, _joined(highlights)


def _within(
    found: Sequence[Span], offset: int, stop: int, origins: Sequence[int], length: int
) -> Iterator[Span]:
    """The part of each range that lies in the segment at `offset`, in characters of its own text."""
    for begin, end in found:
        a, b = max(begin, offset) - offset, min(end, stop) - offset
        if a < b:
            yield origins[a], _end(origins, b, length)


def _end(origins: Sequence[int], index: int, length: int) -> int:
    """Where in the original the character before `index` ends."""
    last = origins[index - 1]
    return next((origins[i] for i in range(index, len(origins)) if origins[i] > last), length)


def _joined(spans: Sequence[Span]) -> tuple[Span, ...]:
    return tuple((a, b) for a, b in spans if b > a)


def _cut(written: str, found: Sequence[Span], begin: int) -> tuple[str, tuple[Span, ...]]:
    """The line of a title or description that the match begins in, and the highlights in it."""
    _, origins = spaced(written)
    place = origins[begin]
    first = written.rfind("\n", 0, place) + 1
    last = written.find("\n", place)
    last = len(written) if last < 0 else last
    spans = ((origins[a], _end(origins, b, len(written))) for a, b in found)
    line = CONTROL.sub(" ", written[first:last])
    return line, tuple((a - first, b - first) for a, b in spans if first <= a and b <= last)
