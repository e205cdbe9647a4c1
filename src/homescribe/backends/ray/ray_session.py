"""A session on a Ray cluster: sends recordings to a ledger, collects transcripts by the ids of calls.

One thread for each ledger collects the replies of all calls that somebody waits for, and tells the ledger
which calls it may forget.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Event, Lock, Thread
from typing import Literal, Protocol, cast

from homescribe.backends.ray.call_ledger import Admission
from homescribe.backends.ray.ray_errors import LedgerGone, Unavailable
from homescribe.backends.ray.ray_worker import decode
from homescribe.backends.ray.stored_metadata import CallMetadata, read_metadata
from homescribe.backends.ray.worker_spec import WorkerSpec
from homescribe.backends.repeated_failures import RepeatedFailures
from homescribe.backends.wire import Reply, make_request
from homescribe.core import (
    MINUTE,
    Audio,
    Call,
    EngineRequirements,
    Transcript,
    TranscriptionOptions,
    Uploads,
    Usage,
)
from homescribe.errors import Cancelled, RetryableError, UserError

CALLS_PER_SLOT = 2  # in flight: one at work, one that waits beside the worker
MAX_SLOTS = 64  # threads of this process that wait for a reply
POLL = 0.5  # seconds that a request for replies stays open
TICK = 0.1  # seconds between looks at `stop`
UPLOAD_LIMIT = 10 * MINUTE  # for one recording
MAX_SILENCE = 10 * MINUTE  # without an answer of the cluster, after which the run stops
PAUSE = 1.0  # seconds before a request that failed is sent again
NAME = "ray"


class Asked(Protocol):
    """A connection to a cluster: see cluster.Cluster."""

    name: str

    @property
    def connection(self) -> int:
        """As cluster.Cluster."""

    def reconnect(self, lost: int) -> None:
        """As cluster.Cluster."""

    def ask(self, ledger: str, method: str, *arguments: object, limit: float = 30.0) -> object:
        """As cluster.Cluster."""


@dataclass(slots=True)
class _Inbox:
    """What is wanted of one ledger."""

    wanted: dict[str, Future[bytes]] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    changed: Condition = field(default_factory=Condition)


class RaySession:
    """One engine and model on a cluster. Any number of threads may wait for results; one sends at a time.

    Args:
        start: starts the ledger and its workers, unless they are there.
    """

    def __init__(
        self,
        cluster: Asked,
        spec: WorkerSpec,
        workers: int,
        requirements: EngineRequirements,
        start: Callable[[], None],
        *,
        max_silence: float = MAX_SILENCE,
    ) -> None:
        self.slots = min(MAX_SLOTS, CALLS_PER_SLOT * workers * spec.slots)
        self.uploads = Uploads()
        self._cluster = cluster
        self._spec = spec
        self._requirements = requirements
        self._start = start
        self._max_silence = max_silence
        self._sending = Lock()
        self._closed = Event()
        self._inboxes: dict[str, _Inbox] = {}
        self._lock = Lock()  # for _inboxes
        self._threads: list[Thread] = []
        self._collected: dict[str, Call] = {}  # by key, until they are forgotten
        self._usages: dict[str, Usage] = {}
        self._repeated = RepeatedFailures()

    def close(self) -> None:
        """Stop waiting. Calls in flight continue on the cluster."""
        self._closed.set()
        for inbox in self._inboxes.values():
            with inbox.changed:
                inbox.changed.notify_all()
        for thread in self._threads:
            thread.join(5.0)

    # --- Send --------------------------------------------------------------------------------------

    def submit(self, audio: Audio, options: TranscriptionOptions, stop: Event) -> Call:
        """Send the audio to the cluster, unless it has the same recording with the same options already.

        Raises UserError when the latest calls all failed in the same way, by their workers' fault.
        """
        self._requirements.check(self._spec.engine, options)
        self._repeated.check()
        with self._sending:
            if stop.is_set():
                raise Cancelled
            media = audio.path.read_bytes() if audio.data is None else audio.data
            spec = self._spec
            models = ",".join(spec.speakers or ())
            request = make_request(
                *(audio, media, options, spec.machine, spec.engine, spec.model, models)
            )
            ledger = self._cluster.name
            while True:
                try:
                    admission = cast(
                        Admission, self._ask(stop, ledger, "admit", request["token"], len(media))
                    )
                    if admission["full"] and not admission["call"]:
                        if stop.wait(1.0):
                            raise Cancelled
                        continue
                    call_id = admission["call"]
                    if not call_id:
                        call_id = self._upload(audio, media, stop, ledger, request)
                    break
                except LedgerGone:  # it ended: its machine was restarted, or it was stopped
                    self._start()
        metadata = CallMetadata(
            ledger=ledger,
            engine=self._spec.engine,
            model=self._spec.model,
            machine=self._spec.machine,
        )
        return Call(audio.item, NAME, time.time(), call_id, json.dumps(metadata))

    def _upload(self, audio: Audio, media: bytes, stop: Event, ledger: str, request: object) -> str:
        """Send one recording and return the id of its call."""
        began = time.monotonic()
        self.uploads.current_bytes, self.uploads.current_since = len(media), began
        self.uploads.current = audio.item.title
        try:
            call_id = self._ask(
                stop, ledger, "submit", self._spec, request, media, limit=UPLOAD_LIMIT
            )
            self.uploads.items += 1
            self.uploads.bytes += len(media)
            self.uploads.seconds += time.monotonic() - began
        finally:
            self.uploads.current = ""
        return str(call_id)

    def worth_starting(self, audio_seconds: float) -> bool:
        """Return True: starting is free."""
        return True

    # --- Collect -----------------------------------------------------------------------------------

    def result(self, call: Call, stop: Event, progress: Callable[[float], None]) -> Transcript:
        """Wait for a call of this or an earlier process and return its transcript."""
        metadata = read_metadata(call)
        assert call.id is not None
        self._collected[call.item.key] = call
        reply = self._wait(self._ledger_of(metadata), call.id, stop)
        if reply is None:
            raise RetryableError(
                "The cluster no longer has this call: it was stopped or restarted, or nobody collected the "
                "result for too long."
            )
        self._settle(call, metadata, reply)
        if reply.transcript is not None:
            self._repeated.forget()
            return reply.transcript
        assert reply.error is not None
        if isinstance(reply.error, UserError):
            # Of this worker: it has too little memory, for example. Other recordings may succeed in it or in
            # another one, until `submit` finds that none does.
            self._repeated.add(reply.error)
            raise RetryableError(reply.error.message, reply.error.hint)
        raise reply.error

    def _ledger_of(self, metadata: CallMetadata) -> str:
        """Return the ledger to ask for a call: that of this version where the stored name cannot be read."""
        return metadata.get("ledger", self._cluster.name)

    def usage(self, call: Call) -> Usage | None:
        """Return the seconds that a finished call took; None for one that is unfinished or lost."""
        return self._usages.get(call.id or "")

    def forget(self, key: str) -> None:
        """Let the ledger delete the reply to the call for an item."""
        call = self._collected.pop(key, None)
        if call is None or call.id is None:
            return
        inbox = self._inbox(self._ledger_of(read_metadata(call)))
        with inbox.changed:
            inbox.forgotten.add(call.id)
            inbox.changed.notify_all()

    def _settle(self, call: Call, metadata: CallMetadata, reply: Reply) -> None:
        outcome: Literal["done", "failed", "died"] = "died" if reply.died else "failed"
        audio_seconds = 0.0
        if reply.transcript is not None:
            outcome, audio_seconds = "done", reply.transcript.duration
        self._usages[call.id or ""] = Usage(
            call=call,
            engine=metadata.get("engine", self._spec.engine),
            model=metadata.get("model", self._spec.model),
            gpu=metadata.get("machine", self._spec.machine),
            gpu_seconds=reply.gpu_seconds,
            overhead_seconds=reply.overhead_seconds,
            boots=int(reply.first),
            audio_seconds=audio_seconds,
            dollars=0.0,
            expected_dollars=0.0,
            finished_at=time.time(),
            outcome=outcome,
        )

    def _wait(self, ledger: str, call_id: str, stop: Event) -> Reply | None:
        """Wait for a reply; None when the ledger does not know the call."""
        inbox = self._inbox(ledger)
        with inbox.changed:
            future = inbox.wanted.setdefault(call_id, Future())
            inbox.changed.notify_all()
        while True:
            try:
                content = future.result(timeout=TICK)
                return decode(content) if content else None
            except TimeoutError:
                if future.done():
                    raise
                if stop.is_set() or self._closed.is_set():
                    raise Cancelled from None

    def _inbox(self, ledger: str) -> _Inbox:
        """Return the inbox of a ledger, and start its thread when it is the first time."""
        with self._lock:
            if ledger not in self._inboxes:
                self._inboxes[ledger] = _Inbox()
                thread = Thread(
                    target=self._collect, args=(ledger,), name="ray replies", daemon=True
                )
                self._threads.append(thread)
                thread.start()
            return self._inboxes[ledger]

    def _collect(self, ledger: str) -> None:
        """Collect replies of one ledger until the session is closed."""
        inbox = self._inboxes[ledger]
        while True:
            with inbox.changed:
                if not (inbox.wanted or inbox.forgotten or self._closed.is_set()):
                    inbox.changed.wait(1.0)
                ids, forget = list(inbox.wanted), list(inbox.forgotten)
            if self._closed.is_set():
                if forget:  # the last ones, if the cluster answers
                    with suppress(Exception):
                        self._cluster.ask(ledger, "collect", [], forget, 0.0, limit=5.0)
                return
            if not (ids or forget):
                continue
            replies: dict[str, bytes] = {}
            failure: Exception | None = None
            try:
                replies = cast(
                    dict[str, bytes],
                    self._ask(self._closed, ledger, "collect", ids, forget, POLL if ids else 0.0),
                )
            except LedgerGone:
                replies = dict.fromkeys(ids, b"")
            except (UserError, Cancelled) as error:
                failure = error
            if content := replies.pop("", b""):
                failure = decode(content).error
            with inbox.changed:
                inbox.forgotten.difference_update(forget)
                for call_id, content in replies.items():
                    inbox.wanted.pop(call_id).set_result(content)
                if failure is not None:
                    for call_id in ids:
                        inbox.wanted.pop(call_id).set_exception(failure)

    def _ask(
        self, stop: Event, ledger: str, method: str, *arguments: object, limit: float = 30.0
    ) -> object:
        """Ask a ledger, again and again while the cluster is unavailable.

        Raises Cancelled soon after `stop` is set in such a time, UserError when the cluster stays unavailable
        for `max_silence`, LedgerGone, and what translating raises.
        """
        last_answer = time.monotonic()
        while True:
            connection = self._cluster.connection
            try:
                return self._cluster.ask(ledger, method, *arguments, limit=limit)
            except Unavailable as error:
                if time.monotonic() - last_answer > self._max_silence:
                    raise UserError(
                        f"The Ray cluster does not answer: {error.message}",
                        "Run again later: what was submitted is collected first.",
                    ) from error
                if stop.wait(PAUSE) or self._closed.is_set():
                    raise Cancelled from error
                with suppress(Unavailable):
                    self._cluster.reconnect(connection)
