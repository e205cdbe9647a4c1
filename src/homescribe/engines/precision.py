"""Number types of the network on torch, and matrix products whose result does not depend on the batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from homescribe.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from whisper import Whisper

ROW_GROUP = 4  # rows that CPU kernels process at once; an incomplete group is rounded differently


def default_dtype(device: str) -> torch.dtype:
    """The fastest type that keeps the words right: float16 on a GPU, bfloat16 on CPUs with instructions
    for it (AVX512-BF16, AMX), float32 on other CPUs.
    """
    import torch

    if device == "cuda":
        return torch.float16
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
    return torch.bfloat16 if supported else torch.float32


def dtype_of(compute_type: str) -> torch.dtype:
    """Return torch's type named "float32", "float16" or "bfloat16". Raises UserError for other names."""
    import torch

    types = {
        "float32": torch.float32,
        "float16": torch.float16,
        "bfloat16": torch.bfloat16,
    }
    if compute_type not in types:
        raise UserError(
            f"openai-whisper has no compute type {compute_type!r}.",
            f"Use one of: {', '.join(types)}.",
        )
    return types[compute_type]


def convert_weights(model: Whisper, dtype: torch.dtype) -> None:
    """Convert the weights of `model` to `dtype`, except those of LayerNorm, which computes in float32."""
    import torch

    for module in model.modules():
        if not isinstance(module, torch.nn.LayerNorm):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(dtype)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x @ weight.T + bias. On a CPU, rows are padded to whole groups, so that the result for a row does
    not depend on the number of rows.
    """
    import torch.nn.functional as F  # noqa: N812 (its usual name)

    rows = x.numel() // x.shape[-1]
    if x.is_cuda or rows % ROW_GROUP == 0:
        return F.linear(x, weight, bias)
    flat = F.pad(x.reshape(rows, -1), (0, 0, 0, -rows % ROW_GROUP))
    return F.linear(flat, weight, bias)[:rows].view(*x.shape[:-1], -1)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(rows, positions, width) to (rows, heads, positions, width of a head)."""
    return x.view(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """(rows, heads, positions, width of a head) to (rows, positions, width)."""
    return x.transpose(1, 2).flatten(2)
