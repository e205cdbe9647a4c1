"""The turns of each speaker, from what the chunks of a stream say about every frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from homescribe.audio.frame_runs import runs
from homescribe.core import Turn

ACTIVE = 0.5  # probability from which a speaker speaks
GAP = 0.3  # seconds between two turns of one speaker, below which they are one
SHORTEST = 0.1  # seconds; shorter turns are noise
SPAN = 2000  # frames that are computed at once


@dataclass(frozen=True, slots=True)
class ChunkActivity:
    """What one chunk says: which local speaker speaks in which frame, and who that is."""

    first_frame: int
    activity: NDArray[np.uint8]  # (frames, local speakers), probabilities of 0 to 255
    speakers: tuple[int, ...]  # speaker of each local speaker, or -1


def turns(
    chunks: list[ChunkActivity],
    speakers: int,
    frame_time: Callable[[int], float],
    seconds: float,
) -> list[Turn]:
    """Return the turns of speakers 0 to `speakers` - 1 in order of time.

    A chunk's opinion about a frame has the more weight, the nearer the frame is to the chunk's middle.
    """
    open_runs: dict[int, tuple[float, float]] = {}
    found: list[Turn] = []

    def close(speaker: int) -> None:
        start, end = open_runs.pop(speaker)
        if end - start >= SHORTEST:
            found.append(Turn(round(start, 3), round(end, 3), str(speaker)))

    for first, active in _active_frames(chunks, speakers):
        for speaker in np.flatnonzero(active.any(axis=0)).tolist():
            for a, b in runs(active[:, speaker]):
                start = min(frame_time(first + a), seconds)
                end = min(frame_time(first + b), seconds)
                if speaker in open_runs and start - open_runs[speaker][1] > GAP:
                    close(speaker)
                begun = open_runs[speaker][0] if speaker in open_runs else start
                open_runs[speaker] = (begun, end)
    for speaker in [*open_runs]:
        close(speaker)
    return sorted(found, key=lambda turn: (turn.start, turn.end, turn.speaker))


def _active_frames(
    chunks: list[ChunkActivity], speakers: int
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield the first frame of each span, and who speaks in its frames: (frames, speakers)."""
    if not chunks:
        return
    length = len(chunks[0].activity)
    last = chunks[-1].first_frame + length
    # From 0 at both ends to 1 in the middle, but never 0.
    weight = 1.0 - np.abs(np.linspace(-1, 1, length + 2)[1:-1])
    begin = 0
    for first in range(0, last, SPAN):
        size = min(SPAN, last - first)
        scores = np.zeros((size, speakers), np.float32)
        weights = np.zeros((size, 1), np.float32)
        while begin < len(chunks) and chunks[begin].first_frame + length <= first:
            begin += 1
        for chunk in chunks[begin:]:
            if chunk.first_frame >= first + size:
                break
            a = max(chunk.first_frame, first)
            b = min(chunk.first_frame + length, first + size)
            here = slice(a - first, b - first)
            there = slice(a - chunk.first_frame, b - chunk.first_frame)
            weights[here, 0] += weight[there]
            for local, speaker in enumerate(chunk.speakers):
                if speaker >= 0:
                    scores[here, speaker] += (
                        weight[there] * chunk.activity[there, local] / np.float32(255)
                    )
        yield first, scores >= ACTIVE * np.maximum(weights, 1e-6)
