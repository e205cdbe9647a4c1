"""Decode a recording in a process of its own before it is cut: one that crashes the decoder fails alone."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event

from homescribe.audio.isolated import write_flac_copy
from homescribe.core import Audio, TranscriptionOptions
from homescribe.private_files import make_folder
from homescribe.speakers.speaker_setting import CHANNELS

PREFIX = "decoded-"  # of the folders, which a killed process leaves


@contextmanager
def decoded_recording(
    audio: Audio, options: TranscriptionOptions, folder: Path, stop: Event
) -> Iterator[tuple[Audio, TranscriptionOptions, tuple[str, ...]]]:
    """Provide `audio` as a FLAC file of known length, the options for that, and warnings about the original.

    A recording whose channels are needed stays as it is. Raises as `audio.blocks`, and Cancelled.

    Args:
        folder: for the file, which is deleted at the end.
    """
    if audio.data is not None or options.speakers == CHANNELS:
        yield audio, options, ()
        return
    make_folder(folder)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=folder) as place:
        path = Path(place) / "audio.flac"
        copy = write_flac_copy(
            *(audio.path, path, stop),
            duration=audio.duration,
            track=options.audio_track,
            strict=audio.temporary,
        )
        decoded = replace(audio, path=path, duration=copy.seconds, temporary=True)
        yield decoded, replace(options, audio_track=None), copy.warnings
