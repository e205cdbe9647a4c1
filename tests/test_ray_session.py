"""The session's side of a cluster that fails, and the translation of Ray's exceptions."""

import inspect
import json
import os
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the extra ray")

import ray
import ray._private.utils
import ray.exceptions

from homescribe.backends.ray import cluster, ray_session, ray_worker
from homescribe.backends.ray.cluster import checked_address
from homescribe.backends.ray.ray_backend import RayBackend, RayOptions
from homescribe.backends.ray.ray_errors import LedgerGone, Unavailable, cluster_errors, translate
from homescribe.backends.ray.ray_session import RaySession
from homescribe.backends.ray.ray_worker import decode, encode
from homescribe.backends.ray.worker_spec import WorkerSpec
from homescribe.backends.wire import Reply, make_request
from homescribe.core import (
    Audio,
    Call,
    EngineRequirements,
    Item,
    Segment,
    Transcript,
    TranscriptionOptions,
)
from homescribe.errors import (
    Cancelled,
    HomescribeError,
    PermanentError,
    RetryableError,
    SetupError,
    UserError,
)

GO = threading.Event()  # never set
SPEC = WorkerSpec("fake", "fakes:Fake", "tiny", slots=2, cpus=1, gpus=0)
NEEDS = EngineRequirements((), ("en",), lambda model, folder: None)
TEXT = Transcript("fake", "tiny", "en", 60.0, (Segment(0.0, 1.0, " hello"),))


class FakeCluster:
    """A cluster whose ledger answers what `answers` holds for a method: a value, or an exception."""

    name = "calls-1"

    def __init__(self):
        self.connection = 1
        self.reconnected = 0
        self.asked = []
        self.replies = {}
        self.answers = {"admit": [{"call": "", "full": False}], "submit": ["ray-1"]}

    def reconnect(self, lost):
        if lost == self.connection:
            self.connection += 1
            self.reconnected += 1

    def ask(self, ledger, method, *arguments, limit=30.0):
        self.asked.append((ledger, method, arguments))
        if method == "collect" and not self.answers.get("collect"):
            time.sleep(0.01)
            return {key: self.replies[key] for key in arguments[0] if key in self.replies}
        answers = self.answers[method]
        answer = answers.pop(0) if len(answers) > 1 or method == "collect" else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def methods(self):
        return [method for _, method, _ in self.asked if method != "collect"]


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(ray_session, "PAUSE", 0.01)


@pytest.fixture
def fake():
    return FakeCluster()


@pytest.fixture
def session(fake):
    started = []
    session = RaySession(fake, SPEC, 2, NEEDS, lambda: started.append(1), max_silence=0.2)
    session.started = started
    yield session
    session.close()


def audio(name="a"):
    item = Item("file", name, url="", title="A talk")
    return Audio(item, Path(name), duration=60.0, data=b"audio")


def submit(session, name="a"):
    return session.submit(audio(name), TranscriptionOptions(), GO)


def result(session, call):
    return session.result(call, GO, lambda seconds: None)


def test_a_call_states_its_ledger_so_that_any_process_can_collect_it(fake, session):
    call = submit(session)
    assert (call.id, call.backend) == ("ray-1", "ray")
    assert json.loads(call.metadata) == {
        "ledger": "calls-1",
        "engine": "fake",
        "model": "tiny",
        "machine": "ray CPU",
    }
    older = Call(call.item, "ray", 0.0, "ray-0", call.metadata.replace("calls-1", "calls-0"))
    fake.replies = {"ray-0": encode(Reply(transcript=TEXT))}
    assert result(session, older).text == "hello"
    assert {ledger for ledger, method, _ in fake.asked if method == "collect"} == {"calls-0"}


def test_what_is_sent_has_no_title_and_no_address(fake, session):
    secret = Item("file", "a", url="https://token@example.org/a", title="A secret talk")
    session.submit(Audio(secret, Path("a"), data=b"audio"), TranscriptionOptions(), GO)
    assert "secret" not in repr(fake.asked)
    assert "token@" not in repr(fake.asked)


def test_a_recording_that_the_cluster_has_is_not_sent(fake, session):
    fake.answers["admit"] = [{"call": "ray-7", "full": False}]
    assert submit(session).id == "ray-7"
    assert fake.methods() == ["admit"]
    assert session.uploads.items == 0


def test_a_full_cluster_is_waited_for(fake, session, monkeypatch):
    fake.answers["admit"] = [{"call": "", "full": True}, {"call": "", "full": False}]
    assert submit(session).id == "ray-1"
    assert fake.methods() == ["admit", "admit", "submit"]


def test_a_ledger_that_has_ended_is_started_again(fake, session):
    fake.answers["submit"] = [LedgerGone("it ended"), "ray-2"]
    assert submit(session).id == "ray-2"
    assert session.started == [1]


def test_calls_of_a_ledger_that_has_ended_are_lost_and_retried_later(fake, session):
    call = submit(session)
    fake.answers["collect"] = [LedgerGone("it ended")]
    with pytest.raises(RetryableError, match="no longer has this call"):
        result(session, call)
    assert session.usage(call) is None


def test_requests_are_repeated_on_a_new_connection(fake, session):
    fake.answers["submit"] = [Unavailable("no route"), Unavailable("no route"), "ray-3"]
    call = submit(session)
    assert (call.id, fake.reconnected) == ("ray-3", 2)
    fake.answers["collect"] = [Unavailable("no route")]
    fake.replies = {"ray-3": encode(Reply(transcript=TEXT))}
    assert result(session, call).text == "hello"


def test_a_cluster_that_stays_silent_ends_the_run_and_keeps_the_calls(fake, session):
    call = submit(session)
    fake.answers["collect"] = [Unavailable("no route")] * 1000
    with pytest.raises(UserError, match="does not answer: no route") as caught:
        result(session, call)
    assert "collected first" in caught.value.hint
    fake.answers["submit"] = [Unavailable("no route")]
    with pytest.raises(UserError, match="does not answer"):
        submit(session)


def test_workers_that_cannot_start_end_the_run(fake, session):
    call = submit(session)
    fake.answers["collect"] = [{"": encode(Reply(error=SetupError("No GPU.", "Add one.")))}]
    with pytest.raises(SetupError, match="No GPU"):
        result(session, call)


@pytest.mark.parametrize(
    ("reply", "kind", "outcome"),
    [
        (Reply(error=PermanentError("no audio")), PermanentError, "failed"),
        (Reply(error=RetryableError("later")), RetryableError, "failed"),
        (Reply(error=PermanentError("it ended 3"), died=True), PermanentError, "died"),
        (Reply(), RetryableError, "failed"),
    ],
)
def test_a_failure_keeps_its_kind(fake, session, reply, kind, outcome):
    call = submit(session)
    fake.replies = {"ray-1": encode(reply)}
    with pytest.raises(kind) as caught:
        result(session, call)
    assert type(caught.value) is kind
    assert session.usage(call).outcome == outcome


def out_of_memory(fake, call, hint="Take a larger one."):
    fake.replies[call.id] = encode(Reply(error=UserError("The GPU is out of memory.", hint)))
    return call


def test_a_worker_out_of_memory_fails_one_recording_and_three_in_a_row_end_the_run(fake, session):
    fake.answers["submit"] = [f"ray-{number}" for number in range(8)]
    calls = [submit(session) for _ in range(7)]
    for call in calls[:2]:
        with pytest.raises(RetryableError, match="out of memory") as caught:
            result(session, out_of_memory(fake, call))
        assert (type(caught.value), caught.value.hint) == (RetryableError, "Take a larger one.")
        assert session.usage(call).outcome == "failed"
    fake.replies[calls[2].id] = encode(Reply(transcript=TEXT))
    assert result(session, calls[2]).text == "hello"  # the count begins again
    for call in calls[3:6]:
        submit(session)
        with pytest.raises(RetryableError):
            result(session, out_of_memory(fake, call))
    with pytest.raises(UserError, match=r"3 calls in a row .*: The GPU is out of memory") as caught:
        submit(session)
    assert caught.value.hint == "Take a larger one."
    fake.replies[calls[6].id] = encode(
        Reply(transcript=TEXT)
    )  # what is in flight is still collected
    assert result(session, calls[6]).text == "hello"


@pytest.mark.parametrize(
    "metadata", ["", "[]", "{", "null", '{"ledger": 1, "engine": null}', '{"ledger": ""}']
)
def test_a_call_with_damaged_metadata_is_collected_from_this_versions_ledger(
    fake, session, metadata
):
    call = submit(session)
    damaged = Call(call.item, "ray", call.submitted_at, call.id, metadata)
    fake.replies = {"ray-1": encode(Reply(transcript=TEXT))}
    assert result(session, damaged).text == "hello"
    usage = session.usage(damaged)
    assert (usage.engine, usage.model, usage.gpu) == ("fake", "tiny", "ray CPU")
    session.forget(call.item.key)
    fake.replies = {"ray-1": b""}  # the ledger does not know it: the item is tried again
    with pytest.raises(RetryableError, match="no longer has this call"):
        result(session, damaged)


def test_the_ledger_is_told_what_it_may_forget_also_at_the_end(fake, session):
    fake.replies = {"ray-1": encode(Reply(transcript=TEXT))}
    result(session, submit(session))
    session.forget("file:a")
    session.forget("file:unknown")
    session.close()
    forgotten = {
        key
        for _, method, (_, forget, *_) in (each for each in fake.asked if each[1] == "collect")
        for key in forget
    }
    assert forgotten == {"ray-1"}


def test_a_stopped_wait_ends_soon(fake, session):
    stop, call = threading.Event(), submit(session)
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        session.result(call, stop, lambda seconds: None)
    fake.answers["admit"] = [Unavailable("no route")]
    with pytest.raises(Cancelled):
        session.submit(audio(), TranscriptionOptions(), stop)
    assert time.monotonic() - began < 3


# --- Ray's exceptions --------------------------------------------------------------------------------


def example(kind):
    """An instance of an exception class of Ray, however it is built."""
    made = kind.__new__(kind)
    made.args = ("something",)
    try:
        str(made)
    except (AttributeError, TypeError, KeyError):  # it needs what its __init__ sets
        made = kind.__new__(type(kind.__name__, (kind,), {"__str__": lambda self: "something"}))
    return made


RAYS = [
    kind
    for _, kind in inspect.getmembers(ray.exceptions, inspect.isclass)
    if issubclass(kind, Exception) and kind.__module__ == "ray.exceptions"
]


@pytest.mark.parametrize("kind", RAYS, ids=lambda kind: kind.__name__)
def test_every_exception_of_ray_becomes_one_of_ours(kind):
    with pytest.raises((SetupError, LedgerGone, Unavailable)), cluster_errors():
        raise example(kind)


def test_the_table_of_exceptions_is_the_one_of_ray():
    assert len(RAYS) > 30


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ray.exceptions.ActorDiedError(), LedgerGone, "has ended"),
        (ray.exceptions.ActorUnavailableError("gone", None), Unavailable, ""),
        (ray.exceptions.GetTimeoutError("too long"), Unavailable, "too long"),
        (ValueError("Failed to look up actor with name 'x'"), LedgerGone, "no such ledger"),
        (ConnectionError("ray client connection timeout"), Unavailable, "timeout"),
        (Exception("anything\nat all"), Unavailable, "anything at all"),
        (ModuleNotFoundError("No module named 'av'"), SetupError, "lacks a package"),
        (ModuleNotFoundError("No module", name="grpc"), SetupError, "needs the package 'grpcio'"),
    ],
)
def test_exceptions_are_what_happens_next(error, kind, words):
    translated = translate(error)
    assert type(translated) is kind
    assert words in translated.message


def test_our_errors_and_cancellations_are_not_translated():
    for error in (Cancelled(), UserError("x"), LedgerGone("x")):
        with pytest.raises(type(error)), cluster_errors():
            raise error


@pytest.mark.parametrize("differing", ["ray_version", "python_version"])
def test_versions_that_differ_are_refused_with_a_sentence(differing):
    """Ray's client compares them when it connects, with this function."""
    theirs = {
        "ray_version": ray.__version__,
        "python_version": ".".join(map(str, sys.version_info[:3])),
        differing: "3.8.1",
    }
    refused = pytest.raises(SetupError, match="differs between this machine and the cluster")
    with refused as caught, cluster_errors():
        ray._private.utils.check_version_info(
            theirs, "Ray Client", raise_on_mismatch=True, python_version_match_level="minor"
        )
    assert "same versions" in caught.value.hint
    assert "3.8.1" in caught.value.message


@pytest.mark.parametrize(
    "address", ["HOST:10001", "ray://host", "ray://:10001", "auto", "", "ray://h:x"]
)
def test_an_address_that_is_none_is_refused_before_anything_is_started(address):
    with pytest.raises(UserError, match="not the address of a Ray cluster"):
        RayBackend(RayOptions(address=address))
    assert checked_address("ray://head.example:10001") == "ray://head.example:10001"
    assert checked_address("ray://[::1]:10001")


# --- Workers -----------------------------------------------------------------------------------------


def test_a_reply_survives_the_way_home():
    reply = Reply(transcript=TEXT, gpu_seconds=1.5, first=True)
    assert decode(encode(reply)) == reply
    for unreadable in (b"", b"x", encode(Reply()), zlib.compress(b"[1]")):
        assert decode(unreadable).error.message.startswith("Its result cannot be read: ")
    odd = Reply(error=PermanentError("x", Path("y")))  # of an engine that does not keep to text
    assert decode(encode(odd)).error.args == ("x", "y")


def test_packages_that_are_missing_or_of_another_version_are_found():
    from importlib.metadata import version

    import click

    wanted = [f"click=={version('click')}", "click==0.1", "no-such-package==1.0", "click"]
    assert ray_worker.missing_packages(wanted) == ["click==0.1", "no-such-package==1.0"]
    assert click


def test_an_engines_variables_are_set_and_libraries_on_its_path_loaded(tmp_path, monkeypatch):
    source = tmp_path / "answer.c"
    source.write_text("int homescribe_answer(void) { return 42; }")
    library = tmp_path / "libanswer.so"
    try:
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs a C compiler")
    (tmp_path / "broken.so").write_text("not a library")
    code = (
        "import ctypes, os; from homescribe.backends.ray.ray_worker import set_environment\n"
        f"set_environment([('LD_LIBRARY_PATH', {str(tmp_path)!r}), ('PLACE', '{{site_packages}}/x')])\n"
        "print(ctypes.CDLL(None).homescribe_answer(), os.environ['PLACE'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    answer, place = done.stdout.split()
    assert answer == "42"
    assert place.endswith("site-packages/x")


def test_a_worker_of_another_version_is_refused():
    actor = ray_worker.TranscribingActor(SPEC)
    error = decode(actor.load("0.0.1")).error
    assert type(error) is SetupError
    assert "and this machine 0.0.1" in error.message
    missing = decode(actor.load(ray_worker.__version__)).error
    assert type(missing) is SetupError
    assert "fake cannot load tiny" in missing.message
    assert "No module named 'fakes'" in missing.message


class Mute(Exception):
    """An exception without a text."""

    def __str__(self):
        raise AttributeError("it was never set")


class Raising:
    def __init__(self, error):
        self.error = error

    def transcribe(self, audio, options, stop, progress):
        raise self.error


@pytest.mark.parametrize("error", [Mute(), MemoryError()])
def test_an_exception_without_a_text_is_a_reply_and_ends_the_worker(error):
    actor = ray_worker.TranscribingActor(SPEC)
    actor._engine = Raising(error)
    sent = make_request(audio(), b"audio", TranscriptionOptions(), "ray CPU", "fake", "tiny")
    content, worn_out = actor.transcribe(b"audio", sent, "ray-1")
    assert decode(content).error.message == f"The engine crashed: {type(error).__name__}"
    assert worn_out
    actor = ray_worker.TranscribingActor(SPEC)
    actor._loaded = lambda: Raising(error).transcribe(None, None, None, None)
    assert decode(actor.load(ray_worker.__version__)).error.message.endswith(type(error).__name__)


def test_the_code_of_this_machine_has_a_name_that_changes_with_it(monkeypatch):
    assert cluster.fingerprint(["homescribe"]) == cluster.fingerprint(["homescribe"])
    before = cluster.fingerprint(["homescribe"])
    monkeypatch.setattr(cluster, "source_files", lambda package: [("a.py", b"changed")])
    assert cluster.fingerprint(["homescribe"]) != before


def test_a_token_is_in_the_environment_only_while_ray_connects(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    with cluster._token_set("secret"):
        assert (os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"]) == ("token", "secret")
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_errors_of_the_cluster_are_homescribes():
    assert issubclass(LedgerGone, HomescribeError)
