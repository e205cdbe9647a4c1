"""Languages of the multilingual Whisper models, and whether a model supports what is requested."""

from __future__ import annotations

from collections.abc import Collection

from homescribe.core import TranscriptionOptions
from homescribe.errors import UserError

# Codes, in the order of whisper.tokenizer.LANGUAGES.
_CODES = (
    "en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms cs ro da hu ta no th ur hr bg "
    "lt la mi ml cy sk te fa lv bn sr az sl kn et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so "
    "af oc ka be tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha ba jw su yue"
)
LANGUAGES = tuple(_CODES.split())
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
        f"Use one of: {', '.join(sorted(languages))}.",
    )
