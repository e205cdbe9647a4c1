"""Whisper's network on CTranslate2, for batches of windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from homescribe.engines import cpu
from homescribe.engines.models import ctranslate2_errors, find_ctranslate2
from homescribe.engines.out_of_memory import memory_errors
from homescribe.engines.scheduler import Samples
from homescribe.engines.tokenizer import Tokenizer, text_tokens
from homescribe.engines.whisper_network import (
    MAX_INITIAL_TIMESTAMP,
    DecodingResult,
    DecodingTask,
    LanguageProbabilities,
    LanguageTask,
    WhisperTask,
    mel_frames,
    padded_frames,
    set_languages,
)
from homescribe.engines.word_timestamps import TokenizedWord, find_words

if TYPE_CHECKING:
    import ctranslate2

Features: TypeAlias = NDArray[np.float32] | NDArray[np.float16]  # (positions, n_audio_state)

CPU_BATCH = 4  # windows; larger batches are hardly faster on a CPU
GPU_BATCH = 16  # faster-whisper's own choice for a GPU with 8 GB


class CTranslate2Network:
    """A WhisperNetwork of faster-whisper's `model`, with CTranslate2's `compute_type`."""

    def __init__(self, model: str, compute_type: str | None = None) -> None:
        from faster_whisper import WhisperModel

        folder = find_ctranslate2(model)
        self.device = device = "cuda" if gpu_available() else "cpu"
        self.workers = cpu.workers() if device == "cpu" else 1
        if device == "cpu":
            cpu.keep_freed_memory()
            cpu.use_avx512()
        with ctranslate2_errors(model), memory_errors(model):
            self.whisper = WhisperModel(
                str(folder),
                device=device,
                compute_type=compute_type or default_compute_type(device),
                cpu_threads=cpu.threads_per_worker(),
                num_workers=self.workers,
            )
        self.batch_size = GPU_BATCH if device == "cuda" else CPU_BATCH
        self.tokenizers: dict[tuple[str, str], Tokenizer] = {}

    @property
    def languages(self) -> list[str]:
        return list(self.whisper.supported_languages)

    def tokenizer(self, language: str, task: WhisperTask) -> Tokenizer:
        from faster_whisper import tokenizer

        if (language, task) not in self.tokenizers:
            self.tokenizers[language, task] = tokenizer.Tokenizer(
                self.whisper.hf_tokenizer, self.whisper.model.is_multilingual, task, language
            )
        return self.tokenizers[language, task]

    def padded_length(self, samples: Samples) -> int:
        return padded_frames(samples)

    def start_worker(self) -> None:
        """Do nothing: CTranslate2 has threads of its own."""

    def encode(self, samples: Sequence[Samples], length: int) -> list[Features]:
        """Return the encoder's output for each window, of `length` frames, in the computer's memory.

        On a CPU, windows are encoded one at a time: a batch takes longer, and rounds otherwise.
        """
        mels = [self._spectrogram(one, length) for one in samples]
        if self.device == "cpu":
            return [self._encode(mel[None])[0] for mel in mels]
        return list(self._encode(np.stack(mels)))

    def _spectrogram(self, samples: Samples, length: int) -> NDArray[np.float32]:
        """Return the spectrogram of a window with its padding, shape (n_mels, length)."""
        from faster_whisper.audio import pad_or_trim

        mel = self.whisper.feature_extractor(samples)[..., :-1]
        padded: NDArray[np.float32] = pad_or_trim(mel, length)
        return padded

    def _encode(self, mels: NDArray[np.float32]) -> Features:
        import ctranslate2

        encoded = self.whisper.model.encode(
            ctranslate2.StorageView.from_array(np.ascontiguousarray(mels)), to_cpu=True
        )
        if encoded.dtype == ctranslate2.DataType.bfloat16:  # which numpy does not know
            encoded = encoded.to(ctranslate2.DataType.float32)
        return np.array(encoded)

    def detect_language(self, tasks: Sequence[LanguageTask]) -> list[LanguageProbabilities]:
        return self._detect_language(_stack(tasks))

    def _detect_language(self, encoded: ctranslate2.StorageView) -> list[LanguageProbabilities]:
        found = self.whisper.model.detect_language(encoded)
        return [{token[2:-2]: float(probability) for token, probability in one} for one in found]

    def decode(self, tasks: Sequence[DecodingTask]) -> list[DecodingResult]:
        """Decode one batch per temperature, because CTranslate2 has one temperature for all rows."""
        results: dict[int, DecodingResult] = {}
        for temperature in sorted({task.options.temperature for task in tasks}):
            rows = [i for i, task in enumerate(tasks) if task.options.temperature == temperature]
            results |= zip(rows, self._decode([tasks[i] for i in rows]), strict=True)
        return [results[i] for i in range(len(tasks))]

    def _decode(self, tasks: Sequence[DecodingTask]) -> list[DecodingResult]:
        import ctranslate2
        from faster_whisper.transcribe import get_suppressed_tokens

        encoded = _stack(tasks)
        languages = set_languages(self, tasks, lambda: self._detect_language(encoded))
        options = tasks[0].options
        temperature = options.temperature
        if temperature:
            ctranslate2.set_random_seed(options.seed)
        results = self.whisper.model.generate(
            encoded,
            [list(task.options.prompt) for task in tasks],
            beam_size=1 if temperature else options.beam_size,
            sampling_topk=0 if temperature else 1,
            sampling_temperature=temperature or 1.0,
            max_length=self.whisper.max_length,
            max_initial_timestamp_index=MAX_INITIAL_TIMESTAMP,
            suppress_tokens=get_suppressed_tokens(options.tokenizer, [-1]),
            return_scores=True,
            return_no_speech_prob=True,
        )
        tokens = [result.sequences_ids[0] for result in results]
        words = (
            self._align(tasks, encoded, tokens) if options.word_timestamps else [[] for _ in tasks]
        )
        return [
            DecodingResult(
                tuple(row),
                # CTranslate2's score is a mean over the tokens; Whisper's includes the end of text.
                result.scores[0] * len(row) / (len(row) + 1),
                result.no_speech_prob,
                tuple(found),
                probabilities,
            )
            for result, row, found, probabilities in zip(
                results, tokens, words, languages, strict=True
            )
        ]

    def _align(
        self,
        tasks: Sequence[DecodingTask],
        encoded: ctranslate2.StorageView,
        tokens: Sequence[Sequence[int]],
    ) -> list[list[TokenizedWord]]:
        """Return the words of each row, with their times."""
        words: list[list[TokenizedWord]] = [[] for _ in tasks]
        # CTranslate2 has one start sequence, which names the language, for all rows.
        for start in {tuple(task.options.tokenizer.sot_sequence) for task in tasks}:
            rows = [
                row
                for row, task in enumerate(tasks)
                if tuple(task.options.tokenizer.sot_sequence) == start
            ]
            same = encoded if len(rows) == len(tasks) else _stack([tasks[i] for i in rows])
            tokenizer = tasks[rows[0]].options.tokenizer
            texts = [text_tokens(tokens[row], tokenizer) for row in rows]
            frames = [mel_frames(tasks[row].samples) for row in rows]
            results = self.whisper.model.align(
                same, list(start), texts, frames, median_filter_width=7
            )
            for row, result, text in zip(rows, results, texts, strict=True):
                path = np.array(result.alignments, np.int64).reshape(-1, 2).T
                if text:
                    words[row] = find_words(
                        (path[0], path[1]), text, result.text_token_probs, tokenizer
                    )
        return words


def _stack(tasks: Sequence[DecodingTask] | Sequence[LanguageTask]) -> ctranslate2.StorageView:
    """Return the encoder's outputs for `tasks` as one batch."""
    import ctranslate2

    return ctranslate2.StorageView.from_array(np.stack([task.features for task in tasks]))


def gpu_available() -> bool:
    """Return whether CTranslate2 finds a CUDA device."""
    import ctranslate2

    return bool(ctranslate2.get_cuda_device_count())


def default_compute_type(device: str) -> str:
    """float16 on a GPU that supports it, else int8."""
    import ctranslate2

    supported = ctranslate2.get_supported_compute_types(device)
    return "float16" if device == "cuda" and "float16" in supported else "int8"
