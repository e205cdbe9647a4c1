"""Engines of other packages at Modal: built from what they state, against the stand-in."""

import functools
import hashlib
import http.server
import json
import threading

import pytest

from command_line import CommandLine, install_package
from homescribe import demo, plugins
from homescribe.backends import engine_code
from homescribe.backends.modal import images, modal_transcribe
from homescribe.core import Audio, EngineRequirements, Item, TranscriptionOptions
from homescribe.errors import SetupError
from modal_standin import Standin

COUNTER = """
import os
from pathlib import Path

from homescribe.audio import decode
from homescribe.core import EngineRequirements, Segment, Transcript

def download(model, folder):
    (folder / "unit.txt").write_text(model)

class Counter:
    # Transcribes a recording as its length, in the unit that its weights name.
    name, slots = "acme-counter", 1
    requirements = EngineRequirements(
        packages=("av==18.1.0", "numpy==2.4.6"),
        languages=("en",),
        download=download,
        environment={"ACME_PREFIX": "Exactly"},
    )

    def __init__(self, model):
        self.unit = Path(model, "unit.txt").read_text()
        self.model = model

    def transcribe(self, audio, options, stop, progress):
        seconds = len(decode(audio.media)) / 16000
        text = f" {os.environ['ACME_PREFIX']} {seconds:.0f} {self.unit}."
        return Transcript(self.name, self.model, "en", seconds, (Segment(0.0, seconds, text),))

    def close(self):
        pass

class Plain:
    name, slots = "acme-plain", 1
"""


@pytest.fixture
def package(tmp_path):
    """The installed package `acme`, as pip would leave it. Only the home machine has it on its path."""
    folder = tmp_path / "site-packages"
    engines = {"acme-counter": "acme.counter:Counter", "acme-plain": "acme.counter:Plain"}
    files = {"acme/__init__.py": "", "acme/counter.py": COUNTER}
    install_package(folder, "acme-engines", files, {"homescribe.engines": engines})
    return folder


@pytest.fixture
def homescribe(package, tmp_path):
    """Runs commands on Modal's stand-in (`standin`), with the package installed."""
    (tmp_path / "weights").mkdir()
    variables = {"OMP_NUM_THREADS": "1", "HOMESCRIBE_WEIGHTS": str(tmp_path / "weights")}
    with Standin(max_containers=1, grace=0.5, container_env=variables) as standin:
        command_line = CommandLine(
            tmp_path,
            {**standin.environment(), "PYTHONPATH": str(package)},
            backend="modal",
            engine="acme-counter",
            model="seconds",
            gpu="CPU",
        )
        command_line.standin = standin
        yield command_line


@pytest.mark.containers
def test_an_engine_of_another_package_runs_at_modal(homescribe, package):
    homescribe.run("add", str(demo.samples() / "fox-20s.mp3"))
    code, _, err = homescribe.run("run")
    assert code == 0, err
    code, out, _ = homescribe.run("search", "Exactly", "--json")
    assert "Exactly 19 seconds." in json.loads(out)[0]["text"]

    images_built = homescribe.standin.control.images.values()
    commands = [line for image in images_built for line in image.dockerfile_commands]
    assert "Exactly" in "".join(line for line in commands if "ACME_PREFIX" in line)
    assert any("av==18.1.0" in line and "faster-whisper" not in line for line in commands)

    # What the engine states is part of what is deployed.
    assert "next run deploys" not in homescribe.run("modal", "status")[1]
    changed = COUNTER.replace("Exactly", "About")
    (package / "acme" / "counter.py").write_text(changed)
    assert "next run deploys" in homescribe.run("modal", "status")[1]


@pytest.mark.containers
def test_what_an_engine_cannot_do_is_refused_before_anything_is_sent(homescribe):
    homescribe.run("add", str(demo.samples() / "fox-20s.mp3"))
    for arguments, message in (
        (("--engine", "acme-plain"), "The engine 'acme-plain' states no requirements"),
        (("--gpu", "A10"), "The engine 'acme-counter' does not use a GPU."),
        (("--language", "de"), "The engine 'acme-counter' knows no language 'de'."),
        (("--task", "translate"), "The engine 'acme-counter' cannot translate."),
    ):
        code, _, err = homescribe.run("run", *arguments)
        assert code == 2, err
        assert message in err
        assert "Traceback" not in err
    called = {call.function.name for call in homescribe.standin.calls()}
    assert called <= {"download_acme_counter"}


def test_a_package_that_pip_installs_is_not_sent_from_this_machine(monkeypatch, package):
    monkeypatch.syspath_prepend(package)

    class Engine:
        requirements = EngineRequirements(("Acme.Engines==1.0",), ("en",), lambda *_: None)

    Engine.__module__ = "acme.counter"
    assert engine_code.local_package(Engine) is None
    Engine.requirements = EngineRequirements(("numpy==2.4.6",), ("en",), lambda *_: None)
    assert engine_code.local_package(Engine) == "acme"
    Engine.__module__ = "homescribe.engines.faster_whisper"
    assert engine_code.local_package(Engine) is None


def test_every_engine_has_a_class_name_of_its_own_at_modal():
    names = [
        "faster-whisper",
        "faster_whisper",
        "faster.whisper",
        "faster whisper",
        "fasterwhisper",
    ]
    spelled = [images.class_name(name) for name in names]
    assert spelled[0] == "transcribe_faster_whisper"
    assert len(set(spelled)) == len(names)
    assert all(name.isidentifier() for name in spelled)


def test_the_fingerprint_changes_with_every_stated_requirement():
    stated = {
        "packages": ("numpy==2.4.6",),
        "languages": ("en",),
        "download": print,
        "tasks": ("transcribe",),
        "gpu_packages": (),
        "environment": {},
        "slots": 1,
    }
    changes = {
        "packages": ("numpy==2.4.7",),
        "languages": ("en", "de"),
        "tasks": ("transcribe", "translate"),
        "gpu_packages": ("nvidia-cublas-cu12==12.9.1.4",),
        "environment": {"LD_LIBRARY_PATH": "/lib"},
        "slots": 2,
    }

    def fingerprint(**changed):
        requirements = EngineRequirements(**{**stated, **changed})
        engine_class = type("Engine", (), {"requirements": requirements})
        engine_class.__module__ = "homescribe.engines.faster_whisper"
        return modal_transcribe.fingerprint({"an-engine": engine_class})

    found = {fingerprint(**{name: value}) for name, value in changes.items()}
    assert len({fingerprint(), *found}) == len(changes) + 1
    assert fingerprint() == fingerprint(download=len)  # its code is part of the package


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # whisper leaves it open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_openai_whispers_weights_are_downloaded_checked_and_loaded(tmp_path, monkeypatch):
    import whisper

    published = demo.model("openai-whisper")
    sha256 = hashlib.sha256(published.read_bytes()).hexdigest()
    for name, content in ((sha256, published.read_bytes()), ("0" * 64, b"damaged")):
        (tmp_path / "hub" / name).mkdir(parents=True)
        (tmp_path / "hub" / name / "tiny.en.pt").write_bytes(content)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0),
        functools.partial(QuietHandler, directory=tmp_path / "hub"),
    )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    requirements = plugins.load("engines", "openai-whisper").requirements
    folder = tmp_path / "weights"
    folder.mkdir()
    try:
        monkeypatch.setitem(whisper._MODELS, "tiny.en", f"{address}/{'0' * 64}/tiny.en.pt")
        with pytest.raises(SetupError, match="could not be downloaded"):
            requirements.download("tiny.en", folder)
        monkeypatch.setitem(whisper._MODELS, "tiny.en", f"{address}/{sha256}/tiny.en.pt")
        with pytest.warns(UserWarning, match="checksum"):  # what the first try left is replaced
            requirements.download("tiny.en", folder)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    path = demo.samples() / "fox-20s.mp3"
    audio = Audio(Item("file", "fox", url="", title=""), path)
    engine = plugins.load("engines", "openai-whisper")(str(folder))
    text = engine.transcribe(audio, TranscriptionOptions(), threading.Event(), print).text
    engine.close()
    assert "quick brown fox" in text


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass
