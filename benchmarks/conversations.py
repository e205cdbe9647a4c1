"""Conversations with known turns, made from recordings of one voice each.

    python -m benchmarks.conversations DIR OUT --people 3 --minutes 5 --seed 1

A voice is cut into utterances at its pauses. A conversation takes them in turn: pauses between two turns,
turns that begin before the last one has ended, interjections while somebody else speaks, people who speak
much or little, loud or quietly. It is recorded clean, in a room (echo and noise) or over a telephone line
(300 to 3400 Hz and noise), the same for all of its people, so that a voice is not known by its microphone
alone.

Voices have 5 to 90 seconds of speech, so a long conversation repeats its utterances.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks import corpus
from benchmarks.derived_recordings import write_wav
from homescribe.audio import SAMPLE_RATE, decode
from homescribe.audio.frame_runs import runs
from homescribe.core import Turn
from homescribe.engines import vad

Samples = NDArray[np.float32]
Place = Literal["clean", "room", "phone"]
PLACES: tuple[Place, ...] = ("clean", "room", "phone")

SPEECH = 0.5  # probability of speech, by Silero
PAUSE = 0.3  # seconds without speech that end an utterance
SHORTEST = 0.4  # seconds of an utterance
USUAL_LEVEL = 0.06  # RMS of a voice before its gain
GAIN = (-12.0, 0.0)  # dB
TURN = (1, 3)  # utterances in a turn
LONGEST_TURN = 20.0  # seconds
INTERJECTION = (0.4, 1.0)  # seconds


@dataclass(frozen=True, slots=True)
class Voice:
    """One person: utterances without pauses."""

    name: str
    utterances: tuple[Samples, ...]

    @property
    def seconds(self) -> float:
        return sum(map(len, self.utterances)) / SAMPLE_RATE

    def halves(self) -> tuple[Voice, Voice]:
        """Return the same voice twice, with different utterances."""
        half, at = self.seconds / 2, 0.0
        first: list[Samples] = []
        for utterance in self.utterances:
            if first and at + len(utterance) / SAMPLE_RATE > half:
                break
            first.append(utterance)
            at += len(utterance) / SAMPLE_RATE
        return Voice(self.name, tuple(first)), Voice(self.name, self.utterances[len(first) :])


@dataclass(frozen=True, slots=True)
class Conversation:
    name: str
    samples: Samples
    turns: tuple[Turn, ...]

    @property
    def people(self) -> int:
        return len({turn.speaker for turn in self.turns})


def voices(
    folder: Path, *, leave_out: Collection[str], same: Sequence[Sequence[str]]
) -> list[Voice]:
    """Return the voices of the recordings with speech in `folder`, in the order of the manifest.

    `same`: ids of recordings of one person, such as [["a", "b"]]. `leave_out`: those of several people.
    """
    person = {one: names[0] for names in same for one in names}
    found: dict[str, list[Samples]] = {}
    for recording in corpus.read(folder):
        if recording.id in leave_out or recording.language is None:
            continue
        samples = decode(recording.path)
        found.setdefault(person.get(recording.id, recording.id), []).extend(utterances(samples))
    return [Voice(name, tuple(cut)) for name, cut in found.items() if cut]


def utterances(samples: Samples) -> list[Samples]:
    """Cut a recording at its pauses."""
    probabilities = np.concatenate(
        [vad.speech_probabilities(piece, np.zeros(0, np.float32)) for piece in vad.pieces(samples)]
    )
    speech = probabilities >= SPEECH
    pause = round(PAUSE * vad.CHUNKS_PER_SECOND)
    for start, end in runs(~speech):
        if end - start < pause and start > 0 and end < len(speech):
            speech[start:end] = True
    cut = [samples[a * vad.CHUNK : b * vad.CHUNK] for a, b in runs(speech)]
    return [one for one in cut if len(one) >= SHORTEST * SAMPLE_RATE]


def converse(
    people: Sequence[Voice], seconds: float, place: Place, seed: int, name: str = "conversation"
) -> Conversation:
    """Return a conversation of `people` that lasts about `seconds`."""
    draw = np.random.default_rng(seed)
    gains = [10 ** (draw.uniform(*GAIN) / 20) for _ in people]
    talkative = draw.dirichlet([2.0] * len(people))
    following = [int(draw.integers(len(one.utterances))) for one in people]
    pieces: list[tuple[float, int, Samples]] = []  # start, person, samples
    at, ends, last = float(draw.uniform(0.3, 3.0)), [0.0] * len(people), -1

    def say(person: int, start: float, most: float) -> float:
        """Let `person` say the next utterance, or its beginning. Return when it ends."""
        spoken = people[person].utterances
        samples = spoken[following[person] % len(spoken)][: round(most * SAMPLE_RATE)]
        following[person] += 1
        start = max(start, ends[person] + 0.05)
        level = float(np.sqrt(np.mean(samples**2))) or 1.0
        pieces.append((start, person, samples * (USUAL_LEVEL * gains[person] / level)))
        ends[person] = start + len(samples) / SAMPLE_RATE
        return ends[person]

    while at < seconds:
        chances = np.where(np.arange(len(people)) == last, 1e-9, talkative + 0.05)
        speaker = int(draw.choice(len(people), p=chances / chances.sum()))
        start = at
        for number in range(int(draw.integers(TURN[0], TURN[1] + 1))):
            pause = 0.0 if number == 0 else float(draw.uniform(0.1, 0.6))
            at = say(speaker, at + pause, LONGEST_TURN)
        others = [n for n in range(len(people)) if n != speaker]
        if others and draw.random() < 0.25 and at - start > 4.0:
            other = int(draw.choice(others))
            say(other, float(draw.uniform(start + 1, at - 1)), float(draw.uniform(*INTERJECTION)))
        kind = draw.random()
        if kind < 0.25:  # the next one begins early
            at -= float(draw.uniform(0.1, min(1.5, (at - start) / 2)))
        elif kind < 0.9:
            at += float(draw.uniform(0.05, 1.0))
        else:
            at += float(draw.uniform(2.0, 6.0))
        last = speaker
    return Conversation(name, _recorded(pieces, len(people), place, draw), _turns(pieces, people))


def _turns(
    pieces: Sequence[tuple[float, int, Samples]], people: Sequence[Voice]
) -> tuple[Turn, ...]:
    turns = [
        Turn(start, start + len(samples) / SAMPLE_RATE, people[person].name)
        for start, person, samples in pieces
    ]
    return tuple(sorted(turns, key=lambda turn: turn.start))


def _recorded(
    pieces: Sequence[tuple[float, int, Samples]],
    people: int,
    place: Place,
    draw: np.random.Generator,
) -> Samples:
    """Mix the pieces as they sound at `place`."""
    end = max(start + len(samples) / SAMPLE_RATE for start, _, samples in pieces) + 1.0
    mixed = np.zeros(round(end * SAMPLE_RATE), np.float32)
    for person in range(people):
        own = np.zeros_like(mixed)
        for start, who, samples in pieces:
            if who == person:
                first = round(start * SAMPLE_RATE)
                own[first : first + len(samples)] += samples[: len(own) - first]
        mixed += echoed(own, draw) if place == "room" else own
    noise = 0.0003 if place == "clean" else 0.002
    mixed += (noise * draw.standard_normal(len(mixed))).astype(np.float32)
    return band(mixed, 300, 3400) if place == "phone" else mixed


def echoed(samples: Samples, draw: np.random.Generator) -> Samples:
    """Return the samples with the echo of a room: noise that decays by 60 dB in 0.3 to 0.6 seconds."""
    seconds = float(draw.uniform(0.3, 0.6))
    times = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    echo = 0.02 * draw.standard_normal(len(times)) * 10 ** (-3 * times / seconds)
    echo[0] = 1.0
    size = 1 << (len(samples) + len(echo) - 1).bit_length()
    spectrum = np.fft.rfft(samples, size) * np.fft.rfft(echo, size)
    return np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)


def band(samples: Samples, low: float, high: float) -> Samples:
    """Return what a line passes on that carries the frequencies from `low` to `high` Hz."""
    spectrum = np.fft.rfft(samples)
    frequency = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    spectrum[(frequency < low) | (frequency > high)] = 0
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


def write_rttm(path: Path, name: str, turns: Sequence[Turn]) -> None:
    """Write turns as NIST's rich transcription time marks."""
    lines = [
        f"SPEAKER {name} 1 {turn.start:.3f} {turn.end - turn.start:.3f} <NA> <NA> {turn.speaker} <NA> <NA>"
        for turn in turns
    ]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_rttm(path: Path) -> tuple[Turn, ...]:
    """Read the turns of the only recording of a file."""
    turns: list[Turn] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        fields = line.split()
        if fields and fields[0] == "SPEAKER":
            start, length = float(fields[3]), float(fields[4])
            turns.append(Turn(start, start + length, fields[7]))
    return tuple(turns)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="recordings with a manifest.json")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--place", choices=PLACES, default="clean")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--leave-out", nargs="*", default=[], help="ids with several people")
    options = parser.parse_args()
    known = voices(options.folder, leave_out=options.leave_out, same=[])
    chosen = np.random.default_rng(options.seed).permutation(len(known))[: options.people]
    made = converse([known[n] for n in chosen], 60 * options.minutes, options.place, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    write_wav(options.out / f"{made.name}.wav", made.samples)
    write_rttm(options.out / f"{made.name}.rttm", made.name, made.turns)


if __name__ == "__main__":
    main()
