"""Compare homescribe's engines with what users would run instead, on the same weights and recordings.

    python -m benchmarks.engine_speed --size small.en --minutes 10 --json engines.json

The speech is synthetic (espeak-ng), or media from --audio DIR with a .txt of the words beside each file. The
weights are the bundled model scaled up to the dimensions of --size, or --checkpoint FILE.pt together with
--converted FOLDER. Each implementation runs in a process of its own, in turns, --repeat times. A row of the
output has the medians:

    engine size audio_seconds seconds cpu_seconds wer peak_bytes

`seconds` is transcription alone, without loading the model. On a machine with other work, compare
`cpu_seconds` at --threads 1: threads that wait for each other spin, which counts as CPU time. All
implementations decode greedily and without the previous text as a prompt.
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
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from benchmarks import scaled_model, synthetic_speech
from benchmarks.implementations import IMPLEMENTATIONS
from benchmarks.memory import peak_bytes
from benchmarks.word_errors import word_errors
from homescribe.audio import SAMPLE_RATE, decode

MEDIA = (".wav", ".mp3", ".m4a", ".webm", ".ogg", ".opus", ".flac")


class Measurement(TypedDict):
    """One run of one implementation over all recordings."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    texts: list[str]  # of each recording


class Row(TypedDict):
    """One implementation: medians of its runs, and the word error rate of the first."""

    engine: str
    size: str
    audio_seconds: float
    seconds: float
    cpu_seconds: float
    peak_bytes: float
    wer: float
    runs: int


def measure(name: str, checkpoint: Path, converted: Path, paths: Sequence[Path]) -> Measurement:
    """Transcribe all `paths` with one implementation, in this process."""
    transcribe = IMPLEMENTATIONS[name](checkpoint, converted)
    start, cpu_start = time.perf_counter(), time.process_time()
    texts = transcribe(paths)
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu_start,
        "peak_bytes": peak_bytes(),
        "texts": texts,
    }


def measure_in_child(name: str, options: argparse.Namespace, paths: Sequence[Path]) -> Measurement:
    """Run `measure` in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.engine_speed", "--child", name]
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
    result: Measurement = json.loads(done.stdout.splitlines()[-1])
    return result


def summarize(name: str, size: str, paths: Sequence[Path], runs: Sequence[Measurement]) -> Row:
    """Return the medians of `runs` and the word error rate."""
    wrong = total = 0
    for path, text in zip(paths, runs[0]["texts"], strict=True):
        edits, words = word_errors(path.with_suffix(".txt").read_text(), text)
        wrong, total = wrong + edits, total + words
    audio_seconds = sum(len(decode(path)) for path in paths) / SAMPLE_RATE
    return {
        "engine": name,
        "size": size,
        "audio_seconds": round(audio_seconds, 1),
        "seconds": round(statistics.median(run["seconds"] for run in runs), 2),
        "cpu_seconds": round(statistics.median(run["cpu_seconds"] for run in runs), 2),
        "peak_bytes": round(statistics.median(run["peak_bytes"] for run in runs), 2),
        "wer": round(wrong / max(1, total), 4),
        "runs": len(runs),
    }


def table(rows: Sequence[Row]) -> str:
    """Return `rows` as a Markdown table."""
    head = "| engine | size | audio s | seconds | times realtime | CPU s | WER % | peak MB |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for row in rows:
        speed = row["audio_seconds"] / row["seconds"]
        lines.append(
            f"| {row['engine']} | {row['size']} | {row['audio_seconds']:.0f} | {row['seconds']:.1f} |"
            f" {speed:.1f} | {row['cpu_seconds']:.1f} | {100 * row['wer']:.2f} |"
            f" {row['peak_bytes'] / 1e6:.0f} |"
        )
    return "\n".join(lines)


def run(options: argparse.Namespace, work: Path) -> list[Row]:
    """Measure the selected implementations. Files that are made go to `work`."""
    if options.checkpoint is None:
        options.checkpoint, options.converted = scaled_model.make(
            options.size, options.work or work
        )
    folder = options.audio or work / "audio"
    if options.audio is None:
        synthetic_speech.make(folder, options.minutes, options.seed)
    paths = sorted(
        p for p in folder.iterdir() if p.suffix in MEDIA and p.with_suffix(".txt").exists()
    )
    if not paths:
        raise SystemExit(f"{folder} contains no media with a .txt beside it.")
    names = [name for name in IMPLEMENTATIONS if not options.engine or name in options.engine]
    runs: dict[str, list[Measurement]] = {name: [] for name in names}
    for number in range(options.repeat):
        for name in names:
            measured = measure_in_child(name, options, paths)
            runs[name].append(measured)
            times = f"{measured['seconds']:.1f} s, {measured['cpu_seconds']:.1f} s of CPU"
            print(f"{number + 1} {name}: {times}", file=sys.stderr)
    return [summarize(name, options.size, paths, runs[name]) for name in names]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="tiny.en", choices=scaled_model.SIZES)
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes of speech to make")
    parser.add_argument("--seed", type=int, default=1, help="seed of that speech")
    parser.add_argument("--audio", type=Path, help="use this folder of media with .txt files")
    parser.add_argument(
        "--engine", action="append", choices=IMPLEMENTATIONS, help="run only this (repeatable)"
    )
    parser.add_argument("--repeat", type=int, default=3, help="runs of each implementation")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores)")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--work", type=Path, help="keep the scaled weights in this folder")
    parser.add_argument("--checkpoint", type=Path, help="weights for openai-whisper (.pt)")
    parser.add_argument("--converted", type=Path, help="weights for faster-whisper (folder)")
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
