"""The engine of `--engine openai-whisper`: OpenAI's own weights on torch, windows of many recordings at once.

float16 on a GPU; on a CPU bfloat16 where the processor multiplies it, float32 elsewhere.
"""

from __future__ import annotations

from typing import Any

from homescribe.core import EngineRequirements
from homescribe.engines import checkpoint
from homescribe.engines.batch_engine import PACKAGES, BatchEngine
from homescribe.engines.languages import LANGUAGES
from homescribe.engines.torch_network import TorchNetwork

ON_CPU = 8  # windows: more do not make a CPU faster
ON_GPU = 64
SHARE = 0.5  # of the free memory of a GPU that a batch may take; the workings take the rest


def gpu_available() -> bool:
    """Return whether torch finds a CUDA device."""
    import torch

    return bool(torch.cuda.is_available())


class OpenAIWhisper(BatchEngine):
    """A loaded model: one of openai-whisper's names, a .pt file, a folder that holds one, or
    "demo"."""

    name = "openai-whisper"
    requirements = EngineRequirements(
        packages=(
            *PACKAGES,
            "openai-whisper==20250625",
            "torch==2.13.0",
            "numba==0.68.1",
            "tiktoken==0.14.0",
        ),
        languages=LANGUAGES,
        tasks=("transcribe", "translate"),
        download=checkpoint.download,
        gpu_available=gpu_available,
        slots=8,
    )

    def __init__(self, model: str) -> None:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        loaded = checkpoint.load(model, device)
        super().__init__(model, TorchNetwork(loaded, batch_size(loaded)))


def batch_size(model: Any) -> int:
    """Windows of `model` that fit into memory at once: at most ON_GPU, a power of two."""
    import torch

    if model.device.type == "cpu":
        return ON_CPU
    dims = model.dims
    width, layers, half = dims.n_text_state, dims.n_text_layer, 2  # bytes of a float16
    memory = 2 * layers * (dims.n_audio_ctx + dims.n_text_ctx) * width * half  # keys and values
    # Inside the encoder's widest layer: its input, its four times wider middle, and the scores beside.
    workings = dims.n_audio_ctx * width * 16 * half
    logits = 4 * dims.n_vocab * 4
    free, _ = torch.cuda.mem_get_info(model.device)
    fitting = int(free * SHARE / (memory + workings + logits))
    return min(ON_GPU, 1 << max(0, fitting.bit_length() - 1))
