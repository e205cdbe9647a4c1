"""The local backend: an engine on this machine.

A local call has no id. What it was doing when the process ended is simply done again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

from homescribe import plugins
from homescribe.core import (
    Audio,
    Call,
    Engine,
    Session,
    Transcript,
    TranscriptionOptions,
    Usage,
)


class LocalBackend:
    """Runs the engine in threads of this process."""

    name = "local"
    default_engine = "faster-whisper"
    default_model = "small"  # the best a laptop's processor keeps up with

    @contextmanager
    def start(self, engine: str, model: str) -> Iterator[Session]:
        """Load `model` once for the whole run."""
        loaded: Engine = plugins.load("engines", engine)(model)
        try:
            yield LocalSession(loaded)
        finally:
            loaded.close()


class LocalSession:
    """An engine and the audio it was handed."""

    def __init__(self, engine: Engine) -> None:
        self.slots = engine.slots
        self.uploads = None
        self._engine = engine
        self._work: dict[str, tuple[Audio, TranscriptionOptions]] = {}

    def submit(self, audio: Audio, options: TranscriptionOptions, stop: Event) -> Call:
        """Remember the audio; the work is done by the thread that asks for the result."""
        self._work[audio.item.key] = audio, options
        return Call(item=audio.item, backend=LocalBackend.name, submitted_at=time.time())

    def result(self, call: Call, stop: Event, progress: Callable[[float], None]) -> Transcript:
        """Transcribe in the calling thread."""
        audio, options = self._work.pop(call.item.key)
        return self._engine.transcribe(audio, options, stop, progress)

    def usage(self, call: Call) -> Usage | None:
        """Nothing: the machine is the user's own."""
        return None

    def worth_starting(self, audio_seconds: float) -> bool:
        """Always: starting is free."""
        return True
