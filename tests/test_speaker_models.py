"""The models that tell speakers apart: downloaded once with a hash, or given as files."""

import dataclasses
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from homescribe.config import Config
from homescribe.errors import UserError
from homescribe.speakers import speaker_models
from homescribe.speakers.speaker_models import EMBEDDING, SEGMENTATION, SpeakerModels

CONTENT = os.urandom(11_000_000)  # the Hub's package writes 10 MiB at once


@pytest.fixture
def hub():
    """A Hugging Face Hub with CONTENT as every file. `cut`: bytes after which the next download ends."""

    class Hub(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        cut = 0
        requested = []  # noqa: RUF012

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            if "/resolve/" not in self.path:  # information about the repository
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            span = self.headers.get("Range") or ""
            Hub.requested.append((self.command, self.path, span))
            start = int(re.match(r"bytes=(\d+)-", span)[1]) if span else 0
            body = CONTENT[start:]
            self.send_response(206 if start else 200)
            self.send_header("X-Repo-Commit", self.path.split("/")[4])
            self.send_header("ETag", f'"{hashlib.sha256(CONTENT).hexdigest()}"')
            self.send_header("X-Linked-Size", str(len(CONTENT)))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                end, Hub.cut = Hub.cut or len(body), 0
                self.wfile.write(body[:end])
                self.close_connection = end < len(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        Hub.address = f"http://127.0.0.1:{server.server_port}"
        yield Hub
        server.shutdown()


def downloaded(endpoint, home, sha256, attempts=1):
    """The results of `download` in a child process: the Hub's package reads settings when imported."""
    code = f"""
import dataclasses, json
from homescribe.errors import SetupError
from homescribe.speakers import speaker_models
model = dataclasses.replace(speaker_models.SEGMENTATION, sha256={sha256!r})
for _ in range({attempts}):
    try:
        print(json.dumps([str(speaker_models.download(model)), ""]))
    except SetupError as error:
        print(json.dumps([error.message, error.hint]))
"""
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "HF_HOME": str(home)}
    env |= {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_ETAG_TIMEOUT": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_a_model_is_downloaded_once_from_its_fixed_revision(hub, tmp_path):
    [[path, _], [again, _]] = downloaded(hub.address, tmp_path, SHA256, attempts=2)
    assert path == again
    assert Path(path).read_bytes() == CONTENT
    assert [method for method, *_ in hub.requested].count("GET") == 1
    assert {path for _, path, _ in hub.requested} == {
        f"/{SEGMENTATION.repository}/resolve/{SEGMENTATION.revision}/model.onnx"
    }
    without_network = downloaded("http://127.0.0.1:9", tmp_path, SHA256)
    assert without_network == [[path, ""]]


def test_an_interrupted_download_is_continued(hub, tmp_path):
    hub.cut = 10_700_000
    results = downloaded(hub.address, tmp_path, SHA256, attempts=2)
    assert Path(results[-1][0]).read_bytes() == CONTENT
    [first, second] = [span for method, _, span in hub.requested if method == "GET"]
    assert not first
    assert re.fullmatch(r"bytes=\d+-", second)


def test_a_file_with_another_hash_is_refused_and_removed(hub, tmp_path):
    [[message, hint], _] = downloaded(hub.address, tmp_path, "0" * 64, attempts=2)
    assert message == (
        "The model pyannote segmentation 3.0, which tells speakers apart, differs from the published file."
    )
    assert "speaker_segmentation" in hint
    assert [method for method, *_ in hub.requested].count("GET") == 2  # it was not kept


def test_without_a_network_the_setting_for_a_path_is_named(tmp_path):
    began = time.monotonic()
    [[message, hint]] = downloaded("http://127.0.0.1:9", tmp_path, SHA256)
    assert time.monotonic() - began < 20  # the Hub's package alone tries for more than 30
    assert message == (
        "The model pyannote segmentation 3.0, which tells speakers apart, could not be downloaded from "
        "csukuangfj/sherpa-onnx-pyannote-segmentation-3-0 at huggingface.co."
    )
    assert hint == (
        "Connect to the network and try again, or give the path of the file as speaker_segmentation."
    )


def test_files_of_the_user_are_used_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(speaker_models, "download", lambda model: tmp_path / model.setting)
    own = tmp_path / "own.onnx"
    own.write_bytes(b"x")
    assert SpeakerModels(own, own).found() == (own, own)
    assert SpeakerModels(embedding=own).found() == (tmp_path / "speaker_segmentation", own)
    with pytest.raises(UserError, match="names no file"):
        SpeakerModels(segmentation=tmp_path / "none").found()


def test_the_published_models_are_under_40_megabytes():
    assert SEGMENTATION.bytes + EMBEDDING.bytes < 40_000_000
    for model in (SEGMENTATION, EMBEDDING):
        assert re.fullmatch("[0-9a-f]{64}", model.sha256)
        assert re.fullmatch("[0-9a-f]{40}", model.revision)
        assert model.setting in {field.name for field in dataclasses.fields(Config)}
