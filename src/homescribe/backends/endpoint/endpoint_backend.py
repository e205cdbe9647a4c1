"""The backend for OpenAI's transcription endpoint: at OpenAI, at other services, or on a server of your own.

    a recording --decode, VAD--> parts that end in pauses --Opus--> POST {base_url}/audio/transcriptions
    transcript  <--check, join--       answers (stored)   <------- verbose_json

What is sent is the speech of a recording, its language and prompt. No title, address or file name is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from homescribe.backends.endpoint.answer_store import AnswerStore
from homescribe.backends.endpoint.endpoint_client import EndpointClient
from homescribe.backends.endpoint.endpoint_engine import NAME
from homescribe.backends.endpoint.endpoint_options import EndpointOptions
from homescribe.backends.endpoint.endpoint_session import BACKEND, EndpointSession, usage_of
from homescribe.core import Call, Item, Session, Usage
from homescribe.cost.audio_budget import AudioBudget
from homescribe.speakers.speaker_finder import SpeakerFinder


class EndpointBackend:
    """Sends audio to an endpoint.

    Args:
        folder: for answers that are paid for, in the library's directory.
        speakers: tells speakers apart, on this machine.
    """

    name = BACKEND
    default_engine = NAME
    default_model = "whisper-1"
    finds_speakers = True
    own_engine = True

    def __init__(
        self, options: EndpointOptions, folder: Path, speakers: SpeakerFinder | None = None
    ) -> None:
        self._options = options
        self._folder = folder
        self._speakers = speakers

    def unfinished_usages(self) -> Iterator[Usage]:
        """Yield what was paid for each recording whose transcript is not stored.

        A process that was killed has not stored it. A later row for the same recording replaces it.
        """
        for paid in AnswerStore(self._folder).unfinished():
            source, _, name = paid.key.partition(":")
            call = Call(Item(source, name, url="", title=""), BACKEND, paid.began, paid.id)
            yield usage_of(call, paid, self._options, None)

    @contextmanager
    def start(self, engine: str, model: str) -> Iterator[Session]:
        """Start a session. Nothing is sent yet; the engine is the service's own, whatever its name."""
        if self._speakers is not None:
            self._speakers.load()
        store = AnswerStore(self._folder, model, self._options.host)
        store.sweep()
        client = EndpointClient(self._options, model, store, AudioBudget(self._options.max_cost))
        session = EndpointSession(client, self._speakers or SpeakerFinder())
        try:
            yield session
        finally:
            session.close()
