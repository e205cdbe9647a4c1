"""Transcribes the windows of one recording through a scheduler that other recordings share.

Every window is decoded and checked on its own. A window that fails the check is decoded again at a higher
temperature, in a batch with whatever else is waiting. Speech after the last word of a window's text is
decoded again as a window of its own. So each window ends with text, or as silence.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from threading import Event

from homescribe.core import TranscriptionOptions
from homescribe.engines import quality
from homescribe.engines.attempts import (
    MIN_REMAINDER,
    Attempt,
    PendingWindow,
    best_attempt,
    better_attempt,
    fails,
)
from homescribe.engines.language_choice import (
    LanguageEvidence,
    most_spoken,
    next_language,
    part_languages,
    parts_of,
)
from homescribe.engines.scheduler import MIN_CAPACITY, AnyTask, Scheduler
from homescribe.engines.sentences import MAX_JOIN_PAUSE, is_continued
from homescribe.engines.tokenizer import text_tokens
from homescribe.engines.whisper_network import (
    MEL_FRAMES,
    DecodingOptions,
    DecodingTask,
    LanguageTask,
    WhisperNetwork,
)
from homescribe.engines.window_prompt import MIN_SPEECH, WindowPrompt
from homescribe.engines.window_result import RESET_TEMPERATURE, WindowResult, window_result
from homescribe.engines.windows import MAX_WINDOW, Window

CAREFUL_BEAM_SIZE = 5  # beams of the second attempt at a window, as openai-whisper's command line


class RecordingTranscriber:
    """Transcribes one recording. `languages` is what was chosen for each window so far."""

    def __init__(
        self,
        scheduler: Scheduler,
        network: WhisperNetwork,
        options: TranscriptionOptions,
        stop: Event,
    ) -> None:
        self.scheduler, self.network = scheduler, network
        self.options, self.stop = options, stop
        self.prompt = WindowPrompt(options.initial_prompt)
        languages = network.languages
        # None: the language of each window is detected.
        self.language = options.language or (languages[0] if len(languages) == 1 else None)
        self.last_language: str | None = None  # of the last window whose language was chosen
        self.queue: deque[AnyTask] = deque()
        self.last_result: WindowResult | None = None  # of the last window that was taken
        self.previous_tokens: list[int] = []  # text before the next window, as its prompt

    @property
    def max_pending(self) -> int:
        """Windows submitted at once. Each needs the text before it when that is its prompt."""
        return 1 if self.options.condition_on_previous_text else self.scheduler.capacity

    def results(self, windows: Iterable[Window]) -> Iterator[WindowResult]:
        """Yield the result of every window, in order of time."""
        self.scheduler.enter()
        try:
            pending: list[PendingWindow] = []
            for window in windows:
                while len(pending) >= self.max_pending:
                    yield self._finish_first(pending)
                yield from self._finished(pending)
                pending.append(self._submit(window, self.language))
            while pending:
                yield self._finish_first(pending)
        finally:
            self.scheduler.leave(self.queue)

    # --- Order -----------------------------------------------------------------------------------

    def _finished(self, pending: list[PendingWindow]) -> Iterator[WindowResult]:
        """Yield results that are ready, from the head of `pending`, without waiting."""
        # One window is kept: the next one may show that the language changes inside it.
        while len(pending) > 1 and all(one.task.done.is_set() for one in pending[:2]):
            self._advance(pending, complete=False)
            if not pending[0].settled or pending[1].language is None:
                return
            yield self._take_first(pending)

    def _finish_first(self, pending: list[PendingWindow]) -> WindowResult:
        """Wait for the first window of `pending`, remove it and return its result."""
        while True:
            for one in pending[:2]:
                self.scheduler.wait(one.task)
            self._advance(pending, complete=True)
            if pending[0].settled and all(one.language for one in pending[:2]):
                return self._take_first(pending)

    def _advance(self, pending: list[PendingWindow], *, complete: bool) -> None:
        """Choose languages and check attempts, as far as tasks are done.

        `complete`: no window will be added before the first one is taken.
        """
        self._choose_languages(pending, complete=complete)
        for one in pending:  # later windows, too, so that retries meet in one batch
            if one.language:
                self._check(one)
        self._continue_sentences(pending)

    def _continue_sentences(self, pending: list[PendingWindow]) -> None:
        """Decode windows again that begin inside a sentence, with the words before them as prompt.

        In order: the words before a window are final only when it is settled itself.
        """
        before = self.last_result
        for one in pending:
            if one.accepted is None:
                return
            if not one.settled:
                if before and not one.alternative and self._continues(before, one):
                    one.alternative, one.accepted = one.accepted, None
                    one.task = self._submit(
                        *(one.window, one.language, one.task.features),
                        previous=before.tokens,
                        names=one.has_names,
                    ).task
                    one.attempts = []
                    return
                if one.alternative:
                    joined = better_attempt(one.alternative, one.accepted)
                    harmed = one.has_names and self.prompt.harms(
                        one.window, one.alternative, joined, one.task.options.tokenizer
                    )
                    one.accepted = one.alternative if harmed else joined
                one.settled = True
                one.task.features = None  # free the device's memory
            before = self._result(one)
            if _remainder(before) is not None:
                return

    def _continues(self, before: WindowResult, one: PendingWindow) -> bool:
        """Whether `one` goes on with a sentence of the window before it."""
        return (
            not self.options.condition_on_previous_text
            and one.window.start - before.window.end < MAX_JOIN_PAUSE
            and before.language == one.language
            and before.is_good_prompt
            and one.accepted is not None
            and bool(one.accepted.text.strip())
            and is_continued("".join(s.text for s in before.segments), one.accepted.text)
        )

    def _take_first(self, pending: list[PendingWindow]) -> WindowResult:
        result = self._result(pending.pop(0))
        if self.options.condition_on_previous_text:
            self.previous_tokens = (
                []
                if result.temperature > RESET_TEMPERATURE
                else [*self.previous_tokens, *result.tokens]
            )
        self.last_result = result
        remainder = _remainder(result)
        if remainder is not None:
            before = result.tokens if result.is_good_prompt else ()
            tail = self._submit(remainder, result.language, previous=before)
            tail.is_remainder = True
            pending.insert(0, tail)
        return result

    # --- Languages -------------------------------------------------------------------------------

    def _choose_languages(self, pending: list[PendingWindow], *, complete: bool) -> None:
        """Choose the language of every window whose first attempt, and all before it, are done."""
        number = 0
        while number < len(pending):
            one = pending[number]
            if one.language is None:
                if not one.task.done.is_set():
                    return
                one.note_languages()
                language = next_language(self.last_language, one.evidence) if one.evidence else None
                if language is None:
                    if not complete:  # later windows may be sure
                        return
                    language = self._first_language(pending)
                self._set_language(one, language or "en")
                self._split_where_languages_meet(pending, number)
            self.last_language = pending[number].language
            number += 1

    def _first_language(self, pending: list[PendingWindow]) -> str | None:
        """Return the language for windows before the first sure one: that one's, or the likeliest.

        It looks at as many windows as there always are, so that other recordings make no difference.
        """
        ahead = pending[:MIN_CAPACITY]
        for one in ahead:
            self.scheduler.wait(one.task)
            one.note_languages()
        evidence = [one.evidence for one in ahead if one.evidence]
        sure = next((one.language for one in evidence if one.sure), None)
        return sure or (most_spoken(evidence) if evidence else None)

    def _set_language(self, one: PendingWindow, language: str) -> None:
        """Decode `one` again where it was decoded in another language."""
        one.language = language
        if one.task.options.language != language:
            one.task = self._submit(one.window, language, one.task.features).task

    def _split_where_languages_meet(self, pending: list[PendingWindow], number: int) -> None:
        """Split the window at `number`, and the one before it, where the language changes inside.

        Windows in two languages next to each other were cut without knowing where one ends. A window that
        sounds like no single language may hold several.
        """
        one = pending[number]
        before = pending[number - 1] if number else None
        meets = before is not None and before.language != one.language
        if one.evidence and (meets or one.evidence.mixed):
            self._split(pending, number, before.language if before else None)
        if meets and before is not None and before.evidence:
            self._split(pending, number - 1, None)

    def _split(self, pending: list[PendingWindow], number: int, before: str | None) -> None:
        """Replace a window by its parts in one language each, if it has several."""
        window = pending[number].window
        parts = parts_of(window)
        if len(parts) < 2:
            return
        evidence = self._detect_languages(parts)
        languages = part_languages(evidence, None if pending[number].evidence else before)
        groups: list[tuple[str, float, float]] = []
        for part, language in zip(parts, languages, strict=True):
            chosen = language or pending[number].language or "en"
            if groups and groups[-1][0] == chosen:
                groups[-1] = (chosen, groups[-1][1], part.end)
            else:
                groups.append((chosen, part.start, part.end))
        if len(groups) == 1 and groups[0][0] == pending[number].language:
            return
        whole = window.split([start - window.start for _, start, _ in groups[1:]])
        pending[number : number + 1] = [
            self._submit(one, language) for one, (language, _, _) in zip(whole, groups, strict=True)
        ]

    def _detect_languages(self, parts: list[Window]) -> list[LanguageEvidence]:
        """Return the languages in each of `parts`."""
        tasks = [
            LanguageTask(part.samples, self.network.detect_language, None, self.stop)
            for part in parts
        ]
        for task in tasks:
            self.scheduler.put(self.queue, task, first=True)
        return [
            LanguageEvidence(self.scheduler.wait(task), part.speech_seconds())
            for part, task in zip(parts, tasks, strict=True)
        ]

    # --- Attempts --------------------------------------------------------------------------------

    def _submit(
        self,
        window: Window,
        language: str | None,
        features: object = None,
        previous: Sequence[int] = (),
        names: bool = False,
    ) -> PendingWindow:
        """Queue the first attempt at `window`, after the tokens of `previous` text.

        `language` None: detect it. `names`: with the names to expect in the prompt.
        """
        tokenizer = self.network.tokenizer(language or "en", self.options.task)
        options = DecodingOptions(
            tokenizer=tokenizer,
            language=language,
            previous=self.prompt.tokens(tokenizer, self.previous_tokens or previous, names=names),
            task=self.options.task,
            temperature=self.options.temperature[0],
            beam_size=self.options.beam_size or 1,
            word_timestamps=self.options.word_timestamps,
        )
        task = self._task(window, options, features)
        self.scheduler.put(self.queue, task)
        return PendingWindow(window, task, language)

    def _task(self, window: Window, options: DecodingOptions, features: object) -> DecodingTask:
        return DecodingTask(
            window.samples,
            self.network.decode,
            options,
            self.stop,
            batch_key=options.batch_key,
            features=features,
        )

    def _speech(self, window: Window) -> float:
        """Seconds of speech in `window`; as if it were full of it where speech is not detected."""
        return window.speech_seconds() if self.options.vad_filter else MAX_WINDOW

    def _check(self, pending: PendingWindow) -> None:
        """Accept the latest attempt at a window if it is finished and good, else queue another one."""
        task = pending.task
        if pending.accepted is not None or task.result is None:
            return
        result, tokenizer = task.result, task.options.tokenizer
        text = tokenizer.decode(text_tokens(result.tokens, tokenizer))
        attempt = Attempt(task.options.temperature, result, text)
        pending.attempts.append(attempt)
        if without := pending.without_names:
            pending.without_names = None
            pending.has_names = self.prompt.improves(pending.window, without, attempt, tokenizer)
            pending.accepted = attempt if pending.has_names else without
            return
        speech = self._speech(pending.window)
        silent = quality.is_silence(result.avg_logprob, result.no_speech_prob, speech)
        failed = not silent and fails(pending.window, attempt, tokenizer)
        if pending.doubled is not None:
            better = text.strip() and not (silent or failed or quality.says_twice(text))
            pending.accepted = attempt if better else pending.doubled
        elif silent:
            pending.accepted = replace(attempt, text="")
        elif not failed:
            if quality.says_twice(text) and (careful := self._careful_options(pending)):
                pending.doubled = attempt
                pending.task = self._retry(pending, careful)
            else:
                pending.accepted = attempt
                self._expect_names(pending)
        elif options := self._next_options(pending):
            pending.task = self._retry(pending, options)
        elif pending.is_remainder or (self.options.vad_filter and not pending.window.speech):
            # A few words, or sounds that are perhaps no speech: no temperature made sense of them.
            pending.accepted = replace(attempt, text="")
        else:
            pending.accepted = best_attempt(pending.attempts)

    def _next_options(self, pending: PendingWindow) -> DecodingOptions | None:
        """Return the options of another attempt, None if all have failed: samples at rising temperatures,
        after the careful attempt.
        """
        if careful := self._careful_options(pending):
            return careful
        before, temperatures = pending.task, self.options.temperature
        tried = len({one.temperature for one in pending.attempts})
        if tried == len(temperatures):
            return None
        return replace(
            before.options,
            temperature=temperatures[tried],
            beam_size=1,
            seed=zlib.crc32(before.samples.tobytes(), tried),
        )

    def _careful_options(self, pending: PendingWindow) -> DecodingOptions | None:
        """Return the options of a second attempt that is more careful than the first, None if none is.

        It is a beam search over the window as Whisper was trained, padded to 30 seconds.
        """
        before = pending.task
        if len(pending.attempts) > 1 or len(self.options.temperature) == 1:
            return None
        if before.options.beam_size >= CAREFUL_BEAM_SIZE and before.length == MEL_FRAMES:
            return None
        beam_size = max(CAREFUL_BEAM_SIZE, before.options.beam_size)
        return replace(before.options, beam_size=beam_size)

    def _expect_names(self, pending: PendingWindow) -> None:
        """Decode a window again with the names to expect, once its text is accepted without them."""
        if (
            not self.prompt
            or pending.names_tried
            or pending.alternative
            or len(pending.attempts) > 1
            or not pending.accepted
            or not pending.accepted.text.strip()
            or self._speech(pending.window) < MIN_SPEECH
        ):
            return
        pending.names_tried = True
        pending.without_names, pending.accepted = pending.accepted, None
        pending.attempts = []
        pending.task = self._submit(
            *(pending.window, pending.language, pending.task.features), names=True
        ).task

    def _retry(self, pending: PendingWindow, options: DecodingOptions) -> DecodingTask:
        """Queue another attempt, before this recording's other windows."""
        before = pending.task
        padded = before.length == MEL_FRAMES
        task = self._task(pending.window, options, before.features if padded else None)
        task.length = MEL_FRAMES
        self.scheduler.put(self.queue, task, first=True)
        return task

    def _result(self, pending: PendingWindow) -> WindowResult:
        assert pending.accepted is not None
        assert pending.language is not None
        tokenizer = pending.task.options.tokenizer
        return window_result(pending.window, pending.accepted, tokenizer, pending.language)


def _remainder(result: WindowResult) -> Window | None:
    """The end of the window, if there is speech after the last word of its text."""
    if not result.segments:
        return None
    end = result.segments[-1].end
    if end < MIN_REMAINDER or result.window.speech_seconds(end + 0.2) < MIN_REMAINDER:
        return None
    return result.window.tail(end)
