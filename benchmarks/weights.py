"""Finds the same weights in the formats of all implementations, and converts between them.

    python -m benchmarks.weights base.pt ggml-base.bin      openai-whisper to whisper.cpp
    python -m benchmarks.weights FOLDER base.pt             CTranslate2 to openai-whisper

Formats: CTranslate2's binary version 6 (model.bin), openai-whisper's checkpoint (.pt) and whisper.cpp's
ggml file, as their projects document them.
"""

from __future__ import annotations

import argparse
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypedDict

import numpy as np
from numpy.typing import NDArray

from benchmarks.implementations import Model

if TYPE_CHECKING:
    import torch


class Checkpoint(TypedDict):
    """The content of an openai-whisper .pt file."""

    dims: dict[str, int]
    model_state_dict: dict[str, torch.Tensor]


Tensors = dict[str, NDArray[np.generic]]


def find(model: str, ggml: bool = False) -> Model:
    """Return `model` in all formats: a published name, or the folder of a model in CTranslate2's format.

    NAME.pt, and with `ggml` ggml-NAME.bin, are made beside a folder NAME where they are missing.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        if "/" in model:
            raise SystemExit(f"{model} is not a folder.")
        return Model(model, model, str(ggml_of_published(model)) if ggml else "")
    checkpoint = folder.parent / f"{folder.name}.pt"
    _make(folder, checkpoint)
    converted = folder.parent / f"ggml-{folder.name}.bin"
    if ggml:
        _make(checkpoint, converted)
    return Model(str(checkpoint), str(folder), str(converted))


def _make(weights: Path, out: Path) -> None:
    """Convert `weights` to `out` if that is missing.

    In a process of its own, because the peak memory that the system reports for a child process is at least
    the size of its parent.
    """
    if not out.exists():
        command = [sys.executable, "-m", "benchmarks.weights", str(weights), str(out)]
        subprocess.run(command, check=True)


def ggml_of_published(model: str) -> Path:
    """Return the ggml file of a published model, made from openai-whisper's in its cache."""
    import whisper

    cache = Path.home() / ".cache" / "whisper"
    checkpoint = whisper._download(whisper._MODELS[model], str(cache), in_memory=False)
    converted = cache / f"ggml-{model}.bin"
    _make(Path(checkpoint), converted)
    return converted


def load_checkpoint(path: Path) -> Checkpoint:
    """Return the content of an openai-whisper .pt file."""
    import torch

    loaded: Checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    return loaded


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write an openai-whisper .pt file; it appears whole."""
    import torch

    part = path.with_name(path.name + ".part")
    torch.save(dict(checkpoint), part)
    part.replace(path)


# --- CTranslate2 -----------------------------------------------------------------------------------

# CTranslate2's codes of types: https://github.com/OpenNMT/CTranslate2 (model_spec.py)
CTRANSLATE2_TYPES: dict[int, type[np.generic]] = {
    0: np.float32,
    1: np.int8,
    2: np.int16,
    3: np.int32,
    4: np.float16,
}


class _Reader:
    """Reads little-endian values of a buffer in order."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def number(self, form: str) -> int:
        """Return the next integer: `form` is struct's ("I", "H", "B")."""
        value: int = struct.unpack_from("<" + form, self.data, self.position)[0]
        self.position += struct.calcsize(form)
        return value

    def take(self, size: int) -> bytes:
        self.position += size
        return self.data[self.position - size : self.position]

    def name(self) -> str:
        return self.take(self.number("H")).rstrip(b"\0").decode()


def read_ctranslate2(path: Path) -> Tensors:
    """Return the tensors of a model.bin by CTranslate2's names."""
    reader = _Reader(path.read_bytes())
    version, specification, _revision = reader.number("I"), reader.name(), reader.number("I")
    if version < 5 or specification != "WhisperSpec":
        raise SystemExit(f"{path} is not a Whisper model in CTranslate2's format 5 or newer.")
    tensors: Tensors = {}
    for _ in range(reader.number("I")):
        name = reader.name()
        shape = [reader.number("I") for _ in range(reader.number("B"))]
        kind = CTRANSLATE2_TYPES[reader.number("B")]
        tensors[name] = np.frombuffer(reader.take(reader.number("I")), kind).reshape(shape)
    for _ in range(reader.number("I")):
        alias = reader.name()
        tensors[alias] = tensors[reader.name()]
    for name in [
        name for name in tensors if f"{name}_scale" in tensors
    ]:  # rows of int8 with a scale
        scale = tensors[f"{name}_scale"].astype(np.float32)
        values = tensors[name].astype(np.float32)
        tensors[name] = values / scale.reshape(-1, *[1] * (values.ndim - 1))
    return tensors


def from_ctranslate2(folder: Path) -> Checkpoint:
    """Return openai-whisper's checkpoint of a model in CTranslate2's format.

    CTranslate2 stores the matrices of query, key and value as one, under other names.
    """
    import torch

    tensors = read_ctranslate2(folder / "model.bin")
    state: Tensors = {}
    layers = {side: _side_to_openai(tensors, state, side) for side in ("encoder", "decoder")}
    for convolution in ("encoder.conv1", "encoder.conv2"):
        _linear_to_openai(tensors, state, convolution.replace(".", "/"), convolution)
    _norm_to_openai(tensors, state, "encoder/layer_norm", "encoder.ln_post")
    _norm_to_openai(tensors, state, "decoder/layer_norm", "decoder.ln")
    for side in ("encoder", "decoder"):
        positions = tensors[f"{side}/position_encodings/encodings"]
        state[f"{side}.positional_embedding"] = positions
    embedding = tensors["decoder/embeddings/weight"]
    state["decoder.token_embedding.weight"] = embedding
    width = embedding.shape[1]
    heads = int(tensors.get("encoder/num_heads", np.array(width // 64)))
    return {
        "dims": {
            "n_mels": state["encoder.conv1.weight"].shape[1],
            "n_audio_ctx": state["encoder.positional_embedding"].shape[0],
            "n_audio_state": width,
            "n_audio_head": heads,
            "n_audio_layer": layers["encoder"],
            "n_vocab": embedding.shape[0],
            "n_text_ctx": state["decoder.positional_embedding"].shape[0],
            "n_text_state": width,
            "n_text_head": heads,
            "n_text_layer": layers["decoder"],
        },
        "model_state_dict": {n: torch.from_numpy(t.copy()) for n, t in state.items()},
    }


def _side_to_openai(tensors: Tensors, state: Tensors, side: str) -> int:
    """Add the layers of the encoder or the decoder to `state`. Returns their number."""
    layer = 0
    while f"{side}/layer_{layer}/ffn/linear_0/weight" in tensors:
        old, new = f"{side}/layer_{layer}", f"{side}.blocks.{layer}"
        _norm_to_openai(tensors, state, f"{old}/self_attention/layer_norm", f"{new}.attn_ln")
        own = (("query", "key", "value"), ("out",))
        _attention_to_openai(tensors, state, f"{old}/self_attention", f"{new}.attn", own)
        if side == "decoder":
            _norm_to_openai(tensors, state, f"{old}/attention/layer_norm", f"{new}.cross_attn_ln")
            cross = (("query",), ("key", "value"), ("out",))
            _attention_to_openai(tensors, state, f"{old}/attention", f"{new}.cross_attn", cross)
        _norm_to_openai(tensors, state, f"{old}/ffn/layer_norm", f"{new}.mlp_ln")
        _linear_to_openai(tensors, state, f"{old}/ffn/linear_0", f"{new}.mlp.0")
        _linear_to_openai(tensors, state, f"{old}/ffn/linear_1", f"{new}.mlp.2")
        layer += 1
    return layer


def _linear_to_openai(tensors: Tensors, state: Tensors, old: str, new: str) -> None:
    for part in ("weight", "bias"):
        state[f"{new}.{part}"] = tensors[f"{old}/{part}"]


def _norm_to_openai(tensors: Tensors, state: Tensors, old: str, new: str) -> None:
    state[f"{new}.weight"], state[f"{new}.bias"] = tensors[f"{old}/gamma"], tensors[f"{old}/beta"]


def _attention_to_openai(
    tensors: Tensors, state: Tensors, old: str, new: str, stacked: Sequence[Sequence[str]]
) -> None:
    """Split the matrices of one attention; `stacked` has the names of the parts of each."""
    for number, parts in enumerate(stacked):
        for kind in ("weight", "bias"):
            whole = tensors[f"{old}/linear_{number}/{kind}"]
            for part, values in zip(parts, np.split(whole, len(parts)), strict=True):
                if (part, kind) != ("key", "bias"):  # Whisper's keys have no bias
                    state[f"{new}.{part}.{kind}"] = values


# --- whisper.cpp -----------------------------------------------------------------------------------

GGML_MAGIC = 0x67676D6C  # "ggml"
GGML_FLOAT32, GGML_FLOAT16 = 0, 1  # codes of types, of tensors and of the whole file
DIMENSIONS = (  # in the order of the file's header
    "n_vocab",
    "n_audio_ctx",
    "n_audio_state",
    "n_audio_head",
    "n_audio_layer",
    "n_text_ctx",
    "n_text_state",
    "n_text_head",
    "n_text_layer",
    "n_mels",
)
# Vectors and these are float32 in a file of float16: whisper.cpp adds them to float32 activations.
ALWAYS_FLOAT32 = frozenset(
    (
        "encoder.conv1.bias",
        "encoder.conv2.bias",
        "encoder.positional_embedding",
        "decoder.positional_embedding",
    )
)
MULTILINGUAL_VOCABULARY = 51865  # at least: an English-only model has one token less


def write_ggml(checkpoint: Checkpoint, path: Path) -> None:
    """Write a ggml file in float16 for whisper.cpp; it appears whole.

    The file has, in order: the magic number, the dimensions and the type, the mel filters, the tokens, and
    the tensors, each with its number of dimensions, the length of its name, its type, its shape from the
    innermost dimension, its name and its values.
    """
    dims = checkpoint["dims"]
    part = path.with_name(path.name + ".part")
    with part.open("wb") as out:
        _integers(out, GGML_MAGIC, *(dims[name] for name in DIMENSIONS), GGML_FLOAT16)
        filters = mel_filters(dims["n_mels"])
        _integers(out, *filters.shape)
        out.write(filters.tobytes())
        tokens = vocabulary(dims["n_vocab"])
        _integers(out, len(tokens))
        for token in tokens:
            _integers(out, len(token))
            out.write(token)
        for name, tensor in checkpoint["model_state_dict"].items():
            _write_tensor(out, name, tensor.float().numpy())
    part.replace(path)


def _integers(out: BinaryIO, *values: int) -> None:
    out.write(struct.pack(f"<{len(values)}i", *values))


def _write_tensor(out: BinaryIO, name: str, values: NDArray[np.float32]) -> None:
    if name in ("encoder.conv1.bias", "encoder.conv2.bias"):
        values = values.reshape(-1, 1)  # added to each position
    single = values.ndim < 2 or name in ALWAYS_FLOAT32
    encoded = name.encode()
    _integers(out, values.ndim, len(encoded), GGML_FLOAT32 if single else GGML_FLOAT16)
    _integers(out, *reversed(values.shape))
    out.write(encoded)
    out.write(values.astype("<f4" if single else "<f2").tobytes())


def mel_filters(bands: int) -> NDArray[np.float32]:
    """Return openai-whisper's mel filters, of shape (bands, 201)."""
    with np.load(_whisper_assets() / "mel_filters.npz") as filters:
        found: NDArray[np.float32] = filters[f"mel_{bands}"].astype("<f4")
    return found


def vocabulary(size: int) -> list[bytes]:
    """Return the tokens of text in order. whisper.cpp adds the special ones, from `size`."""
    import base64

    name = "multilingual" if size >= MULTILINGUAL_VOCABULARY else "gpt2"
    lines = (_whisper_assets() / f"{name}.tiktoken").read_bytes().splitlines()
    ranked = sorted((int(rank), base64.b64decode(token)) for token, rank in map(bytes.split, lines))
    return [token for _, token in ranked]


def _whisper_assets() -> Path:
    import whisper

    return Path(whisper.__file__).parent / "assets"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="a .pt file, or a folder with a model.bin")
    parser.add_argument("out", type=Path, help="the file to write: .pt or .bin")
    options = parser.parse_args()
    if options.weights.is_dir():
        checkpoint = from_ctranslate2(options.weights)
    else:
        checkpoint = load_checkpoint(options.weights)
    write = save_checkpoint if options.out.suffix == ".pt" else write_ggml
    write(checkpoint, options.out)


if __name__ == "__main__":
    main()
