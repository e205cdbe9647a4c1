"""An engine at an endpoint: cuts a recording, sends its parts one after the other, and joins the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Event

from homescribe.audio.speech_file import pcm
from homescribe.backends.endpoint.answer_checks import (
    is_deaf,
    problem,
    timed_segments,
    untranscribed,
)
from homescribe.backends.endpoint.endpoint_answers import Answer
from homescribe.backends.endpoint.endpoint_client import (
    EndpointClient,
    EndpointFailure,
    PartRequest,
)
from homescribe.backends.endpoint.parts import parts
from homescribe.core import Audio, Segment, Skipped, Transcript, TranscriptionOptions
from homescribe.engines import quality
from homescribe.engines.windows import RecordingWindows, Window
from homescribe.errors import Cancelled
from homescribe.text.display import clock

NAME = "openai-api"
UNDETERMINED = "und"  # the language of a recording without speech
MIN_SKIPPED = 1.0  # seconds; shorter stretches without text are pauses
# Characters before a part that are its prompt, so that a sentence goes on with the same names and spelling.
PROMPT_CHARACTERS = 200
MOST_PROMPT = 896  # characters: Groq refuses more, and Whisper reads no more of them
GOES_ON = 3.0  # seconds; after a longer silence no prompt is needed
MOST_NAMED = 5  # stretches that a warning names


class EndpointEngine:
    """A core.Engine whose model is at the endpoint of `client`."""

    name = NAME

    def __init__(self, client: EndpointClient) -> None:
        self.model = client.model
        self.slots = client.options.slots
        self._client = client

    def transcribe(
        self,
        audio: Audio,
        options: TranscriptionOptions,
        stop: Event,
        progress: Callable[[float], None],
    ) -> Transcript:
        """As core.Engine. Raises BudgetReached before a request that could pass the cap."""
        key = audio.item.key
        self._reserve(audio, stop)
        try:
            return self._transcribe(audio, options, stop, progress)
        finally:
            self._client.budget.release(key)

    def close(self) -> None:
        """Do nothing: nothing is loaded here."""

    def _reserve(self, audio: Audio, stop: Event) -> None:
        """Reserve the price of the whole recording, less what its stored answers have cost."""
        client = self._client
        seconds = audio.duration or audio.item.duration or 0.0
        paid = client.store.paid(audio.item.key)
        answered = paid.dollars - paid.lost_dollars if paid else 0.0
        price = client.options.price.of(seconds) if seconds else 0.0
        client.budget.reserve(audio.item.key, max(0.0, price - answered), stop)

    def _transcribe(
        self,
        audio: Audio,
        options: TranscriptionOptions,
        stop: Event,
        progress: Callable[[float], None],
    ) -> Transcript:
        windows = RecordingWindows(audio, options, stop, limit=self._client.options.part_seconds)
        gathered = _Gathered()
        heard: list[tuple[Answer, Window]] = []
        tokens: list[str] = []
        for part in parts(windows, self._client.options.part_seconds):
            if stop.is_set():
                raise Cancelled
            request = PartRequest(
                audio.item.key,
                pcm(part.samples),
                options.task,
                self._fields(options, gathered.prompt(part.start)),
            )
            answer, token = self._sound_answer(request, part, stop)
            heard.append((answer, part))
            tokens.append(token)
            gathered.add(answer, part, options)
            progress(part.end)
        if is_deaf(heard):
            for token in tokens:
                self._client.store.reject(audio.item.key, token)
            speech = sum(part.speech_seconds() for _, part in heard)
            raise EndpointFailure(
                f"{self._client.options.host} gave no text for {speech:.0f} seconds of speech.",
                "Check --model and --language, then: homescribe retry KEY",
            )
        progress(windows.duration)
        return gathered.transcript(self.model, windows, options, self._warnings(heard, options))

    def _sound_answer(self, request: PartRequest, part: Window, stop: Event) -> tuple[Answer, str]:
        """Return an answer that can be right, from the second request if the first one has none.

        Raises EndpointFailure when both are wrong, and as EndpointClient.answer.
        """
        answer, token = self._client.answer(request, stop)
        if problem(answer, part) is None:
            return answer, token
        self._client.store.reject(request.key, token)
        answer, token = self._client.answer(request, stop)
        wrong = problem(answer, part)
        if wrong is None:
            return answer, token
        self._client.store.reject(request.key, token)
        raise EndpointFailure(
            f"The answer of {self._client.options.host} cannot be right: {wrong}."
        )

    def _fields(self, options: TranscriptionOptions, before: str) -> dict[str, str]:
        """Return the form of a request. A field with several values has them separated by commas."""
        fields = {"model": self.model, "response_format": "verbose_json"}
        if options.language is not None and options.task == "transcribe":
            fields["language"] = options.language
        if prompt := _prompt(options.initial_prompt or "", before):
            fields["prompt"] = prompt
        if len(options.temperature) == 1:
            fields["temperature"] = f"{options.temperature[0]:g}"
        fields["timestamp_granularities[]"] = "segment"
        if options.word_timestamps:
            fields["timestamp_granularities[]"] = "segment,word"
        return fields

    def _warnings(
        self, heard: Sequence[tuple[Answer, Window]], options: TranscriptionOptions
    ) -> list[str]:
        """Return sentences about the answers as a whole."""
        warnings = []
        if options.initial_prompt and self._client.leaves_out("prompt"):
            warnings.append(
                "The endpoint refused the prompt, so it did not get the names and spellings to expect."
            )
        others = {
            answer.model
            for answer, _ in heard
            if answer.model and not _same(answer.model, self.model)
        }
        if others:
            named = ", ".join(sorted(others))
            warnings.append(
                f"The endpoint answered with the model {named} instead of {self.model}."
            )
        if any(answer.untimed for answer, _ in heard):
            warnings.append(
                "The endpoint gave no times: each line is a part of the recording, up to "
                f"{self._client.options.part_seconds:.0f} seconds long."
            )
        return warnings


class _Gathered:
    """What the answers so far make of a recording."""

    def __init__(self) -> None:
        self.segments: list[Segment] = []
        self.skipped: list[Skipped] = []
        self.unheard: list[Skipped] = []  # stretches with speech, and without text
        self.speech: dict[str, float] = {}  # seconds by language
        self.without_words = False
        self.end = 0.0  # of the last part

    def prompt(self, start: float) -> str:
        """Return the end of the text before a part that begins at `start`, "" if it is of no use."""
        last = self.segments[-1] if self.segments else None
        if last is None or start - last.end > GOES_ON or last.flags:
            return ""
        text = "".join(segment.text for segment in self.segments[-20:]).strip()
        tail = text[-PROMPT_CHARACTERS:]
        return tail if len(tail) == len(text) else tail.partition(" ")[2] or tail

    def add(self, answer: Answer, part: Window, options: TranscriptionOptions) -> None:
        """Add the answer to the next part."""
        after = self.segments[-1].end if self.segments else 0.0
        placed = timed_segments(
            answer, part, after, vad_filter=options.vad_filter, words=options.word_timestamps
        )
        language = "en" if options.task == "translate" else answer.language or options.language
        if part.start > self.end:
            self.skipped.append(Skipped(self.end, part.start, "no_speech"))
        if placed:
            code = language or UNDETERMINED
            self.speech[code] = self.speech.get(code, 0.0) + part.speech_seconds()
            self.segments += [replace(one, language=language) for one in placed]
            self.unheard += untranscribed(part, placed)
            self.without_words = self.without_words or not all(one.words for one in placed)
        else:
            self.skipped.append(Skipped(part.start, part.end, "no_text"))
            self.unheard += untranscribed(part, ())
        self.end = part.end

    def transcript(
        self,
        model: str,
        windows: RecordingWindows,
        options: TranscriptionOptions,
        warnings: Sequence[str],
    ) -> Transcript:
        """Return the transcript of the whole recording."""
        if windows.duration > self.end:
            self.skipped.append(Skipped(self.end, windows.duration, "no_speech"))
        main = max(self.speech, key=lambda code: self.speech[code]) if self.speech else UNDETERMINED
        notes = [*windows.warnings, *warnings]
        if self.unheard:
            named = ", ".join(clock(one.start) for one in self.unheard[:MOST_NAMED])
            notes.append(f"The endpoint gave no text for speech at {named}.")
        if options.word_timestamps and self.segments and self.without_words:
            notes.append("The endpoint gave no times of words for some lines.")
        whole = {(one.start, one.end) for one in self.skipped}
        inside = [one for one in self.unheard if (one.start, one.end) not in whole]
        skipped = sorted((*self.skipped, *inside), key=lambda one: one.start)
        return Transcript(
            engine=NAME,
            model=model,
            language=main,
            duration=windows.duration,
            segments=quality.flag_repeated_segments(self.segments),
            skipped=tuple(one for one in skipped if one.end - one.start >= MIN_SKIPPED),
            warnings=tuple(notes),
        )


def _prompt(given: str, before: str) -> str:
    """Return the end of the prompt that was given, and the text before a part."""
    room = MOST_PROMPT - len(before) - bool(before)
    if len(given) > room:
        end = given[-room:]
        given = end.partition(" ")[2] or end
    return " ".join(part for part in (given, before) if part)


def _same(answered: str, requested: str) -> bool:
    """Return whether two names are of one model: "whisper-1-2024" of "whisper-1", or "latest" of a family."""
    one, other = (name.lower().removesuffix("-latest") for name in (answered, requested))
    return one.startswith(other) or other.startswith(one)
