"""Whisper's encoder and decoder on torch, for batches: openai-whisper's weights in the type they run in.

On a CPU every window is encoded on its own and matrices have whole groups of rows (see precision.py), so
that the result for a row does not depend on the other rows of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from homescribe.engines.kv_cache import KeyValueCache
from homescribe.engines.precision import (
    convert_weights,
    default_dtype,
    join_heads,
    linear,
    split_heads,
)
from homescribe.engines.scheduler import Samples

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from whisper import Whisper

TIMESTAMPS = 1501  # timestamp tokens, the last of the vocabulary
CANDIDATES = 8  # most likely text tokens, whose logits are computed again in float32


class TorchModel:
    """Encoder and decoder of `model`, which is converted to `dtype`. Names are Whisper's."""

    def __init__(self, model: Whisper, dtype: torch.dtype | None = None) -> None:
        self.model = model
        self.dims = model.dims
        self.device: torch.device = model.device
        self.dtype = dtype or default_dtype(self.device.type)
        self.heads: int = model.dims.n_text_head
        convert_weights(model, self.dtype)
        self.embedding: Tensor = model.decoder.token_embedding.weight
        self.timestamp_embedding = self.embedding[-TIMESTAMPS:].float()

    # --- Encoder ---------------------------------------------------------------------------------

    def encode(self, samples: Sequence[Samples], length: int) -> list[Tensor]:
        """Return the encoder's output for each window, of `length` frames: (positions, n_audio_state).

        A position stands for two frames of the spectrogram.
        """
        mel = self.spectrogram(samples, length).to(self.dtype)
        if self.device.type == "cpu":
            return [self._encode(one[None])[0] for one in mel]
        return [one.clone() for one in self._encode(mel)]

    def spectrogram(self, samples: Sequence[Samples], length: int) -> Tensor:
        """Return whisper.log_mel_spectrogram of each window, padded: (n, n_mels, length).

        The padding is zeros after the logarithm, as in whisper.transcribe; silence has lower values.
        """
        import torch
        from whisper.audio import HOP_LENGTH, N_FFT, mel_filters

        audio = torch.zeros(len(samples), length * HOP_LENGTH, device=self.device)
        for row, one in zip(audio, samples, strict=True):
            row[: len(one)] = torch.from_numpy(one)
        hann = torch.hann_window(N_FFT, device=self.device)
        stft = torch.stft(audio, N_FFT, HOP_LENGTH, window=hann, return_complex=True)
        power = stft[..., :-1].abs() ** 2
        mel: Tensor = mel_filters(self.device, self.dims.n_mels) @ power
        log = mel.clamp(min=1e-10).log10()
        log = torch.maximum(log, log.amax(dim=(1, 2), keepdim=True) - 8.0)
        mel = (log + 4.0) / 4.0
        for row, one in zip(mel, samples, strict=True):
            row[:, len(one) // HOP_LENGTH :] = 0.0
        return mel

    def _encode(self, mel: Tensor) -> Tensor:
        """Encode windows shorter than 30 seconds, too, for which Whisper's own encoder has no code."""
        import torch
        import torch.nn.functional as F  # noqa: N812 (its usual name)

        encoder = self.model.encoder
        x = F.gelu(encoder.conv2(F.gelu(encoder.conv1(mel)))).permute(0, 2, 1)
        x = (x + encoder.positional_embedding[: x.shape[1]]).to(self.dtype)
        by_head = self.device.type == "cpu" and self.dtype == torch.bfloat16
        attention = _attention_by_head if by_head else F.scaled_dot_product_attention
        for block in encoder.blocks:
            h = block.attn_ln(x)
            q, k, v = (
                self._heads(_apply(layer, h))
                for layer in (block.attn.query, block.attn.key, block.attn.value)
            )
            x = x + _apply(block.attn.out, join_heads(attention(q, k, v)))
            h = block.mlp[1](_apply(block.mlp[0], block.mlp_ln(x)))
            x = x + _apply(block.mlp[2], h)
        out: Tensor = encoder.ln_post(x)
        return out

    # --- Decoder ---------------------------------------------------------------------------------

    def new_cache(self, features: Tensor, max_tokens: int) -> KeyValueCache:
        """Return a cache for windows with these `features`, (rows, positions, n_audio_state)."""
        return KeyValueCache(self.model, features, max_tokens)

    def decode(
        self, tokens: Tensor, cache: KeyValueCache, cross_scores: list[Tensor] | None = None
    ) -> Tensor:
        """Return the decoder's hidden states for `tokens` (rows, n), which follow those in `cache`.

        Appends the cross-attention before softmax, (rows, heads, n, positions), to `cross_scores` per layer.
        """
        decoder = self.model.decoder
        count = tokens.shape[1]
        x = decoder.token_embedding(tokens)
        x = (x + decoder.positional_embedding[cache.length : cache.length + count]).to(self.dtype)
        for block, layer in zip(decoder.blocks, cache.layers, strict=True):
            h = block.attn_ln(x)
            q, k, v = (
                self._heads(_apply(one, h))
                for one in (block.attn.query, block.attn.key, block.attn.value)
            )
            x = x + _apply(block.attn.out, join_heads(layer.self_attention(q, k, v, cache.length)))
            q = self._heads(_apply(block.cross_attn.query, block.cross_attn_ln(x)))
            x = x + _apply(block.cross_attn.out, join_heads(layer.cross_attention(q, cross_scores)))
            h = block.mlp[1](_apply(block.mlp[0], block.mlp_ln(x)))
            x = x + _apply(block.mlp[2], h)
        cache.length += count
        hidden: Tensor = decoder.ln(x)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Return float32 logits (rows, n_vocab) from the decoder's hidden states (rows, width)."""
        import torch

        logits = linear(hidden, self.embedding, None).float()
        if self.dtype == torch.bfloat16:
            # bfloat16 has 8 bits: the best of 50,000 logits are often equal. Compute those that matter again.
            precise = hidden.float()
            best = logits[:, :-TIMESTAMPS].topk(CANDIDATES).indices
            logits.scatter_(1, best, (self.embedding[best].float() @ precise[:, :, None])[..., 0])
            logits[:, -TIMESTAMPS:] = linear(precise, self.timestamp_embedding, None)
        return logits

    def _heads(self, x: Tensor) -> Tensor:
        return split_heads(x, self.heads)


def _apply(layer: nn.Linear, x: Tensor) -> Tensor:
    return linear(x, layer.weight, layer.bias)


def _attention_by_head(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of one window, (1, heads, positions, width of a head), one head at a time.

    torch's own attention gains no speed from bfloat16 on a CPU; this does. The scores of one head fit into
    a processor's cache, those of all heads do not.
    """
    import torch

    heads = []
    for query, key, value in zip(q[0] * q.shape[-1] ** -0.5, k[0], v[0], strict=True):
        heads.append((query @ key.T).softmax(-1) @ value)
    return torch.stack(heads)[None]
