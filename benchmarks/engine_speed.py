"""Measure the time that homescribe and other tools take for the same recordings, with the same weights.

    python -m benchmarks.engine_speed recordings/ --model base
    python -m benchmarks.engine_speed talk.mp3 --model FOLDER --rounds 5 --json speed.json

A recording is a media file, or a folder. Of a folder with a manifest.json (see benchmarks/corpus.py), the
recordings of the kind "longform" are used, or all if it has none; of another folder, all media files.
--model is as in benchmarks.accuracy.

Each run is a whole process: it starts, loads the model, transcribes all recordings in one go and writes a
text file for each. The implementations take turns, --rounds times, on --threads processor cores. The table
has the medians of wall time and CPU time (user and system, of child processes too), the largest peak memory,
and the words wrong if the manifest has references.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from benchmarks import corpus, scoring, weights
from benchmarks.accuracy_tables import percent, table
from benchmarks.corpus import Recording
from benchmarks.implementations import PEERS, Model, is_english_only, loader
from homescribe.audio import SAMPLE_RATE, blocks

MEDIA = (".wav", ".mp3", ".m4a", ".webm", ".ogg", ".opus", ".flac", ".mp4", ".mkv")

# The command line of homescribe: engine and options.
OURS = {
    "homescribe": ("faster-whisper",),
    "homescribe greedy": ("faster-whisper", "--beam-size", "1"),
    "homescribe beam 5": ("faster-whisper", "--beam-size", "5"),
    "homescribe openai-whisper": ("openai-whisper",),
    "homescribe openai-whisper greedy": ("openai-whisper", "--beam-size", "1"),
}
DEFAULT = (
    "homescribe",
    "homescribe greedy",
    "homescribe openai-whisper",
    "homescribe openai-whisper greedy",
    "whisper.transcribe",
    "faster-whisper (beam 5)",
    "faster-whisper batched int8 greedy",
    "whisper.cpp",
)


class Request(TypedDict):
    """What the process of a peer reads from its standard input."""

    name: str
    model: list[str]  # the fields of Model
    paths: list[str]
    out: str  # folder for the text files


@dataclass(frozen=True, slots=True)
class Run:
    """One process over all recordings."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    texts: tuple[str, ...]  # in the order of the recordings


class Row(TypedDict):
    """One implementation: medians of its runs."""

    engine: str
    model: str
    audio_seconds: float
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int
    wrong: int
    words: int  # of the references; 0 without
    runs: int


def run_peer(request: Request) -> None:
    """Transcribe with one peer, in this process, and write its text files."""
    transcribe = loader(request["name"])(Model(*request["model"]))
    for number, path in enumerate(request["paths"]):
        text = scoring.text_of(transcribe(Path(path), False))
        (Path(request["out"]) / f"{number}.txt").write_text(text + "\n", encoding="utf-8")


def command(name: str, model: Model, recordings: Sequence[Recording], work: Path) -> list[str]:
    """Return the command that transcribes `recordings` into `work`/out."""
    if name not in OURS:
        return [sys.executable, "-W", "ignore", "-m", "benchmarks.engine_speed", "--child"]
    engine, *options = OURS[name]
    weights_path = model.converted if engine == "faster-whisper" else model.checkpoint
    return [
        *(sys.executable, "-m", "homescribe", "transcribe", *(str(r.path) for r in recordings)),
        *("--library", str(work / "library"), "--engine", engine, "--model", weights_path),
        *("--format", "txt", "--output", str(work / "out"), *options),
    ]


def measure(name: str, model: Model, recordings: Sequence[Recording], threads: int) -> Run:
    """Transcribe `recordings` in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "out").mkdir()
        (work / "config.toml").touch()
        request: Request = {
            "name": name,
            "model": [model.checkpoint, model.converted, model.ggml],
            "paths": [str(r.path) for r in recordings],
            "out": str(work / "out"),
        }
        (work / "request.json").write_text(json.dumps(request))
        environment = {k: v for k, v in os.environ.items() if not k.startswith("HOMESCRIBE_")}
        environment["HOMESCRIBE_CONFIG"] = str(work / "config.toml")  # not the user's own
        environment["OMP_NUM_THREADS"] = str(threads)
        started = time.perf_counter()
        with (work / "request.json").open() as given, (work / "log").open("w+") as log:
            process = subprocess.Popen(
                command(name, model, recordings, work),
                stdin=given,
                stdout=log,
                stderr=log,
                env=environment,
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall_seconds = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                log.seek(0)
                raise SystemExit(f"{name} failed:\n{log.read()}")
        unit = 1 if sys.platform == "darwin" else 1024
        texts = [_written(work / "out", n, r) for n, r in enumerate(recordings)]
        return Run(
            wall_seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit, tuple(texts)
        )


def _written(folder: Path, number: int, recording: Recording) -> str:
    """Return the text that was written for a recording: homescribe names files by their title."""
    peer = folder / f"{number}.txt"
    ours = folder.glob(f"{glob.escape(recording.path.stem)} [[]*.txt")
    path = peer if peer.exists() else next(iter(ours), None)
    return "" if path is None else path.read_text(encoding="utf-8")


def summarize(name: str, model: str, recordings: Sequence[Recording], runs: Sequence[Run]) -> Row:
    """Return the medians of `runs`, and the words wrong in the first."""
    found = [
        scoring.errors(r.reference, text, r.language, r.by_character)
        for r, text in zip(recordings, runs[0].texts, strict=True)
        if r.reference is not None
    ]
    return {
        "engine": name,
        "model": model,
        "audio_seconds": round(sum(r.seconds for r in recordings), 1),
        "wall_seconds": round(statistics.median(run.wall_seconds for run in runs), 2),
        "cpu_seconds": round(statistics.median(run.cpu_seconds for run in runs), 2),
        "peak_bytes": max(run.peak_bytes for run in runs),
        "wrong": sum(e.wrong for e in found),
        "words": sum(e.total for e in found),
        "runs": len(runs),
    }


def rows_table(rows: Sequence[Row]) -> str:
    """Return `rows` as a Markdown table."""
    head = f"{rows[0]['model']}, {rows[0]['audio_seconds']:.0f} s of audio"
    return table(
        [head, "wall s", "times realtime", "CPU s", "peak MB", "words wrong"],
        (
            [
                row["engine"],
                f"{row['wall_seconds']:.1f}",
                f"{row['audio_seconds'] / row['wall_seconds']:.1f}",
                f"{row['cpu_seconds']:.1f}",
                f"{row['peak_bytes'] / 1e6:.0f}",
                percent(row["wrong"], row["words"]),
            ]
            for row in rows
        ),
    )


def recordings_at(path: Path) -> list[Recording]:
    """Return the recordings of a file or a folder."""
    if path.is_dir() and (path / "manifest.json").exists():
        every = corpus.read(path)
        return [r for r in every if r.kind == "longform"] or every
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in MEDIA)
    elif (path.parent / "manifest.json").exists():
        return [r for r in corpus.read(path.parent) if r.path.name == path.name] or [unknown(path)]
    else:
        files = [path]
    return [unknown(file) for file in files]


def unknown(path: Path) -> Recording:
    """Return a recording of which nothing is known."""
    return Recording(path.stem, path, sum(len(b) for b in blocks(path)) / SAMPLE_RATE)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recordings", type=Path, nargs="*", help="media files or folders")
    parser.add_argument("--model", default="base", help="name or folder of a model")
    parser.add_argument(
        "--run",
        action="append",
        choices=[*OURS, *PEERS],
        help=f"what to run (repeatable; default: {', '.join(DEFAULT)})",
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument("--threads", type=int, default=2, help="processor cores (default: 2)")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_peer(json.load(sys.stdin))
        return
    names = options.run or list(DEFAULT)
    model = weights.find(options.model, ggml="whisper.cpp" in names)
    found = [recording for path in options.recordings for recording in recordings_at(path)]
    recordings = corpus.for_model(found, is_english_only(options.model))
    if not recordings:
        parser.error("no recordings that this model can transcribe")
    if hasattr(os, "sched_setaffinity"):  # child processes inherit it; not on macOS
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    runs: dict[str, list[Run]] = {name: [] for name in names}
    for number in range(options.rounds):
        for name in names:
            done = measure(name, model, recordings, options.threads)
            runs[name].append(done)
            times = f"{done.wall_seconds:.1f} s, {done.cpu_seconds:.1f} s of CPU"
            print(f"{number + 1} {name}: {times}", file=sys.stderr, flush=True)
    rows = [summarize(n, Path(options.model).name, recordings, runs[n]) for n in names]
    print(rows_table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
