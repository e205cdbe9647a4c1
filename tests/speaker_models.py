"""Small ONNX models with the inputs, outputs and metadata of real ones, for voices that are pure tones.

A voice is a tone of one of PITCHES. The segmentation model finds them by their power at these pitches; local
speaker k is a tone of number k or k + 3, so that it cannot tell all of them apart, as the real one cannot.
The embedding of a tone is its spectrum.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RATE = 16_000
PITCHES = (300, 700, 1300, 2100, 3300, 5200)  # Hz
CHUNK = 160_000  # samples, as in pyannote's segmentation 3.0
FRAME = 270
FIELD = 991
QUIET = 0.01  # amplitude below which a tone is not heard


def tone(voice: int, seconds: float, level: float = 0.3) -> np.ndarray:
    """Somebody speaks for that time."""
    times = np.arange(round(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * PITCHES[voice] * times)).astype(np.float32)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), np.float32)


def save(graph, path: Path, metadata: dict) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(
        model, {key: str(value) for key, value in metadata.items() if value is not None}
    )
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def constant(name: str, value) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)


def segmentation_model(path: Path, **metadata) -> Path:
    times = np.arange(FIELD) / RATE
    waves = [f(2 * np.pi * pitch * times) for pitch in PITCHES for f in (np.sin, np.cos)]
    kernels = np.stack(waves).astype(np.float32)[:, None] * (2 / FIELD)
    power = np.zeros((2 * len(PITCHES), 3), np.float32)  # which local speaker has which tone
    for row in range(len(power)):
        power[row, row // 2 % 3] = 1.0
    classes = np.array(
        [[0, 1, 0, 0, 1, 1, 0], [0, 0, 1, 0, 1, 0, 1], [0, 0, 0, 1, 0, 1, 1]], np.float32
    )
    nodes = [
        helper.make_node("Conv", ["x", "kernels"], ["waves"], strides=[FRAME]),
        helper.make_node("Mul", ["waves", "waves"], ["squares"]),
        helper.make_node("Transpose", ["squares"], ["frames"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["frames", "power"], ["local"]),
        helper.make_node("Sub", ["local", "quiet"], ["louder"]),
        helper.make_node("Mul", ["louder", "scale"], ["scaled"]),
        helper.make_node("Clip", ["scaled", "low", "high"], ["clipped"]),
        helper.make_node("MatMul", ["clipped", "classes"], ["logits"]),
        helper.make_node("LogSoftmax", ["logits"], ["y"], axis=2),
    ]
    graph = helper.make_graph(
        nodes,
        "segmentation",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, "T"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "F", 7])],
        [
            *(constant("kernels", kernels), constant("power", power)),
            *(constant("classes", classes), constant("quiet", np.float32(QUIET**2))),
            *(constant("scale", np.float32(1e6)), constant("low", np.float32(-20))),
            constant("high", np.float32(20)),
        ],
    )
    values = {
        "model_type": "pyannote-segmentation-3.0",
        "sample_rate": RATE,
        "num_classes": 7,
        "window_size": CHUNK,
        "receptive_field_size": FIELD,
        "receptive_field_shift": FRAME,
        "num_speakers": 3,
        "powerset_max_classes": 2,
    }
    return save(graph, path, values | metadata)


def embedding_model(path: Path, **metadata) -> Path:
    """From 80 logarithmic mel bands per frame: the share of each band in the recording."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Softmax", ["mean"], ["embedding"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "embedding",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "T", 80])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["N", 80])],
    )
    values = {
        "framework": "3d-speaker",
        "language": "en",
        "sample_rate": RATE,
        "output_dim": 80,
        "normalize_samples": 1,
        "feature_normalize_type": "",
        "comment": "test",
    }
    return save(graph, path, values | metadata)
