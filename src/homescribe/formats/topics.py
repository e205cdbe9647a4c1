"""Where the topic of a recording changes, what its parts are about, and sentences that stand for them.

Words are weighed by how unevenly they are spread over the recording, so that no list of common words is
needed and all languages are treated alike. The places are those of TextTiling:
https://aclanthology.org/J97-1003/
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from homescribe.core import MINUTE, Segment, Transcript
from homescribe.formats.attribution import Names
from homescribe.text import scripts
from homescribe.text.scripts import UNSPACED, count_words, ends_sentence, spaced
from homescribe.text.word_times import spread

BLOCK_WORDS = 150  # on each side of a place, that are compared
SHORTEST_PART = 2 * MINUTE
PARTS = 20  # the most
KEYWORDS = 3
KEYWORD_LETTERS = 4  # the fewest
QUOTE_WORDS = range(8, 41)
QUOTES = 12  # the most
QUOTES_OF_PART = 2


@dataclass(frozen=True, slots=True)
class Sentence:
    """What one person says up to a full stop, or to the end of a turn."""

    start: float
    text: str
    speaker: str  # name; "" without speakers
    doubtful: bool  # whether a segment of it has flags

    @property
    def quotable(self) -> bool:
        """Whether it is complete, of a good length, and not doubtful."""
        first = self.text[:1]
        begins = first == first.title()  # so do all letters of scripts without capitals
        return (
            begins
            and ends_sentence(self.text)
            and count_words([self.text]) in QUOTE_WORDS
            and not self.doubtful
        )


def sentences(transcript: Transcript) -> list[Sentence]:
    """Return the sentences in order of time. In a segment with several, their starts are estimated."""
    names = Names(transcript)
    found: list[Sentence] = []
    complete = True
    for segment in transcript.segments:
        speaker = names.of(segment)
        for start, text in _parts(segment):
            last = found[-1] if found else None
            if last and not complete and last.speaker == speaker:
                space = "" if UNSPACED.match(text) else " "
                doubtful = last.doubtful or bool(segment.flags)
                found[-1] = Sentence(last.start, f"{last.text}{space}{text}", speaker, doubtful)
            else:
                found.append(Sentence(start, text, speaker, bool(segment.flags)))
            complete = ends_sentence(text)
    return found


def _parts(segment: Segment) -> Iterator[tuple[float, str]]:
    texts = [text.strip() for text in scripts.sentences(segment.text) if text.strip()]
    for word in spread(texts, segment.start, segment.end, 1.0):
        yield word.start, word.word


def divided(said: Sequence[Sentence], duration: float) -> list[list[Sentence]]:
    """Divide the sentences where the topic changes most, into parts of at least SHORTEST_PART."""
    count = min(PARTS, int(duration / (2 * SHORTEST_PART)))
    if count < 2:
        return [list(said)] if said else []
    bags = [_terms(sentence.text) for sentence in said]
    depths = _depths(_weighted(bags), [sum(bag.values()) for bag in bags])
    average = sum(depths.values()) / max(1, len(depths))
    starts = [said[0].start]
    cuts: list[int] = []
    for place in sorted(depths, key=lambda place: -depths[place]):
        start = said[place].start
        edges = [*starts, duration]
        if depths[place] <= average or len(cuts) + 1 >= count:
            break
        if all(abs(start - edge) >= SHORTEST_PART for edge in edges):
            starts.append(start)
            cuts.append(place)
    return [list(said[first:last]) for first, last in pairwise([0, *sorted(cuts), len(said)])]


def keywords(parts: Sequence[Sequence[Sentence]]) -> list[str]:
    """Return what distinguishes each part from the others, as it is written there: "trains, Vienna"."""
    bags = [_terms(" ".join(sentence.text for sentence in part)) for part in parts]
    inside = Counter(term for bag in bags for term in bag)
    found = []
    for part, bag in zip(parts, bags, strict=True):
        scores = {
            term: count * math.log(len(parts) / inside[term])
            for term, count in bag.items()
            if len(term) >= KEYWORD_LETTERS and not term.isdigit()
        }
        best = sorted((t for t in scores if scores[t] > 0), key=lambda t: (-scores[t], t))
        spellings = _spellings(part)
        found.append(", ".join(spellings.get(term, term) for term in best[:KEYWORDS]))
    return found


def quotes(part: Sequence[Sentence], most: int) -> list[Sentence]:
    """Return the quotable sentences that are nearest to what the whole part is about, in order of time."""
    bags = _weighted([_terms(sentence.text) for sentence in part])
    centre: dict[str, float] = {}
    for bag in bags:
        _add(centre, bag)
    ranked = sorted(range(len(part)), key=lambda n: -_similarity(bags[n], centre))
    chosen = [n for n in ranked if part[n].quotable][:most]
    return [part[n] for n in sorted(chosen)]


def _terms(text: str) -> Counter[str]:
    return Counter(scripts.words(spaced(text)[0].casefold()))


def _spellings(part: Sequence[Sentence]) -> dict[str, str]:
    """Return the most frequent spelling of each term."""
    counts: dict[str, Counter[str]] = {}
    for sentence in part:
        for word in scripts.words(sentence.text):
            for term in _terms(word):
                counts.setdefault(term, Counter())[word] += 1
    return {term: words.most_common(1)[0][0] for term, words in counts.items()}


def _weighted(bags: Sequence[Counter[str]]) -> list[dict[str, float]]:
    """Return the terms of each sentence, those that many sentences have with less weight."""
    having = Counter(term for bag in bags for term in bag)
    return [
        {term: count * math.log(len(bags) / having[term]) for term, count in bag.items()}
        for bag in bags
    ]


def _add(total: dict[str, float], bag: Mapping[str, float]) -> None:
    for term, weight in bag.items():
        total[term] = total.get(term, 0.0) + weight


def _similarity(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Return the cosine of two bags of terms."""
    if len(one) > len(other):
        one, other = other, one
    dot = sum(weight * other.get(term, 0.0) for term, weight in one.items())
    norm = math.hypot(*one.values()) * math.hypot(*other.values()) if one and other else 0.0
    return dot / norm if norm else 0.0


def _depths(bags: Sequence[dict[str, float]], sizes: Sequence[int]) -> dict[int, float]:
    """Return how much less alike the blocks around each place are than those around the places near it.

    Place n is before sentence n.
    """
    alike = [
        _similarity(_block(bags, sizes, place, -1), _block(bags, sizes, place, 1))
        for place in range(1, len(bags))
    ]
    return {
        place + 1: _peak(alike, place, -1) + _peak(alike, place, 1) - 2 * alike[place]
        for place in range(len(alike))
    }


def _block(
    bags: Sequence[dict[str, float]], sizes: Sequence[int], place: int, step: int
) -> dict[str, float]:
    """Return the terms of at least BLOCK_WORDS words before a place (step -1) or after it (1)."""
    total: dict[str, float] = {}
    words, number = 0, place - 1 if step < 0 else place
    while 0 <= number < len(bags) and words < BLOCK_WORDS:
        _add(total, bags[number])
        words += sizes[number]
        number += step
    return total


def _peak(values: Sequence[float], place: int, step: int) -> float:
    """Return the value at the top of the slope that leads away from `place`."""
    best = values[place]
    place += step
    while 0 <= place < len(values) and values[place] >= best:
        best = values[place]
        place += step
    return best
