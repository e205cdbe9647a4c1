"""The speakers of a recording as its page shows them: name, colour, and share of the speaking time."""

from __future__ import annotations

from dataclasses import dataclass

from homescribe.core import Speaker, Transcript

COLOURS = 8  # --voice-0 to --voice-7 in style.css; more speakers repeat them with another mark


@dataclass(frozen=True, slots=True)
class SpeakerView:
    """One speaker of a recording."""

    label: str
    name: str  # as shown: "Ann", "Ann?" if it may be her, "Speaker 1" without a name
    given: str  # the name alone: "Ann"; "" without a name
    maybe: bool  # the voice resembles that of `given`
    seconds: float  # of speech
    share: float  # 0..1, of all speakers' speech
    offset: float  # 0..1: share of the speakers before this one
    style: str  # classes: colour and mark


def speaker_views(transcript: Transcript) -> dict[str, SpeakerView]:
    """The speakers by label, in the order of their first words."""
    names = transcript.speaker_names
    total = sum(speaker.seconds for speaker in transcript.speakers) or 1.0
    found: dict[str, SpeakerView] = {}
    before = 0.0
    for number, speaker in enumerate(transcript.speakers):
        found[speaker.label] = _view(speaker, names[speaker.label], number, total, before)
        before += speaker.seconds
    return found


def _view(speaker: Speaker, name: str, number: int, total: float, before: float) -> SpeakerView:
    return SpeakerView(
        label=speaker.label,
        name=name,
        given=speaker.name or "",
        maybe=speaker.named_by == "maybe",
        seconds=speaker.seconds,
        share=speaker.seconds / total,
        offset=before / total,
        style=f"voice-{number % COLOURS}" + (" striped" if number // COLOURS % 2 else ""),
    )
