"""Looking through the library a page at a time: sorted, narrowed down, and by channel.

Rows are chosen by their ids first, with nothing else of them in memory: descriptions are long, and a sort
carries along whatever it selects.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from homescribe.core import MINUTE
from homescribe.library.records import ItemRecord
from homescribe.library.rows import to_record

Sort = Literal["listed", "newest", "oldest", "longest", "shortest", "title", "done"]

# What comes without the value that is sorted by comes last.
ORDERS: dict[Sort, str] = {
    "listed": "listed_in IS NULL, listed_in, listed_at, item_id",
    "newest": "upload_date IS NULL, upload_date DESC, item_id",
    "oldest": "upload_date IS NULL, upload_date, item_id",
    "longest": "length IS NULL, length DESC, item_id",
    "shortest": "length IS NULL, length, item_id",
    "title": "title COLLATE NOCASE, item_id",
    "done": "done_at IS NULL, done_at DESC, item_id",
}

PAUSE = 10 * MINUTE  # without a transcript, after which work is a run of its own
LATEST = 50  # transcripts that a pace is taken from


@dataclass(frozen=True, slots=True)
class Page:
    """Some of the records that were asked for, and how many there are in all."""

    records: tuple[ItemRecord, ...]
    total: int
    audio_seconds: float  # of all of them, where their length is known


@dataclass(frozen=True, slots=True)
class ChannelRecord:
    """A channel, podcast or folder as the items name it."""

    name: str
    items: int
    done: int
    audio_seconds: float  # of its items whose length is known
    words: int  # in its transcripts
    newest: str | None  # ISO 8601 date of its latest upload


@dataclass(frozen=True, slots=True)
class Day:
    """What was transcribed on one day, by this machine's clock."""

    day: str  # ISO 8601 date
    items: int
    audio_seconds: float
    words: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A stretch of work. Times are Unix times."""

    began: float
    ended: float
    items: int
    audio_seconds: float
    dollars: float = 0.0

    @property
    def speed(self) -> float | None:
        """Times realtime."""
        return self.audio_seconds / (self.ended - self.began) if self.ended > self.began else None


def page(
    db: sqlite3.Connection,
    records: str,
    ordered: str,
    conditions: Sequence[str],
    parameters: Mapping[str, object],
    *,
    sort: Sort,
    limit: int,
    offset: int,
) -> Page:
    """`limit` records after the first `offset`. `records` is the SELECT of every item with how it stands,
    `ordered` the one that has the columns of `sort`.
    """
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    in_state = "WHERE :state IS NULL OR state = :state"
    length = "coalesce(heard, duration)"
    total, seconds = db.execute(
        f"SELECT count(*), total({length}) FROM ({records} {where}) {in_state}", parameters
    ).fetchone()
    order = ORDERS[sort].replace("length", length)
    chosen = (
        f"SELECT item_id FROM ({ordered} {where}) {in_state} "
        f"ORDER BY {order} LIMIT :limit OFFSET :offset"
    )
    cut = {**parameters, "limit": limit, "offset": offset}
    ids = [row["item_id"] for row in db.execute(chosen, cut)]
    rows = db.execute(
        f"{records} WHERE items.item_id IN (SELECT value FROM json_each(:ids))",
        {**parameters, "ids": json.dumps(ids)},
    )
    found = {row["item_id"]: to_record(row) for row in rows}
    return Page(tuple(found[item_id] for item_id in ids), total, seconds)


def channels(db: sqlite3.Connection) -> list[ChannelRecord]:
    """Every channel, the one with the most items first."""
    rows = db.execute(
        """
        SELECT channel AS name, count(*) AS items, count(transcripts.item_id) AS done,
            total(coalesce(transcripts.duration, items.duration)) AS audio_seconds,
            coalesce(sum(transcripts.words), 0) AS words, max(upload_date) AS newest
        FROM items LEFT JOIN transcripts USING (item_id)
        WHERE channel IS NOT NULL GROUP BY channel ORDER BY items DESC, channel
        """
    )
    return [ChannelRecord(**dict(row)) for row in rows]


def pace(db: sqlite3.Connection) -> float | None:
    """Times realtime of the latest transcripts."""
    row = db.execute(
        "SELECT total(duration), total(seconds) FROM "
        "(SELECT duration, seconds FROM transcripts ORDER BY done_at DESC LIMIT ?)",
        (LATEST,),
    ).fetchone()
    return row[0] / row[1] if row[0] and row[1] else None


def days(db: sqlite3.Connection) -> list[Day]:
    """Every day on which something was transcribed, the first first."""
    rows = db.execute(
        "SELECT date(done_at, 'unixepoch', 'localtime') AS day, count(*) AS items, "
        "total(duration) AS audio_seconds, total(words) AS words "
        "FROM transcripts GROUP BY day ORDER BY day"
    )
    return [Day(row["day"], row["items"], row["audio_seconds"], int(row["words"])) for row in rows]


def runs(db: sqlite3.Connection) -> list[RunRecord]:
    """Stretches of work, the latest first: transcripts that came without a break of PAUSE between them.

    Nobody writes down when a run begins or ends, and what is still in the library tells what matters: what
    was done, how fast, and for how much.
    """
    found: list[RunRecord] = []
    rows = db.execute("SELECT done_at, seconds, duration FROM transcripts ORDER BY done_at")
    for row in rows:
        began = row["done_at"] - row["seconds"]
        last = found[-1] if found else None
        if last is not None and began - last.ended <= PAUSE:
            found[-1] = RunRecord(
                began=min(last.began, began),
                ended=row["done_at"],
                items=last.items + 1,
                audio_seconds=last.audio_seconds + row["duration"],
            )
        else:
            found.append(RunRecord(began, row["done_at"], 1, row["duration"]))
    paid = db.execute("SELECT finished_at, dollars FROM usages").fetchall()
    return [
        replace(
            run,
            dollars=sum(
                row["dollars"]
                for row in paid
                if run.began - PAUSE <= row["finished_at"] <= run.ended + PAUSE
            ),
        )
        for run in reversed(found)
    ]
