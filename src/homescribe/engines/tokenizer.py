"""Whisper's tokenizer, as far as openai-whisper's and faster-whisper's have it in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol


class Tokenizer(Protocol):
    """Turns text into tokens and back, for one language and task. Names are Whisper's."""

    @property
    def sot(self) -> int:
        """Start of transcript."""

    @property
    def sot_prev(self) -> int:
        """Start of the previous text, which comes before `sot`."""

    @property
    def sot_lm(self) -> int:
        """Start of a language model's text."""

    @property
    def sot_sequence(self) -> Sequence[int]:
        """`sot`, then language and task where the model is multilingual."""

    @property
    def eot(self) -> int:
        """End of text. Text tokens are below it, all other special tokens above."""

    @property
    def transcribe(self) -> int: ...

    @property
    def translate(self) -> int: ...

    @property
    def no_speech(self) -> int: ...

    @property
    def no_timestamps(self) -> int: ...

    @property
    def timestamp_begin(self) -> int:
        """Timestamp of 0.00 s, the first of the timestamp tokens."""

    @property
    def non_speech_tokens(self) -> Sequence[int]:
        """Text tokens for sounds, music and speakers, which Whisper must not write."""

    def encode(self, text: str) -> list[int]: ...

    def decode(self, tokens: list[int]) -> str: ...

    def split_to_word_tokens(self, tokens: list[int]) -> tuple[list[str], list[list[int]]]:
        """Words, and the tokens of each."""


def text_tokens(tokens: Iterable[int], tokenizer: Tokenizer) -> list[int]:
    """Those of `tokens` that are text, neither timestamps nor other special tokens."""
    return [token for token in tokens if token < tokenizer.eot]
