"""Whatever comes home from Modal is the outcome of one recording: it neither hangs nor ends a run."""

import asyncio
import dataclasses
import time

import grpclib
import modal
import pytest

from exceptions import every_exception
from fake_plugins import FakeSource, FakeSources, item, listing
from homescribe.backends.modal import modal_transcribe, results, session
from homescribe.backends.modal.backend import ModalBackend
from homescribe.backends.modal.call_metadata import read_metadata
from homescribe.backends.modal.modal_errors import Unavailable, translate
from homescribe.backends.modal.results import failure_of, raised_by_call, reply_of
from homescribe.backends.modal.session import ModalOptions
from homescribe.backends.modal.spending import SpendingRefused
from homescribe.core import Call, TranscriptionOptions
from homescribe.errors import (
    BudgetReached,
    HomescribeError,
    NotCollected,
    PermanentError,
    RetryableError,
    SetupError,
    UserError,
)
from homescribe.library import Library
from homescribe.pipeline import Run
from modal_session import GO, instruction, run_to_end, working

EXCEPTIONS = every_exception()
HEALTHY = ("healthy-1", "healthy-2", "healthy-3")
OURS = {
    "ours, for the user": UserError("Do something.", "At once."),
    "ours, of the machine": SetupError("Broken.", "Mend it."),
    "ours, permanent": PermanentError("No audio."),
    "ours, later": RetryableError("Not now.", "", 60.0),
}


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as opened:
        yield opened


def recordings():
    """A recording for each exception, and three that are healthy, by name."""
    names = [*EXCEPTIONS, *OURS, *HEALTHY]
    return {name: item(number) for number, name in enumerate(names)}


def run(library, items, **options):
    """Run as a new process does; return the outcomes by key."""
    source = FakeSource(fetching=lambda each: f"go {each.key}".encode())
    library.record("fake", listing("https://site.example/", ()), items)
    backend = ModalBackend(ModalOptions(gpu="CPU", when="stream", **options))
    done = Run(library, FakeSources(source), backend, engine="stumbling", model="demo")
    return {outcome.item.key: outcome for outcome in done}


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("where", ["load", "call"])
def test_whatever_is_raised_is_the_outcome_of_its_recording_today_and_tomorrow(
    library, standin, where
):
    """Healthy recordings beside it come home, and nothing is left that the next run would stumble over."""
    every = recordings()
    errors = {**EXCEPTIONS, **OURS}
    standin.settings.raised = {every[name].key: (where, error) for name, error in errors.items()}
    for day in (1, 2):
        began = time.monotonic()
        outcomes = run(library, every.values() if day == 1 else [])
        assert time.monotonic() - began < 120
        for name in HEALTHY:
            if day == 1:
                assert outcomes[every[name].key].transcript is not None
        assert library.calls("modal") == []
        failed = {key for key, outcome in outcomes.items() if outcome.error}
        assert failed == {
            every[name].key for name in errors if day == 1 or name != "ours, permanent"
        }
        assert all(isinstance(outcomes[key].error, HomescribeError) for key in failed)
        assert {record.state for record in library.items()} == {"done", "failed"}
        library.retry()  # what is due tomorrow
    standin.settings.raised = {}
    outcomes = run(library, [])
    assert all(outcome.transcript for outcome in outcomes.values())
    assert len(outcomes) == len(errors) - 1


# --- In a real container ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [grpclib.Status.UNAVAILABLE, grpclib.Status.NOT_FOUND])
def test_a_recording_is_transcribed_while_claims_fail_in_its_container(standin, status):
    """As when the Dict was deleted, or does not answer while the claim is made and released."""
    standin.settings.container_faults = {
        name: [(status, "no such Dict")] * 50 for name in ("DictUpdate", "DictGet", "DictPop")
    }
    with working("stumbling") as opened:
        _, transcript = run_to_end(opened, instruction("go", f"claim {status}"))
        assert transcript.text.isdigit()
        call = opened.submit(instruction("memory", str(status)), TranscriptionOptions(), GO)
        with pytest.raises(RetryableError, match="out of memory"):
            opened.result(call, GO, lambda seconds: None)


@pytest.mark.parametrize(
    "what", ["SystemExit", "KeyboardInterrupt", "ConnectionError", "TimeoutError"]
)
def test_what_an_engine_raises_in_a_real_container_comes_home_as_its_failure(standin, what):
    with working("stumbling") as opened:
        call = opened.submit(instruction(f"raise {what}"), TranscriptionOptions(), GO)
        with pytest.raises(RetryableError, match=f"The engine crashed: {what}: of the engine"):
            opened.result(call, GO, lambda seconds: None)
        used = opened.usage(call)
        assert used.outcome == "died"
        assert used.gpu_seconds + used.overhead_seconds > 0
        _, other = run_to_end(opened, instruction("healthy", f"beside {what}"))
        assert other.text.isdigit()


def test_a_container_that_cannot_start_fails_the_recordings_that_wait_for_it(standin, monkeypatch):
    """Its code cannot be imported, so nothing of ours can reply."""
    with working("stumbling", timeout=777.0) as opened:  # a variant, so containers, of its own
        monkeypatch.setitem(standin.settings.container_env, "HOMESCRIBE_IMAGE_ENGINE", "unknown")
        call = opened.submit(instruction("go", "no start"), TranscriptionOptions(), GO)
        with pytest.raises(RetryableError, match="Its container raised "):
            opened.result(call, GO, lambda seconds: None)
        assert opened.usage(call).outcome == "failed"
        monkeypatch.undo()
        _, again = run_to_end(opened, instruction("go", "no start"))
        assert again.text.isdigit()


NOT_STARTED = [
    modal.exception.RemoteError("container ta-1 failed to start"),
    modal.exception.InternalFailure("container ta-2 exited with code 1"),
    modal.exception.RemoteError("container ta-3 failed to start"),
]


def test_three_containers_in_a_row_that_cannot_start_end_the_run(standin):
    """Modal ends their calls before one of ours begins: the recordings are no suspects."""
    with working("stumbling", max_containers=2) as opened:
        calls = []
        for number, error in enumerate(NOT_STARTED):
            standin.settings.raised[f"file:unstarted {number}"] = ("load", error)
            given = instruction("go", f"unstarted {number}", 0.0)
            calls.append(opened.submit(given, TranscriptionOptions(), GO))
        for call in calls:
            with pytest.raises(RetryableError, match="Modal started no container for it: "):
                opened.result(call, GO, lambda seconds: None)
        assert {opened.usage(call).outcome for call in calls} == {"failed"}
        assert all(opened.usage(call).unmetered_dollars > 0 for call in calls)
        with pytest.raises(
            UserError, match=r"3 calls in a row failed .*Modal started no container"
        ):
            opened.submit(instruction("go", "one more"), TranscriptionOptions(), GO)
    standin.settings.raised = {}


def test_a_suspect_whose_container_cannot_start_is_not_given_up(standin):
    standin.settings.raised = {"file:unstarted suspect": ("load", NOT_STARTED[1])}
    with working("stumbling", suspects=frozenset({"file:unstarted suspect"})) as opened:
        call = opened.submit(instruction("go", "unstarted suspect"), TranscriptionOptions(), GO)
        with pytest.raises(RetryableError):
            opened.result(call, GO, lambda seconds: None)


def test_a_container_that_ends_with_a_claimed_recording_makes_it_a_suspect(standin):
    with working("stumbling") as opened:
        standin.settings.raised = {"file:ended": ("load", NOT_STARTED[1])}
        call = opened.submit(instruction("go", "ended"), TranscriptionOptions(), GO)
        token = read_metadata(call)["token"]
        modal_transcribe.notes.put(token, [call.id, 2, time.time()])
        with pytest.raises(RetryableError, match="Its container ended: container ta-2"):
            opened.result(call, GO, lambda seconds: None)
        assert opened.usage(call).outcome == "died"
        assert call.item.key in opened._suspects


# --- Told apart from the connection -----------------------------------------------------------------


def test_errors_of_the_connection_are_no_results(standin):
    """Modal's classes, as the client raises them for the status of a request."""
    with working("stumbling") as opened:
        call = opened.submit(instruction("go", "unavailable"), TranscriptionOptions(), GO)
        statuses = [grpclib.Status.UNAVAILABLE, grpclib.Status.INTERNAL, grpclib.Status.UNKNOWN]
        statuses += [grpclib.Status.RESOURCE_EXHAUSTED, grpclib.Status.DATA_LOSS]
        standin.settings.faults = {"FunctionGetOutputs": statuses * 3}
        assert opened.result(call, GO, lambda seconds: None).text.isdigit()


async def unconnected():
    """Modal's client raises this when no connection can be made in time."""
    raise TimeoutError


def test_a_connection_that_cannot_be_made_in_time_is_no_result(standin):
    with working("stumbling", max_silence=0.0) as opened:
        # A call that takes a while: its client says "not yet" with the same class.
        _, transcript = run_to_end(opened, instruction("go", "not yet"))
        assert transcript.text.isdigit()
        with pytest.raises(UserError, match="Modal does not answer"):
            opened._connection.send(unconnected, GO)


def test_a_connection_that_cannot_be_made_at_the_start_is_a_sentence(standin, monkeypatch):
    def lookup(name):
        raise TimeoutError

    monkeypatch.setattr(modal.App, "lookup", lookup)
    with pytest.raises(SetupError, match="Modal cannot be used now: TimeoutError"), working():
        pass


def test_a_large_result_that_cannot_be_downloaded_now_is_requested_again_or_kept(standin):
    with working("stumbling") as opened:
        call = opened.submit(instruction("large"), TranscriptionOptions(), GO)
        standin.settings.faults = {
            "BlobGet": [grpclib.Status.NOT_FOUND, grpclib.Status.UNAVAILABLE]
        }
        with pytest.raises(NotCollected):  # its call is known, and so are its bytes tomorrow
            opened.result(call, GO, lambda seconds: None)
        standin.settings.busy_downloads = 7
        assert len(opened.result(call, GO, lambda seconds: None).text) > 2_000_000
        assert standin.settings.busy_downloads == 0


def test_the_client_still_has_the_functions_that_tell_results_from_the_connection():
    assert results.RESULT is not None
    assert results.DOWNLOAD is not None
    assert results.POLL is not None
    assert not raised_by_call(ConnectionError("of this machine"))


@pytest.mark.parametrize(
    "result", [None, 7, "a text", {}, {"error": []}, {"error": [1]}, {"transcript": {}}]
)
def test_a_result_that_cannot_be_read_is_a_failure(result):
    assert isinstance(reply_of(result).error, RetryableError)


def test_too_little_memory_for_every_recording_stops_further_submissions(standin):
    """In one container, that goes on to take calls."""
    with working("stumbling", max_containers=1) as opened:
        for number in range(3):
            given = instruction("memory", f"for none {number}")
            call = opened.submit(given, TranscriptionOptions(), GO)
            with pytest.raises(RetryableError, match="out of memory"):
                opened.result(call, GO, lambda seconds: None)
        with pytest.raises(UserError, match="out of memory") as caught:
            opened.submit(instruction("go", "one more"), TranscriptionOptions(), GO)
        assert caught.value.hint == "Take a larger one."


def test_a_call_that_is_kept_does_not_hold_its_part_of_the_cap(standin):
    """The next recording would wait for it, and it does not end."""
    with working("stumbling", max_cost=0.08, speed=2.0, boot=1.0) as opened:
        first = opened.submit(instruction("go", "kept", 1500.0), TranscriptionOptions(), GO)
        standin.settings.faults = {"FunctionGetOutputs": [grpclib.Status.NOT_FOUND]}
        with pytest.raises(NotCollected):
            opened.result(first, GO, lambda seconds: None)
        with pytest.raises(BudgetReached):
            opened.submit(instruction("go", "next", 1500.0), TranscriptionOptions(), GO)


def test_an_error_of_the_client_itself_is_about_the_call(standin, monkeypatch):
    """One that has nothing to do with the connection would be raised in every run."""
    with working("stumbling") as opened:
        call = opened.submit(instruction("go", "client"), TranscriptionOptions(), GO)

        def send(*arguments):
            raise AttributeError("no such field")

        monkeypatch.setattr(opened._connection, "send", send)
        with pytest.raises(RetryableError, match="AttributeError: no such field"):
            opened.result(call, GO, lambda seconds: None)
        assert opened.usage(call) is not None


@pytest.mark.parametrize(
    ("error", "died"),
    [
        (modal.exception.FunctionTimeoutError("2 h"), True),
        (modal.exception.InternalFailure("exit 137"), True),
        (modal.exception.RemoteError("cancelled"), False),
        (MemoryError(), False),
        (asyncio.CancelledError(), False),
    ],
)
def test_a_recording_is_a_suspect_if_its_container_ended(error, died):
    assert failure_of(error).died is died


# --- Calls that Modal does not know -----------------------------------------------------------------


def test_a_young_call_that_modal_does_not_know_is_kept_and_collected_later(library, standin):
    every = item(1)
    library.record("fake", listing("https://site.example/", ()), [every])
    with working("stumbling") as opened:
        call = opened.submit(instruction("go", "kept"), TranscriptionOptions(), GO)
        opened.result(call, GO, lambda seconds: None)
    library.add_call(dataclasses.replace(call, item=every))
    standin.settings.workspace = "another"
    standin.settings.faults = {"FunctionGetOutputs": [grpclib.Status.NOT_FOUND]}
    outcome = run(library, [])[every.key]
    assert isinstance(outcome.error, NotCollected)
    assert "workspace another, environment main" in outcome.error.message
    assert "submitted in workspace standin, environment main" in outcome.error.message
    assert "another workspace or environment?" in outcome.error.message
    assert "homescribe retry" in outcome.error.hint
    assert [kept.id for kept in library.calls("modal")] == [call.id]
    standin.settings.workspace = "standin"
    outcome = run(library, [])[every.key]
    assert outcome.transcript.text.isdigit()
    assert library.calls("modal") == []


def test_a_kept_call_is_given_up_for_the_key_that_is_retried(library, standin):
    first, other = item(1), item(2)
    library.record("fake", listing("https://site.example/", ()), [first, other])
    for number, each in enumerate((first, other)):
        library.add_call(Call(each, "modal", time.time(), f"fc-unknown{number}", "{}"))
    outcomes = run(library, [])
    assert all(isinstance(outcome.error, NotCollected) for outcome in outcomes.values())
    assert "workspace unknown, environment unknown" in outcomes[first.key].error.message
    library.retry([first.key])
    assert [call.item.key for call in library.calls("modal")] == [other.key]
    assert run(library, [])[first.key].transcript is not None


def test_an_old_call_that_modal_does_not_know_is_gone(standin):
    with working("stumbling") as opened:
        for age, kind in ((session.KEPT - 60, NotCollected), (session.KEPT + 60, RetryableError)):
            call = Call(item(1), "modal", time.time() - age, "fc-unknown", "{}")
            with pytest.raises(kind) as caught:
                opened.result(call, GO, lambda seconds: None)
            assert type(caught.value) is kind


def test_metadata_that_cannot_be_read_does_not_end_a_run(standin):
    with working("stumbling") as opened:
        call, _ = run_to_end(opened, instruction("go", "metadata"))
        for metadata in ("", "[]", "{", "null", '{"rate": "x", "gpu": 1, "audio_seconds": null}'):
            damaged = dataclasses.replace(call, metadata=metadata)
            assert opened.result(damaged, GO, lambda seconds: None).segments


def test_a_claim_by_a_call_that_is_gone_is_released(standin):
    with working("stumbling") as opened:
        call = opened.submit(instruction("go", "orphan"), TranscriptionOptions(), GO)
        opened.result(call, GO, lambda seconds: None)
        again = opened.submit(instruction("go", "orphan"), TranscriptionOptions(), GO)
        while not standin.control.calls[again.id].outputs:
            time.sleep(0.02)
        del standin.control.calls[call.id]
        with pytest.raises(RetryableError, match="does not know the call that transcribed it"):
            opened.result(again, GO, lambda seconds: None)
        _, third = run_to_end(opened, instruction("go", "orphan"))
        assert third.text.isdigit()


# --- The account ------------------------------------------------------------------------------------

# The first is Modal's sentence; see https://github.com/modal-labs/modal-client/issues/3397.
SENTENCES = [
    "Function call failed: workspace billing cycle spend limit reached",
    "The budget of environment 'main' is used up",
    "Your last payment failed",
]


@pytest.mark.parametrize("words", SENTENCES)
def test_a_spent_budget_stops_the_run_with_modals_sentence(library, standin, words):
    standin.settings.faults = {"FunctionMap": [(grpclib.Status.RESOURCE_EXHAUSTED, words)] * 99}
    with pytest.raises(SpendingRefused, match="Modal refuses to spend more") as caught:
        run(library, [item(1)])
    assert words in caught.value.message
    assert "modal.com/settings/usage" in caught.value.hint
    assert len(standin.settings.faults["FunctionMap"]) == 98  # it was not sent again
    assert {record.state for record in library.items()} == {"pending"}


@pytest.mark.parametrize(
    "status", [grpclib.Status.PERMISSION_DENIED, grpclib.Status.FAILED_PRECONDITION]
)
def test_a_spent_budget_while_a_result_is_requested_keeps_the_call(standin, status):
    with working("stumbling") as opened:
        call = opened.submit(instruction("go", f"budget {status}"), TranscriptionOptions(), GO)
        standin.settings.faults = {"FunctionGetOutputs": [(status, SENTENCES[0])]}
        with pytest.raises(SpendingRefused):
            opened.result(call, GO, lambda seconds: None)
        assert opened.usage(call) is None
        assert opened.result(call, GO, lambda seconds: None).segments


def test_a_limit_on_the_rate_of_requests_is_waited_for():
    for words in ("rate limit exceeded", "too many pending inputs: the limit is 2000"):
        ours = translate(modal.exception.ResourceExhaustedError(words))
        assert isinstance(ours, RetryableError)


def test_a_container_that_speaks_of_a_budget_does_not_stop_the_run(standin):
    error = modal.exception.ResourceExhaustedError(SENTENCES[0])
    standin.settings.raised = {"file:go": ("call", error)}
    with working("stumbling") as opened:
        call = opened.submit(instruction("go"), TranscriptionOptions(), GO)
        with pytest.raises(RetryableError, match="spend limit"):
            opened.result(call, GO, lambda seconds: None)


@pytest.mark.parametrize("kind", ["RemoteError", "InternalFailure"])
@pytest.mark.parametrize("words", SENTENCES)
def test_a_call_that_modal_ends_for_the_budget_stops_the_run_and_is_no_suspect(
    standin, kind, words
):
    key = f"spent {kind} {words}"
    error = getattr(modal.exception, kind)(words)
    standin.settings.raised = {f"file:{key}": ("call", error)}
    with working("stumbling") as opened:
        other = opened.submit(instruction("go", f"beside {key}"), TranscriptionOptions(), GO)
        call = opened.submit(instruction("go", key), TranscriptionOptions(), GO)
        with pytest.raises(RetryableError, match="Modal refuses to spend more"):
            opened.result(call, GO, lambda seconds: None)
        assert opened.usage(call).outcome == "failed"
        opened.result(other, GO, lambda seconds: None)  # what was begun before comes home
        with pytest.raises(SpendingRefused, match="Modal refuses to spend more") as caught:
            opened.submit(instruction("go", f"after {key}"), TranscriptionOptions(), GO)
        assert words in caught.value.message


def test_a_refusal_that_the_client_does_not_wrap_is_not_repeated():
    status = grpclib.Status.RESOURCE_EXHAUSTED
    ours = translate(grpclib.GRPCError(status, SENTENCES[0]))
    assert isinstance(ours, SpendingRefused)
    assert SENTENCES[0] in ours.message
    for words in ("too many requests", None):
        assert isinstance(translate(grpclib.GRPCError(status, words)), Unavailable)


def test_a_stopped_app_is_not_a_reason_to_update(standin):
    with working("stumbling") as opened:
        words = "App ap-1 is stopped"
        standin.settings.faults = {"FunctionMap": [(grpclib.Status.FAILED_PRECONDITION, words)]}
        with pytest.raises(SetupError, match="is stopped") as caught:
            opened.submit(instruction("go", "stopped"), TranscriptionOptions(), GO)
        assert "pip" not in caught.value.hint
        assert "run again" in caught.value.hint


def test_an_unknown_environment_is_named(standin, monkeypatch):
    monkeypatch.setenv("MODAL_ENVIRONMENT", "attic")
    with pytest.raises(SetupError, match="no environment named 'attic'") as caught, working():
        pass
    assert "MODAL_ENVIRONMENT" in caught.value.hint


def test_what_a_container_raises_while_it_downloads_weights_is_a_sentence(standin):
    standin.settings.raised_by_functions = [SystemExit(3), TimeoutError("a"), KeyError("b")]
    while standin.settings.raised_by_functions:
        name = type(standin.settings.raised_by_functions[0]).__name__
        words = f"could not be downloaded at Modal: .*{name}"
        with pytest.raises(SetupError, match=words), working(model="acme/other"):
            pass
