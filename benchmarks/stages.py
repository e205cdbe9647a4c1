"""Where the time of an hour of audio goes, and whether memory grows with the length of a recording.

    python -m benchmarks.stages --minutes 5 --lengths 10 60 600 --json stages.json

First table: CPU seconds per hour of audio, stage by stage, on one thread. Second: peak memory of a process
that transcribes one recording, by its length in minutes. That recording is mostly silence, a sentence a
minute, so that ten hours of it can be decoded and searched for speech in a few minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from benchmarks import speech as made
from benchmarks.memory import peak_bytes
from homescribe import demo
from homescribe.audio import SAMPLE_RATE, blocks
from homescribe.core import Audio, Item, TranscriptionOptions
from homescribe.engines import vad
from homescribe.engines.scheduler import Task

HOUR = 3600.0
BATCH = 8
ENGINES = ("faster-whisper", "openai-whisper")


# --- Time by stage ---------------------------------------------------------------------------------


def cpu_seconds(work: Callable[[], object]) -> float:
    before = time.process_time()
    work()
    return time.process_time() - before


def stages(paths: list[Path], seconds: float) -> dict[str, float]:
    """CPU seconds per hour of audio for each stage, with the bundled model."""
    import torch

    torch.set_num_threads(1)
    taken = {}
    for path in sorted(demo.samples().iterdir()):
        if path.suffix not in (".txt", ".json"):
            taken[f"decode {path.suffix[1:]}"] = decoding(path)
    waveforms = [block for path in paths for block in blocks(path)]
    whole = [w[: len(w) // vad.CHUNK * vad.CHUNK] for w in waveforms]
    detector = vad.Detector()
    taken["find speech"] = cpu_seconds(lambda: [detector(w) for w in whole]) / seconds * HOUR
    windows = list(vad.windows(waveforms))
    for name, network in networks():
        encode, write = network_seconds(network, windows)
        taken[f"{name}: encode"] = encode / seconds * HOUR
        taken[f"{name}: write"] = write / seconds * HOUR
    return taken


def decoding(path: Path) -> float:
    """CPU seconds to decode an hour of audio like that in `path`."""
    length = sum(len(block) for block in blocks(path)) / SAMPLE_RATE
    times = 20
    return cpu_seconds(lambda: [list(blocks(path)) for _ in range(times)]) / (times * length) * HOUR


def network_seconds(network: Any, windows: list[vad.Window]) -> tuple[float, float]:
    """CPU seconds that `network` takes to encode `windows`, and to write them down in batches of eight.

    CTranslate2 encodes while it writes: what it encodes here is the spectrogram.
    """
    features: list[Any] = []
    encode = cpu_seconds(lambda: features.extend(network.encode([w.samples for w in windows])))
    tokenizer = network.tokenizer("en", "transcribe")
    prompt = tuple(tokenizer.sot_sequence)
    tasks = [
        Task(w.samples, Event(), prompt, tokenizer, features=one)
        for w, one in zip(windows, features, strict=True)
    ]
    starts = range(0, len(tasks), BATCH)
    return encode, cpu_seconds(lambda: [network.write(tasks[s : s + BATCH]) for s in starts])


def networks() -> Iterator[tuple[str, Any]]:
    from homescribe.engines import checkpoint
    from homescribe.engines.faster_whisper import CTranslate2Network
    from homescribe.engines.torch_network import TorchNetwork

    yield "openai-whisper", TorchNetwork(checkpoint.load("demo", "cpu"), BATCH)
    yield "faster-whisper", CTranslate2Network("demo")


# --- Memory by length ------------------------------------------------------------------------------


def long_recording(path: Path, minutes: int) -> None:
    """A WAV file with a sentence at the start of every minute."""
    sentence = made.say("The quick brown fox jumps over the lazy dog.", "en-us", 165, 50)
    minute = np.zeros(60 * SAMPLE_RATE, np.int16)
    minute[SAMPLE_RATE : SAMPLE_RATE + len(sentence)] = sentence * 32767
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        for _ in range(minutes):
            out.writeframes(minute.tobytes())


def peak(engine_name: str, path: Path) -> dict[str, float]:
    """Peak memory and segments of one transcription, in this process."""
    from homescribe.plugins import load

    engine = load("engines", engine_name)("demo")
    audio = Audio(Item("file", path.name, str(path), path.stem), path)
    transcript = engine.transcribe(audio, TranscriptionOptions(), Event(), lambda _: None)
    engine.close()
    return {"segments": len(transcript.segments), "peak_bytes": peak_bytes()}


def memory(lengths: list[int], work: Path) -> list[dict[str, Any]]:
    rows = []
    for minutes in lengths:
        path = work / f"{minutes}.wav"
        long_recording(path, minutes)
        for name in ENGINES:
            command = [sys.executable, "-W", "ignore", "-m", "benchmarks.stages"]
            done = subprocess.run(
                [*command, "--child", name, str(path)], capture_output=True, text=True, check=True
            )
            rows.append({"engine": name, "minutes": minutes, **json.loads(done.stdout)})
            print(f"{name} {minutes} min", file=sys.stderr)
        path.unlink()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="of speech for the first table")
    parser.add_argument("--lengths", type=int, nargs="*", default=[10, 60, 600])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(peak(options.child[0], Path(options.child[1]))))
        return
    with tempfile.TemporaryDirectory() as folder:
        paths = made.make(Path(folder) / "audio", options.minutes)
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
