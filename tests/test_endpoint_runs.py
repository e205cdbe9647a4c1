"""Runs with the backend for an endpoint: commands, the page, kills, costs, and homescribe as the service."""

import dataclasses
import json
import os
import signal
import time

import httpx
import numpy as np
import pytest

import homescribe
from command_line import CommandLine
from endpoint_server import EndpointServer, answer, error
from homescribe import demo, doctor
from homescribe.audio import SAMPLE_RATE, decode
from homescribe.audio.speech_file import encoded, pcm
from homescribe.config import Config
from homescribe.core import HOUR, Item, Listing, TranscriptionOptions
from homescribe.cost.audio_budget import AudioPrice
from homescribe.cost.endpoint_plan import ASSUMED_SPEED, NO_PRICE
from homescribe.library import Library
from homescribe.web.estimate import estimate
from speech_samples import assert_words, sample_text
from web_server import TOKEN, serving

MINUTE_PRICE = 0.6  # dollars: a cent for each second


@pytest.fixture
def service():
    with EndpointServer() as running:
        yield running


def noise(path, seconds, seed):
    """Write `seconds` of noise, which is different for each seed."""
    samples = np.random.default_rng(seed).normal(0, 0.1, seconds * SAMPLE_RATE)
    write(path, samples.astype(np.float32))


def write(path, samples):
    """Write a waveform as a file that nobody has changed for an hour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(pcm(samples), "flac"))
    then = time.time() - HOUR
    os.utime(path, (then, then))


def command_line(tmp_path, service, **settings):
    return CommandLine(
        tmp_path,
        backend="openai",
        base_url=service.url,
        request_seconds=30,
        price_per_minute=MINUTE_PRICE,
        vad_filter="false",
        api_key="sk-CANARY",
        **settings,
    )


def spent(tmp_path):
    with Library(tmp_path / "library") as library:
        return library.spending()


def states(tmp_path):
    with Library(tmp_path / "library") as library:
        return {record.item.title: record.state for record in library.items()}


# --- Kills and costs -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends signals")
def test_a_run_that_is_killed_twice_pays_for_each_part_once(tmp_path, service):
    noise(tmp_path / "talks" / "a.flac", 130, 1)
    program = command_line(tmp_path, service, request_slots=1)
    assert program.run("add", tmp_path / "talks")[0] == 0
    service.delay = 0.2
    for kills in (1, 2):
        with program.start("run") as process:
            while len(service.requests) < 2 * kills:
                assert process.poll() is None, process.communicate()
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
        assert set(states(tmp_path).values()) == {"pending"}
    # What was paid for is known, also if nobody goes on with the recording.
    with Library(tmp_path / "library") as library:
        [record] = library.items()
    program.run("ignore", record.item.key)
    assert program.run("run")[0] == 0
    before = spent(tmp_path)
    assert (before.calls, before.dollars > 0.3) == (1, True)
    program.run("ignore", "--undo", record.item.key)
    code, _, err = program.run("run")
    assert code == 0, err
    # Each kill loses at most the request that was in flight.
    contents = [request.content for request in service.requests]
    parts = len(set(contents))
    assert parts >= 5
    assert len(contents) <= parts + 2
    found = spent(tmp_path)
    price = AudioPrice(MINUTE_PRICE)
    assert found.dollars == pytest.approx(
        sum(price.of(request.seconds) for request in service.requests), abs=0.03
    )
    assert found.calls == 1
    lost = len(contents) - parts
    assert (found.unmetered_dollars > 0) == (lost > 0)
    assert list((tmp_path / "library" / "answers").iterdir()) == []


@pytest.mark.slow
def test_a_recording_that_is_refused_does_not_stop_the_others(tmp_path, service):
    for number in range(3):
        noise(tmp_path / "talks" / f"{number}.flac", 20, number)
    program = command_line(tmp_path, service, request_slots=1)
    program.run("add", tmp_path / "talks")
    service.plan = [error(400, "Not this one.")]
    code, _, err = program.run("run")
    assert "refuses the request (HTTP 400): Not this one" in err
    assert (code, sorted(states(tmp_path).values())) == (1, ["done", "done", "failed"])
    assert program.run("retry")[0] == 0
    assert program.run("run")[0] == 0
    assert set(states(tmp_path).values()) == {"done"}


@pytest.mark.slow
def test_a_broken_endpoint_ends_the_run_and_leaves_items_pending(tmp_path, service):
    for number in range(3):
        noise(tmp_path / "talks" / f"{number}.flac", 20, number)
    program = command_line(tmp_path, service)
    program.run("add", tmp_path / "talks")
    service.default = error(401, "Incorrect API key provided: sk-CANARY")
    code, out, err = program.run("run")
    assert code == 2
    assert err.count("refuses the key (HTTP 401)") == 1
    assert "CANARY" not in out + err
    assert set(states(tmp_path).values()) == {"pending"}
    service.default = answer()
    assert program.run("run")[0] == 0
    assert set(states(tmp_path).values()) == {"done"}
    everything = "".join(
        path.read_bytes().decode("latin-1")
        for path in (tmp_path / "library").rglob("*")
        if path.is_file()
    )
    assert "CANARY" not in everything


@pytest.mark.slow
def test_the_cap_holds_for_a_run(tmp_path, service):
    for number in range(3):
        noise(tmp_path / "talks" / f"{number}.flac", 20, number)
    program = command_line(tmp_path, service, max_cost=0.45, request_slots=2)
    program.run("add", tmp_path / "talks")
    code, _, err = program.run("run")
    assert code == 4, err
    assert spent(tmp_path).dollars <= 0.45
    assert sorted(states(tmp_path).values()) == ["done", "done", "pending"]
    assert service.most_running <= 2
    assert program.run("run")[0] == 0  # another 0.45


@pytest.mark.slow
def test_without_an_address_nothing_is_sent(tmp_path):
    program = CommandLine(tmp_path, backend="openai")
    code, _, err = program.run("run")
    assert code == 2
    assert "needs the address of an endpoint" in err
    code, _, err = program.run("run", base_url="http://api.example/v1")
    assert code == 2
    assert "unencrypted" in err


def test_python_can_name_the_endpoint(tmp_path, service):
    noise(tmp_path / "talks" / "a.flac", 20, 1)
    [outcome] = homescribe.transcribe(
        tmp_path / "talks",
        library=tmp_path / "library",
        backend="openai",
        base_url=service.url,
        api_key="sk-CANARY",
        options=TranscriptionOptions(vad_filter=False),
    )
    assert outcome.transcript.text.startswith("At 0 seconds.")
    assert service.requests[0].headers["Authorization"] == "Bearer sk-CANARY"


# --- Before a run ----------------------------------------------------------------------------------


@pytest.fixture
def pending(tmp_path):
    """A library with ten pending hours."""
    items = [
        Item("podcast", str(n), f"https://pod.example/{n}", str(n), duration=HOUR)
        for n in range(10)
    ]
    with Library(tmp_path / "library") as library:
        library.record("podcast", Listing("https://pod.example/", "pod", iter(())), items)
        yield library, items


@pytest.mark.slow
def test_a_plan_has_the_price_of_the_endpoint(tmp_path, pending):
    program = CommandLine(
        tmp_path, backend="openai", base_url="https://api.example/v1", price_per_minute=0.006
    )
    code, out, err = program.run("plan", "--json")
    assert code == 0, err
    row = next(row for row in json.loads(out)["rows"] if row["backend"] == "openai")
    assert row["gpu"] == "api.example"
    assert row["dollars"] == pytest.approx(3.6)
    assert row["wall_seconds"] >= 10 * HOUR / ASSUMED_SPEED / 4
    code, out, _ = program.run("plan", "--speakers", "channels", "--json")  # each channel is sent
    both = next(row for row in json.loads(out)["rows"] if row["backend"] == "openai")
    assert (code, both["dollars"]) == (0, pytest.approx(7.2))
    code, out, _ = program.run("plan")
    assert "$3.60" in next(line for line in out.splitlines() if "api.example" in line)
    program = CommandLine(tmp_path, backend="openai", base_url="https://api.example/v1")
    line = next(line for line in program.run("plan")[1].splitlines() if "api.example" in line)
    assert NO_PRICE in line
    assert "$" not in line


def test_the_page_has_the_price_of_the_endpoint(tmp_path, pending):
    _, items = pending
    config = Config(
        library=tmp_path / "library",
        backend="openai",
        base_url="https://api.example/v1",
        price_per_minute=0.006,
    )
    found = estimate(config, items, [], 0.0, None)
    assert found["dollars"] == pytest.approx(3.6)
    both = estimate(dataclasses.replace(config, speakers="channels"), items, [], 0.0, None)
    assert both["dollars"] == pytest.approx(7.2)
    assert found["prices"] == "$0.006 a minute at api.example, by your settings"


def test_doctor_checks_the_settings():
    def found(**settings):
        return doctor._endpoint(Config(backend="openai", **settings))

    assert found().state == "broken"
    assert found(base_url="https://api.example/v1").state == "warning"
    good = found(base_url="https://api.example/v1", price_per_minute=0.006, api_key="sk-CANARY")
    assert good.state == "ok"
    assert good.finding == "api.example, model whisper-1, with a key, $0.006 a minute"


# --- homescribe as the service ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def homescribe_service(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("service")) as address:
        yield address


@pytest.mark.models
def test_homescribes_own_endpoint_gives_the_same_words_as_this_machine(
    tmp_path, homescribe_service
):
    samples = demo.samples()
    local = CommandLine(tmp_path / "local", engine="faster-whisper", model="demo")
    remote = CommandLine(
        tmp_path / "remote",
        backend="openai",
        base_url=f"{homescribe_service}/v1",
        request_format="flac",
    )
    texts = {}
    for name, program in (("local", local), ("remote", remote)):
        (tmp_path / name).mkdir()
        code, _, err = program.run(
            "transcribe", samples, "-f", "json", "-o", tmp_path / name, "--word-timestamps"
        )
        assert code == 0, err
        with Library(program.library) as library:
            found = {r.item.title: library.transcript(r.item.key) for r in library.items()}
        texts[name] = found
    assert texts["local"].keys() == texts["remote"].keys()
    for title, expected in texts["local"].items():
        got = texts["remote"][title]
        assert got.engine == "openai-api"
        assert got.text == expected.text
        assert [s.start for s in got.segments] == pytest.approx(
            [s.start for s in expected.segments], abs=0.1
        )
        words = [word for segment in got.segments for word in segment.words]
        assert "".join(word.word for word in words).strip() == expected.text
        assert got.duration == pytest.approx(expected.duration, abs=0.01)
        assert got.language == expected.language


@pytest.mark.models
@pytest.mark.slow
def test_a_long_recording_in_parts_has_each_word_once(tmp_path, homescribe_service):
    names = ["fox-20s.mp3", "numbers-60s.m4a", "channel-40s.webm", "fox-20s.mp3"]
    pause = np.zeros(SAMPLE_RATE // 2, np.float32)
    whole = np.concatenate(
        [part for name in names for part in (decode(demo.samples() / name), pause)]
    )
    write(tmp_path / "talks" / "long.flac", whole)
    program = CommandLine(
        tmp_path, backend="openai", base_url=f"{homescribe_service}/v1", request_seconds=30
    )
    code, _, err = program.run("transcribe", tmp_path / "talks", "-o", tmp_path)
    assert code == 0, err
    with Library(tmp_path / "library") as library:
        [record] = library.items()
        found = library.transcript(record.item.key)
    expected = " ".join(sample_text(name.partition(".")[0]) for name in names)
    assert_words(expected, found.text)
    assert found.duration == pytest.approx(len(whole) / SAMPLE_RATE, abs=0.01)


@pytest.mark.models
def test_a_server_can_itself_be_set_to_an_endpoint(tmp_path):
    """Its page says where audio goes; its own endpoint stays on this machine."""
    settings = {"backend": "openai", "base_url": "https://api.example/v1", "model": None}
    with (
        serving(tmp_path / "library", **settings) as address,
        httpx.Client(base_url=address, headers={"Authorization": f"Bearer {TOKEN}"}) as client,
    ):
        state = client.get("/api/settings").json()
        assert (state["backend"], state["endpoint"]) == ("openai", "api.example")
        assert state["models"] == ["whisper-1"]
        page = client.get("/add").text
        assert "Sends the audio to api.example." in page
