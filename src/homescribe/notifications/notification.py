"""What a notification says: JSON for standard input and webhooks, and environment variables for commands."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from homescribe.core import Item, Outcome, json_fields
from homescribe.errors import HomescribeError
from homescribe.text.json_text import json_text
from homescribe.text.redaction import shown_item, shown_text
from homescribe.text.sanitize import file_safe_line, utf8_safe

Kind = Literal["item.done", "item.failed", "run.done"]

MOST_TEXT = 1_000_000  # characters of a transcript that are sent; "text" is null for a longer one
# Characters of an environment variable. Linux allows 128 KiB for one, and often 2 MiB for all.
MOST_VARIABLE = 8_000
MOST_FAILURES = 50  # that are listed for a run


@dataclass(frozen=True, slots=True)
class Notification:
    """That an item or a run is finished. `variables` are for the environment of a command."""

    kind: Kind
    data: Mapping[str, object]
    variables: Mapping[str, str]
    at: float = field(default_factory=time.time)  # Unix time
    # The same in all attempts to deliver it.
    id: str = field(default_factory=lambda: f"msg_{secrets.token_hex(12)}")

    @property
    def body(self) -> bytes:
        """The JSON, in the structure that standardwebhooks.com recommends."""
        at = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="seconds")
        document = {"type": self.kind, "timestamp": at, "data": self.data}
        return json_text(document).encode()


def item_notification(outcome: Outcome, library: Path) -> Notification:
    """Return the notification that an item was transcribed, or failed."""
    item, transcript = shown_item(outcome.item), outcome.transcript
    data: dict[str, object] = {"library": str(library), **_about(item)}
    variables = {
        "HOMESCRIBE_LIBRARY": str(library),  # which homescribe itself uses, too
        "HOMESCRIBE_ITEM_KEY": item.key,
        "HOMESCRIBE_ITEM_TITLE": item.title,
        "HOMESCRIBE_ITEM_CHANNEL": item.channel or "",
        "HOMESCRIBE_ITEM_DATE": item.upload_date or "",
        "HOMESCRIBE_ITEM_URL": item.url,
    }
    if transcript is not None:
        text = utf8_safe(transcript.text)
        data["transcript"] = {
            "language": transcript.language,
            "seconds": transcript.duration,
            "engine": transcript.engine,
            "model": transcript.model,
            "speakers": [utf8_safe(name) for name in transcript.speaker_names.values()],
            "text": text if len(text) <= MOST_TEXT else None,
        }
        variables["HOMESCRIBE_ITEM_LANGUAGE"] = transcript.language
        variables["HOMESCRIBE_ITEM_SECONDS"] = f"{transcript.duration:.1f}"
        return Notification("item.done", data, _clean("item.done", variables))
    if outcome.error is not None:
        data["error"] = _error(outcome.error)
        variables["HOMESCRIBE_ITEM_ERROR"] = shown_text(outcome.error.message)
    return Notification("item.failed", data, _clean("item.failed", variables))


def run_notification(
    outcomes: Sequence[Outcome],
    library: Path,
    seconds: float,
    *,
    stopped: bool,
    error: HomescribeError | None,
) -> Notification:
    """Return the notification that a run has ended.

    Args:
        outcomes: of its items, without transcripts where they are done.
        seconds: how long it took.
        stopped: it was stopped early.
        error: what ended it early.
    """
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    done = len(outcomes) - len(failed)
    data: dict[str, object] = {
        "library": str(library),
        "done": done,
        "failed": len(failed),
        "seconds": round(seconds, 1),
        "stopped": stopped,
        "error": None if error is None else _error(error),
        "failures": [
            {**_about(shown_item(outcome.item)), "error": _error(outcome.error)}
            for outcome in failed[:MOST_FAILURES]
            if outcome.error is not None
        ],
    }
    variables = {
        "HOMESCRIBE_LIBRARY": str(library),
        "HOMESCRIBE_RUN_DONE": str(done),
        "HOMESCRIBE_RUN_FAILED": str(len(failed)),
        "HOMESCRIBE_RUN_SECONDS": f"{seconds:.1f}",
        "HOMESCRIBE_RUN_ERROR": "" if error is None else shown_text(error.message),
    }
    return Notification("run.done", data, _clean("run.done", variables))


def _about(item: Item) -> dict[str, object]:
    """Return the item as in `list --json`, without its state. Its addresses are without secrets."""
    found: dict[str, object] = {"key": item.key}
    for name in json_fields("list"):
        value = getattr(item, name)
        found[name] = utf8_safe(value) if isinstance(value, str) else value
    return found


def _error(error: HomescribeError) -> dict[str, str]:
    return {
        "message": utf8_safe(shown_text(error.message)),
        "hint": utf8_safe(shown_text(error.hint)),
    }


def _clean(kind: Kind, variables: Mapping[str, str]) -> dict[str, str]:
    """Return variables on one line each, without control characters: NUL would end them."""
    cleaned = {
        name: file_safe_line(utf8_safe(value[:MOST_VARIABLE])) for name, value in variables.items()
    }
    return {
        "HOMESCRIBE_EVENT": kind,
        **cleaned,
        "HOMESCRIBE_LIBRARY": variables["HOMESCRIBE_LIBRARY"],
    }
