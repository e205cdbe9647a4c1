"""openai-whisper as it is: `whisper.transcribe`, one window at a time.

It is what the batch engine is compared with, and what does the work that cannot be batched. Memory does
not grow with the length of a recording, because it is given a window of speech at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event, Lock
from typing import Any

from homescribe.core import Audio, Segment, Transcript, TranscriptionOptions, Word
from homescribe.engines import checkpoint
from homescribe.engines.loading import UNKNOWN, check_language, memory_errors
from homescribe.engines.quality import flags
from homescribe.engines.segments import place
from homescribe.engines.vad import Recording, Window, stretch


class WhisperReference:
    """A loaded model: one of openai-whisper's names, a .pt file, or "demo". float16 on a GPU alone."""

    name = "whisper-reference"
    slots = 2  # one recording is decoded while another is transcribed

    def __init__(self, model: str) -> None:
        import torch

        self.model = model
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.whisper: Any = checkpoint.load(model, self.device)
        self.lock = Lock()  # its cache of keys and values hangs on the model

    def transcribe(
        self,
        audio: Audio,
        options: TranscriptionOptions,
        stop: Event,
        progress: Callable[[float], None],
    ) -> Transcript:
        """As core.Engine. The language is heard in the first speech and kept."""
        check_language(options, self.model, languages(self.whisper))
        recording = Recording(audio, stop, limit=stretch(options), vad_filter=options.vad_filter)
        language = options.language or ("en" if not self.whisper.is_multilingual else None)
        segments: list[Segment] = []
        with memory_errors(self.model):
            for window in recording:
                with self.lock:
                    result = self._transcribe(window, language, options)
                language = result["language"]
                after = segments[-1].end if segments else 0.0
                segments += place(parse(result["segments"]), window, after)
                progress(window.end)
        progress(recording.duration)
        return Transcript(
            self.name, self.model, language or UNKNOWN, recording.duration, tuple(segments)
        )

    def close(self) -> None:
        """Let go of the weights."""
        self.whisper = None

    def _transcribe(
        self, window: Window, language: str | None, options: TranscriptionOptions
    ) -> dict[str, Any]:
        result: dict[str, Any] = self.whisper.transcribe(
            window.samples,
            language=language,
            task=options.task,
            beam_size=None if options.beam_size == 1 else options.beam_size,
            temperature=options.temperature,
            condition_on_previous_text=options.condition_on_previous_text,
            initial_prompt=options.initial_prompt,
            word_timestamps=options.word_timestamps,
            fp16=self.device == "cuda",
        )
        return result


def languages(model: Any) -> list[str]:
    """Codes of the languages that whisper's `model` knows."""
    from whisper.tokenizer import LANGUAGES

    return list(LANGUAGES)[: model.num_languages] if model.is_multilingual else ["en"]


def parse(segments: list[dict[str, Any]]) -> Iterator[Segment]:
    """whisper.transcribe's segments as ours."""
    for segment in segments:
        words = segment.get("words") or ()
        yield Segment(
            start=float(segment["start"]),
            end=float(segment["end"]),
            text=segment["text"],
            avg_logprob=segment["avg_logprob"],
            no_speech_prob=segment["no_speech_prob"],
            compression_ratio=segment["compression_ratio"],
            temperature=float(segment["temperature"]),
            words=tuple(
                Word(float(w["start"]), float(w["end"]), w["word"], float(w["probability"]))
                for w in words
            ),
            flags=flags(
                segment["text"],
                segment["avg_logprob"],
                segment["compression_ratio"],
                float(segment["temperature"]),
            ),
        )
