"""What runs in a container: a loaded model that answers calls and never raises.

An exception that left a container would reach the home machine as if it were raised there, as an object of
another machine's classes, and what it cost would be unknown. So whatever is raised while a model is loaded,
a recording is claimed or transcribed, or a claim is released, becomes a reply: plain, and metered.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from threading import Event
from typing import TypedDict

import modal
import modal.exception
import modal.experimental

from homescribe.backends.meter import Meter, container_start
from homescribe.backends.modal.claims import Claims
from homescribe.backends.wire import PlainReply, Reply, Request, audio_of, describe, parse_options
from homescribe.core import Engine
from homescribe.errors import HomescribeError, RetryableError, SetupError


class Paid(TypedDict):
    """The fields of a reply that say what it cost."""

    gpu_seconds: float
    overhead_seconds: float
    first: bool


class Worker:
    """A loaded model, and the meter that divides the container's seconds among its calls.

    Args:
        load: returns the engine with its model.
        gpu_available: whether the engine finds a GPU.
    """

    def __init__(
        self,
        engine: str,
        model: str,
        claims: Claims,
        load: Callable[[], Engine],
        gpu_available: Callable[[], bool],
    ) -> None:
        self._meter = Meter(container_start())
        self._engine_name, self._model = engine, model
        self._claims = claims
        self._gpu_available = gpu_available
        self._engine: Engine | None = None
        self._not_loaded: HomescribeError | None = None
        try:
            self._engine = load()
        except HomescribeError as error:
            self._not_loaded = error
        except BaseException as error:
            if _ends_container(error):
                raise
            self._not_loaded = SetupError(
                f"{engine} cannot load {model}: {describe(error)}", "See `modal app logs`."
            )

    @property
    def loaded(self) -> bool:
        """Whether the model could be loaded."""
        return self._engine is not None

    def start(self) -> None:
        """Measure from now on, in the container that answers: it may not be the one that loaded the model."""
        self._meter = Meter(container_start())

    def answer(self, media: bytes, request: Request) -> PlainReply:
        """Return the reply to one recording. Whatever fails is part of the reply."""
        paid = Paid(gpu_seconds=0.0, overhead_seconds=0.0, first=False)
        try:
            call = modal.current_function_call_id() or ""
            paid["overhead_seconds"], paid["first"] = self._meter.begin(call)
            try:
                reply = self._reply(call, media, request, first=paid["first"])
            finally:
                paid["gpu_seconds"] = self._meter.end(call)
            return {**reply.plain(), **paid}
        except BaseException as error:
            if _ends_container(error):
                raise
            self._claims.release(request["token"])
            return {**_crash("The reply could not be made", error).plain(), **paid}

    def _reply(self, call: str, media: bytes, request: Request, *, first: bool) -> Reply:
        if self._not_loaded is not None:
            _take_no_more_calls()  # another container may have more luck
            # The home machine counts containers that fail, so only one call reports this one as failed.
            error = self._not_loaded
            return Reply(error=error if first else RetryableError(error.message, error.hint))
        claim = self._claims.claim(call, request["token"])
        reply = claim.refused or self._transcribe(media, request)
        reply = replace(reply, lost_seconds=claim.lost_seconds)
        if reply.error is not None:
            self._claims.release(request["token"])  # another call may try again
        return reply

    def _transcribe(self, media: bytes, request: Request) -> Reply:
        assert self._engine is not None
        audio = audio_of(media, request)
        try:
            if request["gpu"] != "CPU" and not self._gpu_available():
                raise SetupError(
                    f"The container has no {request['gpu']} that {self._engine_name} can use.",
                    "Nothing was transcribed at the price of a GPU. Report it with `modal app logs`.",
                )
            transcript = self._engine.transcribe(
                audio, parse_options(request["options"]), Event(), lambda seconds: None
            )
            return Reply(transcript=replace(transcript, model=self._model))
        except HomescribeError as error:
            return Reply(error=error)
        except BaseException as error:
            if _ends_container(error):
                raise
            # After a CUDA error every later call of the process fails as well.
            _take_no_more_calls()
            return _crash("The engine crashed", error)


def _crash(what: str, error: BaseException) -> Reply:
    return Reply(error=RetryableError(f"{what}: {describe(error)}"), died=True)


def _take_no_more_calls() -> None:
    """Let the container end after the calls that it has."""
    with contextlib.suppress(Exception):
        modal.experimental.stop_fetching_inputs()


def _ends_container(error: BaseException) -> bool:
    """Return whether Modal raised `error` to cancel a call or to end the container.

    It does that in the main thread: there the model is loaded, and calls run if the container takes one at a
    time. In any other thread it was the engine.
    """
    by_modal = isinstance(error, KeyboardInterrupt | modal.exception.InputCancellation)
    return by_modal and threading.current_thread() is threading.main_thread()
