"""Both plain engines on the bundled model: real weights, real audio, words and times asserted."""

import io
import json
import subprocess
import sys
import wave
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch

from homescribe import demo
from homescribe.audio import SAMPLE_RATE, decode
from homescribe.core import Audio, Item, Segment, TranscriptionOptions, Word
from homescribe.engines.out_of_memory import memory_errors
from homescribe.engines.segments import place
from homescribe.engines.vad import SileroVad
from homescribe.engines.windows import Window, split_windows
from homescribe.errors import Cancelled, PermanentError, RetryableError, SetupError, UserError
from homescribe.plugins import load

pytestmark = pytest.mark.models

SAMPLES = {p.stem: p for p in demo.samples().iterdir() if p.suffix not in (".txt", ".json")}
ENGINES = ["faster-whisper", "openai-whisper"]


def text(name):
    return (demo.samples() / f"{name}.txt").read_text().split()


def truth(name):
    return json.loads((demo.samples() / f"{name}.json").read_text())


def recording(media, duration=None):
    """Audio of a path, or of a waveform as the bytes of a WAV file."""
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
    """Each engine with the bundled model, loaded when first asked for."""
    torch.set_num_threads(1)  # threads that wait for each other are slow on a busy machine
    loaded = {}

    def get(name):
        if name not in loaded:
            loaded[name] = load("engines", name)("demo")
        return loaded[name]

    yield get
    for engine in loaded.values():
        engine.close()


@pytest.fixture(params=ENGINES)
def engine(request, engines):
    return engines(request.param)


def check_times(transcript):
    """In order, within the recording, words within their segment."""
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
def test_every_word_at_its_time(engine, name):
    done = []
    transcript = transcribe(engine, SAMPLES[name], progress=done.append)
    assert transcript.text.split() == text(name)
    assert (transcript.engine, transcript.model) == (engine.name, "demo")
    assert transcript.language == "en"
    assert transcript.duration == len(decode(SAMPLES[name])) / SAMPLE_RATE
    check_times(transcript)
    sentences = truth(name)
    assert len(transcript.segments) == len(sentences)
    for segment, sentence in zip(transcript.segments, sentences, strict=True):
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


def test_word_times(engine):
    transcript = transcribe(engine, SAMPLES["fox-20s"], word_timestamps=True)
    check_times(transcript)
    words = [w for segment in transcript.segments for w in segment.words]
    assert [w.word.strip() for w in words] == text("fox-20s")
    assert all(0 < w.probability <= 1 for w in words)
    assert all("".join(w.word for w in s.words) == s.text for s in transcript.segments)
    for segment, sentence in zip(transcript.segments, truth("fox-20s"), strict=True):
        assert segment.words[0].start == pytest.approx(sentence["start"], abs=0.5)
        assert segment.words[-1].end == pytest.approx(sentence["end"], abs=0.5)


def test_options_reach_the_engine(engine):
    for options in ({"beam_size": 2}, {"vad_filter": False}, {"language": "en"}):
        transcript = transcribe(engine, SAMPLES["fox-20s"], **options)
        assert transcript.text.split() == text("fox-20s")


def test_what_an_english_model_cannot_do(engine):
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
def test_no_words_where_nobody_speaks(engine, sound):
    transcript = transcribe(engine, sound)
    assert transcript.segments == ()
    assert transcript.duration == len(sound) / SAMPLE_RATE
    assert transcript.language == "en"  # the model knows no other


def test_words_after_long_silence_keep_the_clock_of_the_recording(engine):
    """A minute of speech in a quarter of an hour, and each sentence is where it was said."""
    fox = decode(SAMPLES["fox-20s"])
    starts = (0, 125, 700)
    sound = np.zeros(900 * SAMPLE_RATE, np.float32)
    for start in starts:
        sound[start * SAMPLE_RATE :][: len(fox)] = fox
    transcript = transcribe(engine, sound)
    check_times(transcript)
    wrong = sum(a != b for a, b in zip(transcript.text.split(), text("fox-20s") * 3, strict=True))
    assert wrong <= 2  # of 144: the model is a tiny one
    expected = [start + s["start"] for start in starts for s in truth("fox-20s")]
    assert [s.start for s in transcript.segments] == pytest.approx(expected, abs=0.3)


# --- Failures --------------------------------------------------------------------------------------


def test_a_truncated_file_is_retryable(engine, tmp_path):
    whole = SAMPLES["channel-40s"].read_bytes()
    path = tmp_path / "cut.webm"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RetryableError, match="ends early"):
        transcribe(engine, path, duration=37.0)


def test_what_is_not_media_is_permanent(engine, tmp_path):
    path = tmp_path / "letter.mp3"
    path.write_text("not a song")
    with pytest.raises(PermanentError):
        transcribe(engine, path)


def test_a_set_stop_cancels(engine):
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


def test_two_threads_at_once_hear_what_each_hears_alone(engine):
    with ThreadPoolExecutor(2) as pool:
        calls = {name: pool.submit(transcribe, engine, SAMPLES[name]) for name in SAMPLES}
    for name, call in calls.items():
        assert call.result().text.split() == text(name)


@pytest.mark.parametrize("name", ENGINES)
def test_models_that_are_not_there(name, tmp_path):
    """One line and a hint each: an unknown name, a folder or file that is no model."""
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
def test_a_download_that_fails_is_one_line(name, tmp_path):
    """In a child process: the libraries read where their caches and the network are when imported."""
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


def test_out_of_memory_in_every_wording():
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
audio = Audio(Item("file", "x", str(path), "x"), path)
transcript = engine.transcribe(audio, TranscriptionOptions(), threading.Event(), lambda _: None)
print(len(transcript.segments), peak_bytes())
engine.close()
"""


@pytest.mark.parametrize("name", ["faster-whisper", "openai-whisper"])
def test_memory_does_not_grow_with_length(name, tmp_path):
    """One sentence a minute, for 4 and for 48 minutes: the whole spectrogram would add 250 MB or more."""
    sentence = decode(SAMPLES["fox-20s"])[: 3 * SAMPLE_RATE]
    minute = np.zeros(60 * SAMPLE_RATE, np.int16)
    minute[: len(sentence)] = sentence * 32767
    peaks = []
    for minutes in (4, 48):
        path = tmp_path / f"{minutes}.wav"
        with wave.open(str(path), "wb") as out:
            out.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            for number in range(minutes):
                # Speech in four minutes of them: the rest is there for its length.
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


# --- Windows of speech -----------------------------------------------------------------------------


def covered(windows, start, end):
    return any(w.start <= start and end <= w.end for w in windows)


@pytest.mark.parametrize("limit", [30.0, 12.0, 6.0])
@pytest.mark.parametrize("name", SAMPLES)
def test_windows_hold_every_sentence_whole(name, limit):
    waveform = decode(SAMPLES[name])
    windows = list(split_windows([waveform], limit=limit))
    for window in windows:
        assert 0 < len(window.samples) <= limit * SAMPLE_RATE
        first = round(window.start * SAMPLE_RATE)
        np.testing.assert_array_equal(window.samples, waveform[first : first + len(window.samples)])
    for before, after in pairwise(windows):
        assert before.end <= after.start
    for sentence in truth(name):
        assert covered(windows, sentence["start"], sentence["end"]), sentence


def test_windows_do_not_depend_on_how_the_stream_is_cut():
    waveform = np.tile(decode(SAMPLES["numbers-60s"]), 2)
    whole = list(split_windows([waveform]))
    for size in (7_777, 480_000):
        pieces = [waveform[i : i + size] for i in range(0, len(waveform), size)]
        again = list(split_windows(pieces))
        assert [(w.start, len(w.samples)) for w in again] == [
            (w.start, len(w.samples)) for w in whole
        ]


def test_speech_without_a_pause_is_cut_and_nothing_is_left_out():
    """Sentences glued together without their pauses, for longer than a window."""
    waveform = decode(SAMPLES["channel-40s"])
    glued = np.concatenate(
        [
            waveform[round(s["start"] * SAMPLE_RATE) : round(s["end"] * SAMPLE_RATE)]
            for s in truth("channel-40s") * 3
        ]
    )
    windows = list(split_windows([glued]))
    assert len(windows) >= 3
    for before, after in pairwise(windows):
        assert before.end == after.start
    assert windows[0].start == 0
    assert windows[-1].end == len(glued) / SAMPLE_RATE


def test_without_the_filter_windows_hold_everything():
    sound = np.zeros(100 * SAMPLE_RATE, np.float32)
    windows = list(split_windows([sound], vad_filter=False))
    assert np.concatenate([w.samples for w in windows]).shape == sound.shape
    assert all(len(w.samples) <= 30 * SAMPLE_RATE for w in windows)


def test_the_detector_hears_a_stream_as_it_hears_the_whole():
    from faster_whisper.vad import get_vad_model

    waveform = decode(SAMPLES["fox-20s"])
    waveform = waveform[: len(waveform) // 512 * 512]
    whole = get_vad_model()(waveform.copy()).reshape(-1)
    detector = SileroVad()
    parts = np.concatenate([detector(p) for p in np.split(waveform, [5_120, 51_200, 256_000])])
    np.testing.assert_allclose(parts[:-1], whole[:-1], atol=1e-6)


def test_segments_are_put_in_order_and_kept_inside_their_window():
    window = Window(100.0, np.zeros(10 * SAMPLE_RATE, np.float32))
    wild = [
        Segment(-1.0, 2.0, " a", words=(Word(-3.0, 0.5, " a", 1.0),)),
        Segment(1.0, 5.0, " b"),
        Segment(4.0, 4.0, "  "),
        Segment(6.0, 30.0, " c", words=(Word(8.0, 29.0, " c", 1.0),)),
    ]
    assert [(s.start, s.end, s.text) for s in place(wild, window, 101.5)] == [
        (101.5, 102.0, " a"),
        (102.0, 105.0, " b"),
        (106.0, 110.0, " c"),
    ]
    assert place(wild, window, 101.5)[2].words == (Word(108.0, 110.0, " c", 1.0),)


def test_the_languages_stated_are_whispers():
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
