"""Make synthetic speech with espeak-ng, and the words and times of its sentences.

    python -m benchmarks.synthetic_speech FOLDER --minutes 10 --seed 1

writes recordings (.wav) with their words (.txt) and the true times of each sentence (.json). The bundled
model knows only these 144 words and this grammar. Sentences whose hash is a multiple of ten were not in its
training data, and only those are used here. Results say nothing about accents, other languages or the
acoustics of real rooms.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import wave
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from homescribe.audio import SAMPLE_RATE, decode

WORDS = {
    "#": """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
        sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety""",
    "M": """January February March April May June July August September October November December""",
    "D": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "T": """transcription video audio music water language computer search voice sound story people house
        river garden window text world time""",
    "N": """fox dog channel chapter question answer word day week month year number page part model test
        file story house river garden window computer video voice sound""",
    "A": "quick brown lazy good new first second third next last red green blue local open",
    "V": "listen speak read write start stop open close find test talk search",
}
TEMPLATES = """hello and welcome to the channel .|hello and welcome to my A N .|welcome to the A video .
today we talk about T .|today we talk about T and T .|tomorrow we talk about the N and the A N .
the quick brown fox jumps over the lazy dog .|the A A N jumps over the A N .|the A N is in the A N .
chapter # is about T .|chapter # is about T and the A N .|the A chapter is about T .
page # of the A N is about T .|question number # is about T .|the answer is # .
the answer to question # is # .|the number is # # # # .|# # # # # .|# # # # # # # .
my number is # # # # # # .|on D we V the N .|on D and D we V the A N .|in M we V the N and the N .
please V the A N on D .|please V to the N .|please V and V the N in M .|this is the A part of the N .
this is a A test of the A model .|what is the A number ?|what is in the A file ?|when is the A N ?
where is my A N ?|where is the N of the N ?|what is your N about ?|thank you and good morning .
thank you for your A N .|yes , the N is A .|no , this is not my N .|the N is not in the N .
it is # # on D .|the A day of M is a D .|M and M are A .|you V and I V the A N .
we open the window and close the house .|the people of the river are A .|D M # .
I read the A story in the garden .|I listen to music on D evening .|our A N is about T and T ."""
VOICES = ("en-us", "en-us+f3", "en-gb", "en-gb-x-rp+m3", "en-us+m7", "en-us+f2", "en-gb-scotland")


@dataclass(frozen=True, slots=True)
class Sentence:
    text: str
    start: float  # seconds
    end: float


@dataclass(frozen=True, slots=True)
class Speech:
    """A recording (float32 mono 16 kHz) and its sentences."""

    samples: NDArray[np.float32]
    sentences: tuple[Sentence, ...]


def sentences(draw: random.Random) -> Iterator[str]:
    """Yield sentences that were not in the training data, each once."""
    templates = TEMPLATES.replace("\n", "|").split("|")
    classes = {name: words.split() for name, words in WORDS.items()}
    seen = set()
    while True:
        words: list[str] = []
        *slots, mark = draw.choice(templates).split()
        for slot in slots:
            choices = [
                w for w in classes.get(slot, [slot]) if slot not in classes or w not in words
            ]
            words.append(draw.choice(choices))
        if words[1] == ",":
            words[:2] = [words[0] + ","]
        words[0] = words[0][0].upper() + words[0][1:]
        text = " ".join(words) + mark
        if zlib.crc32(text.encode()) % 10 == 0 and text not in seen:
            seen.add(text)
            yield text


def say(text: str, voice: str, speed: int, pitch: int) -> NDArray[np.float32]:
    """Return `text` spoken by espeak-ng, without silence at the start and the end."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    samples = decode(subprocess.run(command, capture_output=True, check=True).stdout)
    loud = np.flatnonzero(np.abs(samples) > 0.012 * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1]


def speech(seconds: float, seed: int, pause: tuple[float, float] = (0.2, 1.4)) -> Speech:
    """Return about `seconds` of one voice, with faint noise if `seed` is odd."""
    draw = random.Random(seed)
    voice = VOICES[seed % len(VOICES)]
    parts = [np.zeros(int(draw.uniform(0, 0.9) * SAMPLE_RATE), np.float32)]
    position, spoken_sentences = len(parts[0]), []
    for text in sentences(draw):
        spoken = say(text, voice, draw.randint(140, 195), draw.randint(35, 65))
        start, end = position / SAMPLE_RATE, (position + len(spoken)) / SAMPLE_RATE
        spoken_sentences.append(Sentence(text, start, end))
        gap = np.zeros(int(draw.uniform(*pause) * SAMPLE_RATE), np.float32)
        parts += [spoken, gap]
        position += len(spoken) + len(gap)
        if position >= seconds * SAMPLE_RATE:
            break
    samples = np.concatenate(parts) * np.float32(draw.uniform(0.3, 1.0))
    if seed % 2:
        noise = np.random.default_rng(seed).standard_normal(len(samples))
        samples = samples + 0.003 * noise.astype(np.float32)
    return Speech(samples, tuple(spoken_sentences))


def write(made: Speech, path: Path) -> None:
    """Write `path`.wav, .txt and .json."""
    with wave.open(str(path.with_suffix(".wav")), "wb") as out:
        out.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        out.writeframes((made.samples.clip(-1, 1) * 32767).astype(np.int16).tobytes())
    path.with_suffix(".txt").write_text("\n".join(s.text for s in made.sentences) + "\n")
    path.with_suffix(".json").write_text(json.dumps([asdict(s) for s in made.sentences], indent=1))


def make(folder: Path, minutes: float, seed: int = 1) -> list[Path]:
    """Write recordings of 20 s to 4 minutes into `folder`, `minutes` in total. Returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    left = minutes * 60
    draw = random.Random(seed)
    while left > 0:
        seconds = min(left, draw.choice((20, 45, 90, 150, 240)))
        path = folder / f"speech-{seed}-{len(paths):03d}.wav"
        write(speech(seconds, seed=1000 * seed + len(paths)), path)
        paths.append(path)
        left -= seconds
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where to write the recordings")
    parser.add_argument("--minutes", type=float, default=10, help="minutes in total")
    parser.add_argument("--seed", type=int, default=1, help="another seed gives other speech")
    options = parser.parse_args()
    paths = make(options.folder, options.minutes, options.seed)
    print(f"{len(paths)} recordings in {options.folder}")


if __name__ == "__main__":
    main()
