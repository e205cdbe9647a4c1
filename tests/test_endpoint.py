"""The backend for OpenAI's endpoint, against a stand-in that makes every mistake a service can make."""

import json
import math
import os
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace
from threading import Event

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint_server import EndpointServer, answer, error, verbose
from homescribe import Item, Library, demo
from homescribe.assemble import build_backend
from homescribe.audio import SAMPLE_RATE, decode, flac_file
from homescribe.audio.speech_file import MOST_BYTES, MOST_HEADER, encoded, pcm
from homescribe.backends.endpoint import (
    decoded_recording,
    endpoint_client,
    endpoint_request,
    rate_limits,
)
from homescribe.backends.endpoint.answer_checks import (
    is_deaf,
    problem,
    timed_segments,
    untranscribed,
)
from homescribe.backends.endpoint.answer_store import AnswerStore
from homescribe.backends.endpoint.endpoint_answers import Answer, BadAnswer, parse
from homescribe.backends.endpoint.endpoint_backend import EndpointBackend
from homescribe.backends.endpoint.endpoint_errors import FieldRefused
from homescribe.backends.endpoint.endpoint_options import EndpointOptions
from homescribe.backends.endpoint.parts import parts
from homescribe.backends.endpoint.rate_limits import RateLimits, duration
from homescribe.backends.endpoint.spoken_words import with_words
from homescribe.config import Config
from homescribe.core import Audio, Segment, Speaker, TranscriptionOptions, Turn, Word
from homescribe.cost.audio_budget import AudioBudget, AudioPrice
from homescribe.engines import vad
from homescribe.engines.windows import Window
from homescribe.errors import (
    BudgetReached,
    Cancelled,
    PermanentError,
    RetryableError,
    UserError,
)
from homescribe.speakers.diarizer import Diarization

EVERYTHING = TranscriptionOptions(vad_filter=False)  # noise is no speech
KEY = "sk-CANARY"
DETECT_SPEECH = vad.speech_probabilities  # which the tests replace


@pytest.fixture
def service():
    with EndpointServer() as running:
        yield running


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Short pauses, and no detection of speech in noise."""
    monkeypatch.setattr(endpoint_client, "PAUSES", (0.01, 0.02, 0.03))
    monkeypatch.setattr(endpoint_client, "LEAST_WAIT", 0.0)
    monkeypatch.setattr(
        vad,
        "speech_probabilities",
        lambda samples, _: np.zeros(len(samples) // vad.CHUNK, np.float32),
    )


@pytest.fixture
def recording(tmp_path):
    """70 seconds of noise, with a second of silence before 25, 50 and 75 seconds."""
    noise = np.random.default_rng(1).normal(0, 0.1, 70 * SAMPLE_RATE).astype(np.float32)
    for second in (24, 49):
        noise[second * SAMPLE_RATE : (second + 1) * SAMPLE_RATE] = 0
    path = tmp_path / "talk.flac"
    path.write_bytes(encoded(pcm(noise), "flac"))
    return path


def audio(path, seconds=70.0, key="file:talk"):
    source, _, name = key.partition(":")
    return Audio(Item(source, name, str(path), "Talk", duration=seconds), path, seconds)


def backend(service, tmp_path, **changes):
    options = {
        "base_url": service.url,
        "request_seconds": 30.0,
        "request_format": "wav",
        "api_key": KEY,
        **changes,
    }
    return EndpointBackend(EndpointOptions(**options), tmp_path / "answers")


def transcribe(service, tmp_path, recording, options=EVERYTHING, stop=None, **changes):
    """Transcribe `recording`; returns the transcript and its usage."""
    stop = stop or Event()
    with backend(service, tmp_path, **changes).start("", "whisper-1") as session:
        call = session.submit(audio(recording), options, stop)
        try:
            found = session.result(call, stop, lambda _: None)
        finally:
            session.last = usage = session.usage(call)
        return found, usage


# --- What is sent, and what comes of it ------------------------------------------------------------


def test_a_long_recording_is_cut_in_pauses_and_joined_without_loss(service, tmp_path, recording):
    found, _ = transcribe(service, tmp_path, recording, request_format="flac")
    whole = decode(recording)
    sent = np.concatenate([request.samples for request in service.requests])
    assert len(service.requests) >= 3
    assert all(request.seconds <= 30.001 for request in service.requests)
    assert np.array_equal(sent, whole)  # each sample once, in order
    first = service.requests[0].seconds
    assert 24 <= first <= 25  # the silence
    starts = [segment.start for segment in found.segments]
    assert starts == sorted(starts)
    second = next(s for s in found.segments if s.start >= first)
    assert second.text == " At 0 seconds."
    assert second.start == pytest.approx(first, abs=0.01)  # shifted
    assert found.segments[-1].end <= found.duration == pytest.approx(70, abs=0.01)
    assert (found.engine, found.model, found.language) == ("openai-api", "whisper-1", "en")


def test_what_is_sent(service, tmp_path, recording):
    options = replace(EVERYTHING, language="en", initial_prompt="Ann Bee", word_timestamps=True)
    transcribe(service, tmp_path, recording, options, request_format="ogg")
    first, second, *_ = service.requests
    assert first.path == "/v1/audio/transcriptions"
    assert first.headers["Authorization"] == f"Bearer {KEY}"
    assert first.name == "part.ogg"
    assert first.content[:4] == b"OggS"
    assert first.fields == {
        "model": ["whisper-1"],
        "response_format": ["verbose_json"],
        "language": ["en"],
        "prompt": ["Ann Bee"],
        "timestamp_granularities[]": ["segment", "word"],
    }
    assert second.fields["prompt"][0].startswith("Ann Bee At")  # the end of the text before
    assert second.fields["prompt"][0].endswith("seconds.")
    assert "Talk" not in str([request.fields for request in service.requests])


def test_translations_have_their_own_address(service, tmp_path, recording):
    found, _ = transcribe(service, tmp_path, recording, replace(EVERYTHING, task="translate"))
    assert {request.path for request in service.requests} == {"/v1/audio/translations"}
    assert found.language == "en"


def test_requests_stay_within_the_bytes_of_the_endpoint(service, tmp_path, recording):
    most = MOST_HEADER + 31 * MOST_BYTES["wav"]
    transcribe(
        *(service, tmp_path, recording),
        request_format="wav",
        request_seconds=600.0,
        request_bytes=most,
    )
    assert max(len(request.content) for request in service.requests) <= most
    assert len(service.requests) >= 3


@pytest.mark.parametrize("speech_format", ["ogg", "flac", "wav"])
def test_formats_are_small_enough_and_can_be_decoded(speech_format):
    noise = pcm(np.random.default_rng(2).normal(0, 0.3, 20 * SAMPLE_RATE).astype(np.float32))
    content = encoded(noise, speech_format)
    assert len(content) <= 20 * MOST_BYTES[speech_format] + MOST_HEADER
    assert len(decode(content)) == pytest.approx(20 * SAMPLE_RATE, abs=SAMPLE_RATE / 20)
    if speech_format != "ogg":
        assert np.array_equal(pcm(decode(content)), noise)


# --- Faults ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (error(401, f"Incorrect API key provided: {KEY}."), "refuses the key"),
        (error(403, "No."), "refuses the key"),
        (error(402, "Add credit."), "wants to be paid first"),
        (error(429, "You exceeded your quota.", code="insufficient_quota"), "wants to be paid"),
        (
            error(404, "No such model", code="model_not_found"),
            "does not know the model 'whisper-1'",
        ),
        ((404, {"Content-Type": "text/plain"}, b"nothing"), "has no http"),
        (error(413, "Too large"), "takes no request of this size"),
        ((302, {"Location": "https://elsewhere.example/"}, b""), "redirects"),
        ((200, {"Content-Type": "text/html"}, b"<html>Sign in</html>"), "a web page instead"),
        ((400, {"Content-Type": "text/html"}, b"<html>Bad</html>"), "no transcription endpoint"),
        (error(429, "Wait", **{"Retry-After": "3600"}), "no more requests for 60 minutes"),
    ],
)
def test_a_refusal_ends_the_run_after_one_request(service, tmp_path, recording, reply, message):
    service.plan = [reply]
    with pytest.raises(UserError, match=message) as caught:
        transcribe(service, tmp_path, recording, price_per_minute=0.006)
    assert len(service.requests) == 1
    assert "CANARY" not in str(caught.value) + caught.value.hint
    assert AnswerStore(tmp_path / "answers").paid("file:talk") is None  # nothing is billed


@pytest.mark.parametrize(
    ("reply", "lost"),
    [
        (error(500, "Oops"), 1),
        (error(503, "Loading"), 0),
        (error(429, "Slow down", **{"Retry-After": "0"}), 0),
        (error(429, "Slow down"), 0),
        ("hang up", 1),
        ((200, {"Content-Length": "5000"}, b'{"text": "half'), 1),
        ((200, {}, b"[1, 2]"), 0),
        ((200, {}, b'{"text": "a", "segments": [{"start": NaN, "end": 1, "text": "a"}]}'), 0),
        ((200, {}, b'{"text": "\xff"}'), 0),
    ],
    ids=["500", "503", "429", "429 bare", "cut", "half", "list", "NaN", "bytes"],
)
def test_a_passing_fault_is_tried_again(service, tmp_path, recording, reply, lost):
    service.plan = [answer(), reply]
    found, usage = transcribe(service, tmp_path, recording, price_per_minute=0.6)
    assert found.text.count("At 0 seconds.") == len(service.requests) - 1
    parts_sent = len(service.requests) - 1
    assert usage.outcome == "done"
    price = AudioPrice(0.6)
    second = price.of(service.requests[1].seconds)
    assert usage.unmetered_dollars == pytest.approx(lost * second)
    right = sum(price.of(r.seconds) for r in [service.requests[0], *service.requests[2:]])
    assert parts_sent >= 3
    refused = isinstance(reply, tuple) is False and reply != "hang up" and not lost
    assert usage.dollars == pytest.approx(right + (0 if refused else second), abs=0.011)


@pytest.mark.parametrize(
    ("reply", "message", "requests"),
    [
        (error(400, "The request is not understood."), "refuses the request", 1),
        (error(400, "The temperature is odd."), "refuses the request", 1),  # none was sent
        (error(500, "Oops"), r"4 attempts: the service failed \(HTTP 500\): Oops", 4),
        ("hang up", "gave no answer in 4 attempts", 4),
        ((200, {}, b"[1, 2]"), "4 attempts: The answer has no text", 4),
    ],
    ids=["400", "400 of a field", "500", "cut", "list"],
)
def test_an_odd_recording_does_not_keep_others_from_their_turn(
    service, tmp_path, recording, reply, message, requests
):
    """Also as the first one of a run, which would else be the first one of each later run."""
    service.plan = [reply] * requests
    stop = Event()
    with backend(service, tmp_path).start("", "whisper-1") as session:
        call = session.submit(audio(recording, key="file:odd"), EVERYTHING, stop)
        with pytest.raises(RetryableError, match=message):
            session.result(call, stop, lambda _: None)
        assert len(service.requests) == requests
        call = session.submit(audio(recording), EVERYTHING, stop)
        assert session.result(call, stop, lambda _: None).text.startswith("At 0 seconds.")


@pytest.mark.parametrize(("price", "last"), [(0.006, PermanentError), (0.0, RetryableError)])
def test_a_recording_that_always_fails_is_not_paid_for_each_night(
    service, tmp_path, recording, price, last
):
    service.default = answer(duration=3.0)
    for night in range(6):
        with pytest.raises(RetryableError if night < 5 else last, match="cannot be right"):
            transcribe(service, tmp_path, recording, price_per_minute=price)
    service.default = answer()  # after `homescribe retry`
    found, usage = transcribe(service, tmp_path, recording, price_per_minute=price)
    assert found.text.startswith("At 0 seconds.")
    assert usage.dollars == pytest.approx(price * (12 * 25 + 72) / 60, rel=0.05)


def test_an_endpoint_that_is_never_ready_ends_the_run(service, tmp_path, recording):
    service.default = error(503, "Loading")
    with pytest.raises(UserError, match=r"cannot be used now: the service failed \(HTTP 503\)"):
        transcribe(service, tmp_path, recording)
    assert len(service.requests) == 4


def test_nothing_listens(service, tmp_path, recording):
    with EndpointServer() as gone:
        pass
    with pytest.raises(UserError, match="cannot be used now"):
        transcribe(gone, tmp_path, recording, price_per_minute=1.0)
    assert AnswerStore(tmp_path / "answers").paid("file:talk") is None


def test_three_recordings_in_a_row_without_an_answer_end_the_run(service, tmp_path, recording):
    with backend(service, tmp_path).start("", "whisper-1") as session:
        stop = Event()
        service.default = error(500, "Oops")
        for number in range(3):
            call = session.submit(audio(recording, key=f"file:{number}"), EVERYTHING, stop)
            with pytest.raises(RetryableError, match="no answer in 4 attempts"):
                session.result(call, stop, lambda _: None)
        with pytest.raises(UserError, match="3 calls in a row failed"):
            session.submit(audio(recording, key="file:4"), EVERYTHING, stop)


def test_a_slow_body_is_abandoned(service, tmp_path, recording, monkeypatch):
    monkeypatch.setattr(endpoint_client, "ANSWER_LIMIT", -23.0)
    monkeypatch.setattr(endpoint_client, "PAUSES", (0.01,))
    service.drip = 0.05
    began = time.monotonic()
    with pytest.raises(RetryableError, match="no complete answer within"):
        transcribe(service, tmp_path, recording)
    assert time.monotonic() - began < 20


def test_a_huge_body_is_abandoned(service, tmp_path, recording, monkeypatch):
    monkeypatch.setattr(endpoint_request, "MOST_RESPONSE", 100_000)
    service.default = (200, {}, b'{"text": "' + b"a" * 1_000_000 + b'"}')
    with pytest.raises(RetryableError, match="an answer of more than"):
        transcribe(service, tmp_path, recording)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"duration": 3.0}, "it heard 3 of"),
        ({"segments": [{"start": 900, "end": 901, "text": "a"}], "text": "a"}, "past the end"),
        ({"text": "a" * 9000}, "faster than anybody speaks"),
        (
            {"segments": [{"start": 0, "end": 9, "text": "a b c " * 1000}], "text": "a b c"},
            "faster than anybody speaks",
        ),
        ({"text": "One two three four five six."}, None),  # segments have more
        ({"segments": [{"start": 0, "end": 1, "text": "One"}]}, "in no segment"),
    ],
)
def test_a_wrong_answer_is_requested_once_more_then_the_recording_fails(
    service, tmp_path, recording, changes, message
):
    service.plan = [answer(**changes), answer(**changes)]
    if message is None:
        transcribe(service, tmp_path, recording)
        return
    with pytest.raises(RetryableError, match=message):
        transcribe(service, tmp_path, recording)
    assert len(service.requests) == 2
    service.plan = [answer(**changes)]
    found, _ = transcribe(service, tmp_path, recording)  # the third one is right
    assert found.text.startswith("At 0 seconds.")


def test_another_model_is_noticed(service, tmp_path, recording):
    service.default = answer(model="tiny")
    found, _ = transcribe(service, tmp_path, recording)
    assert found.warnings == ("The endpoint answered with the model tiny instead of whisper-1.",)
    service.default = answer(model="whisper-1-2024-06-01")
    found, _ = transcribe(service, tmp_path / "again", recording)
    assert found.warnings == ()


def test_a_field_that_the_endpoint_does_not_know_is_left_out(service, tmp_path, recording):
    service.plan = [
        (
            422,
            {},
            {"detail": [{"loc": ["body", "prompt"], "msg": "Extra inputs are not permitted"}]},
        ),
        error(400, "Unknown value", param="timestamp_granularities"),
    ]
    options = replace(EVERYTHING, initial_prompt="Ann")
    found, _ = transcribe(service, tmp_path, recording, options)
    assert "prompt" in service.requests[0].fields
    assert all("prompt" not in request.fields for request in service.requests[1:])
    assert all("timestamp_granularities[]" not in r.fields for r in service.requests[2:])
    assert found.text.startswith("At 0 seconds.")
    assert found.warnings == (
        "The endpoint refused the prompt, so it did not get the names and spellings to expect.",
    )


def test_a_prompt_has_at_most_the_characters_that_services_take(service, tmp_path, recording):
    long = f"{'Some Name, ' * 200}Ann Bee."
    transcribe(service, tmp_path, recording, replace(EVERYTHING, initial_prompt=long))
    first, second, *_ = (request.fields["prompt"][0] for request in service.requests)
    assert 880 < len(first) <= 896
    assert first.endswith("Name, Ann Bee.")
    assert 880 < len(second) <= 896
    assert "Name, Ann Bee. At 0 seconds." in second


NO_TIMES = error(
    *(400, "response_format 'verbose_json' is not compatible with model 'gpt-4o-transcribe'."),
    param="response_format",
)


def test_a_model_without_times_is_refused_unless_parts_are_short(service, tmp_path, recording):
    service.plan = [NO_TIMES]
    with pytest.raises(UserError, match="gives no times") as caught:
        transcribe(service, tmp_path, recording, request_seconds=600.0)
    assert "--request-seconds 30" in caught.value.hint
    service.plan = [NO_TIMES]
    service.default = lambda sent: (200, {}, {"text": f"Part of {sent.seconds:.0f} s."})
    service.requests.clear()
    found, _ = transcribe(service, tmp_path, recording)
    assert len(found.segments) == len(service.requests) - 1 >= 3
    assert all(segment.end - segment.start <= 30 for segment in found.segments)
    assert "gave no times" in found.warnings[0]


def test_an_answer_without_times_is_refused(service, tmp_path, recording):
    service.default = (200, {}, {"text": "All at once."})
    with pytest.raises(UserError, match="answers without times"):
        transcribe(service, tmp_path, recording, request_seconds=600.0)


def all_speech(samples, _):
    return np.ones(len(samples) // vad.CHUNK, np.float32)


def test_no_text_for_a_recording_full_of_speech_is_no_transcript(
    service, tmp_path, recording, monkeypatch
):
    monkeypatch.setattr(vad, "speech_probabilities", all_speech)
    service.default = answer(text="", segments=[])
    with pytest.raises(RetryableError, match="gave no text for 70 seconds of speech"):
        transcribe(service, tmp_path, recording, TranscriptionOptions())
    before = len(service.requests)
    service.default = answer()
    found, _ = transcribe(service, tmp_path, recording, TranscriptionOptions())
    assert found.text.count("At 0 seconds.") == len(service.requests) - before == before


def test_speech_without_text_is_in_the_transcript_as_a_warning(
    service, tmp_path, recording, monkeypatch
):
    monkeypatch.setattr(vad, "speech_probabilities", all_speech)
    service.plan = [answer(), answer(text="", segments=[])]
    found, _ = transcribe(service, tmp_path, recording, TranscriptionOptions())
    second = service.requests[0].seconds
    assert found.warnings == (f"The endpoint gave no text for speech at 0:{int(second)}.",)
    [stretch] = found.skipped
    assert (stretch.reason, stretch.start) == ("no_text", pytest.approx(second, abs=0.01))


def test_a_long_silence_is_not_sent(service, tmp_path, monkeypatch):
    monkeypatch.setattr(vad, "speech_probabilities", DETECT_SPEECH)
    fox = decode(demo.samples() / "fox-20s.mp3")
    whole = np.concatenate([fox, np.zeros(40 * SAMPLE_RATE, np.float32), fox])
    path = tmp_path / "talk.flac"
    path.write_bytes(encoded(pcm(whole), "flac"))
    found, _ = transcribe(service, tmp_path, path, TranscriptionOptions())
    assert len(service.requests) == 2
    assert sum(request.seconds for request in service.requests) < 45
    assert any(one.reason == "no_speech" and one.end - one.start > 35 for one in found.skipped)
    assert found.segments[-1].start > 60


@pytest.mark.parametrize("setting", ["auto", None])
def test_speakers_are_told_apart_on_this_machine(service, tmp_path, recording, setting):
    class Finder:
        def load(self):
            """Nothing."""

        def find(self, *_):
            turns = (Turn(0.0, 35.0, "SPEAKER_00"), Turn(35.0, 70.0, "SPEAKER_01"))
            return Diarization(turns, (Speaker("SPEAKER_00"), Speaker("SPEAKER_01")))

    stop = Event()
    opened = backend(service, tmp_path)
    opened = EndpointBackend(opened._options, tmp_path / "answers", Finder())
    with opened.start("", "m") as session:
        options = replace(EVERYTHING, speakers=setting)
        call = session.submit(audio(recording), options, stop)
        found = session.result(call, stop, lambda _: None)
    asked = "timestamp_granularities[]"
    assert ("word" in service.requests[0].fields[asked]) == (setting is not None)
    assert len(found.speakers) == (2 if setting else 0)


# --- Money -------------------------------------------------------------------------------------------


def test_nothing_is_sent_that_could_pass_the_cap(service, tmp_path, recording):
    with pytest.raises(BudgetReached, match=r"limit is \$0\.06"):
        transcribe(service, tmp_path, recording, price_per_minute=0.06, max_cost=0.06)
    assert service.requests == []
    transcribe(service, tmp_path, recording, price_per_minute=0.06, max_cost=0.08)


def test_lost_requests_count_in_the_cap(service, tmp_path, recording):
    service.plan = [answer(), "hang up"]
    with pytest.raises(BudgetReached):
        transcribe(service, tmp_path, recording, price_per_minute=0.6, max_cost=0.75)
    stored = AnswerStore(tmp_path / "answers").paid("file:talk")
    assert 0.5 <= stored.dollars <= 0.75
    assert stored.lost_dollars > 0


def test_an_unknown_duration_is_measured_before_anything_is_sent(service, tmp_path, recording):
    stop = Event()
    with backend(service, tmp_path, price_per_minute=0.6, max_cost=0.4).start("", "m") as session:
        unknown = replace(audio(recording), duration=None)
        unknown = replace(unknown, item=replace(unknown.item, duration=None))
        call = session.submit(unknown, EVERYTHING, stop)
        with pytest.raises(BudgetReached):
            session.result(call, stop, lambda _: None)
    assert service.requests == []


def test_a_recording_that_crashes_the_decoder_fails_alone(
    service, tmp_path, recording, monkeypatch
):
    def crash(*_, **__):
        raise PermanentError("The recording crashes the decoder (signal 11).")

    monkeypatch.setattr(decoded_recording, "write_flac_copy", crash)
    with pytest.raises(PermanentError, match="crashes the decoder"):
        transcribe(service, tmp_path, recording)
    assert service.requests == []


def test_a_recording_is_decoded_in_another_process(service, tmp_path, recording, monkeypatch):
    monkeypatch.setattr(flac_file, "write_flac_copy", None)  # in this one
    found, _ = transcribe(service, tmp_path, recording)
    assert found.duration == pytest.approx(70, abs=0.01)
    assert [one.name for one in (tmp_path / "answers").iterdir() if "decoded" in one.name] == []


def test_what_a_killed_process_has_decoded_is_deleted(tmp_path):
    (tmp_path / "decoded-abc").mkdir()
    store = AnswerStore(tmp_path)
    store.begin("file:talk", 0.5)
    store.sweep()
    assert not (tmp_path / "decoded-abc").exists()
    assert store.paid("file:talk") is not None


def test_what_was_answered_is_not_paid_twice(service, tmp_path, recording):
    service.plan = [answer(), answer(), error(401, "No.")]
    with pytest.raises(UserError):
        transcribe(service, tmp_path, recording, price_per_minute=0.6)
    assert len(service.requests) == 3
    service.requests.clear()
    found, usage = transcribe(service, tmp_path, recording, price_per_minute=0.6)
    left = len(service.requests)
    whole, _ = transcribe(service, tmp_path / "other", recording, price_per_minute=0.6)
    assert left + 2 == len(service.requests) - left  # without the two that were answered
    assert found.segments == whole.segments
    seconds = math.ceil(usage.dollars / 0.01 - 0.01)
    assert 70 <= seconds <= 74  # all parts once, each rounded up


def test_the_id_of_the_costs_stays_until_the_transcript_is_stored(service, tmp_path, recording):
    stop = Event()
    service.plan = [answer(), error(401, "No.")]
    with backend(service, tmp_path, price_per_minute=0.6).start("", "m") as session:
        call = session.submit(audio(recording), EVERYTHING, stop)
        with pytest.raises(UserError):
            session.result(call, stop, lambda _: None)
        first = session.usage(call)
        session.forget("file:talk")  # of a failure
    with backend(service, tmp_path, price_per_minute=0.6).start("", "m") as session:
        call = session.submit(audio(recording), EVERYTHING, stop)
        session.result(call, stop, lambda _: None)
        second = session.usage(call)
        session.forget("file:talk")
        assert session.usage(call) is None
    assert (first.outcome, second.outcome) == ("failed", "done")
    assert first.call.id == second.call.id
    assert second.dollars > first.dollars > 0
    assert second.gpu == service.url.split("/")[2]
    assert list((tmp_path / "answers").iterdir()) == []


def test_a_stop_waits_for_the_answer_that_is_paid_for(service, tmp_path, recording):
    stop = Event()
    service.delay = 0.5
    opened = backend(service, tmp_path, price_per_minute=0.6)
    with opened.start("", "m") as session:
        call = session.submit(audio(recording), EVERYTHING, stop)

        def result():
            with pytest.raises(Cancelled):
                session.result(call, stop, lambda _: None)

        thread = threading.Thread(target=result)
        thread.start()
        while not service.requests:
            time.sleep(0.01)
        stop.set()
    thread.join(5)
    paid = AnswerStore(tmp_path / "answers").paid("file:talk")
    assert (len(service.requests), paid.requests, paid.lost_dollars) == (1, 1, 0.0)


def test_a_request_is_noted_before_it_is_sent(tmp_path):
    store = AnswerStore(tmp_path)
    store.begin("file:talk", 0.5)  # and the process is killed
    paid = AnswerStore(tmp_path).paid("file:talk")
    assert (paid.dollars, paid.lost_dollars, paid.requests) == (0.5, 0.5, 1)


def test_costs_keep_the_time_at_which_they_were_paid(service, tmp_path):
    """Each run stores those of unfinished recordings anew; charts have them by day."""
    store = AnswerStore(tmp_path / "answers", "whisper-1", "api.example")
    store.begin("file:talk", 0.5)
    [note] = (tmp_path / "answers").glob("*/sent-*")
    os.utime(note, (1_700_000_000, 1_700_000_000))
    [usage] = backend(service, tmp_path).unfinished_usages()
    assert (usage.dollars, usage.finished_at) == (0.5, 1_700_000_000)


def test_a_run_begins_also_while_another_program_writes_to_the_library(tmp_path):
    config = Config(
        library=tmp_path / "library", backend="openai", base_url="https://api.example/v1"
    )
    AnswerStore(config.library / "answers", "whisper-1", "api.example").begin("file:talk", 0.5)
    with Library(config.library) as library:
        with (
            closing(sqlite3.connect(library.path)) as other,
            library.busy_timeout(0),
        ):
            other.execute("BEGIN IMMEDIATE")
            build_backend(config, library)
            assert library.spending().dollars == 0
        build_backend(config, library)
        assert library.spending().dollars == 0.5


def test_a_price_is_rounded_up_to_seconds_and_to_the_least_that_is_billed():
    assert AudioPrice(0.06).of(60.2) == pytest.approx(0.061)
    assert AudioPrice(0.06, least_seconds=10).of(2) == pytest.approx(0.01)


def test_recordings_wait_for_room_in_the_budget():
    budget = AudioBudget(1.0)
    budget.reserve("a", 0.8, Event())
    done = Event()

    def wait():
        budget.reserve("b", 0.5, Event())
        done.set()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    assert not done.wait(0.1)
    budget.release("a")
    assert done.wait(2)
    with pytest.raises(BudgetReached):
        budget.cover("b", 1.1)


# --- Rates -------------------------------------------------------------------------------------------


def test_a_refusal_holds_all_requests():
    limits, stop = RateLimits("api.example"), Event()
    limits.hold(0.3)
    began = time.monotonic()
    limits.wait(stop)
    assert time.monotonic() - began >= 0.25
    limits.observe({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "16m0s"})
    with pytest.raises(UserError, match=r"api\.example takes no more requests for 16 minutes"):
        limits.wait(stop)
    stop.set()
    with pytest.raises(Cancelled):
        limits.wait(stop)


def test_one_refusal_holds_the_requests_for_other_recordings(service, tmp_path, recording):
    service.plan = [error(429, "Slow down", **{"Retry-After": "1"})]
    stop = Event()
    with backend(service, tmp_path).start("", "m") as session:

        def result(key):
            call = session.submit(audio(recording, key=key), EVERYTHING, stop)
            session.result(call, stop, lambda _: None)

        threads = [threading.Thread(target=result, args=(f"file:{n}",)) for n in (1, 2)]
        threads[0].start()
        while not service.requests or service.running:
            time.sleep(0.01)
        threads[1].start()
        for thread in threads:
            thread.join(30)
    refused, following, *_ = service.requests
    assert following.at - refused.at >= 0.9


def test_a_part_is_not_sent_again_and_again_at_once(service, tmp_path, recording, monkeypatch):
    monkeypatch.setattr(endpoint_client, "LEAST_WAIT", 0.3)
    service.plan = [error(429, "Slow down", **{"Retry-After": "0.001"})] * 2
    transcribe(service, tmp_path, recording)
    first, second, third, *_ = (request.at for request in service.requests)
    assert min(second - first, third - second) >= 0.28


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6m0s", 360),
        ("2m59.56s", 179.56),
        ("450ms", 0.45),
        ("1h", 3600),
        ("", None),
        ("soon", None),
    ],
)
def test_durations_of_rate_limits(text, seconds):
    assert duration(text) == (None if seconds is None else pytest.approx(seconds))


def test_a_wait_is_a_number_or_a_date_or_the_time_of_a_limit():
    assert rate_limits.requested_wait({"Retry-After": "7.5"}) == 7.5
    assert rate_limits.requested_wait({"Retry-After": "Mon, 01 Jan 2001 00:00:00 GMT"}) == 0.0
    headers = {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "2s"}
    assert rate_limits.requested_wait(headers) == 2.0
    assert rate_limits.requested_wait({}) is None


# --- Settings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base_url": "api.example/v1"}, "no|not a web address"),
        ({"base_url": "ftp://api.example/v1"}, "not a web address"),
        ({"base_url": "https://user:pw@api.example/v1"}, "a user name"),
        ({"base_url": "https://api.example/v1?key=abc"}, "parameters"),
        ({"base_url": "http://api.example/v1"}, "unencrypted"),
        ({"base_url": "http://192.168.1.5:8000/v1"}, "unencrypted"),
        ({"api_key": "a\nb"}, "characters that no key has"),
        ({"max_cost": 1.0}, "needs the price"),
        ({"request_seconds": 5.0}, "too short"),
        ({"request_bytes": 10_000}, "has no room"),
        ({"slots": 100}, "100 requests at once"),
    ],
)
def test_settings_that_cannot_be_used(changes, message):
    with pytest.raises(UserError, match=message):
        EndpointOptions(**{"base_url": "https://api.example/v1", **changes})


def test_settings_that_can_be_used():
    for url in ("http://127.0.0.1:8000/v1", "http://localhost/v1", "http://[::1]:9/v1"):
        EndpointOptions(url)
    own = EndpointOptions("http://192.168.1.5:8000/v1/", allow_http=True, api_key=KEY)
    assert own.host == "192.168.1.5:8000"
    assert own.address("translate") == "http://192.168.1.5:8000/v1/audio/translations"
    assert KEY not in repr(own)


def test_a_netrc_file_does_not_replace_the_key(service, tmp_path, recording, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    transcribe(service, tmp_path, recording)
    transcribe(service, tmp_path / "no key", recording, api_key=None)
    keys = {request.headers["Authorization"] for request in service.requests}
    assert keys == {f"Bearer {KEY}", None}


def test_a_proxy_gets_no_unencrypted_audio(service, tmp_path, recording, monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with EndpointServer() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
        transcribe(service, tmp_path, recording)
    assert proxy.requests == []
    assert len(service.requests) >= 3


# --- Answers -----------------------------------------------------------------------------------------


def body(**values):
    return json.dumps({"text": "a b", **values}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b'"text"',
        b"{}",
        b'{"text": 1}',
        b'{"text": "a", "duration": Infinity}',
        b"[" * 100_000,
        body(segments={"start": 0}),
        body(segments=[[0, 1, "a"]]),
        body(segments=[{"start": 0, "end": 1}]),
        body(segments=[{"start": "0", "end": 1, "text": "a"}]),
        body(segments=[{"start": True, "end": 1, "text": "a"}]),
        body(segments=[{"start": -5, "end": 1, "text": "a"}]),
        body(segments=[{"start": 10**400, "end": 1, "text": "a"}]),
        body(words=[{"start": 0, "end": 1}]),
        body(segments=[{"start": 0, "end": 1, "text": "a"}] * 20_001),
        body(text="a" * 2_000_001),
    ],
)
def test_an_answer_that_is_none(content):
    with pytest.raises(BadAnswer):
        parse(content)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["text", "segments", "words", "start", "end", "word", "duration", "model"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_json_is_an_answer_or_none(found):
    try:
        answered = parse(json.dumps(found).encode())
    except BadAnswer:
        return
    for segment in answered.segments:
        assert 0 <= segment.start <= segment.end < math.inf
    problem(answered, window(0, 10, (0, 10)))
    timed = timed_segments(answered, window(100, 10, (0, 10)), 0.0, vad_filter=True, words=True)
    assert all(100 <= one.start <= one.end <= 110 for one in timed)


def test_answers_of_several_services():
    found = parse(
        body(
            text="\x1b[31mhi\ud800",
            language="German",
            duration="3.5",
            segments=[{"start": 2, "end": 1, "text": "hi", "avg_logprob": 0, "tokens": [1]}],
        )
    )
    assert "\x1b" not in found.text
    found.text.encode()  # no half of a pair
    assert (found.language, found.duration) == ("de", 3.5)
    for none in ("<script>", "unknown", "\x00", "", 1, None):
        assert parse(body(language=none)).language is None
    assert parse(body(language="haw")).language == "haw"
    assert found.segments == (Segment(2.0, 2.0, " hi"),)
    inner = parse(
        body(
            segments=[
                {"start": 0, "end": 1, "text": "a", "words": [{"word": "a", "start": 0, "end": 1}]}
            ]
        )
    )
    assert inner.words == (Word(0.0, 1.0, "a", 1.0),)


def test_words_get_the_spaces_and_marks_of_their_segment():
    segments = (Segment(0, 2, " Well, it's OK."), Segment(2, 4, " (Yes!) Größe 東京"))
    words = [
        Word(n / 4, n / 4 + 0.25, text, 1.0)
        for n, text in enumerate(["Well", "it's", "OK", "Yes", "Größe", "東", "京"])
    ]
    one, two = with_words(segments, words)
    assert [word.word for word in one.words] == [" Well,", " it's", " OK."]
    assert [word.word for word in two.words] == [" (Yes!)", " Größe", " 東", "京"]
    for segment in (one, two):
        assert "".join(word.word for word in segment.words) == segment.text


def test_words_that_differ_from_their_segment_are_left_out():
    segments = (Segment(0, 1, " One two."), Segment(1, 2, " Three four."))
    words = [
        Word(0.0, 0.4, "One", 1.0),
        Word(0.5, 0.9, "too", 1.0),
        Word(1.0, 1.4, "Three", 1.0),
        Word(1.5, 1.9, "four", 1.0),
    ]
    one, two = with_words(segments, words)
    assert one.words == ()
    assert [word.start for word in two.words] == [1.0, 1.5]


# --- Parts and checks --------------------------------------------------------------------------------


def window(start, seconds, *speech):
    return Window(start, np.full(round(seconds * SAMPLE_RATE), 0.5, np.float32), speech)


def test_parts_leave_out_long_silences_and_blank_short_ones():
    windows = [window(0, 10, (1, 9)), window(16, 4, (0, 4)), window(50, 5, (0, 5)), window(55, 600)]
    found = list(parts(windows, 600.0))
    assert [(part.start, part.end) for part in found] == [(0, 20), (50, 55), (55, 655)]
    first = found[0]
    assert first.speech == ((1, 9), (16, 20))
    assert not first.samples[10 * SAMPLE_RATE : 16 * SAMPLE_RATE].any()
    assert first.samples[16 * SAMPLE_RATE :].all()


def test_speech_without_text_is_noticed():
    part = window(100, 60, (0, 20), (30, 55))
    assert is_deaf([(Answer(""), part)])
    assert not is_deaf([(Answer(""), part), (Answer("a"), part)])
    assert not is_deaf([(Answer(""), window(0, 60, (0, 5)))])
    [stretch] = untranscribed(part, [Segment(100, 121, " a")])
    assert (stretch.start, stretch.end) == (121, 160)
    assert [*untranscribed(part, [Segment(100, 121, " a"), Segment(129, 156, " b")])] == []


def test_an_answer_may_end_a_little_late():
    part = window(0, 60)
    late = Answer("a", (Segment(59, 65, " a"),), duration=59.0)
    assert problem(late, part) is None


def test_a_repetition_is_flagged(service, tmp_path, recording):
    loop = " and then we go" * 12
    service.default = answer(
        text=loop.strip(), segments=[{"start": 0, "end": 20, "text": loop, "avg_logprob": -0.2}]
    )
    found, _ = transcribe(service, tmp_path, recording)
    assert "repetition" in found.segments[0].flags
    assert "prompt" not in service.requests[1].fields  # so that it does not spread


def test_field_refused_carries_its_name():
    assert FieldRefused("prompt", "no").name == "prompt"


def test_the_stand_in_answers_right(service, tmp_path, recording):
    transcribe(service, tmp_path, recording)
    found = verbose(service.requests[0])
    assert found["segments"][-1]["end"] == found["duration"]
