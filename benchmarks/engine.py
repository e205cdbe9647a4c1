"""The engines against what a user would pick instead: the same weights, the same recordings, one run.

    python -m benchmarks.engine --size small.en --minutes 10 --json engine.json

Speech is made (espeak-ng) or taken from --audio DIR, media with a .txt of the words beside each. Weights
are the bundled model's at the dimensions of --size, or --checkpoint FILE.pt with --converted FOLDER. Each
engine runs in a process of its own, in turns, --repeat times; a row has the medians:

    engine size audio_seconds seconds cpu_seconds wer peak_bytes

`seconds` is transcribing alone, without loading. On a machine with other work, compare `cpu_seconds` at
--threads 1: threads that wait for each other spin, and spinning counts. All decode greedily, without the
text before as a prompt.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

from benchmarks import inflate, speech
from benchmarks.memory import peak_bytes
from benchmarks.scoring import errors
from homescribe.audio import decode
from homescribe.core import Audio, Item, TranscriptionOptions

MEDIA = (".wav", ".mp3", ".m4a", ".webm", ".ogg", ".opus", ".flac")
BATCH = 8

Transcribe = Callable[[Sequence[Path]], list[str]]  # media to their texts


# --- The engines, each loaded in its own process ---------------------------------------------------


def whisper_transcribe(checkpoint: Path, converted: Path) -> Transcribe:
    import whisper

    model = whisper.load_model(str(checkpoint))
    fp16 = model.device.type == "cuda"

    def one(path: Path) -> str:
        result = model.transcribe(
            decode(path), language="en", fp16=fp16, condition_on_previous_text=False
        )
        return str(result["text"])

    return lambda paths: [one(path) for path in paths]


def faster_whisper(compute_type: str, batched: bool) -> Callable[[Path, Path], Transcribe]:
    def load(checkpoint: Path, converted: Path) -> Transcribe:
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        from homescribe.engines.loading import cores

        model: Any = WhisperModel(str(converted), compute_type=compute_type, cpu_threads=cores())
        options: dict[str, Any] = {"language": "en", "beam_size": 1, "vad_filter": True}
        if batched:
            model = BatchedInferencePipeline(model)
            options |= {"batch_size": BATCH, "without_timestamps": False}
        else:
            options["condition_on_previous_text"] = False

        def one(path: Path) -> str:
            segments, _ = model.transcribe(decode(path), **options)
            return "".join(segment.text for segment in segments)

        return lambda paths: [one(path) for path in paths]

    return load


def ours(name: str, network: Callable[[Path, Path], Any]) -> Callable[[Path, Path], Transcribe]:
    def load(checkpoint: Path, converted: Path) -> Transcribe:
        from homescribe.engines.batch_engine import BatchEngine

        engine = BatchEngine("benchmark", network(checkpoint, converted))
        engine.name = name

        def one(path: Path) -> str:
            audio = Audio(Item("file", path.name, str(path), path.stem), path)
            options = TranscriptionOptions(language="en")
            return engine.transcribe(audio, options, Event(), lambda _: None).text

        def several(paths: Sequence[Path]) -> list[str]:
            with ThreadPoolExecutor(engine.slots) as pool:
                return list(pool.map(one, paths))

        return several

    return load


def torch_network(dtype: str | None = None) -> Callable[[Path, Path], Any]:
    def network(checkpoint: Path, converted: Path) -> Any:
        import torch

        from homescribe.engines import checkpoint as loading
        from homescribe.engines.openai_whisper import batch_size
        from homescribe.engines.torch_network import TorchNetwork

        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = loading.load(str(checkpoint), device)
        return TorchNetwork(model, batch_size(model), getattr(torch, dtype) if dtype else None)

    return network


def ctranslate2_network(compute_type: str) -> Callable[[Path, Path], Any]:
    def network(checkpoint: Path, converted: Path) -> Any:
        from homescribe.engines.faster_whisper import CTranslate2Network

        return CTranslate2Network(str(converted), compute_type)

    return network


ENGINES: dict[str, Callable[[Path, Path], Transcribe]] = {
    "whisper.transcribe": whisper_transcribe,
    "faster-whisper sequential float32": faster_whisper("float32", batched=False),
    "faster-whisper sequential int8": faster_whisper("int8", batched=False),
    "faster-whisper batched float32": faster_whisper("float32", batched=True),
    "faster-whisper batched int8": faster_whisper("int8", batched=True),
    "homescribe openai-whisper": ours("openai-whisper", torch_network()),
    "homescribe openai-whisper float32": ours("openai-whisper", torch_network("float32")),
    "homescribe faster-whisper int8": ours("faster-whisper", ctranslate2_network("int8")),
}


# --- Measuring -------------------------------------------------------------------------------------


def measure(name: str, checkpoint: Path, converted: Path, paths: Sequence[Path]) -> dict[str, Any]:
    """What one engine takes for all `paths`, in this process."""
    transcribe = ENGINES[name](checkpoint, converted)
    began, cpu = time.perf_counter(), time.process_time()
    texts = transcribe(paths)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_bytes": peak_bytes(),
        "texts": texts,
    }


def child(name: str, options: argparse.Namespace, paths: Sequence[Path]) -> dict[str, Any]:
    """`measure` in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.engine", "--child", name]
    command += ["--checkpoint", str(options.checkpoint), "--converted", str(options.converted)]
    env = dict(os.environ)
    if options.threads:
        env["OMP_NUM_THREADS"] = str(options.threads)
    done = subprocess.run(
        command,
        input="\n".join(map(str, paths)),
        capture_output=True,
        text=True,
        check=False,
        env=env,
    )
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def row(name: str, size: str, paths: Sequence[Path], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The medians of `runs` beside the words that came out wrong."""
    wrong = total = 0
    for path, text in zip(paths, runs[0]["texts"], strict=True):
        edits, words = errors(path.with_suffix(".txt").read_text(), text)
        wrong, total = wrong + edits, total + words
    medians = {
        key: statistics.median(run[key] for run in runs)
        for key in ("seconds", "cpu_seconds", "peak_bytes")
    }
    audio_seconds = sum(len(decode(path)) for path in paths) / 16_000
    return {
        "engine": name,
        "size": size,
        "audio_seconds": round(audio_seconds, 1),
        **{key: round(value, 2) for key, value in medians.items()},
        "wer": round(wrong / max(1, total), 4),
        "runs": len(runs),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    head = "| engine | size | audio s | seconds | times realtime | CPU s | WER % | peak MB |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for r in rows:
        speed = r["audio_seconds"] / r["seconds"]
        lines.append(
            f"| {r['engine']} | {r['size']} | {r['audio_seconds']:.0f} | {r['seconds']:.1f} |"
            f" {speed:.1f} | {r['cpu_seconds']:.1f} | {100 * r['wer']:.2f} |"
            f" {r['peak_bytes'] / 1e6:.0f} |"
        )
    return "\n".join(lines)


def run(options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    if options.checkpoint is None:
        options.checkpoint, options.converted = inflate.make(options.size, options.work or work)
    folder = options.audio or work / "audio"
    if options.audio is None:
        speech.make(folder, options.minutes, options.seed)
    paths = sorted(
        p for p in folder.iterdir() if p.suffix in MEDIA and p.with_suffix(".txt").exists()
    )
    if not paths:
        raise SystemExit(f"No media with a .txt beside it in {folder}.")
    names = [name for name in ENGINES if not options.engine or name in options.engine]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number in range(options.repeat):
        for name in names:
            runs[name].append(child(name, options, paths))
            last = runs[name][-1]
            told = f"{last['seconds']:.1f} s, {last['cpu_seconds']:.1f} s of CPU"
            print(f"{number + 1} {name}: {told}", file=sys.stderr)
    return [row(name, options.size, paths, runs[name]) for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="tiny.en", choices=inflate.SIZES)
    parser.add_argument("--minutes", type=float, default=10.0, help="of speech to make")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--audio", type=Path, help="media with .txt beside each, in place of that")
    parser.add_argument("--engine", action="append", choices=ENGINES, help="only this (repeatable)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of every engine; all cores without it")
    parser.add_argument("--json", type=Path, help="where to write the rows")
    parser.add_argument("--work", type=Path, help="where inflated weights are kept")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--converted", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        paths = [Path(line) for line in sys.stdin.read().splitlines()]
        print(json.dumps(measure(options.child, options.checkpoint, options.converted, paths)))
        return
    with tempfile.TemporaryDirectory() as work:
        rows = run(options, Path(work))
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
