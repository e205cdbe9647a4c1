"""The Modal backend against the stand-in: the real client, real containers, no cloud."""

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpclib
import modal
import pytest

from homescribe import demo
from homescribe.backends import wire
from homescribe.backends.meter import Meter
from homescribe.backends.modal import (
    images,
    modal_errors,
    modal_transcribe,
)
from homescribe.backends.modal.backend import ModalBackend
from homescribe.backends.modal.claims import Claims
from homescribe.backends.modal.session import ModalOptions, ModalSession
from homescribe.backends.modal.worker import Worker
from homescribe.backends.repeated_failures import MOST
from homescribe.backends.wire import Reply
from homescribe.core import Audio, Call, Item, Segment, Transcript, TranscriptionOptions, Word
from homescribe.cost import prices
from homescribe.engines.batch_engine import PACKAGES
from homescribe.engines.faster_whisper import FasterWhisper
from homescribe.errors import (
    BudgetReached,
    Cancelled,
    HomescribeError,
    PermanentError,
    RetryableError,
    SetupError,
    UserError,
)
from modal_session import GO, instruction, run_to_end, sample, working
from speech_samples import assert_words, sample_text

# --- Submit and collect ----------------------------------------------------------------------------


def test_every_sample_is_returned_with_its_words_and_its_price(standin):
    names = {"fox-20s": ".mp3", "channel-40s": ".webm", "numbers-60s": ".m4a"}
    with working() as session:
        calls = {
            name: session.submit(sample(name + suffix), TranscriptionOptions(), GO)
            for name, suffix in names.items()
        }
        for name, call in calls.items():
            transcript = session.result(call, GO, lambda seconds: None)
            assert_words(sample_text(name), transcript.text)
            assert transcript.model == "demo"
            used = session.usage(call)
            assert used.outcome == "done"
            assert used.audio_seconds == transcript.duration
            paid_seconds = used.gpu_seconds + used.overhead_seconds
            assert used.dollars == pytest.approx(paid_seconds * json.loads(call.metadata)["rate"])
        assert (session.uploads.items, session.uploads.current) == (3, "")
        assert session.uploads.bytes == sum(
            (demo.samples() / (name + suffix)).stat().st_size for name, suffix in names.items()
        )
        assert session.uploads.rate > 0
        firsts = [c for c in calls.values() if session.usage(c).overhead_seconds > 10.0]
        assert firsts, "boot and idle end are charged to a container's first call"
    assert not standin.control.unimplemented


def test_another_session_collects_a_call_by_its_id(standin):
    with working() as session:
        call = session.submit(sample(), TranscriptionOptions(), GO)
    bare = Call(call.item, "modal", call.submitted_at, call.id, call.metadata)
    with working() as session:
        transcript = session.result(bare, GO, lambda seconds: None)
        assert_words(sample_text("fox-20s"), transcript.text)


def test_options_reach_the_engine(standin):
    with working() as session:
        _, plain = run_to_end(session, sample())
        _, timed = run_to_end(session, sample(), TranscriptionOptions(word_timestamps=True))
    assert not any(segment.words for segment in plain.segments)
    assert all(segment.words for segment in timed.segments)


def test_the_same_recording_submitted_twice_is_transcribed_once(standin):
    """As when the client is killed after Modal has the call and before the library has its id."""
    audio = sample("channel-40s.webm", "twice")
    with working() as session:
        first = session.submit(audio, TranscriptionOptions(), GO)
        again = session.submit(audio, TranscriptionOptions(), GO)
        both = {session.result(call, GO, lambda seconds: None) for call in (first, again)}
        assert len(both) == 1
        replies = [session._collect(call.id, GO) for call in (first, again)]
        assert sorted(bool(reply.claimed_by) for reply in replies) == [False, True]
        # The one that found it claimed has its own boot beside the price of the other.
        claiming = again if replies[1].claimed_by else first
        used = session.usage(claiming)
        assert used.gpu_seconds == pytest.approx(sum(reply.gpu_seconds for reply in replies))
        assert used.boots == sum(reply.first for reply in replies)
        idle = used.boots * prices.SCALEDOWN_WINDOW
        overhead = sum(reply.overhead_seconds for reply in replies)
        assert used.overhead_seconds == pytest.approx(overhead + idle)


def test_titles_urls_and_channels_are_not_sent(standin):
    audio = sample()
    item = dataclasses.replace(
        audio.item, title="A SECRET TITLE", url="https://user:SECRET@example.org/", channel="SECRET"
    )
    with working() as session:
        call, _ = run_to_end(session, dataclasses.replace(audio, item=item))
    sent = [
        given.message.SerializeToString()
        for given in standin.control.calls[call.id].inputs.values()
    ]
    assert not any(b"SECRET" in part for part in [*sent, *standin.control.blobs.values()])
    assert "SECRET" not in call.metadata
    assert not any("SECRET" in line for line in standin.control.logs)


def test_a_deployed_version_is_not_deployed_again(standin):
    with working():
        pass
    before = len(standin.moments("deploy"))
    with working():
        pass
    assert len(standin.moments("deploy")) == before
    assert ModalBackend().deployed()[0] == modal_transcribe.FINGERPRINT


def test_a_version_does_not_replace_another_one(standin, monkeypatch):
    """Two machines with different versions, one after the other, twice."""
    with working("stumbling") as session:
        before = len(standin.moments("deploy"))
        call = session.submit(instruction("once", "of the older"), TranscriptionOptions(), GO)
        older = modal_transcribe.APP, modal_transcribe.FINGERPRINT
        assert older[0] == f"homescribe-{older[1]}"
        monkeypatch.setattr(modal_transcribe, "APP", "homescribe-9.9.9-newer")
        monkeypatch.setattr(modal_transcribe, "FINGERPRINT", "9.9.9-newer")
        with working("stumbling") as newer:
            run_to_end(newer, instruction("of the newer"))
        assert len(standin.moments("deploy")) == before + 1
        assert set(ModalBackend().deployed()) >= {older[1], "9.9.9-newer"}
        assert ModalBackend().deployed()[0] == "9.9.9-newer"
        monkeypatch.undo()
        with working("stumbling"):
            pass
        assert len(standin.moments("deploy")) == before + 1
        assert session.result(call, GO, lambda seconds: None).text.isdigit()
    standin.control.deployed.pop("homescribe-9.9.9-newer")


def test_an_app_that_is_not_ours_is_not_replaced_and_not_stopped(standin):
    with working():
        pass
    app = standin.control.deployed[modal_transcribe.APP]
    tags = standin.control.apps[app]["tags"]
    standin.control.apps[app]["tags"] = {"owner": "somebody else"}
    try:
        with pytest.raises(SetupError, match="that homescribe did not make"), working():
            pass
        assert not ModalBackend().stop()
        assert standin.control.apps[app]["tags"] == {"owner": "somebody else"}
    finally:
        standin.control.apps[app]["tags"] = tags


def test_deleted_weights_are_downloaded_again(standin, hub):
    def downloads():
        return sum(
            method == "GET" and "acme/deleted" in path and path.endswith("model.bin")
            for method, path in hub[1]
        )

    with working(model="acme/deleted"):
        pass
    before, deployments = downloads(), len(standin.moments("deploy"))
    standin.delete_volumes()
    with working(model="acme/deleted") as session:
        _, transcript = run_to_end(session, sample(key="after the volume"))
    assert_words(sample_text("fox-20s"), transcript.text)
    assert downloads() == before + 1
    # The containers of the app as it was deployed had the volume that is gone.
    assert len(standin.moments("deploy")) == deployments + 1


def test_a_quick_call_does_not_wait_for_a_slow_one(standin):
    with working("stumbling", max_containers=2) as session:
        slow = session.submit(instruction("sleep", "order"), TranscriptionOptions(), GO)
        _, quick = run_to_end(session, instruction("quick"))
        assert quick.text.isdigit()
        assert not session.usage(slow)
        modal.FunctionCall.from_id(slow.id).cancel(terminate_containers=True)


# --- Refused before anything is sent ---------------------------------------------------------------


def test_an_unknown_gpu_is_refused_before_any_request(standin):
    before = sum(standin.control.requests.values())
    with pytest.raises(UserError, match="no GPU named 'RTX 4090'"):
        ModalBackend(ModalOptions(gpu="RTX 4090"))
    assert sum(standin.control.requests.values()) == before


def test_zero_containers_are_refused():
    with pytest.raises(UserError, match="one container"):
        ModalBackend(ModalOptions(max_containers=0))


@pytest.mark.parametrize(
    ("engine", "model", "message"),
    [
        ("whisper.cpp", "tiny", "no engine named 'whisper.cpp'"),
        ("faster-whisper", "./my-model", "is a path on this machine"),
        ("faster-whisper", "/models/my-model", "is a path on this machine"),
    ],
)
def test_an_unknown_engine_or_a_local_model_is_refused(standin, engine, model, message):
    with pytest.raises(UserError, match=message), working(engine, model):
        pass


def test_nothing_is_uploaded_beyond_the_cap(standin):
    with working(max_cost=0.0001) as session:
        calls, blobs = len(standin.calls()), len(standin.control.blobs)
        with pytest.raises(BudgetReached, match=r"the limit is \$0.00"):
            session.submit(sample(), TranscriptionOptions(), GO)
        assert (len(standin.calls()), len(standin.control.blobs)) == (calls, blobs)


def test_the_default_engine_needs_no_torch_on_this_machine():
    code = (
        "import sys\n"
        "for name in ('torch', 'whisper', 'tiktoken', 'numba'): sys.modules[name] = None\n"
        "from homescribe.assemble import check_options\n"
        "from homescribe.backends.modal import backend, modal_transcribe\n"
        "from homescribe.config import Config\n"
        "check_options(Config(backend='modal'))\n"
        "check_options(Config(backend='modal', model='large-v3'))\n"
        "print(backend.ModalBackend.default_engine, backend.ModalBackend.default_model)\n"
        "print(backend.ModalBackend().machine.gpu, modal_transcribe.services.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[0] == "openai-whisper turbo", done.stderr
    assert done.stdout.splitlines()[1].startswith("A10 ")
    assert "openai-whisper" in done.stdout.splitlines()[1]


# --- The account and the service -------------------------------------------------------------------


def test_no_token(one_standin, tmp_path):
    code = (
        "from homescribe.backends.modal.backend import ModalBackend\n"
        "with ModalBackend().start('faster-whisper', 'demo'): pass"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MODAL_TOKEN")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert "SetupError: Modal refuses this machine's token: Token missing" in done.stderr


def test_a_wrong_token_is_not_shown(standin):
    standin.settings.token_id = "ak-somebody-else"
    with pytest.raises(SetupError, match="refuses this machine's token") as caught, working():
        pass
    assert "as-standin" not in str(caught.value)
    assert "modal setup" in caught.value.hint


def test_a_client_that_is_too_old(standin):
    standin.settings.client_too_old = True
    with pytest.raises(SetupError, match="too old") as caught, working():
        pass
    assert caught.value.hint == "Run: pip install -U modal"


def test_a_submission_to_a_full_account_is_repeated(standin):
    exhausted = grpclib.Status.RESOURCE_EXHAUSTED
    with working() as session:
        standin.settings.faults = {"FunctionMap": [exhausted, exhausted, exhausted]}
        _, transcript = run_to_end(session, sample())
    assert_words(sample_text("fox-20s"), transcript.text)
    assert not standin.settings.faults["FunctionMap"]


def test_an_upload_that_is_cut_off_is_repeated(standin):
    with working() as session:
        standin.settings.cut_uploads = 4  # the client itself tries three times
        before = len(standin.calls())
        _, transcript = run_to_end(session, sample(key="broken upload"))
    assert_words(sample_text("fox-20s"), transcript.text)
    assert standin.settings.cut_uploads == 0
    assert len(standin.calls()) == before + 1


def test_an_upload_can_be_stopped(standin):
    stop = threading.Event()
    with working() as session:
        standin.settings.upload_rate = 1000.0  # bytes a second: two minutes for this file
        threading.Timer(0.5, stop.set).start()
        with pytest.raises(Cancelled):
            session.submit(sample(), TranscriptionOptions(), stop)


def test_waiting_can_be_stopped_and_the_call_continues(standin):
    stop = threading.Event()
    with working("stumbling") as session:
        call = session.submit(instruction("sleep", "stopped"), TranscriptionOptions(), GO)
        threading.Timer(0.3, stop.set).start()
        with pytest.raises(Cancelled):
            session.result(call, stop, lambda seconds: None)
        assert session.usage(call) is None
        modal.FunctionCall.from_id(call.id).cancel(terminate_containers=True)


def test_calls_continue_while_the_network_is_down(standin):
    audio = sample("numbers-60s.m4a", "network down")
    with working() as session:
        call = session.submit(audio, TranscriptionOptions(), GO)
        standin.disconnect()
        deadline = time.monotonic() + 60
        while not standin.control.calls[call.id].outputs and time.monotonic() < deadline:
            time.sleep(0.1)
        threading.Timer(1.0, standin.reconnect).start()
        transcript = session.result(call, GO, lambda seconds: None)
    assert_words(sample_text("numbers-60s"), transcript.text)
    assert standin.deliveries()[call.id] == 1


def test_a_service_that_stays_unavailable_ends_the_run_and_keeps_the_call(standin):
    with working(max_silence=0.0) as session:
        call = session.submit(sample(), TranscriptionOptions(), GO)
        standin.settings.faults = {"FunctionGetOutputs": [grpclib.Status.UNAVAILABLE] * 50}
        with pytest.raises(UserError, match="does not answer"):
            session.result(call, GO, lambda seconds: None)
        assert session.usage(call) is None  # it may still be collected
        standin.settings.faults = {}
        assert session.result(call, GO, lambda seconds: None).segments


# --- Containers that fail --------------------------------------------------------------------------


def test_the_call_of_a_container_that_dies_is_restarted(standin):
    with working("stumbling") as session:
        call, transcript = run_to_end(session, instruction("once"))
    assert transcript.text.isdigit()
    assert standin.deliveries()[call.id] == 2


def test_a_recording_that_kills_containers_fails_alone_after_three_tries(standin):
    with working("stumbling") as session:
        poison = session.submit(instruction("die"), TranscriptionOptions(), GO)
        with pytest.raises(RetryableError, match="containers ended") as first:
            session.result(poison, GO, lambda seconds: None)
        assert session.usage(poison).outcome == "died"
        assert first.value.args[0] == "2 containers ended while they transcribed it."
        again = session.submit(instruction("die"), TranscriptionOptions(), GO)
        with pytest.raises(PermanentError, match="alone in its container"):
            session.result(again, GO, lambda seconds: None)
        _, other = run_to_end(session, instruction("healthy"))
        assert other.text.isdigit()
    assert standin.deliveries()[poison.id] == 3  # started twice, refused the third time


def test_a_suspect_of_an_earlier_run_is_submitted_alone(standin):
    suspects = frozenset({"file:die"})
    with working("stumbling", suspects=suspects) as session:
        call = session.submit(instruction("die"), TranscriptionOptions(), GO)
        with pytest.raises(PermanentError):
            session.result(call, GO, lambda seconds: None)


def test_suspects_have_one_container_which_the_cap_counts(standin):
    with working("stumbling", max_containers=2, suspects=frozenset({"file:suspect"})) as session:
        before = session.budget.machines
        run_to_end(session, instruction("healthy"))
        assert session.budget.machines == before == 2
        run_to_end(session, instruction("suspect"))
        run_to_end(session, instruction("suspect", "suspect"))
        assert session.budget.machines == 3
    most = [
        function.definition.autoscaler_settings.max_containers
        for function in standin.control.functions.values()
        if function.binding and function.definition.max_concurrent_inputs == 1
    ]
    assert most
    assert set(most) == {1}


def test_a_container_uses_no_more_cores_than_are_in_its_price(standin):
    with working("stumbling", timeout=999.0) as session:  # a variant of its own
        run_to_end(session, instruction("cores"))
    asked = [
        function.definition.resources
        for function in standin.control.functions.values()
        if function.binding and function.definition.timeout_secs == 999
    ]
    cores = round(1000 * prices.machine("CPU").cores)
    assert {(found.milli_cpu, found.milli_cpu_max) for found in asked} == {(cores, cores)}


@pytest.mark.parametrize(("gpu", "together"), [("A10", 4), ("L40S", 8)])
def test_larger_gpus_work_on_more_recordings_at_once(standin, gpu, together):
    with ModalBackend(ModalOptions(gpu=gpu)).start("faster-whisper", "demo") as session:
        session.submit(sample(key=f"for {gpu}"), TranscriptionOptions(), GO)
    found = [
        function.definition.max_concurrent_inputs
        for function in standin.control.functions.values()
        if function.binding and function.definition.resources.gpu_config.gpu_type == gpu
    ]
    assert found
    assert set(found) == {together}


def test_out_of_memory_on_the_gpu_fails_one_recording(standin):
    with working("stumbling") as session:
        call = session.submit(instruction("memory"), TranscriptionOptions(), GO)
        with pytest.raises(RetryableError, match="out of memory") as caught:
            session.result(call, GO, lambda seconds: None)
        assert caught.value.hint == "Take a larger one."
        assert session.usage(call).outcome == "failed"  # so that it is not collected again
        _, other = run_to_end(session, instruction("healthy", "beside memory"))
        assert other.text.isdigit()


def test_after_an_engine_crash_the_next_recording_gets_a_new_container(standin):
    with working("stumbling", max_containers=1) as session:
        _, before = run_to_end(session, instruction("before"))
        call = session.submit(instruction("break"), TranscriptionOptions(), GO)
        with pytest.raises(RetryableError, match="RuntimeError: CUDA error"):
            session.result(call, GO, lambda seconds: None)
        _, after = run_to_end(session, instruction("after"))
        assert after.text != before.text  # another process


def test_a_container_that_fails_to_load_takes_no_further_recordings(standin):
    """The first container cannot load its model, the next one can."""
    with working("stumbling", model="fails-once") as session:
        given = [instruction("go", f"beside a broken container {n}") for n in range(5)]
        calls = [session.submit(each, TranscriptionOptions(), GO) for each in given]
        failed = []
        for call in calls:
            try:
                assert session.result(call, GO, lambda seconds: None).text.isdigit()
            except RetryableError as error:
                failed.append(error.message)
        assert 1 <= len(failed) <= 4  # what the broken container had already taken
        assert {"stumbling cannot load fails-once: OSError: a bad disk"} == set(failed)
        _, again = run_to_end(session, given[0])  # its claim, if it had one, was released
        assert again.text.isdigit()


def test_a_call_that_takes_too_long(standin):
    with working("stumbling", timeout=1.0) as session:
        call = session.submit(instruction("sleep", "too long"), TranscriptionOptions(), GO)
        with pytest.raises(RetryableError, match="longer than a call may take"):
            session.result(call, GO, lambda seconds: None)
        used = session.usage(call)
        assert used.outcome == "died"
        assert used.unmetered_dollars == used.dollars >= used.expected_dollars > 0
        assert session.budget.spent == used.dollars


def test_an_unknown_model_is_refused_before_a_gpu_is_rented(standin):
    before = len(standin.containers())
    with (
        pytest.raises(UserError, match="no model named 'no-such-model'"),
        working(model="no-such-model"),
    ):
        pass
    assert len(standin.containers()) == before + 1  # the one without a GPU that downloads weights


def test_a_container_that_cannot_load_its_model_fails_one_recording(standin, place):
    folder = place / "weights/faster-whisper/broken"
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(b"no model")
    with working(model="broken") as session:
        for number in range(MOST):
            call = session.submit(sample(key=f"broken {number}"), TranscriptionOptions(), GO)
            with pytest.raises(RetryableError, match="cannot be loaded"):
                session.result(call, GO, lambda seconds: None)
            used = session.usage(call)
            assert (used.outcome, used.boots) == ("failed", 1)
            assert used.overhead_seconds > 0
        # Every container fails in the same way, so no further one is paid for.
        with pytest.raises(
            UserError, match=r"3 calls in a row failed in the same way: .*cannot be loaded"
        ):
            session.submit(sample(key="broken too"), TranscriptionOptions(), GO)


def test_a_missing_gpu_is_an_error(standin):
    with ModalBackend(ModalOptions(gpu="a10g")).start("faster-whisper", "demo") as session:
        call = session.submit(sample(key="on a GPU"), TranscriptionOptions(), GO)
        with pytest.raises(RetryableError, match="no A10 that faster-whisper can use"):
            session.result(call, GO, lambda seconds: None)


# --- Recordings and results that fail --------------------------------------------------------------


def test_a_file_without_audio_fails_permanently_and_once(standin):
    with working() as session:
        call = session.submit(instruction("no audio"), TranscriptionOptions(), GO)
        with pytest.raises(PermanentError):
            session.result(call, GO, lambda seconds: None)
        assert session.usage(call).outcome == "failed"
    assert standin.deliveries()[call.id] == 1


def test_an_incomplete_recording_is_retryable(standin):
    with working() as session:
        audio = dataclasses.replace(sample(key="breaks off"), duration=300.0)
        call = session.submit(audio, TranscriptionOptions(), GO)
        with pytest.raises(RetryableError, match="of 300 seconds"):
            session.result(call, GO, lambda seconds: None)


def test_an_expired_result_is_retryable(standin):
    with working("stumbling") as session:
        call, _ = run_to_end(session, instruction("last week"))
        standin.expire(call.id)
        with pytest.raises(RetryableError, match="seven days"):
            session.result(call, GO, lambda seconds: None)
        # its claim is released: the recording can be transcribed again
        _, again = run_to_end(session, instruction("last week"))
        assert again.text.isdigit()


def test_a_call_that_modal_does_not_know_is_retryable(standin):
    with working() as session:
        call = Call(sample().item, "modal", 0.0, "fc-nobodysentit", "{}")
        with pytest.raises(RetryableError, match="gone"):
            session.result(call, GO, lambda seconds: None)


def test_an_unreadable_result_is_retryable(standin):
    with working("stumbling") as session:
        call, _ = run_to_end(session, instruction("unreadable"))
        standin.garble(call.id)
        with pytest.raises(RetryableError):
            session.result(call, GO, lambda seconds: None)
        _, again = run_to_end(session, instruction("unreadable"))
        assert again.text.isdigit()


# --- Weights ---------------------------------------------------------------------------------------


def test_weights_are_downloaded_once_and_used(standin, hub):
    for _ in range(2):
        with working(model="acme/tiny") as session:
            _, transcript = run_to_end(session, sample())
        assert_words(sample_text("fox-20s"), transcript.text)
        assert transcript.model == "acme/tiny"
    downloads = [path for method, path in hub[1] if method == "GET" and "acme/tiny" in path]
    assert len([path for path in downloads if path.endswith("model.bin")]) == 1


def test_weights_that_differ_from_the_published_ones_are_not_used(standin, place):
    with (
        pytest.raises(SetupError, match="differs from the published"),
        working(model="acme/damaged"),
    ):
        pass
    assert not (place / "weights/faster-whisper/acme--damaged").exists()
    with working(model="acme/damaged") as session:  # the next try downloads the file again
        _, transcript = run_to_end(session, sample(key="repaired"))
    assert_words(sample_text("fox-20s"), transcript.text)


def test_weights_of_an_unknown_repository_are_refused(standin):
    with pytest.raises(SetupError, match="could not be downloaded"), working(model="other/none"):
        pass


# --- The images ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory):
    """A Python with Modal's client and the packages of faster-whisper's image, without those for a GPU."""
    folder = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    client = f"modal=={importlib.metadata.version('modal')}"
    install = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile"]
    subprocess.run([*install, client, *PACKAGES], check=True, capture_output=True)
    return python


def test_the_packages_that_faster_whisper_states_are_enough(standin, bare_python):
    """In an environment without homescribe, yt-dlp and torch."""
    absent = "import importlib.util as u; print(*[n for n in {} if u.find_spec(n)])".format(
        ["homescribe", "yt_dlp", "torch", "whisper", "feedparser", "platformdirs"]
    )
    assert subprocess.check_output([bare_python, "-c", absent], text=True).split() == []
    standin.settings.container_python = str(bare_python)
    with working(timeout=1000.0) as session:  # a variant of its own, so a new container
        _, transcript = run_to_end(session, sample(key="in the bare image"))
    assert_words(sample_text("fox-20s"), transcript.text)


def test_openai_whisper_runs_at_modal(standin):
    with working("openai-whisper") as session:
        _, transcript = run_to_end(session, sample(key="on torch"))
    assert_words(sample_text("fox-20s"), transcript.text)
    assert transcript.engine == "openai-whisper"


def test_images_install_what_is_locked(standin):
    with working():
        pass
    built = "\n".join(
        line for image in standin.control.images.values() for line in image.dockerfile_commands
    )
    sent = [
        file.data.decode()
        for image in standin.control.images.values()
        for file in image.context_files
    ]
    for engine in ("faster-whisper", "openai-whisper"):
        assert images.lock_file(engine).read_text() in sent
    assert "--no-deps --require-hashes" in built
    assert "astral-sh/uv:latest" not in built
    cublas = f"{images.SITE_PACKAGES}/nvidia/cublas/lib"
    assert f"LD_LIBRARY_PATH={cublas}" in built.replace("'", "").replace('"', "")


# --- The script by itself --------------------------------------------------------------------------


def test_modal_run_of_the_file_works_twice(one_standin):
    for _ in range(2):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "modal", "run", modal_transcribe.__file__),
                *("--path", str(demo.samples() / "fox-20s.mp3"), "--model", "demo", "--gpu", "cpu"),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert "quick brown fox" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--gpu", "T5"), "Modal has no GPU named 'T5'. Choose one of: T4, L4, A10,"),
        (("--engine", "vosk"), "The engine 'vosk' cannot run at Modal."),
        (("--path", "none.mp3"), "Cannot read none.mp3: No such file or directory."),
    ],
)
def test_a_mistake_in_modal_run_is_one_line(one_standin, arguments, words):
    path = str(demo.samples() / "fox-20s.mp3")
    given = {"--path": path, "--model": "demo", "--gpu": "cpu", **dict([arguments])}
    done = subprocess.run(
        [sys.executable, "-m", "modal", "run", modal_transcribe.__file__]
        + [part for pair in given.items() for part in pair],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert words in " ".join((done.stdout + done.stderr).split())
    assert "Traceback" not in done.stdout + done.stderr


def test_modal_deploy_of_the_file_works(one_standin):
    before = len(one_standin.moments("deploy"))
    done = subprocess.run(
        [sys.executable, "-m", "modal", "deploy", modal_transcribe.__file__],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert len(one_standin.moments("deploy")) == before + 1
    with working() as session:  # with what the command line deployed
        _, transcript = run_to_end(session, sample())
    assert_words(sample_text("fox-20s"), transcript.text)


def test_stop_stops_the_app(standin):
    with working():
        pass
    assert ModalBackend().stop()
    assert ModalBackend().deployed() == []
    assert not ModalBackend().stop()


# --- Errors, wire and meter ------------------------------------------------------------------------


def errors_of_modal():
    found, left = set(), [modal.exception.Error, modal.exception.ModuleNotMountable]
    while left:
        kind = left.pop()
        found.add(kind)
        left += kind.__subclasses__()
    return sorted(found, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", errors_of_modal(), ids=lambda kind: kind.__name__)
def test_every_error_of_modal_is_translated(kind):
    ours = modal_errors.translate(kind.__new__(kind, "two\nlines"))
    assert isinstance(ours, HomescribeError)
    assert "\n" not in ours.message


def test_an_error_that_is_not_modals_is_not_translated():
    assert modal_errors.translate(ZeroDivisionError()) is None
    with pytest.raises(ZeroDivisionError), modal_errors.request_errors():
        raise ZeroDivisionError


def test_a_reply_can_be_read_from_json():
    transcript = Transcript(
        "faster-whisper",
        "turbo",
        "de",
        12.5,
        (
            Segment(
                0.1,
                2.3,
                " Grüß",
                -0.3,
                0.01,
                1.2,
                0.0,
                (Word(0.1, 2.3, " Grüß", 0.9),),
                ("retried",),
            ),
        ),
    )
    for reply in (
        Reply(transcript=transcript, gpu_seconds=1.5, first=True),
        Reply(error=RetryableError("later", "wait", 60.0)),
        Reply(claimed_by="fc-1"),
    ):
        plain = json.loads(json.dumps(reply.plain()))
        back = Reply.parse(plain)
        if reply.error is None:
            assert back == reply
        else:
            assert (type(back.error), back.error.args) == (type(reply.error), reply.error.args)


def test_unknown_fields_of_a_later_version_are_ignored():
    plain = {**Reply(claimed_by="fc-1").plain(), "mood": "good"}
    assert Reply.parse(plain) == Reply(claimed_by="fc-1")


def test_an_error_class_that_only_one_end_has_is_sent_as_its_base_class():
    plain = Reply(error=BudgetReached("no more")).plain()
    assert plain["error"][0] == "UserError"


def test_the_meter_charges_every_second_to_a_call(monkeypatch):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    meter = Meter(0.0)
    now = 30.0
    assert meter.begin("a") == (30.0, True)
    now = 40.0
    assert meter.begin("b") == (0.0, False)
    now = 60.0
    assert meter.end("a") == 10.0 + 20.0 / 2
    now = 65.0
    assert meter.end("b") == 20.0 / 2 + 5.0
    now = 72.0
    assert meter.begin("c") == (7.0, False)
    now = 73.0
    assert 30.0 + 7.0 + 20.0 + 15.0 + meter.end("c") == now


def test_equal_work_has_an_equal_token():
    item = sample().item

    def token(media=b"x", key=item, options=None, model="turbo", temporary=True, voices=""):
        audio = Audio(key, Path("x"), duration=1.0, temporary=temporary)
        request = wire.make_request(
            *(audio, media, options or TranscriptionOptions(), "A10", "faster-whisper", model),
            speaker_models=voices,
        )
        return request["token"]

    other = dataclasses.replace(item, id="other")
    assert token() == token()
    different = [
        token(b"y"),
        token(key=other),
        token(options=TranscriptionOptions(language="de")),
        token(model="base"),
        token(temporary=False),
    ]
    assert len({token(), *different}) == 6
    # The models that tell speakers apart count where they are used.
    assert token(voices="a,b") == token()
    speakers = TranscriptionOptions(speakers="auto")
    tokens = {token(options=speakers, voices=voices) for voices in ("", "a,b", "a,c")}
    assert len(tokens) == 3


@pytest.mark.parametrize("temporary", [True, False, None])
def test_a_container_knows_whether_a_file_is_the_users_own(temporary):
    """A user's own file that ends early gets a warning, a download is repeated. Older requests do not say."""
    given = []

    class EngineStub:
        def transcribe(self, audio, options, stop, progress):
            given.append(audio)
            return Transcript("e", "m", "en", 1.0, ())

    audio = Audio(Item("file", "a", url="", title=""), Path("a"), temporary=bool(temporary))
    request = wire.make_request(audio, b"x", TranscriptionOptions(), "CPU", "e", "m")
    if temporary is None:
        del request["temporary"]
    Worker("e", "m", Claims({}), EngineStub, bool)._transcribe(b"x", request)
    assert given[0].temporary is (temporary is not False)


def unstarted(options):
    """A session that is not connected to anything."""
    return ModalSession(options, "faster-whisper", "turbo", FasterWhisper.requirements, 1e-3)


@pytest.mark.parametrize(("cap", "refused"), [(0.105, True), (0.107, False)])
def test_a_session_counts_boot_and_idle_seconds_in_its_cap(cap, refused):
    """An hour of audio is 36 s of work at $0.001 per second, plus 70 s for the container: $0.106."""
    opened = unstarted(ModalOptions(speed=100.0, boot=70.0, max_containers=1, max_cost=cap))
    try:
        with pytest.raises(BudgetReached) if refused else contextlib.nullcontext():
            opened.budget.reserve("an hour", 3600.0, GO)
    finally:
        opened.close()


def test_a_burst_starts_when_overhead_is_a_tenth_of_the_work():
    burst = unstarted(ModalOptions(speed=100.0, max_containers=1))
    stream = unstarted(ModalOptions(when="stream"))
    try:
        boots = prices.BOOT + prices.SCALEDOWN_WINDOW
        assert not burst.worth_starting(9.9 * boots * 100)
        assert burst.worth_starting(10.1 * boots * 100)
        assert stream.worth_starting(1.0)
    finally:
        burst.close()
        stream.close()
