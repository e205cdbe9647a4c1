"""Measure what is wrong in the transcripts of real recordings, for homescribe and for other tools.

    python -m benchmarks.accuracy DIR --model base --save base.json
    python -m benchmarks.accuracy DIR --model base --save new.json --compare base.json

DIR has recordings and a manifest.json: its format is in benchmarks/corpus.py. --model is the name of a
published model, or the folder of one in CTranslate2's format. The file that openai-whisper loads is made
from the folder where it is missing, so that all implementations have the same weights.

Each implementation runs in a process of its own, one after the other, with its own defaults. --save writes
the transcripts to a file; implementations that the file already has are not run again. --compare prints the
recordings in which this run differs from the one that was saved before.

The tables:

    Words wrong        substituted, missing and added words by words of the reference, for each language, and
                       for long recordings apart; characters in languages written without spaces. Texts are
                       normalized with whisper.normalizers.
    Passages           five words in a row (ten characters) that are missing or that nobody said
    Words in an hour without speech
    Languages          recordings whose language was recognized; utterances of recordings in several
                       languages that were written in their own
    Starts             utterances with the start of a segment within 0.3 and 0.5 seconds of theirs
    Word times         seconds between the true and the written start of a word: median, 90th percentile
    Sentence ends, capitals   those of the reference that are kept, at words that were recognized
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from benchmarks import corpus, weights
from benchmarks.accuracy_tables import Transcripts, changes, tables
from benchmarks.corpus import Recording
from benchmarks.implementations import (
    ENGINES,
    PEERS,
    Model,
    homescribe_name,
    is_english_only,
    loader,
)
from benchmarks.scoring import RecordingResult

# Those that answer the question whether homescribe is worse than what it replaces.
DEFAULT_PEERS = (
    "whisper.transcribe",
    "whisper CLI (beam 5)",
    "faster-whisper (beam 5)",
    "faster-whisper vad_filter",
    "faster-whisper batched",
)


class Request(TypedDict):
    """What the process of one implementation reads from its standard input."""

    name: str
    checkpoint: str
    converted: str
    ggml: str
    recordings: list[tuple[str, str, bool]]  # id, path, whether its word times are known


def transcribe(request: Request) -> dict[str, RecordingResult]:
    """Transcribe all recordings with one implementation, in this process."""
    model = Model(request["checkpoint"], request["converted"], request["ggml"])
    run = loader(request["name"])(model)
    results: dict[str, RecordingResult] = {}
    for name, path, words in request["recordings"]:
        started = time.perf_counter()
        results[name] = run(Path(path), False)
        if words:  # apart, because requesting word times can change the text
            results[name]["words"] = run(Path(path), True)["words"]
        print(f"  {name}: {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)
    return results


def transcribe_in_child(
    name: str, model: Model, recordings: Sequence[Recording]
) -> dict[str, RecordingResult]:
    """Run `transcribe` in a process of its own."""
    request: Request = {
        "name": name,
        "checkpoint": model.checkpoint,
        "converted": model.converted,
        "ggml": model.ggml,
        "recordings": [(r.id, str(r.path), bool(r.words)) for r in recordings],
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.accuracy", "--child"],
        input=json.dumps(request),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{name} failed.")
    results: dict[str, RecordingResult] = json.loads(done.stdout.splitlines()[-1])
    return results


def read_saved(path: Path | None) -> dict[str, Transcripts]:
    """Return the transcripts in a file that --save wrote, by "MODEL: IMPLEMENTATION"; none without a file."""
    if path is None or not path.exists():
        return {}
    saved: dict[str, Transcripts] = json.loads(path.read_text(encoding="utf-8"))
    return saved


def measure(
    model_name: str,
    names: Sequence[str],
    recordings: Sequence[Recording],
    saved: dict[str, Transcripts],
    save: Path | None,
) -> dict[str, Transcripts]:
    """Return the transcripts of each implementation, from `saved` where it has them. Adds to the file
    `save` after each.
    """
    results: dict[str, Transcripts] = {}
    model = weights.find(model_name, ggml="whisper.cpp" in names)
    for name in names:
        key = f"{Path(model_name).name}: {name}"
        known = saved.get(key, {})
        missing = [recording for recording in recordings if recording.id not in known]
        if missing:
            print(key, file=sys.stderr, flush=True)
            saved[key] = known | transcribe_in_child(name, model, missing)
            if save is not None:
                text = json.dumps(saved, ensure_ascii=False, indent=1)
                save.write_text(text + "\n", encoding="utf-8")
        results[name] = saved[key]
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="recordings with a manifest.json")
    parser.add_argument(
        "--model", action="append", help="name or folder of a model (repeatable; default: base)"
    )
    parser.add_argument(
        "--engine",
        action="append",
        choices=[*ENGINES, "none"],
        help="homescribe's engine (repeatable; default: both)",
    )
    parser.add_argument(
        "--beam-size",
        action="append",
        type=int,
        metavar="N",
        help="of homescribe's engines (repeatable; default: the engine's default)",
    )
    parser.add_argument(
        "--peer",
        action="append",
        choices=[*PEERS, "none"],
        help=f"tool to compare with (repeatable; default: {', '.join(DEFAULT_PEERS)})",
    )
    parser.add_argument("--save", type=Path, help="keep the transcripts in this JSON file")
    parser.add_argument("--compare", type=Path, help="print what differs from a saved file")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(transcribe(json.load(sys.stdin))))
        return
    if options.folder is None:
        parser.error("give the folder of the recordings")
    names = [
        homescribe_name(engine, beam_size)
        for engine in options.engine or ENGINES
        if engine != "none"
        for beam_size in options.beam_size or [None]
    ]
    names += [peer for peer in options.peer or DEFAULT_PEERS if peer != "none"]
    recordings, saved = corpus.read(options.folder), read_saved(options.save)
    before = read_saved(options.compare)
    for model in options.model or ["base"]:
        chosen = corpus.for_model(recordings, is_english_only(model))
        results = measure(model, names, chosen, saved, options.save)
        print(f"\n### {Path(model).name}\n")
        print(tables(chosen, results))
        for name, now in results.items():
            earlier = before.get(f"{Path(model).name}: {name}")
            if earlier is not None:
                print(f"\n#### {name}: changes\n\n{changes(chosen, earlier, now)}")


if __name__ == "__main__":
    main()
