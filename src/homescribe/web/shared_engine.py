"""The engine that all requests to the OpenAI endpoint share: loaded on first use, freed after a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock, Semaphore, Timer

from homescribe import plugins
from homescribe.assemble import build_speaker_finder
from homescribe.config import Config
from homescribe.core import MINUTE, Engine
from homescribe.speakers.speaker_engine import SpeakerEngine

IDLE_SECONDS = 10 * MINUTE  # without a request, after which the model is freed


class SharedEngine:
    """The engine and model of `config`, on this machine."""

    def __init__(self, config: Config) -> None:
        backend = plugins.load("backends", "local")
        # The model of a Modal run may be too large for this machine.
        chosen = config.model if config.backend == "local" else None
        self._name: str = config.engine or backend.default_engine
        self.model: str = chosen or backend.default_model
        self.config = replace(config, backend="local")
        self._lock = Lock()
        self._engine: SpeakerEngine | None = None
        self._slots = Semaphore()
        self._users = 0
        self._timer: Timer | None = None

    @contextmanager
    def use(self) -> Iterator[SpeakerEngine]:
        """Lend the engine for one recording, as soon as one of its slots is free."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._engine is None:
                loaded: Engine = plugins.load("engines", self._name)(self.model)
                self._engine = SpeakerEngine(loaded, build_speaker_finder(self.config))
                self._slots = Semaphore(max(1, loaded.slots))
            engine, slots = self._engine, self._slots
            self._users += 1
        try:
            with slots:
                yield engine
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._timer = Timer(IDLE_SECONDS, self.close)
                    self._timer.daemon = True
                    self._timer.start()

    def close(self) -> None:
        """Free the model, unless a request uses it."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
            if self._engine is not None and not self._users:
                self._engine.close()
                self._engine = None
