"""The text of one window, from the attempt that was accepted."""

from __future__ import annotations

from dataclasses import dataclass

from homescribe.core import Segment
from homescribe.engines import quality
from homescribe.engines.attempts import Attempt
from homescribe.engines.segments import split_segments, words_by_segment
from homescribe.engines.tokenizer import Tokenizer
from homescribe.engines.windows import Window

RESET_TEMPERATURE = 0.5  # text decoded above it is no prompt for the next, as in whisper.transcribe


@dataclass(frozen=True, slots=True)
class WindowResult:
    """A window and its text. `segments` count from the window's start; () when nobody spoke."""

    window: Window
    segments: tuple[Segment, ...]
    tokens: tuple[int, ...]
    temperature: float
    language: str

    @property
    def is_good_prompt(self) -> bool:
        """Whether the text may be the prompt of the next window: the model was sure of it."""
        doubts = {"low_probability", "repetition"}
        return (
            bool(self.segments)
            and self.temperature <= RESET_TEMPERATURE
            and not doubts & set(self.segments[-1].flags)
        )


def window_result(
    window: Window, attempt: Attempt, tokenizer: Tokenizer, language: str
) -> WindowResult:
    """Split the text of `attempt` into segments. Those that begin in the padding are dropped."""
    if not attempt.text.strip():
        return WindowResult(window, (), (), attempt.temperature, language)
    result = attempt.result
    ratio = quality.compression_ratio(attempt.text.strip())
    flags = quality.flags(attempt.text, result.avg_logprob, ratio, attempt.temperature)
    parts = split_segments(result.tokens, tokenizer, window.duration)
    words = words_by_segment(result.words, [len(tokens) for _, _, tokens in parts])
    segments = tuple(
        Segment(
            start=start,
            end=end,
            text=tokenizer.decode(tokens),
            avg_logprob=result.avg_logprob,
            no_speech_prob=result.no_speech_prob,
            compression_ratio=ratio,
            temperature=attempt.temperature,
            words=segment_words,
            flags=flags,
            language=language,
        )
        for (start, end, tokens), segment_words in zip(parts, words, strict=True)
        if start < window.duration
    )
    return WindowResult(window, segments, result.tokens, attempt.temperature, language)
