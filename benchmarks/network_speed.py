"""Measure Whisper's network alone: what the engines reach of one processor core, by instruction set.

    python -m benchmarks.network_speed talk.flac --model FOLDER

Windows of 10, 20 and 30 seconds of the recording go through the encoder, and four of 20 seconds through the
decoder, alone and together, with greedy search. The decoder's time is that of one token, because rounding
changes where a text ends. Of ONNX Runtime the encoder alone is measured. One thread; each row is a process of
its own. AVX2 means that the libraries are limited by variables of their own:
CT2_FORCE_CPU_ISA, ONEDNN_MAX_CPU_ISA, ATEN_CPU_CAPABILITY. GFLOP/s are the operations that the encoder needs
by its dimensions, divided by its time; the product of two large float32 matrices in numpy shows what the core
reaches. --model is as in benchmarks.accuracy.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import TypedDict

import numpy as np

from benchmarks import onnx_encoder, weights
from benchmarks.accuracy_tables import table
from benchmarks.implementations import Model
from homescribe.audio import SAMPLE_RATE, decode
from homescribe.engines.whisper_network import (
    FRAMES_PER_SECOND,
    DecodingOptions,
    DecodingTask,
    WhisperNetwork,
)

ENCODED = (10, 20, 30)  # seconds
DECODED = 20  # seconds
BATCH = 4
AVX2 = {
    "CT2_FORCE_CPU_ISA": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "DNNL_MAX_CPU_ISA": "AVX2",  # older name, which CTranslate2's copy may read
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
}
ONNX_RUNTIME = "ONNX Runtime"
NETWORKS = (
    ("faster-whisper", "int8"),
    ("faster-whisper", "float32"),
    ("openai-whisper", "float32"),
    ("openai-whisper", "bfloat16"),
    (ONNX_RUNTIME, "float32"),
    (ONNX_RUNTIME, "int8"),
)


class Times(TypedDict):
    """CPU seconds of one network."""

    encoder: list[float]  # for a window of each of ENCODED
    alone: float | None  # the decoder, for a token of a window by itself
    together: float | None  # for a token of a window in a batch of BATCH


def fastest(work: Callable[[], object], rounds: int) -> float:
    """Return the CPU seconds of the fastest of `rounds` runs of `work`, after one that is not counted."""
    work()
    times = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return min(times)


def load(engine: str, model: Model, compute_type: str) -> WhisperNetwork:
    """Return the network of an engine."""
    from homescribe.engines.faster_whisper import FasterWhisper
    from homescribe.engines.openai_whisper import OpenAIWhisper

    if engine == "faster-whisper":
        return FasterWhisper(model.converted, compute_type).network
    return OpenAIWhisper(model.checkpoint, compute_type).network


def measure(engine: str, model: Model, compute_type: str, recording: Path, rounds: int) -> Times:
    """Measure one network in this process."""
    network = load(engine, model, compute_type)
    network.start_worker()
    audio = decode(recording)
    encoder = []
    for seconds in ENCODED:
        window = audio[: seconds * SAMPLE_RATE]
        encoder.append(
            fastest(lambda w=window, s=seconds: network.encode([w], s * FRAMES_PER_SECOND), rounds)  # type: ignore[misc]
        )
    options = DecodingOptions(network.tokenizer("en", "transcribe"))
    size = DECODED * SAMPLE_RATE
    tasks = [
        DecodingTask(
            samples,
            network.decode,
            options,
            Event(),
            features=network.encode([samples], DECODED * FRAMES_PER_SECOND)[0],
        )
        for samples in (audio[start : start + size] for start in range(0, BATCH * size, size))
    ]
    alone = fastest(lambda: [network.decode([task]) for task in tasks], rounds)
    tokens_alone = sum(len(network.decode([task])[0].tokens) for task in tasks)
    together = fastest(lambda: network.decode(tasks), rounds)
    tokens_together = sum(len(result.tokens) for result in network.decode(tasks))
    return {
        "encoder": encoder,
        "alone": alone / tokens_alone,
        "together": together / tokens_together,
    }


def measure_onnx(model: Model, compute_type: str, recording: Path, rounds: int) -> Times:
    """Measure the encoder in ONNX Runtime, which has no decoder here."""
    import whisper

    mels = whisper.load_model(model.checkpoint, device="cpu").dims.n_mels
    audio = decode(recording)
    encoder = []
    for seconds in ENCODED:
        encode = onnx_encoder.load(
            model.checkpoint, seconds * FRAMES_PER_SECOND, int8=compute_type == "int8"
        )
        window = audio[: seconds * SAMPLE_RATE]
        mel = whisper.log_mel_spectrogram(window, n_mels=mels).numpy()[None]
        encoder.append(fastest(lambda e=encode, m=mel: e(m), rounds))  # type: ignore[misc]
    return {"encoder": encoder, "alone": None, "together": None}


def operations(checkpoint: str, seconds: float) -> float:
    """Return the multiplications and additions of the encoder for a window."""
    import torch

    dims = torch.load(checkpoint, map_location="cpu", mmap=True)["dims"]
    width, layers = dims["n_audio_state"], dims["n_audio_layer"]
    positions = seconds * FRAMES_PER_SECOND / 2
    convolutions = 2 * positions * 3 * width * (2 * dims["n_mels"] + width)
    return float(convolutions + layers * (2 * positions * 12 * width**2 + 4 * positions**2 * width))


def peak(rounds: int) -> float:
    """Return the operations per second of numpy's product of two large float32 matrices."""
    size = 1500
    matrix = np.ones((size, size), np.float32)
    return 2.0 * size**3 / fastest(lambda: matrix @ matrix, rounds)


def child(arguments: list[str], limits: dict[str, str]) -> Times:
    """Run this module in a process with one thread and these variables."""
    environment = {**os.environ, **limits, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.network_speed", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    times: Times = json.loads(done.stdout.splitlines()[-1])
    return times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", type=Path, help="a media file of 80 seconds or more")
    parser.add_argument("--model", default="base", help="name or folder of a model")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument("--child", nargs=2, metavar=("ENGINE", "TYPE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    model = weights.find(options.model)
    if options.child:
        engine, compute_type = options.child
        if engine == ONNX_RUNTIME:
            times = measure_onnx(model, compute_type, options.recording, options.rounds)
        else:
            times = measure(engine, model, compute_type, options.recording, options.rounds)
        print(json.dumps(times))
        return
    arguments = [str(options.recording), "--model", options.model, "--rounds", str(options.rounds)]
    rows = []
    for engine, compute_type in NETWORKS:
        for name, limits in (("all", {}), ("AVX2", AVX2)):
            if engine == ONNX_RUNTIME and limits:
                continue  # it has no such limit
            times = child([*arguments, "--child", engine, compute_type], limits)
            speeds = [
                operations(model.checkpoint, s) / t / 1e9
                for s, t in zip(ENCODED, times["encoder"], strict=True)
            ]
            rows.append(
                [
                    f"{engine} {compute_type}, {name}",
                    *(f"{t:.2f} ({v:.0f})" for t, v in zip(times["encoder"], speeds, strict=True)),
                    *(
                        "-" if t is None else f"{t * 1000:.1f}"
                        for t in (times["alone"], times["together"])
                    ),
                ]
            )
    encoder = (f"encoder {seconds} s (GFLOP/s)" for seconds in ENCODED)
    print(
        table(
            [
                "CPU seconds for a window",
                *encoder,
                "decoder, ms a token",
                f"batch of {BATCH}, ms a token",
            ],
            rows,
        )
    )
    print(f"\nnumpy, float32: {peak(options.rounds) / 1e9:.0f} GFLOP/s on all threads")


if __name__ == "__main__":
    main()
