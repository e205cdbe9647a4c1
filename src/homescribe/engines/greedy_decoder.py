"""Decodes a batch of windows token by token: the most likely token, or a sampled one above temperature 0.

Rows that have ended are dropped from the batch, so that the others get faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from homescribe.engines.timestamp_rules import TimestampRules
from homescribe.engines.torch_model import TorchModel
from homescribe.engines.whisper_network import DecodingResult, DecodingTask

if TYPE_CHECKING:
    from torch import Tensor


class GreedyDecoder:
    """One batch, from the prompts to the end of every row. The prompts have one length."""

    def __init__(self, model: TorchModel, tasks: Sequence[DecodingTask]) -> None:
        import torch

        self.model, self.tasks = model, tasks
        prompts = [list(task.options.prompt) for task in tasks]
        self.prompts = torch.tensor(prompts, device=model.device)
        # As in whisper.decode: half the context for the text, and not beyond the context.
        context = model.dims.n_text_ctx
        self.max_steps: int = min(context // 2, context - len(prompts[0]) + 1)
        features = torch.stack([task.features for task in tasks])
        self.cache = model.new_cache(features, len(prompts[0]) + self.max_steps)
        vocabulary = model.dims.n_vocab
        self.rules = TimestampRules(tasks[0].options.tokenizer, vocabulary, model.device)
        self.noise = [GumbelNoise(task.options.seed, vocabulary) for task in tasks]
        # Index of the task in each row of the batch, None once its text has ended.
        self.rows: list[int | None] = list(range(len(tasks)))
        self.tokens: list[list[int]] = [[] for _ in tasks]
        self.logprobs = [0.0] * len(tasks)  # sums over the tokens

    def run(self) -> list[DecodingResult]:
        """Return the result of each task."""
        import torch

        hidden = self.model.decode(self.prompts, self.cache)
        no_speech = self._no_speech_probs(hidden)
        history = self.rules.start(len(self.tasks))
        for step in range(self.max_steps):
            logits = self.model.logits(hidden[:, -1])
            self.rules.apply(logits, history)
            chosen = self._choose(logits)
            logprobs = logits.gather(1, chosen[:, None])[:, 0] - logits.logsumexp(-1)
            active = self._append(chosen.tolist(), logprobs.tolist())
            if not active:
                break
            history = self.rules.append(history, chosen)
            if len(active) <= len(self.rows) * 3 // 4:
                kept = torch.tensor(active, device=self.model.device)
                self.cache.keep(kept)
                history = history.keep(kept)
                self.rows = [self.rows[row] for row in active]
            if step + 1 < self.max_steps:
                assert history.last is not None
                hidden = self.model.decode(history.last[:, None], self.cache)
        return [
            DecodingResult(tuple(tokens), logprob / (len(tokens) + 1), probability)
            for tokens, logprob, probability in zip(
                self.tokens, self.logprobs, no_speech, strict=True
            )
        ]

    def _no_speech_probs(self, hidden: Tensor) -> list[float]:
        """Probability of the no-speech token, which Whisper predicts after the start of the transcript."""
        options = self.tasks[0].options
        start = options.prompt.index(options.tokenizer.sot)
        probabilities = self.model.logits(hidden[:, start]).softmax(-1)
        no_speech: list[float] = probabilities[:, options.tokenizer.no_speech].tolist()
        return no_speech

    def _choose(self, logits: Tensor) -> Tensor:
        """Choose the next token of each row."""
        chosen = logits.argmax(-1)
        for row, index in enumerate(self.rows):
            if index is not None and self.tasks[index].options.temperature > 0:
                scaled = logits[row] / self.tasks[index].options.temperature
                chosen[row] = (scaled + self.noise[index].draw().to(scaled.device)).argmax()
        return chosen

    def _append(self, chosen: list[int], logprobs: list[float]) -> list[int]:
        """Append the tokens `chosen` to the results. Returns the rows that have not ended."""
        active = []
        for row, (token, logprob) in enumerate(zip(chosen, logprobs, strict=True)):
            index = self.rows[row]
            if index is None:
                continue
            self.logprobs[index] += logprob
            if token == self.rules.eot or self.tasks[index].cancelled():
                self.rows[row] = None
            else:
                self.tokens[index].append(token)
                active.append(row)
        return active


class GumbelNoise:
    """Noise that samples from a softmax: the argmax of logits plus this noise is a random draw.

    Each window has its own seed, so that its text does not depend on the rest of the batch.
    """

    def __init__(self, seed: int, size: int) -> None:
        import torch

        self.size = size
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self) -> Tensor:
        import torch

        uniform = torch.rand(self.size, generator=self.generator).clamp_(min=1e-20)
        return -(-uniform.log()).log()
