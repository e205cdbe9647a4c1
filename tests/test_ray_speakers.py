"""Speakers on Ray: workers load the models of their machine, and install what they need."""

from pathlib import Path

import pytest

from homescribe import __version__, demo
from homescribe.assemble import build_ray_backend, check_speakers
from homescribe.backends.ray import ray_backend
from homescribe.backends.ray.ray_worker import TranscribingActor, decode
from homescribe.backends.ray.worker_spec import WorkerSpec
from homescribe.backends.wire import make_request
from homescribe.config import Config
from homescribe.core import Audio, Item, TranscriptionOptions
from homescribe.errors import UserError
from homescribe.speakers.speaker_models import PACKAGES, SpeakerModels
from speaker_models import embedding_model, segmentation_model

AUTO = TranscriptionOptions(speakers="auto")


def spec(speakers):
    return WorkerSpec(
        engine="faster-whisper",
        engine_class="homescribe.engines.faster_whisper:FasterWhisper",
        model="demo",
        slots=1,
        cpus=1.0,
        gpus=0.0,
        speakers=speakers,
    )


@pytest.mark.models
def test_a_worker_says_who_speaks(tmp_path):
    models = (
        str(segmentation_model(tmp_path / "s.onnx")),
        str(embedding_model(tmp_path / "e.onnx")),
    )
    worker = TranscribingActor(spec(models))
    assert worker.load(__version__) is None
    path = demo.samples() / "fox-20s.mp3"
    audio = Audio(Item("file", "fox", url="", title=""), path)
    request = make_request(audio, path.read_bytes(), AUTO, "CPU", "faster-whisper", "demo")
    content, worn_out = worker.transcribe(path.read_bytes(), request, "call")
    reply = decode(content)
    assert reply.error is None
    assert reply.transcript.turns
    assert {turn.speaker for turn in reply.transcript.turns} == {
        speaker.label for speaker in reply.transcript.speakers
    }
    assert not worn_out


def test_a_model_that_is_not_on_the_workers_machine_is_named(tmp_path):
    worker = TranscribingActor(spec((str(tmp_path / "none.onnx"), "")))
    error = decode(worker.load(__version__)).error
    assert isinstance(error, UserError)
    assert "none.onnx names no file" in error.message


def test_a_run_with_speakers_has_workers_of_its_own(monkeypatch):
    config = Config(backend="ray", speaker_embedding=Path("/shared/voices.onnx"))
    monkeypatch.setattr("homescribe.plugins.load", lambda group, name: None)
    assert build_ray_backend(config).options.speakers is None
    models = build_ray_backend(config, AUTO).options.speakers
    assert models == SpeakerModels(None, Path("/shared/voices.onnx"))
    check_speakers(config, AUTO)  # the file is on the machines of the cluster
    assert ray_backend._paths(models) == ("", "/shared/voices.onnx")
    assert ray_backend._paths(None) is None
    assert spec(None) != spec(("", ""))
    assert all("==" in package for package in PACKAGES)
