"""What a page or a document says about the recording before its text."""

from __future__ import annotations

from homescribe import plugins
from homescribe.core import Item, Transcript
from homescribe.formats.coverage import languages_in_words, skipped_in_words
from homescribe.formats.made_with import engine_in_words
from homescribe.plugins import link
from homescribe.text.display import clock
from homescribe.text.redaction import shown_item
from homescribe.text.sanitize import file_safe_line


def recording_address(item: Item) -> str:
    """Return the address that opens the recording, without secrets: of a local file a file: address."""
    item = shown_item(item)
    return link(item, 0) if plugins.source_of(item).local_path(item) else item.url


def recording_facts(item: Item, transcript: Transcript) -> list[tuple[str, str]]:
    """Return names and values, each on one line, of what is known; the address comes first."""
    item = shown_item(item)
    facts = [
        ("Recording", item.url),
        ("Channel", item.channel or ""),
        ("Date", item.upload_date or ""),
        ("Duration", clock(transcript.duration)),
        ("Language", languages_in_words(transcript) if transcript.segments else ""),
        ("Transcript", engine_in_words(transcript)),
        ("Without text", skipped_in_words(transcript) if transcript.segments else ""),
        *(("Note", warning) for warning in transcript.warnings),
    ]
    return [(name, line) for name, value in facts if (line := file_safe_line(value))]
