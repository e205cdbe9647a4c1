"""Measure the CPU time of each stage of an hour of audio, and memory by length of the recording.

    python -m benchmarks.stages --minutes 5 --lengths 10 60 600 --json stages.json

The first table has CPU seconds per hour of audio for each stage, on one thread. The second has the peak
memory of a process that transcribes one recording, by its length in minutes. That recording is mostly
silence, with one sentence a minute, so that ten hours of it take only a few minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from benchmarks import synthetic_speech
from benchmarks.implementations import audio_of
from benchmarks.memory import peak_bytes
from homescribe import demo
from homescribe.audio import SAMPLE_RATE, blocks
from homescribe.core import Engine, TranscriptionOptions
from homescribe.engines.vad import SpeechDetector, pieces
from homescribe.engines.whisper_network import DecodingOptions, DecodingTask, WhisperNetwork
from homescribe.engines.windows import Window, split_windows

HOUR = 3600.0
BATCH_SIZE = 8
ENGINES = ("faster-whisper", "openai-whisper")


# --- Time by stage ---------------------------------------------------------------------------------


def cpu_seconds(work: Callable[[], object]) -> float:
    """Return the CPU time that calling `work` takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def stages(paths: Sequence[Path], seconds: float) -> dict[str, float]:
    """Return CPU seconds per hour of audio for each stage, with the bundled model."""
    import torch

    torch.set_num_threads(1)
    taken = {}
    for path in sorted(demo.samples().iterdir()):
        if path.suffix not in (".txt", ".json"):
            taken[f"decode {path.suffix[1:]}"] = audio_decoding(path)
    waveforms = [block for path in paths for block in blocks(path)]
    taken["detect speech"] = cpu_seconds(lambda: detect(waveforms)) / seconds * HOUR
    windows = list(split_windows(waveforms))
    for name, network in networks():
        encoding, decoding = network_seconds(network, windows)
        taken[f"{name}: encoder"] = encoding / seconds * HOUR
        taken[f"{name}: decoder"] = decoding / seconds * HOUR
    return taken


def detect(waveforms: Sequence[NDArray[np.float32]]) -> None:
    """Run the speech detector over `waveforms`, one after another."""
    detector = SpeechDetector()
    for waveform in waveforms:
        for piece in pieces(waveform):
            detector.extend(piece)


def audio_decoding(path: Path) -> float:
    """Return the CPU seconds to decode an hour of audio such as `path`."""
    length = sum(len(block) for block in blocks(path)) / SAMPLE_RATE
    times = 20
    return cpu_seconds(lambda: [list(blocks(path)) for _ in range(times)]) / (times * length) * HOUR


def network_seconds(network: WhisperNetwork, windows: Sequence[Window]) -> tuple[float, float]:
    """Return the CPU seconds of `network.encode` and `network.decode` for `windows`, in batches of eight.

    `encode` computes the spectrogram and runs the encoder, on both networks.
    """
    features: list[object] = []
    samples = [window.samples for window in windows]
    length = max(map(network.padded_length, samples))
    encoding = cpu_seconds(lambda: features.extend(network.encode(samples, length)))
    tokenizer = network.tokenizer("en", "transcribe")
    options = DecodingOptions(tokenizer)
    tasks = [
        DecodingTask(w.samples, network.decode, options, Event(), features=one)
        for w, one in zip(windows, features, strict=True)
    ]
    starts = range(0, len(tasks), BATCH_SIZE)
    decoding = cpu_seconds(lambda: [network.decode(tasks[s : s + BATCH_SIZE]) for s in starts])
    return encoding, decoding


def networks() -> Iterator[tuple[str, WhisperNetwork]]:
    """Yield the bundled model on torch and on CTranslate2."""
    from homescribe.engines.ctranslate2_network import CTranslate2Network
    from homescribe.engines.models import load_openai_whisper
    from homescribe.engines.torch_network import TorchNetwork

    yield "openai-whisper", TorchNetwork(load_openai_whisper("demo", "cpu"), BATCH_SIZE)
    yield "faster-whisper", CTranslate2Network("demo")


# --- Memory by length ------------------------------------------------------------------------------


class Peak(TypedDict):
    """Peak memory of one transcription."""

    segments: int
    peak_bytes: int


class MemoryRow(Peak):
    engine: str
    minutes: int


def write_long_recording(path: Path, minutes: int) -> None:
    """Write a WAV file with one sentence at the start of every minute."""
    sentence = synthetic_speech.say(
        "The quick brown fox jumps over the lazy dog.", "en-us", 165, 50
    )
    minute = np.zeros(60 * SAMPLE_RATE, np.int16)
    minute[SAMPLE_RATE : SAMPLE_RATE + len(sentence)] = sentence * 32767
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        for _ in range(minutes):
            out.writeframes(minute.tobytes())


def peak(engine_name: str, path: Path) -> Peak:
    """Transcribe `path` in this process and return its peak memory."""
    from homescribe.plugins import load

    engine: Engine = load("engines", engine_name)("demo")
    transcript = engine.transcribe(audio_of(path), TranscriptionOptions(), Event(), lambda _: None)
    engine.close()
    return {"segments": len(transcript.segments), "peak_bytes": peak_bytes()}


def memory(lengths: Sequence[int], work: Path) -> list[MemoryRow]:
    """Measure `peak` for every engine and length in minutes, each in a process of its own."""
    rows: list[MemoryRow] = []
    for minutes in lengths:
        path = work / f"{minutes}.wav"
        write_long_recording(path, minutes)
        for name in ENGINES:
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.stages"]
            done = subprocess.run(
                [*command, "--child", name, str(path)], capture_output=True, text=True, check=True
            )
            measured: Peak = json.loads(done.stdout)
            rows.append({"engine": name, "minutes": minutes, **measured})
            print(f"{name} {minutes} min", file=sys.stderr)
        path.unlink()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--minutes", type=float, default=5.0, help="minutes of speech for the first table"
    )
    parser.add_argument(
        "--lengths",
        type=int,
        nargs="*",
        default=[10, 60, 600],
        help="minutes of the recordings for the second table",
    )
    parser.add_argument("--json", type=Path, help="write both tables to this file")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(peak(options.child[0], Path(options.child[1]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = synthetic_speech.make(Path(folder) / "audio", options.minutes)
        seconds = sum(len(b) for path in paths for b in blocks(path)) / SAMPLE_RATE
        taken = stages(paths, seconds)
        rows = memory(options.lengths, Path(folder))
    print("| stage | CPU s per hour of audio |", "|---|---|", sep="\n")
    for stage, value in taken.items():
        print(f"| {stage} | {value:.1f} |")
    print("", "| engine | minutes | peak MB |", "|---|---|---|", sep="\n")
    for row in rows:
        print(f"| {row['engine']} | {row['minutes']} | {row['peak_bytes'] / 1e6:.0f} |")
    if options.json:
        options.json.write_text(json.dumps({"stages": taken, "memory": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
