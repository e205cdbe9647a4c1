"""jsonl: a line of JSON for each paragraph, for search indexes, embeddings and language models."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TypedDict

from homescribe.core import Item, Transcript
from homescribe.formats.attribution import Names
from homescribe.formats.paragraphs import sections
from homescribe.plugins import link
from homescribe.text.redaction import shown_item
from homescribe.text.sanitize import file_safe_line


class ParagraphJSON(TypedDict):
    """A paragraph with what is needed to quote it without the rest of the file."""

    key: str
    title: str
    channel: str | None
    upload_date: str | None
    chapter: str | None
    start: float  # seconds
    end: float
    url: str  # opens the recording at `start`
    speaker: str | None  # name
    language: str  # Whisper's code
    captions: str | None  # "manual" or "automatic" if it is from captions of the publisher
    text: str


def to_jsonl(item: Item, transcript: Transcript) -> str:
    """JSON Lines: an object in ASCII for each paragraph. https://jsonlines.org"""
    return "".join(f"{line}\n" for line in paragraph_lines(item, transcript))


def paragraph_lines(item: Item, transcript: Transcript) -> Iterator[str]:
    """Yield the lines of `to_jsonl`."""
    item = shown_item(item)
    names = Names(transcript)
    for section in sections(transcript, item.chapters):
        for paragraph in section.paragraphs:
            segments = [line.segment for line in paragraph.lines]
            value: ParagraphJSON = {
                "key": item.key,
                "title": file_safe_line(item.title),
                "channel": item.channel and file_safe_line(item.channel),
                "upload_date": item.upload_date,
                "chapter": section.title and file_safe_line(section.title),
                "start": segments[0].start,
                "end": segments[-1].end,
                "url": link(item, segments[0].start),
                "speaker": names.name(paragraph.speaker) or None,
                "language": paragraph.language,
                "captions": transcript.model if transcript.is_captions else None,
                "text": file_safe_line("".join(segment.text for segment in segments)),
            }
            yield json.dumps(value, allow_nan=False)
