"""The OpenAI endpoint, tested with OpenAI's own client."""

import json
import shutil
import tempfile

import httpx
import openai
import pytest
import srt
import webvtt
from openai.types.audio import TranscriptionDiarized

from fake_youtube import CLIPS
from homescribe.core import DISK_RESERVE, Speaker, Turn
from homescribe.errors import SetupError, UserError
from homescribe.speakers.diarizer import Diarization
from homescribe.speakers.speaker_finder import SpeakerFinder
from homescribe.web import openai_api, sent_recording
from homescribe.web.openai_api import _letters
from speech_samples import assert_words
from web_server import TOKEN, serving

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


@pytest.fixture(scope="module")
def verbose(client, clips):
    return client.audio.transcriptions.create(
        file=clips / "ep1.webm",
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )


def test_verbose_json_has_segments_and_words(verbose):
    assert_words(TEXT, verbose.text)
    assert verbose.language == "english"
    assert float(verbose.duration) == pytest.approx(7, abs=0.1)
    assert "".join(segment.text for segment in verbose.segments).strip() == verbose.text
    assert [word.word for word in verbose.words] == verbose.text.split()
    assert all(0 <= word.start <= word.end <= 7.1 for word in verbose.words)
    assert verbose.segments[0].avg_logprob < 0


def test_every_format(client, clips, verbose):
    def transcribe(response_format):
        return client.audio.transcriptions.create(
            file=("talk.mp3", (clips / "ep1.mp3").read_bytes()),
            model="gpt-4o-transcribe",
            response_format=response_format,
            language="en",
            prompt="A channel about transcription.",
        )

    text = transcribe("json").text
    assert_words(TEXT, text)
    assert transcribe("text") == f"{text}\n"
    cues = list(srt.parse(transcribe("srt")))
    assert " ".join(cue.content for cue in cues).replace("\n", " ") == text
    captions = webvtt.from_string(transcribe("vtt"))
    assert " ".join(cue.text for cue in captions).replace("\n", " ") == text


def test_only_the_model_of_the_settings_is_available(client, clips):
    assert [model.id for model in client.models.list()] == ["whisper-1", "demo"]
    with pytest.raises(openai.NotFoundError, match="'/etc/passwd' does not exist"):
        client.audio.transcriptions.create(file=clips / "ep1.mp3", model="/etc/passwd")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"response_format": "words_json"}, "response_format"),
        ({"extra_body": {"speakers": "many"}}, "speakers = 'many' is not valid"),
        ({"known_speaker_names": ["Ann"]}, "known_speaker_names and"),
        ({"temperature": 7}, "temperature"),
        ({"language": "klingon"}, "klingon"),
    ],
)
def test_an_invalid_parameter_is_an_error(client, clips, fields, message):
    with pytest.raises(openai.BadRequestError, match=message):
        client.audio.transcriptions.create(file=clips / "ep1.mp3", model="whisper-1", **fields)


def test_a_file_that_is_not_audio_is_an_error(client, clips):
    with pytest.raises(openai.BadRequestError, match="not audio"):
        client.audio.transcriptions.create(file=clips / "junk.mp3", model="whisper-1")


def test_a_missing_file_is_an_error(base):
    answer = httpx.post(f"{base}/v1/audio/transcriptions", data={"model": "whisper-1"})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_recording_is_written_into_the_library_only(base, clips, monkeypatch, tmp_path):
    """The system's temporary folder may be small, or in memory."""
    spooled = []
    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "write", lambda self, d: spooled.append(d))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    recording = (clips / "ep1.mp3").read_bytes() + bytes(3 << 20)
    answer = httpx.post(
        f"{base}/v1/audio/transcriptions", files={"file": ("a.mp3", recording)}, timeout=60
    )
    assert answer.status_code == 200, answer.text
    assert_words(TEXT, answer.json()["text"])
    assert spooled == []


@pytest.mark.parametrize("chunked", [False, True])
def test_a_disk_that_is_almost_full_takes_no_recording(base, monkeypatch, chunked):
    usage = shutil.disk_usage("/")._replace(free=DISK_RESERVE + 2_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    parts = [head, *[bytes(1 << 20)] * 4, b"\r\n--x--\r\n"]
    monkeypatch.setattr(sent_recording, "CHECK_BYTES", 3_000_000)  # of which that many are not free
    answer = httpx.post(
        f"{base}/v1/audio/transcriptions",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
        content=iter(parts) if chunked else b"".join(parts),
    )
    assert answer.status_code == 507
    assert answer.json()["error"]["type"] == "server_error"
    assert "500.0 MB stay free" in answer.json()["error"]["message"]


def test_other_sites_are_refused(base):
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = httpx.post(f"{base}/v1/audio/transcriptions", headers=headers)
        assert answer.status_code == 403
        assert answer.json()["error"] == {
            "message": "Requests from other sites are refused.",
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        }


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("error", "kind"),
    [(SetupError("No model."), "server_error"), (UserError("No."), "invalid_request_error")],
)
def test_an_error_has_one_type_streamed_or_not(base, clips, monkeypatch, streamed, error, kind):
    def fail(*_):
        raise error

    monkeypatch.setattr(openai_api, "_transcribe", fail)
    answer = httpx.post(
        f"{base}/v1/audio/transcriptions",
        files={"file": (clips / "ep1.mp3").read_bytes()},
        data={"stream": "true"} if streamed else {},
    )
    text = answer.text.partition("data: ")[2] if streamed else answer.text
    assert json.loads(text)["error"]["type"] == kind


def test_other_machines_need_the_token_as_their_key(tmp_path):
    with serving(tmp_path, token_required=True) as address:
        stranger = openai.OpenAI(base_url=f"{address}/v1", api_key="wrong", max_retries=0)
        with stranger, pytest.raises(openai.AuthenticationError):
            stranger.models.list()
        with openai.OpenAI(base_url=f"{address}/v1", api_key=TOKEN) as client:
            assert client.models.list().data


@pytest.fixture
def two_speakers(monkeypatch):
    """Two turns in every recording; the settings that were requested."""
    requested = []

    def find(finder, audio, setting, track, stop, progress):
        requested.append(str(setting))
        turns = (Turn(0, 2.2, "SPEAKER_00"), Turn(2.2, 7, "SPEAKER_01"))
        return Diarization(turns, (Speaker("SPEAKER_00"), Speaker("SPEAKER_01")))

    monkeypatch.setattr(SpeakerFinder, "find", find)
    return requested


def test_diarized_json_says_who_speaks(client, clips, two_speakers):
    def transcribe(**fields):
        return client.audio.transcriptions.create(
            file=clips / "ep1.webm",
            model="gpt-4o-transcribe-diarize",
            response_format="diarized_json",
            chunking_strategy="auto",
            **fields,
        )

    found = transcribe()
    assert isinstance(found, TranscriptionDiarized)
    assert found.task == "transcribe"
    assert found.duration == pytest.approx(7, abs=0.1)
    assert "".join(segment.text for segment in found.segments).strip() == found.text
    assert_words(TEXT, found.text)
    assert {segment.speaker for segment in found.segments} == {"A", "B"}
    assert {segment.type for segment in found.segments} == {"transcript.text.segment"}
    transcribe(extra_body={"speakers": "2-3"})
    assert two_speakers == ["auto", "2-3"]


def test_translations_are_not_diarized(base):
    data = {"model": "whisper-1", "response_format": "diarized_json"}
    answer = httpx.post(f"{base}/v1/audio/translations", data=data)
    assert answer.status_code == 400
    assert "format of transcriptions" in answer.json()["error"]["message"]


def test_speakers_are_named_with_letters():
    assert [_letters(n) for n in (0, 1, 25, 26, 27, 701, 702)] == [
        *("A", "B", "Z", "AA", "AB", "ZZ", "AAA"),
    ]
