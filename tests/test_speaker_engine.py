"""An engine with speakers: side by side, cancelled within a second, and no transcript lost."""

import threading
import time
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest

from fake_plugins import item
from homescribe.assemble import build_backend
from homescribe.backends.local import LocalBackend
from homescribe.config import Config
from homescribe.core import Audio, Segment, Speaker, Transcript, TranscriptionOptions, Turn, Word
from homescribe.errors import Cancelled, PermanentError, SetupError, UserError
from homescribe.library import Library
from homescribe.speakers.diarizer import Diarization
from homescribe.speakers.speaker_engine import LinkedEvent, SlowestProgress, SpeakerEngine

A, B = "SPEAKER_00", "SPEAKER_01"
AUTO = TranscriptionOptions(speakers="auto")
TALK = Audio(item(1), Path("talk.mp3"))
FOUND = Diarization((Turn(0, 3, A), Turn(3, 6, B)), (Speaker(A), Speaker(B)))


class FakeEngine:
    """Transcribes "How are you? I am fine." in 6 seconds of audio, after `work(stop)`."""

    name, model, slots = "fake", "tiny", 2

    def __init__(self, work=lambda stop: None):
        self.work = work
        self.options = None

    def transcribe(self, audio, options, stop, progress):
        self.options = options
        self.work(stop)
        progress(6.0)
        texts = [" How", " are", " you?", " I", " am", " fine."]
        words = tuple(Word(n, n + 1, text, 0.9) for n, text in enumerate(texts))
        if not options.word_timestamps:
            words = ()
        segment = Segment(0, 6, "".join(texts), words=words)
        return Transcript("fake", "tiny", "en", 6.0, (segment,), warnings=("One track.",))

    def close(self):
        pass


class FakeFinder:
    """Finds FOUND after `work(stop)`."""

    def __init__(self, work=lambda stop: None):
        self.work = work
        self.settings = []
        self.loaded = 0

    def load(self):
        self.loaded += 1

    def find(self, audio, setting, track, stop, progress):
        self.settings.append((audio, setting.least, setting.most, track))
        self.work(stop)
        progress(3.0)
        return FOUND


def until(flag):
    """Work that ends when it is stopped, as an engine ends."""

    def work(stop):
        while not stop.is_set():
            if flag.wait(0.01):
                return
        raise Cancelled

    return work


def raising(error):
    def work(stop):
        raise error

    return work


def transcribed(engine, finder, options=AUTO, stop=None, progress=lambda seconds: None):
    return SpeakerEngine(engine, finder).transcribe(TALK, options, stop or Event(), progress)


def test_segments_say_who_speaks_and_words_are_dropped_again():
    engine, finder = FakeEngine(), FakeFinder()
    found = transcribed(engine, finder)
    assert [(s.speaker, s.text, s.words) for s in found.segments] == [
        (A, " How are you?", ()),
        (B, " I am fine.", ()),
    ]
    assert engine.options == replace(AUTO, word_timestamps=True, speakers=None)
    assert finder.settings == [(TALK, 1, None, None)]
    assert found.warnings == ("One track.",)
    assert [speaker.label for speaker in found.speakers] == [A, B]


def test_words_stay_where_they_were_requested():
    options = replace(AUTO, speakers="2-4", word_timestamps=True, audio_track=2)
    finder = FakeFinder()
    found = transcribed(FakeEngine(), finder, options)
    assert [word.speaker for word in found.segments[1].words] == [B, B, B]
    assert finder.settings == [(TALK, 2, 4, 2)]


def test_without_the_option_only_the_engine_works():
    engine, finder = FakeEngine(), FakeFinder(raising(SetupError("no models")))
    found = transcribed(engine, finder, TranscriptionOptions())
    assert engine.options == TranscriptionOptions()
    assert not finder.settings
    assert not found.speakers


def test_both_work_at_the_same_time():
    met = threading.Barrier(2, timeout=5)
    transcribed(FakeEngine(lambda stop: met.wait()), FakeFinder(lambda stop: met.wait()))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (PermanentError("Nothing could be decoded.", "hint"), "Nothing could be decoded."),
        (ValueError("/home/jane/secret.onnx\nhere"), "internal error (ValueError)."),
        (MemoryError(), "internal error (MemoryError)."),
        (SystemExit(1), "internal error (SystemExit)."),
    ],
)
def test_an_error_of_the_search_costs_no_transcript(error, words):
    found = transcribed(FakeEngine(), FakeFinder(raising(error)))
    assert found.text == "How are you? I am fine."
    assert found.warnings == ("One track.", f"Speakers could not be told apart: {words}")
    assert not found.speakers
    assert not found.segments[0].words


def test_the_details_of_an_unforeseen_error_are_in_a_log_of_the_library(tmp_path, monkeypatch):
    error = RuntimeError("cannot open /home/jane/secret.onnx token=hf_abcdef0123456789abcdef")
    finder = FakeFinder(raising(error))
    monkeypatch.setattr("homescribe.assemble.build_speaker_finder", lambda config: finder)
    monkeypatch.setattr("homescribe.plugins.load", lambda group, name: lambda model: FakeEngine())
    with Library(tmp_path) as library:
        backend = build_backend(Config(library=tmp_path), library, AUTO)
    with backend.start("fake", "tiny") as session:
        call = session.submit(TALK, AUTO, Event())
        found = session.result(call, Event(), lambda seconds: None)
    [log] = (tmp_path / "logs").iterdir()
    assert found.warnings[-1] == (
        "Speakers could not be told apart: internal error (RuntimeError); "
        f"the details are in logs/{log.name}."
    )
    assert "cannot open /home/jane/secret.onnx" in log.read_text()


@pytest.mark.parametrize("error", [SetupError("No model.", "Get it."), UserError("No memory.")])
def test_an_error_that_would_stop_every_recording_ends_the_engine_and_is_raised(error):
    began = time.monotonic()
    with pytest.raises(type(error), match=error.message):
        transcribed(FakeEngine(until(Event())), FakeFinder(raising(error)))
    assert time.monotonic() - began < 1


def test_an_error_of_the_engine_is_raised_and_ends_the_search():
    ended = Event()

    def work(stop):
        while not stop.wait(5):
            pass
        ended.set()

    with pytest.raises(PermanentError, match="No audio"):
        transcribed(FakeEngine(raising(PermanentError("No audio."))), FakeFinder(work))
    assert ended.wait(1)


@pytest.mark.parametrize("slow", ["engine", "search"])
def test_both_are_cancelled_within_a_second(slow):
    stop, never, at_once = Event(), Event(), Event()
    at_once.set()
    engine = FakeEngine(until(never if slow == "engine" else at_once))
    finder = FakeFinder(until(at_once if slow == "engine" else never))
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        transcribed(engine, finder, stop=stop)
    assert time.monotonic() - began < 1


def test_the_progress_is_that_of_the_slowest_one():
    reported = []
    slowest = SlowestProgress(reported.append)
    engine, search = slowest.reporter(), slowest.reporter()
    engine(5.0)
    search(2.0)
    search(1.0)  # never back
    search(7.0)
    engine(6.0)
    search(float("inf"))
    engine(9.0)
    assert reported == [2.0, 5.0, 6.0, 9.0]


def test_a_linked_event_follows_the_other_one_and_not_the_reverse():
    other = Event()
    linked = LinkedEvent(other)
    assert not linked.wait(0.01)
    linked.set()
    assert linked.wait(0)
    assert not other.is_set()
    second = LinkedEvent(other)
    threading.Timer(0.05, other.set).start()
    assert second.wait(2)
    assert second.is_set()


def test_the_local_backend_loads_the_networks_before_the_model(monkeypatch):
    order = []
    finder = FakeFinder()
    finder.load = lambda: order.append("networks")

    class Engine(FakeEngine):
        def __init__(self, model):
            super().__init__()
            order.append("model")

    monkeypatch.setattr("homescribe.plugins.load", lambda group, name: Engine)
    with LocalBackend(finder).start("fake", "tiny") as session:
        call = session.submit(TALK, AUTO, Event())
        found = session.result(call, Event(), lambda seconds: None)
    assert order == ["networks", "model"]
    assert [segment.speaker for segment in found.segments] == [A, B]
