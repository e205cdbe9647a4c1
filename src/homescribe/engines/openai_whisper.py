"""The engine openai-whisper: OpenAI's own weights on torch, with windows of many recordings in one batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homescribe.core import EngineRequirements
from homescribe.engines import cpu
from homescribe.engines.batch_engine import PACKAGES, BatchEngine
from homescribe.engines.languages import LANGUAGES
from homescribe.engines.models import (
    check_openai_whisper,
    download_openai_whisper,
    load_openai_whisper,
)
from homescribe.engines.precision import dtype_of
from homescribe.engines.torch_network import TorchNetwork

if TYPE_CHECKING:
    from whisper import Whisper

CPU_BATCH = 4  # windows of one worker; larger batches are hardly faster on a CPU
MAX_GPU_BATCH = 64
MEMORY_SHARE = 0.5  # of a GPU's free memory for a batch; the rest is for what is not estimated


def gpu_available() -> bool:
    """Return whether torch finds a CUDA device."""
    import torch

    return bool(torch.cuda.is_available())


class OpenAIWhisper(BatchEngine):
    """A loaded model: one of openai-whisper's names, a .pt file, a folder with one, or "demo".

    `compute_type` is "float32", "float16" or "bfloat16". Default: float16 on a GPU, bfloat16 on CPUs with
    instructions for it, float32 on others.
    """

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
        download=download_openai_whisper,
        check_model=check_openai_whisper,
        gpu_available=gpu_available,
        slots=8,
        imports=("av", "onnxruntime", "torch", "whisper"),
    )

    def __init__(self, model: str, compute_type: str | None = None) -> None:
        device = "cuda" if gpu_available() else "cpu"
        if device == "cpu":
            cpu.keep_freed_memory()
        loaded = load_openai_whisper(model, device)
        dtype = dtype_of(compute_type) if compute_type else None
        super().__init__(model, TorchNetwork(loaded, batch_size(loaded), dtype))


def batch_size(model: Whisper) -> int:
    """Windows of `model` that fit into memory at once: a power of two, at most MAX_GPU_BATCH."""
    import torch

    if model.device.type == "cpu":
        return CPU_BATCH
    dims = model.dims
    width, layers, float16 = dims.n_text_state, dims.n_text_layer, 2  # bytes
    cache = 2 * layers * (dims.n_audio_ctx + dims.n_text_ctx) * width * float16  # keys and values
    # The encoder's widest layer: its input, the four times wider hidden layer, and attention scores.
    encoder = dims.n_audio_ctx * width * 16 * float16
    logits = 4 * dims.n_vocab * 4
    free, _ = torch.cuda.mem_get_info(model.device)
    fitting = int(free * MEMORY_SHARE / (cache + encoder + logits))
    return min(MAX_GPU_BATCH, 1 << max(0, fitting.bit_length() - 1))
