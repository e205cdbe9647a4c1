"""Who says a segment or a word, by the names that files show.

Two labels with the same name are one person: diarization sometimes gives one voice two labels, and a person
who gives both the same name corrects that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from homescribe.core import Segment, Transcript, Turn, Word
from homescribe.text.sanitize import one_line

UNKNOWN = "Unknown"  # stands for the speaker of a segment that diarization gave to nobody
NAME_CHARACTERS = 60  # longer names are cut
PAUSE = 1.0  # seconds between two words of one speaker that are not one turn


def shown_names(transcript: Transcript) -> dict[str, str]:
    """Return the name of each speaker by label, on one line and without control characters."""
    return {
        label: one_line(name, NAME_CHARACTERS) or label
        for label, name in transcript.speaker_names.items()
    }


def segment_speaker(segment: Segment) -> str | None:
    """Return the label of who says all of `segment`; None if that is unknown, or several speak."""
    if segment.speaker:
        return segment.speaker
    labels = {word.speaker for word in segment.words if word.speaker}
    return labels.pop() if len(labels) == 1 else None


def words_with_speakers(segment: Segment, words: Iterable[Word]) -> list[Word]:
    """Return `words` of `segment` with the label of who says each.

    A word without one is said by whoever says the word before it in the segment, or the one after it.
    """
    found = list(words)
    if segment.speaker:
        return [word if word.speaker else replace(word, speaker=segment.speaker) for word in found]
    speaker = next((word.speaker for word in found if word.speaker), None)
    for number, word in enumerate(found):
        speaker = word.speaker or speaker
        if word.speaker != speaker:
            found[number] = replace(word, speaker=speaker)
    return found


class Names:
    """The names of a transcript's speakers, as files show them."""

    def __init__(self, transcript: Transcript) -> None:
        self._names = shown_names(transcript)
        # Without any, files are as they are without diarization: nobody is "Unknown".
        self.known = any(
            segment.speaker or any(word.speaker for word in segment.words)
            for segment in transcript.segments
        )

    def name(self, label: str | None) -> str:
        """Return the name of the speaker with `label`; without one UNKNOWN, or "" if nobody is known."""
        if not label:
            return UNKNOWN if self.known else ""
        return self._names.get(label) or one_line(label, NAME_CHARACTERS) or UNKNOWN

    def of(self, segment: Segment) -> str:
        """Return the name of who says `segment`; "" if no speaker of the transcript is known."""
        return self.name(segment_speaker(segment))


def introduced(transcript: Transcript) -> Iterator[tuple[Segment, str]]:
    """Yield each segment with "Ann: " if its speaker is not that of the text before, else with ""."""
    names = Names(transcript)
    before = ""
    for segment in transcript.segments:
        name = names.of(segment) if segment.text.strip() else before
        yield segment, f"{name}: " if name != before else ""
        before = name


def turns(transcript: Transcript) -> tuple[Turn, ...]:
    """Return the turns of diarization; for a transcript without them, those of its words or segments."""
    if transcript.turns:
        return transcript.turns
    found: list[Turn] = []
    for segment in transcript.segments:
        words = words_with_speakers(segment, segment.words)
        parts = [(word.start, word.end, word.speaker) for word in words]
        for start, end, label in parts or [(segment.start, segment.end, segment.speaker)]:
            last = found[-1] if found else None
            if last and last.speaker == label and start - last.end < PAUSE:
                found[-1] = replace(last, end=max(last.end, end))
            elif label:
                found.append(Turn(start, end, label))
    return tuple(found)
