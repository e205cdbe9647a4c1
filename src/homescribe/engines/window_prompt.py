"""The prompt of a window: names and spellings to expect, then words that were said before the window.

Whisper takes the prompt for the text before the window, and spells names as they are spelled there. It has
room for half of its context, and reads the end of a longer prompt: the names leave room for the words before
the window.

A prompt does harm, too: Whisper ends a window early, or writes the prompt out where nobody speaks. So a
window is decoded without the names first. If its text passes the checks, it is decoded again with them, from
the same output of the encoder, and that text is taken if it has lost no words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from homescribe.engines import quality
from homescribe.engines.attempts import Attempt, better_attempt, fails
from homescribe.engines.segments import split_segments
from homescribe.engines.tokenizer import Tokenizer
from homescribe.engines.windows import Window
from homescribe.text.scripts import count_words

MAX_PROMPT_TOKENS = 223  # half of Whisper's context, without the token that starts the prompt
CARRIED_TOKENS = 48  # kept free for the words before a window: a long sentence
MAX_GIVEN_TOKENS = MAX_PROMPT_TOKENS - CARRIED_TOKENS  # of the names and spellings to expect
MIN_SPEECH = 1.0  # seconds; a window with less speech is not decoded with the names
# Words that a text may lose with the names: one, or this share. Fillers go, sentences stay.
MAX_LOST = 0.03

# Words in a row from the prompt that are a copy of it: across the border of two names, or anywhere.
COPIED_WORDS_OF_NAMES = 3
COPIED_WORDS = 6


class WindowPrompt:
    """The names and spellings to expect in a recording, as the start of each window's prompt."""

    def __init__(self, text: str | None) -> None:
        self._text = (text or "").strip()
        parts = [_words(part) for part in re.split(r"[,.;:!?\n]+", self._text)]
        self._said: list[str] = []
        self._borders: set[int] = set()  # indexes in `_said` at which a name begins
        for part in parts:
            self._borders.add(len(self._said))
            self._said += part
        self._tokens: dict[int, list[int]] = {}  # by the tokenizer's id

    def __bool__(self) -> bool:
        return bool(self._text)

    def tokens(
        self, tokenizer: Tokenizer, carried: Sequence[int], *, names: bool
    ) -> tuple[int, ...]:
        """Return the tokens of the prompt of a window.

        Args:
            carried: tokens of the text before the window.
            names: with the names to expect.
        """
        given = self._given(tokenizer) if names else []
        return (*given, *carried[-(MAX_PROMPT_TOKENS - len(given)) :])

    def improves(
        self, window: Window, without: Attempt, attempt: Attempt, tokenizer: Tokenizer
    ) -> bool:
        """Return whether to take an `attempt` with the names, in place of a good one `without` them."""
        return not (
            fails(window, attempt, tokenizer)
            or self.harms(window, without, attempt, tokenizer)
            or (quality.says_twice(attempt.text) and not quality.says_twice(without.text))
            or better_attempt(without, attempt) is without
        )

    def harms(
        self, window: Window, before: Attempt, attempt: Attempt, tokenizer: Tokenizer
    ) -> bool:
        """Return whether an `attempt` with the names copies them, or lacks words that one `before` has."""
        parts = split_segments(attempt.result.tokens, tokenizer, window.duration)
        copied = any(self.is_copied(tokenizer.decode(tokens)) for _, _, tokens in parts)
        return copied or loses_words(before.text, attempt.text)

    def is_copied(self, text: str) -> bool:
        """Return whether `text` is a piece of the names to expect that nobody says like that."""
        words = _words(text)
        if len(words) < COPIED_WORDS_OF_NAMES:
            return False
        for start in range(len(self._said) - len(words) + 1):
            if self._said[start : start + len(words)] == words:
                across = any(start < border < start + len(words) for border in self._borders)
                if across or len(words) >= COPIED_WORDS:
                    return True
        return False

    def _given(self, tokenizer: Tokenizer) -> list[int]:
        """Return the tokens of the names to expect: the last ones where there are too many."""
        if not self._text:
            return []
        found = self._tokens.get(id(tokenizer))
        if found is None:
            found = tokenizer.encode(f" {self._text}")[-MAX_GIVEN_TOKENS:]
            self._tokens[id(tokenizer)] = found
        return found


def loses_words(before: str, text: str) -> bool:
    """Return whether `text` lacks words that `before`, a transcript of the same window, has."""
    expected = count_words([before])
    return expected - count_words([text]) > max(1, MAX_LOST * expected)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
