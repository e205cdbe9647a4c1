"""The Modal backend from the command line, each command in its own process, against the stand-in."""

import json
import wave

import pytest

from command_line import CommandLine
from homescribe import demo
from homescribe.audio import SAMPLE_RATE, decode
from homescribe.backends.modal.images import lock_file
from modal_standin import Standin


@pytest.fixture(scope="module")
def standin():
    with Standin(max_containers=1, grace=0.5, container_env={"OMP_NUM_THREADS": "1"}) as running:
        yield running


@pytest.fixture
def homescribe(standin, tmp_path):
    """A function that runs a command on a new library and returns exit code, stdout and stderr."""
    return CommandLine(tmp_path, standin.environment(), model="demo", gpu="CPU").run


def test_plan_run_and_status_of_a_folder(homescribe, standin):
    homescribe("add", str(demo.samples()))
    code, out, err = homescribe("plan", "--backend", "modal", "--json")
    assert code == 0, err
    planned = json.loads(out)
    assert planned["items"] == 3
    assert planned["bytes_up"] > 400_000
    assert [row["gpu"] for row in planned["rows"]] == ["", "CPU"]

    code, _, err = homescribe("run", "--backend", "modal", "--max-cost", "0.0001")
    assert code == 4, err
    assert "the limit is $0.00" in err
    assert standin.calls() == []  # nothing was sent

    code, _, err = homescribe("run", "--backend", "modal", "--max-cost", "1")
    assert code == 0, err
    assert "3 items transcribed" in err
    code, out, _ = homescribe("search", "quick brown fox", "--json")
    assert "quick brown fox" in json.loads(out)[0]["text"]

    # The default engine, though this machine needs no torch for it.
    assert all("openai_whisper" in call.function.name for call in standin.calls())
    code, out, _ = homescribe("status", "--json")
    spent = json.loads(out)["spent"]
    assert spent["calls"] == 3
    assert spent["dollars"] > 0
    assert spent["times_realtime"] > 0
    code, out, _ = homescribe("plan", "--gpu", "cpu", "--json")
    assert json.loads(out)["rows"][1]["speed_source"] == "3 calls of this library"


def test_smaller_copies_are_uploaded_and_removed_in_the_end(homescribe, standin, tmp_path):
    recording = tmp_path / "talk.wav"
    samples = decode(demo.samples() / "fox-20s.mp3")
    with wave.open(str(recording), "wb") as out:
        out.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        out.writeframes((samples * 32767).astype("int16").tobytes())
    homescribe("add", str(recording))
    before = set(standin.control.blobs)
    code, _, err = homescribe("run", "--backend", "modal", "--upload", "speech")
    assert code == 0, err
    sent = [len(data) for name, data in standin.control.blobs.items() if name not in before]
    assert 0 < max(sent) < recording.stat().st_size / 8
    assert "It is thirty five on Saturday." in homescribe("show", f"{recording}")[1]
    assert recording.exists()
    assert not list(tmp_path.rglob("audio.speech*"))


def test_the_app_is_deployed_shown_and_stopped(homescribe):
    assert homescribe("modal", "deploy")[0] == 0
    code, out, err = homescribe("modal", "status")
    assert code == 0, err
    assert "deployed   0.1.0-" in out
    assert "in flight  0 calls" in out
    assert "Stopped." in homescribe("modal", "stop")[2]
    assert "deployed   nothing" in homescribe("modal", "status")[1]
    assert "Nothing is deployed." in homescribe("modal", "stop")[2]


def test_the_image_of_an_engine_is_built_when_the_engine_is_requested(tmp_path):
    with Standin(max_containers=1, grace=0.5, container_env={"OMP_NUM_THREADS": "1"}) as standin:
        run = CommandLine(tmp_path, standin.environment(), model="demo", gpu="CPU").run

        def deployed():
            (app,) = standin.control.deployed.values()
            return sorted(standin.control.layouts[app][1])

        def built(engine):
            files = [
                file.data.decode()
                for image in standin.control.images.values()
                for file in image.context_files
            ]
            return lock_file(engine).read_text() in files

        assert run("modal", "deploy")[0] == 0
        assert deployed() == ["transcribe_openai_whisper"]
        assert built("openai-whisper")
        assert not built("faster-whisper")
        run("add", str(demo.samples() / "fox-20s.mp3"))
        code, _, err = run("run", "--backend", "modal", "--engine", "faster-whisper")
        assert code == 0, err
        assert deployed() == ["transcribe_faster_whisper", "transcribe_openai_whisper"]
        before = len(standin.moments("deploy"))
        assert run("modal", "deploy")[0] == 0  # keeps what another command needed
        assert deployed() == ["transcribe_faster_whisper", "transcribe_openai_whisper"]
        assert len(standin.moments("deploy")) == before + 1
        code, _, err = run("modal", "deploy", "--engine", "no-such-engine")
        assert code == 2
        assert "no engine named 'no-such-engine'" in err


def test_an_unknown_gpu_is_one_line_and_exit_2(homescribe):
    homescribe("add", str(demo.samples()))
    for command in (("run", "--backend", "modal"), ("plan",)):
        code, _, err = homescribe(*command, "--gpu", "RTX4090")
        assert code == 2
        assert "Modal has no GPU named 'RTX4090'" in err
        assert "Traceback" not in err


@pytest.mark.parametrize("command", [("status",), ("deploy",), ("stop",)])
def test_an_unknown_environment_is_named_by_every_command(homescribe, standin, tmp_path, command):
    variables = {**standin.environment(), "MODAL_ENVIRONMENT": "attic"}
    code, _, err = CommandLine(tmp_path, variables).run("modal", *command)
    assert code == 3, err
    assert "Modal has no environment named 'attic'" in err
    assert "MODAL_ENVIRONMENT" in err


def test_a_model_of_the_hub_at_modal_leads_to_the_engine_that_loads_it(homescribe):
    homescribe("add", str(demo.samples()))
    code, _, err = homescribe("run", "--backend", "modal", "--model", "acme/tiny")
    assert code == 2, err
    assert "need --engine faster-whisper" in err


def test_without_a_token_the_hint_says_how_to_get_one(homescribe):
    homescribe("add", str(demo.samples()))
    missing = {"without": ("MODAL_TOKEN_ID", "MODAL_TOKEN_SECRET")}
    code, _, err = homescribe("run", "--backend", "modal", **missing)
    assert code == 3
    assert "modal setup" in err
    assert "Traceback" not in err
    assert homescribe("plan", "--backend", "modal", **missing)[0] == 0  # by published prices


def test_a_plan_with_the_accounts_own_rates_names_them(homescribe, standin):
    homescribe("add", str(demo.samples()))
    standin.settings.rates = {"cpu_core": "0.00002", "memory_gib": "0.000003"}
    dearer = json.loads(homescribe("plan", "--backend", "modal", "--json")[1])
    standin.settings.rates = {}
    usual = json.loads(homescribe("plan", "--backend", "modal", "--json")[1])
    assert dearer["prices"] == "the account's own rates"
    assert "modal.com/pricing" in usual["prices"]
    assert dearer["rows"][1]["dollars"] > usual["rows"][1]["dollars"]
