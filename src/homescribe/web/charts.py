"""Bar charts and line charts as numbers for SVG, in percent or stretched, so that they fit every width."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

WIDTH, HEIGHT = 1000, 100  # of the SVG view box, which is stretched to the width of the page


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    value: float
    percent: float  # of the longest bar


@dataclass(frozen=True, slots=True)
class Curve:
    """A growing total as an SVG polyline, and as the polygon of the area below it."""

    points: str
    area: str
    first: str  # ISO 8601 date
    last: str
    total: float


def bars(values: Sequence[tuple[str, float]]) -> list[Bar]:
    """A bar for each (label, value)."""
    longest = max((value for _, value in values), default=0.0) or 1.0
    return [Bar(label, value, round(100 * value / longest, 1)) for label, value in values]


def cumulative(days: Sequence[tuple[str, float]]) -> Curve | None:
    """The running total of (ISO 8601 date, value), in order of date; None without days."""
    if not days:
        return None
    start = (
        date.fromisoformat(days[0][0]).toordinal() - 1
    )  # the total is 0 on the day before the first
    length = date.fromisoformat(days[-1][0]).toordinal() - start
    total = sum(value for _, value in days) or 1.0
    points = [(0.0, float(HEIGHT))]
    so_far = 0.0
    for day, value in days:
        so_far += value
        x = WIDTH * (date.fromisoformat(day).toordinal() - start) / length
        points.append((x, HEIGHT - HEIGHT * so_far / total))
    polyline = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    area = f"{polyline} {WIDTH},{HEIGHT} 0,{HEIGHT}"
    return Curve(polyline, area, days[0][0], days[-1][0], so_far)
