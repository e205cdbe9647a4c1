"""The rate limits of an endpoint, which all requests of a run share."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from threading import Event, Lock

from homescribe.core import HOUR, MINUTE
from homescribe.errors import Cancelled, UserError

TICK = 0.1  # seconds between two looks at `stop`
LONGEST_WAIT = 15 * MINUTE  # that a run waits; for a longer one it ends
UNITS = {"ms": 0.001, "s": 1.0, "m": MINUTE, "h": HOUR, "d": 24 * HOUR}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


class RateLimits:
    """When the next request may be sent. Any thread may use it."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._lock = Lock()
        self._until = 0.0  # of the monotonic clock

    def wait(self, stop: Event) -> None:
        """Wait until a request may be sent. Raises Cancelled when `stop` is set.

        Raises UserError when that is too long to wait.
        """
        while True:
            with self._lock:
                left = self._until - time.monotonic()
            if stop.is_set():
                raise Cancelled
            if left <= 0:
                return
            if left > LONGEST_WAIT:
                raise UserError(
                    f"{self._host} takes no more requests for {left / MINUTE:.0f} minutes: its rate limit "
                    "is reached.",
                    "What was answered is stored. Run again then.",
                )
            stop.wait(min(left, TICK))

    def hold(self, seconds: float) -> None:
        """Let no request be sent for `seconds`."""
        with self._lock:
            self._until = max(self._until, time.monotonic() + seconds)

    def observe(self, headers: Mapping[str, str]) -> None:
        """Hold requests where the headers of an answer say that none is left."""
        if (headers.get("x-ratelimit-remaining-requests") or "").strip() != "0":
            return
        seconds = duration(headers.get("x-ratelimit-reset-requests") or "")
        if seconds is not None:
            self.hold(seconds)


def requested_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a refusal asks to wait; None when it does not say."""
    value = (headers.get("Retry-After") or "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return float(value)
    with suppress(ValueError, TypeError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    for name in ("x-ratelimit-reset-requests", "x-ratelimit-reset-tokens"):
        remaining = headers.get(name.replace("reset", "remaining"))
        if remaining is not None and remaining.strip() == "0":
            return duration(headers.get(name) or "")
    return None


def duration(text: str) -> float | None:
    """Return the seconds of "6m0s", "2m59.56s" or "450ms"; None for anything else."""
    text = text.strip()
    found = DURATION.findall(text)
    if not found or "".join(f"{number}{unit}" for number, unit in found) != text:
        return None
    return sum(float(number) * UNITS[unit] for number, unit in found)
