"""Cues: what a subtitle file shows and when, and the words that they are made of.

`whisper_cues` makes the cues of openai-whisper. `reading_cues.py` makes cues for reading.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from homescribe.core import SubtitleOptions, Transcript, Word
from homescribe.formats.attribution import Names, words_with_speakers
from homescribe.formats.cue_order import Division, Run, in_order_of_time
from homescribe.text.sanitize import file_safe, one_line
from homescribe.text.scripts import tokens
from homescribe.text.word_times import in_order, spread

# Of Whisper's cues: the longest line and the most words in a line, unless there are options; and the pause in
# seconds between the starts of two words that begins a cue when both width and count of lines are given.
LINE_CHARACTERS = 1000
LINE_WORDS = 1000
LONG_PAUSE = 3.0

LABEL_CHARACTERS = 20  # of a name before the words of a cue
INEXACT = 0.3  # seconds; people whose words overlap for less speak one after the other


@dataclass(frozen=True, slots=True)
class CueWord:
    """A word with its time in the recording. `text` begins with what is before it: "", a space, "\\n"."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True)
class Cue:
    """One or more words of one speaker that are shown together from `start` to `end`."""

    start: float
    end: float
    words: tuple[CueWord, ...]
    speaker: str = ""  # name of who says them; "" if the transcript has no speakers
    label: str = (
        ""  # "Ann:", before the words where another one spoke before; the first word has a space
    )


_Run = Run[Sequence[Sequence[Word]]]  # by segment


def timed_words(transcript: Transcript) -> Iterator[tuple[Word, ...]]:
    """Yield the words of each segment, () for one without text. Those of one speaker are in order of time.

    Those of different speakers overlap only where segments do, as when each was transcribed by itself. The
    speaker of each word is its name, None if the transcript has no speakers.

    In a segment without word times they are estimated: each word is as long as its share of the letters.
    """
    ends: dict[str, float] = {}  # of the last word of each speaker
    names = Names(transcript)
    for segment in transcript.segments:
        words: Sequence[Word] = segment.words
        if not words:
            words = spread(tokens(segment.text.strip()), segment.start, segment.end, 1.0)
        words = [
            replace(word, word=file_safe(word.word), speaker=names.name(word.speaker) or None)
            for word in words_with_speakers(segment, words)
        ]
        said_by = {word.speaker or "" for word in words}
        after = max((ends.get(name, 0.0) for name in said_by), default=0.0)
        others = max(ends.values(), default=0.0)
        if others - segment.start < min(INEXACT, (segment.end - segment.start) / 2):
            after = max(after, others)
        end = max([after, segment.end, *(word.end for word in words)])
        words = in_order(words, after, end) if words else ()
        if words:
            ends.update(dict.fromkeys(said_by, words[-1].end))
        yield tuple(words)


def speaker_label(name: str) -> str:
    """Return what introduces a speaker in the text of a cue: "Ann:"; a long name is shortened."""
    return f"{one_line(name, LABEL_CHARACTERS)}:" if name else ""


def whisper_cues(
    transcript: Transcript, options: SubtitleOptions, *, labels: bool = False
) -> Iterator[Cue]:
    """Yield the cues that `whisper.utils.SubtitlesWriter` makes of the words with `options`.

    A cue also ends where the speaker changes. With `labels`, the next one introduces the speaker.
    """

    def cues(run: _Run, introduced: bool) -> list[Cue]:
        label = speaker_label(run.speaker) if labels and introduced else ""
        made = [
            replace(cue, speaker=run.speaker) for cue in _whisper_cues(run.words, options, label)
        ]
        return [replace(cue, label="" if n else label) for n, cue in enumerate(made)]

    division = Division(cues, lambda cue: cue.start, _rest)
    for _, cue in in_order_of_time(_by_speaker(timed_words(transcript)), division):
        yield cue


def _rest(segments: Sequence[Sequence[Word]], cues: Sequence[Cue]) -> list[Sequence[Word]]:
    """Return the words of segments that are not in these cues, which have the first ones."""
    left = sum(len(cue.words) for cue in cues)
    rest: list[Sequence[Word]] = []
    for words in segments:
        if left < len(words):
            rest.append(words[left:])
        left = max(0, left - len(words))
    return rest


def _by_speaker(segments: Iterable[Sequence[Word]]) -> Iterator[_Run]:
    """Yield the words of one speaker after the other, by segment."""
    name, run = "", list[Sequence[Word]]()
    for words in segments:
        by_name = groupby(words, key=lambda word: word.speaker or "")
        for speaker, said in ((key, list(group)) for key, group in by_name):
            if run and speaker != name:
                yield Run(run[0][0].start, name, run)
                run = []
            name = speaker
            run.append(said)
    if run:
        yield Run(run[0][0].start, name, run)


def _whisper_cues(
    segments: Iterable[Sequence[Word]], options: SubtitleOptions, label: str
) -> Iterator[Cue]:
    """Yield the cues of one speaker. In the first one, `label` precedes the words."""
    label_width = len(label)
    count = options.max_line_count
    by_segment = count is None or options.max_line_width is None
    line_width = options.max_line_width or LINE_CHARACTERS
    words: list[CueWord] = []
    width, lines = label_width, 1
    previous: float | None = None
    for segment_words in segments:
        for part in _parts(segment_words, options.max_words_per_line or LINE_WORDS):
            for number, word in enumerate(part):
                pause = not by_segment and previous is not None
                pause = pause and word.start - (previous or 0.0) > LONG_PAUSE
                begins = number == 0 and bool(words) and by_segment
                text = word.word
                if label_width and not words and not text[:1].isspace():
                    text = f" {text}"
                if width and width + len(text) <= line_width and not pause and not begins:
                    width += len(text)
                else:
                    text = text.strip()
                    width_before, width = width, len(text)
                    if begins or (words and count is not None and (pause or lines >= count)):
                        yield _cue(words)
                        words, lines, label_width = [], 1, 0
                    elif width_before:
                        lines += 1
                        text = "\n" + text
                words.append(CueWord(word.start, word.end, text))
                previous = word.start
    if words:
        yield _cue(words)


def _parts(words: Sequence[Word], size: int) -> Iterator[Sequence[Word]]:
    for first in range(0, len(words), size):
        yield words[first : first + size]


def _cue(words: Iterable[CueWord]) -> Cue:
    held = tuple(words)
    return Cue(held[0].start, held[-1].end, held)
