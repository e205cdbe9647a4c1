"""JSON Feed documents (https://www.jsonfeed.org/version/1.1/), as pages of a feed. They are hostile input."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from homescribe.errors import UserError
from homescribe.sources.feeds import Channel, Entry, Link, TranscriptMark

VERSION = b"jsonfeed.org/version/"
CAPTION_TYPES = ("text/vtt", "application/srt", "application/x-subrip", "text/srt")


@dataclass(frozen=True, slots=True)
class JsonPage:
    """One page of a JSON Feed, in the form of those that feedparser returns."""

    feed: Channel
    entries: list[Entry]

    def get(self, key: Literal["version"]) -> str:
        return "json11"


def is_json_feed(start: bytes) -> bool:
    """Whether a document that starts with `start` is a JSON Feed. Slashes may be escaped."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text.startswith(b"{") and VERSION in text.replace(b"\\/", b"/")


def parse(body: bytes) -> JsonPage:
    """Parse a JSON Feed; UserError if it is none. What has the wrong type counts as missing."""
    try:
        document = json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError) as error:
        raise UserError("The feed is damaged and cannot be read.", "Try again later.") from error
    document = _object(document)
    channel: Channel = {
        "title": _text(document.get("title")),
        "language": _text(document.get("language")),
        "links": [{"rel": "next", "href": _text(document.get("next_url"))}],
    }
    entries = [_entry(_object(item)) for item in _list(document.get("items"))]
    return JsonPage(channel, entries)


def _entry(item: Mapping[str, object]) -> Entry:
    attachments = [_object(one) for one in _list(item.get("attachments"))]
    seconds = next((s for one in attachments if (s := _text(one.get("duration_in_seconds")))), "")
    plain = _text(item.get("content_text")) or _text(item.get("summary"))
    return {
        "id": _text(item.get("id")),
        "title": html.escape(_text(item.get("title")), quote=False),
        "link": _text(item.get("url")),
        "summary": _text(item.get("content_html")) or html.escape(plain, quote=False),
        "published": _text(item.get("date_published")) or _text(item.get("date_modified")),
        "itunes_duration": seconds,
        "enclosures": [
            Link(href=_text(one.get("url")), type=_text(one.get("mime_type")))
            for one in attachments
            if _text(one.get("url"))
        ],
        # There is no extension for transcripts, so publishers attach them.
        "podcast_transcripts": [
            TranscriptMark(url=_text(one.get("url")), type=kind)
            for one in attachments
            if (kind := _text(one.get("mime_type")).lower()) in CAPTION_TYPES
        ],
    }


def _text(value: object) -> str:
    """Return a text, or a number as text; "" for anything else."""
    is_text = isinstance(value, str | int | float) and not isinstance(value, bool)
    return str(value) if is_text else ""


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
