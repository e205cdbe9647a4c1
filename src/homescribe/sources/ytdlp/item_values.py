"""From a reply of the child to an item, and to the error for one that is live."""

from __future__ import annotations

import time
from dataclasses import replace

from homescribe.core import HOUR, MINUTE, Chapter, Item
from homescribe.errors import RetryableError
from homescribe.sources.ytdlp.process import ItemReply, Reply
from homescribe.text import sanitize


def item_from(reply: ItemReply) -> Item:
    """Return the item in a reply of the child."""
    duration = reply["duration"]
    return Item(
        source=reply["source"],
        id=reply["id"],
        url=sanitize.url_safe(str(reply["url"])),
        title=sanitize.one_line(str(reply["title"])) or reply["id"],
        channel=_line(reply["channel"]),
        channel_id=_line(reply["channel_id"]),
        duration=float(duration) if isinstance(duration, int | float) and duration > 0 else None,
        upload_date=sanitize.iso_date(reply["upload_date"]),
        language=sanitize.language_tag(reply["language"]),
        description=sanitize.multi_line(reply["description"]) if reply["description"] else None,
        chapters=tuple(
            Chapter(float(start), float(end), sanitize.one_line(str(title or "")))
            for start, end, title in reply["chapters"]
            if isinstance(start, int | float) and isinstance(end, int | float) and start < end
        ),
        media_url=reply["media_url"],
        availability=_line(reply["availability"]),
    )


def _line(value: str | None) -> str | None:
    return (sanitize.one_line(str(value)) or None) if value else None


def completed(listed: Item, page: Item) -> Item:
    """Return the listed item with what its own page adds. Its key stays the same."""
    return replace(
        listed,
        title=page.title if page.title != page.id else listed.title,
        channel=page.channel or listed.channel,
        channel_id=page.channel_id or listed.channel_id,
        duration=page.duration or listed.duration,
        upload_date=page.upload_date or listed.upload_date,
        language=page.language or listed.language,
        description=page.description or listed.description,
        chapters=page.chapters or listed.chapters,
    )


def until(moment: float) -> float:
    """Return the seconds until the Unix time `moment`, and five minutes more for the recording to appear."""
    return max(5 * MINUTE, moment - time.time() + 5 * MINUTE)


def not_available_yet(reply: Reply) -> RetryableError:
    """Return the error for a recording that is live or has not begun."""
    if reply["live"] == "is_upcoming":
        wait = until(reply["release"]) if reply["release"] else HOUR
        return RetryableError("Not available yet: it has not begun.", "", wait)
    if reply["live"] == "is_live":
        return RetryableError(
            "Not available yet: it is live, and its recording comes later.", "", HOUR
        )
    return RetryableError(
        "Not available yet: it was live, and its recording comes later.", "", HOUR
    )
