"""Both engines on the bundled model: real weights, real audio, words and times."""

import io
import subprocess
import sys
import wave
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch

from homescribe.audio import SAMPLE_RATE, decode
from homescribe.core import Audio, Item, TranscriptionOptions
from homescribe.engines.out_of_memory import memory_errors
from homescribe.errors import Cancelled, PermanentError, RetryableError, SetupError, UserError
from homescribe.plugins import load
from speech_samples import SAMPLES, assert_words, sample_text, sentences, words

pytestmark = pytest.mark.models

ENGINES = ["faster-whisper", "openai-whisper"]


def recording(media, duration=None):
    """Audio of a file, or of a waveform as the content of a WAV file."""
    if isinstance(media, np.ndarray):
        file = io.BytesIO()
        with wave.open(file, "wb") as out:
            out.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            out.writeframes((media * 32767).astype(np.int16).tobytes())
        media = file.getvalue()
    item = Item("file", "x", "/x", "x")
    if isinstance(media, bytes):
        return Audio(item, Path("/nowhere"), duration, data=media)
    return Audio(item, media, duration, temporary=False)


def transcribe(engine, media, duration=None, stop=None, progress=lambda _: None, **options):
    return engine.transcribe(
        recording(media, duration), TranscriptionOptions(**options), stop or Event(), progress
    )


@pytest.fixture(scope="module")
def engines():
    """Loads each engine with the bundled model on first use. float32 is exact on every processor."""
    torch.set_num_threads(1)  # threads that wait for each other are slow on a busy machine
    loaded = {}

    def get(name, compute_type="float32"):
        if (name, compute_type) not in loaded:
            loaded[name, compute_type] = load("engines", name)("demo", compute_type)
        return loaded[name, compute_type]

    yield get
    for engine in loaded.values():
        engine.close()


@pytest.fixture(params=ENGINES)
def engine(request, engines):
    return engines(request.param)


def check_times(transcript):
    """Segments are in order and within the recording, words within their segment."""
    last = 0.0
    for segment in transcript.segments:
        assert last <= segment.start <= segment.end <= transcript.duration
        last = segment.end
        inside = segment.start
        for word in segment.words:
            assert inside <= word.start <= word.end <= segment.end
            inside = word.end


# --- Words and times -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_every_word_and_time(engine, name):
    done = []
    transcript = transcribe(engine, SAMPLES[name], progress=done.append)
    assert transcript.text.split() == words(name)
    assert (transcript.engine, transcript.model) == (engine.name, "demo")
    assert transcript.language == "en"
    assert transcript.duration == len(decode(SAMPLES[name])) / SAMPLE_RATE
    check_times(transcript)
    assert len(transcript.segments) == len(sentences(name))
    for segment, sentence in zip(transcript.segments, sentences(name), strict=True):
        assert segment.text == " " + sentence["text"]
        assert segment.start == pytest.approx(sentence["start"], abs=0.3)
        assert segment.end == pytest.approx(sentence["end"], abs=0.5)
        assert -0.5 < segment.avg_logprob < 0
        assert 0 <= segment.no_speech_prob < 0.1
        assert 0.5 < segment.compression_ratio < 2.4
        assert segment.temperature == 0
        assert (segment.words, segment.flags) == ((), ())
    assert done == sorted(done)
    assert done[-1] == transcript.duration


@pytest.mark.parametrize("name", ENGINES)
def test_default_compute_type_has_few_words_wrong(engines, name):
    """int8, or bfloat16 where the processor has instructions for it."""
    engine = engines(name, None)
    for sample, path in SAMPLES.items():
        transcript = transcribe(engine, path, word_timestamps=True)
        assert_words(sample_text(sample), transcript.text)
        check_times(transcript)


def test_unknown_compute_type():
    with pytest.raises(UserError, match="no compute type 'int4'"):
        load("engines", "openai-whisper")("demo", "int4")


def test_word_timestamps(engine):
    transcript = transcribe(engine, SAMPLES["fox-20s"], word_timestamps=True)
    check_times(transcript)
    found = [w for segment in transcript.segments for w in segment.words]
    assert [w.word.strip() for w in found] == words("fox-20s")
    assert all(0 < w.probability <= 1 for w in found)
    assert all("".join(w.word for w in s.words) == s.text for s in transcript.segments)
    for segment, sentence in zip(transcript.segments, sentences("fox-20s"), strict=True):
        assert segment.words[0].start == pytest.approx(sentence["start"], abs=0.5)
        assert segment.words[-1].end == pytest.approx(sentence["end"], abs=0.5)


def test_options_reach_the_engine(engine):
    for options in ({"beam_size": 2}, {"vad_filter": False}, {"language": "en"}):
        transcript = transcribe(engine, SAMPLES["fox-20s"], **options)
        assert transcript.text.split() == words("fox-20s")


def test_an_english_model_rejects_other_languages_and_translation(engine):
    for options in ({"language": "de"}, {"task": "translate"}):
        with pytest.raises(UserError, match="knows only English"):
            transcribe(engine, SAMPLES["fox-20s"], **options)


@pytest.mark.parametrize(
    "sound",
    [
        pytest.param(np.zeros(40 * SAMPLE_RATE, np.float32), id="zeros"),
        pytest.param(
            0.02 * np.random.default_rng(0).standard_normal(40 * SAMPLE_RATE), id="white noise"
        ),
        pytest.param(0.3 * np.sin(np.arange(20 * SAMPLE_RATE) * 0.17), id="tone"),
    ],
)
def test_no_text_without_speech(engine, sound):
    transcript = transcribe(engine, sound)
    assert transcript.segments == ()
    assert transcript.duration == len(sound) / SAMPLE_RATE
    assert transcript.language == "und"


def test_times_are_right_after_long_silence(engine):
    """A minute of speech in a quarter of an hour."""
    fox = decode(SAMPLES["fox-20s"])
    starts = (0, 125, 700)
    sound = np.zeros(900 * SAMPLE_RATE, np.float32)
    for start in starts:
        sound[start * SAMPLE_RATE :][: len(fox)] = fox
    transcript = transcribe(engine, sound)
    check_times(transcript)
    wrong = sum(a != b for a, b in zip(transcript.text.split(), words("fox-20s") * 3, strict=True))
    assert wrong <= 2  # of 147: the model is a tiny one
    expected = [start + s["start"] for start in starts for s in sentences("fox-20s")]
    assert [s.start for s in transcript.segments] == pytest.approx(expected, abs=0.3)


# --- Failures --------------------------------------------------------------------------------------


def test_a_truncated_download_is_a_retryable_error(engine, tmp_path):
    """A user's own file cannot be downloaded again: it is transcribed, with a warning."""
    whole = SAMPLES["channel-40s"].read_bytes()
    path = tmp_path / "cut.webm"
    path.write_bytes(whole[: len(whole) // 2])
    own = recording(path, 37.0)
    with pytest.raises(RetryableError, match="ends early"):
        engine.transcribe(
            replace(own, temporary=True), TranscriptionOptions(), Event(), lambda _: None
        )
    transcript = engine.transcribe(own, TranscriptionOptions(), Event(), lambda _: None)
    assert "ends early" in transcript.warnings[0]
    assert transcript.text


def test_a_file_that_is_not_media_is_a_permanent_error(engine, tmp_path):
    path = tmp_path / "letter.mp3"
    path.write_text("not a song")
    with pytest.raises(PermanentError):
        transcribe(engine, path)


def test_a_stop_before_the_start_cancels(engine):
    stop = Event()
    stop.set()
    with pytest.raises(Cancelled):
        transcribe(engine, SAMPLES["fox-20s"], stop=stop)


def test_a_stop_in_the_middle_cancels_before_the_next_window(engine):
    stop, seen = Event(), []

    def progress(seconds):
        seen.append(seconds)
        stop.set()

    long = np.tile(decode(SAMPLES["fox-20s"]), 20)
    with pytest.raises(Cancelled):
        transcribe(engine, long, stop=stop, progress=progress)
    assert len(seen) < 10


def test_two_threads_at_once_get_the_same_text_as_alone(engine):
    with ThreadPoolExecutor(2) as pool:
        calls = {name: pool.submit(transcribe, engine, SAMPLES[name]) for name in SAMPLES}
    for name, call in calls.items():
        assert call.result().text.split() == words(name)


@pytest.mark.parametrize("name", ENGINES)
def test_a_missing_or_damaged_model_is_one_line_and_a_hint(name, tmp_path):
    cls = load("engines", name)
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"\x80\x02 not a checkpoint")
    folder = tmp_path / "ct2"
    folder.mkdir()
    for model in ("no-such-model", str(tmp_path), str(broken), str(folder)):
        with pytest.raises(UserError) as caught:
            cls(model)
        assert caught.value.hint
        assert "\n" not in caught.value.message + caught.value.hint
    if name == "faster-whisper":
        (folder / "model.bin").write_bytes(b"not a model")
    with pytest.raises(SetupError, match="cannot be loaded"):
        cls(str(folder if name == "faster-whisper" else broken))


@pytest.mark.parametrize("name", ENGINES)
def test_a_failed_download_is_one_line(name, tmp_path):
    """In a child process, because the libraries read cache and network settings when imported."""
    code = f"""
from homescribe.errors import SetupError
from homescribe.plugins import load
try:
    load("engines", {name!r})("tiny.en")
except SetupError as error:
    print(error.message, error.hint, sep="|")
"""
    env = {
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path),
        "HF_HOME": str(tmp_path),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "HF_HUB_DOWNLOAD_TIMEOUT": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    message, hint = done.stdout.strip().split("|")
    assert message.startswith("The model tiny.en could not be downloaded")
    assert "Connect to the network" in hint


def test_out_of_memory_is_recognised_in_every_wording():
    for error in (
        MemoryError(),
        RuntimeError("CUDA failed with error out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("std::bad_alloc"),
    ):
        with pytest.raises(UserError, match="Out of memory") as caught, memory_errors("x"):
            raise error
        assert "smaller model" in caught.value.hint
    with pytest.raises(RuntimeError, match="a bug"), memory_errors("x"):
        raise RuntimeError("a bug")


# --- Memory ----------------------------------------------------------------------------------------

PEAK = """
import sys, threading
from pathlib import Path
from benchmarks.memory import peak_bytes
from homescribe.core import Audio, Item, TranscriptionOptions
from homescribe.plugins import load
engine = load("engines", sys.argv[1])("demo")
path = Path(sys.argv[2])
audio = Audio(Item("file", "x", str(path), "x"), path, temporary=False)
transcript = engine.transcribe(audio, TranscriptionOptions(), threading.Event(), lambda _: None)
print(len(transcript.segments), peak_bytes())
engine.close()
"""


@pytest.mark.parametrize("name", ENGINES)
def test_memory_does_not_grow_with_length(name, tmp_path):
    """4 and 48 minutes with four sentences: a spectrogram of the whole file would add 250 MB or more."""
    sentence = decode(SAMPLES["fox-20s"])[: 3 * SAMPLE_RATE]
    minute = np.zeros(60 * SAMPLE_RATE, np.int16)
    minute[: len(sentence)] = sentence * 32767
    peaks = []
    for minutes in (4, 48):
        path = tmp_path / f"{minutes}.wav"
        with wave.open(str(path), "wb") as out:
            out.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            for number in range(minutes):
                out.writeframes((minute if number % (minutes // 4) == 0 else minute * 0).tobytes())
        done = subprocess.run(
            [sys.executable, "-c", PEAK, name, str(path)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent.parent,
        )
        segments, peak = map(int, done.stdout.split())
        assert segments == 4
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 60e6


# --- What an engine states -------------------------------------------------------------------------


def test_stated_languages_are_those_of_whisper():
    from faster_whisper.tokenizer import _LANGUAGE_CODES
    from whisper.tokenizer import LANGUAGES

    from homescribe.engines import languages

    assert tuple(LANGUAGES) == languages.LANGUAGES
    assert set(languages.LANGUAGES) == set(_LANGUAGE_CODES)


def test_an_engine_states_its_requirements_without_importing_its_packages():
    code = (
        "import sys; from homescribe import plugins\n"
        "for name in ('faster-whisper', 'openai-whisper'):\n"
        "    needs = plugins.load('engines', name).requirements\n"
        "    assert all('==' in package for package in needs.packages + needs.gpu_packages)\n"
        "print(*[m for m in ('torch', 'whisper', 'ctranslate2', 'av') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
