"""What runs on a machine of the cluster: an actor with a loaded model, and the handle to it.

A recording that fails is a reply, not an exception. Replies travel as compressed JSON, so that nobody has to
have an engine's classes to pass them on or to read them. Media is in memory only.
"""

from __future__ import annotations

import ctypes
import dataclasses
import importlib
import json
import os
import sysconfig
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Event, Lock
from typing import cast

import ray
import ray.exceptions

from homescribe import __version__
from homescribe.backends.engine_code import EngineClass
from homescribe.backends.meter import STARTED, Meter
from homescribe.backends.ray.worker_pool import Answer, PoolCall, WorkerLost
from homescribe.backends.ray.worker_spec import WorkerSpec
from homescribe.backends.wire import (
    PlainReply,
    Reply,
    Request,
    audio_of,
    describe,
    one_line,
    parse_options,
    text_of,
)
from homescribe.core import Engine, Transcript
from homescribe.errors import HomescribeError, RetryableError, SetupError
from homescribe.speakers.speaker_engine import SpeakerEngine
from homescribe.speakers.speaker_finder import SpeakerFinder
from homescribe.speakers.speaker_models import SpeakerModels

# --- Replies as bytes ------------------------------------------------------------------------------


def encode(reply: Reply) -> bytes:
    """Return a reply as compressed JSON. What JSON does not know becomes text."""
    return zlib.compress(json.dumps(reply.plain(), default=str).encode())


def decode(content: bytes) -> Reply:
    """Return the reply that `encode` made, in this version or another; an error when it is no reply."""
    try:
        return Reply.parse(cast(PlainReply, json.loads(zlib.decompress(content))))
    except (zlib.error, TypeError, ValueError, KeyError, AttributeError) as error:
        return Reply(error=RetryableError(f"Its result cannot be read: {one_line(str(error))}"))


# --- In the worker's process -----------------------------------------------------------------------


class TranscribingActor:
    """An engine with a loaded model. `transcribe` is called from several threads at once."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._meter = Meter(STARTED)
        self._lock = Lock()
        self._engine: Engine | None = None

    def load(self, client_version: str) -> bytes | None:
        """Load the model. Return None, or a Reply with the error as bytes."""
        try:
            if client_version != __version__:
                raise SetupError(
                    f"The worker has homescribe {__version__}, and this machine {client_version}.",
                    "Remove homescribe from the machines of the cluster, or install the same version.",
                )
            with self._lock:
                if self._engine is None:
                    self._engine = self._loaded()
        except HomescribeError as error:
            return encode(Reply(error=error))
        except Exception as error:  # noqa: BLE001 - the client may not have the error's class
            words = describe(error)
            spec = self._spec
            failure = SetupError(
                f"{spec.engine} cannot load {spec.model} on {os.uname().nodename}: {words}",
                "Install what is missing on all machines of the cluster.",
            )
            return encode(Reply(error=failure))
        return None

    def transcribe(self, media: bytes, request: Request, call_id: str) -> tuple[bytes, bool]:
        """Return the reply to one recording as bytes, and whether this process should end."""
        overhead, first = self._meter.begin(call_id)
        worn_out = False
        try:
            reply = Reply(transcript=self._transcript(media, request))
            encode(reply)
        except HomescribeError as error:
            reply = Reply(error=error)
        except BaseException as error:  # noqa: BLE001 - one recording must not end the worker of others
            # After a CUDA error every later call of the process fails as well.
            worn_out = True
            words = f"The engine crashed: {describe(error)}"
            reply = Reply(error=RetryableError(words), died=True)
        finally:
            seconds = self._meter.end(call_id)
        measured = dataclasses.replace(
            reply, gpu_seconds=seconds, overhead_seconds=overhead, first=first
        )
        return encode(measured), worn_out

    def _loaded(self) -> Engine:
        set_environment(self._spec.environment)
        engine_class = load_class(self._spec.engine_class)
        check = engine_class.requirements.gpu_available
        if self._spec.gpus and not (check is not None and check()):
            raise SetupError(
                f"{self._spec.engine} finds no GPU on {os.uname().nodename} that it can use.",
                "Check its driver, or use --gpu-per-worker 0.",
            )
        finder = SpeakerFinder()
        if self._spec.speakers is not None:
            paths = [Path(path) if path else None for path in self._spec.speakers]
            finder = SpeakerFinder(SpeakerModels(*paths))
            finder.load()
        return SpeakerEngine(cast(type[Engine], engine_class)(self._spec.model), finder)

    def _transcript(self, media: bytes, request: Request) -> Transcript:
        audio = audio_of(media, request)
        assert self._engine is not None
        transcript = self._engine.transcribe(
            audio, parse_options(request["options"]), Event(), lambda seconds: None
        )
        if not isinstance(transcript, Transcript):
            raise TypeError(f"its transcript is a {type(transcript).__name__}")
        return transcript


def load_class(name: str) -> EngineClass:
    """Import the class "module:name" of an engine."""
    module, _, attribute = name.partition(":")
    return cast(EngineClass, getattr(importlib.import_module(module), attribute))


def set_environment(variables: Sequence[tuple[str, str]]) -> None:
    """Set an engine's variables in this process, which has started already.

    The dynamic linker reads LD_LIBRARY_PATH only at the start, so the libraries in it are loaded here.
    """
    for name, value in variables:
        path = value.replace("{site_packages}", sysconfig.get_paths()["purelib"])
        if name != "LD_LIBRARY_PATH":
            os.environ[name] = path
            continue
        for folder in filter(None, path.split(":")):
            for library in sorted(Path(folder).glob("*.so*")):
                with suppress(OSError):  # the engine reports what it does not find
                    ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def missing_packages(requirements: Sequence[str]) -> list[str]:
    """Return those of `requirements` that are not installed here in a version that fits."""
    from packaging.requirements import Requirement

    missing = []
    for text in requirements:
        wanted = Requirement(text)
        try:
            fits = wanted.specifier.contains(version(wanted.name), prereleases=True)
        except PackageNotFoundError:
            fits = False
        if not fits:
            missing.append(text)
    return missing


# --- In the ledger's process -----------------------------------------------------------------------

# A worker is retried as a whole by the pool, which knows what it worked on; Ray restarts nothing by itself.
LOST = (
    ray.exceptions.RayActorError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.LocalRayletDiedError,
)


class ActorHandle:
    """A worker_pool.Worker in an actor of its own, on any machine that has room for it."""

    def __init__(self, spec: WorkerSpec) -> None:
        options = {
            "num_cpus": spec.cpus,
            "num_gpus": spec.gpus,
            "max_concurrency": spec.slots + 1,
            "max_restarts": 0,
            "max_task_retries": 0,
            "scheduling_strategy": "SPREAD",
        }
        if spec.packages:
            options["runtime_env"] = {"pip": list(spec.packages)}
        self._actor = ray.remote(TranscribingActor).options(**options).remote(spec)

    async def load(self) -> HomescribeError | None:
        """As worker_pool.Worker."""
        try:
            with lost_workers():
                content = await self._actor.load.remote(__version__)
        except ray.exceptions.RuntimeEnvSetupError as error:
            reason = (str(error).strip().splitlines() or [""])[-1]  # of a traceback
            return SetupError(
                f"The engine's packages could not be installed on the cluster: {one_line(reason)}",
                "Install them on all of its machines yourself: see the guide to Ray.",
            )
        return None if content is None else decode(content).error

    async def transcribe(self, call: PoolCall) -> Answer:
        """As worker_pool.Worker."""
        with lost_workers():
            content, worn_out = await self._actor.transcribe.remote(
                call.media, call.request, call.id
            )
        return Answer(content, worn_out)

    def end(self) -> None:
        """As worker_pool.Worker."""
        with suppress(ray.exceptions.RayError):
            ray.kill(self._actor)


@contextmanager
def lost_workers() -> Iterator[None]:
    """Raise WorkerLost for what Ray raises when the process or the machine of an actor has ended."""
    try:
        yield
    except ray.exceptions.RuntimeEnvSetupError:
        raise
    except LOST as error:
        raise WorkerLost(text_of(error)) from error
