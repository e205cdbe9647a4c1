"""What an error of yt-dlp means: the one place where that is decided.

The child process tells facts (classes, words, numbers); `reaction` makes one of our errors of them.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from typing import Any

from homescribe.core import HOUR, MINUTE
from homescribe.errors import (
    HomescribeError,
    PermanentError,
    RetryableError,
    SourceBlocked,
    UserError,
)
from homescribe.text import sanitize

UPDATE = "Sites change often: update yt-dlp (pip install -U 'yt-dlp[default]')."
COOKIES = "Pass the cookies of an account that may see it (--cookies FILE)."


@dataclass(frozen=True, slots=True)
class Failure:
    """What the child knows about an error."""

    kinds: frozenset[str]  # names of its classes and of those that it came from
    text: str  # folded, curly apostrophes straightened
    status: int | None = None  # HTTP
    errno: int | None = None
    expected: bool = True  # False: yt-dlp takes it for a bug of its own
    countries: tuple[str, ...] = ()


def failure(facts: dict[str, Any]) -> Failure:
    """The child's facts as a value, its words without what yt-dlp adds for its own users."""
    words = plain(facts["text"])
    named = re.search(
        r"HTTP Error (\d{3})\b", words
    )  # after its retries yt-dlp keeps the words only
    return Failure(
        kinds=frozenset(facts["kinds"]),
        text=words,
        status=facts["status"] or (int(named[1]) if named else None),
        errno=facts["errno"],
        expected=facts["expected"],
        countries=tuple(facts["countries"]),
    )


def plain(words: str) -> str:
    """One line without colours, tags, and advice that is meant for yt-dlp's command line."""
    words = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", words[:20_000]).replace("’", "'")
    words = re.sub(r"^\s*ERROR:\s*", "", words)
    words = re.sub(r"^\[[\w:+.-]+\]\s*(?:[\w.~-]+:\s+)?", "", words)
    words = re.sub(r"^Got error:\s*", "", words)
    for tail in (
        r"[;.]?\s*please report this issue on\s.*",
        r"\s*Use --cookies.*",
        r"\s*Giving up after \d+ retries.*",
        r"\s*(?:Also )?[Ss]ee\s+https://github\.com/yt-dlp/.*",
        r"\s*Confirm you are on the latest version.*",
        r"\s*It is recommended to use `-t sleep`.*",
        r"\s*You might want to use a VPN.*",
        r"\s*\(caused by .*",
    ):
        words = re.sub(tail, "", words, flags=re.DOTALL)
    return sanitize.public_message(words)


# In this order: the first expression found in an error's words decides. Taken from yt-dlp's extractors and
# the reasons that YouTube gives.
BOT = r"not a bot|captcha|ip (?:address )?is likely being blocked"
RATE_LIMIT = r"rate.?limited|too many requests"
UPCOMING = (
    r"premieres? in|premiere will begin|live event will begin|event has not (?:yet )?started|"
    r"scheduled for"
)
PRIVATE = r"private video|video is private|this playlist is private"
ACCOUNT = (
    r"join this channel|members.only|members on level|confirm your age|age.restricted|sign in|log ?in\b|"
    r"logged.in|registered users|account credentials|requires? (?:an? )?(?:account|subscription|payment)|"
    r"premium|paid|purchase"
)
TRANSIENT = (
    r"try again|temporar|something went wrong|internal (?:server )?error|service unavailable"
)
CONNECTION = (
    r"timed out|connection (?:refused|reset|aborted|broken|was closed)|failed to (?:establish|resolve)|"
    r"unable to connect|name or service|name resolution|getaddrinfo|unreachable|incomplete ?read|"
    r"bytes read|eof occurred"
)
NO_FORMAT = r"requested format is not available|no video formats"
FFMPEG = r"ffmpeg"
DISK = (
    r"no space left|unable to open for writing|unable to write data|quota exceeded|"
    r"unable to create directory"
)

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
NETWORK = frozenset(
    {"TransportError", "RequestError", "ContentTooShortError", "TimeoutError", "ConnectionError"}
)


def reaction(failed: Failure) -> HomescribeError:
    """What follows from an error of yt-dlp: the one place where that is decided."""

    def says(expression: str) -> bool:
        return re.search(expression, failed.text, re.IGNORECASE) is not None

    if "CookieLoadError" in failed.kinds:  # its words may hold a line of the file
        return UserError(
            "The cookies cannot be read.",
            "Export them again as a Netscape cookie file, or name a browser that yt-dlp knows.",
        )
    if failed.errno in DISK_ERRORS or says(DISK):
        return UserError(
            f"The audio cannot be written to disk: {failed.text}.",
            "Make room, or choose another place with --library, and run again: nothing is lost.",
        )
    if "UnsupportedError" in failed.kinds:
        return PermanentError(
            "yt-dlp finds no recording there.",
            "Give the address of a video, channel, playlist, feed or media file.",
        )
    if says(BOT):
        return SourceBlocked(
            f"The site takes this machine for a bot: {failed.text}.",
            "Wait some hours, or pass cookies (--cookies FILE), and keep yt-dlp up to date.",
        )
    if says(RATE_LIMIT) or failed.status == 429:
        return SourceBlocked(
            "The site asks for fewer requests (rate limit).",
            "It goes on by itself when run again in an hour; a longer --sleep-interval prevents it.",
            HOUR,
        )
    if says(UPCOMING) or "UserNotLive" in failed.kinds:
        return RetryableError(f"Not there yet: {failed.text}.", "", told_wait(failed.text))
    if "GeoRestrictedError" in failed.kinds:
        where = f" (it is in: {', '.join(failed.countries)})" if failed.countries else ""
        return PermanentError(f"Not available in this country{where}: {failed.text}.")
    if says(PRIVATE):
        return PermanentError(f"Private: {failed.text}.", COOKIES)
    if says(ACCOUNT) or failed.status in (401, 402):
        return PermanentError(f"Only for accounts that are let in: {failed.text}.", COOKIES)
    if failed.status in (404, 410):
        return PermanentError(f"It is gone (HTTP {failed.status}).")
    if failed.status == 403:
        return RetryableError("The site refuses to send the audio (HTTP 403).", UPDATE)
    if failed.status is not None and failed.status >= 500:
        return RetryableError(f"The site has trouble (HTTP {failed.status}).")
    if failed.kinds & NETWORK or says(CONNECTION):
        return RetryableError(f"The connection failed: {failed.text}.", "Check the network.")
    if says(FFMPEG):
        return PermanentError(
            f"This recording needs ffmpeg: {failed.text}.",
            "Install ffmpeg.",
        )
    if says(NO_FORMAT) or not failed.expected or "ExtractorError" not in failed.kinds:
        return RetryableError(f"yt-dlp failed: {failed.text}.", UPDATE)
    if says(TRANSIENT):
        return RetryableError(f"The site says: {failed.text}.")
    return PermanentError(f"{failed.text}.")


def told_wait(words: str) -> float:
    """Seconds that "in 3 hours" and the like announce; half an hour where it is less exact."""
    match = re.search(r"in (\d+) (minute|hour|day)", words)
    if not match:
        return 30 * MINUTE
    unit = {"minute": MINUTE, "hour": HOUR, "day": 24 * HOUR}[match[2]]
    return max(5 * MINUTE, int(match[1]) * unit)
