"""Smaller copies for uploads: the words and the times stay, and what a copy would hide goes up as it is."""

import dataclasses
import threading
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from homescribe import demo
from homescribe.assemble import uploads_speech
from homescribe.audio import SAMPLE_RATE, decode, write_speech_copy
from homescribe.config import Config
from homescribe.core import Audio, Item, TranscriptionOptions
from homescribe.engines.faster_whisper import FasterWhisper
from homescribe.errors import Cancelled
from homescribe.pipeline.speech_upload import COPY, speech_upload
from speech_samples import assert_words, sample_text

GO = threading.Event()


def write_wav(path, samples, channels=1):
    with wave.open(str(path), "wb") as out:
        out.setparams((channels, 2, SAMPLE_RATE, 0, "NONE", ""))
        out.writeframes((samples.clip(-1, 1) * 32767).astype(np.int16).tobytes())
    return path


@pytest.fixture(scope="module")
def talk(tmp_path_factory):
    """Twenty seconds of speech as a wav file of 640 kB."""
    samples = decode(demo.samples() / "fox-20s.mp3")
    return write_wav(tmp_path_factory.mktemp("talk") / "talk.wav", samples)


def audio(path, **fields):
    item = Item("file", path.name, url=str(path), title=path.stem)
    return dataclasses.replace(Audio(item, path, temporary=False), **fields)


@pytest.mark.models
def test_a_copy_is_small_and_has_the_same_words(talk, tmp_path):
    sent = speech_upload(audio(talk), tmp_path, GO)
    assert sent.path == tmp_path / COPY
    assert sent.path.stat().st_size < talk.stat().st_size / 8
    with av.open(str(sent.path)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.layout.nb_channels) in (
            ("opus", 1),
            ("libopus", 1),
        )
    engine = FasterWhisper("demo", compute_type="float32")
    transcript = engine.transcribe(sent, TranscriptionOptions(), GO, lambda seconds: None)
    engine.close()
    assert_words(sample_text("fox-20s"), transcript.text)


def test_times_stay_as_they_are(tmp_path):
    """A click after a second of silence and another at the end, in both files at the same samples."""
    samples = np.zeros(5 * SAMPLE_RATE, np.float32)
    noise = np.random.default_rng(0).standard_normal(800).astype(np.float32) / 8
    samples[SAMPLE_RATE : SAMPLE_RATE + 800] = noise
    samples[4 * SAMPLE_RATE : 4 * SAMPLE_RATE + 800] = noise
    sent = speech_upload(audio(write_wav(tmp_path / "clicks.wav", samples)), tmp_path, GO)
    heard = decode(sent.path)
    assert sent.duration == 5.0
    assert abs(len(heard) - len(samples)) <= 0.01 * SAMPLE_RATE
    loud = np.flatnonzero(np.abs(heard) > 0.02) / SAMPLE_RATE
    assert loud[0] == pytest.approx(1.0, abs=0.02)
    assert loud[loud > 2][0] == pytest.approx(4.0, abs=0.02)


def test_equal_recordings_give_equal_bytes(talk, tmp_path):
    """So that a recording submitted twice is known to be the same."""
    for name in ("a.opus", "b.opus"):
        assert write_speech_copy(talk, tmp_path / name, GO)
    assert (tmp_path / "a.opus").read_bytes() == (tmp_path / "b.opus").read_bytes()


def test_a_file_that_is_small_already_goes_up_as_it_is(tmp_path):
    small = tmp_path / "small.opus"
    write_speech_copy(demo.samples() / "fox-20s.mp3", small, GO)
    given = audio(small, duration=20.0)
    assert speech_upload(given, tmp_path, GO) is given
    unknown = audio(small)  # found out by making a copy
    assert speech_upload(unknown, tmp_path, GO) is unknown
    assert [path.name for path in tmp_path.iterdir()] == ["small.opus"]


def test_what_a_copy_would_hide_goes_up_as_it_is(talk, tmp_path):
    short = audio(talk, duration=60.0)  # ends early, which the reader of the transcript is told
    assert speech_upload(short, tmp_path, GO) is short
    download = audio(
        talk, duration=60.0, temporary=True
    )  # ends early, which is an error of a download
    assert speech_upload(download, tmp_path, GO) is download
    tracks = tmp_path / "two.mkv"
    with av.open(str(tracks), "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono") for _ in "12"]
        samples = (decode(talk) * 32767).astype(np.int16).reshape(1, -1)
        for stream in streams:
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    two = audio(tracks)
    assert speech_upload(two, tmp_path, GO) is two
    none = tmp_path / "none.mp3"
    none.write_bytes(b"not audio" * 1000)
    assert speech_upload(audio(none), tmp_path, GO).path == none
    assert not (tmp_path / COPY).exists()


def test_a_stop_leaves_no_file(talk, tmp_path):
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        speech_upload(audio(talk), tmp_path, stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"backend": "modal", "upload": "speech"}, True),
        ({"backend": "modal"}, False),
        ({"upload": "speech"}, False),  # nothing is uploaded
        ({"backend": "modal", "upload": "speech", "audio_track": 2}, False),
        ({"backend": "modal", "upload": "speech", "speakers": "channels"}, False),
        ({"backend": "modal", "upload": "speech", "speakers": "2"}, True),
    ],
)
def test_copies_are_made_only_where_they_are_sent(settings, expected):
    assert uploads_speech(Config(library=Path("x"), **settings)) is expected
