"""The homescribe error for each error of yt-dlp: decided only here, in `error_for`.

The child process sends facts about an error (classes, text, numbers), which `Failure` holds.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from typing import TypedDict

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
ALLOW = (
    "If that is right: --allow-private-networks, or allow_private_networks = true in config.toml."
)
COOKIES = "Pass the cookies of an account that has access (--cookies FILE)."


class ErrorFacts(TypedDict):
    """Facts about an error, as the child sends them."""

    kinds: list[str]
    text: str
    status: int | None
    errno: int | None
    expected: bool
    countries: list[str]


@dataclass(frozen=True, slots=True)
class Failure:
    """An error of yt-dlp."""

    kinds: frozenset[str]  # names of its classes and of those of its causes
    text: str  # one line, with straight apostrophes
    status: int | None = None  # HTTP
    errno: int | None = None
    expected: bool = True  # False: yt-dlp considers it a bug of its own
    countries: tuple[str, ...] = ()


def failure(facts: ErrorFacts) -> Failure:
    """Return the facts as a value, without the advice that yt-dlp adds for its own users."""
    text = plain(facts["text"])
    # After its last retry yt-dlp keeps only the text of an HTTP error.
    status = re.search(r"HTTP Error (\d{3})\b", text)
    return Failure(
        kinds=frozenset(facts["kinds"]),
        text=text,
        status=facts["status"] or (int(status[1]) if status else None),
        errno=facts["errno"],
        expected=facts["expected"],
        countries=tuple(facts["countries"]),
    )


def plain(text: str) -> str:
    """Return a message on one line, without colours, tags and advice for yt-dlp's command line."""
    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text[:20_000]).replace("’", "'")
    text = re.sub(r"^\s*ERROR:\s*", "", text)
    text = re.sub(r"^\[[\w:+.-]+\]\s*(?:[\w.~-]+:\s+)?", "", text)
    text = re.sub(r"^Got error:\s*", "", text)
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
        text = re.sub(tail, "", text, flags=re.DOTALL)
    return sanitize.public_message(text)


# Expressions in the text of an error, from yt-dlp's extractors and YouTube's own messages. `error_for` tries
# them in its order.
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
PRIVATE_NETWORK = (
    r"(\S+) is on a private network|redirect to internal ip (\S+)"  # the latter of curl
)
PROGRAM = r"cannot be kept out of private networks"
NO_FORMAT = r"requested format is not available|no video formats"
FFMPEG = r"ffmpeg"
EMPTY = r"did not get any data blocks"
DISK = (
    r"no space left|unable to open for writing|unable to write data|quota exceeded|"
    r"unable to create directory"
)

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
NETWORK = frozenset(
    {"TransportError", "RequestError", "ContentTooShortError", "TimeoutError", "ConnectionError"}
)


def error_for(failed: Failure) -> HomescribeError:
    """Return the homescribe error for an error of yt-dlp."""

    def says(expression: str) -> bool:
        return re.search(expression, failed.text, re.IGNORECASE) is not None

    if "CookieLoadError" in failed.kinds:  # its text may contain a line of the file
        return UserError(
            "The cookies cannot be read.",
            "Export them again as a Netscape cookie file, or name a browser that yt-dlp supports.",
        )
    if failed.errno in DISK_ERRORS or says(DISK):
        return UserError(
            f"The audio cannot be written to disk: {failed.text}.",
            "Free some space, or choose another disk with --library, and run again: nothing is lost.",
        )
    if private := re.search(PRIVATE_NETWORK, failed.text, re.IGNORECASE):
        host = private[1] or private[2]
        return RetryableError(
            f"A public address leads to {host}, which is on a private network.", ALLOW
        )
    if says(PROGRAM):
        return RetryableError(f"{failed.text}.", ALLOW)
    if "FeedFound" in failed.kinds:
        return RetryableError(
            "This is a podcast feed, which yt-dlp does not list.",
            "Add its address again. If it was added as a page, remove that first: homescribe remove URL",
        )
    if "TokenNeeded" in failed.kinds:
        return RetryableError(
            "The site gives captions only to programs with a PO token.",
            "A plug-in of yt-dlp can provide it: https://github.com/yt-dlp/yt-dlp/wiki/PO-Token-Guide",
        )
    if "UnsupportedError" in failed.kinds:
        return PermanentError(
            "yt-dlp finds no recording at this address.",
            "Give the address of a video, channel, playlist, feed or media file.",
        )
    if says(BOT):
        return SourceBlocked(
            f"The site refuses this machine as a bot: {failed.text}.",
            "Run again in a few hours, or pass cookies (--cookies FILE); update yt-dlp.",
        )
    if says(RATE_LIMIT) or failed.status == 429:
        return SourceBlocked(
            "The site reports a rate limit.",
            "Run again in an hour; a longer --sleep-interval prevents this.",
            HOUR,
        )
    if says(UPCOMING) or "UserNotLive" in failed.kinds:
        return RetryableError(f"Not available yet: {failed.text}.", "", announced_wait(failed.text))
    if "GeoRestrictedError" in failed.kinds:
        where = f" (only in: {', '.join(failed.countries)})" if failed.countries else ""
        return PermanentError(f"Not available in this country{where}: {failed.text}.")
    if says(PRIVATE):
        return PermanentError(f"Private: {failed.text}.", COOKIES)
    if says(ACCOUNT) or failed.status in (401, 402):
        return PermanentError(f"Only for accounts with access: {failed.text}.", COOKIES)
    if failed.status in (404, 410):
        return PermanentError(f"It is not available (HTTP {failed.status}).")
    if failed.status == 403:
        return RetryableError("The site refuses the download (HTTP 403).", UPDATE)
    if failed.status is not None and failed.status >= 500:
        return RetryableError(f"The site failed (HTTP {failed.status}).")
    if failed.kinds & NETWORK or says(CONNECTION):
        return RetryableError(f"The connection failed: {failed.text}.", "Check the network.")
    if says(FFMPEG):
        return PermanentError(
            f"This recording needs ffmpeg: {failed.text}.",
            "Install ffmpeg.",
        )
    if says(EMPTY):
        return RetryableError("The site sent an empty file.", UPDATE)
    if says(NO_FORMAT) or not failed.expected or "ExtractorError" not in failed.kinds:
        return RetryableError(f"yt-dlp failed: {failed.text}.", UPDATE)
    if says(TRANSIENT):
        return RetryableError(f"The site reports: {failed.text}.")
    return PermanentError(f"{failed.text}.")


def announced_wait(text: str) -> float:
    """Return the seconds in an announcement such as "in 3 hours"; half an hour for a vaguer one."""
    match = re.search(r"in (\d+) (minute|hour|day)", text)
    if not match:
        return 30 * MINUTE
    unit = {"minute": MINUTE, "hour": HOUR, "day": 24 * HOUR}[match[2]]
    return max(5 * MINUTE, int(match[1]) * unit)
