"""Transcripts that a feed offers for its episodes: which of them is taken, and its download."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from homescribe.captions import caption_files
from homescribe.core import MINUTE, Item, SourceOptions, Transcript, TranscriptLink
from homescribe.errors import PermanentError

TIMEOUT = 2 * MINUTE
MOST_TRIED = 3  # files of one episode
# The best first: JSON names the speakers, vtt may name them, HTML has the times of paragraphs only.
TYPES = (
    ("application/json", "application/x-json"),
    ("text/vtt", "text/webvtt", "application/vtt"),
    ("application/srt", "application/x-subrip", "application/x-srt", "text/srt"),
    ("application/ttml+xml",),
    ("text/html", "application/xhtml+xml"),
)


def ranked(links: Sequence[TranscriptLink], language: str | None) -> list[TranscriptLink]:
    """Return the files to try, the best first, without translations of what is said in `language`."""

    def rank(link: TranscriptLink) -> tuple[int, bool]:
        kind = next((n for n, names in enumerate(TYPES) if link.type in names), len(TYPES))
        return kind, link.rel != "captions"

    spoken = primary(language)
    kept = [link for link in links if not spoken or primary(link.language) in ("", spoken)]
    return sorted(kept, key=rank)


def primary(tag: str | None) -> str:
    """Return the language of a BCP 47 tag without region and script, "" for None."""
    return (tag or "").lower().partition("-")[0]


def transcript(item: Item, options: SourceOptions, stop: threading.Event) -> Transcript | None:
    """Return the publisher's transcript of an episode; None if there is none, or no longer.

    Raises:
        PermanentError: no file that the feed names can be used.
        HomescribeError: as `http_errors` decides for the status or the exception.
    """
    from homescribe.sources.http_errors import NotFoundError

    problem: PermanentError | None = None
    for link in ranked(item.transcript_links, item.language)[:MOST_TRIED]:
        try:
            return _read(link, item, options, stop)
        except NotFoundError:
            continue
        except PermanentError as error:
            problem = error
    if problem is not None:
        raise problem
    return None


def _read(
    link: TranscriptLink, item: Item, options: SourceOptions, stop: threading.Event
) -> Transcript:
    from homescribe.sources.http_errors import status_error
    from homescribe.sources.http_response import Access, open_url
    from homescribe.text.charsets import charset_of

    # What a public feed names is not in a private network: see `Access.of`.
    access = Access.of(options, item.channel_id or "")
    with open_url(link.url, stop, timeout=TIMEOUT, access=access) as response:
        if response.status != 200:
            raise status_error(response.status, response.headers, link.url)
        body = response.read(caption_files.MAX_BYTES)
        charset = charset_of(response.headers.get("Content-Type", ""))
    return caption_files.read(
        body,
        "manual",
        language=link.language or item.language,
        duration=item.duration,
        charset=charset,
    )
