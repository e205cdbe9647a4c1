"""The local backend: an engine on this machine.

A local call has no id. If the process ends before the result is stored, the next run transcribes again.
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
from homescribe.speakers.speaker_engine import SpeakerEngine, WriteLog
from homescribe.speakers.speaker_finder import SpeakerFinder


class LocalBackend:
    """Runs the engine in threads of this process.

    Args:
        speakers: finds speakers, and is loaded when a session starts. None: with the published models, which
            are loaded when a recording needs them.
        write_log: as for SpeakerEngine.
    """

    name = "local"
    default_engine = "faster-whisper"
    default_model = "small"  # a compromise between accuracy and speed on a laptop's processor

    def __init__(
        self, speakers: SpeakerFinder | None = None, write_log: WriteLog | None = None
    ) -> None:
        self._speakers = speakers
        self._write_log = write_log

    @contextmanager
    def start(self, engine: str, model: str) -> Iterator[Session]:
        """Load `model` and start a session with it."""
        if self._speakers is not None:
            self._speakers.load()
        loaded: Engine = plugins.load("engines", engine)(model)
        try:
            finder = self._speakers or SpeakerFinder()
            yield LocalSession(SpeakerEngine(loaded, finder, self._write_log))
        finally:
            loaded.close()


class LocalSession:
    """A loaded engine, and the audio that was submitted."""

    def __init__(self, engine: Engine) -> None:
        self.slots = engine.slots
        self.uploads = None
        self._engine = engine
        self._submitted: dict[str, tuple[Audio, TranscriptionOptions]] = {}

    def submit(self, audio: Audio, options: TranscriptionOptions, stop: Event) -> Call:
        """Keep the audio. The thread that calls `result` transcribes it."""
        self._submitted[audio.item.key] = audio, options
        return Call(item=audio.item, backend=LocalBackend.name, submitted_at=time.time())

    def result(self, call: Call, stop: Event, progress: Callable[[float], None]) -> Transcript:
        """Transcribe in the calling thread."""
        audio, options = self._submitted.pop(call.item.key)
        return self._engine.transcribe(audio, options, stop, progress)

    def usage(self, call: Call) -> Usage | None:
        """Return None: nothing is paid for."""
        return None

    def forget(self, key: str) -> None:
        """Do nothing: nothing is kept."""

    def worth_starting(self, audio_seconds: float) -> bool:
        """Return True: starting is free."""
        return True
