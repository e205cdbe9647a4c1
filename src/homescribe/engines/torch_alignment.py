"""Word timestamps of a batch on torch, from the cross-attention of the model's alignment heads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from homescribe.engines.tokenizer import text_tokens
from homescribe.engines.torch_model import TorchModel
from homescribe.engines.whisper_network import DecodingResult, DecodingTask, mel_frames
from homescribe.engines.word_timestamps import AlignmentPath, find_words

if TYPE_CHECKING:
    from torch import Tensor

MEDIAN_FILTER_WIDTH = 7  # frames, as in whisper.timing


def add_words(
    model: TorchModel, tasks: Sequence[DecodingTask], results: Sequence[DecodingResult]
) -> list[DecodingResult]:
    """Return `results` with their words. One pass through the decoder for all windows with text."""
    import torch

    results = list(results)
    texts = [
        text_tokens(result.tokens, task.options.tokenizer)
        for task, result in zip(tasks, results, strict=True)
    ]
    indices = [i for i, text in enumerate(texts) if text]
    if not indices:
        return results
    rows = []
    for i in indices:
        tokenizer = tasks[i].options.tokenizer
        start = (*tokenizer.sot_sequence, tokenizer.no_timestamps)
        rows.append([*start, *texts[i], tokenizer.eot])
    longest = max(map(len, rows))
    padded = [row + row[-1:] * (longest - len(row)) for row in rows]
    cache = model.new_cache(torch.stack([tasks[i].features for i in indices]), longest)
    scores: list[Tensor] = []  # per layer
    hidden = model.decode(torch.tensor(padded, device=model.device), cache, scores)
    alignment_heads = model.model.alignment_heads.indices().T.tolist()
    for row, i in enumerate(indices):
        text, tokenizer = texts[i], tasks[i].options.tokenizer
        before = len(tokenizer.sot_sequence)
        logits = model.logits(hidden[row, before : before + len(text)])
        index = torch.tensor(text, device=model.device)[:, None]
        probabilities = logits[:, : tokenizer.eot].softmax(-1).gather(1, index)[:, 0].tolist()
        heads = torch.stack([scores[layer][row, head] for layer, head in alignment_heads])
        positions = mel_frames(tasks[i].samples) // 2  # the encoder halves the number of frames
        path = _alignment_path(heads[:, : len(rows[row]), :positions], before)
        words = find_words(path, text, probabilities, tokenizer)
        results[i] = replace(results[i], words=tuple(words))
    return results


def _alignment_path(heads: Tensor, before: int) -> AlignmentPath:
    """DTW path through the scores of the alignment heads (heads, tokens, positions).

    As in whisper.timing.find_alignment. `before` tokens come before the text, one after it.
    """
    from whisper.timing import dtw, median_filter

    weights = heads.softmax(-1)
    mean, deviation = weights.mean(-2, keepdim=True), weights.std(-2, keepdim=True, unbiased=False)
    weights = median_filter((weights - mean) / deviation, MEDIAN_FILTER_WIDTH)
    matrix = weights.mean(0)[before:-1]
    text, time = dtw(-matrix)
    return np.asarray(text), np.asarray(time)
