"""Whisper's encoder in ONNX Runtime, exported from the weights of openai-whisper by torch.

Only for measuring: homescribe has no engine that runs Whisper there. Int8 is the dynamic quantization of
`onnxruntime.quantization`, with the signed weights that it recommends for processors without VNNI, too.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Encoder = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def load(checkpoint: str, frames: int, *, int8: bool) -> Encoder:
    """Return the encoder for spectrograms of shape (1, mels, `frames`), on one thread."""
    import onnxruntime
    import torch
    import whisper

    # Its fused attention has no place in the operators of the exported file.
    whisper.model.MultiHeadAttention.use_sdpa = False
    model = whisper.load_model(checkpoint, device="cpu")
    encoder = model.encoder.eval()
    encoder.positional_embedding = encoder.positional_embedding[: frames // 2]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "encoder.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the older exporter, and about its asserts
            torch.onnx.export(
                encoder,
                (torch.zeros(1, model.dims.n_mels, frames),),
                str(path),
                dynamo=False,
                opset_version=17,
                input_names=["mel"],
                output_names=["states"],
            )
        if int8:
            from onnxruntime.quantization import QuantType, quantize_dynamic

            smaller = path.with_name("int8.onnx")
            quantize_dynamic(
                path, smaller, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"]
            )
            path = smaller
        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            str(path), providers=["CPUExecutionProvider"], sess_options=options
        )

    def encode(mel: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(session.run(None, {"mel": mel})[0], np.float32)

    return encode
