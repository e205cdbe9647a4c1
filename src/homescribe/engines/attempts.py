"""The attempts at decoding a window, and the choice between them."""

from __future__ import annotations

from dataclasses import dataclass

from homescribe.engines import quality
from homescribe.engines.language_choice import LanguageEvidence
from homescribe.engines.segments import split_segments
from homescribe.engines.tokenizer import Tokenizer
from homescribe.engines.whisper_network import DecodingResult, DecodingTask
from homescribe.engines.windows import Window

MIN_REMAINDER = 1.0  # seconds of speech without text that are worth another window or attempt
MAX_LOGPROB_LOSS = 0.1  # that the words before a window may cost without being a mistake


@dataclass(frozen=True, slots=True)
class Attempt:
    """The output of decoding a window at one temperature. `text` is "" when it is silence."""

    temperature: float
    result: DecodingResult
    text: str


class PendingWindow:
    """A window, the task that decodes it, and the attempts that have finished."""

    def __init__(self, window: Window, task: DecodingTask, language: str | None) -> None:
        self.window = window
        self.task = task
        self.language = language  # None until it is chosen
        self.evidence: LanguageEvidence | None = None  # where its language was detected
        self.attempts: list[Attempt] = []
        self.accepted: Attempt | None = None
        self.doubled: Attempt | None = (
            None  # good, but says something twice; another attempt is made
        )
        self.alternative: Attempt | None = None  # accepted before, without the words before it
        self.without_names: Attempt | None = None  # accepted, while one with the names is decoded
        self.names_tried = False
        self.has_names = False  # the accepted text was decoded with the names to expect
        self.settled = False  # nothing about it changes any more
        self.is_remainder = False  # the end of a window, which its text did not reach

    def note_languages(self) -> None:
        """Keep what the first attempt, which is done, found out about the language."""
        found = self.task.result.languages if self.task.result else None
        if found and self.evidence is None:
            self.evidence = LanguageEvidence(found, self.window.speech_seconds())


def fails(window: Window, attempt: Attempt, tokenizer: Tokenizer) -> bool:
    """Whether to decode `window` again."""
    result = attempt.result
    if not attempt.text.strip():
        # The detector found speech, and the network is not sure of silence.
        speech = window.speech_seconds() >= MIN_REMAINDER
        return speech and result.no_speech_prob <= quality.NO_SPEECH_THRESHOLD
    if quality.needs_retry(attempt.text, result.avg_logprob):
        return True
    segments = split_segments(result.tokens, tokenizer, window.duration)
    return any(
        quality.is_too_fast(tokenizer.decode(tokens), end - start)
        for start, end, tokens in segments
    )


def best_attempt(attempts: list[Attempt]) -> Attempt:
    """Best of attempts that all failed, preferring text that does not repeat."""
    usable = [one for one in attempts if one.text.strip() and not quality.is_repetitive(one.text)]
    return max(usable or attempts, key=lambda one: one.result.avg_logprob)


def better_attempt(without: Attempt, with_prompt: Attempt) -> Attempt:
    """Choose between decodings of a window without and with the words before it as prompt."""
    if with_prompt.temperature > without.temperature or not with_prompt.text.strip():
        return without
    if with_prompt.result.avg_logprob < without.result.avg_logprob - MAX_LOGPROB_LOSS:
        return without
    return with_prompt
