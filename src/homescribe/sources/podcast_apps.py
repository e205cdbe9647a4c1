"""Pages of podcast apps, which do not name a show's feed: Apple Podcasts, Overcast, Spotify."""

from __future__ import annotations

import json
import re
import threading
from urllib.parse import parse_qs, urlsplit

from homescribe.core import SECOND, SourceOptions
from homescribe.errors import UserError
from homescribe.sources.feeds import web_address
from homescribe.text import sanitize

# Apple's public directory: https://performance-partners.apple.com/search-api
LOOKUP = "https://itunes.apple.com/lookup?entity=podcast&id={id}&country={country}"
LOOKUP_TIMEOUT = 30 * SECOND
MAX_BYTES = 2**20
_APPLE_SHOW = re.compile(r"/(?:(?P<country>[a-z]{2})/)?podcast/(?:[^/]+/)?id(?P<id>\d{1,15})/?")
_OVERCAST_SHOW = re.compile(r"/itunes(?P<id>\d{1,15})(?:/|$)")


def apple_show(url: str) -> tuple[str, str] | None:
    """Return the id and the country in the address of a show in Apple's directory; None for other addresses.

    The address of a single episode, with `?i=`, is none.
    """
    parts = urlsplit(url)
    host, found = parts.hostname or "", None
    if host in ("podcasts.apple.com", "itunes.apple.com") and "i" not in parse_qs(parts.query):
        found = _APPLE_SHOW.fullmatch(parts.path)
    elif host == "overcast.fm":
        found = _OVERCAST_SHOW.match(parts.path)
    if found is None:
        return None
    return found["id"], found.groupdict().get("country") or "us"


def apple_feed(show: tuple[str, str], options: SourceOptions, stop: threading.Event) -> str:
    """Return the address of the feed that Apple's directory names for a show.

    Raises UserError when it names none; other HomescribeErrors when it does not answer.
    """
    from homescribe.sources.http_errors import status_error
    from homescribe.sources.http_response import Access, open_url

    number, country = show
    url = LOOKUP.format(id=number, country=country)
    with open_url(url, stop, timeout=LOOKUP_TIMEOUT, access=Access.of(options, url)) as response:
        if response.status != 200:
            raise status_error(response.status, response.headers, url)
        body = response.read(MAX_BYTES)
    feed = _feed_in(body)
    if feed is None:
        raise UserError(
            "Apple's directory names no feed for this show.",
            "It may be only for Apple's subscribers. Look for the feed on the show's own web page.",
        )
    return feed


def _feed_in(body: bytes) -> str | None:
    """Return the first feed in an answer of the directory. What has another form counts as missing."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    results = answer.get("results") if isinstance(answer, dict) else None
    for result in results if isinstance(results, list) else ():
        address = result.get("feedUrl") if isinstance(result, dict) else None
        if isinstance(address, str) and (found := web_address(address)):
            return found
    return None


def check_spotify(url: str) -> None:
    """Raise UserError for a show or an episode at Spotify, which has neither feeds nor open recordings."""
    parts = urlsplit(url)
    if parts.hostname == "open.spotify.com" and re.match(
        r"/(?:intl-[a-z]+/|embed/)?(?:show|episode)/", parts.path
    ):
        raise UserError(
            f"{sanitize.public_url(url)}: Spotify names no feed, and protects its recordings.",
            "Most shows are elsewhere too: give the show's own web page or its page at Apple Podcasts.",
        )
