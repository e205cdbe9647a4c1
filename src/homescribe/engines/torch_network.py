"""Whisper's network on torch, for batches of windows: the same tokens as whisper.decode.

openai-whisper repeats some work in every call. Here, weights are converted once, keys and values are
written into memory that is allocated once per batch, and the timestamp rules apply to all rows at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from homescribe.engines import cpu
from homescribe.engines.beam_decoder import BeamDecoder
from homescribe.engines.greedy_decoder import GreedyDecoder
from homescribe.engines.scheduler import Samples
from homescribe.engines.tokenizer import Tokenizer
from homescribe.engines.torch_alignment import add_words
from homescribe.engines.torch_model import TorchModel
from homescribe.engines.whisper_network import (
    DecodingResult,
    DecodingTask,
    LanguageProbabilities,
    LanguageTask,
    WhisperTask,
    padded_frames,
    set_languages,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from whisper import Whisper


class TorchNetwork:
    """A WhisperNetwork of openai-whisper's `model`, which is converted to `dtype`.

    `batch_size` windows fit into memory at once.
    """

    def __init__(self, model: Whisper, batch_size: int, dtype: torch.dtype | None = None) -> None:
        self.whisper = model
        self.batch_size = batch_size
        self.workers = cpu.workers() if model.device.type == "cpu" else 1
        self.model = TorchModel(model, dtype)
        self.tokenizers: dict[tuple[str, str], Tokenizer] = {}

    @property
    def languages(self) -> list[str]:
        from whisper.tokenizer import LANGUAGES

        if not self.whisper.is_multilingual:
            return ["en"]
        return list(LANGUAGES)[: self.whisper.num_languages]

    def tokenizer(self, language: str, task: WhisperTask) -> Tokenizer:
        from whisper.tokenizer import get_tokenizer

        if (language, task) not in self.tokenizers:
            self.tokenizers[language, task] = get_tokenizer(
                self.whisper.is_multilingual,
                num_languages=self.whisper.num_languages,
                language=language,
                task=task,
            )
        return self.tokenizers[language, task]

    def padded_length(self, samples: Samples) -> int:
        return padded_frames(samples)

    def start_worker(self) -> None:
        """Give the worker its share of the CPU's threads."""
        import torch

        if self.whisper.device.type == "cpu":
            torch.set_num_threads(cpu.threads_per_worker())

    def encode(self, samples: Sequence[Samples], length: int) -> list[Tensor]:
        """Return the encoder's output for each window, of `length` frames: (positions, n_audio_state)."""
        import torch

        with torch.inference_mode():
            return self.model.encode(samples, length)

    def detect_language(self, tasks: Sequence[LanguageTask]) -> list[LanguageProbabilities]:
        return self._detect_language(tasks)

    def _detect_language(
        self, tasks: Sequence[DecodingTask] | Sequence[LanguageTask]
    ) -> list[LanguageProbabilities]:
        import torch
        from whisper.tokenizer import get_tokenizer

        tokenizer = get_tokenizer(
            self.whisper.is_multilingual, num_languages=self.whisper.num_languages
        )
        with torch.inference_mode():
            cache = self.model.new_cache(torch.stack([task.features for task in tasks]), 1)
            start = torch.full((len(tasks), 1), tokenizer.sot, device=self.model.device)
            logits = self.model.logits(self.model.decode(start, cache)[:, -1])
            tokens = list(tokenizer.all_language_tokens)
            probabilities = logits[:, tokens].softmax(-1).tolist()
        return [dict(zip(tokenizer.all_language_codes, row, strict=True)) for row in probabilities]

    def decode(self, tasks: Sequence[DecodingTask]) -> list[DecodingResult]:
        import torch

        with torch.inference_mode():
            languages = set_languages(self, tasks, lambda: self._detect_language(tasks))
            beam_search = tasks[0].options.beam_size > 1
            results = (BeamDecoder if beam_search else GreedyDecoder)(self.model, tasks).run()
            if tasks[0].options.word_timestamps:
                results = add_words(self.model, tasks, results)
        return [
            replace(result, languages=found)
            for result, found in zip(results, languages, strict=True)
        ]
