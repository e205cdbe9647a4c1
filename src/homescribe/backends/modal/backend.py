"""The Modal backend: submits from home what `modal_transcribe` transcribes, and collects it on any later day.

A call's id is all it takes to collect it, for seven days, from any process. So submitting and collecting
know nothing of each other: `submit` returns the id, whoever stores it calls `result`.

Modal's errors become ours in `modal_errors` alone. They are of three kinds: this machine's or the account's
(UserError: the run ends and the call lives on), a call's end (ItemError), and a service that does not
answer now, which is asked again for as long as the options' `patience`.
"""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import dataclasses
import functools
import itertools
import json
import math
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Lock
from typing import Any, Literal, TypeVar

import modal
import modal.exception

from homescribe.backends.modal import modal_transcribe
from homescribe.backends.modal.wire import Reply, make_request, one_line
from homescribe.core import (
    HOUR,
    Audio,
    Call,
    Item,
    Session,
    Transcript,
    TranscriptionOptions,
    Uploads,
    Usage,
)
from homescribe.cost.prices import (
    BOOT,
    BURST_OVERHEAD,
    CAUTION,
    DEFAULT_ENGINE,
    DEFAULT_GPU,
    DEFAULT_MODEL,
    MAX_CONTAINERS,
    SCALEDOWN_WINDOW,
    Budget,
    Machine,
    account_rate,
    expected_speed,
    machine,
    published_rate,
)
from homescribe.errors import (
    Cancelled,
    HomescribeError,
    PermanentError,
    RetryableError,
    SetupError,
    UserError,
)

Answer = TypeVar("Answer")

# Calls in flight at once. Each is a thread that waits at home and, until its result is stored, a file.
SLOTS = 64
# A question for a result that has not come stays open so long, in seconds.
POLL = 50.0
RATES_LIMIT = 5.0  # seconds to wait for the account's prices
TICK = 0.1  # seconds between looks at `stop`
# After a question without answer: seconds to the next, doubling from and up to.
PAUSES = (1.0, 30.0)
# An upload that was cut off can leave Modal's client waiting for ever (its HTTP library sends the request
# again without the body that is used up, and it sets no time limit). So an upload may take four times what
# the ones before took, at first as if the line carried only this many bytes a second, and never less than
# these seconds.
SLOW_LINE = 16_000
UPLOAD_GRACE = 30.0
OPUS_BYTES = 50_000 / 8  # a second of the audio that is downloaded, when nobody said how long it is


@dataclass(frozen=True, slots=True)
class ModalOptions:
    """What to rent and how much of it. `machine` raises UserError for a GPU that does not exist."""

    gpu: str = DEFAULT_GPU
    max_containers: int = MAX_CONTAINERS
    max_cost: float | None = None  # dollars that one run may commit
    when: Literal["burst", "stream"] = "burst"
    speed: float | None = None  # times realtime, of this library's own calls
    boot: float = BOOT + SCALEDOWN_WINDOW  # seconds of a container that are paid beside its work
    suspects: frozenset[str] = frozenset()  # keys of items that a container died with
    patience: float = 2 * HOUR  # seconds without an answer from Modal
    timeout: float = modal_transcribe.TIMEOUT
    scaledown_window: float = SCALEDOWN_WINDOW

    @property
    def machine(self) -> Machine:
        return machine(self.gpu)


class ModalBackend:
    """Rents GPUs. `options` are checked here, before anything is sent."""

    name = "modal"
    default_engine = DEFAULT_ENGINE
    default_model = DEFAULT_MODEL

    def __init__(self, options: ModalOptions | None = None) -> None:
        self.options = options or ModalOptions()
        self.machine = self.options.machine
        if self.options.max_containers < 1:
            raise UserError("Nothing can be transcribed with no container.", "Give --containers 1.")

    @contextmanager
    def start(self, engine: str, model: str) -> Iterator[Session]:
        """Deploy if this version is not deployed, see that the weights are there, lend a session."""
        if engine not in modal_transcribe.CLASSES:
            known = ", ".join(modal_transcribe.CLASSES)
            raise UserError(f"Modal has no image for the engine {engine!r}.", f"Choose: {known}.")
        if "/" in model and model.startswith((".", "/", "~")):
            raise UserError(
                f"{model} is on this machine, and Modal fetches models by name.",
                "Give a published name such as turbo or large-v3.",
            )
        with account_errors():
            if not self.is_current(self.deployed() or ""):
                self.deploy()
            self._fetch_weights(engine, model)
            rate = self.rate()
        session = ModalSession(self.options, engine, model, rate)
        try:
            yield session
        finally:
            session.close()

    def rate(self, rented: Machine | None = None) -> float:
        """Dollars a second: by the account's own rates where Modal tells them, else the published ones."""
        rented = rented or self.machine
        return account_rate(rented, self._account_rates) or published_rate(rented)

    def tells_rates(self) -> bool:
        """Whether `rate` has the account's own figures."""
        return bool(self._account_rates)

    @functools.cached_property
    def _account_rates(self) -> dict[str, float]:
        """Empty where Modal does not tell: not for every token and plan, and not without a network."""
        found: dict[str, float] = {}

        def ask() -> None:
            with contextlib.suppress(modal.exception.Error, ValueError, OSError):
                rates = modal.Workspace.from_context().billing.rates()
                found.update({name: float(value) for name, value in rates.items()})

        # The client asks a silent network for a minute; a plan need not wait so long for a better price.
        thread = threading.Thread(target=ask, name="modal rates", daemon=True)
        thread.start()
        thread.join(RATES_LIMIT)
        return dict(found)

    # --- The app ---------------------------------------------------------------------------------

    def deployed(self) -> str | None:
        """The fingerprint of what is deployed, None when nothing is."""
        with account_errors():
            try:
                tags: dict[str, str] = modal.App.lookup(modal_transcribe.APP).get_tags()
            except modal.exception.NotFoundError:
                return None
        return tags.get("fingerprint", "")

    def is_current(self, deployed: str) -> bool:
        """Whether a fingerprint is this version's."""
        return deployed == modal_transcribe.fingerprint()

    def deploy(self, *, show: bool = False) -> None:
        """Put this version into the account; what runs goes on, what waits runs on it.

        `show` prints how the images are built, which takes minutes the first time.
        """
        with account_errors(), modal.enable_output() if show else contextlib.nullcontext():
            modal_transcribe.app.deploy(name=modal_transcribe.APP)

    def stop(self) -> bool:
        """End the app and every container of it, now. False when none is deployed."""
        with account_errors():
            try:
                modal.App.lookup(modal_transcribe.APP).stop()
            except modal.exception.NotFoundError:
                return False
        return True

    def _fetch_weights(self, engine: str, model: str) -> None:
        if model == "demo" or modal_transcribe.notes.get(f"weights {engine} {model}"):
            return
        fetch = modal_transcribe.FETCHERS[modal_transcribe.CLASSES[engine]]
        modal.Function.from_name(modal_transcribe.APP, fetch).remote(engine, model)


def upload_limit(uploads: Uploads, size: int) -> float:
    """Seconds after which an upload of `size` bytes counts as cut off."""
    slow = max(SLOW_LINE, uploads.rate / 4) if uploads.rate else SLOW_LINE
    return UPLOAD_GRACE + size / slow


class ModalSession:
    """One engine and model at Modal. Threads of any number may wait for results; one uploads at a time."""

    slots = SLOTS

    def __init__(self, options: ModalOptions, engine: str, model: str, rate: float) -> None:
        self.uploads = Uploads()
        self._options = options
        self._engine, self._model = engine, model
        self._rate = rate
        self._speed = options.speed or expected_speed(engine, model, options.machine)
        self.budget = Budget(
            options.max_cost,
            rate,
            self._speed if options.speed else self._speed / CAUTION,
            options.boot,
            options.max_containers,
        )
        self._uploading = Lock()
        self._suspects = set(options.suspects)
        self._usages: dict[str, Usage] = {}
        self._variants: dict[bool, Any] = {}
        # Modal's client waits in coroutines: hundreds of open questions need one thread.
        self._closed = Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="modal", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the calls to Modal."""
        self._closed.set()
        with contextlib.suppress(builtins.TimeoutError):
            asyncio.run_coroutine_threadsafe(_end_tasks(), self._loop).result(timeout=10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- Submit ----------------------------------------------------------------------------------

    def submit(self, audio: Audio, options: TranscriptionOptions, stop: Event) -> Call:
        """Upload the audio and order its transcript; the call is Modal's from here on.

        Raises BudgetReached when its expected price passes what is left of `max_cost`.
        """
        key = audio.item.key
        with self._uploading:
            if stop.is_set():
                raise Cancelled
            media = audio.path.read_bytes() if audio.data is None else audio.data
            seconds = audio.duration or audio.item.duration or len(media) / OPUS_BYTES
            machine_ = self._options.machine
            request = make_request(
                audio.item, media, audio.duration, options, machine_.gpu, self._engine, self._model
            )
            alone = key in self._suspects
            with self.budget.reserved(key, seconds, stop), self._told(audio.item, len(media)):
                spawn = self._variant(alone).transcribe.spawn
                try:
                    limit = upload_limit(self.uploads, len(media))
                    call = self._ask(lambda: spawn.aio(media, request), stop, limit)
                except _Missing as error:
                    raise SetupError(
                        "The homescribe app is no longer deployed.", "Run again: that deploys it."
                    ) from error
        known = {
            "gpu": machine_.gpu,
            "token": request["token"],
            "alone": alone,
            "audio_seconds": seconds,
            "rate": self._rate,
            "expected": seconds / self._speed * self._rate,
        }
        return Call(
            item=audio.item,
            backend=ModalBackend.name,
            submitted_at=time.time(),
            id=call.object_id,
            metadata=json.dumps(known),
        )

    def worth_starting(self, audio_seconds: float) -> bool:
        """Whether boot, load and the wait for the end are a small part of what so much audio costs."""
        if self._options.when == "stream":
            return True
        overhead = self._options.boot * self._options.max_containers
        return overhead <= BURST_OVERHEAD * audio_seconds / self._speed

    def _variant(self, alone: bool) -> Any:
        """The deployed class on the machine that was asked for; `alone` gives a recording a whole one."""
        if alone not in self._variants:
            deployed = modal.Cls.from_name(
                modal_transcribe.APP, modal_transcribe.CLASSES[self._engine]
            )
            rented = deployed.with_options(
                **modal_transcribe.hardware(self._options.machine),
                max_containers=self._options.max_containers,
                scaledown_window=max(2, round(self._options.scaledown_window)),
                timeout=max(1, round(self._options.timeout)),
            )
            if alone:
                rented = rented.with_concurrency(max_inputs=1)
            self._variants[alone] = rented(engine=self._engine, model=self._model)
        return self._variants[alone]

    @contextmanager
    def _told(self, item: Item, size: int) -> Iterator[None]:
        began = time.monotonic()
        self.uploads.current_bytes, self.uploads.current_since = size, time.time()
        self.uploads.current = item.title
        try:
            yield
            self.uploads.items += 1
            self.uploads.bytes += size
            self.uploads.seconds += time.monotonic() - began
        finally:
            self.uploads.current = ""

    # --- Collect ---------------------------------------------------------------------------------

    def result(self, call: Call, stop: Event, progress: Callable[[float], None]) -> Transcript:
        """The transcript of a call of this or an earlier process, whenever it is ready."""
        known = json.loads(call.metadata or "{}")
        assert call.id is not None
        reply = self._collect(call.id, stop)
        if reply.claimed_by:
            mine = reply
            reply = self._collect(reply.claimed_by, stop)
            if reply.transcript is None:
                reply = dataclasses.replace(mine, error=reply.error, died=reply.died, claimed_by="")
        self._settle(call, known, reply)
        if reply.transcript is not None:
            return reply.transcript
        if "token" in known:
            # Nobody has this recording any more: the next call may begin on it.
            self._ask(lambda: modal_transcribe.notes.pop.aio(known["token"], None), stop)
        assert reply.error is not None
        if not reply.died:
            raise reply.error
        if known.get("alone"):
            raise PermanentError(
                f"{reply.error.message} It was alone in its container.",
                "Try another model or GPU: homescribe retry KEY, then run.",
            ) from reply.error
        self._suspects.add(call.item.key)
        raise reply.error

    def usage(self, call: Call) -> Usage | None:
        """What a call that has ended took; None for one that lives on or was never heard of."""
        return self._usages.get(call.id or "")

    def _collect(self, call_id: str, stop: Event) -> Reply:
        """How the call ended, whatever the way. Raises only what says nothing about it."""
        question = modal.FunctionCall.from_id(call_id).get
        # What is ready, or lost, is told at once; only then is waiting worth an open question.
        patience = itertools.chain([0.0], itertools.repeat(POLL))
        try:
            plain = self._ask(lambda: question.aio(timeout=next(patience)), stop)
        except _Remote as error:
            return Reply(error=error.error)
        except (_Died, _Missing, RetryableError) as error:
            if isinstance(error, _Missing):
                return Reply(
                    error=RetryableError("Its result was kept for seven days and is gone.")
                )
            return Reply(error=error, died=isinstance(error, _Died))
        if not isinstance(plain, dict):
            return Reply(error=RetryableError("Its result came home unreadable."))
        return Reply.parse(plain)

    def _settle(self, call: Call, known: dict[str, Any], reply: Reply) -> None:
        """Note what the call took. A container's end is charged to its first call."""
        overhead = reply.overhead_seconds + (self._options.scaledown_window if reply.first else 0.0)
        dollars = (reply.gpu_seconds + overhead) * known.get("rate", self._rate)
        heard = reply.transcript.duration if reply.transcript else known.get("audio_seconds", 0.0)
        ended: Literal["done", "failed", "died"] = "failed"
        if reply.transcript is not None:
            ended = "done"
        elif reply.died:
            ended = "died"
        self.budget.settle(call.item.key, dollars)
        self._usages[call.id or ""] = Usage(
            call=call,
            engine=self._engine,
            model=self._model,
            gpu=known.get("gpu", self._options.machine.gpu),
            gpu_seconds=reply.gpu_seconds,
            overhead_seconds=overhead,
            boots=int(reply.first),
            audio_seconds=heard,
            dollars=dollars,
            expected_dollars=known.get("expected", 0.0)
            + (self._options.boot * known.get("rate", self._rate) if reply.first else 0.0),
            finished_at=time.time(),
            outcome=ended,
        )

    # --- Talk to Modal ---------------------------------------------------------------------------

    def _ask(
        self,
        question: Callable[[], Coroutine[Any, Any, Answer]],
        stop: Event,
        limit: float = math.inf,
    ) -> Answer:
        """The answer to `question`, asked again while Modal is away or not ready.

        Raises Cancelled soon after `stop` is set, UserError when Modal stays away, and as `modal_errors`.
        """
        silent_since, pause = time.monotonic(), PAUSES[0]
        while True:
            try:
                if self._closed.is_set():
                    raise Cancelled
                with modal_errors():
                    return self._wait(question(), stop, limit)
            except builtins.TimeoutError:  # no result yet; Modal is there
                silent_since, pause = time.monotonic(), PAUSES[0]
            except _Away as error:
                if time.monotonic() - silent_since > self._options.patience:
                    raise UserError(
                        f"Modal does not answer: {error.message}",
                        "Run again when it does: what was submitted is collected first.",
                    ) from error
                if stop.wait(pause):
                    raise Cancelled from error
                pause = min(2 * pause, PAUSES[1])

    def _wait(self, question: Coroutine[Any, Any, Answer], stop: Event, limit: float) -> Answer:
        began = time.monotonic()
        future = asyncio.run_coroutine_threadsafe(question, self._loop)
        while not wait([future], timeout=TICK).done:
            if stop.is_set():
                future.cancel()
                raise Cancelled
            if time.monotonic() - began > limit:
                future.cancel()
                raise _Away(f"nothing for {limit:.0f} seconds")
        if future.cancelled():  # by `close`
            raise Cancelled
        return future.result()


async def _end_tasks() -> None:
    """Let go of every question that is still open in this event loop."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


# --- Modal's errors, as ours -----------------------------------------------------------------------


class _Away(RetryableError):
    """Modal, or the way there, does not answer now: ask again."""


class _Missing(RetryableError):
    """Modal knows no such app or call."""


class _Died(RetryableError):
    """Modal ended the call: its container died, or took too long."""


class _Remote(Exception):
    """An error of ours that was raised in the container, outside any recording."""

    def __init__(self, error: HomescribeError) -> None:
        super().__init__(error)
        self.error = error


LOG_IN = "Run: modal setup (or: modal token set). Then run again."
UPDATE = "Run: pip install -U modal"

# From the particular to the general: the first class that fits gives the reaction, the words and the hint.
# {} stands for Modal's own words.
MAPPING: tuple[tuple[type[BaseException], type[HomescribeError], str, str], ...] = (
    (modal.exception.AuthError, SetupError, "Modal does not let this machine in: {}", LOG_IN),
    (
        modal.exception.PermissionDeniedError,
        SetupError,
        "This Modal account may not do that: {}",
        LOG_IN,
    ),
    (modal.exception.VersionError, SetupError, "Modal refuses this version: {}", UPDATE),
    (modal.exception.ConflictError, SetupError, "Modal refuses: {}", UPDATE),
    (modal.exception.UnimplementedError, SetupError, "Modal no longer knows a request: {}", UPDATE),
    (modal.exception.NotFoundError, _Missing, "Modal does not know it: {}", ""),
    (modal.exception.OutputExpiredError, _Missing, "The result has expired.", ""),
    (modal.exception.FunctionTimeoutError, _Died, "It took longer than a call may take: {}", ""),
    (modal.exception.InternalFailure, _Died, "Its container ended: {}", ""),
    (
        modal.exception.ImageBuildError,
        SetupError,
        "Modal cannot build the image: {}",
        "Run homescribe modal deploy to see why.",
    ),
    (modal.exception.RemoteError, _Died, "Modal ended the call: {}", ""),
    (modal.exception.ExecutionError, RetryableError, "Modal's answer cannot be used: {}", UPDATE),
    (modal.exception.DeserializationError, RetryableError, "The result cannot be read: {}", UPDATE),
    (
        modal.exception.RequestSizeError,
        PermanentError,
        "The recording is too large for Modal: {}",
        "",
    ),
    (modal.exception.ResourceExhaustedError, _Away, "Modal has no room for more now: {}", ""),
    (modal.exception.ServiceError, _Away, "{}", ""),
    (modal.exception.InternalError, _Away, "{}", ""),
    (modal.exception.ConnectionError, _Away, "{}", ""),
    (modal.exception.DataLossError, _Away, "{}", ""),
    (modal.exception.ClientClosed, _Away, "{}", ""),
    (modal.exception.TimeoutError, _Away, "{}", ""),
    (modal.exception.Error, SetupError, "Modal: {}", "See https://modal.com/docs"),
    (modal.exception.ModuleNotMountable, SetupError, "Modal cannot send the package: {}", ""),
)


def translate(error: BaseException) -> HomescribeError | None:
    """Our error for one of Modal's or of the connection to it; None for anything else."""
    for kind, reaction, words, hint in MAPPING:
        if isinstance(error, kind):
            said = one_line(str(error)) or type(error).__name__
            return reaction(words.format(said), hint)
    if _is_connection_trouble(error):
        return _Away(one_line(str(error)) or type(error).__name__)
    return None


def _is_connection_trouble(error: BaseException) -> bool:
    """Errors of the libraries that Modal's client is made of, where it lets them through."""
    import aiohttp
    import grpclib.exceptions
    import h2.exceptions

    if isinstance(error, builtins.TimeoutError):
        return False  # FunctionCall.get: no result yet
    return isinstance(
        error,
        aiohttp.ClientError
        | grpclib.exceptions.GRPCError
        | grpclib.exceptions.StreamTerminatedError
        | h2.exceptions.ProtocolError
        | OSError,
    )


@contextmanager
def modal_errors() -> Iterator[None]:
    """The one place where Modal's errors become ours."""
    try:
        yield
    except (_Away, _Missing, _Died, _Remote, Cancelled):
        raise
    except HomescribeError as error:  # Modal raises here what was raised in a container
        raise _Remote(error) from None
    except Exception as error:
        translated = translate(error)
        if translated is None:
            raise
        raise translated from error


@contextmanager
def account_errors() -> Iterator[None]:
    """`modal_errors` where no recording is at stake: everything is for the user to act on."""
    try:
        with modal_errors():
            yield
    except _Remote as error:
        raise error.error from error
    except (RetryableError, PermanentError) as error:
        words = f"Modal cannot be used now: {error.message}"
        raise SetupError(words, error.hint or "Try again in a while.") from error
