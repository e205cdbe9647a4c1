"""Recordings in which several people speak, for the tests of the pages."""

import math

from homescribe import Item, Transcript, Word
from homescribe.core import Segment, Speaker, Turn
from homescribe.speakers.voices import MAYBE, SAME

TALK = "youtube:conversatio"
LATER = "youtube:conversati2"  # a later episode, with Ann's voice, and one that resembles Ben's
ANN, BEN, EVE = "SPEAKER_00", "SPEAKER_01", "SPEAKER_02"
LINES = (
    (ANN, "Welcome back. Today we talk about the northern ridge."),
    (BEN, "Thank you. The readings came in every morning."),
    (ANN, "Every morning?"),
    (EVE, "Every winter morning."),
    (BEN, "We knocked the ice off the mast with a wooden spoon."),
)
RESEMBLES = (SAME + MAYBE) / 2  # similarity of a voice that may be the same
VOICES = {ANN: (1.0, 0.0, 0.0, 0.0), BEN: (0.0, 1.0, 0.0, 0.0), EVE: (0.0, 0.0, 1.0, 0.0)}
LATER_VOICES = VOICES | {BEN: (0.0, RESEMBLES, 0.0, math.sqrt(1 - RESEMBLES**2))}
ITEM = Item(
    *(
        "youtube",
        "conversatio",
        "https://www.youtube.com/watch?v=conversatio",
        "The northern ridge",
    ),
    *("Ridge", "UCridge", 60.0, "2026-06-01", "en"),
)
LATER_ITEM = Item(
    *("youtube", "conversati2", "https://www.youtube.com/watch?v=conversati2", "A later talk"),
    *("Ridge", "UCridge", 60.0, "2026-07-01", "en"),
)


def conversation(voices=VOICES):
    """A transcript of LINES, a segment for each sentence, half a second a word."""
    segments, turns = [], []
    seconds = dict.fromkeys((ANN, BEN, EVE), 0.0)
    at = 0.0
    for speaker, text in LINES:
        began = at
        for sentence in text.replace(". ", ".|").split("|"):
            words = tuple(
                Word(at + n * 0.5, at + n * 0.5 + 0.5, f" {word}", 0.9, speaker)
                for n, word in enumerate(sentence.split())
            )
            flags = ("overlap",) if sentence == "Every morning?" else ()
            end = words[-1].end
            segments.append(
                Segment(at, end, f" {sentence}", words=words, flags=flags, speaker=speaker)
            )
            at = end
        turns.append(Turn(began, at, speaker))
        seconds[speaker] += at - began
    speakers = tuple(
        Speaker(label, spoken, voices[label], "test") for label, spoken in seconds.items()
    )
    return Transcript(
        *("faster-whisper", "large-v3", "en", at, tuple(segments)),
        speakers=speakers,
        turns=tuple(turns),
    )


def save_conversations(library):
    library.save(ITEM, conversation(), 5.0)
    library.save(LATER_ITEM, conversation(LATER_VOICES), 5.0)
