"""Languages of the multilingual Whisper models, and whether a model supports what is requested."""

from __future__ import annotations

from collections.abc import Collection

from homescribe.core import TranscriptionOptions
from homescribe.errors import UserError
from homescribe.text import language_names

LANGUAGES = tuple(language_names.LANGUAGES)
UNDETERMINED = "und"  # ISO 639-2: the recording has no speech, so that its language is unknown


def check_language(options: TranscriptionOptions, model: str, languages: Collection[str]) -> None:
    """Raise UserError when `model`, which knows `languages`, does not support `options`."""
    english_only = len(languages) == 1
    hint = "Choose a multilingual model, such as small."
    if options.task == "translate" and english_only:
        raise UserError(f"The model {model} knows only English and cannot translate.", hint)
    if options.language is None or options.language in languages:
        return
    if english_only:
        raise UserError(f"The model {model} knows only English, not {options.language!r}.", hint)
    raise UserError(
        f"Whisper does not know the language {options.language!r}.",
        f"Use its English name or one of: {', '.join(sorted(languages))}.",
    )
