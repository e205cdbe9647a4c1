"""A session at Modal: submits recordings, collects transcripts, records what each call cost.

The id of a call is all that is needed to collect it, for seven days, from any process. So `submit` and
`result` share no state about a call: `submit` returns the id, the caller stores it, and `result` takes it.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Lock
from typing import Literal

import modal

from homescribe.backends.modal import modal_transcribe
from homescribe.backends.modal.call_costs import CallCosts, Rented
from homescribe.backends.modal.call_metadata import CallMetadata, Place, place_name, read_metadata
from homescribe.backends.modal.images import class_name
from homescribe.backends.modal.modal_connection import Connection
from homescribe.backends.modal.modal_errors import Expired, Missing
from homescribe.backends.modal.results import (
    LOGS,
    EndedByModal,
    RaisedByCall,
    failure_of,
    reply_of,
)
from homescribe.backends.modal.spending import SpendingRefused
from homescribe.backends.repeated_failures import NotStarted, RepeatedFailures
from homescribe.backends.wire import PlainReply, Reply, Request, make_request
from homescribe.core import (
    DAY,
    HOUR,
    Audio,
    Call,
    EngineRequirements,
    Item,
    Transcript,
    TranscriptionOptions,
    Uploads,
    Usage,
)
from homescribe.cost.budget import Budget, SpeedEstimate
from homescribe.cost.prices import (
    BOOT,
    BURST_OVERHEAD,
    DEFAULT_GPU,
    MAX_CONTAINERS,
    SCALEDOWN_WINDOW,
    Machine,
    machine,
)
from homescribe.cost.speeds import FIRST_PLAN_FACTOR, expected_speed
from homescribe.errors import (
    Cancelled,
    HomescribeError,
    NotCollected,
    PermanentError,
    RetryableError,
    SetupError,
    UserError,
)
from homescribe.speakers.speaker_models import SpeakerModels

Spawn = Callable[[bytes, Request], Coroutine[object, None, modal.FunctionCall[PlainReply]]]

# Calls in flight at once. Each is a thread at home that waits and, until its result is stored, a file.
SLOTS = 64
# Seconds that a request for a result stays open on the server.
POLL = 50.0
KEPT = 7 * DAY  # seconds for which Modal keeps the result of a call
RELEASE_LIMIT = 30.0  # seconds to wait until a claim is released
UNCLAIMED = ""  # instead of a claim that is not there
# An upload whose connection is cut can leave Modal's client waiting forever: its HTTP library repeats the
# request with the body already used up, and sets no time limit. So an upload may take four times as long as
# those before it, the first one as long as it takes at SLOW_LINE bytes per second, and each UPLOAD_GRACE
# seconds more.
SLOW_LINE = 16_000
UPLOAD_GRACE = 30.0
OPUS_BYTES = 50_000 / 8  # bytes per second of downloaded audio, where the duration is unknown


@dataclass(frozen=True, slots=True)
class ModalOptions:
    """Which machines to rent, how many and how long. `machine` raises UserError for an unknown GPU."""

    gpu: str = DEFAULT_GPU
    speakers: SpeakerModels | None = None  # which tell speakers apart; None: no run needs that
    max_containers: int = MAX_CONTAINERS
    max_cost: float | None = None  # dollars that one run may spend
    when: Literal["burst", "stream"] = "burst"
    speed: float | None = None  # times realtime, measured by this library's own calls
    boot: float = (
        BOOT + SCALEDOWN_WINDOW
    )  # seconds paid per container besides its work: start and idle end
    suspects: frozenset[str] = frozenset()  # keys of items whose last container died
    max_silence: float = 2 * HOUR  # seconds without a reply from Modal before the run stops
    timeout: float = modal_transcribe.TIMEOUT
    scaledown_window: float = SCALEDOWN_WINDOW

    @property
    def machine(self) -> Machine:
        rented = machine(self.gpu)
        return rented if self.speakers is None else rented.with_speakers


def upload_limit(uploads: Uploads, size: int) -> float:
    """Return the seconds after which an upload of `size` bytes counts as cut off."""
    slowest = max(SLOW_LINE, uploads.rate / 4) if uploads.rate else SLOW_LINE
    return UPLOAD_GRACE + size / slowest


class ModalSession:
    """One engine and model at Modal. Any number of threads may wait for results; one uploads at a time."""

    slots = SLOTS

    def __init__(
        self,
        options: ModalOptions,
        engine: str,
        model: str,
        requirements: EngineRequirements,
        rate: float,
        place: Place | None = None,
        speaker_models: str = "",
    ) -> None:
        """Start no container yet.

        Args:
            speaker_models: hashes of the models in the volume that tell speakers apart; "" for none.
        """
        self.uploads = Uploads()
        self._speaker_models = speaker_models
        self._place = place or Place()
        self._options = options
        self._engine, self._model = engine, model
        self._requirements = requirements
        self._rate = rate
        speed = options.speed or expected_speed(engine, model, options.machine)[0]
        self._expected_speed = SpeedEstimate(speed)
        self.budget = Budget(
            options.max_cost,
            rate,
            options.speed or speed / FIRST_PLAN_FACTOR,
            options.boot,
            options.max_containers,
        )
        self._costs = CallCosts(
            Rented(
                engine,
                model,
                options.machine.gpu,
                rate,
                boot=options.boot,
                idle=options.scaledown_window,
                timeout=options.timeout,
            ),
            self.budget,
            self._expected_speed,
        )
        self._uploading = Lock()
        self._suspects = set(options.suspects)
        self._usages: dict[str, Usage] = {}
        self._spawns: dict[bool, Spawn] = {}
        self._repeated = RepeatedFailures()
        self._connection = Connection(options.max_silence)

    def close(self) -> None:
        """Stop waiting. Calls in flight continue at Modal."""
        self._connection.close()

    # --- Submit ----------------------------------------------------------------------------------

    def submit(self, audio: Audio, options: TranscriptionOptions, stop: Event) -> Call:
        """Upload the audio and start a call for it.

        Raises BudgetReached when its expected price exceeds what is left of `max_cost`.
        """
        self._requirements.check(self._engine, options)
        self._repeated.check()
        key = audio.item.key
        with self._uploading:
            if stop.is_set():
                raise Cancelled
            media = audio.path.read_bytes() if audio.data is None else audio.data
            seconds = audio.duration or audio.item.duration or len(media) / OPUS_BYTES
            gpu = self._options.machine.gpu
            request = make_request(
                *(audio, media, options, gpu, self._engine, self._model, self._speaker_models)
            )
            alone = key in self._suspects
            with (
                self.budget.reserved(key, seconds, stop),
                self._upload(audio.item, len(media)),
            ):
                spawn = self._spawn(alone)
                try:
                    limit = upload_limit(self.uploads, len(media))
                    call = self._connection.send(lambda: spawn(media, request), stop, limit)
                except Missing as error:
                    raise SetupError(
                        "This version of homescribe is no longer deployed at Modal.",
                        "Run again to deploy it.",
                    ) from error
        metadata = CallMetadata(
            engine=self._engine,
            model=self._model,
            gpu=gpu,
            token=request["token"],
            machines=self.budget.machines,
            alone=alone,
            audio_seconds=seconds,
            rate=self._rate,
            expected=self._costs.expected(seconds),
            **self._place,
        )
        return Call(
            item=audio.item,
            backend="modal",
            submitted_at=time.time(),
            id=call.object_id,
            metadata=json.dumps(metadata),
        )

    def forget(self, key: str) -> None:
        """Do nothing: Modal deletes results after seven days."""

    def worth_starting(self, audio_seconds: float) -> bool:
        """Return whether starting and ending the containers is a small part of what this audio costs."""
        if self._options.when == "stream":
            return True
        overhead = self._options.boot * self._options.max_containers
        return overhead <= BURST_OVERHEAD * audio_seconds / self._expected_speed.value

    def _spawn(self, alone: bool) -> Spawn:
        """Return what submits to the deployed class on the chosen machine.

        `alone`: to a container that transcribes one recording at a time. There is one of them, beside the
        others, and it is counted in the cap.
        """
        if alone not in self._spawns:
            name = class_name(self._engine, speakers=bool(self._speaker_models))
            deployed = modal.Cls.from_name(modal_transcribe.APP, name)
            rented = deployed.with_options(
                **modal_transcribe.hardware(self._options.machine),
                max_containers=1 if alone else self._options.max_containers,
                scaledown_window=max(2, round(self._options.scaledown_window)),
                timeout=max(1, round(self._options.timeout)),
            )
            together = self._requirements.slots * self._options.machine.streams
            rented = rented.with_concurrency(max_inputs=1 if alone else together)
            if alone:
                self.budget.add_machine()
            parameters = {"model": self._model}
            if self._speaker_models:
                parameters["speakers"] = self._speaker_models
            self._spawns[alone] = rented(**parameters).transcribe.spawn.aio
        return self._spawns[alone]

    @contextmanager
    def _upload(self, item: Item, size: int) -> Iterator[None]:
        """Keep `uploads` up to date during one upload."""
        started = time.monotonic()
        self.uploads.current_bytes, self.uploads.current_since = size, started
        self.uploads.current = item.title
        try:
            yield
            self.uploads.items += 1
            self.uploads.bytes += size
            self.uploads.seconds += time.monotonic() - started
        finally:
            self.uploads.current = ""

    # --- Collect ---------------------------------------------------------------------------------

    def result(self, call: Call, stop: Event, progress: Callable[[float], None]) -> Transcript:
        """Wait for a call of this or an earlier process and return its transcript.

        Whatever the call raised is a failure of its recording.
        """
        metadata = read_metadata(call)
        assert call.id is not None
        try:
            reply = self._collect(call.id, stop)
        except Missing as error:
            reply = self._unknown(call, metadata, error)
        claiming: Reply | None = None
        if reply.claimed_by:
            claiming, reply = reply, self._collect_owner(reply.claimed_by, stop)
        if reply.transcript is None and not self._release(metadata, stop):
            reply = _not_started(reply)
        self._usages[call.id] = self._costs.settle(call, metadata, reply, claiming)
        if reply.transcript is not None:
            self._repeated.forget()
            return reply.transcript
        assert reply.error is not None
        raise self._failure(call, metadata, reply, reply.error)

    def _release(self, metadata: CallMetadata, stop: Event) -> bool:
        """Let the next call have the recording of one that failed.

        Returns whether a container can have begun with it: not if it would have claimed it and did not.
        """
        if "token" not in metadata:
            return True
        token = metadata["token"]
        claim: object = self._connection.try_once(
            lambda: modal_transcribe.notes.pop.aio(token, UNCLAIMED), stop, RELEASE_LIMIT
        )
        return claim != UNCLAIMED

    def _failure(
        self, call: Call, metadata: CallMetadata, reply: Reply, error: HomescribeError
    ) -> HomescribeError:
        """Return the failure to record for a call."""
        if isinstance(error, SpendingRefused):
            self._repeated.refuse(error)
            return RetryableError(error.message, error.hint)
        if isinstance(error, UserError):
            # Of this container: it could not be started, its engine not be loaded, or has too little memory.
            # Other recordings may succeed in another one, until `submit` finds that none does.
            self._repeated.add(error)
            return RetryableError(error.message, error.hint)
        if not reply.died:
            return error
        if metadata.get("alone"):
            failure = PermanentError(
                f"{error.message} It was alone in its container.",
                "Try another model or GPU: homescribe retry KEY, then run.",
            )
            failure.__cause__ = error
            return failure
        self._suspects.add(call.item.key)
        return error

    def usage(self, call: Call) -> Usage | None:
        """Return what a finished call cost; None for one that is unfinished or unknown."""
        return self._usages.get(call.id or "")

    def _collect(self, call_id: str, stop: Event) -> Reply:
        """Return how a call ended. Raises only what says nothing about that, and Missing."""
        get = modal.FunctionCall.from_id(call_id).get
        # The first request returns at once: with a result that is ready, or an error for one that is lost.
        timeouts = itertools.chain([0.0], itertools.repeat(POLL))
        try:
            return reply_of(self._connection.send(lambda: get.aio(timeout=next(timeouts)), stop))
        except (Missing, UserError, Cancelled):
            raise
        except RaisedByCall as raised:
            return failure_of(raised.error)
        except Expired:
            return Reply(error=RetryableError("Its result was kept for seven days and is gone."))
        except Exception as error:  # noqa: BLE001 - not of the connection, so it is about this call
            return failure_of(error)

    def _collect_owner(self, owner: str, stop: Event) -> Reply:
        """Return how the call ended that has the recording of another one."""
        try:
            reply = self._collect(owner, stop)
        except Missing:
            reply = Reply(error=RetryableError("Modal does not know the call that transcribed it."))
        if reply.claimed_by:
            words = "Two calls refer to each other."
            reply = dataclasses.replace(reply, error=RetryableError(words), claimed_by="")
        return reply

    def _unknown(self, call: Call, metadata: CallMetadata, error: Missing) -> Reply:
        """Return the failure of a call that Modal does not know, once its result cannot be there any more.

        Raises NotCollected before that: the call may be known in another workspace.
        """
        if abs(time.time() - call.submitted_at) > KEPT:
            return Reply(error=RetryableError("Its result was kept for seven days and is gone."))
        self._costs.keep(call, metadata)
        here, there = place_name(self._place), place_name(metadata)
        raise NotCollected(
            f"Modal does not know this call here ({here}). It was submitted in {there}: "
            "another workspace or environment?",
            "Run again with that one: see modal profile list, MODAL_ENVIRONMENT. "
            "To transcribe it again and pay again: homescribe retry KEY, then run.",
        ) from error


def _not_started(reply: Reply) -> Reply:
    """Return the reply of a call that Modal ended, where no container had begun with its recording."""
    if not isinstance(reply.error, EndedByModal):
        return reply
    words = f"Modal started no container for it: {reply.error.message}"
    return dataclasses.replace(reply, error=NotStarted(words, LOGS), died=False)
