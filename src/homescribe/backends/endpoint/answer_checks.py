"""Whether an answer can be the transcript of what was sent, and its segments in the recording's time.

The thresholds for repetitions, speed and silence are those of the engines that run here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from homescribe.backends.endpoint.endpoint_answers import Answer
from homescribe.backends.endpoint.parts import speech_between
from homescribe.backends.endpoint.spoken_words import with_words
from homescribe.core import Segment, Skipped
from homescribe.engines import quality
from homescribe.engines.segments import place
from homescribe.engines.windows import Window

TOLERANCE = (
    2.0  # seconds by which lengths and times may differ: services round, and pad to whole windows
)
TOLERANCE_SHARE = 0.02  # of a long part
FULL_OF_SPEECH = 15.0  # seconds of detected speech for which there must be some text
NEAR = 1.0  # seconds beside a segment in which its speech may be: services give rough times
MOST_UNTIMED = 0.5  # share of the letters of the text that no segment has


def problem(answer: Answer, part: Window) -> str | None:
    """Return what is wrong with an answer, so that it is not used; None if it can be right."""
    length = part.duration
    if answer.duration is not None and answer.duration < length - max(
        TOLERANCE, TOLERANCE_SHARE * length
    ):
        return f"it heard {answer.duration:.0f} of {length:.0f} seconds"
    if any(segment.start > length + TOLERANCE for segment in answer.segments):
        return f"it has times past the end of the {length:.0f} seconds that were sent"
    # The checks of a segment's text take the square of its length.
    written = max(answer.text, "".join(one.text for one in answer.segments), key=len)
    if quality.is_too_fast(written, length):
        return f"it has {len(written):,} characters for {length:.0f} seconds, faster than anybody speaks"
    timed = sum(_letters(segment.text) for segment in answer.segments)
    if answer.segments and timed < (1 - MOST_UNTIMED) * _letters(answer.text):
        return "most of its text is in no segment"
    return None


def is_deaf(answers: Sequence[tuple[Answer, Window]]) -> bool:
    """Return whether there is no text at all for a recording in which people speak."""
    speech = sum(part.speech_seconds() for _, part in answers)
    return speech >= FULL_OF_SPEECH and not any(answer.text.strip() for answer, _ in answers)


def timed_segments(
    answer: Answer, part: Window, after: float, *, vad_filter: bool, words: bool
) -> list[Segment]:
    """Return the segments of an answer in the recording's time: in order, flagged, without hallucinations.

    Args:
        after: the end of the segment before.
        vad_filter: text of which the service says that nobody spoke is left out.
    """
    found = answer.segments
    if answer.untimed:
        found = (_whole(answer, part),)
    if words:
        found = with_words(found, answer.words)
    if vad_filter:
        found = tuple(one for one in found if not _is_silence(one, part))
    placed = place(found, part, after, move_starts=vad_filter)
    kept = quality.without_copies(placed)
    return [replace(one, flags=_flags(one)) for one in kept]


def untranscribed(part: Window, segments: Sequence[Segment]) -> Iterator[Skipped]:
    """Yield the stretches of a part that are full of speech and have no text."""
    edges = [part.start, *(time for one in segments for time in (one.start, one.end)), part.end]
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        if speech_between(part, start, end) >= FULL_OF_SPEECH:
            yield Skipped(start, end, "no_text")


def _whole(answer: Answer, part: Window) -> Segment:
    """Return a text without times as one segment, from the first speech in the part to the last."""
    start, end = (part.speech[0][0], part.speech[-1][1]) if part.speech else (0.0, part.duration)
    text = answer.text if answer.text[:1].isspace() else f" {answer.text}"
    return Segment(start, min(end, part.duration), text)


def _is_silence(segment: Segment, part: Window) -> bool:
    if segment.avg_logprob is None or segment.no_speech_prob is None:
        return False
    start, end = part.start + segment.start - NEAR, part.start + segment.end + NEAR
    speech = speech_between(part, start, end)
    return quality.is_silence(segment.avg_logprob, segment.no_speech_prob, speech)


def _flags(segment: Segment) -> tuple[str, ...]:
    flags = quality.flags(
        segment.text,
        0.0 if segment.avg_logprob is None else segment.avg_logprob,
        segment.compression_ratio or quality.compression_ratio(segment.text),
        segment.temperature or 0.0,
    )
    fast = quality.is_too_fast(segment.text, segment.end - segment.start)
    return tuple(dict.fromkeys((*flags, "low_probability"))) if fast else flags


def _letters(text: str) -> int:
    return sum(character.isalnum() for character in text)
