"""Captions: which are replaced by a transcript of an engine, and for which items they were requested.

A transcript that is captions has the engine "captions", and the model "manual" or "automatic". It is
searched, shown and exported as any other. `upgrade` marks those that are replaced, by the setting `captions`:
their items are pending (schema.AWAITS_UPGRADE).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from homescribe.core import CAPTIONS, DAY, MINUTE, CaptionPolicy, Captions, Item
from homescribe.errors import ItemError, PermanentError, RetryableError
from homescribe.library import failures, items, transcripts
from homescribe.library.schema import AWAITS_UPGRADE, BELIEVED_WAIT, MAX_WAIT, PERMANENT_WAIT
from homescribe.text.sanitize import sqlite_safe

# Seconds before captions are requested again of an item that had none; the last value holds from then on.
# Sites make automatic captions hours after the upload.
NO_CAPTIONS_WAIT = (1 * DAY, 3 * DAY, 7 * DAY, 30 * DAY)

# Captions of a recording of at least SPARSE_FROM with fewer words a minute than slow speech has are of parts
# only: of what is in another language, or of a song.
SPARSE_FROM = 5 * MINUTE
SPARSE_WORDS = 20
SPARSE = f"(duration >= {SPARSE_FROM} AND words * {MINUTE} < {SPARSE_WORDS} * duration)"

# Whether captions are replaced, as an SQL expression over `transcripts`, by the setting.
REPLACED: dict[CaptionPolicy, str] = {
    "auto": f"model != 'manual' OR {SPARSE}",
    "use": "0",
    "upgrade": "1",
    "ignore": "1",
}

Stored = Literal["kept", "upgrade", "not stored"]


@dataclass(frozen=True, slots=True)
class CaptionFigures:
    """How many items have a transcript, and how many of these are captions."""

    searchable: int  # with a transcript of any kind
    words: int  # in all of them
    manual: int  # with captions that a person wrote
    automatic: int
    to_upgrade: int  # with captions that runs replace

    @property
    def found(self) -> int:
        """Items whose transcript is captions."""
        return self.manual + self.automatic


def apply_policy(db: sqlite3.Connection, policy: CaptionPolicy) -> None:
    """Mark the captions that are replaced under this setting, and no others."""
    rule = REPLACED[policy]
    db.execute(f"UPDATE transcripts SET upgrade = {rule} WHERE {_differs(rule)}")


def follows_policy(db: sqlite3.Connection, policy: CaptionPolicy) -> bool:
    """Return whether `apply_policy` would change nothing."""
    differs = _differs(REPLACED[policy])
    return db.execute(f"SELECT 1 FROM transcripts WHERE {differs} LIMIT 1").fetchone() is None


def _differs(rule: str) -> str:
    return f"engine = '{CAPTIONS}' AND upgrade != ({rule})"


def due(db: sqlite3.Connection, keys: Collection[str] | None, now: float) -> list[Item]:
    """Return the pending items without a transcript whose captions are to be requested, in listing order.

    Of `keys` only, unless it is None. Captions that were not found are requested again after days.
    """
    pending = items.pending(db, keys, (), now)
    rows = db.execute(
        "SELECT key FROM items LEFT JOIN caption_requests USING (item_id) "
        "WHERE NOT EXISTS (SELECT 1 FROM transcripts WHERE transcripts.item_id = items.item_id) "
        "AND (retry_at IS NULL OR retry_at <= :now OR retry_at > :now + :longest)",
        {"now": now, "longest": PERMANENT_WAIT + BELIEVED_WAIT},
    )
    wanted = {row["key"] for row in rows}
    return [item for item in pending if item.key in wanted]


def make_due(db: sqlite3.Connection, keys: Collection[str]) -> None:
    """Let the captions of these items be requested again at once, whatever earlier requests found."""
    db.execute(
        "UPDATE caption_requests SET retry_at = requested_at WHERE retry_at IS NOT NULL AND item_id IN "
        "(SELECT item_id FROM items WHERE key IN (SELECT value FROM json_each(?)))",
        (json.dumps([sqlite_safe(key) for key in keys]),),
    )


def save(db: sqlite3.Connection, found: Captions, policy: CaptionPolicy, now: float) -> Stored:
    """Store what was found for an item, and that it was requested.

    Captions never replace a transcript of an engine, nor one that a person corrected. Nothing is stored for
    an item that is not in the library any more.
    """
    item_id = items.put_one(db, found.item, now, insert=False)
    if item_id is None:
        return "not stored"
    if found.transcript is None:
        _record(db, item_id, None, now)
        return "not stored"
    db.execute(
        "REPLACE INTO caption_requests (item_id, attempts, requested_at) VALUES (?, 0, ?)",
        (item_id, now),
    )
    if not _may_replace(db, item_id):
        return "not stored"
    transcripts.save(db, item_id, found.transcript, 0.0, now)
    row = db.execute(
        f"UPDATE transcripts SET upgrade = {REPLACED[policy]} WHERE item_id = ? RETURNING upgrade",
        (item_id,),
    ).fetchone()
    return "upgrade" if row["upgrade"] else "kept"


def _may_replace(db: sqlite3.Connection, item_id: int) -> bool:
    row = db.execute(
        "SELECT engine, EXISTS (SELECT 1 FROM corrections WHERE corrections.item_id = transcripts.item_id) "
        "OR EXISTS (SELECT 1 FROM speaker_corrections AS corrected "
        "WHERE corrected.item_id = transcripts.item_id) AS corrected "
        "FROM transcripts WHERE item_id = ?",
        (item_id,),
    ).fetchone()
    return row is None or (row["engine"] == CAPTIONS and not row["corrected"])


def record_failure(db: sqlite3.Connection, item: Item, error: ItemError, now: float) -> None:
    """Record that a request for captions failed. That is no failure of the item."""
    known = items.known_rows(db, [item.key])
    if item.key in known:
        _record(db, known[item.key]["item_id"], error, now)


def _record(db: sqlite3.Connection, item_id: int, error: ItemError | None, now: float) -> None:
    """Record a request without captions, and when the next one is."""
    row = db.execute(
        "SELECT attempts FROM caption_requests WHERE item_id = ?", (item_id,)
    ).fetchone()
    attempts = row["attempts"] + 1 if row else 1
    waits = NO_CAPTIONS_WAIT if error is None else failures.BACKOFF
    wait = waits[min(attempts, len(waits)) - 1]
    if isinstance(error, PermanentError):
        wait = PERMANENT_WAIT
    elif isinstance(error, RetryableError):
        wait = min(max(wait, error.retry_after or 0.0), MAX_WAIT)
    db.execute(
        "REPLACE INTO caption_requests (item_id, attempts, error, requested_at, retry_at) "
        "VALUES (?, ?, ?, ?, ?)",
        (item_id, attempts, error and sqlite_safe(error.message), now, now + wait),
    )


def latest_request(db: sqlite3.Connection, now: float) -> float | None:
    """Return the Unix time of the latest request for captions; None before the first one."""
    row = db.execute(
        "SELECT max(requested_at) AS at FROM caption_requests WHERE requested_at <= ?", (now,)
    ).fetchone()
    return None if row["at"] is None else float(row["at"])


def figures(db: sqlite3.Connection) -> CaptionFigures:
    """Return how many items are searchable, and how many of them by captions."""
    row = db.execute(
        "SELECT count(*) AS searchable, total(words) AS words, "
        f"total(engine = '{CAPTIONS}' AND model = 'manual') AS manual, "
        f"total(engine = '{CAPTIONS}' AND model != 'manual') AS automatic, "
        f"total({AWAITS_UPGRADE}) AS to_upgrade "
        "FROM transcripts LEFT JOIN ignored USING (item_id)"
    ).fetchone()
    return CaptionFigures(
        *(row["searchable"], int(row["words"]), int(row["manual"]), int(row["automatic"])),
        int(row["to_upgrade"]),
    )
