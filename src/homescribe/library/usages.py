"""Usage of paid backends: one row for each finished call.

Rows are kept after their item is deleted, because the call was paid for.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from homescribe.core import Usage

RECENT_CALLS = 500  # that the speed is computed from: engines and habits change
FEWEST_CALLS = 3  # with fewer, boots and first batches outweigh the speed


@dataclass(frozen=True, slots=True)
class Rental:
    """Measurements of calls on one GPU type with one engine and model. Seconds are sums over `calls`."""

    calls: int
    gpu_seconds: float
    overhead_seconds: float
    boots: int
    audio_seconds: float
    error: (
        float  # of the seconds paid per second of audio: 0.1 is ten percent, for one standard error
    )

    @property
    def speed(self) -> float:
        """Times realtime while the GPU works."""
        return self.audio_seconds / self.gpu_seconds

    @property
    def boot(self) -> float:
        """Seconds paid per container in which it did not work: boot, model load, gaps, idle at the end."""
        return self.overhead_seconds / max(1, self.boots)


@dataclass(frozen=True, slots=True)
class Measured:
    """Calls of one backend on one kind of machine."""

    machine: str
    calls: int
    speed: float  # times realtime, of one machine while it works


@dataclass(frozen=True, slots=True)
class Spending:
    """What was paid so far, failed calls included."""

    calls: int
    dollars: float
    # Of them: at most, for calls that no container measured.
    unmetered_dollars: float
    unmetered_calls: int
    expected_dollars: float  # by the estimates when the same calls were submitted
    gpu_seconds: float
    overhead_seconds: float
    boots: int
    audio_seconds: float  # of the calls that returned a transcript

    @property
    def dollars_per_audio_hour(self) -> float | None:
        return self.dollars / self.audio_seconds * 3600 if self.audio_seconds else None

    @property
    def speed(self) -> float | None:
        """Times realtime, over all the time that was paid for."""
        paid = self.gpu_seconds + self.overhead_seconds
        return self.audio_seconds / paid if paid else None

    @property
    def plan_error(self) -> float | None:
        """Share by which the price exceeds what was expected at the submissions: 0.1 is ten percent."""
        return self.dollars / self.expected_dollars - 1 if self.expected_dollars else None


def add(db: sqlite3.Connection, usage: Usage) -> None:
    """Store the row of a call. A call that is collected twice was paid once: its row is replaced."""
    call = usage.call
    values = {
        "call_id": call.id,
        "key": call.item.key,
        "backend": call.backend,
        "engine": usage.engine,
        "model": usage.model,
        "gpu": usage.gpu,
        "gpu_seconds": max(0.0, usage.gpu_seconds),
        "overhead_seconds": max(0.0, usage.overhead_seconds),
        "boots": usage.boots,
        "audio_seconds": usage.audio_seconds,
        "dollars": max(0.0, usage.dollars),
        "unmetered_dollars": max(0.0, usage.unmetered_dollars),
        "expected_dollars": usage.expected_dollars,
        "outcome": usage.outcome,
        "submitted_at": call.submitted_at,
        "finished_at": usage.finished_at,
    }
    db.execute(
        f"REPLACE INTO usages ({', '.join(values)}) VALUES (:{', :'.join(values)})",
        values,
    )


def rental(db: sqlite3.Connection, engine: str, model: str, gpu: str) -> Rental | None:
    """Return the measurements of the latest successful calls, None when there are too few."""
    rows = db.execute(
        "SELECT gpu_seconds, overhead_seconds, boots, audio_seconds FROM usages "
        "WHERE engine = ? AND model = ? AND gpu = ? AND outcome = 'done' AND gpu_seconds > 0 "
        "ORDER BY finished_at DESC LIMIT ?",
        (engine, model, gpu, RECENT_CALLS),
    ).fetchall()
    if len(rows) < FEWEST_CALLS:
        return None
    gpu_seconds, overhead_seconds, boots, audio_seconds = map(sum, zip(*rows, strict=True))
    paid = [row["gpu_seconds"] + row["overhead_seconds"] for row in rows]
    error = _ratio_error(paid, [row["audio_seconds"] for row in rows])
    return Rental(len(rows), gpu_seconds, overhead_seconds, boots, audio_seconds, error)


def _ratio_error(parts: Sequence[float], wholes: Sequence[float]) -> float:
    """Return the relative standard error of sum(parts) / sum(wholes), estimated from their scatter.

    W. G. Cochran, Sampling Techniques, 3rd edition, equation 6.9.
    """
    count, ratio = len(parts), sum(parts) / (sum(wholes) or 1.0)
    squares = sum((part - ratio * whole) ** 2 for part, whole in zip(parts, wholes, strict=True))
    return math.sqrt(count / (count - 1) * squares) / (sum(parts) or 1.0)


def spending(db: sqlite3.Connection) -> Spending:
    """Return the sums over all calls that cost something, or were expected to."""
    row = db.execute(
        "SELECT count(*), total(dollars), total(unmetered_dollars), count(nullif(unmetered_dollars, 0)), "
        "total(expected_dollars), total(gpu_seconds), total(overhead_seconds), "
        "coalesce(sum(boots), 0), "
        "total(CASE outcome WHEN 'done' THEN audio_seconds END) FROM usages "
        "WHERE dollars > 0 OR unmetered_dollars > 0 OR expected_dollars > 0"
    ).fetchone()
    return Spending(*row)


def measured(db: sqlite3.Connection, backend: str) -> list[Measured]:
    """Return the calls to `backend` that returned a transcript, the machine with the most first."""
    rows = db.execute(
        "SELECT gpu, count(*), total(audio_seconds) / total(gpu_seconds) FROM usages "
        "WHERE backend = ? AND outcome = 'done' AND gpu_seconds > 0 GROUP BY gpu ORDER BY 2 DESC",
        (backend,),
    )
    return [Measured(*row) for row in rows]


def suspects(db: sqlite3.Connection) -> frozenset[str]:
    """Return the keys of items whose latest paid call ended because its container died."""
    rows = db.execute(
        # In SQLite, columns beside max() come from the row that has the maximum.
        "SELECT key FROM (SELECT key, outcome, max(finished_at) FROM usages GROUP BY key) "
        "WHERE outcome = 'died'"
    )
    return frozenset(row["key"] for row in rows)
