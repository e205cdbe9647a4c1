"""Read the answer to one request: OpenAI's verbose_json, and what other services make of it.

OpenAI, Groq, faster-whisper servers and homescribe have `words` beside `segments`; whisper.cpp has them in
each segment; models without times have `text` only. An answer is input from outside: whatever is no finite
number or no text is refused, and sizes are bounded.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NoReturn

from homescribe.core import Segment, Word
from homescribe.text.language_names import language_code
from homescribe.text.sanitize import one_line, utf8_safe
from homescribe.text.scripts import CONTROL

MOST_SEGMENTS = 20_000
MOST_WORDS = 200_000
MOST_TEXT = 2_000_000  # characters


class BadAnswer(Exception):
    """The body of a successful response is no transcript."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service heard in a part of a recording. Times count from the start of the part."""

    text: str
    segments: tuple[Segment, ...] = ()  # without words
    words: tuple[Word, ...] = ()
    language: str | None = None  # Whisper's code
    duration: float | None = None  # seconds of audio, as the service measured it
    model: str | None = None  # as the service names it

    @property
    def untimed(self) -> bool:
        """Whether there is text, but no times."""
        return bool(self.text.strip()) and not self.segments


def parse(body: bytes) -> Answer:
    """Return the answer that is the body of a response. Raises BadAnswer."""
    try:
        found = json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadAnswer("The answer is no JSON.") from error
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        raise BadAnswer("The answer has no text.")
    if len(found["text"]) > MOST_TEXT:
        raise BadAnswer("The text of the answer is longer than any speech.")
    rows = _rows(found.get("segments"), MOST_SEGMENTS)
    words = [_word(row) for row in _rows(found.get("words"), MOST_WORDS)]
    if not words:
        inner = (row for segment in rows for row in _rows(segment.get("words"), MOST_WORDS))
        words = [_word(row) for row in inner]
    duration = found.get("duration")
    model = found.get("model")
    segments = _spaced(_segment(row) for row in rows)
    if sum(len(segment.text) for segment in segments) > MOST_TEXT:
        raise BadAnswer("The text of the answer is longer than any speech.")
    return Answer(
        text=_clean(found["text"]),
        segments=segments,
        words=tuple(words),
        language=_language(found.get("language")),
        duration=None if duration is None else _time(_as_number(duration)),
        model=one_line(model, 100) or None if isinstance(model, str) else None,
    )


def _language(value: object) -> str | None:
    """Return the code of a language, None for what is none."""
    code = language_code(one_line(value, 30)) if isinstance(value, str) else ""
    return code if re.fullmatch("[a-z]{2,3}", code) else None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON.")


def _rows(value: object, most: int) -> list[dict[str, object]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
        raise BadAnswer("The segments or words of the answer are no list of objects.")
    if len(value) > most:
        raise BadAnswer("The answer has more segments or words than any speech.")
    return value


def _segment(row: dict[str, object]) -> Segment:
    text = row.get("text")
    if not isinstance(text, str):
        raise BadAnswer("A segment of the answer has no text.")
    start = _time(row.get("start"))
    return Segment(
        start=start,
        end=max(start, _time(row.get("end"))),
        text=_clean(text),
        # 0 stands for "not known" where a service has no figures: no text is that probable.
        avg_logprob=_figure(row.get("avg_logprob")) or None,
        no_speech_prob=_figure(row.get("no_speech_prob")),
        compression_ratio=_figure(row.get("compression_ratio")) or None,
        temperature=_figure(row.get("temperature")),
    )


def _word(row: dict[str, object]) -> Word:
    text = row.get("word", row.get("text"))
    if not isinstance(text, str):
        raise BadAnswer("A word of the answer has no text.")
    start = _time(row.get("start"))
    probability = _figure(row.get("probability"))
    return Word(
        start=start,
        end=max(start, _time(row.get("end"))),
        word=_clean(text),
        probability=1.0 if probability is None else min(1.0, max(0.0, probability)),
    )


def _spaced(segments: Iterable[Segment]) -> tuple[Segment, ...]:
    """Return `segments` with a space before each text, as Whisper writes them."""
    return tuple(
        one if one.text[:1].isspace() or not one.text else replace(one, text=f" {one.text}")
        for one in segments
    )


def _time(value: object) -> float:
    """Return a time in seconds; small negative ones are 0."""
    try:
        seconds = float(value) if isinstance(value, int | float) else math.nan
    except OverflowError:
        seconds = math.nan
    if isinstance(value, bool) or not math.isfinite(seconds) or seconds < -1.0:
        raise BadAnswer("A time in the answer is no number of seconds.")
    return max(0.0, seconds)


def _as_number(value: object) -> object:
    """Return the number in a text: some services write the duration as one."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _figure(value: object) -> float | None:
    """Return a figure of confidence, None where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _clean(text: str) -> str:
    return utf8_safe(CONTROL.sub(" ", text))
