"""What the library holds as JSON, for `--json` and the page: a promise, told in docs/reference/json.md."""

from __future__ import annotations

from dataclasses import fields

from homescribe.core import Item
from homescribe.library import Hit, ItemRecord, SourceRecord, Spending, Status

LISTED = tuple(field.name for field in fields(Item) if "json" not in field.metadata)


def item_as_json(record: ItemRecord) -> dict[str, object]:
    """An item as `list --json` gives it."""
    return {
        "key": record.item.key,
        **{name: getattr(record.item, name) for name in LISTED},
        "state": record.state,
        "attempts": record.attempts,
        "error": record.error,
        "hint": record.hint,
        "retry_at": record.retry_at,
        "done_at": record.done_at,
    }


def status_as_json(
    figures: Status, waits: dict[str, tuple[float, str]], spent: Spending
) -> dict[str, object]:
    """The figures as `status --json` gives them."""
    return {
        "items": dict(figures.states),
        "audio_hours": figures.audio_seconds / 3600,
        "audio_hours_done": figures.audio_seconds_done / 3600,
        "library": str(figures.path),
        "bytes": figures.bytes,
        "waiting_for": {
            site: {"until": until, "reason": why} for site, (until, why) in waits.items()
        },
        "spent": {
            "calls": spent.calls,
            "dollars": spent.dollars,
            "dollars_per_audio_hour": spent.dollars_per_audio_hour,
            "times_realtime": spent.speed,
            "plan_error": spent.plan_error,
        },
    }


def hit_as_json(hit: Hit) -> dict[str, object]:
    """A hit as `search --json` gives it."""
    return {
        "key": hit.key,
        "title": hit.title,
        "channel": hit.channel,
        "upload_date": hit.upload_date,
        "start": hit.start,
        "end": hit.end,
        "text": hit.text,
        "highlights": [list(span) for span in hit.highlights],
        "url": hit.url,
    }


def source_as_json(record: SourceRecord) -> dict[str, object]:
    """A source as `sources --json` gives it."""
    return {
        "url": record.url,
        "source": record.source,
        "title": record.title,
        "items": record.items,
        "done": record.done,
        "failed": record.failed,
        "added_at": record.added_at,
        "listed_at": record.listed_at,
    }
