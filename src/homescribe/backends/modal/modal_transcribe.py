"""The Modal script: home downloads, a rented GPU transcribes, the text comes home.

This is what Modal runs: two images, a volume of weights, and a class that loads a model once for each
container. `modal_backend` calls it from home.

    modal run src/homescribe/backends/modal/modal_transcribe.py --path talk.mp3
    modal deploy src/homescribe/backends/modal/modal_transcribe.py

Media is decoded in memory; nothing touches a container's disk. A recording that fails is a reply, not an
exception, so that Modal has nothing to retry. Each recording is claimed by the first call that starts on it;
a second call with the same recording (the home machine died before it could note the first) is told whose it
is and costs nothing. Audio and text go to Modal and nowhere else.
"""

# No `from __future__ import annotations` here: Modal reads the types of class parameters as they stand.
import dataclasses
import hashlib
import json
import os
import time
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any, Literal

import modal
import modal.experimental

import homescribe
from homescribe import plugins
from homescribe.backends.modal.wire import Reply, make_request, one_line
from homescribe.core import HOUR, MINUTE, Audio, Engine, Item, TranscriptionOptions
from homescribe.cost.prices import DEFAULT_GPU, MAX_CONTAINERS, SCALEDOWN_WINDOW, Machine, machine
from homescribe.errors import HomescribeError, RetryableError, SetupError, UserError

APP = "homescribe"


def process_age() -> float:
    """Seconds since this process began, which were paid for: Python's own start is among them."""
    try:
        since_boot = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return time.clock_gettime(time.CLOCK_BOOTTIME) - since_boot / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, IndexError, ValueError):
        return 0.0  # not Linux, or a sandbox without /proc


STARTED = time.monotonic() - process_age()

# --- Build the images ------------------------------------------------------------------------------

# Exact versions: an image built next month is the image that was tested. torch and CTranslate2 want
# different CUDA libraries, so each engine has an image of its own.
COMMON = (
    "av==18.1.0",
    "numpy==2.4.6",
    "faster-whisper==1.2.1",
    "ctranslate2==4.8.5",
    "huggingface_hub==2.4.0",
    "onnxruntime==1.32.0",
    "tokenizers==0.23.3",
)
# CTranslate2 needs no cuDNN since 4.6.3, only cuBLAS for CUDA 12, which no torch brings along here.
LIGHT_GPU = ("nvidia-cublas-cu12==12.9.1.4",)
# faster-whisper is here for its speech detector alone.
TORCH = ("openai-whisper==20250625", "torch==2.13.0", "numba==0.68.1", "tiktoken==0.14.0")

PYTHON = "3.12"
CUBLAS = f"/usr/local/lib/python{PYTHON}/site-packages/nvidia/cublas/lib"
WEIGHTS = Path(os.environ.get("HOMESCRIBE_WEIGHTS", "/weights"))  # where the volume is mounted


def with_our_code(image: modal.Image) -> modal.Image:
    """`image` and, last so that a change does not rebuild it, this package; this file too when run alone."""
    # Python that nobody imports there does no harm; samples and pages would only take time to upload.
    image = image.add_local_python_source(
        "homescribe", ignore=["demo/samples", "web", "**/__pycache__"]
    )
    alone = not __package__  # `modal run FILE`: the module has no package to come with
    return image.add_local_file(__file__, f"/root/{Path(__file__).name}") if alone else image


slim = modal.Image.debian_slim(python_version=PYTHON)
light_image = with_our_code(
    slim.uv_pip_install(*COMMON, *LIGHT_GPU).env({"LD_LIBRARY_PATH": CUBLAS})
)
torch_image = with_our_code(slim.uv_pip_install(*COMMON, *TORCH))


def fingerprint() -> str:
    """Names what a deployment contains: a change of this package's code is a new one."""
    package = Path(homescribe.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return f"{homescribe.__version__}-{digest.hexdigest()[:12]}"


app = modal.App(
    APP, tags={"fingerprint": fingerprint()} if modal.is_local() else {}, include_source=False
)
weights = modal.Volume.from_name("homescribe-weights", create_if_missing=True)
# Which call has started on which recording, and which weights are in the volume. Modal forgets an entry
# after seven days, as it does results.
notes = modal.Dict.from_name("homescribe-notes", create_if_missing=True)

# --- Fetch weights, once for everybody -------------------------------------------------------------

# A container without a GPU, one at a time: no GPU is paid for while gigabytes arrive, and no two
# containers write to one cold cache.
FETCHING: dict[str, Any] = {
    "volumes": {str(WEIGHTS): weights},
    "max_containers": 1,
    "cpu": 1.0,
    "memory": 1024,  # MiB
    "timeout": int(HOUR),
    "scaledown_window": 2,  # seconds, the least there is
    "include_source": False,
}
CHUNK = 1 << 20  # bytes


@app.function(image=light_image, **FETCHING)
def fetch_light(engine: str, model: str) -> None:
    """Bring the weights of `model` into the volume, for engines of the light image."""
    fetch_weights(engine, model)


@app.function(image=torch_image, **FETCHING)
def fetch_torch(engine: str, model: str) -> None:
    """Bring the weights of `model` into the volume, for engines of the torch image."""
    fetch_weights(engine, model)


def fetch_weights(engine: str, model: str) -> None:
    """Download what the publisher offers as `model`, check every hash, and only then give it its name.

    Raises UserError for an unknown model, SetupError when it cannot be had or is not what was published.
    """
    place = weights_of(engine, model)
    if not place.exists():
        draft = place.with_name(place.name + ".part")
        for file in published(engine, model):
            name = draft / file.name if file.name else draft
            download(file, name)
        draft.replace(place)
        weights.commit()
    notes.put(f"weights {engine} {model}", True)


def weights_of(engine: str, model: str) -> Path:
    """Where the volume holds a model: a folder for faster-whisper, one file for openai-whisper."""
    name = model.replace("/", "--")
    return WEIGHTS / engine / (f"{name}.pt" if engine == "openai-whisper" else name)


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file as its publisher describes it. `name` is "" when it is the whole model."""

    name: str
    url: str
    algorithm: Literal["sha256", "git"]
    digest: str


def published(engine: str, model: str) -> list[PublishedFile]:
    """The files of a model, with the hashes that their publisher gives."""
    if engine == "openai-whisper":
        from whisper import _MODELS

        if model not in _MODELS:
            raise UserError(f"openai-whisper has no model named {model!r}.")
        # OpenAI puts the sha256 into the address: .../models/<sha256>/<name>.pt
        url = _MODELS[model]
        return [PublishedFile("", url, "sha256", url.split("/")[-2])]
    from faster_whisper.utils import _MODELS as REPOSITORIES

    repository = REPOSITORIES.get(model, model)
    if "/" not in repository:
        raise UserError(f"faster-whisper has no model named {model!r}.")
    return _repository_files(repository)


def _repository_files(repository: str) -> list[PublishedFile]:
    """The files of a Hugging Face repository at its present commit.

    https://huggingface.co/docs/hub/api: large files come with their sha256, small ones with git's hash.
    """
    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        with urllib.request.urlopen(f"{hub}/api/models/{repository}?blobs=true") as answer:
            described = json.load(answer)
    except OSError as error:
        raise SetupError(
            f"The model {repository} cannot be found at {hub}: {error}.", "Check its name."
        ) from error
    return [
        PublishedFile(
            name=file["rfilename"],
            url=f"{hub}/{repository}/resolve/{described['sha']}/{file['rfilename']}",
            algorithm="sha256" if "lfs" in file else "git",
            digest=file["lfs"]["sha256"] if "lfs" in file else file["blobId"],
        )
        for file in described["siblings"]
        if "/" not in file["rfilename"] and not file["rfilename"].startswith(".")
    ]


def download(file: PublishedFile, place: Path) -> None:
    """`file` at `place`, or SetupError when its content is not what was published."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with urllib.request.urlopen(file.url) as answer, place.open("wb") as written:
            digest = hashlib.sha256()
            if file.algorithm == "git":
                digest = hashlib.sha1(f"blob {answer.headers['Content-Length']}\0".encode())
            while chunk := answer.read(CHUNK):
                digest.update(chunk)
                written.write(chunk)
    except OSError as error:
        raise SetupError(
            f"The weights at {file.url} cannot be downloaded: {error}.", "Try again later."
        ) from error
    if digest.hexdigest() != file.digest:
        place.unlink()
        raise SetupError(
            f"The weights at {file.url} are not what their publisher describes.", "Try again later."
        )


# --- Transcribe in a container ---------------------------------------------------------------------

# Recordings that one container works on at a time: while one is decoded and searched for speech, others
# keep the GPU busy. The batch engine puts all of them into the same batches.
INPUTS = {"faster-whisper": 4, "openai-whisper": 8}
# A result later than this is no result: twelve hours of audio at the slowest GPU's speed, twice over.
TIMEOUT = 2 * HOUR
# Loading the largest model from the volume takes about a minute.
STARTUP_TIMEOUT = 10 * MINUTE
# Containers in which one recording may begin. Preemption takes a container now and then; a recording that
# has seen two of them end is sent home, whatever Modal would go on to do with it.
MAX_ATTEMPTS = 2

RENTED: dict[str, Any] = {
    "volumes": {str(WEIGHTS): weights},
    "timeout": int(TIMEOUT),
    "startup_timeout": int(STARTUP_TIMEOUT),
    "scaledown_window": int(SCALEDOWN_WINDOW),
    "max_containers": MAX_CONTAINERS,
    "retries": 0,  # a failed recording is a reply; what Modal lost by preemption it restarts by itself
    "include_source": False,
}


@app.cls(image=light_image, **RENTED)
@modal.concurrent(max_inputs=INPUTS["faster-whisper"])
class Light:
    """Engines that need no torch."""

    engine: str = modal.parameter()
    model: str = modal.parameter()

    @modal.enter()
    def load(self) -> None:
        """Once for each container."""
        self.worker = Worker(self.engine, self.model)

    @modal.method()
    def transcribe(self, media: bytes, request: dict[str, Any]) -> dict[str, Any]:
        """See Worker.answer."""
        return self.worker.answer(media, request)


@app.cls(image=torch_image, **RENTED)
@modal.concurrent(max_inputs=INPUTS["openai-whisper"])
class Torch:
    """Engines that run on torch."""

    engine: str = modal.parameter()
    model: str = modal.parameter()

    @modal.enter()
    def load(self) -> None:
        """Once for each container."""
        self.worker = Worker(self.engine, self.model)

    @modal.method()
    def transcribe(self, media: bytes, request: dict[str, Any]) -> dict[str, Any]:
        """See Worker.answer."""
        return self.worker.answer(media, request)


def hardware(rented: Machine) -> dict[str, Any]:
    """`with_options` for a machine. Cores and memory feed the GPU: see money.MACHINES."""
    options: dict[str, Any] = {"cpu": rented.cores, "memory": rented.memory * 1024}
    return options if rented.gpu == "CPU" else {**options, "gpu": rented.gpu}


# The names under which a deployed app is looked up, by engine.
CLASSES = {"faster-whisper": "Light", "openai-whisper": "Torch"}
FETCHERS = {"Light": "fetch_light", "Torch": "fetch_torch"}


class Worker:
    """A loaded model and the meter that runs beside it."""

    def __init__(self, engine: str, model: str) -> None:
        self._meter = Meter(STARTED)
        self._model = model
        self._engine = load_engine(engine, model)
        self._engine_name = engine

    def answer(self, media: bytes, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to one recording, as `Reply.plain`. Raises nothing: whatever fails is in it."""
        call, token = modal.current_function_call_id() or "", request["token"]
        overhead, first = self._meter.begin(call)
        try:
            reply = self._claimed(call, token) or self._transcribe(media, request)
        finally:
            seconds = self._meter.end(call)
        if reply.error is not None and not reply.claimed_by:
            notes.pop(token, None)  # it may be tried again
        return dataclasses.replace(
            reply,
            gpu_seconds=seconds,
            overhead_seconds=overhead,
            first=first,
            container=os.environ.get("MODAL_TASK_ID", ""),
        ).plain()

    def _claimed(self, call: str, token: str) -> Reply | None:
        """None when this call is the one to transcribe, else a reply that says why not."""
        if notes.put(token, [call, 1], skip_if_exists=True):
            return None
        owner, attempts = notes.get(token, [call, 0])
        if owner != call:
            return Reply(claimed_by=owner)
        if attempts >= MAX_ATTEMPTS:
            words = f"{attempts} containers ended while they worked on it."
            return Reply(error=RetryableError(words), died=True)
        notes.put(token, [call, attempts + 1])
        return None

    def _transcribe(self, media: bytes, request: dict[str, Any]) -> Reply:
        source, _, name = request["key"].partition(":")
        audio = Audio(
            Item(source, name, url="", title=""),
            Path(request["key"]),
            duration=request["duration"],
            data=media,
        )
        options = TranscriptionOptions(
            **{**request["options"], "temperature": tuple(request["options"]["temperature"])}
        )
        try:
            if request["gpu"] != "CPU" and not sees_gpu(self._engine_name):
                raise SetupError(
                    f"The container has no {request['gpu']} that {self._engine_name} can use.",
                    "Nothing was transcribed at the price of a GPU. Report it with `modal app logs`.",
                )
            transcript = self._engine.transcribe(audio, options, Event(), lambda seconds: None)
        except HomescribeError as error:
            return Reply(error=error)
        except Exception as error:  # noqa: BLE001 - one recording must not end the others' container unseen
            # CUDA errors poison the process: what comes next would fail for no fault of its own.
            modal.experimental.stop_fetching_inputs()
            words = f"The engine broke on it: {type(error).__name__}: {one_line(str(error))}"
            return Reply(error=RetryableError(words), died=True)
        return Reply(transcript=dataclasses.replace(transcript, model=self._model))


def load_engine(engine: str, model: str) -> Engine:
    """The engine with its weights from the volume. Only errors of ours come out, for they travel home."""
    name = model
    if model != "demo":
        weights.reload()
        place = weights_of(engine, model)
        if not place.exists():
            raise SetupError(f"The weights of {model} are not in the volume.", "Run it again.")
        name = str(place)
    try:
        loaded: Engine = plugins.load("engines", engine)(name)
        return loaded
    except HomescribeError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, home must be able to read it
        words = f"{engine} cannot load {model}: {type(error).__name__}: {one_line(str(error))}"
        raise SetupError(words, "See `modal app logs homescribe`.") from None


def sees_gpu(engine: str) -> bool:
    """Whether the engine's library finds a CUDA device; a rented GPU that it does not use costs the same."""
    if engine == "openai-whisper":
        import torch

        return bool(torch.cuda.is_available())
    import ctranslate2

    return bool(ctranslate2.get_cuda_device_count())


class Meter:
    """Divides the seconds of a container among the calls that it worked on.

    Seconds with several calls at work are shared equally; seconds with none (boot, load, waiting) go to
    the call that begins next. So the sum over calls is the container's whole time up to the last result.
    """

    def __init__(self, started: float) -> None:
        self._lock = Lock()
        self._at = started
        self._idle = 0.0
        self._shares: dict[str, float] = {}
        self._calls = 0

    def begin(self, call: str) -> tuple[float, bool]:
        """Seconds that nobody worked before `call`, and whether it is this container's first."""
        with self._lock:
            self._advance()
            overhead, self._idle = self._idle, 0.0
            self._shares[call] = 0.0
            self._calls += 1
            return overhead, self._calls == 1

    def end(self, call: str) -> float:
        """The seconds that fell to `call`."""
        with self._lock:
            self._advance()
            return self._shares.pop(call)

    def _advance(self) -> None:
        now = time.monotonic()
        elapsed, self._at = now - self._at, now
        for call in self._shares:
            self._shares[call] += elapsed / len(self._shares)
        if not self._shares:
            self._idle += elapsed


@app.local_entrypoint()
def main(
    path: str, engine: str = "faster-whisper", model: str = "turbo", gpu: str = DEFAULT_GPU
) -> None:
    """Transcribe one file and print its text: the cloud half alone, without a library."""
    media = Path(path).read_bytes()
    # Every time anew: there is no library here that could follow an earlier call.
    item = Item("file", uuid.uuid4().hex, url=path, title=Path(path).name)
    rented = machine(gpu)
    if model != "demo":
        {"Light": fetch_light, "Torch": fetch_torch}[CLASSES[engine]].remote(engine, model)
    service: Any = {"Light": Light, "Torch": Torch}[CLASSES[engine]]
    remote = service.with_options(**hardware(rented))
    request = make_request(item, media, None, TranscriptionOptions(), rented.gpu, engine, model)
    reply = Reply.parse(remote(engine=engine, model=model).transcribe.remote(media, request))
    if reply.error is not None:
        raise reply.error
    assert reply.transcript is not None
    print(reply.transcript.text)  # noqa: T201 - `modal run` shows what it prints
