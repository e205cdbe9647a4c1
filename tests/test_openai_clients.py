"""OpenAI's endpoint for programs: streamed events, times, models, and what known programs send."""

import io
import json
import threading
import time
import wave
from contextlib import nullcontext

import httpx
import openai
import pytest

from fake_youtube import CLIPS
from homescribe.audio import decode
from homescribe.core import Segment, Transcript
from homescribe.errors import Cancelled
from homescribe.speakers.speaker_engine import SpeakerEngine
from homescribe.text.language_names import language_code
from homescribe.web import openai_stream
from homescribe.web import uploads as waiting_uploads
from homescribe.web.shared_engine import SharedEngine
from speech_samples import assert_words
from web_server import serving

pytestmark = pytest.mark.models

TEXT = CLIPS["ep1"][2]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("openai")) as address:
        yield address


@pytest.fixture(scope="module")
def client(base):
    with openai.OpenAI(base_url=f"{base}/v1", api_key="anything", max_retries=0) as client:
        yield client


# --- Streaming --------------------------------------------------------------------------------------


def test_a_streamed_transcript_is_that_of_one_response(client, clips):
    sent = {"file": clips / "ep1.webm", "model": "gpt-4o-transcribe"}
    text = client.audio.transcriptions.create(**sent).text
    events = list(client.audio.transcriptions.create(**sent, response_format="text", stream=True))
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert [event.type for event in events[len(deltas) :]] == ["transcript.text.done"]
    assert "".join(deltas) == events[-1].text == text
    assert_words(TEXT, text)


def test_the_connection_is_kept_open_until_the_transcript_is_complete(base, clips, monkeypatch):
    monkeypatch.setattr(openai_stream, "KEEPALIVE_INTERVAL", 0.01)
    answer = httpx.post(
        f"{base}/v1/audio/transcriptions",
        data={"stream": "true"},
        files={"file": (clips / "ep1.mp3").read_bytes()},
        timeout=60,
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith(": keep-alive\n\n")
    assert "event: transcript.text.done\n" in answer.text


class TwoWindows(SpeakerEngine):
    """An engine that decodes its second window when the client has the text of the first."""

    slots = 1

    def __init__(self):
        self.received = threading.Event()

    def stream(self, audio, options, stop, progress, decoded):
        first, second = Segment(0.0, 2.0, " Hello"), Segment(2.0, 4.0, f" to {options.task}.")
        decoded([first])
        assert self.received.wait(30)
        decoded([second])
        return Transcript("e", "m", "en", 4.0, (first, second))


@pytest.mark.parametrize("kind", ["transcriptions", "translations"])
def test_text_is_sent_while_later_windows_are_decoded(base, clips, monkeypatch, kind):
    engine = TwoWindows()
    monkeypatch.setattr(SharedEngine, "use", lambda self: nullcontext(engine))
    sent = {"data": {"stream": "true"}, "files": {"file": (clips / "ep1.mp3").read_bytes()}}
    found = []
    with httpx.stream("POST", f"{base}/v1/audio/{kind}", **sent, timeout=60) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                found.append(json.loads(line.removeprefix("data: ")))
                engine.received.set()
    task = {"transcriptions": "transcribe", "translations": "translate"}[kind]
    assert [event.get("delta") for event in found] == ["Hello", f" to {task}.", None]
    assert found[-1] == {"type": "transcript.text.done", "text": f"Hello to {task}."}


def test_an_error_while_streaming_is_an_event(client, clips):
    stream = client.audio.transcriptions.create(
        file=clips / "junk.mp3", model="whisper-1", stream=True
    )
    with pytest.raises(openai.APIError, match="not audio"):
        list(stream)


def test_subtitles_cannot_be_streamed(client, clips):
    with pytest.raises(openai.BadRequestError, match="srt cannot be streamed"):
        client.audio.transcriptions.create(
            file=clips / "ep1.mp3", model="whisper-1", stream=True, response_format="srt"
        )


def test_a_client_that_leaves_a_stream_frees_its_place(tmp_path, monkeypatch):
    stopped = threading.Event()

    def transcribe(shared, path, options, stop, decoded):
        if stop.wait(30):
            stopped.set()
        raise Cancelled

    monkeypatch.setattr("homescribe.web.openai_api._transcribe", transcribe)
    monkeypatch.setattr(openai_stream, "KEEPALIVE_INTERVAL", 0.05)
    monkeypatch.setattr(waiting_uploads, "MAX_UPLOADS", 1)
    sent = {"data": {"stream": "true"}, "files": {"file": b"x"}}
    with serving(tmp_path) as base, httpx.Client(base_url=base, timeout=30) as http:
        path = "/v1/audio/transcriptions"
        with http.stream("POST", path, **sent) as answer:
            texts = answer.iter_text()  # kept: the connection is closed with it
            assert next(texts).startswith(": keep-alive")
            assert httpx.post(base + path, **sent).status_code == 429
        assert stopped.wait(20)
        for _ in range(200):
            with http.stream("POST", path, **sent) as answer:
                if answer.status_code == 200:
                    break
            time.sleep(0.05)
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("texts", "parts"),
    [
        ([" Hello.", " World."], ["Hello.", " World."]),
        (["今天", "明天"], ["今天", "明天"]),
        ([" ", " a"], ["a"]),
        ([], []),
    ],
)
def test_deltas_are_the_text(texts, parts):
    segments = tuple(Segment(n, n + 1, text) for n, text in enumerate(texts))
    transcript = Transcript("e", "m", "en", 9.0, segments)
    found = list(openai_stream.Deltas().of(segments))
    assert "".join(found) == transcript.text
    assert found == parts


# --- Times and models -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["timestamp_granularities[]", "timestamp_granularities"])
@pytest.mark.parametrize(
    ("asked", "given"),
    [([], {"segments"}), (["word"], {"words"}), (["segment", "word"], {"segments", "words"})],
)
def test_times_are_of_what_was_requested(base, clips, name, asked, given):
    answer = httpx.post(
        f"{base}/v1/audio/transcriptions",
        data={"response_format": "verbose_json", name: asked},
        files={"file": (clips / "ep1.mp3").read_bytes()},
        timeout=60,
    )
    assert {"segments", "words"} & answer.json().keys() == given


def test_unknown_times_are_refused(client, clips):
    with pytest.raises(openai.BadRequestError, match="syllable"):
        client.audio.transcriptions.create(
            file=clips / "ep1.mp3", model="whisper-1", timestamp_granularities=["syllable"]
        )


def test_one_model(client):
    assert client.models.retrieve("whisper-1").id == "whisper-1"
    assert client.models.retrieve("demo").id == "demo"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("someone/else")


def test_translations_are_into_english(base, monkeypatch):
    tasks = []

    def transcribe(shared, path, options, stop, decoded):
        tasks.append(options.task)
        return Transcript("e", "m", "de", 2.0, (Segment(0, 1, " Hello."),))

    monkeypatch.setattr("homescribe.web.openai_api._transcribe", transcribe)
    answer = httpx.post(f"{base}/v1/audio/translations", files={"file": b"x"}, timeout=60)
    assert answer.json()["text"] == "Hello."
    assert tasks == ["translate"]


# --- Other programs ---------------------------------------------------------------------------------


def test_what_home_assistant_sends(base, client, clips):
    """Its integration: a WAV file made in memory, and the first part of a locale. "fil" is Tagalog."""
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(16000)
        wav.writeframes((decode(clips / "ep1.mp3") * 32767).astype("int16").tobytes())
    answer = client.audio.transcriptions.create(
        model="gpt-4o-mini-transcribe",
        file=("a.wav", file.getvalue()),
        response_format="json",
        language="en",
        prompt="The following conversation is a smart home user talking to Home Assistant.",
    )
    assert_words(TEXT, answer.text)
    assert language_code("fil") == "tl"
    # The older integration: every field as a part of a form, an empty prompt, temperature 0.
    fields = {
        "file": ("whisper_audio.wav", file.getvalue(), "audio/wav"),
        "model": (None, "gpt-4o-mini-transcribe"),
        "language": (None, "en"),
        "prompt": (None, ""),
        "temperature": (None, "0"),
        "response_format": (None, "json"),
    }
    headers = {"Authorization": "Bearer key"}
    answer = httpx.post(
        f"{base}/v1/audio/transcriptions", headers=headers, files=fields, timeout=60
    )
    assert_words(TEXT, answer.json()["text"])


def test_what_open_webui_sends(base, clips):
    """A file, a model and headers about its user; it reads `text`, or `error.message`."""
    sent = {
        "headers": {"Authorization": "Bearer key", "X-OpenWebUI-User-Name": "Ann"},
        "data": {"model": "whisper-1", "language": "en"},
        "timeout": 60,
    }
    with (clips / "ep1.mp3").open("rb") as file:
        answer = httpx.post(
            f"{base}/v1/audio/transcriptions", files={"file": ("a.mp3", file)}, **sent
        )
    assert_words(TEXT, answer.json()["text"])
    refused = httpx.post(
        f"{base}/v1/audio/transcriptions", files={"file": ("a.mp3", b"junk")}, **sent
    )
    assert "not audio" in refused.json()["error"]["message"]
