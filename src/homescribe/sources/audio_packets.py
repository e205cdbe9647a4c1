"""What a recording is known by whatever its container: a hash of its compressed audio.

It stays the same when tags are edited in any format, when a program writes the container anew, and when the
audio moves into another container without being encoded again. All of the file is read for it, so only when
that is worth it: before the file is transcribed, and when it may be a known recording that was edited.
"""

from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

from homescribe.core import MINUTE
from homescribe.errors import Cancelled, ItemError
from homescribe.text.identities import audio_identity

LONGEST = 1 * MINUTE  # that reading may take; a film on a slow disk has no such hash


def identity(path: Path, stop: threading.Event) -> str | None:
    """Return the identity of the audio in a file; None if it cannot be read within LONGEST seconds."""
    from homescribe import audio

    began = time.monotonic()
    tracks: dict[int, tuple[str, hashlib._Hash]] = {}
    try:
        with audio.opened(path) as container:
            for stream in container.streams:
                if stream.type != "audio" and hasattr(stream, "discard"):  # not in PyAV 14
                    stream.discard = type(stream.discard).all
            for stream in container.streams.audio:
                context = stream.codec_context
                form = f"{context.name} {context.sample_rate}" if context else ""
                tracks[stream.index] = form, hashlib.sha256()
            if not tracks:
                return None
            for number, packet in enumerate(container.demux(*container.streams.audio)):
                if number % 1000 == 0 and time.monotonic() - began > LONGEST:
                    return None
                if stop.is_set():
                    raise Cancelled
                # Outside of the part that an edit list leaves, which no player plays.
                if packet.size and not packet.is_discard:
                    tracks[packet.stream_index][1].update(packet)
    except (ItemError, OSError):
        return None
    empty = hashlib.sha256().digest()
    if all(digest.digest() == empty for _, digest in tracks.values()):
        return None
    return audio_identity([f"{form} {digest.hexdigest()}" for form, digest in tracks.values()])
