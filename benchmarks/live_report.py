"""The report of a run at Modal, to publish: numbers, versions and reasons of failures.

It has no title, no address, no key of an item and no name of an account.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from homescribe.core import HOUR
from homescribe.text.display import span


@dataclass(frozen=True, slots=True)
class Money:
    """Dollars of one run."""

    planned: float  # by `homescribe plan`, for the items of this run, before it started
    expected: float  # for the calls that ended, when each was submitted
    metered: float  # by the seconds that containers measured; unmetered dollars included
    unmetered: float  # of them: at most, for calls whose container stopped
    cap: float | None  # for this run and those before it
    billed: float | None = None  # by Modal, for the hours of the run; None: not known yet
    billed_hours_end: str = ""  # when Modal's bill for them is complete, ISO 8601
    earlier: float = 0.0  # metered in the runs with the same library before this one


@dataclass(frozen=True, slots=True)
class LiveReport:
    """What happened in one run."""

    versions: Mapping[str, str]
    settings: Mapping[str, str]
    started: str  # ISO 8601, UTC
    ended_by: str  # "" if the run came to its end
    items: int
    done: int
    failures: Mapping[str, int]  # by reason
    audio_seconds: float  # of what is done
    wall_seconds: float  # of listing and the run
    listing_seconds: float
    wall_parts: Mapping[str, float]  # of the run, seconds
    gpu_seconds: float  # in which a container had a recording
    overhead_seconds: float  # boots, model loads, waits and idle ends
    boots: int
    uploaded_bytes: int
    uploading_seconds: float
    money: Money

    @property
    def times_realtime(self) -> float | None:
        """Audio transcribed in the time of the whole run."""
        return self.audio_seconds / self.wall_seconds if self.wall_seconds else None

    @property
    def gpu_times_realtime(self) -> float | None:
        """Audio transcribed in the time that was paid for."""
        paid = self.gpu_seconds + self.overhead_seconds
        return self.audio_seconds / paid if paid else None

    @property
    def busy(self) -> float | None:
        """Share of the paid time in which a container had a recording to work on."""
        paid = self.gpu_seconds + self.overhead_seconds
        return self.gpu_seconds / paid if paid else None

    def write(self, path: Path) -> None:
        """Write the report as JSON."""
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> LiveReport:
        """Read what `write` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**values, "money": Money(**values["money"])})

    def markdown(self) -> str:
        """Return the report as a page to publish."""
        return "\n".join([*self._head(), *self._results(), *self._costs(), *self._times()]) + "\n"

    def _head(self) -> list[str]:
        return [
            "# A run at Modal",
            "",
            f"Started {self.started} (UTC).",
            *([f"Ended early: {self.ended_by}"] if self.ended_by else []),
            "",
            *_table("version", self.versions),
            *_table("setting", self.settings),
        ]

    def _results(self) -> list[str]:
        failed = sum(self.failures.values())
        pending = self.items - self.done - failed
        rows = {
            "items": f"{self.items:,}",
            "transcribed": f"{self.done:,}",
            "failed": f"{failed:,}",
            **({"not processed": f"{pending:,}"} if pending > 0 else {}),
            "audio": f"{self.audio_seconds / HOUR:.2f} hours",
            "wall time": span(self.wall_seconds),
            "times realtime, of the whole run": _number(self.times_realtime, "x"),
            "times realtime, of the paid time": _number(self.gpu_times_realtime, "x"),
            "share of the paid time with a recording to work on": _percent(self.busy),
            "containers started": f"{self.boots}",
            "uploaded": f"{self.uploaded_bytes / 1e6:,.1f} MB in {span(self.uploading_seconds)}",
        }
        lines = ["## Results", "", *_table("", rows)]
        if self.failures:
            reasons = {reason: f"{number:,}" for reason, number in self.failures.items()}
            lines += ["## Failures", "", *_table("reason", reasons)]
        return lines

    def _costs(self) -> list[str]:
        money = self.money
        hours = self.audio_seconds / HOUR
        billed = f"not known before {money.billed_hours_end}"
        if money.billed is not None:
            billed = f"${money.billed:.4f}"
        rows = {
            "cap": "none" if money.cap is None else f"${money.cap:.2f}",
            **({"metered in earlier runs": f"${money.earlier:.4f}"} if money.earlier else {}),
            "planned before the run": f"${money.planned:.4f}",
            "expected when calls were submitted": f"${money.expected:.4f}",
            "metered in containers": f"${money.metered:.4f}",
            "of it unmetered, at most": f"${money.unmetered:.4f}",
            "billed by Modal for these hours": billed,
            "metered against planned": _difference(money.metered, money.planned),
            "billed against metered": _difference(money.billed, money.metered),
            "metered, per hour of audio": f"${money.metered / hours:.4f}" if hours else "",
        }
        return ["## Money", "", *_table("", rows)]

    def _times(self) -> list[str]:
        rows = {"listing": span(self.listing_seconds)}
        rows |= {part: span(seconds) for part, seconds in self.wall_parts.items() if seconds > 0}
        return ["## Where the wall time went", "", *_table("", rows)]


def _table(title: str, rows: Mapping[str, str]) -> list[str]:
    cells = [f"| {name.replace('|', '/')} | {value} |" for name, value in rows.items()]
    return [f"| {title} | |", "|---|---|", *cells, ""]


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.1f}{unit}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _difference(value: float | None, base: float) -> str:
    return f"{value / base - 1:+.1%}" if value is not None and base else ""
