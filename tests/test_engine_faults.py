"""What is the engine's or the machine's fault ends a run and fails no recording."""

import os
import shutil
import threading

import pytest

from command_line import CommandLine, install_package
from fake_plugins import FakeBackend, FakeSource, fill, item, run, states, transcript
from homescribe import demo
from homescribe.errors import PermanentError, SetupError, UserError
from homescribe.library import Library
from homescribe.pipeline.engine_faults import IN_A_ROW, is_machines

CHECK = "check of the engine"


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as opened:
        yield opened


class Engine:
    """Raises `error` for the items in `bad`, or for all after it `breaks` at an item; counts what it gets."""

    def __init__(self, error=None, bad=(), breaks=None):
        self.error = error or RuntimeError("an assertion failed")
        self.bad = bad
        self.breaks = breaks
        self.seen = []
        self.lock = threading.Lock()

    def __call__(self, audio):
        with self.lock:
            self.seen.append(audio.item.id.removeprefix("site-"))
            broken = self.breaks in self.seen
        if broken or audio.item.id in self.bad:
            raise self.error
        return transcript()


def attempted(library, engine, slots=1, ids=False):
    """Run; return the number of outcomes with an error, and the error that ended the run."""
    backend = FakeBackend(engine, slots, ids)
    failed = 0
    try:
        for outcome in run(
            library, FakeSource(), backend, known_good=demo.samples() / "fox-20s.mp3"
        ):
            failed += outcome.error is not None
    except UserError as error:
        return failed, error
    return failed, None


@pytest.mark.parametrize("slots", [1, 3])
def test_an_engine_that_is_broken_ends_the_run_and_the_items_stay_pending(library, slots):
    fill(library, [item(n) for n in range(60)])
    engine = Engine(breaks="0")
    failed, error = attempted(library, engine, slots)
    assert (failed, type(error)) == (0, SetupError)
    assert "RuntimeError" in error.message
    assert "\n" not in error.message
    assert "doctor" in error.hint
    before = engine.seen.index("0")  # items that other slots began before the engine broke
    assert before < slots
    assert sorted(states(library).values()) == ["done"] * before + ["pending"] * (60 - before)
    assert (engine.seen.count(CHECK), len(engine.seen) < 20) == (1, True)
    assert [record.attempts for record in library.items()] == [0] * 60
    assert any("checking-fake" in path.name for path in (library.directory / "logs").iterdir())
    # Repaired, everything is transcribed.
    assert attempted(library, Engine()) == (0, None)
    assert set(states(library).values()) == {"done"}


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'ctranslate2'"),
        OSError("libcudnn_ops.so.9: cannot open shared object file"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("CUDA failed with error no CUDA-capable device is detected"),
        RuntimeError("cuBLAS failed with status CUBLAS_STATUS_NOT_SUPPORTED"),
    ],
)
def test_one_failure_that_names_the_machine_suffices(library, error):
    fill(library, [item(n) for n in range(30)])
    engine = Engine(error, breaks="8")
    failed, ended = attempted(library, engine)
    assert (failed, type(ended)) == (0, SetupError)
    found = list(states(library).values())
    assert (found.count("done"), found.count("pending")) == (8, 22)
    assert is_machines(error)


def test_recordings_that_an_engine_cannot_read_fail_and_the_rest_goes_on(library):
    fill(library, [item(n) for n in range(20)])
    bad = {f"site-{n}" for n in range(15)}
    engine = Engine(bad=bad)
    assert attempted(library, engine) == (15, None)
    found = states(library)
    assert {name for name, state in found.items() if state == "failed"} == bad
    assert list(found.values()).count("done") == 5
    assert 1 <= engine.seen.count(CHECK) <= 3  # after 3, 6, 12
    assert [engine.seen.count(str(n)) for n in range(20)] == [1] * 20
    assert library.item("site-0").error.startswith("Internal error")


def test_a_few_failures_are_those_of_their_recordings(library):
    fill(library, [item(n) for n in range(IN_A_ROW - 1)])
    engine = Engine(bad={f"site-{n}" for n in range(IN_A_ROW)})
    assert attempted(library, engine) == (IN_A_ROW - 1, None)
    assert set(states(library).values()) == {"failed"}
    assert CHECK not in engine.seen


def test_failures_with_successes_between_them_are_those_of_their_recordings(library):
    fill(library, [item(n) for n in range(12)])
    engine = Engine(bad={f"site-{n}" for n in range(0, 12, 2)})
    assert attempted(library, engine) == (6, None)
    assert CHECK not in engine.seen


def test_undecodable_recordings_are_no_evidence(library):
    fill(library, [item(n) for n in range(10)])
    engine = Engine(PermanentError("No audio."), bad={f"site-{n}" for n in range(10)})
    assert attempted(library, engine) == (10, None)
    assert CHECK not in engine.seen


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize(
    "error",
    [RuntimeError("it is broken now"), RuntimeError("CUDA error: device-side assert triggered")],
)
def test_a_recording_that_breaks_the_engine_does_so_once(library, error, slots):
    """The next run transcribes the others first; then it fails alone, and waits as others that failed."""
    fill(library, [item(n) for n in range(9)])
    assert isinstance(attempted(library, Engine(error, breaks="4"), slots)[1], SetupError)
    assert states(library)["site-4"] == "pending"
    for _ in range(slots + 1):
        attempted(library, Engine(error, breaks="4"), slots)
    found = states(library)
    assert (found.pop("site-4"), set(found.values())) == ("failed", {"done"})
    assert not library.item("site-4").permanent
    # It never becomes a suspect, since no process died.
    assert attempted(library, Engine(error, breaks="4"), slots) == (0, None)


def test_a_run_that_is_stopped_records_what_was_held_back(library):
    fill(library, [item(n) for n in range(5)])
    stop = threading.Event()

    def transcribing(audio):
        if audio.item.id == "site-2":
            stop.set()
        raise RuntimeError("an assertion failed")

    backend = FakeBackend(transcribing)
    known_good = demo.samples() / "fox-20s.mp3"
    outcomes = list(run(library, FakeSource(), backend, known_good=known_good, stop=stop))
    assert 2 <= len(outcomes) <= 5
    assert list(states(library).values()).count("failed") == len(outcomes)


def test_the_error_of_a_check_that_says_what_to_do_ends_the_run(library):
    fill(library, [item(n) for n in range(5)])

    def transcribing(audio):
        if audio.item.id == CHECK:
            raise UserError("The GPU has too little memory.", "Choose a smaller model.")
        raise RuntimeError("an assertion failed")

    failed, error = attempted(library, transcribing)
    assert (failed, error.message) == (0, "The GPU has too little memory.")
    assert set(states(library).values()) == {"pending"}


def test_calls_elsewhere_are_not_checked(library):
    fill(library, [item(n) for n in range(5)])
    engine = Engine(bad={f"site-{n}" for n in range(5)})
    assert attempted(library, engine, ids=True) == (5, None)
    assert CHECK not in engine.seen


class Broken(RuntimeError):
    def __str__(self):
        raise ValueError("an exception that cannot be shown")


def test_an_exception_that_cannot_be_shown_is_no_evidence():
    assert not is_machines(Broken())
    assert not is_machines(IndexError("list index out of range"))


ENGINE = """
from homescribe.core import EngineRequirements, Transcript


class Broken:
    name = "broken"
    slots = 1
    requirements = EngineRequirements((), ("en",), lambda model, folder: None)

    def __init__(self, model):
        self.model = model

    def transcribe(self, audio, options, stop, progress):
        raise RuntimeError("CUDA error: the launch timed out and was terminated")

    def close(self):
        pass
"""


@pytest.mark.slow
def test_a_broken_engine_at_the_command_line(tmp_path, clips):
    talks = tmp_path / "talks"
    talks.mkdir()
    for name in ("ep1.mp3", "ep2.mp3", "dub.mp3"):
        shutil.copy(clips / name, talks / name)
        os.utime(talks / name, (1e9, 1e9))  # what has just changed is left out
    points = {"homescribe.engines": {"broken": "broken_engine:Broken"}}
    install_package(tmp_path / "site", "broken-engine", {"broken_engine.py": ENGINE}, points)
    command_line = CommandLine(
        tmp_path, {"PYTHONPATH": str(tmp_path / "site")}, engine="broken", model="any"
    )
    code, _, err = command_line.run("transcribe", talks, "-o", tmp_path / "out")
    assert code == 3, err
    [line] = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert line.startswith("Error: The engine broken does not work: it failed with 1 recording")
    assert "failed:" not in err
    _, text, _ = command_line.run("list")
    assert [row.split("\t")[0] for row in text.splitlines()] == ["pending"] * 3


def test_no_thread_that_ran_an_engine_is_left_after_a_run(library):
    """The interpreter's exit would end it inside the engine's own libraries, and the process with it."""
    fill(library, [item(n) for n in range(6)])
    assert attempted(library, Engine(), 3) == (0, None)
    assert not [one.name for one in threading.enumerate() if one.name.startswith("slot ")]
