"""What engines share about a loaded model: which languages it knows, how many cores it may use, and how
running out of memory is told.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from homescribe.core import TranscriptionOptions
from homescribe.errors import UserError

UNKNOWN = "und"  # ISO 639's code for a language nobody could tell: there was no speech


def cores() -> int:
    """CPU cores that this process may use: OMP_NUM_THREADS, as torch has it, or all it is given."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return int(asked)
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def check_language(options: TranscriptionOptions, model: str, known: Collection[str]) -> None:
    """Raise UserError when `model`, which knows the languages `known`, cannot do what is asked."""
    english_only = len(known) == 1
    other = "Choose a model that knows many languages, such as small."
    if options.task == "translate" and english_only:
        raise UserError(f"The model {model} knows only English and cannot translate.", other)
    if options.language is None or options.language in known:
        return
    if english_only:
        raise UserError(f"The model {model} knows only English, not {options.language!r}.", other)
    raise UserError(
        f"Whisper knows no language {options.language!r}.",
        f"Use one of: {', '.join(sorted(known))}.",
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is how torch, CTranslate2 or Python say that memory ran out."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and any(words in said for words in ("out of memory", "allocate memory", "bad_alloc"))
    )


@contextmanager
def memory_errors(model: str) -> Iterator[None]:
    """Out of memory, in whichever words, as a UserError."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"Out of memory with the model {model}.",
            "Choose a smaller model, or close other programs.",
        ) from error
