"""Scale the bundled Whisper model up to the dimensions of a published size, with the same output.

    python -m benchmarks.scaled_model small.en FOLDER

A benchmark needs the amount of computation of a real `small`, and text that ends where the speech ends.
Random weights have only the former. Here, the residual stream is repeated (LayerNorm sees the same mean and
variance), attention heads are padded with zeros to 64 dimensions, and added layers output zero: they take
their full time and change nothing. If the new width is no multiple of the old one, the rest is zero and the
output is close, not equal.

Writes FOLDER/SIZE.pt for openai-whisper and FOLDER/SIZE-ct2 (float16) for faster-whisper.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from homescribe import demo

if TYPE_CHECKING:
    from ctranslate2.specs.common_spec import LayerNormSpec, LinearSpec
    from ctranslate2.specs.transformer_spec import TransformerDecoderSpec, TransformerEncoderSpec

# name: (width, heads, encoder layers, decoder layers), from openai-whisper's model card
SIZES = {
    "tiny.en": (384, 6, 4, 4),
    "base.en": (512, 8, 6, 6),
    "small.en": (768, 12, 12, 12),
    "medium.en": (1024, 16, 24, 24),
    "large-like": (1280, 20, 32, 32),
    "turbo-like": (1280, 20, 32, 4),
}


class Checkpoint(TypedDict):
    """The content of an openai-whisper .pt file."""

    dims: dict[str, int]
    model_state_dict: dict[str, torch.Tensor]


def scale(checkpoint: Checkpoint, size: str) -> Checkpoint:
    """Return `checkpoint` at the dimensions of `size`, in float16."""
    width, heads, encoder_layers, decoder_layers = SIZES[size]
    scaling = _Scaling(checkpoint, width, heads)
    dims = checkpoint["dims"]
    scaling.convolutions(dims["n_mels"])
    scaling.side("encoder", encoder_layers, dims["n_audio_layer"])
    scaling.side("decoder", decoder_layers, dims["n_text_layer"])
    scaling.norm("encoder.ln_post")
    scaling.norm("decoder.ln", 1 / scaling.copies)
    scaling.table("decoder.token_embedding.weight")
    new_dims = {
        **dims,
        **dict.fromkeys(("n_audio_state", "n_text_state"), width),
        **dict.fromkeys(("n_audio_head", "n_text_head"), heads),
        "n_audio_layer": encoder_layers,
        "n_text_layer": decoder_layers,
    }
    weights = {name: tensor.half().contiguous() for name, tensor in scaling.new.items()}
    return {"dims": new_dims, "model_state_dict": weights}


class _Scaling:
    """Weights of the small model (`old`), and those of the large one as far as they are made (`new`)."""

    def __init__(self, checkpoint: Checkpoint, width: int, heads: int) -> None:
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
        """Return `x` repeated along the first axis, the rest zero."""
        out = torch.zeros(self.width, *x.shape[1:])
        out[: self.copies * self.small] = x.repeat(self.copies, *[1] * (x.dim() - 1))
        return out

    def place(self, x: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        """Return zeros of `rows` and `columns` with `x` in the upper left corner."""
        out = torch.zeros(rows, columns, *x.shape[2:])
        out[: x.shape[0], : x.shape[1]] = x
        return out

    def spread(self, x: torch.Tensor) -> torch.Tensor:
        """Return the rows of each small head as the first rows of a large one."""
        out = torch.zeros(self.width, *x.shape[1:])
        for h in range(self.small_heads):
            rows = x[h * self.small_head : (h + 1) * self.small_head]
            out[h * self.head : h * self.head + self.small_head] = rows
        return out

    def norm(self, name: str, scale: float = 1.0, source: str | None = None) -> None:
        source = source or name
        self.new[f"{name}.weight"] = self.tile(self.old[f"{source}.weight"]) * self.shrink * scale
        self.new[f"{name}.bias"] = self.tile(self.old[f"{source}.bias"]) * scale

    def table(self, name: str) -> None:
        """Scale a table of vectors: each is repeated."""
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
        """Scale the encoder or the decoder: added layers first, then those of the small model."""
        self.table(f"{side}.positional_embedding")
        parts = ("attn", "cross_attn") if side == "decoder" else ("attn",)
        for layer in range(layers):
            source = layer - (layers - small_layers)
            name = f"{side}.blocks.{layer}"
            if source < 0:
                self.added_block(name, parts)
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
        # Attention divides its scores by the root of the head's width.
        rescale = (self.head / self.small_head) ** 0.5
        for part, factor in (("query", rescale), ("key", 1.0), ("value", 1.0)):
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

    def added_block(self, name: str, parts: tuple[str, ...]) -> None:
        """Make a block that computes everything and adds zero."""
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
        weights: torch.Tensor = torch.randn(rows, columns, generator=self.random) * self.width**-0.5
        return weights

    def zero(self, name: str, rows: int, columns: int) -> None:
        self.new[f"{name}.weight"] = torch.zeros(rows, columns)
        self.new[f"{name}.bias"] = torch.zeros(rows)

    def plain_norm(self, name: str) -> None:
        self.new[f"{name}.weight"] = torch.ones(self.width)
        self.new[f"{name}.bias"] = torch.zeros(self.width)


# --- For CTranslate2 -------------------------------------------------------------------------------


def convert(checkpoint: Checkpoint, folder: Path) -> None:
    """Write `checkpoint` in CTranslate2's format, in float16, with the vocabulary of the bundled model."""
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


def _convert_side(
    weights: dict[str, NDArray[np.float32]],
    side: str,
    part: TransformerEncoderSpec | TransformerDecoderSpec,
) -> None:
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


def _linear(weights: dict[str, NDArray[np.float32]], to: LinearSpec, *names: str) -> None:
    """Set `to` to the layers `names`, joined along the first axis; a missing bias is zero."""
    to.weight = np.concatenate([weights[f"{name}.weight"] for name in names])
    if any(f"{name}.bias" in weights for name in names):
        to.bias = np.concatenate(
            [
                weights.get(f"{name}.bias", np.zeros(len(weights[f"{name}.weight"]), np.float32))
                for name in names
            ]
        )


def _norm(weights: dict[str, NDArray[np.float32]], to: LayerNormSpec, name: str) -> None:
    to.gamma, to.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]


def make(size: str, folder: Path) -> tuple[Path, Path]:
    """Return the scaled model for openai-whisper and for faster-whisper. Makes them if they are missing."""
    checkpoint, converted = folder / f"{size}.pt", folder / f"{size}-ct2"
    if not (checkpoint.exists() and (converted / "model.bin").exists()):
        folder.mkdir(parents=True, exist_ok=True)
        source: Checkpoint = torch.load(
            demo.model("openai-whisper"), map_location="cpu", weights_only=True
        )
        large = scale(source, size)
        torch.save(large, checkpoint)
        convert(large, converted)
    return checkpoint, converted


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("size", choices=SIZES, help="the published size")
    parser.add_argument("folder", type=Path, help="where to write the models")
    options = parser.parse_args()
    print(*make(options.size, options.folder), sep="\n")


if __name__ == "__main__":
    main()
