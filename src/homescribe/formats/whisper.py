"""txt, tsv and json, byte for byte as openai-whisper writes them (`whisper.utils.get_writer`).

Where Whisper's file could not be read back, ours differs as little as possible; docs/guides/exports.md
lists the differences. What they say about speakers, if the transcript has any, is homescribe's own.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import NotRequired, TypedDict

from homescribe.core import (
    Chapter,
    Item,
    Segment,
    Speaker,
    Transcript,
    TranscriptionOptions,
    Word,
    json_fields,
)
from homescribe.formats.attribution import Names, introduced
from homescribe.text.redaction import shown_item
from homescribe.text.sanitize import file_safe, utf8_safe

# Fields of an item in the JSON. The duration is that of the transcript.
ITEM_FIELDS = tuple(name for name in json_fields("export") if name != "duration")


class WordJSON(TypedDict):
    """A word of Whisper's result object."""

    word: str
    start: float
    end: float
    probability: float | None
    speaker: NotRequired[str]  # label


class SegmentJSON(TypedDict):
    """A segment of Whisper's result object, without `seek` and `tokens`, and with homescribe's own fields."""

    id: int
    start: float
    end: float
    text: str
    temperature: float | None
    avg_logprob: float | None
    compression_ratio: float | None
    no_speech_prob: float | None
    words: NotRequired[list[WordJSON]]
    flags: NotRequired[list[str]]
    language: NotRequired[str]  # where it is not that of the transcript
    speaker: NotRequired[str]  # label


class SpeakerJSON(TypedDict):
    """A speaker. The embedding of the voice stays in the library: it is personal data."""

    label: str
    name: str | None
    seconds: float
    named_by: str | None


def to_txt(item: Item, transcript: Transcript) -> str:
    """Plain text: one line for each segment, with "Ann: " where another speaker spoke before."""
    return "".join(
        f"{label}{file_safe(segment.text.strip())}\n" for segment, label in introduced(transcript)
    )


def to_tsv(item: Item, transcript: Transcript) -> str:
    """Tab-separated values: start and end in whole milliseconds and text, one row for each segment.

    If the transcript has speakers, the last column has their names.
    """
    names = Names(transcript)
    rows = [
        f"{round(1000 * segment.start)}\t{round(1000 * segment.end)}\t{_cell(segment.text)}"
        + (f"\t{names.of(segment)}\n" if names.known else "\n")
        for segment in transcript.segments
    ]
    return "".join(["start\tend\ttext\tspeaker\n" if names.known else "start\tend\ttext\n", *rows])


def to_json(item: Item, transcript: Transcript) -> str:
    """The object of `as_object` on one line, in ASCII."""
    return json.dumps(as_object(item, transcript), allow_nan=False)


def as_object(item: Item, transcript: Transcript) -> dict[str, object]:
    """Return Whisper's result object, with metadata of the recording as `homescribe` after `language`.

    Segments have no `seek` and `tokens`. They have `flags` if the engine set any, and `language` if it is not
    that of the transcript. Segments and words have the label of their `speaker` if it is known, as those of
    whisperX; `homescribe` has the speakers by label, and their turns.
    """
    with_words = any(segment.words for segment in transcript.segments)
    return {
        "text": utf8_safe("".join(segment.text for segment in transcript.segments)),
        "segments": [
            _segment_json(number, segment, transcript.language, with_words)
            for number, segment in enumerate(transcript.segments)
        ],
        "language": transcript.language,
        "homescribe": _recording_json(item, transcript),
    }


def _word_json(word: Word) -> WordJSON:
    result: WordJSON = {
        "word": utf8_safe(word.word),
        "start": word.start,
        "end": word.end,
        "probability": _finite(word.probability),
    }
    if word.speaker:
        result["speaker"] = utf8_safe(word.speaker)
    return result


def _segment_json(number: int, segment: Segment, language: str, with_words: bool) -> SegmentJSON:
    result: SegmentJSON = {
        "id": number,
        "start": segment.start,
        "end": segment.end,
        "text": utf8_safe(segment.text),
        "temperature": _finite(segment.temperature),
        "avg_logprob": _finite(segment.avg_logprob),
        "compression_ratio": _finite(segment.compression_ratio),
        "no_speech_prob": _finite(segment.no_speech_prob),
    }
    if with_words:
        result["words"] = [_word_json(word) for word in segment.words]
    if segment.flags:
        result["flags"] = list(segment.flags)
    if segment.language and segment.language != language:
        result["language"] = segment.language
    if segment.speaker:
        result["speaker"] = utf8_safe(segment.speaker)
    return result


def _recording_json(item: Item, transcript: Transcript) -> dict[str, object]:
    item = shown_item(item)
    values = {name: _json_value(getattr(item, name)) for name in ITEM_FIELDS}
    chapters = values.pop("chapters")
    return {
        "key": utf8_safe(item.key),
        **values,
        "duration": transcript.duration,
        "chapters": chapters,
        "engine": transcript.engine,
        "model": transcript.model,
        "options": None if transcript.options is None else _options_json(transcript.options),
        "speech": bool(transcript.text),
        "languages": {code: round(each, 3) for code, each in transcript.languages.items()},
        "skipped_seconds": round(transcript.skipped_seconds, 3),
        "skipped": [asdict(stretch) for stretch in transcript.skipped],
        "warnings": [utf8_safe(warning) for warning in transcript.warnings],
        "speakers": [_speaker_json(speaker) for speaker in transcript.speakers],
        "turns": [
            {**asdict(turn), "speaker": utf8_safe(turn.speaker)} for turn in transcript.turns
        ],
    }


def _speaker_json(speaker: Speaker) -> SpeakerJSON:
    return {
        "label": utf8_safe(speaker.label),
        "name": speaker.name and utf8_safe(speaker.name),
        "seconds": round(speaker.seconds, 3),
        "named_by": speaker.named_by,
    }


def _options_json(options: TranscriptionOptions) -> dict[str, object]:
    values = asdict(options)
    return {k: utf8_safe(v) if isinstance(v, str) else v for k, v in values.items()}


def _json_value(value: str | tuple[Chapter, ...] | None) -> object:
    if isinstance(value, tuple):
        return [{**asdict(chapter), "title": utf8_safe(chapter.title)} for chapter in value]
    return value and utf8_safe(value)


def _finite(value: float | None) -> float | None:
    """Return None for NaN, which a model in half precision sometimes gives and JSON does not allow."""
    return value if value is not None and math.isfinite(value) else None


def _cell(text: str) -> str:
    return file_safe(text.strip()).replace("\t", " ").replace("\n", " ")
