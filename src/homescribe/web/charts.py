"""Charts as shapes in percent, so that they fit every width and their words stay text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

WIDTH, HEIGHT = 1000, 100  # of the drawing, which is stretched to its place


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    value: float
    percent: float  # of the longest


@dataclass(frozen=True, slots=True)
class Curve:
    """A sum that grows, as points of an SVG polyline, and the corners that make an area of it."""

    points: str
    area: str
    first: str
    last: str
    total: float


def bars(values: Sequence[tuple[str, float]]) -> list[Bar]:
    """A bar for each value, the longest filling its place."""
    longest = max((value for _, value in values), default=0.0) or 1.0
    return [Bar(label, value, round(100 * value / longest, 1)) for label, value in values]


def rising(days: Sequence[tuple[str, float]]) -> Curve | None:
    """The sum of `days` so far, from each day to the next; None without any."""
    if not days:
        return None
    first = date.fromisoformat(days[0][0]).toordinal() - 1  # before which there was nothing
    reach = date.fromisoformat(days[-1][0]).toordinal() - first
    total = sum(value for _, value in days) or 1.0
    places = [(0.0, float(HEIGHT))]
    so_far = 0.0
    for day, value in days:
        so_far += value
        across = WIDTH * (date.fromisoformat(day).toordinal() - first) / reach
        places.append((across, HEIGHT - HEIGHT * so_far / total))
    points = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
    area = f"{points} {WIDTH},{HEIGHT} 0,{HEIGHT}"
    return Curve(points, area, days[0][0], days[-1][0], so_far)
