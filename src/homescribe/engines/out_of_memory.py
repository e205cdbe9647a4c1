"""Recognise that memory ran out, in each library's wording, and report it as a UserError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from homescribe.errors import UserError


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, CTranslate2 or Python raised `error` because memory ran out."""
    message = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError)
        and any(words in message for words in ("out of memory", "allocate memory", "bad_alloc"))
    )


@contextmanager
def memory_errors(model: str) -> Iterator[None]:
    """Raise UserError when memory runs out inside the block."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"Out of memory with the model {model}.",
            "Choose a smaller model, or close other programs.",
        ) from error
