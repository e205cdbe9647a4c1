"""What a container replies when anything fails in it: nothing leaves it as an exception."""

import threading

import modal.exception
import pytest

from exceptions import every_exception
from homescribe.backends.modal import worker as worker_module
from homescribe.backends.modal.claims import Claims
from homescribe.backends.modal.worker import Worker
from homescribe.backends.wire import Reply, make_request
from homescribe.core import Audio, Item, Segment, Transcript, TranscriptionOptions
from homescribe.errors import PermanentError, RetryableError, SetupError, UserError

EXCEPTIONS = every_exception()


class EngineStub:
    """An engine that raises `error`, or returns `transcript`."""

    def __init__(self, error=None, transcript=None):
        self.error = error
        self.transcript = transcript or Transcript(
            "stub", "m", "en", 1.0, (Segment(0.0, 1.0, "a"),)
        )

    def transcribe(self, audio, options, stop, progress):
        if self.error is not None:
            raise self.error
        return self.transcript


class Entries(dict):
    """A modal.Dict; the methods named in `failing` raise `error`."""

    def __init__(self, error=None, failing=()):
        self.error, self.failing = error, failing

    def _called(self, name):
        if name in self.failing:
            raise self.error

    def put(self, key, value, *, skip_if_exists=False):
        self._called("put")
        if skip_if_exists and key in self:
            return False
        self[key] = value
        return True

    def get(self, key, default=None):
        self._called("get")
        return super().get(key, default)

    def pop(self, key, default=None):
        self._called("pop")
        return super().pop(key, default)


@pytest.fixture(autouse=True)
def container(monkeypatch):
    """A call of its own; returns the number of times that the container refused further calls."""
    refused = []
    monkeypatch.setattr(worker_module.modal, "current_function_call_id", lambda: "fc-1")
    monkeypatch.setattr(
        worker_module.modal.experimental, "stop_fetching_inputs", lambda: refused.append(True)
    )
    return refused


def request(key="file:a", gpu="CPU"):
    audio = Audio(Item("file", key, url="", title=""), "", duration=1.0)
    return make_request(audio, b"x", TranscriptionOptions(), gpu, "stub", "m")


def answer(engine, entries=None, gpu="CPU", gpu_available=True):
    """The reply of a container, in the thread of a call."""
    load = engine if callable(engine) else lambda: engine
    entries = Entries() if entries is None else entries
    built = Worker("stub", "m", Claims(entries), load, lambda: gpu_available)
    found = []
    thread = threading.Thread(target=lambda: found.append(built.answer(b"x", request(gpu=gpu))))
    thread.start()
    thread.join(10)
    return Reply.parse(found[0])


def failing_load(error):
    def load():
        raise error

    return load


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_whatever_an_engine_raises_is_a_reply(name, container):
    entries = Entries()
    reply = answer(EngineStub(EXCEPTIONS[name]), entries)
    assert isinstance(reply.error, RetryableError)
    assert type(EXCEPTIONS[name]).__name__ in reply.error.message
    assert "\n" not in reply.error.message
    assert len(reply.error.message) < 400
    assert reply.died
    assert reply.first
    assert reply.overhead_seconds > 0
    assert container == [True]
    assert entries == {}  # another call may try again


def test_time_in_containers_that_ended_comes_home_with_the_next_reply(monkeypatch):
    """The first container claims the recording at 100 s and ends, the second takes it at 130 s, the third at
    190 s."""
    now = [100.0]
    monkeypatch.setattr("homescribe.backends.modal.claims.time.time", lambda: now[0])
    entries = Entries()
    token = request()["token"]
    assert Claims(entries).claim("fc-1", token).lost_seconds == 0.0
    now[0] = 130.0
    reply = answer(EngineStub(), entries)
    assert reply.transcript is not None
    assert reply.lost_seconds == 30.0
    entries[token] = ["fc-1", 2, 100.0]
    now[0] = 190.0
    reply = answer(EngineStub(), entries)
    assert reply.died
    assert reply.lost_seconds == 90.0
    entries[token] = ["fc-another", 1, 100.0]
    assert answer(EngineStub(), entries).lost_seconds == 0.0


LOADED_IN_MAIN_THREAD = {"builtins.KeyboardInterrupt", "modal.exception.InputCancellation"}


@pytest.mark.parametrize("name", sorted(set(EXCEPTIONS) - LOADED_IN_MAIN_THREAD))
def test_whatever_is_raised_while_a_model_is_loaded_is_the_reply_to_its_calls(name, container):
    reply = answer(failing_load(EXCEPTIONS[name]))
    assert isinstance(reply.error, SetupError)
    assert "stub cannot load m: " + type(EXCEPTIONS[name]).__name__ in reply.error.message
    assert not reply.died
    assert reply.overhead_seconds > 0
    assert container == [True]  # the next call gets another container


def test_our_own_error_while_a_model_is_loaded_keeps_its_words():
    reply = answer(failing_load(UserError("There is no such model.", "Choose another.")))
    assert (reply.error.message, reply.error.hint) == ("There is no such model.", "Choose another.")


@pytest.mark.parametrize("name", sorted(LOADED_IN_MAIN_THREAD))
def test_what_modal_raises_to_end_a_container_ends_it(name):
    """It does so in the main thread, where models are loaded."""
    with pytest.raises(type(EXCEPTIONS[name])):
        Worker("stub", "m", Claims(Entries()), failing_load(EXCEPTIONS[name]), lambda: True)
    built = Worker("stub", "m", Claims(Entries()), lambda: EngineStub(EXCEPTIONS[name]), bool)
    with pytest.raises(type(EXCEPTIONS[name])):
        built.answer(b"x", request())


ORDINARY = [name for name, error in EXCEPTIONS.items() if isinstance(error, Exception)]


@pytest.mark.parametrize("name", ORDINARY)
def test_a_recording_is_transcribed_even_if_claims_cannot_be_used(name):
    for failing in (("put",), ("put", "get"), ("pop",)):
        reply = answer(EngineStub(), Entries(EXCEPTIONS[name], failing))
        assert reply.transcript is not None
    reply = answer(EngineStub(PermanentError("no audio")), Entries(EXCEPTIONS[name], ("pop",)))
    assert isinstance(reply.error, PermanentError)


@pytest.mark.parametrize("stored", [None, "fc-2", [], ["fc-2"], [1, 2], ["fc-1", 1], 7])
def test_an_entry_that_is_no_claim_of_another_call_does_not_matter(stored):
    entries = Entries()
    entries[request()["token"]] = stored
    assert answer(EngineStub(), entries).transcript is not None


def test_a_claim_of_another_call_is_the_reply():
    entries = Entries()
    entries[request()["token"]] = ["fc-2", 1]
    reply = answer(EngineStub(), entries)
    assert (reply.claimed_by, reply.transcript, reply.error) == ("fc-2", None, None)
    assert entries[request()["token"]] == ["fc-2", 1]


def test_a_call_that_two_containers_died_of_is_not_tried_again():
    entries = Entries()
    entries[request()["token"]] = ["fc-1", 2]
    assert answer(EngineStub(), entries).died


def test_a_missing_gpu_is_found_before_anything_is_transcribed():
    reply = answer(EngineStub(), gpu="A10", gpu_available=False)
    assert "no A10 that stub can use" in reply.error.message


@pytest.mark.parametrize(
    "transcript",
    [
        Transcript("stub", "m", "en", object(), ()),
        Transcript("stub", "m", "en", 1.0, (Segment(0.0, 1.0, {1, 2}),)),
        "a text",
        None,
    ],
)
def test_a_transcript_that_cannot_be_sent_is_a_failure(transcript):
    engine = EngineStub()
    engine.transcript = transcript
    entries = Entries()
    reply = answer(engine, entries)
    assert isinstance(reply.error, RetryableError)
    assert reply.gpu_seconds > 0
    assert reply.overhead_seconds > 0
    assert entries == {}


def test_numbers_of_numpy_are_sent_as_numbers():
    import numpy

    segment = Segment(numpy.float32(0.5), numpy.float64(1.0), "a", numpy.float32(-0.25))
    reply = answer(
        EngineStub(transcript=Transcript("stub", "m", "en", numpy.float32(1), (segment,)))
    )
    assert reply.transcript.segments[0].avg_logprob == -0.25
    assert type(reply.transcript.segments[0].start) is float


def test_arguments_of_an_error_are_sent_as_text():
    error = RetryableError("later", object(), 60.0)
    sent = answer(EngineStub(error)).error
    assert sent.message == "later"
    assert sent.hint.startswith("<object")
    assert sent.retry_after == 60.0


def test_the_table_of_exceptions_is_complete():
    names = set(EXCEPTIONS)
    assert {"builtins.SystemExit", "builtins.TimeoutError", "builtins.StopIteration"} <= names
    assert {"modal.exception.NotFoundError", "modal.exception.OutputExpiredError"} <= names
    assert len(names) > 100
    assert modal.exception.InputCancellation in map(type, EXCEPTIONS.values())
