"""Make recordings of a certain kind from others, with a manifest of their own (see benchmarks/corpus.py).

    python -m benchmarks.derived_recordings clips DIR OUT --count 200 --seconds 5
    python -m benchmarks.derived_recordings slow DIR OUT
    python -m benchmarks.derived_recordings speech DIR OUT

`clips` cuts short clips from all recordings with speech, in turn. They have no references, because they
begin and end inside words. `slow` makes slow readers: after every few words of the recordings with known
word times, a pause of the recording's own noise, in one file for each language. `speech` makes of each the
copy that `--upload speech` sends, with the references of the recording.
"""

from __future__ import annotations

import argparse
import json
import random
import wave
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

from benchmarks import corpus
from benchmarks.corpus import Entry, Recording, TimedWord
from homescribe.audio import SAMPLE_RATE, SUFFIX, decode, write_speech_copy

PHRASE_WORDS = (2, 7)  # words between two pauses, at least and at most
PAUSE = (0.7, 4.0)  # seconds
NOISE_WINDOW = SAMPLE_RATE // 10  # samples; the quietest such stretch gives the level of the noise


def write_wav(path: Path, samples: NDArray[np.float32]) -> None:
    """Write mono samples at 16 kHz."""
    with wave.open(str(path), "wb") as out:
        out.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        out.writeframes((samples.clip(-1, 1) * 32767).astype(np.int16).tobytes())


def clips(recordings: Sequence[Recording], seconds: float) -> Iterator[NDArray[np.float32]]:
    """Yield clips without end: those of every recording, then again with other boundaries."""
    length = round(seconds * SAMPLE_RATE)
    audio = [decode(r.path) for r in recordings if r.reference != "" and r.seconds >= seconds]
    if not audio:
        raise SystemExit(f"There is no recording of {seconds} s with speech.")
    offset = 0
    while True:
        for samples in audio:
            for start in range(offset, len(samples) - length + 1, length):
                yield samples[start : start + length]
        offset = (offset + length // 3) % length


def write_clips(recordings: Sequence[Recording], out: Path, count: int, seconds: float) -> None:
    """Write `count` clips and their manifest."""
    entries: list[Entry] = []
    for number, samples in enumerate(islice(clips(recordings, seconds), count)):
        path = out / f"clip-{number:04d}.wav"
        write_wav(path, samples)
        entries.append({"file": path.name, "kind": "clip", "seconds": seconds})
    corpus.write(out, entries)


def noise(samples: NDArray[np.float32], length: int, seed: int) -> NDArray[np.float32]:
    """Return noise as loud as the quietest stretch of `samples`."""
    whole = len(samples) // NOISE_WINDOW * NOISE_WINDOW
    power = np.square(samples[:whole]).reshape(-1, NOISE_WINDOW).mean(axis=1)
    level = np.sqrt(power.min()) if len(power) else 0.0
    generator = np.random.default_rng(seed)
    return (level * generator.standard_normal(length)).astype(np.float32)


def slow_down(
    recording: Recording, draw: random.Random, at: float
) -> tuple[NDArray[np.float32], list[TimedWord]]:
    """Return the recording with pauses, and its words. The result begins at `at` seconds of a file."""
    samples = decode(recording.path)
    parts: list[NDArray[np.float32]] = []
    words: list[TimedWord] = []
    cut, shift, until_pause = 0, at, draw.randint(*PHRASE_WORDS)
    for number, word in enumerate(recording.words):
        words.append(TimedWord(word.start + shift, word.end + shift, word.word))
        until_pause -= 1
        if until_pause > 0 or number + 1 == len(recording.words):
            continue
        until_pause = draw.randint(*PHRASE_WORDS)
        middle = round((word.end + recording.words[number + 1].start) / 2 * SAMPLE_RATE)
        pause = noise(samples, round(draw.uniform(*PAUSE) * SAMPLE_RATE), number)
        parts += [samples[cut:middle], pause]
        cut, shift = middle, shift + len(pause) / SAMPLE_RATE
    return np.concatenate([*parts, samples[cut:]]), words


def write_slow(recordings: Sequence[Recording], out: Path, seed: int) -> None:
    """Write one slow reader for each language, and their manifest."""
    draw = random.Random(seed)
    timed = [r for r in recordings if r.words and r.reference and r.language and not r.by_character]
    if not timed:
        raise SystemExit("There is no recording with word times and a reference.")
    entries: list[Entry] = []
    for language in sorted({r.language for r in timed if r.language}):
        parts: list[NDArray[np.float32]] = []
        words: list[TimedWord] = []
        members = [r for r in timed if r.language == language]
        for recording in members:
            made, its_words = slow_down(recording, draw, sum(map(len, parts)) / SAMPLE_RATE)
            parts.append(made)
            words += its_words
        path = out / f"slow-{language}.wav"
        write_wav(path, np.concatenate(parts))
        entries.append(
            {
                "file": path.name,
                "language": language,
                "kind": "longform",
                "ref": " ".join(r.reference for r in members if r.reference),
                "words": [{"start": w.start, "end": w.end, "word": w.word} for w in words],
            }
        )
    corpus.write(out, entries)


def write_speech(folder: Path, out: Path) -> None:
    """Write the copy of each recording that is sent with `--upload speech`, and the manifest."""
    entries: list[Entry] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for entry in entries:
        path = folder / entry["file"]
        entry["id"] = entry.get("id", path.stem)
        entry["file"] = path.with_suffix(SUFFIX).name
        write_speech_copy(path, out / entry["file"], Event())
    corpus.write(out, entries)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind", choices=["clips", "slow", "speech"])
    parser.add_argument("folder", type=Path, help="recordings with a manifest.json")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--count", type=int, default=200, help="clips to make")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each clip")
    parser.add_argument("--seed", type=int, default=1, help="another seed gives other pauses")
    parser.add_argument("--english", action="store_true", help="only recordings in English")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    recordings = corpus.read(options.folder)
    if options.english:
        recordings = [r for r in recordings if r.languages == {"en"}]
    if options.kind == "clips":
        write_clips(recordings, options.out, options.count, options.seconds)
    elif options.kind == "speech":
        write_speech(options.folder, options.out)
    else:
        write_slow(recordings, options.out, options.seed)


if __name__ == "__main__":
    main()
