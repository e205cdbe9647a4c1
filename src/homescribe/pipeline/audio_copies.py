"""Keep the audio of downloads in the library's folder: as it is, or as a small copy for speech.

A thread that downloads makes the file; the iterating thread stores its row. Only what decodes to its end is
kept, because later transcripts are made of it. Nothing here fails an item: what cannot be kept is not kept,
with a reason.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from homescribe import private_files
from homescribe.audio import isolated
from homescribe.audio.isolated import write_speech_copy
from homescribe.audio.speech_copy import BIT_RATE, SUFFIX
from homescribe.core import DISK_RESERVE, Audio, TranscriptionOptions
from homescribe.errors import Cancelled, HomescribeError
from homescribe.library import KeptAudio
from homescribe.library.kept_audio import Kind
from homescribe.text.display import size

# A recording may need more bits than BIT_RATE for a while.
MARGIN = 1.25


@dataclass(frozen=True, slots=True)
class KeepAudio:
    """What a run keeps of the audio that it downloads.

    Args:
        limit: bytes of all kept audio. Above it, the oldest goes.
        track: audio track of which a copy is made, from 1; None: the default.
    """

    kind: Kind
    limit: int | None = None
    track: int | None = None


@dataclass(frozen=True, slots=True)
class NewAudio:
    """A file in the library's folder `audio` whose row is not stored yet."""

    path: Path
    kind: Kind
    duration: float  # seconds
    warnings: tuple[str, ...] = ()  # about the recording, as `audio.blocks` gives them
    track: int | None = None


@dataclass(frozen=True, slots=True)
class NotKept:
    """Why the audio is not kept: a sentence for the user."""

    reason: str


def usable(kept: KeptAudio, options: TranscriptionOptions) -> bool:
    """Whether kept audio can be transcribed with `options` instead of the recording.

    A copy for speech has one track and one channel.
    """
    if kept.kind == "all":
        return True
    return kept.track is None and options.audio_track is None and options.speakers != "channels"


def keep_audio(
    audio: Audio, keep: KeepAudio, new_path: Callable[[str, str], Path], stop: Event
) -> NewAudio | NotKept | None:
    """Make the file that is kept of a download; None for a file that is on this disk anyway.

    Args:
        new_path: as `AudioFolder.new_path`.

    Raises Cancelled only.
    """
    if not audio.temporary or audio.data is not None:
        return None
    try:
        make = _original if keep.kind == "all" else _speech
        kept = make(audio, keep, new_path, stop)
    except Cancelled:
        raise
    except HomescribeError as error:
        return NotKept(f"The audio was not kept. {error.message}")
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else error.strerror or str(error)
        return NotKept(f"The audio was not kept: {reason}.")
    except ValueError as error:  # PyAV, for a format that it does not expect
        return NotKept(f"The audio was not kept: {error}.")
    except Exception as error:  # noqa: BLE001 - the transcript does not need the copy
        # Only the type: the text may contain paths and addresses.
        return NotKept(f"The audio was not kept: internal error ({type(error).__name__}).")
    if isinstance(kept, NewAudio) and keep.limit is not None:
        bytes_ = kept.path.stat().st_size
        if bytes_ > keep.limit:
            kept.path.unlink(missing_ok=True)
            return NotKept(
                f"The audio was not kept: it has {size(bytes_)}, and keep_audio_limit is "
                f"{size(keep.limit)}."
            )
    return kept


def _original(
    audio: Audio, keep: KeepAudio, new_path: Callable[[str, str], Path], stop: Event
) -> NewAudio | NotKept:
    """Keep the file as it is, under a second name until the first one is removed."""
    seconds, warnings = isolated.length(audio.path, stop, audio.duration)
    target = new_path(audio.item.key, audio.path.suffix)
    try:
        os.link(audio.path, target)
    except OSError:  # a file system without links
        bytes_ = audio.path.stat().st_size
        if problem := _too_full(target.parent, bytes_):
            return problem
        draft = target.with_name(target.name + ".part")
        try:
            shutil.copyfile(audio.path, draft)
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    return _complete(NewAudio(target, "all", seconds, warnings))


def _speech(
    audio: Audio, keep: KeepAudio, new_path: Callable[[str, str], Path], stop: Event
) -> NewAudio | NotKept:
    """Keep a copy for speech."""
    target = new_path(audio.item.key, SUFFIX)
    seconds = audio.duration or audio.item.duration or 0.0
    if problem := _too_full(target.parent, round(seconds * BIT_RATE / 8 * MARGIN)):
        return problem
    copy = write_speech_copy(audio.path, target, stop, duration=audio.duration, track=keep.track)
    assert copy is not None  # no largest size was given
    return _complete(NewAudio(target, "speech", copy.seconds, copy.warnings, keep.track))


def _too_full(folder: Path, needed: int) -> NotKept | None:
    free = shutil.disk_usage(folder).free
    if free - needed >= DISK_RESERVE:
        return None
    return NotKept(
        f"The audio was not kept: {size(free)} of the disk are free, it needs {size(needed)}, and "
        f"{size(DISK_RESERVE)} stay free."
    )


def _complete(new: NewAudio) -> NewAudio:
    """Write the file to the disk, before a row says that it is there."""
    private_files.restrict_file(new.path)
    number = os.open(new.path, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system can
            os.fsync(number)
    finally:
        os.close(number)
    return new
