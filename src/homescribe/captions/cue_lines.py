"""Times of cues: in order, without overlaps, each with an end, and none longer than a segment should be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, groupby

from homescribe.captions.reading_time import least_seconds
from homescribe.captions.timed_cues import Cue, Token
from homescribe.core import SECOND
from homescribe.text import scripts

TOGETHER = 0.02 * SECOND  # between the starts of cues that are shown at the same time
SLOWEST = 2.5  # times the seconds of fast speech: the longest that a cue without an end lasts
LONGEST = 30 * SECOND  # of a segment, as in Whisper: a longer cue is split at its sentences
PAUSE = 1 * SECOND  # between words: a new cue begins
MOST_WORDS = 40  # in a cue that is joined from words
WORD_FILE = 20  # cues, of a file that has a cue for each word: at least


def in_order(cues: Sequence[Cue], duration: float | None) -> list[Cue]:
    """Return `cues` sorted, each with an end that is at most the start of the next one."""
    found = _apart(sorted(cues, key=lambda each: each.start))
    for number, each in enumerate(found):
        until = found[number + 1].start if number + 1 < len(found) else None
        end = each.end
        if end is None or end <= each.start:
            end = each.start + SLOWEST * least_seconds(each.text)
        if duration is not None and duration > each.start:  # it may be shown longer than it is said
            end = min(end, duration)
        if until is not None:
            end = min(end, until)
        found[number] = replace(each, end=end)
    return found


def _apart(cues: Sequence[Cue]) -> list[Cue]:
    """Return cues with different starts: those of one speaker that begin together are one cue.

    Several speakers share the time until the next cue, each as long as their share of the letters.
    """
    together: list[list[Cue]] = []
    for each in cues:
        if together and each.start - together[-1][0].start <= TOGETHER:
            together[-1].append(each)
        else:
            together.append([each])
    found: list[Cue] = []
    for number, group in enumerate(together):
        start = group[0].start
        ends = [each.end for each in group if each.end is not None and each.end > start]
        end = max(ends, default=None)
        joined = [
            replace(
                parts[0],
                start=start,
                end=end,
                rows=tuple(chain.from_iterable(one.rows for one in parts)),
            )
            for parts in (list(same) for _, same in groupby(group, lambda each: each.speaker))
        ]
        if len(joined) > 1:
            if end is None:
                end = start + SLOWEST * sum(least_seconds(each.text) for each in joined)
            if number + 1 < len(together):
                end = min(end, together[number + 1][0].start)
            joined = shared(joined, start, end)
        found += joined
    return found


def shared(cues: Sequence[Cue], start: float, end: float) -> list[Cue]:
    """Return `cues` one after the other from `start` to `end`, by their letters."""
    sizes = [len(each.text) or 1 for each in cues]
    total = sum(sizes)
    found, letters, at = [], 0, start
    for each, size in zip(cues, sizes, strict=True):
        letters += size
        until = start + (end - start) * letters / total
        found.append(replace(each, start=at, end=until))
        at = until
    return found


def joined_words(cues: Sequence[Cue]) -> list[Cue]:
    """Return the cues of a file that has one for each word as lines; those of another file as they are.

    Every cue has an end.
    """
    words = sum(len(each.tokens) for each in cues)
    if len(cues) < WORD_FILE or words > 1.5 * len(cues):
        return list(cues)
    groups: list[list[Cue]] = []
    for each in cues:
        if groups and not _begins_line(groups[-1], each):
            groups[-1].append(each)
        else:
            groups.append([each])
    return [_line(group) for group in groups]


def _begins_line(before: list[Cue], word: Cue) -> bool:
    last = before[-1]
    return (
        word.speaker != last.speaker
        or word.start - (last.end or last.start) > PAUSE
        or word.start - before[0].start > LONGEST / 2
        or len(before) >= MOST_WORDS
        or scripts.ends_sentence(last.text)
    )


def _line(words: list[Cue]) -> Cue:
    """Return one cue with the words, each with its time."""
    tokens: list[Token] = []
    for each in words:
        for number, (text, time) in enumerate(each.tokens):
            if number == 0:
                before = tokens[-1][0] if tokens else ""
                text = (
                    text if not tokens else scripts.separator(before, text.strip()) + text.strip()
                )
                time = each.start if time is None else time
            tokens.append((text, time))
    return Cue(words[0].start, words[-1].end, (tuple(tokens),), words[0].speaker)


def split_paragraphs(cues: Sequence[Cue]) -> tuple[list[Cue], bool]:
    """Return cues of at most LONGEST where the text allows it, and whether times were estimated."""
    found: list[Cue] = []
    estimated = False
    for each in cues:
        end = each.end if each.end is not None else each.start
        sentences = scripts.sentences(each.text) if end - each.start > LONGEST else []
        if len(sentences) < 2 or any(time is not None for _, time in each.tokens):
            found.append(each)
            continue
        estimated = True
        parts = [
            replace(each, rows=(tuple((token, None) for token in scripts.tokens(one.strip())),))
            for one in sentences
            if one.strip()
        ]
        found += shared(parts, each.start, end)
    return found, estimated
