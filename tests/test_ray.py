"""The Ray backend on a real Ray cluster of this machine, with two workers."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the extra ray")


from homescribe.backends.ray.ray_backend import RayBackend, RayOptions
from homescribe.core import Audio, Item, TranscriptionOptions
from homescribe.errors import (
    Cancelled,
    PermanentError,
    RetryableError,
    UserError,
)
from ray_cluster import processes_of, ray_cluster, wait_until

pytestmark = [
    pytest.mark.slow,
    # Of Ray's own code.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
GO = threading.Event()  # never set: these sessions are not stopped


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with ray_cluster(tmp_path_factory.mktemp("ray")) as running:
        yield running
    wait_until(lambda: not processes_of(running.state), 60)


@pytest.fixture(scope="module")
def session(cluster):
    """A session with two workers of the stumbling engine."""
    with RayBackend(RayOptions(workers=2)).start("stumbling", "any") as started:
        yield started


def audio(number, what):
    item = Item("file", str(number), url="", title=f"Talk {number}")
    return Audio(item, Path(str(number)), duration=60.0, data=what.encode())


def transcribe(session, *works):
    """Submit everything, wait for all, and return texts or errors in this order."""
    options = TranscriptionOptions()
    calls = [session.submit(work, options, GO) for work in works]
    results = []
    for call in calls:
        try:
            results.append(session.result(call, GO, lambda seconds: None).text)
        except (RetryableError, PermanentError, UserError) as error:
            results.append(error)
        session.forget(call.item.key)
    return results


def test_recordings_are_transcribed_and_two_meet_in_one_worker(session, cluster):
    works = [audio(f"meet{n}", f"meet {n}") for n in range(4)]
    assert transcribe(session, *works) == ["met True"] * 4
    assert len({pid for key, pid in cluster.lines("begin") if key.startswith("meet")}) == 2
    assert session.uploads.items >= 4
    assert session.slots == 8


def test_errors_keep_their_kind_and_a_foreign_one_fails_one_recording(session):
    whats = ["permanent", "memory", "foreign", "exit", "nothing", "fine"]
    results = transcribe(session, *(audio(f"kind-{what}", what) for what in whats))
    permanent, memory, foreign, ended, nothing, fine = results
    assert (type(permanent), permanent.args) == (
        PermanentError,
        ("There is no audio.", "Take another file."),
    )
    assert (type(memory), memory.message, memory.hint) == (
        RetryableError,
        "The GPU is out of memory.",
        "Take a larger one.",
    )
    assert type(foreign) is type(ended) is type(nothing) is RetryableError
    assert foreign.message == "The engine crashed: Foreign: CUDA and trouble"
    assert ended.message == "The engine crashed: SystemExit: 3"
    assert nothing.message == "The engine crashed: TypeError: its transcript is a NoneType"
    assert fine == "fine"


def test_a_recording_that_ends_workers_fails_alone(session, cluster):
    works = [audio("die", "die"), *(audio(f"beside{n}", f"sleep 0.2 {n}") for n in range(6))]
    died, *others = transcribe(session, *works)
    assert type(died) is PermanentError
    assert died.message.startswith("3 workers ended while they transcribed it")
    assert others == [f"sleep 0.2 {n}" for n in range(6)]
    assert [key for key, _ in cluster.lines("begin")].count("die") == 3


def test_a_worker_that_is_killed_is_replaced_and_its_recordings_are_retried(session, cluster):
    before = figures(session)
    works = [audio(f"killed{n}", f"sleep 1.5 {n}") for n in range(4)]
    killer = threading.Thread(target=kill_a_worker, args=(cluster, "killed"))
    killer.start()
    assert transcribe(session, *works) == [f"sleep 1.5 {n}" for n in range(4)]
    killer.join()
    after = figures(session)
    assert after["deaths"] - before["deaths"] == 1
    assert after["retried"] - before["retried"] in (1, 2)


def test_a_recording_is_submitted_once_however_often_the_client_tries(session, cluster):
    """The client may end after the cluster has taken a recording, and before its id is stored."""
    work, options = audio("twice", "sleep 0.5"), TranscriptionOptions()
    first, second = (session.submit(work, options, GO) for _ in range(2))
    assert first.id == second.id
    other = session.submit(work, TranscriptionOptions(beam_size=2), GO)
    assert other.id != first.id
    for call in (first, other):
        session.result(call, GO, lambda seconds: None)
    assert [key for key, _ in cluster.lines("begin")].count("twice") == 2
    # It is collected, so a new request is new work.
    again = session.submit(work, options, GO)
    assert again.id != first.id
    session.result(again, GO, lambda seconds: None)


def test_a_reply_is_kept_until_it_is_forgotten(session):
    call = session.submit(audio("kept", "kept"), TranscriptionOptions(), GO)
    for _ in range(2):  # the client may end before it has stored the first
        assert session.result(call, GO, lambda seconds: None).text == "kept"
    session.forget("file:kept")

    def gone():
        try:
            session.result(call, GO, lambda seconds: None)
        except RetryableError as error:
            return error
        return None

    assert "no longer has this call" in wait_until(gone).message


def test_seconds_are_measured_and_cost_nothing(session):
    call = session.submit(audio("measured", "sleep 0.5"), TranscriptionOptions(), GO)
    assert session.usage(call) is None
    session.result(call, GO, lambda seconds: None)
    usage = session.usage(call)
    assert 0.4 < usage.gpu_seconds < 5
    assert (usage.engine, usage.model, usage.gpu) == ("stumbling", "any", "ray CPU")
    assert (usage.dollars, usage.audio_seconds, usage.outcome) == (0.0, 60.0, "done")


def test_a_stopped_wait_ends_soon_and_the_call_goes_on(session):
    call = session.submit(audio("stopped", "sleep 1"), TranscriptionOptions(), GO)
    stop, began = threading.Event(), time.monotonic()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(Cancelled):
        session.result(call, stop, lambda seconds: None)
    assert time.monotonic() - began < 0.9
    assert session.result(call, GO, lambda seconds: None).text == "sleep 1"
    with pytest.raises(Cancelled):
        session.submit(audio("late", "x"), TranscriptionOptions(), stop)


def test_what_the_engine_cannot_do_is_refused_before_anything_is_sent(session):
    with pytest.raises(UserError, match="cannot translate"):
        session.submit(audio("x", "x"), TranscriptionOptions(task="translate"), GO)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_broken_connection_is_made_again_and_nothing_is_done_twice(session, cluster):
    call = session.submit(audio("broken", "sleep 4"), TranscriptionOptions(), GO)
    before = session._cluster.connection
    for pid in processes_of(cluster.state):
        if "specific-server" in Path(f"/proc/{pid}/cmdline").read_text():  # for this connection
            os.kill(pid, signal.SIGKILL)
    assert session.result(call, GO, lambda seconds: None).text == "sleep 4"
    assert transcribe(session, audio("after", "fine")) == ["fine"]
    assert session._cluster.connection > before
    assert [key for key, _ in cluster.lines("begin")].count("broken") == 1


# --- Helpers ---------------------------------------------------------------------------------------


def figures(session):
    [pool] = session._cluster.ask(session._cluster.name, "status")
    return pool


def kill_a_worker(cluster, prefix):
    """Kill a worker process that transcribes an item whose id starts with `prefix`."""

    def working():
        pids = cluster.working()
        return [
            pid for key, pid in cluster.lines("begin") if key.startswith(prefix) and pid in pids
        ]

    os.kill(wait_until(working)[0], signal.SIGKILL)
