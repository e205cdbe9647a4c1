"""Times in caption files: "00:01:02.500", "1:02,5", "62.5"."""

from __future__ import annotations

import re

from homescribe.core import HOUR, MINUTE

# Hours are optional, and so are fractions. Some files have a comma or a colon before the milliseconds.
TIME = r"(?:(\d{1,4}):)?(\d{1,4}):(\d{1,2})(?:[.,:](\d{1,9}))?"
_CLOCK = re.compile(TIME, re.ASCII)
_SECONDS = re.compile(r"\d{1,9}(?:[.,]\d{1,9})?", re.ASCII)
# The line of srt and vtt with the start and the end of a cue. Settings may follow.
CUE_TIMES = re.compile(rf"\s*{TIME}\s*-{{1,2}}>\s*{TIME}(?:\s.*)?$", re.ASCII)


def clock(text: str) -> float | None:
    """Return the seconds in a time of a clock; None for anything else."""
    match = _CLOCK.fullmatch(text.strip())
    return _seconds(*match.groups()) if match else None


def seconds(value: object) -> float | None:
    """Return the seconds that a JSON value means: a number, "62.5" or "1:02.5"; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        text = value.strip()
        if _SECONDS.fullmatch(text):
            return float(text.replace(",", "."))
        return clock(text)
    try:
        return float(value)
    except OverflowError:  # an integer with hundreds of digits
        return None


def cue_times(line: str) -> tuple[float, float] | None:
    """Return start and end of a cue; None if `line` has none."""
    if "->" not in line:
        return None
    match = CUE_TIMES.match(line[:500])
    if not match:
        return None
    parts = match.groups()
    return _seconds(*parts[:4]), _seconds(*parts[4:])


def _seconds(hours: str | None, minutes: str, whole: str, fraction: str | None) -> float:
    return int(hours or 0) * HOUR + int(minutes) * MINUTE + float(f"{whole}.{fraction or 0}")
