"""Transcribes the windows of one recording through a scheduler that other recordings share.

Every window is decoded and checked on its own. A window that fails the check is decoded again at a higher
temperature, in a batch with whatever else is waiting. Speech after the last word of a window's text is
decoded again as a window of its own. So each window ends with text, or as silence.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from threading import Event

from homescribe.core import Segment, TranscriptionOptions
from homescribe.engines import quality
from homescribe.engines.scheduler import AnyTask, Scheduler
from homescribe.engines.segments import split_segments, words_by_segment
from homescribe.engines.tokenizer import Tokenizer, text_tokens
from homescribe.engines.whisper_network import (
    DecodingOptions,
    DecodingResult,
    DecodingTask,
    LanguageTask,
    WhisperNetwork,
)
from homescribe.engines.windows import Window

DETECTION_WINDOWS = 3  # first windows, in which the language is detected
MAX_PROMPT_TOKENS = 223  # of text before a window, half of Whisper's context
MIN_REMAINDER = 1.0  # seconds of speech after the last word that are worth another window
RESET_TEMPERATURE = 0.5  # text decoded above it is no prompt for the next, as in whisper.transcribe


@dataclass(frozen=True, slots=True)
class WindowResult:
    """A window and its text. `segments` count from the window's start; () when nobody spoke."""

    window: Window
    segments: tuple[Segment, ...]
    tokens: tuple[int, ...]
    temperature: float


class RecordingTranscriber:
    """Transcribes one recording. `language` is None until it is given or detected."""

    def __init__(
        self,
        scheduler: Scheduler,
        network: WhisperNetwork,
        options: TranscriptionOptions,
        stop: Event,
    ) -> None:
        self.scheduler, self.network = scheduler, network
        self.options, self.stop = options, stop
        languages = network.languages
        self.language = options.language or (languages[0] if len(languages) == 1 else None)
        self.queue: deque[AnyTask] = deque()
        self.previous_tokens: list[int] = []  # text before the next window, as its prompt
        # Windows submitted at once. Each needs the text before it when that is its prompt.
        self.max_pending = 1 if options.condition_on_previous_text else 2 * scheduler.batch_size

    def results(self, windows: Iterable[Window]) -> Iterator[WindowResult]:
        """Yield the result of every window, in order of time."""
        self.scheduler.enter()
        try:
            stream = iter(windows)
            pending: deque[_PendingWindow] = deque()
            first = list(islice(stream, DETECTION_WINDOWS)) if self.language is None else []
            features = self._detect_language(first) if first else []
            for window, encoded in zip(first, features, strict=True):
                yield from self._finished(pending, self.max_pending - 1)
                pending.append(self._submit(window, encoded))
            for window in stream:
                yield from self._finished(pending, self.max_pending - 1)
                pending.append(self._submit(window))
            yield from self._finished(pending, 0)
        finally:
            self.scheduler.leave(self.queue)

    def _detect_language(self, windows: list[Window]) -> list[object]:
        """Set the language that is most probable over all `windows`. Returns their features."""
        tasks = [
            LanguageTask(window.samples, self.network.detect_language, None, self.stop)
            for window in windows
        ]
        for task in tasks:
            self.scheduler.put(self.queue, task)
        total: dict[str, float] = {}
        for task in tasks:
            for language, probability in self.scheduler.wait(task).items():
                total[language] = total.get(language, 0.0) + probability
        self.language = max(total, key=lambda language: total[language])
        return [task.features for task in tasks]

    def _submit(self, window: Window, features: object = None) -> _PendingWindow:
        """Queue the first attempt at `window`."""
        assert self.language is not None
        tokenizer = self.network.tokenizer(self.language, self.options.task)
        options = DecodingOptions(
            prompt=self._prompt(tokenizer),
            tokenizer=tokenizer,
            language=self.language,
            task=self.options.task,
            temperature=self.options.temperature[0],
            beam_size=self.options.beam_size or 1,
            word_timestamps=self.options.word_timestamps,
        )
        task = self._task(window, options, features)
        self.scheduler.put(self.queue, task)
        return _PendingWindow(window, task)

    def _task(self, window: Window, options: DecodingOptions, features: object) -> DecodingTask:
        return DecodingTask(
            window.samples,
            self.network.decode,
            options,
            self.stop,
            batch_key=options.batch_key,
            features=features,
        )

    def _prompt(self, tokenizer: Tokenizer) -> tuple[int, ...]:
        """Tokens before the text: initial prompt, previous text, and the start of the transcript."""
        initial: list[int] = []
        if self.options.initial_prompt:
            initial = tokenizer.encode(" " + self.options.initial_prompt.strip())
        previous = [*initial, *self.previous_tokens][-MAX_PROMPT_TOKENS:]
        start = tuple(tokenizer.sot_sequence)
        return (tokenizer.sot_prev, *previous, *start) if previous else start

    def _finished(self, pending: deque[_PendingWindow], keep: int) -> Iterator[WindowResult]:
        """Yield results from the head of `pending`: all that are ready, and until only `keep` are left."""
        while pending and (len(pending) > keep or pending[0].task.done.is_set()):
            self.scheduler.wait(pending[0].task)
            for one in pending:  # later windows, too, so that retries meet in one batch
                self._check(one)
            if pending[0].accepted is None:
                continue
            result = self._result(pending.popleft())
            if self.options.condition_on_previous_text:
                self.previous_tokens = (
                    []
                    if result.temperature > RESET_TEMPERATURE
                    else [*self.previous_tokens, *result.tokens]
                )
            remainder = _remainder(result)
            if remainder is not None:
                pending.appendleft(self._submit(remainder))
            yield result

    def _check(self, pending: _PendingWindow) -> None:
        """Accept the latest attempt at a window if it is finished and good, else queue another one."""
        task = pending.task
        if pending.accepted is not None or task.result is None:
            return
        result, tokenizer = task.result, task.options.tokenizer
        text = tokenizer.decode(text_tokens(result.tokens, tokenizer))
        attempt = Attempt(task.options.temperature, result, text)
        pending.attempts.append(attempt)
        if quality.is_silence(result.avg_logprob, result.no_speech_prob):
            pending.accepted = replace(attempt, text="")
        elif not _fails(pending.window, attempt):
            pending.accepted = attempt
        elif len(pending.attempts) < len(self.options.temperature):
            pending.task = self._retry(pending)
        else:
            pending.accepted = best_attempt(pending.attempts)
        if pending.accepted is not None:
            task.features = None  # free the device's memory

    def _retry(self, pending: _PendingWindow) -> DecodingTask:
        """Queue another attempt at the next temperature, before this recording's other windows."""
        before, number = pending.task, len(pending.attempts)
        options = replace(
            before.options,
            temperature=self.options.temperature[number],
            beam_size=1,
            seed=zlib.crc32(before.samples.tobytes(), number),
        )
        task = self._task(pending.window, options, before.features)
        self.scheduler.put(self.queue, task, first=True)
        return task

    def _result(self, pending: _PendingWindow) -> WindowResult:
        """Split the accepted text into segments."""
        assert pending.accepted is not None
        window, attempt = pending.window, pending.accepted
        if not attempt.text.strip():
            return WindowResult(window, (), (), attempt.temperature)
        result, tokenizer = attempt.result, pending.task.options.tokenizer
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
            )
            for (start, end, tokens), segment_words in zip(parts, words, strict=True)
        )
        return WindowResult(window, segments, result.tokens, attempt.temperature)


@dataclass(frozen=True, slots=True)
class Attempt:
    """The output of decoding a window at one temperature. `text` is "" when it is silence."""

    temperature: float
    result: DecodingResult
    text: str


class _PendingWindow:
    """A window, the task that decodes it, and the attempts that have finished."""

    def __init__(self, window: Window, task: DecodingTask) -> None:
        self.window = window
        self.task = task
        self.attempts: list[Attempt] = []
        self.accepted: Attempt | None = None


def best_attempt(attempts: list[Attempt]) -> Attempt:
    """Best of attempts that all failed, preferring text that does not repeat."""
    usable = [one for one in attempts if one.text.strip() and not quality.is_repetitive(one.text)]
    return max(usable or attempts, key=lambda one: one.result.avg_logprob)


def _fails(window: Window, attempt: Attempt) -> bool:
    """Whether to decode `window` again."""
    result = attempt.result
    if (
        not attempt.text.strip()
    ):  # the detector found speech, and the network is not sure of silence
        speech = window.speech_seconds() >= MIN_REMAINDER
        return speech and result.no_speech_prob <= quality.NO_SPEECH_THRESHOLD
    return quality.needs_retry(attempt.text, result.avg_logprob)


def _remainder(result: WindowResult) -> Window | None:
    """The end of the window, if there is speech after the last word of its text."""
    if not result.segments:
        return None
    end = result.segments[-1].end
    if end < MIN_REMAINDER or result.window.speech_seconds(end + 0.2) < MIN_REMAINDER:
        return None
    return result.window.tail(end)
