"""The order of cues where several people speak at once: that of their starts.

Words are divided into cues one run after the other; a run is what one speaker says before the next one begins
to. Where the next one begins before the end of a run, the cues of both are shown in turn.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

R = TypeVar("R")  # the words of a run
C = TypeVar("C")  # a cue


@dataclass(frozen=True, slots=True)
class Run(Generic[R]):
    """Words of one speaker, one after the other."""

    start: float
    speaker: str  # name; "" if the transcript has no speakers
    words: R


@dataclass(frozen=True, slots=True)
class Division(Generic[R, C]):
    """How the words of a run are divided into cues.

    Args:
        cues: returns the cues of the words; with True, the first one introduces the speaker.
        start: returns when a cue starts.
        rest: returns the words that are left after these cues, which are the first ones.
    """

    cues: Callable[[Run[R], bool], Sequence[C]]
    start: Callable[[C], float]
    rest: Callable[[R, Sequence[C]], R]


def in_order_of_time(runs: Iterable[Run[R]], division: Division[R, C]) -> Iterator[tuple[str, C]]:
    """Yield the cues of all runs with their speakers in the order of their starts.

    A run in which another one begins is divided again from there: its next cue introduces the speaker.
    """
    waiting = [(run.start, number, run) for number, run in enumerate(runs)]
    heapq.heapify(waiting)
    speaker = ""
    while waiting:
        _, number, run = heapq.heappop(waiting)
        cues = division.cues(run, run.speaker != speaker)
        speaker = run.speaker
        for count, cue in enumerate(cues):
            start = division.start(cue)
            if count and waiting and waiting[0][0] < start:
                rest = division.rest(run.words, cues[:count])
                heapq.heappush(waiting, (start, number, Run(start, speaker, rest)))
                break
            yield speaker, cue
