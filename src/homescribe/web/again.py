"""Transcribe an item again from the page: the choice of model and language, and what would differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TypedDict

from homescribe.assemble import check_options, engine_and_model, run_options
from homescribe.config import Config
from homescribe.core import Transcript
from homescribe.errors import UserError
from homescribe.formats.made_with import differences, engine_in_words, options_in_words
from homescribe.library import Library
from homescribe.text.language_names import LANGUAGES
from homescribe.text.redaction import shown_text
from homescribe.text.sanitize import utf8_safe
from homescribe.web import model_choices
from homescribe.web.estimate import Estimate, estimate


class Preview(TypedDict):
    """What transcribing an item again would change."""

    key: str
    engine: str
    model: str
    language: str | None  # None: detected
    made_with: str  # engine, model and options of the stored transcript
    differences: list[str]
    corrections: int  # corrected lines, which are kept where the new text is the same
    plan: Estimate


def settings(
    config: Config, library: Library, key: str, model: str | None, language: str | None
) -> Config:
    """Return `config` with the chosen model and language for the item `key`; UserError if they do not fit.

    A transcript that has word times gets them again, unless the settings say otherwise.

    Args:
        model: None for that of the settings.
        language: None for that of the settings; "" to detect it.
    """
    transcript = _transcript(library, key)
    if model is not None and model not in (known := model_choices.models(config, transcript)):
        raise UserError(f"Unknown model {model!r}.", f"Choose from: {', '.join(known)}.")
    changed = dataclasses.replace(config, model=model or config.model)
    if language is not None:
        changed = dataclasses.replace(changed, language=language or None)
    if config.word_timestamps is None and has_word_times(transcript):
        changed = dataclasses.replace(changed, word_timestamps=True)
    check_options(changed)
    return changed


def settings_of_many(config: Config, library: Library, keys: Iterable[str]) -> Config:
    """Return the settings with which items are transcribed again: those of the next run.

    Where one of the transcripts has word times, all get them, unless the settings say otherwise.
    """
    if config.word_timestamps is None and any(
        has_word_times(_transcript(library, key)) for key in keys
    ):
        return dataclasses.replace(config, word_timestamps=True)
    return config


def has_word_times(transcript: Transcript) -> bool:
    """Whether an engine gave words their times, which costs time; those of captions come by themselves."""
    return not transcript.is_captions and any(segment.words for segment in transcript.segments)


def preview(chosen: Config, library: Library, key: str) -> Preview:
    """Return what transcribing `key` with the settings `chosen` would change."""
    transcript = _transcript(library, key)
    engine, model = engine_and_model(chosen)
    options = run_options(chosen)
    without_captions = dataclasses.replace(chosen, captions="ignore")  # none are requested for it
    made = (engine_in_words(transcript), options_in_words(transcript))
    found = differences(transcript, engine, model, options).values()
    return {
        "key": key,
        "engine": engine,
        "model": model,
        "language": options.language,
        "made_with": utf8_safe(", ".join(part for part in made if part)),
        "differences": [utf8_safe(shown_text(each)) for each in found],
        "corrections": len(library.corrections(key)),
        "plan": estimate(without_captions, [library.item(key).item], [], 0.0, None),
    }


def _transcript(library: Library, key: str) -> Transcript:
    transcript = library.transcript(key)
    if transcript is None:
        raise UserError(f"{key} is not transcribed yet.", "Start a run.")
    return transcript


def language_choices() -> list[tuple[str, str]]:
    """Return code and name of each of Whisper's languages, by name."""
    return sorted(((code, name.capitalize()) for code, name in LANGUAGES.items()), key=_name)


def _name(choice: tuple[str, str]) -> str:
    return choice[1]
