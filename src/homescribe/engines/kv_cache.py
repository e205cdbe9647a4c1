"""Keys and values of the decoder's attention, in memory that is allocated once per batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from homescribe.engines.precision import linear, split_heads

if TYPE_CHECKING:
    from torch import Tensor
    from whisper import Whisper
    from whisper.model import ResidualAttentionBlock


class KeyValueCache:
    """What the decoder keeps of a batch: keys and values of the tokens so far, and of the audio.

    `features` is the encoder's output (rows, positions, n_audio_state); `max_tokens` includes the prompt.
    """

    def __init__(self, model: Whisper, features: Tensor, max_tokens: int) -> None:
        self.length = 0  # tokens so far
        self.layers = [
            LayerCache(block, model.dims.n_text_head, features, max_tokens)
            for block in model.decoder.blocks
        ]

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but `rows`."""
        for layer in self.layers:
            layer.keep(rows)

    def select(self, rows: Tensor, windows: Tensor) -> None:
        """Continue with the tokens of `rows`, and with the audio of `windows`, for a beam search.

        There may be several rows for each window, in order.
        """
        kept = len(windows) < len(self.layers[0].audio_keys)
        for layer in self.layers:
            layer.select(rows, windows if kept else None, self.length)


class LayerCache:
    """Keys and values of one layer, shape (rows, heads, positions, width of a head)."""

    def __init__(
        self, block: ResidualAttentionBlock, heads: int, features: Tensor, max_tokens: int
    ) -> None:
        rows, _, width = features.shape
        shape = (rows, heads, max_tokens, width // heads)
        self.scale = shape[-1] ** -0.5
        self.keys = features.new_empty(shape)
        self.values = features.new_empty(shape)
        key, value = block.cross_attn.key, block.cross_attn.value
        self.audio_keys = split_heads(linear(features, key.weight, key.bias), heads).contiguous()
        self.audio_values = split_heads(
            linear(features, value.weight, value.bias), heads
        ).contiguous()

    def self_attention(self, q: Tensor, k: Tensor, v: Tensor, before: int) -> Tensor:
        """Attention of new tokens to themselves and to the `before` tokens before them."""
        count = q.shape[2]
        self.keys[:, :, before : before + count] = k
        self.values[:, :, before : before + count] = v
        keys, values = self.keys[:, :, : before + count], self.values[:, :, : before + count]
        scores = (q @ keys.transpose(-1, -2)).float() * self.scale
        if count > 1:
            later = scores.new_full((count, count), -math.inf).triu(1)
            scores[..., before:] += later
        attended: Tensor = scores.softmax(-1).to(values.dtype) @ values
        return attended

    def cross_attention(self, q: Tensor, scores_out: list[Tensor] | None) -> Tensor:
        """Attention to the audio. Appends the scores before softmax to `scores_out`."""
        rows, heads, count, width = q.shape
        windows = len(self.audio_keys)
        if rows > windows:  # several beams of a window: queries to the same keys
            q = q.view(windows, -1, heads, count, width).transpose(1, 2).flatten(2, 3)
        scores = (q @ self.audio_keys.transpose(-1, -2)).float() * self.scale
        if scores_out is not None:
            scores_out.append(scores)
        attended: Tensor = scores.softmax(-1).to(q.dtype) @ self.audio_values
        if rows > windows:
            attended = attended.view(windows, heads, -1, count, width).transpose(1, 2)
            attended = attended.reshape(rows, heads, count, width)
        return attended

    def select(self, rows: Tensor, windows: Tensor | None, length: int) -> None:
        """As KeyValueCache.select, of the first `length` tokens. `windows` None: all."""
        if len(rows) > len(self.keys):
            shape = (len(rows), *self.keys.shape[1:])
            keys, values = self.keys.new_empty(shape), self.values.new_empty(shape)
        else:
            keys, values = self.keys[: len(rows)], self.values[: len(rows)]
        keys[:, :, :length] = self.keys[rows, :, :length]
        values[:, :, :length] = self.values[rows, :, :length]
        self.keys, self.values = keys, values
        if windows is not None:
            self.audio_keys, self.audio_values = (
                self.audio_keys[windows],
                self.audio_values[windows],
            )

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but `rows`."""
        self.keys, self.values = self.keys[rows], self.values[rows]
        self.audio_keys = self.audio_keys[rows]
        self.audio_values = self.audio_values[rows]
