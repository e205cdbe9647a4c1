"""Speakers in the library: how they are stored, named, recognized, searched and forgotten."""

import random
from dataclasses import replace

import pytest

from homescribe.core import Item, Listing, Segment, Speaker, Transcript, Turn, Word
from homescribe.library import Library

MODEL = "test-voices"
ANN, BOB = "SPEAKER_00", "SPEAKER_01"


def voice(seed, noise=0.0, other=1):
    """An embedding of length 1. With `noise` from 0 to 1 it moves towards another voice."""
    made = random.Random(seed)
    values = [made.gauss(0, 1) for _ in range(64)]
    drift = random.Random(f"{seed} {other}")
    values = [(1 - noise) * value + noise * drift.gauss(0, 1) for value in values]
    length = sum(value * value for value in values) ** 0.5
    return tuple(value / length for value in values)


def item(number, **changes):
    return replace(
        Item("podcast", f"id{number}", f"https://feed/{number}", f"Episode {number}"), **changes
    )


def conversation(*lines, voices=("ann", "bob"), noise=0.0, take=1, model=MODEL):
    """A transcript. Each line is (speaker number, text) and takes five seconds."""
    segments, turns = [], []
    for number, (who, text) in enumerate(lines):
        start, label = number * 5.0, f"SPEAKER_{who:02}"
        words = tuple(
            Word(start + n, start + n + 0.5, f" {word}", 0.9, label)
            for n, word in enumerate(text.split())
        )
        segments.append(Segment(start, start + 5, f" {text}", words=words, speaker=label))
        turns.append(Turn(start, start + 5, label))
    present = sorted({who for who, _ in lines})
    speakers = tuple(
        Speaker(
            f"SPEAKER_{who:02}",
            sum(5.0 for speaking, _ in lines if speaking == who),
            voice(voices[who], noise, take) if voices[who] else (),
            model,
        )
        for who in present
    )
    return Transcript(
        *("faster-whisper", "base", "en", len(lines) * 5.0, tuple(segments)),
        speakers=speakers,
        turns=tuple(turns),
    )


TALK = conversation((0, "good morning"), (1, "hello lighthouse"), (0, "and goodbye"))


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path) as opened:
        yield opened


def show(library, *numbers, url="https://feed"):
    """Add a source with these episodes."""
    library.record("podcast", Listing(url, "A show", iter(())), [item(n) for n in numbers])


def stored_embeddings(library):
    return library._db.execute("SELECT count(*) FROM speaker_embeddings").fetchone()[0]


def test_speakers_turns_and_words_are_stored_and_their_embeddings_stay_inside(library):
    library.save(item(1), TALK)
    kept = library.transcript("podcast:id1")
    assert kept == replace(
        TALK, speakers=tuple(replace(each, embedding=()) for each in TALK.speakers)
    )
    (blob,) = library._db.execute(
        "SELECT embedding FROM speaker_embeddings WHERE label = ?", (ANN,)
    ).fetchone()
    assert len(blob) == 4 * 64
    assert [*memoryview(blob).cast("f")] == pytest.approx(voice("ann"), abs=1e-7)


def test_a_removed_recording_leaves_no_speakers(library):
    library.save(item(1), TALK)
    assert stored_embeddings(library) == 2
    library.remove(["podcast:id1"])
    assert stored_embeddings(library) == 0
    assert library.check() == []


def test_an_embedding_is_not_printed():
    assert "0." not in repr(Speaker("SPEAKER_00", 3, voice("ann"), MODEL))
