"""Records of the library as JSON, for `--json` and the page, documented in docs/reference/json.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from homescribe.core import Speaker, json_fields
from homescribe.library import (
    AudioTotal,
    CaptionFigures,
    Hit,
    ItemRecord,
    KeptAudio,
    Measured,
    Replaced,
    Replacement,
    SourceRecord,
    Spending,
    Status,
    VoiceRecord,
)
from homescribe.text.redaction import shown_feed, shown_item, shown_text
from homescribe.text.sanitize import utf8_safe

ITEM_FIELDS = json_fields("list")


def item_as_json(record: ItemRecord) -> dict[str, object]:
    """Return an item as in `list --json`."""
    item = shown_item(record.item)
    return {
        "key": item.key,
        **{name: _json_value(getattr(item, name)) for name in ITEM_FIELDS},
        "copies": [_json_value(shown_item(copy).url) for copy in record.copies],
        "state": record.state,
        "attempts": record.attempts,
        "error": record.error and shown_text(record.error),
        "hint": record.hint and shown_text(record.hint),
        "retry_at": record.retry_at,
        "done_at": record.done_at,
        "captions": record.captions,
        "words": record.words,
        "listed_title": record.listed_title and utf8_safe(record.listed_title),
        "ignored_at": record.ignored_at,
        "speech": record.speech,
        "languages": record.languages,
        "skipped_seconds": record.skipped_seconds,
        "warnings": list(record.warnings),
    }


def _json_value(value: object) -> object:
    return utf8_safe(value) if isinstance(value, str) else value


def status_as_json(
    status: Status,
    blocked: dict[str, tuple[float, str]],
    spent: Spending,
    measured: Sequence[Measured] = (),
    kept: AudioTotal | None = None,
    captions: CaptionFigures | None = None,
    refused: Mapping[str, tuple[float, str]] | None = None,
) -> dict[str, object]:
    """Return the library's statistics as in `status --json`."""
    return {
        "items": dict(status.states),
        "audio_hours": status.audio_seconds / 3600,
        "audio_hours_done": status.audio_seconds_done / 3600,
        "library": str(status.path),
        "bytes": status.bytes,
        "waiting_for": {
            site: {"until": until, "reason": shown_text(reason)}
            for site, (until, reason) in blocked.items()
        },
        "captions": _captions_as_json(captions, refused or {}) if captions else None,
        "spent": {
            "calls": spent.calls,
            "dollars": spent.dollars,
            "unmetered_dollars": spent.unmetered_dollars,
            "dollars_per_audio_hour": spent.dollars_per_audio_hour,
            "times_realtime": spent.speed,
            "plan_error": spent.plan_error,
        },
        "own_machines": {
            each.machine: {"calls": each.calls, "times_realtime": each.speed} for each in measured
        },
        "kept_audio": {"files": kept.files, "bytes": kept.bytes} if kept else None,
    }


def _captions_as_json(
    captions: CaptionFigures, refused: Mapping[str, tuple[float, str]]
) -> dict[str, object]:
    return {
        **asdict(captions),
        "waiting_for": {
            key: {"until": until, "reason": shown_text(reason)}
            for key, (until, reason) in refused.items()
        },
    }


def kept_audio_as_json(kept: KeptAudio) -> dict[str, object]:
    """Return kept audio as in `audio --json`."""
    return {
        "key": kept.key,
        "title": utf8_safe(kept.title),
        "path": str(kept.path),
        "kind": kept.kind,
        "bytes": kept.bytes,
        "duration": kept.duration,
        "kept_at": kept.kept_at,
        "missing": not kept.is_there,
    }


def hit_as_json(hit: Hit) -> dict[str, object]:
    """Return a hit as in `search --json`."""
    return {
        "key": hit.key,
        "title": hit.title,
        "channel": hit.channel,
        "upload_date": hit.upload_date,
        "start": hit.start,
        "end": hit.end,
        "speaker": hit.speaker,
        "text": hit.text,
        "highlights": [list(span) for span in hit.highlights],
        "url": hit.url,
        "captions": hit.captions,
    }


def source_as_json(record: SourceRecord) -> dict[str, object]:
    """Return a source as in `sources --json`."""
    return {
        "url": record.shown_url,
        "source": record.source,
        "title": record.title,
        "items": record.items,
        "done": record.done,
        "failed": record.failed,
        "added_at": record.added_at,
        "listed_at": record.listed_at,
        "since": record.since,
    }


def speaker_as_json(speaker: Speaker, number: int) -> dict[str, object]:
    """Return a speaker as in `speakers list KEY --json`. `number` counts those of the recording from 1."""
    return {
        "label": speaker.label,
        "number": number,
        "name": speaker.name,
        "named_by": speaker.named_by,
        "seconds": speaker.seconds,
    }


def voice_as_json(voice: VoiceRecord) -> dict[str, object]:
    """Return a voice as in `speakers voices --json`."""
    return {
        "name": voice.name,
        "recordings": voice.recordings,
        "maybe": voice.maybe,
        "seconds": voice.seconds,
        "samples": voice.samples,
        "sources": [shown_text(each) for each in voice.sources],
    }


def replacement_as_json(replacement: Replacement) -> dict[str, object]:
    """Return a replacement as in `replaced list --json`."""
    return {
        "id": replacement.id,
        "old": replacement.old,
        "new": replacement.new,
        "match_case": replacement.match_case,
        "source": replacement.source_url and shown_feed(replacement.source_url),
        "channel": replacement.channel,
        "made_at": replacement.made_at,
        "words": replacement.words,
        "lines": replacement.lines,
        "recordings": replacement.recordings,
    }


def replaced_as_json(replaced: Replaced) -> dict[str, object]:
    """Return what a replacement changes as in `replace --json`."""
    return asdict(replaced)
