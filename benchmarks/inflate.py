"""A small Whisper checkpoint at the dimensions of a published size, keeping what it computes.

    python -m benchmarks.inflate small.en FOLDER

A benchmark needs the arithmetic of a real `small`, and text that stops where speech stops; random weights
give the first alone. The residual stream is repeated (LayerNorm sees the same mean and variance), heads of
attention are filled up with zeros to 64 dimensions, and added layers have outputs of zero: they cost their
full arithmetic and change nothing. Where the width is no multiple of the small one, the rest is zero and
the result is close, not exact.

Writes FOLDER/SIZE.pt for openai-whisper and FOLDER/SIZE-ct2 (float16) for faster-whisper.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from homescribe import demo

# name: (width, heads, encoder layers, decoder layers), from openai-whisper's model card
SIZES = {
    "tiny.en": (384, 6, 4, 4),
    "base.en": (512, 8, 6, 6),
    "small.en": (768, 12, 12, 12),
    "medium.en": (1024, 16, 24, 24),
    "large-like": (1280, 20, 32, 32),
    "turbo-like": (1280, 20, 32, 4),
}


def inflate(checkpoint: dict[str, Any], size: str) -> dict[str, Any]:
    """`checkpoint` at the dimensions of `size`, in float16."""
    width, heads, encoder_layers, decoder_layers = SIZES[size]
    growth = _Growth(checkpoint, width, heads)
    dims = checkpoint["dims"]
    growth.convolutions(dims["n_mels"])
    growth.side("encoder", encoder_layers, dims["n_audio_layer"])
    growth.side("decoder", decoder_layers, dims["n_text_layer"])
    growth.norm("encoder.ln_post")
    growth.norm("decoder.ln", 1 / growth.copies)
    growth.across("decoder.token_embedding.weight")
    new_dims = {
        **dims,
        **dict.fromkeys(("n_audio_state", "n_text_state"), width),
        **dict.fromkeys(("n_audio_head", "n_text_head"), heads),
        "n_audio_layer": encoder_layers,
        "n_text_layer": decoder_layers,
    }
    weights = {name: tensor.half().contiguous() for name, tensor in growth.new.items()}
    return {"dims": new_dims, "model_state_dict": weights}


class _Growth:
    """The weights of the small model, and those of the large one as they come about."""

    def __init__(self, checkpoint: dict[str, Any], width: int, heads: int) -> None:
        dims = checkpoint["dims"]
        self.old = {k: v.float() for k, v in checkpoint["model_state_dict"].items()}
        self.new: dict[str, torch.Tensor] = {}
        self.width, self.small = width, dims["n_audio_state"]
        self.head, self.small_head = width // heads, self.small // dims["n_audio_head"]
        self.small_heads = dims["n_audio_head"]
        self.copies = width // self.small
        # Zeros in the rest of the width lower the variance that LayerNorm divides by.
        self.shrink = (self.copies * self.small / width) ** 0.5
        self.random = torch.Generator().manual_seed(0)

    def tile(self, x: torch.Tensor) -> torch.Tensor:
        """Repeated along the first axis, the rest zero."""
        out = torch.zeros(self.width, *x.shape[1:])
        out[: self.copies * self.small] = x.repeat(self.copies, *[1] * (x.dim() - 1))
        return out

    def place(self, x: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """In the upper left corner of zeros."""
        out = torch.zeros(rows, columns, *x.shape[2:])
        out[: x.shape[0], : x.shape[1]] = x
        return out

    def spread(self, x: torch.Tensor) -> torch.Tensor:
        """The rows of each small head as the first rows of a large one."""
        out = torch.zeros(self.width, *x.shape[1:])
        for h in range(self.small_heads):
            rows = x[h * self.small_head : (h + 1) * self.small_head]
            out[h * self.head : h * self.head + self.small_head] = rows
        return out

    def norm(self, name: str, scale: float = 1.0, source: str | None = None) -> None:
        source = source or name
        self.new[f"{name}.weight"] = self.tile(self.old[f"{source}.weight"]) * self.shrink * scale
        self.new[f"{name}.bias"] = self.tile(self.old[f"{source}.bias"]) * scale

    def across(self, name: str) -> None:
        """A table of vectors: repeated along the vectors."""
        self.new[name] = self.tile(self.old[name].T.contiguous()).T.contiguous()

    def convolutions(self, n_mels: int) -> None:
        old, width = self.old, self.width
        bias = torch.zeros(width)
        bias[: self.small] = old["encoder.conv1.bias"]
        self.new["encoder.conv1.bias"] = bias
        self.new["encoder.conv1.weight"] = self.place(old["encoder.conv1.weight"], width, n_mels)
        second = self.place(old["encoder.conv2.weight"], self.small, width)
        self.new["encoder.conv2.weight"] = self.tile(second)
        self.new["encoder.conv2.bias"] = self.tile(old["encoder.conv2.bias"])

    def side(self, side: str, layers: int, small_layers: int) -> None:
        """Encoder or decoder: layers that change nothing first, then the small model's own."""
        self.across(f"{side}.positional_embedding")
        parts = ("attn", "cross_attn") if side == "decoder" else ("attn",)
        for layer in range(layers):
            source = layer - (layers - small_layers)
            name = f"{side}.blocks.{layer}"
            if source < 0:
                self.idle_block(name, parts)
            else:
                self.block(name, f"{side}.blocks.{source}", parts)

    def block(self, name: str, source: str, parts: tuple[str, ...]) -> None:
        for part in parts:
            self.attention(f"{name}.{part}", f"{source}.{part}")
            self.norm(f"{name}.{part}_ln", source=f"{source}.{part}_ln")
        old, wide = self.old, 4 * self.width
        hidden = old[f"{source}.mlp.0.weight"].shape[0]
        bias = torch.zeros(wide)
        bias[:hidden] = old[f"{source}.mlp.0.bias"]
        self.new[f"{name}.mlp.0.bias"] = bias
        self.new[f"{name}.mlp.0.weight"] = self.place(
            old[f"{source}.mlp.0.weight"], wide, self.width
        )
        narrow = self.place(old[f"{source}.mlp.2.weight"], self.small, wide)
        self.new[f"{name}.mlp.2.weight"] = self.tile(narrow)
        self.new[f"{name}.mlp.2.bias"] = self.tile(old[f"{source}.mlp.2.bias"])
        self.norm(f"{name}.mlp_ln", source=f"{source}.mlp_ln")

    def attention(self, name: str, source: str) -> None:
        larger = (self.head / self.small_head) ** 0.5  # what a wider head divides its scores by
        for part, factor in (("query", larger), ("key", 1.0), ("value", 1.0)):
            weight = self.place(
                self.old[f"{source}.{part}.weight"] * factor, self.small, self.width
            )
            self.new[f"{name}.{part}.weight"] = self.spread(weight)
            if part != "key":
                bias = self.old[f"{source}.{part}.bias"] * factor
                self.new[f"{name}.{part}.bias"] = self.spread(bias)
        out = self.spread(self.old[f"{source}.out.weight"].T.contiguous()).T
        self.new[f"{name}.out.weight"] = self.tile(out)
        self.new[f"{name}.out.bias"] = self.tile(self.old[f"{source}.out.bias"])

    def idle_block(self, name: str, parts: tuple[str, ...]) -> None:
        """A block that computes all it would and adds zero."""
        width = self.width
        for part in parts:
            for layer in ("query", "key", "value"):
                self.new[f"{name}.{part}.{layer}.weight"] = self.noise(width, width)
                if layer != "key":
                    self.new[f"{name}.{part}.{layer}.bias"] = torch.zeros(width)
            self.zero(f"{name}.{part}.out", width, width)
            self.plain_norm(f"{name}.{part}_ln")
        self.new[f"{name}.mlp.0.weight"] = self.noise(4 * width, width)
        self.new[f"{name}.mlp.0.bias"] = torch.zeros(4 * width)
        self.zero(f"{name}.mlp.2", width, 4 * width)
        self.plain_norm(f"{name}.mlp_ln")

    def noise(self, rows: int, columns: int) -> torch.Tensor:
        return torch.randn(rows, columns, generator=self.random) * self.width**-0.5

    def zero(self, name: str, rows: int, columns: int) -> None:
        self.new[f"{name}.weight"] = torch.zeros(rows, columns)
        self.new[f"{name}.bias"] = torch.zeros(rows)

    def plain_norm(self, name: str) -> None:
        self.new[f"{name}.weight"] = torch.ones(self.width)
        self.new[f"{name}.bias"] = torch.zeros(self.width)


# --- For CTranslate2 -------------------------------------------------------------------------------


def convert(checkpoint: dict[str, Any], folder: Path) -> None:
    """`checkpoint` as a model of CTranslate2 in float16, with the vocabulary of the bundled one."""
    from ctranslate2.specs.whisper_spec import WhisperSpec

    dims = checkpoint["dims"]
    weights = {k: v.float().numpy() for k, v in checkpoint["model_state_dict"].items()}
    heads = (dims["n_audio_head"], dims["n_text_head"])
    spec = WhisperSpec(dims["n_audio_layer"], heads[0], dims["n_text_layer"], heads[1])
    for side, part in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        _convert_side(weights, side, part)
    for name in ("conv1", "conv2"):
        layer = getattr(spec.encoder, name)
        layer.weight = weights[f"encoder.{name}.weight"]
        layer.bias = weights[f"encoder.{name}.bias"]
    spec.decoder.embeddings.weight = weights["decoder.token_embedding.weight"]
    spec.decoder.projection.weight = weights["decoder.token_embedding.weight"]
    bundled = demo.model("faster-whisper")
    spec.register_vocabulary(json.loads((bundled / "vocabulary.json").read_text()))
    config = json.loads((bundled / "config.json").read_text())
    for key in ("suppress_ids", "suppress_ids_begin", "lang_ids"):
        setattr(spec.config, key, config[key])
    half = dims["n_text_layer"] // 2
    spec.config.alignment_heads = [
        [layer, head] for layer in range(half, 2 * half) for head in range(heads[1])
    ]
    spec.validate()
    spec.optimize(quantization="float16")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    spec.save(str(folder))
    for name in ("tokenizer.json", "preprocessor_config.json"):
        shutil.copy(bundled / name, folder / name)


def _convert_side(weights: dict[str, np.ndarray[Any, Any]], side: str, part: Any) -> None:
    part.position_encodings.encodings = weights[f"{side}.positional_embedding"]
    _norm(weights, part.layer_norm, "encoder.ln_post" if side == "encoder" else "decoder.ln")
    for number, layer in enumerate(part.layer):
        name = f"{side}.blocks.{number}"
        own = [f"{name}.attn.{p}" for p in ("query", "key", "value", "out")]
        _linear(weights, layer.self_attention.linear[0], *own[:3])
        _linear(weights, layer.self_attention.linear[1], own[3])
        _norm(weights, layer.self_attention.layer_norm, f"{name}.attn_ln")
        if side == "decoder":
            cross = [f"{name}.cross_attn.{p}" for p in ("query", "key", "value", "out")]
            _linear(weights, layer.attention.linear[0], cross[0])
            _linear(weights, layer.attention.linear[1], *cross[1:3])
            _linear(weights, layer.attention.linear[2], cross[3])
            _norm(weights, layer.attention.layer_norm, f"{name}.cross_attn_ln")
        _linear(weights, layer.ffn.linear_0, f"{name}.mlp.0")
        _linear(weights, layer.ffn.linear_1, f"{name}.mlp.2")
        _norm(weights, layer.ffn.layer_norm, f"{name}.mlp_ln")


def _linear(weights: dict[str, np.ndarray[Any, Any]], to: Any, *names: str) -> None:
    to.weight = np.concatenate([weights[f"{n}.weight"] for n in names])
    if any(f"{n}.bias" in weights for n in names):
        zeros: Callable[[str], Any] = lambda n: np.zeros(len(weights[f"{n}.weight"]), np.float32)  # noqa: E731
        to.bias = np.concatenate([weights.get(f"{n}.bias", zeros(n)) for n in names])


def _norm(weights: dict[str, np.ndarray[Any, Any]], to: Any, name: str) -> None:
    to.gamma, to.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]


def make(size: str, folder: Path) -> tuple[Path, Path]:
    """The inflated model for openai-whisper and for faster-whisper, made unless they are there."""
    checkpoint, converted = folder / f"{size}.pt", folder / f"{size}-ct2"
    if not (checkpoint.exists() and (converted / "model.bin").exists()):
        folder.mkdir(parents=True, exist_ok=True)
        source = torch.load(demo.model("openai-whisper"), map_location="cpu", weights_only=True)
        large = inflate(source, size)
        torch.save(large, checkpoint)
        convert(large, converted)
    return checkpoint, converted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    print(*make(options.size, options.folder), sep="\n")


if __name__ == "__main__":
    main()
