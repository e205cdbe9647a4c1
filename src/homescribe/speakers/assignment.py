"""Give each word of a transcript its speaker, and split segments where the speaker changes.

A word belongs to whoever speaks most during it. While several people speak, it belongs to the one who spoke
before, because Whisper writes down one voice at a time; a short sentence belongs to the one whose turn is
most like it, so that a "Yes." in between is kept. Times of words and turns are exact to about a fifth of a
second: a single word at the edge of a turn, in the middle of a sentence, is not a change of speaker.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise

from homescribe.core import Segment, Speaker, Transcript, Turn, Word
from homescribe.speakers.diarizer import Diarization
from homescribe.speakers.turn_index import TurnIndex, marked_overlap, seconds_by_speaker
from homescribe.text.scripts import ends_sentence, sentences

LEAST_SPEECH = 2.0  # seconds of a speaker in all; less is a noise, or a part of another's voice
LITTLE_SPEECH = 0.5  # seconds that are enough where as many speakers are expected
NEAR = 2.0  # seconds between a word and the turn that it may belong to
EQUAL = 0.9  # share of the longest speech in a word from which another's counts as equal
SHORT_SENTENCE = 3  # words, at most
INSIDE = 0.6  # share of a short sentence in which its speaker speaks
SENTENCE_PAUSE = 1.0  # seconds after which another sentence begins, whatever the punctuation
PAUSE = 0.3  # seconds between two words that need not be of one speaker
STRAY = 0.5  # seconds; a single word, or several that are shorter in all, change no speaker mid-sentence
CHANGE = 2.0  # seconds of each of two speakers in a sentence that is divided although word times are unknown

FEWER = re.compile(r"\d+ speakers were asked for; \d+ (has|have) enough speech\.")
# A word, or a clause of a script without spaces.
PHRASE = re.compile(r"\s*[^\s，、；]+[，、；]*|\s*[，、；]+|\s+\Z")


@dataclass(slots=True, eq=False)
class _Unit:
    """What has one speaker: a word or, where the times of words are unknown, a sentence.

    Where several people speak in such a sentence, it is a word again, with an estimated time.
    """

    text: str  # with the space before it
    start: float
    end: float
    segment: int  # index
    word: Word | None = None
    speaker: str | None = None
    whole: bool = False  # a sentence

    @property
    def estimated(self) -> bool:
        """Whether this is a word, or a clause of a script without spaces, whose time is estimated."""
        return self.word is None and not self.whole

    @property
    def ends_sentence(self) -> bool:
        return self.whole or ends_sentence(self.text)


def with_speakers(transcript: Transcript, diarization: Diarization, least: int = 1) -> Transcript:
    """Return the transcript with its speakers and turns, the speaker of each word, and segments split.

    The text, the words, and all times stay. A segment far from any turn has no speaker. Voices with little
    speech are left out.

    Args:
        least: number of speakers that there are at least, so that no more are left out, unless they say
            nothing. A warning of the transcript says when there are fewer.
    """
    speakers, turns = _enough_speech(diarization, least)
    index = TurnIndex(turns)
    units = [
        unit
        for number, segment in enumerate(transcript.segments)
        for whole in _units(segment, number)
        for unit in _by_phrase(whole, index)
    ]
    for sentence in _sentences(units):
        _assign(sentence, index)
    _join_strays(units)
    _fill_segments(units)
    labels = _labels(units, turns, speakers)
    pieces = [
        piece
        for number, group in groupby(units, key=lambda unit: unit.segment)
        for piece in _split(transcript.segments[number], list(group))
    ]
    segments = tuple(_finished(piece, labels, index) for piece in _joined(pieces))
    renamed = {speaker.label: speaker for speaker in speakers}
    return replace(
        transcript,
        segments=segments,
        speakers=tuple(replace(renamed[old], label=new) for old, new in labels.items()),
        turns=tuple(replace(turn, speaker=labels[turn.speaker]) for turn in turns),
        warnings=(
            *(each for each in transcript.warnings if not FEWER.fullmatch(each)),
            *_fewer(len(speakers), least),
        ),
    )


def _fewer(number: int, least: int) -> list[str]:
    """Return the warning of a transcript with fewer speakers than there should be."""
    if number >= least or least == 1:
        return []
    have = f"{number} has" if number == 1 else f"{number} have"
    return [f"{least} speakers were asked for; {have} enough speech."]


def _enough_speech(
    diarization: Diarization, least: int
) -> tuple[tuple[Speaker, ...], tuple[Turn, ...]]:
    """Return the speakers with enough speech, with its seconds, and their turns."""
    spoken = seconds_by_speaker(diarization.turns)
    seconds = {each.label: spoken.get(each.label, 0.0) for each in diarization.speakers}
    most = sorted(seconds, key=lambda label: -seconds[label])
    kept = {
        label
        for n, label in enumerate(most)
        if seconds[label] >= (LITTLE_SPEECH if n < least else LEAST_SPEECH) or n == 0
    }
    speakers = tuple(
        replace(speaker, seconds=seconds[speaker.label])
        for speaker in diarization.speakers
        if speaker.label in kept
    )
    return speakers, tuple(turn for turn in diarization.turns if turn.speaker in kept)


# --- Units -----------------------------------------------------------------------------------------


def _units(segment: Segment, number: int) -> list[_Unit]:
    """Return the words of a segment or its sentences. Their texts together are that of the segment."""
    if not segment.words:
        return _sentence_units(segment, number)
    starts = []
    at = 0
    for word in segment.words:
        at = segment.text.find(word.word.strip(), at)
        if at < 0:  # the text was changed: nothing says which part of it a word is
            return [_Unit(segment.text, segment.start, segment.end, number, segment.words[0])]
        starts.append(at)
        at += len(word.word.strip())
    ends = [start + len(w.word.strip()) for start, w in zip(starts, segment.words, strict=True)]
    edges = [0, *ends[:-1], len(segment.text)]
    return [
        _Unit(segment.text[a:b], word.start, word.end, number, word)
        for a, b, word in zip(edges, edges[1:], segment.words, strict=False)
    ]


def _sentence_units(segment: Segment, number: int) -> list[_Unit]:
    """Return the sentences of a segment, with times by their share of the letters."""
    texts = sentences(segment.text) or [segment.text]
    total = sum(len(text) for text in texts) or 1
    units, letters = [], 0
    length = segment.end - segment.start
    for text in texts:
        start = segment.start + length * letters / total
        letters += len(text)
        end = segment.start + length * letters / total
        units.append(_Unit(text, start, end, number, whole=True))
    return units


def _by_phrase(unit: _Unit, index: TurnIndex) -> list[_Unit]:
    """Return the words of a sentence in which several people speak, with times by their share of the letters.

    Other units are returned as they are.
    """
    if not unit.whole:
        return [unit]
    seconds = sorted(index.seconds(unit.start, unit.end).values())
    texts = PHRASE.findall(unit.text)
    if len(seconds) < 2 or seconds[-2] < CHANGE or "".join(texts) != unit.text:
        return [unit]
    edges = [0, *accumulate(len(text) for text in texts)]
    each = (unit.end - unit.start) / len(unit.text)
    return [
        _Unit(text, unit.start + first * each, unit.start + last * each, unit.segment)
        for text, (first, last) in zip(texts, pairwise(edges), strict=True)
    ]


def _sentences(units: Iterable[_Unit]) -> Iterator[list[_Unit]]:
    """Yield the units of each sentence; a sentence may be spread over segments."""
    sentence: list[_Unit] = []
    for unit in units:
        if sentence and unit.start - sentence[-1].end >= SENTENCE_PAUSE:
            yield sentence
            sentence = []
        sentence.append(unit)
        if unit.ends_sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence


# --- Speakers --------------------------------------------------------------------------------------


def _assign(sentence: Sequence[_Unit], index: TurnIndex) -> None:
    """Set the speaker of each unit of a sentence; None far from any turn."""
    short = len(sentence) <= SHORT_SENTENCE and not sentence[0].estimated
    if short and (speaker := _short_sentence(sentence, index)):
        for unit in sentence:
            unit.speaker = speaker
        return
    before: str | None = None
    for unit in sentence:
        end = max(unit.end, unit.start + 0.01)
        seconds = index.seconds(unit.start, end)
        if seconds:
            most = max(seconds.values())
            equal = [label for label, spoken in seconds.items() if spoken >= EQUAL * most]
            unit.speaker = before if before in equal else max(equal, key=lambda one: seconds[one])
        before = unit.speaker or before
    known = [unit for unit in sentence if unit.speaker is not None]
    for unit in sentence:
        if (
            unit.speaker is None
        ):  # outside of all turns: like the rest of its sentence, if that is near
            near = min(known, key=lambda one: _distance(one, unit), default=None)
            if near is not None and _distance(near, unit) <= NEAR:
                unit.speaker = near.speaker
            else:
                unit.speaker = index.nearest(unit.start, max(unit.end, unit.start + 0.01), NEAR)


def _distance(one: _Unit, other: _Unit) -> float:
    """Return the seconds between two units."""
    return max(one.start - other.end, other.start - one.end, 0.0)


def _short_sentence(sentence: Sequence[_Unit], index: TurnIndex) -> str | None:
    """Return whose turn is most like a short sentence, of those who speak in most of it."""
    start, end = sentence[0].start, max(sentence[-1].end, sentence[0].start + 0.01)
    spoken = {
        label: index.likeness(label, start, end)
        for label, seconds in index.seconds(start, end).items()
        if seconds >= INSIDE * (end - start)
    }
    return max(spoken, key=lambda label: spoken[label]) if spoken else None


def _join_strays(units: Sequence[_Unit]) -> None:
    """Give a stray word in a sentence to the speaker of the words beside it."""
    for sentence in _sentences(units):
        runs = [list(run) for _, run in groupby(sentence, key=lambda unit: unit.speaker)]
        # The shortest first, so that a stray does not take its neighbour along.
        for run in sorted(runs, key=_seconds):
            least = STRAY if len(run) > 1 else CHANGE if run[0].estimated else math.inf
            if _seconds(run) >= least:
                continue
            at = sentence.index(run[0])
            before, after = sentence[:at][-1:], sentence[at + len(run) :][:1]
            beside = [
                unit
                for unit, pause in (
                    *((one, run[0].start - one.end) for one in before),
                    *((one, one.start - run[-1].end) for one in after),
                )
                if pause < PAUSE and unit.speaker is not None
            ]
            apart = len(beside) < len(before) + len(after)
            others = {unit.speaker for unit in beside} - {run[0].speaker}
            if others and (not apart or run[0].speaker is None):
                speaker = max(beside, key=lambda unit: _length(sentence, unit)).speaker
                for unit in run:
                    unit.speaker = speaker


def _seconds(run: Sequence[_Unit]) -> float:
    return run[-1].end - run[0].start


def _length(sentence: Sequence[_Unit], unit: _Unit) -> int:
    """Return how many units of the sentence have the speaker of `unit`."""
    return sum(one.speaker == unit.speaker for one in sentence)


def _fill_segments(units: Sequence[_Unit]) -> None:
    """Give units without a speaker that of the nearest unit of their segment."""
    for _, group in groupby(units, key=lambda unit: unit.segment):
        members = list(group)
        known = [unit for unit in members if unit.speaker is not None]
        for unit in members:
            if unit.speaker is None and known:
                unit.speaker = min(known, key=lambda one: abs(one.start - unit.start)).speaker


def _labels(
    units: Iterable[_Unit], turns: Iterable[Turn], speakers: Iterable[Speaker]
) -> dict[str, str]:
    """Return new labels by the old ones, in the order of first words; then those without any."""
    order = dict.fromkeys(unit.speaker for unit in units if unit.speaker is not None)
    order |= dict.fromkeys(turn.speaker for turn in turns)
    order |= dict.fromkeys(speaker.label for speaker in speakers)
    return {label: f"SPEAKER_{number:02}" for number, label in enumerate(order)}


# --- Segments --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Piece:
    """A segment, or the part of one that one speaker says."""

    segment: Segment
    part: bool


def _split(segment: Segment, units: Sequence[_Unit]) -> list[_Piece]:
    """Return the parts of a segment, each of one speaker."""
    runs = [list(run) for _, run in groupby(units, key=lambda unit: unit.speaker)]
    if len(runs) == 1:
        return [_Piece(replace(segment, speaker=units[0].speaker), part=False)]
    return [_Piece(part, part=True) for part in _parts(segment, runs)]


def sentences_of(segment: Segment) -> list[Segment]:
    """Return the sentences of a segment as segments."""
    found = list(_sentences(_units(segment, 0)))
    return [segment] if len(found) == 1 else _parts(segment, found)


def _parts(segment: Segment, runs: Sequence[Sequence[_Unit]]) -> list[Segment]:
    """Return the parts of a segment that consist of these units."""
    parts: list[Segment] = []
    for run in runs:
        start = min(max(run[0].start, parts[-1].end), segment.end) if parts else segment.start
        end = segment.end if run is runs[-1] else min(max(run[-1].end, start), segment.end)
        part = replace(
            segment,
            start=start,
            end=end,
            text="".join(unit.text for unit in run),
            words=tuple(unit.word for unit in run if unit.word is not None),
            speaker=run[0].speaker,
        )
        parts.append(part)
    return parts


def _joined(pieces: Iterable[_Piece]) -> Iterator[Segment]:
    """Yield the segments. A single word that was split off is joined to the rest of its sentence."""
    before: _Piece | None = None
    for piece in pieces:
        if before is not None and _continues(before, piece):
            piece = _Piece(_both(before.segment, piece.segment), part=before.part and piece.part)
        elif before is not None:
            yield before.segment
        before = piece
    if before is not None:
        yield before.segment


def _continues(before: _Piece, after: _Piece) -> bool:
    """Return whether one of the two is a single word of a sentence, whose rest is the other."""
    a, b = before.segment, after.segment
    return (
        any(piece.part and len(piece.segment.words) == 1 for piece in (before, after))
        and a.speaker is not None
        and a.speaker == b.speaker
        and a.language == b.language
        and b.start - a.end < PAUSE
        and not ends_sentence(a.text)
    )


def _both(a: Segment, b: Segment) -> Segment:
    """Return two segments as one, with the measures of the longer one."""
    return replace(
        max(a, b, key=lambda segment: len(segment.words)),
        start=a.start,
        end=b.end,
        text=a.text + b.text,
        words=a.words + b.words,
        flags=tuple(dict.fromkeys((*a.flags, *b.flags))),
    )


def _finished(segment: Segment, labels: dict[str, str], index: TurnIndex) -> Segment:
    """Return the segment with the new labels, and with the flag where several people speak."""
    label = labels[segment.speaker] if segment.speaker is not None else None
    words = tuple(replace(word, speaker=label) for word in segment.words)
    return marked_overlap(replace(segment, speaker=label, words=words), index)
