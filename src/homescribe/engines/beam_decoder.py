"""Beam search on a batch of windows: the same tokens as whisper.decode, which takes one window at a time.

The beams of a window share the keys and values of its audio. Windows whose search has ended are dropped
from the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from homescribe.engines.timestamp_rules import TimestampRules
from homescribe.engines.torch_model import TorchModel
from homescribe.engines.whisper_network import DecodingResult, DecodingTask

if TYPE_CHECKING:
    from torch import Tensor

Tokens: TypeAlias = tuple[int, ...]


@dataclass(slots=True)
class _Search:
    """The search in one window."""

    index: int  # of the task
    live: list[tuple[Tokens, float]]  # tokens and log probability of each beam
    finished: dict[Tokens, float] = field(default_factory=dict)


class BeamDecoder:
    """One batch, from the prompts to the end of every search. The prompts have one length."""

    def __init__(self, model: TorchModel, tasks: Sequence[DecodingTask]) -> None:
        import torch

        self.model, self.tasks = model, tasks
        self.beams = tasks[0].options.beam_size
        prompts = [list(task.options.prompt) for task in tasks]
        self.prompts = torch.tensor(prompts, device=model.device)
        # As in whisper.decode: half the context for the text, and not beyond the context.
        context = model.dims.n_text_ctx
        self.max_steps: int = min(context // 2, context - len(prompts[0]) + 1)
        features = torch.stack([task.features for task in tasks])
        self.cache = model.new_cache(features, len(prompts[0]) + self.max_steps)
        self.rules = TimestampRules(tasks[0].options.tokenizer, model.dims.n_vocab, model.device)
        self.searches = [_Search(index, [((), 0.0)]) for index in range(len(tasks))]

    def run(self) -> list[DecodingResult]:
        """Return the result of each task."""
        import torch

        device = self.model.device
        hidden = self.model.decode(self.prompts, self.cache)
        no_speech = self._no_speech_probs(hidden)
        history = self.rules.start(len(self.tasks))
        active = list(self.searches)
        for step in range(self.max_steps):
            logits = self.model.logits(hidden[:, -1])
            self.rules.apply(logits, history)
            best = logits.topk(self.beams + 1)
            logprobs = (best.values - logits.logsumexp(-1, keepdim=True)).tolist()
            candidates = best.indices.tolist()
            width = 1 if step == 0 else self.beams
            going: list[_Search] = []
            sources: list[int] = []  # the row that each row of the next step continues
            windows: list[int] = []  # the windows that go on
            for number, search in enumerate(active):
                rows = range(number * width, (number + 1) * width)
                kept = self._extend(search, rows, candidates, logprobs)
                if len(search.finished) < self.beams and not self.tasks[search.index].cancelled():
                    going.append(search)
                    sources += kept
                    windows.append(number)
            if not going or step + 1 == self.max_steps:
                break
            selected = torch.tensor(sources, device=device)
            self.cache.select(selected, torch.tensor(windows, device=device))
            history = self.rules.append(
                history.keep(selected),
                torch.tensor(
                    [tokens[-1] for one in going for tokens, _ in one.live], device=device
                ),
            )
            active = going
            assert history.last is not None
            hidden = self.model.decode(history.last[:, None], self.cache)
        return [self._result(search, no_speech[search.index]) for search in self.searches]

    def _no_speech_probs(self, hidden: Tensor) -> list[float]:
        """Probability of the no-speech token, which Whisper predicts after the start of the transcript."""
        options = self.tasks[0].options
        start = options.prompt.index(options.tokenizer.sot)
        probabilities = self.model.logits(hidden[:, start]).softmax(-1)
        no_speech: list[float] = probabilities[:, options.tokenizer.no_speech].tolist()
        return no_speech

    def _extend(
        self,
        search: _Search,
        rows: range,
        candidates: list[list[int]],
        logprobs: list[list[float]],
    ) -> list[int]:
        """Replace the beams of `search` by their best continuations. Returns the row that each continues.

        Better continuations that end the text are finished.
        """
        found = [
            (total + logprob, (*tokens, token), row)
            for row, (tokens, total) in zip(rows, search.live, strict=True)
            for token, logprob in zip(candidates[row], logprobs[row], strict=True)
        ]
        found.sort(key=lambda one: one[0], reverse=True)
        live: list[tuple[Tokens, float]] = []
        kept: list[int] = []
        for total, tokens, row in found:
            if tokens[-1] != self.rules.eot:
                live.append((tokens, total))
                kept.append(row)
                if len(live) == self.beams:
                    break
            elif len(search.finished) < self.beams:
                search.finished[tokens[:-1]] = total
        search.live = live
        return kept

    def _result(self, search: _Search, no_speech: float) -> DecodingResult:
        """Return the most probable text per token; unfinished ones count where too few are finished."""
        texts = dict(search.finished)
        for tokens, total in search.live:  # most probable first
            if len(texts) >= self.beams:
                break
            texts[tokens] = total
        tokens = max(texts, key=lambda one: texts[one] / max(1, len(one)))
        return DecodingResult(tokens, texts[tokens] / (len(tokens) + 1), no_speech)
