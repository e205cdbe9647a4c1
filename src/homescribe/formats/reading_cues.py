"""Cues for reading: at most two lines of 42 columns and 7 seconds, divided where a sentence or a clause ends.

The words are divided into cues, and each cue into lines, so that the sum of the costs below is smallest. The
limits are those of broadcasters: https://partnerhelp.netflixstudios.com/hc/en-us/articles/215758617
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from homescribe.core import Transcript, Word
from homescribe.formats.cue_order import Division, Run, in_order_of_time
from homescribe.formats.cues import Cue, CueWord, speaker_label, timed_words
from homescribe.formats.line_breaks import (
    AFTER_CLAUSE,
    AFTER_SENTENCE,
    FORBIDDEN,
    INSIDE_WORD,
    break_cost,
)
from homescribe.text.scripts import UNSPACED, display_width, letters, separator
from homescribe.text.word_times import spread

LINE_WIDTH = 42  # columns: a full-width character takes two
LONGEST_CUE = 7.0  # seconds
SHORTEST_CUE = 1.0  # seconds, if there is room before the next cue
READING_SPEED = 20.0  # columns per second, if there is room
LONGEST_PAUSE = 1.5  # seconds of silence inside a cue
EARLIEST_START = 0.5  # seconds before its first word that a short cue may start
GAP = 0.08  # seconds between a cue that was made longer and the next one: two frames
FLICKER = 0.5  # seconds between two cues below which the first one lasts until the next

# Costs of a cue, in the unit of the costs in line_breaks.py.
CUE = 1.6
INNER_SENTENCE = 2.2  # for each sentence that ends inside the cue
INNER_PAUSE = 3.0  # for each second of pauses over PAUSE
PAUSE = 0.3  # seconds
FULL = 1.0  # for a cue with two full lines; less by the square
SHORT = 4.0  # for each second below SHORTEST_CUE
FAST = 0.15  # for each column per second over READING_SPEED
FRAGMENT = 3.0  # for a cue of less than FRAGMENT_WIDTH that begins or ends inside a sentence
FRAGMENT_WIDTH = 14  # columns
SEGMENT_END = 1.5  # less for a break where a segment ends
PAUSE_AT_BREAK = 2.5  # less for each second of the pause there
WORD = 0.3  # seconds that a word takes at most, and more for each column
LETTER = 0.08
TWO_LINES = 0.3
LINE_BREAK = 0.25  # of the cost of the break between the lines
UNEVEN = 2.0  # for lines of which one is empty; less in proportion


@dataclass(slots=True)
class _Piece:
    """A word, a character of a script without spaces, or a part of a word too long for a line.

    Or the label of a speaker, before the first word.
    """

    start: float
    end: float
    text: str
    spaced: bool  # a space precedes it
    width: int
    speaker: str = ""  # name of who says it
    label: bool = False
    # Cost of ending a line, and a cue, after this piece.
    line_cost: float = FORBIDDEN
    cue_cost: float = FORBIDDEN


def reading_cues(transcript: Transcript, *, labels: bool = False) -> Iterator[Cue]:
    """Yield the cues of `transcript` in order of time, each with words of one speaker.

    They overlap only where people speak at once. With `labels`, a cue introduces its speaker if that of the
    cue before is another.
    """
    pieces = list(_pieces(transcript))
    _allow_breaks_in_long_runs(pieces)
    starts = sorted(piece.start for piece in pieces)

    def after(end: float) -> float:
        """Return when the next word starts that is not before `end`."""
        place = bisect_left(starts, end)
        return starts[place] if place < len(starts) else math.inf

    def divided(run: Run[list[_Piece]], introduced: bool) -> list[list[_Piece]]:
        label = [_label(run.words[0])] if labels and introduced and run.speaker else []
        return _divide([*label, *run.words], after(run.words[-1].end))

    division = Division(divided, lambda cue: cue[0].start, _rest)
    before = 0.0
    for _, cue in in_order_of_time(_runs(pieces), division):
        shown = _timed(cue, before, after(cue[-1].end), transcript.duration)
        before = max(before, shown.end)
        yield shown


def _rest(pieces: Sequence[_Piece], cues: Sequence[Sequence[_Piece]]) -> list[_Piece]:
    """Return the pieces that are not in these cues, which have the first ones."""
    return list(pieces[sum(not piece.label for cue in cues for piece in cue) :])


# --- Pieces --------------------------------------------------------------------------------------


def _pieces(transcript: Transcript) -> Iterator[_Piece]:
    """Yield the words, in parts if too long for a line, with the cost of a break after each."""
    previous: _Piece | None = None
    for words in timed_words(transcript):
        begins, space = True, False
        for word in words:
            for piece in _split(word):
                piece.spaced = piece.spaced or space
                space = False
                if previous:
                    piece.spaced = piece.spaced or (begins and _space_between(previous, piece))
                    _set_costs(previous, piece, begins)
                    yield previous
                previous, begins = piece, False
            space = word.word[-1:].isspace()
    if previous:
        previous.line_cost = previous.cue_cost = 0.0
        yield previous


def _label(piece: _Piece) -> _Piece:
    """Return the label of the speaker who begins with `piece`. A line may end after it, a cue may not."""
    piece.spaced = True
    text = speaker_label(piece.speaker)
    width = display_width(text)
    return _Piece(
        piece.start, piece.start, text, False, width, piece.speaker, True, line_cost=INSIDE_WORD
    )


def _space_between(piece: _Piece, following: _Piece) -> bool:
    """Whether a space belongs between the last word of a segment and the first one of the next.

    In scripts without spaces it stands for the missing mark.
    """
    if separator(piece.text, following.text) == " ":
        return True
    return break_cost(piece.text, following.text, spaced=False) > AFTER_CLAUSE


def _split(word: Word) -> Iterator[_Piece]:
    """Yield the parts of `word` that contain no space and fit on a line."""
    texts: list[str] = []
    spaced: list[bool] = []
    for part in word.word.split():
        chunks = [part] if display_width(part) <= LINE_WIDTH else list(_chunks(part))
        texts += chunks
        spaced += [True] + [False] * (len(chunks) - 1)
    if texts:
        spaced[0] = word.word[0].isspace()
    for timed, space in zip(
        spread(texts, word.start, min(word.end, word.start + LONGEST_CUE), 1.0), spaced, strict=True
    ):
        width = display_width(timed.word)
        yield _Piece(timed.start, timed.end, timed.word, space, width, word.speaker or "")


def _chunks(text: str) -> Iterator[str]:
    """Divide `text` into chunks that fit on a line."""
    chunk, width = "", 0
    for letter in letters(text):
        columns = display_width(letter)
        if chunk and width + columns > LINE_WIDTH:
            yield chunk
            chunk, width = "", 0
        chunk += letter
        width += columns
    yield chunk


def _set_costs(piece: _Piece, following: _Piece, ends_segment: bool) -> None:
    """Set the costs of a break between `piece` and `following`."""
    cost = break_cost(piece.text, following.text, spaced=following.spaced)
    if ends_segment:  # probably with a sentence or a clause, although the model wrote no mark
        if len(following.text) > 1 and following.text[0].isupper():
            cost = AFTER_SENTENCE
        elif UNSPACED.match(following.text):
            cost = min(cost, AFTER_CLAUSE)
    piece.line_cost = piece.cue_cost = cost
    if cost >= FORBIDDEN and not ends_segment:
        return
    cost = min(cost, INSIDE_WORD) - SEGMENT_END * ends_segment
    # A word after a pause is often stretched over it.
    stretch = following.end - following.start - WORD - following.width * LETTER
    pause = min(1.0, following.start - piece.end + max(0.0, stretch) / 2)
    piece.cue_cost = max(AFTER_SENTENCE, cost - PAUSE_AT_BREAK * pause)


def _allow_breaks_in_long_runs(pieces: Sequence[_Piece]) -> None:
    """Allow breaks in what may not be divided, but is too wide for a line or too long for a cue."""
    first = 0
    for number, piece in enumerate(pieces):
        if piece.line_cost >= FORBIDDEN:
            continue
        run = pieces[first : number + 1]
        too_wide = sum(one.width for one in run) > LINE_WIDTH
        if too_wide or run[-1].end - run[0].start > LONGEST_CUE:
            for one in run[:-1]:
                one.line_cost = min(one.line_cost, 3 * INSIDE_WORD)
                one.cue_cost = min(one.cue_cost, 3 * INSIDE_WORD)
        first = number + 1


# --- Cues ----------------------------------------------------------------------------------------


def _runs(pieces: Sequence[_Piece]) -> Iterator[Run[list[_Piece]]]:
    """Yield the parts of `pieces` between long pauses and between speakers. No cue is in two of them."""
    run: list[_Piece] = []
    for piece in pieces:
        if run:
            last = run[-1]
            pause = piece.start - last.end > LONGEST_PAUSE and last.cue_cost < FORBIDDEN
            if pause or piece.speaker != last.speaker:
                yield Run(run[0].start, last.speaker, run)
                run = []
        run.append(piece)
    if run:
        yield Run(run[0].start, run[0].speaker, run)


def _divide(block: Sequence[_Piece], following: float) -> list[list[_Piece]]:
    """Divide a run of pieces into cues of the smallest cost.

    Args:
        following: when the next word starts after them.
    """
    # Positions 0..n are the places between pieces. `best[n]` is the least cost of all cues before n.
    count = len(block)
    edges = [0, *accumulate(piece.width + piece.spaced for piece in block)]
    sentences = [0, *accumulate(piece.line_cost == AFTER_SENTENCE for piece in block)]
    gaps = [right.start - left.end for left, right in pairwise(block)]
    pauses = [0.0, 0.0, *accumulate(max(0.0, gap - PAUSE) for gap in gaps)]
    best = [0.0, *[math.inf] * count]
    origin = [0] * (count + 1)
    for end in range(1, count + 1):
        whole = end == count
        if block[end - 1].cue_cost >= FORBIDDEN and not whole:
            continue
        after = following if whole else block[end].start
        end_cost = 0.0 if whole else block[end - 1].cue_cost
        for begin in range(end - 1, -1, -1):
            width = edges[end] - edges[begin] - block[begin].spaced
            seconds = block[end - 1].end - block[begin].start
            if (width > 2 * LINE_WIDTH or seconds > LONGEST_CUE) and begin < end - 1:
                break
            if best[begin] == math.inf:
                continue
            lines = _line_break(block, edges, begin, end)
            if lines is None:
                continue
            room = min(after, block[end - 1].end + LONGEST_CUE) - block[begin].start
            inner = sentences[end - 1] - sentences[begin]
            begins_sentence = begin == 0 or block[begin - 1].line_cost == AFTER_SENTENCE
            ends_sentence = whole or block[end - 1].line_cost == AFTER_SENTENCE
            cost = (
                best[begin]
                + end_cost
                + CUE
                + lines[0]
                + INNER_SENTENCE * inner
                + INNER_PAUSE * (pauses[end] - pauses[begin + 1])
                + FULL * (width / (2 * LINE_WIDTH)) ** 2
                + SHORT * max(0.0, SHORTEST_CUE - room)
                + FAST * min(50.0, max(0.0, width / max(room, 0.1) - READING_SPEED))
            )
            if width < FRAGMENT_WIDTH and not (begins_sentence and ends_sentence):
                cost += FRAGMENT
            if cost < best[end]:
                best[end], origin[end] = cost, begin
    cuts = [count]
    while cuts[-1]:
        cuts.append(origin[cuts[-1]])
    return [list(block[begin:end]) for begin, end in pairwise(reversed(cuts))]


def _line_break(
    pieces: Sequence[_Piece], edges: Sequence[int], begin: int, end: int
) -> tuple[float, int] | None:
    """Return the cost of showing `pieces[begin:end]`, and where its second line begins; None if too wide.

    The position is `end` for a single line.

    Args:
        edges: the width of all pieces before each one, with the spaces before them.
    """
    left = edges[begin] + pieces[begin].spaced
    width = edges[end] - left
    if width <= LINE_WIDTH:
        return 0.0, end
    found: tuple[float, int] | None = None
    for place in range(end - 1, begin, -1):
        top = edges[place] - left
        bottom = edges[end] - edges[place] - pieces[place].spaced
        if bottom > LINE_WIDTH:
            break
        piece = pieces[place - 1]
        number = place == end - 1 and pieces[place].text.strip("+-.").isdigit()
        # SubRip readers take a last line that is a number for that of the next cue.
        if top > LINE_WIDTH or piece.line_cost >= FORBIDDEN or number:
            continue
        cost = TWO_LINES + LINE_BREAK * piece.line_cost + UNEVEN * abs(top - bottom) / width
        if found is None or cost < found[0]:
            found = cost, place
    return found


# --- Lines and times -----------------------------------------------------------------------------


def _timed(pieces: Sequence[_Piece], before: float, after: float, duration: float) -> Cue:
    """Return the cue of `pieces`, shown long enough to be read if there is room.

    Args:
        before: end of the cues before this one.
        after: start of the first cue after its words.
        duration: of the recording, after which no cue is made longer.
    """
    edges = [0, *accumulate(piece.width + piece.spaced for piece in pieces)]
    _, second_line = _line_break(pieces, edges, 0, len(pieces)) or (0.0, len(pieces))
    start, end = pieces[0].start, pieces[-1].end
    wanted = min(LONGEST_CUE, max(SHORTEST_CUE, edges[-1] / READING_SPEED))
    latest = min(max(duration, end), after - GAP)
    longer = start + LONGEST_CUE if after - end < FLICKER else start + wanted
    end = max(end, min(longer, latest))
    start = min(start, max(end - wanted, start - EARLIEST_START, before, 0.0))
    words = []
    for number, piece in enumerate(pieces):
        space = " " if piece.spaced and number else ""
        space = "\n" if number == second_line else space
        if not piece.label:
            words.append(CueWord(piece.start, piece.end, space + piece.text))
    label = pieces[0].text if pieces[0].label else ""
    return Cue(start, end, tuple(words), pieces[0].speaker, label)
