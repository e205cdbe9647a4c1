"""Speakers at Modal: an image, a class and models of their own, and only for runs that need them."""

import dataclasses
import wave

import numpy as np
import pytest

from homescribe import demo
from homescribe.audio import SAMPLE_RATE, decode
from homescribe.backends.modal import deployment, images, modal_transcribe
from homescribe.backends.modal.backend import ModalBackend
from homescribe.backends.modal.session import ModalOptions
from homescribe.backends.wire import parse_options
from homescribe.core import Audio, Item, TranscriptionOptions
from homescribe.cost import prices
from homescribe.cost.speeds import expected_speed
from homescribe.errors import UserError
from homescribe.speakers.speaker_models import SpeakerModels, sha256_of
from modal_session import run_to_end, sample, working
from speaker_models import embedding_model, segmentation_model, tone
from speech_samples import assert_words, sample_text

AUTO = TranscriptionOptions(speakers="auto")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    return SpeakerModels(
        segmentation_model(folder / "segmentation.onnx"), embedding_model(folder / "voices.onnx")
    )


def talk(path):
    """The bundled speech, with a quiet tone of one voice in its first half and of another in its second."""
    speech = 0.02 * decode(demo.samples() / "fox-20s.mp3")
    half = len(speech) / SAMPLE_RATE / 2
    voices = np.concatenate([tone(0, half, 0.1), tone(1, half, 0.1)])
    mixed = speech[: len(voices)] + voices[: len(speech)]
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((mixed * 32767).astype("<i2").tobytes())
    return Audio(Item("file", path.name, url=str(path), title=path.name), path)


def test_a_container_says_who_speaks(standin, models, tmp_path):
    with working(speakers=models) as session:
        _, transcript = run_to_end(session, talk(tmp_path / "talk.wav"), AUTO)
    assert [speaker.label for speaker in transcript.speakers] == ["SPEAKER_00", "SPEAKER_01"]
    assert len(transcript.speakers[0].embedding) > 1
    [first, *_, last] = transcript.turns
    assert (first.speaker, last.speaker) == ("SPEAKER_00", "SPEAKER_01")
    assert not transcript.warnings


def test_the_models_are_uploaded_once_and_named_by_their_hash(standin, models, place):
    with working(speakers=models) as session:
        _, transcript = run_to_end(session, sample(key="first"), AUTO)
    assert_words(sample_text("fox-20s"), transcript.text)
    folder = place / "weights" / "speakers"
    hashes = [sha256_of(path) for path in models.found()]
    assert {path.name for path in folder.iterdir()} == {f"{each}.onnx" for each in hashes}
    standin.control.journal.clear()
    with working(speakers=models):
        pass
    assert "stored" not in {what for _, what, _ in standin.control.journal}


def test_only_images_of_runs_with_speakers_have_what_they_need(standin, models):
    with working(speakers=models):
        pass
    locked = images.lock_file(images.SPEAKER_LOCK).read_text()
    having = [
        image
        for image in standin.control.images.values()
        if locked in [file.data.decode() for file in image.context_files]
    ]
    assert len(having) == 1
    plain, diarizing = (
        images.class_name("faster-whisper", speakers=speakers) for speakers in (False, True)
    )
    assert (plain, diarizing) == ("transcribe_faster_whisper", "diarize_faster_whisper")
    assert modal_transcribe.services["faster-whisper"].transcriber is not None
    assert "faster-whisper" in modal_transcribe.with_speakers


def test_a_version_that_is_deployed_without_speakers_is_deployed_again_with_them(
    standin, models, monkeypatch
):
    monkeypatch.setattr(modal_transcribe, "with_speakers", {})
    deployed = []
    monkeypatch.setattr(deployment, "deploy", lambda *engines, **how: deployed.append(how))
    monkeypatch.setattr(
        deployment,
        "_is_deployed",
        lambda engine, *, speakers=False: not speakers,
    )
    with working():
        pass
    assert deployed == []
    with working(speakers=models):
        pass
    assert deployed == [{"speakers": True}]


def test_runs_with_speakers_rent_and_pay_for_twice_the_cores():
    for gpu in ("A10", "H100"):
        plain = ModalOptions(gpu=gpu).machine
        rented = ModalOptions(gpu=gpu, speakers=SpeakerModels()).machine
        assert rented.cores == 2 * plain.cores
        assert modal_transcribe.hardware(rented)["cpu"] == (rented.cores, rented.cores)
        more = prices.published_rate(rented) - prices.published_rate(plain)
        assert more == pytest.approx(plain.cores * prices.CORE_DOLLARS)
        # The GPU, and not the cores, takes most of the time.
        without = expected_speed("openai-whisper", "turbo", plain)[0]
        assert expected_speed("openai-whisper", "turbo", rented)[0] >= 0.85 * without
    assert ModalOptions(gpu="CPU", speakers=SpeakerModels()).machine.cores == 4
    cpu = prices.machine("CPU")
    slower = expected_speed("faster-whisper", "tiny", cpu.with_speakers)[0]
    assert slower < expected_speed("faster-whisper", "tiny", cpu)[0]


def test_a_file_that_is_no_model_is_reported_by_the_container(standin, models, tmp_path):
    junk = tmp_path / "junk.onnx"
    junk.write_bytes(b"no network")
    wrong = SpeakerModels(models.segmentation, junk)
    with (
        working(speakers=wrong) as session,
        pytest.raises(Exception, match="not a model for voice embeddings"),
    ):
        run_to_end(session, sample(key="with junk"), AUTO)


def test_options_of_another_version_can_be_read():
    plain = dataclasses.asdict(AUTO)
    assert parse_options(plain) == AUTO
    assert parse_options({**plain, "mood": "good"}) == AUTO
    del plain["speakers"]  # of a version that did not know it
    assert parse_options(plain) == TranscriptionOptions()


def test_a_missing_file_is_refused_before_anything_is_sent(models, tmp_path):
    missing = SpeakerModels(tmp_path / "none.onnx", models.embedding)
    backend = ModalBackend(ModalOptions(gpu="CPU", speakers=missing))
    with pytest.raises(UserError, match="names no file"), backend.start("faster-whisper", "demo"):
        pass
