"""txt, tsv and json, byte for byte as openai-whisper writes them (`whisper.utils.get_writer`).

Where Whisper's file could not be read back, ours differs as little as possible; docs/guides/exports.md
lists the differences.
"""

from __future__ import annotations

import json
import math
from typing import Any

from homescribe.core import Item, Segment, Transcript
from homescribe.text.sanitize import file_safe, utf8_safe


def to_txt(item: Item, transcript: Transcript) -> str:
    """One segment a line."""
    return "".join(f"{file_safe(segment.text.strip())}\n" for segment in transcript.segments)


def to_tsv(item: Item, transcript: Transcript) -> str:
    """Tab-separated start, end (integer milliseconds) and text, one segment a row."""
    rows = [
        f"{round(1000 * segment.start)}\t{round(1000 * segment.end)}\t{_cell(segment.text)}\n"
        for segment in transcript.segments
    ]
    return "".join(["start\tend\ttext\n", *rows])


def to_json(item: Item, transcript: Transcript) -> str:
    """Whisper's result object without `seek` and `tokens`, and what we know of the recording.

    Ours are `homescribe` beside `language`, and `flags` in the segments that have any.
    """
    with_words = any(segment.words for segment in transcript.segments)
    result = {
        "text": utf8_safe("".join(segment.text for segment in transcript.segments)),
        "segments": [
            _json_segment(number, segment, with_words)
            for number, segment in enumerate(transcript.segments)
        ],
        "language": transcript.language,
        "homescribe": _json_item(item, transcript),
    }
    return json.dumps(result, allow_nan=False)


def _json_segment(number: int, segment: Segment, with_words: bool) -> dict[str, Any]:
    result: dict[str, Any] = {
        "id": number,
        "start": segment.start,
        "end": segment.end,
        "text": utf8_safe(segment.text),
        "temperature": _number(segment.temperature),
        "avg_logprob": _number(segment.avg_logprob),
        "compression_ratio": _number(segment.compression_ratio),
        "no_speech_prob": _number(segment.no_speech_prob),
    }
    if with_words:
        result["words"] = [
            {
                "word": utf8_safe(word.word),
                "start": word.start,
                "end": word.end,
                "probability": _number(word.probability),
            }
            for word in segment.words
        ]
    if segment.flags:
        result["flags"] = list(segment.flags)
    return result


def _json_item(item: Item, transcript: Transcript) -> dict[str, Any]:
    # Not `media_url`: the address of a private feed's audio carries its listener's token.
    return {
        "key": utf8_safe(item.key),
        "url": utf8_safe(item.url),
        "title": utf8_safe(item.title),
        "channel": item.channel and utf8_safe(item.channel),
        "channel_id": item.channel_id,
        "upload_date": item.upload_date,
        "duration": transcript.duration,
        "chapters": [
            {"start": chapter.start, "end": chapter.end, "title": utf8_safe(chapter.title)}
            for chapter in item.chapters
        ],
        "engine": transcript.engine,
        "model": transcript.model,
    }


def _number(value: float | None) -> float | None:
    """None for what JSON cannot say: a model in half precision gives NaN now and then."""
    return value if value is not None and math.isfinite(value) else None


def _cell(text: str) -> str:
    return file_safe(text.strip()).replace("\t", " ").replace("\n", " ")
