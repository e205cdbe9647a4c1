"""Links that open a web page at a second, in the form that its site understands."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit


def time_link(url: str, seconds: float) -> str:
    """Return `url` with a point in time: YouTube's and Vimeo's parameters, a media fragment elsewhere.

    Media fragments: https://www.w3.org/TR/media-frags/#naming-time
    """
    start = int(max(0.0, seconds))
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removeprefix("www.").removeprefix("m.")
        host = host.removeprefix("music.")
        if host in ("youtube.com", "youtu.be", "youtube-nocookie.com"):
            query = [pair for pair in parse_qsl(parts.query) if pair[0] not in ("t", "start")]
            timed = urlencode([*query, ("t", f"{start}s")])
            return urlunsplit(parts._replace(query=timed, fragment=""))
        unit = "s" if host in ("vimeo.com", "player.vimeo.com") else ""
        return urlunsplit(parts._replace(fragment=f"t={start}{unit}"))
    except ValueError:  # an invalid URL in a feed must not stop an export or a search
        return url
