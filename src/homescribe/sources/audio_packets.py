"""What a recording is known by whatever its container: a hash of its compressed audio.

It stays the same when tags are edited in any format, when a program writes the container anew, and when the
audio moves into another container without being encoded again. All of the file is read for it, so only when
that is worth it: before the file is transcribed, and when it may be a known recording that was edited.
"""

from __future__ import annotations

import threading
from pathlib import Path

from homescribe.core import MINUTE
from homescribe.errors import ItemError
from homescribe.text.identities import audio_identity

LONGEST = 1 * MINUTE  # that reading may take; a film on a slow disk has no such hash


def identity(path: Path, stop: threading.Event) -> str | None:
    """Return the identity of the audio in a file; None if it cannot be read within LONGEST seconds."""
    from homescribe.audio import isolated

    try:
        tracks = isolated.hashes(path, stop, LONGEST)
    except (ItemError, OSError):
        return None
    return None if tracks is None else audio_identity(tracks)
