"""Failures of items, with the time of the next attempt, and sites that refuse requests for now."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection

from homescribe.core import HOUR, MINUTE, Item
from homescribe.errors import ItemError, PermanentError, RetryableError, SuspectError
from homescribe.library.schema import BELIEVED_WAIT, MAX_WAIT, PERMANENT_WAIT
from homescribe.text.identities import without_trackers
from homescribe.text.sanitize import sqlite_safe

# Seconds before the second, third, ... attempt; the last value holds for all that follow.
BACKOFF = (1 * MINUTE, 10 * MINUTE, 1 * HOUR, 6 * HOUR, 24 * HOUR)


def add(db: sqlite3.Connection, item_id: int, error: ItemError, now: float) -> None:
    """Record a failure, with a next attempt when the backoff and the wait that `error` names are over.

    A wait is at most MAX_WAIT; after a permanent failure it is a month, since what was private may be public
    by then. After a SuspectError there is no next attempt: each one would end a run and what it was doing.
    """
    row = db.execute("SELECT attempts FROM failures WHERE item_id = ?", (item_id,)).fetchone()
    attempts = row["attempts"] + 1 if row else 1
    permanent = isinstance(error, PermanentError)
    wait = BACKOFF[min(attempts, len(BACKOFF)) - 1]
    if isinstance(error, RetryableError) and error.retry_after is not None:
        wait = max(wait, error.retry_after)
    wait = PERMANENT_WAIT if permanent else min(wait, MAX_WAIT)
    db.execute(
        "REPLACE INTO failures "
        "(item_id, attempts, error, hint, permanent, retry_at, failed_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            *(item_id, attempts, sqlite_safe(error.message), sqlite_safe(error.hint)),
            *(permanent, None if isinstance(error, SuspectError) else now + wait, now),
        ),
    )


def forget(db: sqlite3.Connection, ids: Collection[int]) -> int:
    """Delete the failures of these items; return how many there were."""
    return db.execute(
        "DELETE FROM failures WHERE item_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    ).rowcount


def forget_all(db: sqlite3.Connection, *, permanent: bool) -> int:
    """Delete all failures, permanent ones only if `permanent`; return how many there were."""
    which = "" if permanent else " WHERE NOT permanent"
    return db.execute(f"DELETE FROM failures{which}").rowcount


def forget_if_repaired(
    db: sqlite3.Connection, item_id: int, old: Item, new: Item, now: float
) -> None:
    """Delete the failure of an item if its listing says that it may be available now.

    It has another address, or only another token in it since yesterday; or it was private or for members,
    which a site does not give the duration of, and is not any more.
    """
    repaired = (
        (old.availability is not None and new.availability not in (None, old.availability))
        or (old.duration is None and new.duration is not None)
        or (bool(new.media_url) and _path(old.media_url) != _path(new.media_url))
    )
    if repaired or (new.media_url and old.media_url != new.media_url):
        latest = now if repaired else now - 24 * HOUR
        db.execute("DELETE FROM failures WHERE item_id = ? AND failed_at <= ?", (item_id, latest))


def _path(media: str | None) -> str:
    return without_trackers(media) if media else ""


# Before the key of a rate limit for captions, in `sites`: a site may refuse these and still allow downloads.
CAPTIONS_OF = "captions:"


def block_site(db: sqlite3.Connection, site: str, until: float, reason: str, now: float) -> None:
    """Record that `site` refuses requests until `until` (Unix time), at most MAX_WAIT from `now`."""
    db.execute(
        "REPLACE INTO sites (site, blocked_until, reason) VALUES (?, ?, ?)",
        (sqlite_safe(site), min(until, now + MAX_WAIT), sqlite_safe(reason)),
    )


def blocked_sites(db: sqlite3.Connection, now: float) -> dict[str, tuple[float, str]]:
    """Return the sites that are blocked at `now`: until when (Unix time), and why. Not for captions only."""
    return {
        site: wait for site, wait in _blocked(db, now).items() if not site.startswith(CAPTIONS_OF)
    }


def blocked_captions(db: sqlite3.Connection, now: float) -> dict[str, tuple[float, str]]:
    """Return the same for requests for captions, by the keys of their rate limits."""
    return {
        site.removeprefix(CAPTIONS_OF): wait
        for site, wait in _blocked(db, now).items()
        if site.startswith(CAPTIONS_OF)
    }


def _blocked(db: sqlite3.Connection, now: float) -> dict[str, tuple[float, str]]:
    rows = db.execute(
        "SELECT site, blocked_until, reason FROM sites "
        "WHERE blocked_until > ? AND blocked_until <= ? ORDER BY site",
        (now, now + BELIEVED_WAIT),
    )
    return {row["site"]: (row["blocked_until"], row["reason"]) for row in rows}
