"""Containers that start from a copy of another one's memory, as far as the client's own code goes.

The stand-in copies no memory: the container takes the steps of a copied one and goes on. Shown is that it
transcribes after these steps, and that calls are measured from then on.
"""

import json

import pytest

from command_line import CommandLine
from homescribe import demo
from homescribe.backends import meter
from homescribe.backends.modal import modal_transcribe
from homescribe.backends.modal.claims import Claims
from homescribe.backends.modal.worker import Worker
from homescribe.core import EngineRequirements
from homescribe.plugins import BUILT_IN, load
from modal_standin import Standin


@pytest.mark.containers
@pytest.mark.slow
def test_a_container_that_was_copied_transcribes(tmp_path):
    state = tmp_path / "restored.json"
    state.write_text(json.dumps({"snapshot_debug": "0"}))
    variables = {"MODAL_ENABLE_SNAP_RESTORE": "1", "MODAL_RESTORE_STATE_PATH": str(state)}
    with Standin(
        max_containers=1, grace=0.5, container_env={"OMP_NUM_THREADS": "1", **variables}
    ) as standin:
        run = CommandLine(tmp_path, standin.environment(), model="demo", gpu="CPU").run
        run("add", str(demo.samples() / "fox-20s.mp3"))
        code, _, err = run("run", "--backend", "modal", "--engine", "faster-whisper")
        assert code == 0, err
        assert standin.control.requests["container", "ContainerCheckpoint"] == 1
        code, out, _ = run("search", "quick brown fox", "--json")
        assert "quick brown fox" in json.loads(out)[0]["text"]
        functions = [f for f in standin.control.functions.values() if f.definition.is_class]
        assert functions
        assert all(f.definition.checkpointing_enabled for f in functions)


def test_a_copied_container_is_measured_from_its_own_start(monkeypatch):
    """Not from that of the one that was copied, which may be a week ago."""
    monkeypatch.setattr(meter, "STARTED", -604_800.0)
    monkeypatch.setattr(meter, "TASK", "ta-1")
    monkeypatch.setattr(meter.time, "monotonic", lambda: 5.0)
    monkeypatch.setenv("MODAL_TASK_ID", "ta-1")
    assert meter.container_start() == -604_800.0
    monkeypatch.setenv("MODAL_TASK_ID", "ta-2")  # as Modal's client does in a copied container
    assert meter.container_start() == 5.0


def test_a_failed_load_is_not_copied_into_later_containers():
    def fail():
        raise OSError("a bad disk")

    failed = Worker("e", "m", Claims({}), fail, bool)
    loaded = Worker("e", "m", Claims({}), object, bool)
    assert modal_transcribe.keep_if_loaded(failed) is None
    assert modal_transcribe.keep_if_loaded(loaded) is loaded


@pytest.mark.parametrize("engine", BUILT_IN["engines"])
def test_engines_state_what_to_import_before(engine):
    assert {"av", "onnxruntime"} <= set(load("engines", engine).requirements.imports)


def test_a_library_that_cannot_be_imported_is_reported_when_the_model_is_loaded(monkeypatch):
    class Broken:
        requirements = EngineRequirements(
            packages=(), languages=(), download=print, imports=("no_such_module",)
        )

    monkeypatch.setattr(modal_transcribe, "load_class", lambda: Broken)
    modal_transcribe.import_libraries()
