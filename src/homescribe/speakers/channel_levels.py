"""Whose speech is on which of two channels, by their levels.

A person's microphone also picks up the other one, softer: crosstalk. How much softer is measured in the
recording itself. What is no louder than that is not this person's speech.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from homescribe.audio import SAMPLE_RATE
from homescribe.audio.frame_runs import runs

FRAME = 320  # samples, 20 ms
FRAMES_PER_SECOND = SAMPLE_RATE // FRAME
SILENCE = -60.0  # dB below full scale, of nobody's speech
ACTIVE = 30.0  # dB below a channel's loud speech, at most
LOUD = 95  # percentile of a channel's levels
SOLO = (
    25  # percentile of the difference of levels while one person speaks: the other is silent then
)
MARGIN = 8.0  # dB above the crosstalk
ALIKE = -3.0  # dB; channels with more crosstalk than this both ways are one channel
ECHO = round(0.2 * FRAMES_PER_SECOND)  # after its sound
GAP = round(0.3 * FRAMES_PER_SECOND)  # within one turn
SHORTEST = round(0.1 * FRAMES_PER_SECOND)  # of a turn
PADDING = round(0.2 * FRAMES_PER_SECOND)  # around speech that is transcribed, for soft consonants

Levels = NDArray[np.float32]  # (frames, 2), in dB below full scale
Own = NDArray[np.bool_]  # (frames, 2), whether the channel's own person speaks


def levels(blocks: Iterable[NDArray[np.float32]]) -> Levels:
    """Return the level of each channel in each frame of a waveform with two channels."""
    found: list[NDArray[np.float32]] = []
    rest = np.zeros((0, 2), np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        whole = len(rest) // FRAME * FRAME
        found.append(np.square(rest[:whole].reshape(-1, FRAME, 2)).mean(axis=1))
        rest = rest[whole:]
    if len(rest):
        found.append(np.square(rest).mean(axis=0, keepdims=True))
    power = np.concatenate(found) if found else np.zeros((0, 2), np.float32)
    decibels: Levels = (10 * np.log10(power + 1e-12)).astype(np.float32)
    return decibels


def own_speech(found: Levels) -> Own | None:
    """Return in which frames the person of each channel speaks; None where both channels are the same."""
    if not len(found):
        return np.zeros((0, 2), np.bool_)
    loud = np.percentile(found, LOUD, axis=0)
    active = found > np.maximum(loud - ACTIVE, SILENCE)
    crosstalk = [_crosstalk(found, loud, speaker) for speaker in (0, 1)]
    if min(crosstalk) > ALIKE:
        return None
    own = np.zeros(found.shape, np.bool_)
    for channel in (0, 1):
        other = 1 - channel
        leaked = _echoed(found[:, other]) + min(crosstalk[other], 0.0)
        own[:, channel] = _runs_joined(active[:, channel] & (found[:, channel] > leaked + MARGIN))
    return own


def _crosstalk(found: Levels, loud: NDArray[np.floating], speaker: int) -> float:
    """Return how loud `speaker` is on the other channel, in dB relative to the own one."""
    speaks = found[:, speaker] > max(loud[speaker] - 10.0, SILENCE)
    if not speaks.any():
        return -100.0
    return float(np.percentile((found[:, 1 - speaker] - found[:, speaker])[speaks], SOLO))


def _echoed(level: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the highest level of each frame, the next one and those in which its echo may be."""
    padded = np.pad(level, (ECHO, 1), constant_values=-200.0)
    found: NDArray[np.float32] = np.lib.stride_tricks.sliding_window_view(padded, ECHO + 2).max(1)
    return found


def _runs_joined(speaks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the frames of runs that are long enough, with the short pauses between them."""
    found: list[tuple[int, int]] = []
    for start, end in runs(speaks):
        if found and start - found[-1][1] < GAP:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
    joined = np.zeros(len(speaks), np.bool_)
    for start, end in found:
        joined[start:end] = end - start >= SHORTEST
    return joined


def one_channel(
    blocks: Iterable[NDArray[np.float32]], own: Own, channel: int
) -> Iterator[NDArray[np.float32]]:
    """Yield one channel, silent where its person does not speak."""
    padded = np.pad(own[:, channel], PADDING)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * PADDING + 1)
    spoken: NDArray[np.bool_] = windows.max(axis=1)
    at = 0
    for block in blocks:
        frames = np.minimum(np.arange(at, at + len(block)) // FRAME, len(spoken) - 1)
        yield np.where(spoken[frames], block[:, channel], np.float32(0))
        at += len(block)
