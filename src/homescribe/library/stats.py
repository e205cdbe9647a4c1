"""Statistics: the library in numbers, by channel, day and run."""

from __future__ import annotations

import difflib
import sqlite3
from bisect import bisect_left
from dataclasses import dataclass, replace
from pathlib import Path

from homescribe.core import CAPTIONS, MINUTE
from homescribe.errors import UserError
from homescribe.library.filters import item_filter
from homescribe.library.items import UNORDERED
from homescribe.library.records import STATES, Status
from homescribe.library.schema import IS_DONE

RUN_GAP = 10 * MINUTE  # without a transcript, after which the next one belongs to another run
BY_ENGINE = f"engine != '{CAPTIONS}'"  # nobody's machine transcribed captions
RECENT_TRANSCRIPTS = 50  # that the speed is computed from


@dataclass(frozen=True, slots=True)
class ChannelRecord:
    """A channel, podcast or folder, by the name that its items give."""

    name: str
    items: int
    done: int
    searchable: int  # with a transcript, which may be captions that a run replaces
    audio_seconds: float  # of its items whose length is known
    words: int  # in its transcripts
    newest: str | None  # ISO 8601 date of its latest upload


@dataclass(frozen=True, slots=True)
class Day:
    """What was transcribed on one day, in this machine's time zone."""

    day: str  # ISO 8601 date
    items: int
    audio_seconds: float
    words: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """Transcripts that were stored without a long gap between them. Times are Unix times."""

    began: float
    ended: float
    items: int
    audio_seconds: float
    dollars: float = 0.0

    @property
    def speed(self) -> float | None:
        """Times realtime."""
        return self.audio_seconds / (self.ended - self.began) if self.ended > self.began else None


def status(db: sqlite3.Connection, path: Path, now: float) -> Status:
    """Return the number of items in each state, the seconds of audio, and the size of the file."""
    rows = db.execute(
        "SELECT state, count(*) AS items, total(length) AS seconds "
        f"FROM ({UNORDERED}) GROUP BY state",
        {"now": now},
    ).fetchall()
    found = {row["state"]: row for row in rows}
    files = (path, path.with_name(f"{path.name}-wal"))
    return Status(
        states={state: found[state]["items"] if state in found else 0 for state in STATES},
        audio_seconds=sum((row["seconds"] for row in rows), 0.0),
        audio_seconds_done=found["done"]["seconds"] if "done" in found else 0.0,
        path=path,
        bytes=sum(file.stat().st_size for file in files if file.exists()),
    )


def channels(db: sqlite3.Connection) -> list[ChannelRecord]:
    """Return every channel, the one with the most items first."""
    rows = db.execute(
        f"""
        SELECT channel AS name, count(*) AS items, count(CASE WHEN {IS_DONE} THEN 1 END) AS done,
            count(transcripts.item_id) AS searchable,
            total(coalesce(transcripts.duration, items.duration)) AS audio_seconds,
            coalesce(sum(transcripts.words), 0) AS words, max(upload_date) AS newest
        FROM items LEFT JOIN transcripts USING (item_id) LEFT JOIN ignored USING (item_id)
        WHERE channel IS NOT NULL GROUP BY channel ORDER BY items DESC, channel
        """
    )
    return [ChannelRecord(**dict(row)) for row in rows]


def check_channel(db: sqlite3.Connection, name: str) -> None:
    """Raise UserError, with the names that are close to `name`, if it is no channel's name or id."""
    chosen = item_filter(channel=name)
    if db.execute(f"SELECT 1 FROM items {chosen.where} LIMIT 1", chosen.parameters).fetchone():
        return
    known = {channel.name.casefold(): channel.name for channel in channels(db)}
    close = difflib.get_close_matches(name.casefold(), known, n=3)
    close = close or [each for each in known if name and name.casefold() in each][:3]
    hint = f"Did you mean {' or '.join(known[each] for each in close)}?" if close else ""
    raise UserError(
        f"No channel {name!r}.", hint or "Those of the library are in: homescribe list --json"
    )


def languages(db: sqlite3.Connection) -> list[str]:
    """Return the languages of the transcripts and of their segments, the most frequent first."""
    rows = db.execute(
        "SELECT code FROM (SELECT language AS code FROM transcripts UNION ALL "
        "SELECT each.key FROM transcripts, json_each(transcripts.languages) AS each "
        "WHERE each.key != transcripts.language) GROUP BY code ORDER BY count(*) DESC, code"
    )
    return [row["code"] for row in rows]


def item_sources(db: sqlite3.Connection) -> list[str]:
    """Return the sources of the items ("youtube", "file"), the most frequent first."""
    rows = db.execute("SELECT source FROM items GROUP BY source ORDER BY count(*) DESC, source")
    return [row["source"] for row in rows]


def pace(db: sqlite3.Connection) -> float | None:
    """Return the speed of the latest transcripts, times realtime; None when there are none."""
    row = db.execute(
        "SELECT total(duration), total(seconds) FROM "
        f"(SELECT duration, seconds FROM transcripts WHERE {BY_ENGINE} ORDER BY done_at DESC LIMIT ?)",
        (RECENT_TRANSCRIPTS,),
    ).fetchone()
    return row[0] / row[1] if row[0] and row[1] else None


def days(db: sqlite3.Connection) -> list[Day]:
    """Return every day on which something was transcribed, the earliest first."""
    rows = db.execute(
        "SELECT date(done_at, 'unixepoch', 'localtime') AS day, count(*) AS items, "
        "total(duration) AS audio_seconds, total(words) AS words "
        f"FROM transcripts WHERE {BY_ENGINE} GROUP BY day ORDER BY day"
    )
    return [Day(row["day"], row["items"], row["audio_seconds"], int(row["words"])) for row in rows]


def runs(db: sqlite3.Connection) -> list[RunRecord]:
    """Return the runs, the latest first: transcripts with less than RUN_GAP between them.

    Runs are not stored. They are computed from the transcripts that are still in the library.
    """
    found: list[RunRecord] = []
    rows = db.execute(
        f"SELECT done_at, seconds, duration FROM transcripts WHERE {BY_ENGINE} ORDER BY done_at"
    )
    for row in rows:
        began = row["done_at"] - row["seconds"]
        last = found[-1] if found else None
        if last is not None and began - last.ended <= RUN_GAP:
            found[-1] = RunRecord(
                began=min(last.began, began),
                ended=row["done_at"],
                items=last.items + 1,
                audio_seconds=last.audio_seconds + row["duration"],
            )
        else:
            found.append(RunRecord(began, row["done_at"], 1, row["duration"]))
    dollars = _dollars_by_run(db, found)
    return [replace(run, dollars=dollars[n]) for n, run in reversed([*enumerate(found)])]


def _dollars_by_run(db: sqlite3.Connection, found: list[RunRecord]) -> list[float]:
    """Return what each run cost. A call belongs to the one run that is closest in time, within RUN_GAP.

    A call ends before its transcript is stored, and one that failed may end before or after all transcripts.
    """
    dollars = [0.0] * len(found)
    ends = [run.ended for run in found]
    for row in db.execute("SELECT finished_at, dollars FROM usages"):
        at = row["finished_at"]
        following = bisect_left(ends, at)
        distances = [
            (max(found[n].began - at, at - found[n].ended, 0.0), n)
            for n in (following - 1, following)
            if 0 <= n < len(found)
        ]
        if distances and min(distances)[0] <= RUN_GAP:
            dollars[min(distances)[1]] += row["dollars"]
    return dollars
