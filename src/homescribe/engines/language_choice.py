"""Chooses the language of each window from the probabilities in it and in the windows before it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homescribe.engines.windows import Window

SURE = 0.5  # probability from which a window's own language counts
MIN_SPEECH = 2.0  # seconds of speech from which it counts; less may sound like any language
# A language changes only where the one before is this much less probable: Spanish stays Spanish where
# Galician is as likely.
RIVAL = 0.25
MIXED = 0.9  # probability below which a window may hold more than one language
MIN_MIXED = 6.0  # seconds of speech of such a window
PART_SPEECH = 2.5  # seconds of speech in each part of a mixed window


@dataclass(frozen=True, slots=True)
class LanguageEvidence:
    """The probability of every language in a stretch with some seconds of speech."""

    probabilities: dict[str, float]
    speech: float

    @property
    def language(self) -> str:
        """The most probable language."""
        return max(self.probabilities, key=lambda code: self.probabilities[code])

    @property
    def probability(self) -> float:
        """The probability of the most probable language."""
        return self.probabilities[self.language]

    @property
    def sure(self) -> bool:
        return self.probability >= SURE and self.speech >= MIN_SPEECH

    @property
    def mixed(self) -> bool:
        """Whether there may be more than one language in it."""
        return self.probability < MIXED and self.speech >= MIN_MIXED


def next_language(before: str | None, evidence: LanguageEvidence) -> str | None:
    """Return the language of a stretch after one in language `before`; None where nothing tells."""
    if not evidence.sure:
        return before
    rival = evidence.probabilities.get(before, 0.0) if before else 0.0
    return evidence.language if rival <= RIVAL * evidence.probability else before


def most_spoken(evidence: Iterable[LanguageEvidence]) -> str:
    """Return the language of most of the speech in several stretches, of which none needs to be sure."""
    seconds: dict[str, float] = {}
    for one in evidence:
        for language, probability in one.probabilities.items():
            seconds[language] = seconds.get(language, 0.0) + probability * max(one.speech, 0.1)
    return max(seconds, key=lambda language: seconds[language])


def part_languages(parts: Sequence[LanguageEvidence], before: str | None) -> list[str | None]:
    """Return the language of each part of a window. An unsure part has that of the part before it."""
    found: list[str | None] = []
    for evidence in parts:
        before = next_language(before, evidence)
        found.append(before)
    first = next((language for language in found if language), None)
    return [language or first for language in found]


def parts_of(window: Window) -> list[Window]:
    """Split `window` in its pauses into parts with about PART_SPEECH seconds of speech each."""
    cuts: list[float] = []
    speech, end = 0.0, 0.0
    left = window.speech_seconds()
    for start, stop in window.speech:
        if speech >= PART_SPEECH and start - end >= 0.2 and left >= PART_SPEECH / 2:
            cuts.append((start + end) / 2)
            speech = 0.0
        speech += stop - start
        left -= stop - start
        end = stop
    return window.split(cuts)
