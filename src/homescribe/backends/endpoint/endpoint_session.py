"""A session at an endpoint. Its calls have no id: what outlives this process are the answers to parts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from threading import Event, Lock
from typing import Literal

from homescribe.backends.endpoint.answer_store import Paid
from homescribe.backends.endpoint.decoded_recording import decoded_recording
from homescribe.backends.endpoint.endpoint_client import EndpointClient, EndpointFailure
from homescribe.backends.endpoint.endpoint_engine import NAME, EndpointEngine
from homescribe.backends.endpoint.endpoint_options import EndpointOptions
from homescribe.backends.repeated_failures import RepeatedFailures
from homescribe.core import Audio, Call, Transcript, TranscriptionOptions, Usage
from homescribe.errors import Cancelled, PermanentError, UserError
from homescribe.speakers.speaker_engine import SpeakerEngine
from homescribe.speakers.speaker_finder import SpeakerFinder

BACKEND = "openai"
# Seconds that a run waits at its end for the answers to requests in flight.
PATIENCE = 30.0
GIVEN_UP = "Each attempt is paid for, so there are no more for a month. To try it again: homescribe retry KEY"


class EndpointSession:
    """Transcribes in the threads that call `result`. Speakers are told apart on this machine."""

    uploads = None
    elsewhere = True  # nothing here that a recording could crash runs in this process

    def __init__(self, client: EndpointClient, speakers: SpeakerFinder) -> None:
        engine = EndpointEngine(client)
        self.slots = engine.slots
        self._client = client
        self._engine = SpeakerEngine(engine, speakers)
        self._repeated = RepeatedFailures()
        self._lock = Lock()  # for the two below
        self._submitted: dict[str, tuple[Audio, TranscriptionOptions]] = {}
        self._transcribed: dict[str, float] = {}  # seconds of audio by key, until it is stored

    def close(self) -> None:
        """Wait for the answers to requests in flight, for PATIENCE seconds at most."""
        self._client.close(PATIENCE)

    def submit(self, audio: Audio, options: TranscriptionOptions, stop: Event) -> Call:
        """Keep the audio for `result`. Raises UserError when the latest recordings all failed."""
        if stop.is_set():
            raise Cancelled
        self._repeated.check()
        with self._lock:
            self._submitted[audio.item.key] = audio, options
            self._transcribed.pop(audio.item.key, None)
        return Call(item=audio.item, backend=BACKEND, submitted_at=time.time())

    def result(self, call: Call, stop: Event, progress: Callable[[float], None]) -> Transcript:
        """Decode in another process; cut, send and join in the calling thread."""
        with self._lock:
            audio, options = self._submitted.pop(call.item.key)
        try:
            with decoded_recording(audio, options, self._client.store.folder, stop) as decoded:
                safe, wanted, warnings = decoded
                transcript = self._engine.transcribe(safe, wanted, stop, progress)
            transcript = replace(transcript, warnings=(*warnings, *transcript.warnings))
        except EndpointFailure as error:
            self._repeated.add(
                UserError("the endpoint has no answer that can be used.", error.message)
            )
            if self._client.gives_up(call.item.key):
                raise PermanentError(error.message, GIVEN_UP) from error
            raise
        self._repeated.forget()
        with self._lock:
            self._transcribed[call.item.key] = transcript.duration
        return transcript

    def usage(self, call: Call) -> Usage | None:
        """Return what the requests for a recording have cost, those of earlier runs included.

        It has the same id until the recording is finished, so that it is counted once.
        """
        key = call.item.key
        paid = self._client.store.paid(key)
        if paid is None:
            return None
        with self._lock:
            seconds = self._transcribed.get(key)
        return usage_of(call, paid, self._client.options, seconds)

    def forget(self, key: str) -> None:
        """Delete the answers for an item that is transcribed. Those for one that failed are used again."""
        with self._lock:
            transcribed = self._transcribed.pop(key, None)
        if transcribed is not None:
            self._client.store.forget(key)

    def worth_starting(self, audio_seconds: float) -> bool:
        """Return True: nothing is started."""
        return True


def usage_of(call: Call, paid: Paid, options: EndpointOptions, transcribed: float | None) -> Usage:
    """Return the record of what the requests for a recording have cost.

    Args:
        transcribed: seconds of the transcript; None if there is none yet.
    """
    outcome: Literal["done", "failed"] = "failed" if transcribed is None else "done"
    seconds = transcribed or call.item.duration or 0.0
    return Usage(
        call=replace(call, id=paid.id, submitted_at=paid.began),
        engine=NAME,
        model=paid.model,
        gpu=paid.host,
        gpu_seconds=paid.seconds,
        overhead_seconds=0.0,
        boots=0,
        audio_seconds=seconds,
        dollars=paid.dollars,
        expected_dollars=options.price.of(seconds) if options.price.per_minute else 0.0,
        finished_at=paid.latest,
        outcome=outcome,
        unmetered_dollars=paid.lost_dollars,
    )
