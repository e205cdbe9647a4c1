"""From one recording to its transcript, through a scheduler that it shares with others.

Every window of speech is written down and judged by itself; one that fails is tried again at a higher
temperature, in a batch with whatever else is waiting. Speech that a window's text does not reach is heard
again as a window of its own. So each window ends as text, or as the plain finding that nobody spoke.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from threading import Event

from homescribe.core import Audio, Segment, Transcript, TranscriptionOptions
from homescribe.engines import quality
from homescribe.engines.loading import UNKNOWN, check_language, memory_errors
from homescribe.engines.scheduler import Network, Scheduler, Task, Written
from homescribe.engines.segments import cut, place, share
from homescribe.engines.vad import Recording, Window

# What every batch engine imports: PyAV decodes, faster-whisper brings Silero VAD, which runs on onnxruntime.
# Exact versions, so that an image built next month is the image that was tested.
PACKAGES = (
    "av==18.1.0",
    "numpy==2.4.6",
    "faster-whisper==1.2.1",
    "ctranslate2==4.8.5",
    "huggingface_hub==2.4.0",
    "onnxruntime==1.32.0",
    "tokenizers==0.23.3",
)
VOTERS = 3  # windows in which the language is heard
PROMPT = 223  # tokens of text before a window, half of Whisper's context
LEFT = 1.0  # seconds of speech after the last word that are worth another window
RESET = (
    0.5  # temperature above which a text is no good example for the next, as in whisper.transcribe
)


class BatchEngine:
    """An engine whose `network` sees windows of many recordings at once."""

    name: str
    slots = 4  # recordings in flight: enough to fill a batch while one of them is decoded

    def __init__(self, model: str, network: Network) -> None:
        self.model = model
        self.network = network
        self.scheduler = Scheduler(network)

    def transcribe(
        self,
        audio: Audio,
        options: TranscriptionOptions,
        stop: Event,
        progress: Callable[[float], None],
    ) -> Transcript:
        """As core.Engine. The language is heard in the first windows of speech, and kept."""
        check_language(options, self.model, self.network.languages)
        recording = Recording(audio, stop, vad_filter=options.vad_filter)
        hearing = Hearing(self.scheduler, self.network, options, stop)
        segments: list[Segment] = []
        with memory_errors(self.model):
            for passage in hearing.passages(recording):
                after = segments[-1].end if segments else 0.0
                segments += place(passage.segments, passage.window, after)
                progress(passage.window.end)
        progress(recording.duration)
        return Transcript(
            self.name, self.model, hearing.language or UNKNOWN, recording.duration, tuple(segments)
        )

    def close(self) -> None:
        """End the thread and free the model."""
        self.scheduler.close()


@dataclass(frozen=True, slots=True)
class Passage:
    """A window and what was said in it, on the window's own clock; nothing, when nobody spoke."""

    window: Window
    segments: tuple[Segment, ...]
    tokens: tuple[int, ...]
    temperature: float


class Hearing:
    """One recording on its way through the scheduler."""

    def __init__(
        self, scheduler: Scheduler, network: Network, options: TranscriptionOptions, stop: Event
    ) -> None:
        self.scheduler, self.network = scheduler, network
        self.options, self.stop = options, stop
        known = network.languages
        self.language = options.language or (known[0] if len(known) == 1 else None)
        self.queue: deque[Task] = deque()
        self.example: list[int] = []  # tokens that the next window is to go on from
        self.backlog = 1 if options.condition_on_previous_text else 2 * scheduler.size

    def passages(self, windows: Iterator[Window] | Recording) -> Iterator[Passage]:
        """Every window's passage, in order of time."""
        self.scheduler.enter()
        try:
            stream = iter(windows)
            pending: deque[_Attempt] = deque()
            first = list(islice(stream, VOTERS)) if self.language is None else []
            features = self._vote(first) if first else []
            for window, heard in zip(first, features, strict=True):
                yield from self._finish(pending, self.backlog - 1)
                pending.append(self._begin(window, heard))
            for window in stream:
                yield from self._finish(pending, self.backlog - 1)
                pending.append(self._begin(window))
            yield from self._finish(pending, 0)
        finally:
            self.scheduler.leave(self.queue)

    def _vote(self, windows: list[Window]) -> list[object]:
        """Decide the language by what all `windows` sound like. Returns their features."""
        tasks = [Task(window.samples, self.stop) for window in windows]
        for task in tasks:
            self.scheduler.put(self.queue, task)
        total: dict[str, float] = {}
        for task in tasks:
            for language, chance in self.scheduler.wait(task).items():
                total[language] = total.get(language, 0.0) + chance
        self.language = max(total, key=lambda language: total[language])
        return [task.features for task in tasks]

    def _begin(self, window: Window, features: object = None) -> _Attempt:
        assert self.language is not None
        tokenizer = self.network.tokenizer(self.language, self.options.task)
        task = Task(
            window.samples,
            self.stop,
            prompt=self._prompt(tokenizer),
            tokenizer=tokenizer,
            language=self.language,
            task=self.options.task,
            temperature=self.options.temperature[0],
            beam_size=self.options.beam_size or 1,
            words=self.options.word_timestamps,
            features=features,
        )
        self.scheduler.put(self.queue, task)
        return _Attempt(window, task)

    def _prompt(self, tokenizer: object) -> tuple[int, ...]:
        example: list[int] = []
        if self.options.initial_prompt:
            example = tokenizer.encode(" " + self.options.initial_prompt.strip())  # type: ignore[attr-defined]
        example = [*example, *self.example][-PROMPT:]
        start = tuple(tokenizer.sot_sequence)  # type: ignore[attr-defined]
        return (tokenizer.sot_prev, *example, *start) if example else start  # type: ignore[attr-defined]

    def _finish(self, pending: deque[_Attempt], keep: int) -> Iterator[Passage]:
        """The passages at the head of `pending` that are done, until only `keep` are left."""
        while pending and (len(pending) > keep or pending[0].task.done.is_set()):
            self.scheduler.wait(pending[0].task)
            for attempt in pending:  # also the later ones, so that what failed is tried together
                self._judge(attempt)
            if pending[0].verdict is None:
                continue
            attempt = pending.popleft()
            passage = self._passage(attempt)
            if self.options.condition_on_previous_text:
                self.example = (
                    [] if passage.temperature > RESET else [*self.example, *passage.tokens]
                )
            left = self._left(passage)
            if left is not None:
                pending.appendleft(self._begin(left))
            yield passage

    def _judge(self, attempt: _Attempt) -> None:
        """Give `attempt` its verdict, or another try."""
        task = attempt.task
        if attempt.verdict is not None or not task.done.is_set() or task.error is not None:
            return
        written: Written = task.result
        text = task.tokenizer.decode(spoken(written, task.tokenizer))
        attempt.tries.append((task.temperature, written, text))
        if quality.is_silence(written.avg_logprob, written.no_speech_prob):
            attempt.verdict = (task.temperature, written, "")
        elif not self._fails(attempt, written, text):
            attempt.verdict = attempt.tries[-1]
        elif len(attempt.tries) < len(self.options.temperature):
            attempt.task = self._again(attempt)
        else:
            attempt.verdict = attempt.best()
        if attempt.verdict is not None:
            task.features = None  # free the device's memory

    def _fails(self, attempt: _Attempt, written: Written, text: str) -> bool:
        if not text.strip():  # silence that is no silence
            heard = attempt.window.spoken() >= LEFT
            return heard and written.no_speech_prob <= quality.NO_SPEECH
        return quality.fails(text, written.avg_logprob)

    def _again(self, attempt: _Attempt) -> Task:
        before = attempt.task
        number = len(attempt.tries)
        task = Task(
            before.samples,
            self.stop,
            prompt=before.prompt,
            tokenizer=before.tokenizer,
            language=before.language,
            task=before.task,
            temperature=self.options.temperature[number],
            words=before.words,
            seed=zlib.crc32(before.samples.tobytes(), number),
            features=before.features,
        )
        self.scheduler.put(self.queue, task, first=True)
        return task

    def _passage(self, attempt: _Attempt) -> Passage:
        assert attempt.verdict is not None
        temperature, written, text = attempt.verdict
        if not text.strip():
            return Passage(attempt.window, (), (), temperature)
        tokenizer = attempt.task.tokenizer
        ratio = quality.compression_ratio(text.strip())
        warnings = quality.flags(text, written.avg_logprob, ratio, temperature)
        parts = cut(written.tokens, tokenizer, attempt.window.length)
        words = share(written.words, [len(tokens) for _, _, tokens in parts])
        segments = tuple(
            Segment(
                start=start,
                end=end,
                text=tokenizer.decode(tokens),
                avg_logprob=written.avg_logprob,
                no_speech_prob=written.no_speech_prob,
                compression_ratio=ratio,
                temperature=temperature,
                words=spoken_words,
                flags=warnings,
            )
            for (start, end, tokens), spoken_words in zip(parts, words, strict=True)
        )
        return Passage(attempt.window, segments, written.tokens, temperature)

    def _left(self, passage: Passage) -> Window | None:
        """What of the window is speech and was not written down, when its text ends before it."""
        if not passage.segments:
            return None
        end = passage.segments[-1].end
        if end < LEFT or passage.window.spoken(end + 0.2) < LEFT:
            return None
        return passage.window.tail(end)


class _Attempt:
    """A window, the task that is at it, and how the tries before ended."""

    def __init__(self, window: Window, task: Task) -> None:
        self.window = window
        self.task = task
        self.tries: list[tuple[float, Written, str]] = []  # temperature, what was written, its text
        self.verdict: tuple[float, Written, str] | None = None

    def best(self) -> tuple[float, Written, str]:
        """Of tries that all failed: the likeliest that does not go in circles, else the likeliest."""
        straight = [one for one in self.tries if one[2].strip() and not quality.loops(one[2])]
        return max(straight or self.tries, key=lambda one: one[1].avg_logprob)


def spoken(written: Written, tokenizer: object) -> list[int]:
    """The tokens that are text."""
    return [token for token in written.tokens if token < tokenizer.eot]  # type: ignore[attr-defined]
