"""What the engines need of Whisper's network, and the values that go in and out of it.

Two implementations: torch_network.py (openai-whisper's weights) and ctranslate2_network.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeAlias

from homescribe.audio import SAMPLE_RATE
from homescribe.engines.scheduler import Encoder, Samples, Task
from homescribe.engines.tokenizer import Tokenizer
from homescribe.engines.word_timestamps import TokenizedWord

FRAMES_PER_SECOND = 100  # of a spectrogram
HOP_LENGTH = SAMPLE_RATE // FRAMES_PER_SECOND  # samples between two frames
MEL_FRAMES = 3000  # the most that Whisper takes: 30 seconds

# Whisper was trained on windows padded to 30 seconds. Padding costs time and is hardly needed: with 1 to 4
# seconds of it, all but one in two hundred words stay the same. Only windows of a few seconds need more:
# computed at 6 seconds or less, base repeated whole sentences.
MARGIN = 2 * FRAMES_PER_SECOND  # frames of padding after a window, at least
MIN_FRAMES = 10 * FRAMES_PER_SECOND
# Lengths are rounded up, in a way that depends on the window alone. Windows of one length share a batch.
STEP = 2 * FRAMES_PER_SECOND
MAX_INITIAL_TIMESTAMP = 50  # tokens of 0.02 s: speech starts within a second, as in whisper.decode

LanguageProbabilities: TypeAlias = dict[str, float]  # by Whisper's code
WhisperTask: TypeAlias = Literal["transcribe", "translate"]


@dataclass(frozen=True, slots=True)
class DecodingOptions:
    """How to decode one window; named as in whisper.DecodingOptions."""

    tokenizer: Tokenizer  # of `language`; of any language while that is None
    language: str | None = "en"  # None: the most probable one
    previous: tuple[int, ...] = ()  # tokens of text before the window
    task: WhisperTask = "transcribe"
    temperature: float = 0.0
    beam_size: int = 1
    word_timestamps: bool = False
    seed: int = 0  # of the sampling, at a temperature above 0

    @property
    def prompt(self) -> tuple[int, ...]:
        """Tokens up to the first one to predict."""
        start = tuple(self.tokenizer.sot_sequence)
        return (self.tokenizer.sot_prev, *self.previous, *start) if self.previous else start

    @property
    def batch_key(self) -> tuple[object, ...]:
        """Windows whose options have equal keys can be decoded in one batch."""
        return (len(self.previous), self.beam_size, self.word_timestamps, self.task)


@dataclass(frozen=True, slots=True)
class DecodingResult:
    """What the network decoded from one window; named as in whisper.DecodingResult."""

    tokens: tuple[int, ...]  # without the prompt and the end-of-text token
    avg_logprob: float
    no_speech_prob: float
    words: tuple[TokenizedWord, ...] = ()
    languages: LanguageProbabilities | None = None  # probability of each, where it was detected


DecodingTask: TypeAlias = Task[DecodingOptions, DecodingResult]
LanguageTask: TypeAlias = Task[None, LanguageProbabilities]


class WhisperNetwork(Encoder, Protocol):
    """A Whisper model that processes several windows at once."""

    @property
    def languages(self) -> Sequence[str]:
        """Codes of the languages that the model knows."""

    def tokenizer(self, language: str, task: WhisperTask) -> Tokenizer:
        """Return the tokenizer for `language` and `task`."""

    def detect_language(self, tasks: Sequence[LanguageTask]) -> list[LanguageProbabilities]:
        """Return the probability of every language, per window."""

    def decode(self, tasks: Sequence[DecodingTask]) -> list[DecodingResult]:
        """Return the text of each window. The tasks have equal batch keys and padded lengths.

        A task whose options have no language gets options with the most probable one.
        """


def set_languages(
    network: WhisperNetwork,
    tasks: Sequence[DecodingTask],
    detect: Callable[[], list[LanguageProbabilities]],
) -> list[LanguageProbabilities | None]:
    """Give each task without a language the most probable one, and return what was detected.

    `detect` returns the probability of every language for all tasks. It is called if any needs it.
    """
    if all(task.options.language for task in tasks):
        return [None] * len(tasks)
    found: list[LanguageProbabilities | None] = []
    for task, probabilities in zip(tasks, detect(), strict=True):
        if task.options.language:
            found.append(None)
            continue
        language = max(probabilities, key=lambda code: probabilities[code])
        tokenizer = network.tokenizer(language, task.options.task)
        task.options = replace(task.options, language=language, tokenizer=tokenizer)
        found.append(probabilities)
    return found


def mel_frames(samples: Samples) -> int:
    """Frames of the spectrogram that hold `samples`, without the padding."""
    return min(MEL_FRAMES, len(samples) // HOP_LENGTH)


def padded_frames(samples: Samples) -> int:
    """Frames of the spectrogram that the network computes for `samples`, padding included."""
    frames = len(samples) // HOP_LENGTH + MARGIN
    return min(MEL_FRAMES, max(MIN_FRAMES, -(-frames // STEP) * STEP))
