"""Measure who-speaks-when: the diarization error rate, the number of speakers, names, time and memory.

    python -m benchmarks.speakers DIR --segmentation S.onnx --embedding E.onnx

DIR has recordings of one voice each and a manifest.json (benchmarks/corpus.py), from which conversations are
made (benchmarks/conversations.py), and perhaps real conversations with their turns beside them: x.wav and
x.rttm.
Name the recordings that have several people (--leave-out), and those of one person (--same A,B).

Voices are divided into two halves. Thresholds are chosen on conversations of the first half of the voices;
those of the second half, which have other people, show what to expect.

The diarization error rate (DER) is the time of speech that was missed, invented or given to the wrong person,
as a share of all speech. Overlapping speech counts, and there is no tolerance at the edges of turns
("collar"). It is that of pyannote.metrics.

Each recording is also given to sherpa-onnx's own diarization, with its defaults and the same models.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import DiarizationErrorRate

from benchmarks.conversations import PLACES, Conversation, Voice, converse, read_rttm, voices
from benchmarks.memory import peak_bytes
from homescribe.audio import SAMPLE_RATE, blocks, decode
from homescribe.core import Turn
from homescribe.speakers.clustering import SpeakerCount
from homescribe.speakers.diarizer import Diarization, Diarizer
from homescribe.speakers.voices import MAYBE, SAME, similarity

Samples = NDArray[np.float32]
Tool = Callable[[Samples], Sequence[Turn]]

BLOCK = 30 * SAMPLE_RATE  # samples that the diarizer gets at once
# Of each half of the voices: people, minutes.
SHORT = ((2, 3.5), (2, 4), (3, 4), (3, 4.5), (4, 4.5), (4, 5), (5, 5), (5, 5), (2, 4), (3, 5))
LONG = (3, 20.0)
EPISODES = 12  # pairs of recordings for names, of each half


@dataclass(frozen=True, slots=True)
class Score:
    """Of one conversation, in seconds."""

    people: int
    found: int
    speech: float
    missed: float
    invented: float
    confused: float

    @property
    def error(self) -> float:
        return (self.missed + self.invented + self.confused) / self.speech


def score(truth: Sequence[Turn], found: Sequence[Turn]) -> Score:
    """Compare the turns that were found with the true ones."""
    metric = DiarizationErrorRate(collar=0.0, skip_overlap=False)
    whole = Timeline([Segment(0, max(turn.end for turn in [*truth, *found]))])
    parts = metric(_annotation(truth), _annotation(found), uem=whole, detailed=True)
    return Score(
        people=len({turn.speaker for turn in truth}),
        found=len({turn.speaker for turn in found}),
        speech=parts["total"],
        missed=parts["missed detection"],
        invented=parts["false alarm"],
        confused=parts["confusion"],
    )


def _annotation(turns: Sequence[Turn]) -> Annotation:
    made = Annotation()
    for number, turn in enumerate(turns):
        made[Segment(turn.start, turn.end), number] = turn.speaker
    return made


# --- Tools -----------------------------------------------------------------------------------------


def diarize(diarizer: Diarizer, samples: Samples) -> Diarization:
    pieces = (samples[start : start + BLOCK] for start in range(0, len(samples), BLOCK))
    return diarizer.diarize(pieces, SpeakerCount(), Event(), lambda _: None)


def homescribe_tool(segmentation: Path, embedding: Path) -> Tool:
    diarizer = Diarizer(segmentation, embedding)
    return lambda samples: diarize(diarizer, samples).turns


def sherpa_tool(segmentation: Path, embedding: Path) -> Tool:
    """sherpa-onnx's own diarization, with the defaults of its Python classes."""
    import sherpa_onnx

    model = sherpa_onnx.OfflineSpeakerSegmentationPyannoteModelConfig(str(segmentation))
    config = sherpa_onnx.OfflineSpeakerDiarizationConfig(
        segmentation=sherpa_onnx.OfflineSpeakerSegmentationModelConfig(pyannote=model),
        embedding=sherpa_onnx.SpeakerEmbeddingExtractorConfig(model=str(embedding)),
        clustering=sherpa_onnx.FastClusteringConfig(),
    )
    diarization = sherpa_onnx.OfflineSpeakerDiarization(config)

    def run(samples: Samples) -> Sequence[Turn]:
        found = diarization.process(samples).sort_by_start_time()
        return [Turn(one.start, one.end, str(one.speaker)) for one in found]

    return run


TOOLS = {"homescribe": homescribe_tool, "sherpa-onnx": sherpa_tool}


# --- What is measured ------------------------------------------------------------------------------


def real_conversations(folder: Path) -> Iterator[Conversation]:
    for path in sorted(folder.rglob("*.rttm")):
        for suffix in (".wav", ".flac"):
            if (media := path.with_suffix(suffix)).exists():
                yield Conversation(path.stem, decode(media), read_rttm(path))


def made_conversations(known: Sequence[Voice], seed: int) -> Iterator[Conversation]:
    """Yield those of one half of the voices, at every kind of place."""
    for number, (people, minutes) in enumerate([*SHORT, LONG]):
        draw = np.random.default_rng(seed + number)
        chosen = draw.permutation(len(known))[:people]
        place = PLACES[number % len(PLACES)]
        name = f"{people} people, {minutes:g} min, {place}"
        yield converse([known[n] for n in chosen], 60 * minutes, place, seed + number, name)


def names_table(diarizer: Diarizer, halves: Sequence[Sequence[Voice]], seed: int) -> None:
    """Print how often a voice of one recording is known in another one."""
    print(
        "\n| voices | known, named | known, maybe | named wrongly | unknown, no name | maybe | named |"
    )
    print("|---|---|---|---|---|---|---|")
    for title, known in zip(("first half", "second half"), halves, strict=True):
        pairs: list[tuple[bool, float, bool]] = []  # known, similarity, right
        for number in range(EPISODES):
            pairs += _episodes(diarizer, known, seed + number)
        of_known = [(value, right) for is_known, value, right in pairs if is_known]
        unknown = [value for is_known, value, _ in pairs if not is_known]
        named = sum(right and value >= SAME for value, right in of_known)
        maybe = sum(right and MAYBE <= value < SAME for value, right in of_known)
        wrong = sum(not right and value >= SAME for value, right in of_known)
        print(
            f"| {title} | {named} of {len(of_known)} | {maybe} | {wrong} | "
            f"{sum(value < MAYBE for value in unknown)} of {len(unknown)} | "
            f"{sum(MAYBE <= value < SAME for value in unknown)} | "
            f"{sum(value >= SAME for value in unknown)} |"
        )
        print(
            f"<!-- known: {sorted(round(v, 2) for v, _ in of_known)}; "
            f"unknown: {sorted(round(v, 2) for v in unknown)} -->"
        )


def _episodes(
    diarizer: Diarizer, known: Sequence[Voice], seed: int
) -> Iterator[tuple[bool, float, bool]]:
    """Make two recordings with one host, and another guest each, at different places.

    Yield for each speaker of the second whether the first has that voice, the similarity of the most similar
    voice of the first, and whether that is the same person.
    """
    draw = np.random.default_rng(1000 + seed)
    long = [n for n, voice in enumerate(known) if len(voice.utterances) > 1]
    host = int(draw.choice(long))
    guests = draw.permutation([n for n in range(len(known)) if n != host])[:2]
    before, after = known[host].halves()
    first = converse([before, known[guests[0]]], 90, PLACES[seed % 3], seed)
    second = converse([after, known[guests[1]]], 90, PLACES[(seed + 1) % 3], seed + 500)
    voices_before = _named(diarizer, first)
    for name, embedding in _named(diarizer, second):
        nearest, who = max((similarity(embedding, other), who) for who, other in voices_before)
        yield name == known[host].name, nearest, name == who


def _named(diarizer: Diarizer, made: Conversation) -> list[tuple[str, tuple[float, ...]]]:
    """Return each speaker that is found, as the person who speaks most at the same time."""
    found = diarize(diarizer, made.samples)
    names: list[tuple[str, tuple[float, ...]]] = []
    for speaker in found.speakers:
        together: dict[str, float] = {}
        for turn in found.turns:
            for true in made.turns:
                both = min(turn.end, true.end) - max(turn.start, true.start)
                if turn.speaker == speaker.label and both > 0:
                    together[true.speaker] = together.get(true.speaker, 0.0) + both
        if together:
            names.append((max(together, key=lambda one: together[one]), speaker.embedding))
    return names


# --- Tables ----------------------------------------------------------------------------------------


def error_table(title: str, conversations: Sequence[Conversation], tools: dict[str, Tool]) -> None:
    print(f"\n**{title}**, DER and number of people found:\n")
    print("| conversation |", " | ".join(tools), "|")
    print("|---|" + "---|" * len(tools))
    scores: dict[str, list[Score]] = {name: [] for name in tools}
    seconds = dict.fromkeys(tools, 0.0)
    for made in conversations:
        cells: list[str] = []
        for name, tool in tools.items():
            started = time.process_time()
            found = tool(made.samples)
            seconds[name] += time.process_time() - started
            one = score(made.turns, found)
            scores[name].append(one)
            cells.append(f"{one.error:.1%}, {one.found}")
        print(f"| {made.name} ({made.people}) |", " | ".join(cells), "|", flush=True)
    length = sum(len(made.samples) for made in conversations) / SAMPLE_RATE
    rows: dict[str, Callable[[Score, str], str]] = {
        "**all: DER**": lambda all_, _: f"**{all_.error:.1%}**",
        "missed": lambda all_, _: f"{all_.missed / all_.speech:.1%}",
        "invented": lambda all_, _: f"{all_.invented / all_.speech:.1%}",
        "wrong person": lambda all_, _: f"{all_.confused / all_.speech:.1%}",
        "number right": lambda _, name: (
            f"{sum(one.found == one.people for one in scores[name])} of {len(conversations)}"
        ),
        "times realtime on one core": lambda _, name: f"{length / seconds[name]:.0f}",
    }
    for title, cell in rows.items():
        print(f"| {title} |", " | ".join(cell(total(scores[name]), name) for name in tools), "|")


def total(scores: Sequence[Score]) -> Score:
    """Return the sum of each field."""
    return Score(*(sum(getattr(one, each.name) for one in scores) for each in fields(Score)))


def long_recording(options: argparse.Namespace) -> None:
    """Print time and peak memory for a recording of `--hours`, which repeats twenty minutes.

    Another process makes these, because it needs more memory than what is measured.
    """
    with tempfile.TemporaryDirectory() as folder:
        make = [sys.executable, "-m", "benchmarks.conversations", str(options.folder), folder]
        make += ["--people", "3", "--minutes", "20", "--seed", str(options.seed)]
        subprocess.run([*make, "--leave-out", *options.leave_out], check=True)
        _measure(options, next(Path(folder).glob("*.wav")))


def _measure(options: argparse.Namespace, recording: Path) -> None:
    diarizer = Diarizer(options.segmentation, options.embedding, options.threads)
    before = peak_bytes()
    left = round(options.hours * 3600 * SAMPLE_RATE)

    def stream() -> Iterator[Samples]:
        nonlocal left
        while left > 0:
            for block in blocks(recording):
                yield block[:left]
                left -= len(block)
                if left <= 0:
                    return

    started, cpu = time.perf_counter(), time.process_time()
    found = diarizer.diarize(stream(), SpeakerCount(), Event(), lambda _: None)
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(
        f"{options.hours:g} hours on {options.threads} thread(s): {wall:.0f} s of wall time, {cpu:.0f} s of "
        f"CPU time ({options.hours * 3600 / wall:.0f} times realtime), {len(found.speakers)} speakers, "
        f"{len(found.turns)} turns; peak memory {peak_bytes() / 1e6:.0f} MB, of which {before / 1e6:.0f} MB "
        f"before the start, with both models loaded."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="recordings with a manifest.json")
    parser.add_argument("--segmentation", type=Path, required=True)
    parser.add_argument("--embedding", type=Path, required=True)
    parser.add_argument("--leave-out", nargs="*", default=[], help="ids with several people")
    parser.add_argument("--same", nargs="*", default=[], metavar="ID,ID", help="ids of one person")
    parser.add_argument("--tool", nargs="*", choices=TOOLS, default=list(TOOLS))
    parser.add_argument(
        "--seed", type=int, default=1, help="another seed makes other conversations"
    )
    parser.add_argument(
        "--hours", type=float, default=0.0, help="only time and memory of one recording"
    )
    parser.add_argument("--threads", type=int, default=1, help="with --hours")
    options = parser.parse_args()
    if options.hours:
        long_recording(options)
        return
    known = voices(
        options.folder,
        leave_out=options.leave_out,
        same=[one.split(",") for one in options.same],
    )
    halves = (known[::2], known[1::2])
    tools = {name: TOOLS[name](options.segmentation, options.embedding) for name in options.tool}
    error_table("Real conversations", list(real_conversations(options.folder)), tools)
    for title, half in zip(("First half of the voices", "Second half"), halves, strict=True):
        seed = options.seed * 100
        error_table(title, list(made_conversations(half, seed)), tools)
    if "homescribe" in tools:
        print("\n**Names across two recordings**")
        names_table(Diarizer(options.segmentation, options.embedding), halves, options.seed)
    print("\n**Time and memory of long recordings**, each in a process of its own:\n", flush=True)
    for hours in (1, 10):
        subprocess.run(
            [sys.executable, "-m", "benchmarks.speakers", *sys.argv[1:], "--hours", str(hours)]
        )


if __name__ == "__main__":
    main()
