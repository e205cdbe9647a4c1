"""Whether a text fits into Whisper's prompt, counted in its tokens, without loading a model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from homescribe.engines.models import DEMO, find_vocabulary
from homescribe.engines.window_prompt import MAX_GIVEN_TOKENS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# The vocabulary of the bundled model is that of English models. In others a name may have a few tokens more.
OTHER_VOCABULARY = 0.85


def fits_prompt(model: str) -> Callable[[str], bool]:
    """Return a function that says whether a text fits into the prompt that every window of `model` gets.

    Nothing is downloaded: for a model that is not on this disk, the English vocabulary is used, with a margin
    unless the model is English.
    """

    @cache
    def vocabulary() -> tuple[Path, int]:
        file = find_vocabulary(model)
        if file is not None:
            return file, MAX_GIVEN_TOKENS
        english = model.lower().endswith((".en", ".en.pt"))
        limit = MAX_GIVEN_TOKENS if english else int(MAX_GIVEN_TOKENS * OTHER_VOCABULARY)
        return find_vocabulary(DEMO) or Path(), limit

    def fits(text: str) -> bool:
        text = f" {text.strip()}"
        # A token is at least a byte.
        if len(text.encode(errors="replace")) <= MAX_GIVEN_TOKENS * OTHER_VOCABULARY:
            return True
        file, limit = vocabulary()
        return len(_tokenizer(file).encode(text, add_special_tokens=False).ids) <= limit

    return fits


@lru_cache(maxsize=2)
def _tokenizer(file: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(file))
