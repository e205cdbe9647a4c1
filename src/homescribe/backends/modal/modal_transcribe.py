"""The Modal script: one image, one class and one weight fetcher for every engine.

The class loads a model once for each container and transcribes recordings that `backend.py` submits from
the home machine.

    modal run src/homescribe/backends/modal/modal_transcribe.py --path talk.mp3
    modal deploy src/homescribe/backends/modal/modal_transcribe.py

Media is decoded in memory and never written to a container's disk. Whatever fails is a reply, not an
exception (see `worker.py`), so that Modal does not retry it. The first call that starts on a recording
claims it. A second call with the same recording (submitted because the home machine stopped before it had
stored the id of the first) replies with the first call's id and costs next to nothing. Audio and text are
sent to Modal only.
"""

# No `from __future__ import annotations` here: Modal reads the types of class parameters at run time.
import contextlib
import dataclasses
import functools
import hashlib
import importlib
import json
import os
import re
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

import modal

import homescribe
from homescribe import plugins
from homescribe.backends.engine_code import EngineClass, local_package, source_files
from homescribe.backends.modal.claims import Claims, Entries
from homescribe.backends.modal.images import (
    ENGINE,
    ENGINE_CLASS,
    GPU_SNAPSHOTS,
    SPEAKER_LOCK,
    SPEAKERS,
    build_image,
    class_name,
    fetcher_name,
    lock_file,
)
from homescribe.backends.modal.worker import Worker
from homescribe.backends.wire import (
    PlainReply,
    Reply,
    Request,
    describe,
    make_request,
)
from homescribe.core import (
    HOUR,
    MINUTE,
    Audio,
    Engine,
    EngineRequirements,
    Item,
    TranscriptionOptions,
)
from homescribe.cost.prices import (
    DEFAULT_ENGINE,
    DEFAULT_GPU,
    DEFAULT_MODEL,
    MAX_CONTAINERS,
    SCALEDOWN_WINDOW,
    Machine,
    machine,
)
from homescribe.errors import HomescribeError, SetupError, UserError
from homescribe.speakers.speaker_engine import SpeakerEngine
from homescribe.speakers.speaker_finder import SpeakerFinder
from homescribe.speakers.speaker_models import SpeakerModels

NAME = "homescribe"  # of the apps of all versions, before the version
VOLUME = "homescribe-weights"
# Copy the GPU's memory, too, with the loaded model. Modal calls that experimental.
GPU_SNAPSHOT = os.environ.get(GPU_SNAPSHOTS) == "1"


# --- The engines -----------------------------------------------------------------------------------


def installed_engines() -> dict[str, EngineClass]:
    """Return the classes of all engines that are installed on this machine and state their requirements."""
    found = {}
    for engine in plugins.names("engines"):
        try:
            engine_class = cast(EngineClass, plugins.load("engines", engine))
        except HomescribeError:
            continue  # it cannot be loaded; `backend.py` reports the error when the engine is chosen
        if isinstance(getattr(engine_class, "requirements", None), EngineRequirements):
            found[engine] = engine_class
    return found


def fingerprint(engine_classes: Mapping[str, EngineClass]) -> str:
    """Return a name for what is deployed. It changes with the code and with an engine's requirements."""
    digest = hashlib.sha256(str(GPU_SNAPSHOT).encode())
    digest.update(lock_file(SPEAKER_LOCK).read_bytes())
    packages = ["homescribe"]
    for engine, engine_class in engine_classes.items():
        needs = engine_class.requirements
        values = [getattr(needs, field.name) for field in dataclasses.fields(needs)]
        plain = [value for value in values if not callable(value)]
        digest.update(json.dumps([engine, plain], default=dict).encode())
        if lock_file(engine).exists():
            digest.update(lock_file(engine).read_bytes())
        if own_package := local_package(engine_class):
            packages.append(own_package)
    for package in packages:
        for name, content in source_files(package):
            digest.update(name.encode() + content)
    return f"{homescribe.__version__}-{digest.hexdigest()[:12]}"


# By name. A container has only its own engine, which it imports when it loads a model.
ENGINES = installed_engines() if modal.is_local() else {}
FINGERPRINT = fingerprint(ENGINES) if modal.is_local() else ""
# Of this version, so that machines with different versions do not replace each other's app.
APP = re.sub(r"[^a-zA-Z0-9._-]", "-", f"{NAME}-{FINGERPRINT}") if modal.is_local() else NAME

app = modal.App(
    APP, tags={"fingerprint": FINGERPRINT} if modal.is_local() else {}, include_source=False
)
weights = modal.Volume.from_name(VOLUME, create_if_missing=True)
# Which call has claimed which recording: see `claims.py`.
notes = modal.Dict.from_name("homescribe-notes", create_if_missing=True)
claims = Claims(cast(Entries, notes))

# --- One image for each engine ---------------------------------------------------------------------

WEIGHTS = Path(os.environ.get("HOMESCRIBE_WEIGHTS", "/weights"))  # where the volume is mounted


# --- Download weights, once for all containers -----------------------------------------------------

# One container without a GPU: no GPU is paid for while gigabytes arrive, and no two containers write the
# same files.
fetching = functools.partial(
    app.function,
    volumes={str(WEIGHTS): weights},
    max_containers=1,
    cpu=1.0,
    memory=1024,  # MiB
    timeout=int(HOUR),
    scaledown_window=2,  # seconds, the least that Modal accepts
    include_source=False,
)


def fetch_weights(engine: str, model: str) -> None:
    """Put the weights of `model` into the volume, by the engine's own download.

    They are downloaded under another name and renamed when they are complete. Only our own errors are
    raised, which the home machine can read.
    """
    place = weights_of(engine, model)
    if not place.exists():
        draft = place.with_name(place.name + ".part")
        draft.mkdir(parents=True, exist_ok=True)
        try:
            load_class().requirements.download(model, draft)
        except HomescribeError:
            raise
        except Exception as error:  # noqa: BLE001 - the home machine may not have the error's class
            raise SetupError(
                f"The weights of {model} could not be downloaded: {describe(error)}",
                "Try again later.",
            ) from None
        draft.replace(place)
        weights.commit()


def weights_of(engine: str, model: str) -> Path:
    """Return the folder of a model in the volume."""
    return WEIGHTS / engine / model.replace("/", "--")


def speaker_model(sha256: str) -> Path:
    """Return the path in the volume of a model that tells speakers apart, by its hash."""
    return WEIGHTS / "speakers" / f"{sha256}.onnx"


def load_class() -> EngineClass:
    """Import the class of this container's engine."""
    module, _, name = os.environ[ENGINE_CLASS].partition(":")
    return cast(EngineClass, getattr(importlib.import_module(module), name))


# --- Transcribe in a container ---------------------------------------------------------------------

# The longest that one call may take: twelve hours of audio at the slowest GPU's speed, twice over. With
# openai-whisper on a CPU it is about an hour of audio with large-v3, an hour and a half with turbo.
TIMEOUT = 2 * HOUR
# Loading the largest model from the volume takes about a minute.
STARTUP_TIMEOUT = 10 * MINUTE
transcribing = functools.partial(
    app.cls,
    volumes={str(WEIGHTS): weights},
    timeout=int(TIMEOUT),
    startup_timeout=int(STARTUP_TIMEOUT),
    scaledown_window=int(SCALEDOWN_WINDOW),
    max_containers=MAX_CONTAINERS,
    retries=0,  # a failed recording is a reply; Modal restarts a preempted one by itself
    # Modal copies the memory of a container once its libraries are imported, and starts others from the copy.
    enable_memory_snapshot=True,
    experimental_options={"enable_gpu_snapshot": True} if GPU_SNAPSHOT else {},
    include_source=False,
)


@dataclass(frozen=True, slots=True)
class Service:
    """An engine as it is declared to Modal."""

    transcriber: modal.Cls
    fetcher: modal.Function[[str], None, None]


services: dict[str, Service] = {}
with_speakers: dict[str, modal.Cls] = {}  # the classes of engines that also tell speakers apart


def declare_once(engine: str, *, speakers: bool = False) -> None:
    """Declare an engine unless it is declared already.

    Args:
        speakers: declare its class with speakers as well.
    """
    if engine not in services:
        declare_engine(engine, ENGINES[engine])
    if speakers and engine not in with_speakers:
        declare_with_speakers(engine, ENGINES[engine])


def declare_engine(engine: str, engine_class: EngineClass) -> None:
    """Declare the image, the class and the weight fetcher of an engine."""
    image = build_image(engine, engine_class)
    if not __package__:  # `modal run FILE`: the module has no package to come with
        image = image.add_local_file(__file__, f"/root/{Path(__file__).name}")
    services[engine] = declare(engine, image, engine_class.requirements.slots)


def declare_with_speakers(engine: str, engine_class: EngineClass) -> None:
    """Declare the image and the class of an engine with what tells speakers apart."""
    image = build_image(engine, engine_class, speakers=True)
    slots = engine_class.requirements.slots
    with_speakers[engine] = declare_class(engine, image, slots, speakers=True)


def declare(engine: str, image: modal.Image, slots: int) -> Service:
    """Declare the class and the weight fetcher of an engine.

    A container finds them as globals of this module, under names that follow from the engine's name.
    """

    def fetch(model: str) -> None:
        fetch_weights(engine, model)

    fetch.__name__ = fetch.__qualname__ = fetcher_name(engine)
    fetcher: modal.Function[[str], None, None] = fetching(image=image)(fetch)
    globals()[fetcher_name(engine)] = fetcher
    return Service(declare_class(engine, image, slots), fetcher)


def declare_class(
    engine: str, image: modal.Image, slots: int, *, speakers: bool = False
) -> modal.Cls:
    """Declare the class of an engine."""

    class Transcriber:
        """A model of the engine, loaded once for each container."""

        model: str = modal.parameter()
        # Hashes of the two models that tell speakers apart, "HASH,HASH"; "" without them.
        speakers: str = modal.parameter(default="")

        @modal.enter(snap=True)
        def prepare(self) -> None:
            """Do what a copy of the container's memory saves the next container from doing."""
            import_libraries()
            self.loaded = keep_if_loaded(self._load()) if GPU_SNAPSHOT else None

        @modal.enter()
        def load(self) -> None:
            """Load the model."""
            self.worker = self.loaded or self._load()
            self.worker.start()

        def _load(self) -> Worker:
            return Worker(
                engine,
                self.model,
                claims,
                lambda: load_engine(engine, self.model, self.speakers),
                gpu_available,
            )

        @modal.method()
        def transcribe(self, media: bytes, request: Request) -> PlainReply:
            """Transcribe one recording; see `Worker.answer`."""
            return self.worker.answer(media, request)

    name = class_name(engine, speakers=speakers)
    Transcriber.__name__ = Transcriber.__qualname__ = name
    # Modal's decorators return other types than they are annotated with.
    transcriber = cast(
        modal.Cls, transcribing(image=image)(modal.concurrent(max_inputs=slots)(Transcriber))
    )
    globals()[name] = transcriber
    return transcriber


class Hardware(TypedDict, total=False):
    """Arguments of `with_options`."""

    # Physical cores, least and most. Modal bills what is used beyond the least.
    cpu: tuple[float, float]
    memory: int  # MiB
    gpu: str


def hardware(rented: Machine) -> Hardware:
    """Return the arguments of `with_options` for a machine. Cores and memory: see prices.MACHINES."""
    options = Hardware(cpu=(rented.cores, rented.cores), memory=rented.memory * 1024)
    if rented.gpu != "CPU":
        options["gpu"] = rented.gpu
    return options


def keep_if_loaded(worker: Worker) -> Worker | None:
    """Return what a copy of the memory should have: no failed load, which another container may not have."""
    return worker if worker.loaded else None


def import_libraries() -> None:
    """Import the modules that the engine states, before the memory of the container is copied."""
    with contextlib.suppress(Exception):  # loading the model fails in the same way, and is reported
        for module in load_class().requirements.imports:
            importlib.import_module(module)


def load_engine(engine: str, model: str, speakers: str = "") -> Engine:
    """Load `model` from the volume. What the engine raises is raised; see Worker.

    Args:
        speakers: hashes of the models that tell speakers apart; "" for none.
    """
    finder = SpeakerFinder()
    if speakers:
        with contextlib.suppress(Exception):  # they may be there all the same
            weights.reload()
        finder = SpeakerFinder(SpeakerModels(*map(speaker_model, speakers.split(","))))
        finder.load()
    return SpeakerEngine(_load_model(engine, model), finder)


def _load_model(engine: str, model: str) -> Engine:
    if model == "demo":
        return cast(type[Engine], load_class())(model)
    place = weights_of(engine, model)
    not_reloaded: Exception | None = None
    try:
        weights.reload()
    except Exception as error:  # noqa: BLE001 - the weights may be there all the same
        not_reloaded = error
    if not place.exists():
        why = f" ({describe(not_reloaded)})" if not_reloaded else ""
        raise SetupError(f"The weights of {model} are not in the volume{why}.", "Run it again.")
    return cast(type[Engine], load_class())(str(place))


def gpu_available() -> bool:
    """Return whether the engine finds a CUDA device. A rented GPU costs the same when it is not used."""
    check = load_class().requirements.gpu_available
    return check is not None and check()


if modal.is_local():
    # `modal run FILE` may name any engine; `deployment.py` adds those that are requested.
    for name in ENGINES:
        if name == DEFAULT_ENGINE or not __package__:
            declare_once(name)
elif os.environ.get(SPEAKERS) == "1":
    declare_class(os.environ[ENGINE], modal.Image.debian_slim(), slots=1, speakers=True)
else:  # the server has the definition; a container only looks up the names
    declare(os.environ[ENGINE], modal.Image.debian_slim(), slots=1)


@app.local_entrypoint()
def main(
    path: str, engine: str = DEFAULT_ENGINE, model: str = DEFAULT_MODEL, gpu: str = DEFAULT_GPU
) -> None:
    """Transcribe one file at Modal and print its text, without a library."""
    try:
        print(transcribe_file(Path(path), engine, model, gpu))  # noqa: T201 - `modal run` shows it
    except HomescribeError as error:
        sys.exit(f"{error.message} {error.hint}".strip())
    except OSError as error:
        sys.exit(f"Cannot read {path}: {error.strerror}.")


def transcribe_file(path: Path, engine: str, model: str, gpu: str) -> str:
    """Return the text of one file, transcribed at Modal."""
    rented = machine(gpu)
    if engine not in services:
        raise UserError(f"The engine {engine!r} cannot run at Modal.")
    media = path.read_bytes()
    # A new key every time: there is no library here that could follow an earlier call.
    item = Item("file", uuid.uuid4().hex, url=str(path), title=path.name)
    audio = Audio(item, path, temporary=False)
    service = services[engine]
    if model != "demo":
        service.fetcher.remote(model)
    remote = service.transcriber.with_options(**hardware(rented))(model=model)
    request = make_request(audio, media, TranscriptionOptions(), rented.gpu, engine, model)
    reply = Reply.parse(remote.transcribe.remote(media, request))
    if reply.error is not None:
        raise reply.error
    assert reply.transcript is not None
    return reply.transcript.text
