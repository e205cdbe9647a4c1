"""What rented calls took: one row for each that has ended, kept when its item goes, for it was paid."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from homescribe.core import Usage

# Calls that a speed is taken from: the latest, since engines and habits change.
RECENT = 500
# Fewer tell of boots and first batches more than of speed.
ENOUGH = 3


@dataclass(frozen=True, slots=True)
class Rental:
    """How calls on one GPU with one engine and model went. Seconds and dollars are sums over `calls`."""

    calls: int
    gpu_seconds: float
    overhead_seconds: float
    boots: int
    audio_seconds: float

    @property
    def speed(self) -> float:
        """Times realtime while at work."""
        return self.audio_seconds / self.gpu_seconds

    @property
    def boot(self) -> float:
        """Seconds of a machine that were paid beside its work: boot, load, gaps and the wait for its end."""
        return self.overhead_seconds / max(1, self.boots)


@dataclass(frozen=True, slots=True)
class Spending:
    """What was paid for so far, failures included."""

    calls: int
    dollars: float
    expected_dollars: float  # by the plan, for the same calls
    gpu_seconds: float
    overhead_seconds: float
    audio_seconds: float  # of the calls that gave a transcript

    @property
    def dollars_per_audio_hour(self) -> float | None:
        return self.dollars / self.audio_seconds * 3600 if self.audio_seconds else None

    @property
    def speed(self) -> float | None:
        """Times realtime, of all the time that was paid for."""
        paid = self.gpu_seconds + self.overhead_seconds
        return self.audio_seconds / paid if paid else None

    @property
    def plan_error(self) -> float | None:
        """How much dearer than planned it was: 0.1 is ten percent."""
        return self.dollars / self.expected_dollars - 1 if self.expected_dollars else None


def add(db: sqlite3.Connection, usage: Usage) -> None:
    """Store or correct the row of a call: collected twice, it was still paid once."""
    call = usage.call
    db.execute(
        "REPLACE INTO usages (call_id, key, backend, engine, model, gpu, gpu_seconds, overhead_seconds, "
        "boots, audio_seconds, dollars, expected_dollars, outcome, submitted_at, finished_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(call.id, call.item.key, call.backend, usage.engine, usage.model, usage.gpu),
            *(usage.gpu_seconds, usage.overhead_seconds, usage.boots, usage.audio_seconds),
            *(
                usage.dollars,
                usage.expected_dollars,
                usage.outcome,
                call.submitted_at,
                usage.finished_at,
            ),
        ),
    )


def rental(db: sqlite3.Connection, engine: str, model: str, gpu: str) -> Rental | None:
    """The latest successful calls of one kind, None when they are too few to judge by."""
    row = db.execute(
        "SELECT count(*), sum(gpu_seconds), sum(overhead_seconds), sum(boots), sum(audio_seconds) FROM ("
        "SELECT * FROM usages WHERE engine = ? AND model = ? AND gpu = ? AND outcome = 'done' "
        "AND gpu_seconds > 0 ORDER BY finished_at DESC LIMIT ?)",
        (engine, model, gpu, RECENT),
    ).fetchone()
    return Rental(*row) if row[0] >= ENOUGH else None


def spending(db: sqlite3.Connection) -> Spending:
    """Everything that was ever paid for."""
    row = db.execute(
        "SELECT count(*), total(dollars), total(expected_dollars), total(gpu_seconds), "
        "total(overhead_seconds), total(CASE outcome WHEN 'done' THEN audio_seconds END) FROM usages"
    ).fetchone()
    return Spending(*row)


def suspects(db: sqlite3.Connection) -> frozenset[str]:
    """Keys of items whose last rented call ended with its container."""
    rows = db.execute(
        # SQLite: beside max(), the other columns are those of the row that has it.
        "SELECT key FROM (SELECT key, outcome, max(finished_at) FROM usages GROUP BY key) "
        "WHERE outcome = 'died'"
    )
    return frozenset(row["key"] for row in rows)
