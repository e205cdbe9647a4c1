"""Hashes of the compressed audio of a recording, the same whatever its container and its tags."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from threading import Event

from homescribe.audio.container import opened
from homescribe.errors import Cancelled


def packet_hashes(path: Path, stop: Event, longest: float) -> list[str] | None:
    """Return the form and the SHA-256 of each audio track.

    None if there is no audio, or it cannot be read within `longest` seconds. Raises as `opened`, and
    Cancelled.
    """
    began = time.monotonic()
    tracks: dict[int, tuple[str, hashlib._Hash]] = {}
    with opened(path) as container:
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
            if number % 1000 == 0 and time.monotonic() - began > longest:
                return None
            if stop.is_set():
                raise Cancelled
            # Outside of the part that an edit list leaves, which no player plays.
            if packet.size and not packet.is_discard:
                tracks[packet.stream_index][1].update(packet)
    empty = hashlib.sha256().digest()
    if all(digest.digest() == empty for _, digest in tracks.values()):
        return None
    return [f"{form} {digest.hexdigest()}" for form, digest in tracks.values()]
