"""A person on each channel: nothing is lost where both speak, and crosstalk doubles no word."""

import os
import signal
import subprocess
import sys
import tempfile
import wave
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from homescribe import demo, plugins
from homescribe.audio import (
    SAMPLE_RATE,
    blocks,
    channel_count,
    decode,
    flac_file,
    stereo_blocks,
    temporary_flac,
)
from homescribe.audio.waveform import _silence
from homescribe.core import (
    Audio,
    Item,
    Segment,
    Skipped,
    Transcript,
    TranscriptionOptions,
    Turn,
    Word,
)
from homescribe.errors import Cancelled, RetryableError
from homescribe.formats.lrc import to_lrc
from homescribe.formats.subtitles import to_srt, to_vtt
from homescribe.speakers.channel_levels import levels, own_speech
from homescribe.speakers.speaker_engine import SpeakerEngine
from homescribe.speakers.speaker_finder import SpeakerFinder
from homescribe.speakers.speaker_setting import SpeakerSetting
from homescribe.speakers.two_channels import NoChannels, _in_order
from speech_samples import assert_words, sample_text

CHANNELS = TranscriptionOptions(speakers="channels")
A, B = "SPEAKER_00", "SPEAKER_01"


def speech(name, start, end):
    samples = decode(next(demo.samples().glob(f"{name}.[mw][pe4]*")))
    return samples[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]


def placed(samples, at, seconds):
    """The samples from `at` on, in silence of `seconds`."""
    whole = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    first = round(at * SAMPLE_RATE)
    whole[first : first + len(samples)] = samples[: len(whole) - first]
    return whole


def with_crosstalk(left, right, decibels=-18.0, delay=0.006, noise=0.0005):
    """Both microphones: each also has the other person, softer, a little later, and some noise."""
    gain, late = 10 ** (decibels / 20), round(delay * SAMPLE_RATE)
    random = np.random.default_rng(7)
    both = np.stack([left, right], axis=1)
    both += gain * np.stack([np.roll(right, late), np.roll(left, late)], axis=1)
    return (both + random.normal(0, noise, both.shape)).astype(np.float32)


def saved(path, samples):
    """A WAV file of shape (samples,) or (samples, channels)."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return Audio(Item("file", path.name, url=str(path), title=path.name), path, temporary=False)


class ToneEngine:
    """Writes down the loud stretches of what it gets, as one word each: "left" below 600 Hz, else "right"."""

    name, model, slots = "tones", "x", 1

    def __init__(self):
        self.given = []

    def transcribe(self, audio, options, stop, progress):
        self.given.append((audio, options))
        samples = np.concatenate(list(blocks(audio.media)))
        frames = samples[: len(samples) // 1600 * 1600].reshape(-1, 1600)  # 0.1 s
        loud = np.abs(frames).max(axis=1) > 0.005
        edges = np.flatnonzero(np.diff(np.pad(loud.astype(int), 1)))
        segments = []
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            part = frames[start:end].ravel()
            pitch = np.abs(np.fft.rfft(part)).argmax() * SAMPLE_RATE / len(part)
            word = Word(start / 10, end / 10, " left" if pitch < 600 else " right", 0.9)
            segments.append(Segment(word.start, word.end, word.word, words=(word,)))
        progress(len(samples) / SAMPLE_RATE)
        skipped = (Skipped(0.0, 2.0, "no_speech"), Skipped(9.0, 12.0, "no_speech"))
        seconds = len(samples) / SAMPLE_RATE
        return Transcript("tones", "x", "en", seconds, tuple(segments), skipped=skipped)

    def close(self):
        pass


def tone(pitch, at, end, seconds=12.0, level=0.3):
    times = np.arange(round((end - at) * SAMPLE_RATE)) / SAMPLE_RATE
    return placed((level * np.sin(2 * np.pi * pitch * times)).astype(np.float32), at, seconds)


LEFT = tone(400, 2, 4) + tone(400, 7, 9)
RIGHT = tone(900, 4.5, 6.5) + tone(900, 8, 8.8)  # the last one while the other speaks


def test_each_word_is_written_once_and_by_its_channel(tmp_path):
    engine, reported = ToneEngine(), []
    audio = saved(tmp_path / "talk.wav", with_crosstalk(LEFT, RIGHT))
    found = SpeakerEngine(engine, SpeakerFinder()).transcribe(
        audio, CHANNELS, Event(), reported.append
    )
    said = [(s.speaker, s.text, round(s.start), round(s.end)) for s in found.segments]
    assert said == [
        (A, " left", 2, 4),
        (B, " right", 4, 6),
        (A, " left", 7, 9),
        (B, " right", 8, 9),
    ]
    assert [s.flags for s in found.segments] == [(), (), ("overlap",), ("overlap",)]
    assert [(s.label, round(s.seconds)) for s in found.speakers] == [(A, 4), (B, 3)]
    assert found.turns[0] == Turn(2.0, 4.0, A)
    assert found.skipped == engine_skipped()
    assert reported == [6.0, 12.0]
    timed = replace(CHANNELS, speakers=None, word_timestamps=True)
    assert all(options == timed for _, options in engine.given)
    assert not any(segment.words for segment in found.segments)
    assert not any(part.path.exists() for part, _ in engine.given)


def engine_skipped():
    return (Skipped(0.0, 2.0, "no_speech"), Skipped(9.0, 12.0, "no_speech"))


def test_the_first_to_speak_is_the_first_speaker(tmp_path):
    audio = saved(tmp_path / "talk.wav", with_crosstalk(RIGHT, LEFT))
    engine = SpeakerEngine(ToneEngine(), SpeakerFinder())
    found = engine.transcribe(audio, CHANNELS, Event(), lambda seconds: None)
    assert (found.segments[0].speaker, found.segments[0].text) == (A, " left")
    assert found.turns[0].speaker == A


def test_speakers_of_channels_are_found_without_transcribing(tmp_path):
    audio = saved(tmp_path / "talk.wav", with_crosstalk(LEFT, RIGHT))
    setting = SpeakerSetting(2, 2, channels=True)
    found = SpeakerFinder().find(audio, setting, None, Event(), lambda seconds: None)
    assert [(t.speaker, round(t.start), round(t.end)) for t in found.turns] == [
        *((A, 2, 4), (B, 4, 6), (A, 7, 9), (B, 8, 9)),
    ]


def test_an_answer_in_between_is_where_it_was_said():
    texts = [" It was late.", " We went home.", " And slept."]
    words = tuple(Word(3.0 * n, 3.0 * n + 2.5, text, 0.9) for n, text in enumerate(texts))
    long = Segment(0, 9, "".join(texts), words=words)
    left = Transcript("e", "m", "en", 9.0, (long,))
    right = Transcript("e", "m", "de", 9.0, (Segment(2.6, 3.0, " Ja."),))
    found = _in_order([left, right])
    assert [(channel, s.text, s.language) for channel, s in found] == [
        (0, " It was late.", "en"),
        (1, " Ja.", "de"),
        (0, " We went home. And slept.", "en"),
    ]
    assert [len(segment.words) for _, segment in found] == [1, 0, 2]
    assert (found[0][1].end, found[2][1].start, found[2][1].end) == (2.5, 3.0, 9)
    during = replace(right, segments=(Segment(4.0, 4.4, " Ja."),))
    assert [s.text for _, s in _in_order([left, during])] == [
        *(" It was late. We went home.", " Ja.", " And slept."),
    ]


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (LEFT, "The recording has one channel instead of two."),
        (np.stack([LEFT] * 3, axis=1), "The recording has 3 channels instead of two."),
        (np.stack([LEFT + RIGHT] * 2, axis=1), "Both channels of the recording are the same."),
    ],
)
def test_a_recording_without_two_channels_is_transcribed_with_a_warning(tmp_path, samples, words):
    audio = saved(tmp_path / "talk.wav", samples)
    engine = SpeakerEngine(ToneEngine(), SpeakerFinder())
    found = engine.transcribe(audio, CHANNELS, Event(), lambda seconds: None)
    assert "left" in found.text
    [warning] = found.warnings
    assert warning == (
        f"Speakers could not be told apart: {words} "
        "Use --speakers auto, which tells speakers apart by their voices."
    )
    setting = SpeakerSetting(2, 2, channels=True)
    with pytest.raises(NoChannels, match=words):
        SpeakerFinder().find(audio, setting, None, Event(), lambda seconds: None)


def test_a_silent_channel_is_no_person(tmp_path):
    noise = np.random.default_rng(1).normal(0, 0.0003, len(LEFT)).astype(np.float32)
    audio = saved(tmp_path / "talk.wav", np.stack([noise, LEFT], axis=1))
    engine = SpeakerEngine(ToneEngine(), SpeakerFinder())
    found = engine.transcribe(audio, CHANNELS, Event(), lambda seconds: None)
    assert {segment.speaker for segment in found.segments} == {A}
    assert len(found.speakers) == 1


def test_it_is_cancelled(tmp_path):
    stop = Event()
    stop.set()
    audio = saved(tmp_path / "talk.wav", with_crosstalk(LEFT, RIGHT))
    with pytest.raises(Cancelled):
        SpeakerEngine(ToneEngine(), SpeakerFinder()).transcribe(
            audio, CHANNELS, stop, lambda seconds: None
        )


@pytest.mark.parametrize("decibels", [-60.0, -25.0, -15.0, -10.0])
def test_crosstalk_is_told_from_speech_whatever_its_level(decibels):
    own = own_speech(levels([with_crosstalk(LEFT, RIGHT, decibels)]))
    seconds = own.sum(axis=0) / 50
    assert seconds == pytest.approx([4.0, 2.8], abs=0.3)


def test_a_softer_voice_is_kept():
    """The right microphone is 20 dB more sensitive, and the left person speaks softly."""
    own = own_speech(levels([with_crosstalk(0.1 * LEFT, RIGHT, -40.0, noise=0.0001)]))
    assert own.sum(axis=0) / 50 == pytest.approx([4.0, 2.8], abs=0.3)


# --- Audio -----------------------------------------------------------------------------------------


def test_both_channels_are_decoded(tmp_path):
    both = np.stack([LEFT, RIGHT], axis=1)
    path = saved(tmp_path / "two.wav", both).path
    assert channel_count(path) == 2
    parts = list(stereo_blocks(path, seconds=5.0))
    assert [part.shape for part in parts] == [(80_000, 2), (80_000, 2), (32_000, 2)]
    assert np.abs(np.concatenate(parts) - both).max() < 1e-3


def test_gaps_are_silent_on_both_channels():
    assert [piece.shape for piece in _silence(40.0, 2)] == [(480_000, 2), (160_000, 2)]
    assert [piece.shape for piece in _silence(1.0, 1)] == [(16_000,)]


@pytest.fixture(params=["without a name", "in a folder"])
def kept_in(request, tmp_path, monkeypatch):
    """The folder of temporary files. Only Linux has files without a name."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    if request.param == "in a folder":
        monkeypatch.setattr(flac_file, "PROCESSES", tmp_path / "none")
    elif sys.platform != "linux":
        pytest.skip("only on Linux")
    return folder


def test_flac_keeps_every_sample_in_a_private_file(kept_in):
    samples = (np.round(speech("fox-20s", 0, 5) * 32768) / 32768).astype(np.float32)
    with temporary_flac([samples[:30_000], samples[30_000:]]) as (path, seconds):
        assert seconds == 5.0
        assert np.array_equal(decode(path), samples)
        assert np.array_equal(decode(path), samples)  # again
        for folder in kept_in.iterdir():
            assert folder.stat().st_mode & 0o077 == 0
    assert list(kept_in.iterdir()) == []
    with pytest.raises(Cancelled), temporary_flac([samples]):
        raise Cancelled
    assert list(kept_in.iterdir()) == []


def test_a_killed_process_leaves_no_audio(kept_in, tmp_path):
    code = f"""
import numpy as np, os, signal
from pathlib import Path
from homescribe.audio import flac_file, temporary_flac
flac_file.PROCESSES = Path({str(flac_file.PROCESSES)!r})
with temporary_flac([np.zeros(16000, np.float32)]) as (path, _):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(kept_in)})
    assert done.returncode == -signal.SIGKILL
    named = tmp_path / "none" == flac_file.PROCESSES
    assert len(list(kept_in.iterdir())) == (1 if named else 0)
    with temporary_flac([np.zeros(16000, np.float32)]):  # the next one removes it
        assert len(list(kept_in.iterdir())) == (1 if named else 0)
    assert list(kept_in.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only on Linux")
def test_a_full_disk_is_reported(monkeypatch):
    @contextmanager
    def full():
        with Path("/dev/full").open("w+b", buffering=0) as file:
            yield file, Path("/dev/full")

    monkeypatch.setattr(flac_file, "_temporary_file", full)
    noise = np.random.default_rng(1).uniform(-1, 1, 800_000).astype(np.float32)
    with (
        pytest.raises(RetryableError, match=r"temporary file .* No space left"),
        temporary_flac([noise]),
    ):
        pass


def test_a_folder_that_is_gone_is_reported(kept_in):
    assert tempfile.gettempdir() == str(kept_in)  # remembered from now on
    kept_in.rmdir()
    with (
        pytest.raises(RetryableError, match=r"temporary file in .* No such file") as caught,
        temporary_flac([np.zeros(16000, np.float32)]),
    ):
        pass
    assert "TMPDIR" in caught.value.hint


def test_an_error_of_the_block_is_not_one_of_the_temporary_file(kept_in):
    with (
        pytest.raises(FileNotFoundError, match="elsewhere"),
        temporary_flac([np.zeros(16000, np.float32)]),
    ):
        raise FileNotFoundError("elsewhere")


# --- With an engine --------------------------------------------------------------------------------


@pytest.mark.models
def test_people_who_speak_at_once_are_both_written_down(tmp_path):
    left = placed(speech("fox-20s", 0, 20), 0, 42)
    right = placed(speech("channel-40s", 0, 40), 1, 42)
    audio = saved(tmp_path / "talk.wav", with_crosstalk(left, right, -35.0))
    engine = plugins.load("engines", "faster-whisper")("demo")
    try:
        found = SpeakerEngine(engine, SpeakerFinder()).transcribe(
            audio, CHANNELS, Event(), lambda seconds: None
        )
    finally:
        engine.close()
    for speaker, name in ((A, "fox-20s"), (B, "channel-40s")):
        text = " ".join(s.text.strip() for s in found.segments if s.speaker == speaker)
        assert_words(sample_text(name), text)
    starts = [segment.start for segment in found.segments]
    assert starts == sorted(starts)
    for exporter in (to_srt, to_vtt, to_lrc):  # cues of people who speak at once
        assert exporter(audio.item, found)
