"""From the cues of a caption file to a transcript."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from typing import Literal

from homescribe.captions import cue_lines
from homescribe.captions.reading_time import least_seconds
from homescribe.captions.rolling_captions import without_repetitions
from homescribe.captions.time_shift import drift
from homescribe.captions.timed_cues import Cue, Token
from homescribe.core import CAPTIONS, HOUR, Segment, Speaker, Transcript, Turn, Word
from homescribe.errors import PermanentError
from homescribe.text import scripts, word_times

Kind = Literal["manual", "automatic"]

ESTIMATED = "The publisher's transcript has times of paragraphs only: those of their sentences are estimated."
MOST_SPEAKERS = 500  # in one file; more are no names, or an attack
CROWDED = f"The publisher's transcript names more than {MOST_SPEAKERS} speakers: they are left out."
STRAY_AFTER = 1 * HOUR  # without captions
STRAY = "Captions that begin after the recording, more than an hour after all others, are left out."
# Of programs that tell voices apart, but do not know them.
_NO_NAME = re.compile(r"(?:speaker|spk|voice|unknown)(?:[\s_#-]*(?:\d{1,3}|[a-z]))?", re.IGNORECASE)


def transcript_of(
    cues: Sequence[Cue], kind: Kind, language: str, duration: float | None
) -> Transcript:
    """Return the transcript of `cues`.

    Args:
        language: Whisper's code; "und" if it is unknown.
        duration: seconds of the recording as listed.

    Raises:
        PermanentError: there is no text.
    """
    ordered = sorted(cues, key=lambda each: each.start)
    ordered, stray = _without_stray(ordered, duration)
    lines = cue_lines.in_order(without_repetitions(ordered), duration)
    lines, estimated = cue_lines.split_paragraphs(cue_lines.joined_words(lines))
    if not lines:
        raise PermanentError("The captions have no text with times.")
    names = list(dict.fromkeys(line.speaker for line in lines if line.speaker is not None))
    crowded = len(names) > MOST_SPEAKERS
    labels = {name: f"SPEAKER_{number:02}" for number, name in enumerate(() if crowded else names)}
    segments: list[Segment] = []
    for line in lines:
        before = segments[-1].text if segments else line.text[:1]
        segments.append(_segment(line, before, labels.get(line.speaker or "")))
    end = max(segment.end for segment in segments)
    found = Transcript(
        engine=CAPTIONS,
        model=kind,
        language=language,
        duration=max(end, duration or 0.0),
        segments=tuple(segments),
        warnings=(
            *((ESTIMATED,) if estimated else ()),
            *((CROWDED,) if crowded else ()),
            *((STRAY,) if stray else ()),
        ),
        speakers=tuple(_speaker(name, label, segments) for name, label in labels.items()),
        turns=_turns(segments),
    )
    shifted = drift(found, duration) if duration else None
    return replace(found, warnings=(*found.warnings, shifted)) if shifted else found


def _without_stray(cues: list[Cue], duration: float | None) -> tuple[list[Cue], bool]:
    """Return sorted cues without those long after the recording and after all others, such as advertisements
    at 99:59:59, which would make it that long; and whether there were any.
    """
    if duration:
        for number, (before, after) in enumerate(pairwise(cues), 1):
            if after.start > duration and after.start - before.start > STRAY_AFTER:
                return cues[:number], True
    return cues, False


def _segment(line: Cue, before: str, speaker: str | None) -> Segment:
    """Return a line as a segment, whose text begins with a space in scripts that have spaces."""
    tokens = list(line.tokens)
    tokens[0] = (
        scripts.separator(before, tokens[0][0].strip()) + tokens[0][0].strip(),
        tokens[0][1],
    )
    end = line.start if line.end is None else line.end
    return Segment(
        start=line.start,
        end=end,
        text="".join(text for text, _ in tokens),
        words=tuple(replace(word, speaker=speaker) for word in _words(tokens, line.start, end)),
        speaker=speaker,
    )


def _words(tokens: list[Token], start: float, end: float) -> tuple[Word, ...]:
    """Return the words of a line; () where the file has no times of words.

    The probability of each is 1, since files of captions have none.
    """
    timed = [number for number, (_, time) in enumerate(tokens) if time is not None]
    if not timed or (len(timed) == 1 and len(tokens) > 1):
        return ()
    texts = [text for text, _ in tokens]
    words: list[Word] = []
    for number, first in enumerate(timed):
        last = timed[number + 1] if number + 1 < len(timed) else len(tokens)
        at = tokens[first][1] or 0.0
        until = end if last == len(tokens) else tokens[last][1] or 0.0
        if last == len(tokens):  # a pause may follow
            until = min(end, at + 2 * least_seconds("".join(texts[first:])))
        # What stands before the first time is said from the start of the line on.
        if number == 0 and first:
            words += word_times.spread(texts[:first], start, max(start, at), 1.0)
        words += word_times.spread(texts[first:last], at, max(at, until), 1.0)
    return word_times.in_order(words, start, end)


def _speaker(name: str, label: str, segments: Sequence[Segment]) -> Speaker:
    seconds = sum(one.end - one.start for one in segments if one.speaker == label)
    if _NO_NAME.fullmatch(name):
        return Speaker(label, seconds)
    return Speaker(label, seconds, name=name, named_by="publisher")


def _turns(segments: Sequence[Segment]) -> tuple[Turn, ...]:
    """Return a turn for all segments in a row that have the same speaker."""
    turns = []
    for speaker, group in groupby(segments, key=lambda segment: segment.speaker):
        if speaker is not None:
            said = list(group)
            turns.append(Turn(said[0].start, said[-1].end, speaker))
    return tuple(turns)
