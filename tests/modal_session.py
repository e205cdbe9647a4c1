"""Sessions at the stand-in for Modal: fixtures (for conftest.py), recordings, an engine that fails."""

import contextlib
import dataclasses
import hashlib
import http.server
import json
import threading
from pathlib import Path

import pytest

from homescribe import demo
from homescribe.core import Audio, Item, TranscriptionOptions

GO = threading.Event()  # never set: these runs are not stopped

# An engine of another package that does what its media says: it crashes, fails, or waits.
STUMBLING = """
import builtins, os, pathlib, time
from homescribe.core import EngineRequirements, Segment, Transcript
from homescribe.errors import UserError

class Stumbling:
    name, slots = "stumbling", 1
    requirements = EngineRequirements(
        packages=(), languages=("en",), download=lambda model, folder: (folder / model).touch(), slots=4
    )
    def __init__(self, model):
        self.model = model
        mark = pathlib.Path(os.environ["HOMESCRIBE_WEIGHTS"], "failed-once")
        if "fails-once" in model and not mark.exists():
            mark.touch()
            raise OSError("a bad disk")
    def transcribe(self, audio, options, stop, progress):
        what = audio.media.decode()
        if what.startswith("die"):
            os.kill(os.getpid(), 9)
        if what.startswith("once"):
            mark = pathlib.Path(os.environ["HOMESCRIBE_WEIGHTS"], what)
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), 9)
        if what.startswith("memory"):
            raise UserError("The GPU is out of memory.", "Take a larger one.")
        if what.startswith("break"):
            raise RuntimeError("CUDA error: an illegal memory access")
        if what.startswith("raise"):
            raise getattr(builtins, what.split()[1])("of the engine")
        if what.startswith("sleep"):
            time.sleep(60)
        segment = Segment(0.0, 1.0, f" {os.getpid()}" + "x" * 3_000_000 * what.startswith("large"))
        return Transcript(self.name, self.model, "en", 60.0, (segment,))
    def close(self):
        pass
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the package of the stumbling engine, and the folder that containers use as the volume."""
    folder = tmp_path_factory.mktemp("containers")
    (folder / "stumbling.py").write_text(STUMBLING)
    info = folder / "stumbling-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stumbling\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[homescribe.engines]\nstumbling = stumbling:Stumbling\n"
    )
    (folder / "weights").mkdir()
    from homescribe import plugins
    from homescribe.backends.modal import modal_transcribe

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        plugins._entry_points.cache_clear()
        engine_class = plugins.load("engines", "stumbling")
        patch.setitem(modal_transcribe.ENGINES, "stumbling", engine_class)
        modal_transcribe.declare_engine("stumbling", engine_class)
        yield folder
    plugins._entry_points.cache_clear()


@pytest.fixture(scope="module")
def hub():
    """A Hugging Face Hub with the bundled model as `acme/tiny`, and `acme/damaged`, whose first download of
    model.bin has a wrong byte.

    Yields its address and the list of (method, path) that were requested.
    """
    folder, requested, commit = demo.model("faster-whisper"), [], "c0ffee" * 6 + "c0ff"
    files = {path.name: path.read_bytes() for path in folder.iterdir()}

    def described(name, content):
        git = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
        entry = {"type": "file", "path": name, "size": len(content), "oid": git}
        if name == "model.bin":
            sha256 = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 134}
        return entry

    class Hub(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            requested.append((self.command, self.path))
            path = self.path.partition("?")[0]
            headers = {}
            if path.startswith("/api/models/acme/"):
                reply = {"id": "acme/x", "sha": commit, "siblings": []}
                if "/tree/" in path:
                    reply = [described(name, content) for name, content in files.items()]
                body = json.dumps(reply).encode()
            elif path.split("/")[1] == "acme":
                body = files[path.rpartition("/")[2]]
                headers = {
                    "X-Repo-Commit": commit,
                    "ETag": f'"{hashlib.sha256(body).hexdigest()}"',
                    "X-Linked-Size": str(len(body)),
                }
                again = requested.count((self.command, self.path)) > 1
                if "damaged" in path and path.endswith(".bin") and not again:
                    body = bytes([body[0] ^ 1]) + body[1:]
            else:
                body = b""
            self.send_response(200 if body else 404)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", requested
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def modal_cloud():
    """The one stand-in of this process, because Modal's client keeps one connection per process."""
    from modal_standin import Standin

    with Standin(max_containers=2, grace=0.5) as running:
        yield running


@pytest.fixture(scope="module")
def one_standin(place, hub, modal_cloud):
    """The stand-in, with the weights and the hub of this module."""
    from homescribe.backends.modal import modal_connection, session

    standin = modal_cloud
    standin.settings.container_env = {
        "HOMESCRIBE_WEIGHTS": str(place / "weights"),
        "HF_ENDPOINT": hub[0],
        "OMP_NUM_THREADS": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in standin.environment().items():
            patch.setenv(name, value)
        patch.setattr(modal_connection, "PAUSES", (0.05, 0.2))
        patch.setattr(session, "UPLOAD_GRACE", 1.0)
        patch.setattr(session, "SLOW_LINE", 1_000_000)
        yield standin


@pytest.fixture
def standin(one_standin):
    """The stand-in, with its settings restored after the test."""
    before = dataclasses.replace(one_standin.settings)
    yield one_standin
    for name in (
        "token_id",
        "client_too_old",
        "cut_uploads",
        "busy_downloads",
        "upload_rate",
        "faults",
        "container_faults",
        "raised",
        "raised_by_functions",
        "environments",
        "workspace",
        "rates",
        "container_python",
    ):
        setattr(one_standin.settings, name, getattr(before, name))


@contextlib.contextmanager
def working(engine="faster-whisper", model="demo", **options):
    """A session of the Modal backend without a GPU."""
    from homescribe.backends.modal.backend import ModalBackend
    from homescribe.backends.modal.session import ModalOptions

    with ModalBackend(ModalOptions(gpu="CPU", **options)).start(engine, model) as session:
        yield session


def sample(name="fox-20s.mp3", key=""):
    """A bundled recording. With another key it is other work, which no call has claimed."""
    path = demo.samples() / name
    return Audio(Item("file", key or name, url=str(path), title=name, duration=20.0), path)


def instruction(what, key="", seconds=60.0):
    """Media that tells the stumbling engine what to do. The same `what` and key are the same work."""
    item = Item("file", key or what, url="", title="")
    return Audio(item, Path("-"), duration=seconds, data=what.encode())


def run_to_end(session, audio, options=None):
    call = session.submit(audio, options or TranscriptionOptions(), GO)
    return call, session.result(call, GO, lambda seconds: None)
