"""Make uploads smaller: replace audio that is larger than speech needs by a copy of its speech.

A recording goes up as it is where a copy would not be much smaller, or would hide something from the engine:
several audio tracks, damage, or an end that comes early.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event

from homescribe.audio.isolated import write_speech_copy
from homescribe.audio.speech_copy import BIT_RATE, SUFFIX
from homescribe.core import Audio
from homescribe.errors import ItemError
from homescribe.pipeline.audio_copies import NewAudio

# Makes the audio that is submitted from what was fetched, in the item's folder. What is kept of it may serve.
Prepare = Callable[[Audio, Path, Event, NewAudio | None], Audio]
# A copy must be smaller than this share of the file: it costs a little accuracy, and time at home.
WORTHWHILE = 0.8
COPY = "audio.speech" + SUFFIX


def speech_upload(audio: Audio, folder: Path, stop: Event, kept: NewAudio | None = None) -> Audio:
    """Return `audio` with a copy of its speech as its file, or as it is. Raises Cancelled only.

    Args:
        kept: a copy that was made to be kept, and need not be made a second time.
    """
    try:
        largest = round(audio.path.stat().st_size * WORTHWHILE)
        if kept is not None and kept.kind == "speech":
            if kept.warnings or kept.track or kept.path.stat().st_size > largest:
                return audio
            # Under a second name, because it may be removed from what is kept.
            os.link(kept.path, folder / COPY)
            return replace(audio, path=folder / COPY, duration=kept.duration)
        if audio.data is not None or (audio.duration or 0.0) * BIT_RATE / 8 > largest:
            return audio
        target = folder / COPY
        copy = write_speech_copy(
            audio.path,
            target,
            stop,
            duration=audio.duration,
            strict=audio.temporary,
            largest=largest,
        )
    except (ItemError, OSError, ValueError):  # the engine will say what is wrong with it
        return audio
    if copy is None or copy.warnings:
        target.unlink(missing_ok=True)
        return audio
    return replace(audio, path=target, duration=copy.seconds)
