"""Read durations that a person wrote: "6h", "30 min", "1d"."""

from __future__ import annotations

import re

from homescribe.errors import UserError

UNITS = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|sec|m|min|h|d)\s*", re.ASCII | re.IGNORECASE)


def in_seconds(text: str, least: float) -> float:
    """Return a duration in seconds; raise UserError if `text` is none, or below `least` seconds."""
    found = DURATION.fullmatch(text)
    if found is None:
        raise UserError(f"{text!r} is not a duration.", "Write a number and a unit: 30min, 6h, 1d.")
    seconds = float(found[1]) * UNITS[found[2].lower()]
    if not least <= seconds <= 366 * UNITS["d"]:
        raise UserError(f"{text!r} is too short or too long.", f"At least {least:.0f}s.")
    return seconds
