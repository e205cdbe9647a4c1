"""Format durations, sizes, times and counts for people: on a terminal, on the web page and in exports."""

from __future__ import annotations

import datetime

from homescribe.core import HOUR, MINUTE


def clock(seconds: float | None) -> str:
    """Format a time in a recording: "1:02:03", or "2:03" below an hour; "?" for None."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def span(seconds: float) -> str:
    """Format a duration in its largest unit: "4,249.7 h", "46.2 h", "12 min", "8 s"."""
    if seconds >= HOUR:
        return f"{seconds / HOUR:,.1f} h"
    if seconds >= MINUTE:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds:.0f} s"


def realtime(speed: float) -> str:
    """Format a speed, seconds of audio per second: "56x realtime", "1.2x realtime", "0.02x realtime"."""
    if speed >= 9.95:
        return f"{speed:.0f}x realtime"
    return f"{speed:.1f}x realtime" if speed >= 0.095 else f"{max(speed, 0.01):.2f}x realtime"


def size(count: float) -> str:
    """Format a number of bytes in decimal units: "512 B", "22.4 MB"."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def moment(unix_time: float) -> str:
    """Format a Unix time as local time: "14:05", with the date if it is not today."""
    then = datetime.datetime.fromtimestamp(unix_time)
    today = then.date() == datetime.date.today()
    return then.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")


def shortened(text: str, characters: int = 100) -> str:
    """Return at most `characters` of a text, such as a title, with an ellipsis where it is cut."""
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"


def count(number: int, noun: str) -> str:
    """Format a number with its noun: "1 item", "1,430 items"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
