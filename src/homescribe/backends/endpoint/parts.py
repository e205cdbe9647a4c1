"""Cut a recording into the parts that are sent: each ends in a pause, and long silences are left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from homescribe.audio import SAMPLE_RATE
from homescribe.engines.windows import Window

# Silence between two windows of one part, in seconds. Longer ones end the part, and are not paid for.
MOST_SILENCE = 20.0


def parts(windows: Iterable[Window], limit: float) -> Iterator[Window]:
    """Join windows of speech into parts of at most `limit` seconds, each one stretch of the recording.

    Parts do not overlap. What is between the windows of a part becomes silence: no speech was detected there.
    """
    together: list[Window] = []
    for window in windows:
        if together and (
            window.start - together[-1].end > MOST_SILENCE
            or window.end - together[0].start > limit + 1 / SAMPLE_RATE
        ):
            yield _joined(together)
            together = []
        together.append(window)
    if together:
        yield _joined(together)


def _joined(windows: list[Window]) -> Window:
    """Return the stretch from the first window to the last one."""
    first = windows[0]
    if len(windows) == 1:
        return first
    samples = np.zeros(round((windows[-1].end - first.start) * SAMPLE_RATE), np.float32)
    speech: list[tuple[float, float]] = []
    for window in windows:
        offset = window.start - first.start
        at = round(offset * SAMPLE_RATE)
        room = samples[at : at + len(window.samples)]
        room[:] = window.samples[: len(room)]
        speech += [(start + offset, end + offset) for start, end in window.speech]
    return Window(first.start, samples, tuple(speech))


def speech_between(part: Window, start: float, end: float) -> float:
    """Return the seconds of speech in a part between two times of the recording."""
    return sum(
        max(0.0, min(b + part.start, end) - max(a + part.start, start)) for a, b in part.speech
    )
