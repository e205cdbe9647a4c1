"""The batch engine: the same words as openai-whisper alone, in any company, and nobody pays for another."""

import random
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Event

import numpy as np
import pytest
import torch
import whisper

from homescribe import demo
from homescribe.audio import SAMPLE_RATE, decode
from homescribe.core import Item, Segment, TranscriptionOptions
from homescribe.engines import quality
from homescribe.engines.batch_engine import BatchEngine
from homescribe.engines.ctranslate2_network import CTranslate2Network
from homescribe.engines.recording_transcriber import RecordingTranscriber
from homescribe.engines.scheduler import Scheduler, Task
from homescribe.engines.segments import split_segments, words_by_segment
from homescribe.engines.timestamp_rules import TimestampRules
from homescribe.engines.torch_network import TorchNetwork
from homescribe.engines.whisper_network import (
    DecodingOptions,
    DecodingResult,
    DecodingTask,
    LanguageTask,
)
from homescribe.engines.windows import Window, split_windows
from homescribe.errors import Cancelled, UserError

pytestmark = pytest.mark.models

SAMPLES = {p.stem: p for p in demo.samples().iterdir() if p.suffix not in (".txt", ".json")}
CHECKPOINT = demo.model("openai-whisper")


def said(name):
    return (demo.samples() / f"{name}.txt").read_text().split()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads that wait for each other are slow on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network():
    return TorchNetwork(whisper.load_model(str(CHECKPOINT), "cpu"), 8, torch.float32)


@pytest.fixture(scope="module")
def reference():
    return whisper.load_model(str(CHECKPOINT), "cpu")


@pytest.fixture(scope="module")
def windows():
    """Windows of several lengths, cut from the samples, some under noise."""
    noise = np.random.default_rng(0)
    found = []
    for name, limit in (("channel-40s", 30), ("numbers-60s", 17), ("fox-20s", 9)):
        waveform = decode(SAMPLES[name])
        if limit == 9:
            waveform = waveform + 0.005 * noise.standard_normal(len(waveform)).astype(np.float32)
        found += split_windows([waveform], limit=float(limit))
    return found


def task(network, window, stop=None, **options):
    tokenizer = network.tokenizer("en", "transcribe")
    prompt = options.pop("prompt", tuple(tokenizer.sot_sequence))
    options = DecodingOptions(prompt, tokenizer, **options)
    features = network.encode([window.samples])[0]
    return DecodingTask(
        window.samples, network.decode, options, stop or Event(), options.batch_key, features
    )


def mel(window, bins=80):
    """As whisper.transcribe makes it of the last window of a file."""
    long = whisper.log_mel_spectrogram(window.samples, bins, padding=whisper.audio.N_SAMPLES)
    return whisper.pad_or_trim(long[:, : len(window.samples) // 160], 3000)


def reference_tokens(model, window, bins=80, **options):
    settings = whisper.DecodingOptions(fp16=False, **{"language": "en", **options})
    return model.decode(mel(window, bins), settings)


# --- The same tokens -------------------------------------------------------------------------------


def test_tokens_are_those_of_whisper_decode(network, reference, windows):
    assert len(windows) > 6
    written = network.decode([task(network, w) for w in windows])
    for window, ours in zip(windows, written, strict=True):
        theirs = reference_tokens(reference, window)
        assert ours.tokens == tuple(theirs.tokens)
        assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-4)
        assert ours.no_speech_prob == pytest.approx(theirs.no_speech_prob, abs=1e-4)


def test_tokens_with_a_prompt_are_those_of_whisper_decode(network, reference, windows):
    tokenizer = network.tokenizer("en", "transcribe")
    text = tokenizer.encode(" The number of the chapter.")
    prompt = (tokenizer.sot_prev, *text, *tokenizer.sot_sequence)
    written = network.decode([task(network, w, prompt=prompt) for w in windows[:3]])
    for window, ours in zip(windows[:3], written, strict=True):
        theirs = reference_tokens(reference, window, prompt=text)
        assert ours.tokens == tuple(theirs.tokens)
        assert ours.no_speech_prob == pytest.approx(theirs.no_speech_prob, abs=1e-4)


def test_beams_are_those_of_whisper_decode(network, reference, windows):
    ours = network.decode([task(network, windows[0], beam_size=3)])[0]
    assert ours.tokens == tuple(reference_tokens(reference, windows[0], beam_size=3).tokens)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_window_is_written_the_same_in_any_company(dtype, windows):
    network = TorchNetwork(whisper.load_model(str(CHECKPOINT), "cpu"), 8, dtype)
    tasks = [task(network, w) for w in windows[1:5]]
    hot = [task(network, windows[-1], temperature=0.6, seed=1)]
    together = [w.tokens for w in network.decode(tasks + hot)]
    assert together == [network.decode([t])[0].tokens for t in tasks + hot]
    order = list(range(len(together)))
    random.Random(1).shuffle(order)
    mixed = network.decode([(tasks + hot)[i] for i in order])
    assert [w.tokens for w in mixed] == [together[i] for i in order]


def test_bfloat16_hears_the_same_words(windows):
    network = TorchNetwork(whisper.load_model(str(CHECKPOINT), "cpu"), 8, torch.bfloat16)
    norms = [p for n, p in network.whisper.named_parameters() if "ln" in n]
    assert {p.dtype for p in norms} == {torch.float32}
    assert network.whisper.decoder.blocks[0].mlp[0].weight.dtype == torch.bfloat16
    tokenizer = network.tokenizer("en", "transcribe")
    heard = []
    for window in split_windows([decode(SAMPLES["fox-20s"])]):
        heard += network.decode([task(network, window)])[0].tokens
    text = tokenizer.decode([t for t in heard if t < tokenizer.eot])
    assert text.split() == said("fox-20s")


def random_model(n_mels, n_vocab):
    """A checkpoint of random weights: the dimensions of a family of models, tiny in width."""
    torch.manual_seed(n_mels + n_vocab)
    dims = whisper.model.ModelDimensions(n_mels, 1500, 64, 2, 2, n_vocab, 448, 64, 2, 2)
    model = whisper.model.Whisper(dims).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return model


@pytest.mark.parametrize(
    ("n_mels", "n_vocab"), [(80, 51_864), (80, 51_865), (128, 51_866)], ids=["en", "v2", "v3"]
)
def test_every_family_of_models(n_mels, n_vocab, windows):
    """English-only, many languages, and large-v3's: languages, tasks and tokens as whisper has them."""
    model = random_model(n_mels, n_vocab)
    network = TorchNetwork(random_model(n_mels, n_vocab), 8, torch.float32)
    assert len(network.languages) == {51_864: 1, 51_865: 99, 51_866: 100}[n_vocab]
    some = windows[:2]
    if model.is_multilingual:
        heard = network.detect_language(
            [
                LanguageTask(w.samples, network.detect_language, None, Event(), features=f)
                for w, f in zip(some, network.encode([w.samples for w in some]), strict=True)
            ]
        )
        for window, chances in zip(some, heard, strict=True):
            _, theirs = model.detect_language(mel(window, n_mels))
            assert chances == pytest.approx(theirs, abs=1e-4)
            assert max(chances, key=chances.get) == max(theirs, key=theirs.get)
    jobs = [("en", "transcribe")]
    if model.is_multilingual:
        jobs += [("de", "transcribe"), ("ja", "translate")]
    for language, job in jobs:
        tokenizer = network.tokenizer(language, job)
        tasks = [task(network, w, prompt=tuple(tokenizer.sot_sequence)) for w in some]
        for window, ours in zip(some, network.decode(tasks), strict=True):
            theirs = reference_tokens(model, window, n_mels, language=language, task=job)
            assert ours.tokens == tuple(theirs.tokens)
            assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-3)


def test_rules_are_those_of_whisper_on_any_past(network):
    """ApplyTimestampRules, row by row, against ours, over made-up logits and pasts."""
    tokenizer = network.tokenizer("en", "transcribe")
    begin, eot = tokenizer.timestamp_begin, tokenizer.eot
    theirs = whisper.decoding.ApplyTimestampRules(tokenizer, 1, 50)
    suppress = whisper.decoding.DecodingTask(
        network.whisper, whisper.DecodingOptions(language="en", fp16=False)
    ).logit_filters[1]
    generator = torch.Generator().manual_seed(3)
    ours = TimestampRules(tokenizer, 51_864, "cpu")
    past, tokens = ours.start(16), torch.full((16, 1), tokenizer.sot)
    draw = random.Random(0)
    for step in range(12):
        logits = 3 * torch.randn(16, 51_864, generator=generator)
        logits[::3, begin:] += 4
        expected = logits.clone()
        suppress.apply(expected, tokens)
        theirs.apply(expected, tokens)
        ours.apply(logits, past)
        assert torch.equal(logits.isinf(), expected.isinf()), step
        assert torch.equal(logits, expected)
        chosen = torch.tensor(
            [draw.choice((~row.isinf()).nonzero()[:, 0].tolist()) for row in logits]
        )
        chosen[chosen == eot] = begin + 1400  # rows that go on
        past, tokens = ours.append(past, chosen), torch.cat([tokens, chosen[:, None]], 1)


def test_word_times_are_those_of_whisper(network, reference):
    window = next(split_windows([decode(SAMPLES["fox-20s"])]))
    ours = network.decode([task(network, window, word_timestamps=True)] * 2)[1]
    tokenizer = network.tokenizer("en", "transcribe")
    text = [t for t in ours.tokens if t < tokenizer.eot]
    theirs = whisper.timing.find_alignment(
        reference, tokenizer, text, mel(window), len(window.samples) // 160
    )
    whisper.timing.merge_punctuations(theirs, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、")
    theirs = [t for t in theirs if t.word]
    assert [a.word.word for a in ours.words] == [t.word for t in theirs]
    assert [a.word.start for a in ours.words] == pytest.approx([t.start for t in theirs], abs=0.021)
    assert [a.word.probability for a in ours.words] == pytest.approx(
        [t.probability for t in theirs], abs=0.01
    )
    assert sum(a.tokens for a in ours.words) == len(text)


# --- Windows to text -------------------------------------------------------------------------------


class Scripted:
    """A network that writes what the test says, for windows recognised by their first sample."""

    batch_size = 4
    languages = ("en",)

    def __init__(self, real, answer):
        self.real, self.answer = real, answer
        self.batches = []

    def tokenizer(self, language, job):
        return self.real.tokenizer(language, job)

    def encode(self, samples):
        return [float(s[0]) for s in samples]

    def detect_language(self, tasks):
        raise AssertionError("the model knows one language")

    def decode(self, tasks):
        self.batches.append([t.features for t in tasks])
        return [self.answer(t) for t in tasks]


def line(tokenizer, text, start=0.0, end=2.0, logprob=-0.1, silence=0.0):
    begin = tokenizer.timestamp_begin
    tokens = (begin + round(start * 50), *tokenizer.encode(f" {text}"), begin + round(end * 50))
    return DecodingResult(tokens, logprob, silence)


def window(mark, start=0.0, length=3.0, spoken=()):
    samples = np.full(round(length * SAMPLE_RATE), mark, np.float32)
    return Window(start, samples, tuple(spoken))


@pytest.fixture
def scripted(network):
    """Scheduler and network by a function from a task to what is written."""
    opened = []

    def start(answer, **options):
        fake = Scripted(network, answer)
        scheduler = Scheduler(fake)
        opened.append(scheduler)

        def hear(windows, stop=None, **more):
            settings = TranscriptionOptions(**options, **more)
            transcriber = RecordingTranscriber(scheduler, fake, settings, stop or Event())
            return list(transcriber.results(iter(windows)))

        return hear, fake, scheduler

    yield start
    for scheduler in opened:
        scheduler.close()


def test_every_window_is_text_or_silence_and_in_order(network, scripted):
    tokenizer = network.tokenizer("en", "transcribe")

    def answer(one):
        mark = round(one.features)
        if mark % 3 == 0:
            return line(tokenizer, "thanks for watching", logprob=-1.5, silence=0.9)
        return line(tokenizer, f"number {mark}")

    hear, _, _ = scripted(answer)
    passages = hear(window(n, start=3.0 * n) for n in range(30))
    assert [round(p.window.samples[0]) for p in passages] == list(range(30))
    for number, passage in enumerate(passages):
        text = "".join(s.text for s in passage.segments)
        assert text == ("" if number % 3 == 0 else f" number {number}")


def test_a_window_that_fails_is_tried_again_hotter_and_flagged(network, scripted):
    tokenizer = network.tokenizer("en", "transcribe")
    loop = "no " * 40

    def answer(one):
        if one.features == 1 and one.options.temperature < 0.5:
            return line(tokenizer, loop)
        if one.features == 2 and one.options.temperature == 0:
            return line(tokenizer, "mumble", logprob=-1.4)
        if one.features == 3:
            return line(tokenizer, loop, logprob=-0.2 - one.options.temperature)
        return line(tokenizer, f"heard at {one.options.temperature}")

    hear, _, _ = scripted(answer)
    found = [p.segments[0] for p in hear(window(n) for n in range(4))]
    assert [s.text for s in found[:3]] == [" heard at 0.0", " heard at 0.6", " heard at 0.2"]
    assert [s.temperature for s in found] == [0.0, 0.6, 0.2, 0.0]
    assert [s.flags for s in found] == [(), ("retried",), ("retried",), ("repetition",)]


def test_speech_after_the_last_word_is_heard_again(network, scripted):
    """A model that stops too early, or begins a sentence that the window cuts off, loses nothing."""
    tokenizer = network.tokenizer("en", "transcribe")

    def answer(one):
        if len(one.samples) == 20 * SAMPLE_RATE:
            return line(tokenizer, "the beginning", 0.0, 8.0)
        return line(tokenizer, "the end", 0.5, 4.0)

    hear, _, _ = scripted(answer)
    passages = hear([window(1, 100.0, 20.0, [(0.0, 8.0), (9.0, 13.0)])])
    assert [(p.window.start, p.segments[0].text) for p in passages] == [
        (100.0, " the beginning"),
        (108.0, " the end"),
    ]
    assert passages[1].window.speech == ((1.0, 5.0),)


def test_silence_where_the_detector_heard_a_voice_is_tried_again(network, scripted):
    tokenizer = network.tokenizer("en", "transcribe")

    def answer(one):
        return line(tokenizer, "" if one.options.temperature == 0 else "here", silence=0.1)

    hear, _fake, _ = scripted(answer)
    passages = hear([window(1, spoken=[(0.5, 2.5)]), window(2)])
    assert [[s.text for s in p.segments] for p in passages] == [[" here"], []]


def test_what_stands_without_its_timestamp_is_kept(network):
    tokenizer = network.tokenizer("en", "transcribe")
    begin = tokenizer.timestamp_begin
    a, b, c = (tokenizer.encode(f" {w}") for w in ("one", "two", "three"))
    tokens = [begin, *a, begin + 50, begin + 50, *b, begin + 100, *c]
    assert split_segments(tokens, tokenizer, 9.0) == [(0.0, 1.0, a), (1.0, 2.0, b), (2.0, 9.0, c)]
    assert split_segments([begin, begin + 10], tokenizer, 9.0) == []
    assert split_segments([begin, *a, begin + 1400], tokenizer, 9.0) == [(0.0, 9.0, a)]


def test_loops_that_the_compression_ratio_does_not_see():
    speech_like = "the quick brown fox jumps over the lazy dog and please open the file " * 1
    assert not quality.is_repetitive(speech_like)
    assert quality.repeats_phrase([*speech_like.split(), *("thank you " * 12).split()])
    assert quality.repeats_phrase(("one two three " * 6).split())
    assert not quality.repeats_phrase(
        ["one", "one", "two", "two", "three", "three", "four", "four"]
    )
    assert not quality.repeats_phrase(["yes", "yes", "yes", "yes"])


def test_words_are_dealt_out_to_their_segments():
    from homescribe.core import Word
    from homescribe.engines.word_timestamps import TokenizedWord

    words = [
        TokenizedWord(Word(n, n + 1, f" w{n}", 1.0), tokens)
        for n, tokens in enumerate((1, 2, 1, 3))
    ]
    dealt = words_by_segment(words, [3, 4])
    assert [[w.word for w in part] for part in dealt] == [[" w0", " w1"], [" w2", " w3"]]
    assert words_by_segment([], [2, 2]) == [(), ()]


# --- Together --------------------------------------------------------------------------------------


def test_a_short_recording_is_not_stuck_behind_a_long_one(network, scripted):
    tokenizer = network.tokenizer("en", "transcribe")
    gate_open = Event()

    def answer(one):
        gate_open.wait(10)
        return line(tokenizer, "x")

    hear, fake, _ = scripted(answer)
    with ThreadPoolExecutor(2) as pool:
        long = pool.submit(hear, [window(1)] * 200)
        while not fake.batches:
            time.sleep(0.01)
        short = pool.submit(hear, [window(2)] * 3)
        time.sleep(0.2)
        gate_open.set()
        assert len(short.result(20)) == 3
        done = next(n for n in range(len(fake.batches), 0, -1) if 2.0 in fake.batches[n - 1])
        assert done <= 5
        assert len(long.result(20)) == 200


def test_windows_of_different_recordings_meet_in_one_batch(network, scripted):
    tokenizer = network.tokenizer("en", "transcribe")
    hear, fake, _ = scripted(lambda one: line(tokenizer, f"number {round(one.features)}"))
    together = threading.Barrier(4)

    def caller(mark):
        together.wait()
        return hear([window(mark)] * 2)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(caller, (1, 2, 3, 4)))
    for mark, passages in zip((1, 2, 3, 4), results, strict=True):
        assert [p.segments[0].text for p in passages] == [f" number {mark}"] * 2
    assert any(len(set(batch)) > 1 for batch in fake.batches)
    assert max(map(len, fake.batches)) <= Scripted.batch_size


def test_a_poisonous_window_fails_alone(network, scripted):
    tokenizer = network.tokenizer("en", "transcribe")

    def answer(one):
        if one.features == 13:
            raise ValueError("poison")
        return line(tokenizer, f"number {round(one.features)}")

    hear, _, scheduler = scripted(answer)
    with ThreadPoolExecutor(3) as pool:
        good = [pool.submit(hear, [window(n)] * 6) for n in (1, 2)]
        bad = pool.submit(hear, [window(5), window(13), window(5)])
        with pytest.raises(ValueError, match="poison"):
            bad.result(20)
        for number, call in zip((1, 2), good, strict=True):
            assert [p.segments[0].text for p in call.result(20)] == [f" number {number}"] * 6
    assert len(hear([window(3)])) == 1  # and the thread goes on
    assert scheduler.batch_size == Scripted.batch_size


def test_out_of_memory_halves_the_batch_and_goes_on(network, scripted):
    tokenizer = network.tokenizer("en", "transcribe")
    sizes = []

    def answer(one):
        return line(tokenizer, f"number {round(one.features)}")

    hear, fake, scheduler = scripted(answer)
    honest = fake.decode

    def decode(tasks):
        sizes.append(len(tasks))
        if len(tasks) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return honest(tasks)

    fake.decode = decode
    passages = hear(window(n) for n in range(9))
    assert [p.segments[0].text for p in passages] == [f" number {n}" for n in range(9)]
    assert max(sizes) > 1
    assert scheduler.batch_size == 1

    def never(tasks):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    fake.decode = never
    with pytest.raises(UserError, match="Out of memory"):
        hear([window(1)])


def test_a_cancelled_caller_leaves_the_others_alone(network, scripted):
    tokenizer = network.tokenizer("en", "transcribe")
    stop, started = Event(), Event()

    def answer(one):
        if one.features == 1:
            started.set()
            time.sleep(0.02)
        return line(tokenizer, "x")

    hear, fake, _ = scripted(answer)
    with ThreadPoolExecutor(2) as pool:
        leaving = pool.submit(hear, (window(1) for _ in range(100_000)), stop)
        staying = pool.submit(hear, [window(2)] * 20)
        started.wait(10)
        stop.set()
        with pytest.raises(Cancelled):
            leaving.result(10)
        assert len(staying.result(20)) == 20
    before = sum(batch.count(1.0) for batch in fake.batches)
    hear([window(3)])
    assert sum(batch.count(1.0) for batch in fake.batches) == before


def test_a_cancelled_row_ends_in_the_middle_of_a_batch(network, windows):
    stop = Event()
    stop.set()
    both = [task(network, windows[-1]), task(network, windows[-1], stop=stop)]
    whole, cancelled = network.decode(both)
    assert len(whole.tokens) > 5
    assert len(cancelled.tokens) == 0


def test_a_caller_that_leaves_while_a_batch_is_gathered_does_not_end_the_thread(network, scripted):
    """The scheduler waits for one that is decoding; the other one's window is withdrawn meanwhile."""
    hear, _, scheduler = scripted(lambda one: line(network.tokenizer("en", "transcribe"), "x"))
    scheduler.enter()
    for _ in range(3):
        queue = deque()
        scheduler.enter()
        scheduler.put(queue, Task(np.zeros(16, np.float32), lambda tasks: tasks, None, Event()))
        scheduler.leave(queue)
    scheduler.leave(deque())
    assert len(hear([window(1)])) == 1
    assert scheduler.thread.is_alive()


def test_closing_ends_those_who_wait(network, scripted):
    release = Event()

    def answer(one):
        release.wait(10)
        return line(network.tokenizer("en", "transcribe"), "x")

    hear, fake, scheduler = scripted(answer)
    with ThreadPoolExecutor(2) as pool:
        call = pool.submit(hear, [window(1)])
        while not fake.batches:
            time.sleep(0.01)
        closing = pool.submit(scheduler.close)
        with pytest.raises(Cancelled):
            call.result(10)
        release.set()
        closing.result(10)


def test_the_text_before_guides_the_next_window_when_asked(network, scripted):
    tokenizer = network.tokenizer("en", "transcribe")
    prompts = []

    def answer(one):
        prompts.append(tokenizer.decode([t for t in one.options.prompt if t < tokenizer.eot]))
        return line(tokenizer, f"number {round(one.features)}")

    hear, _, _ = scripted(answer, condition_on_previous_text=True, initial_prompt="Names")
    hear(window(n) for n in range(3))
    assert prompts == [" Names", " Names number 0", " Names number 0 number 1"]


def test_the_language_is_what_most_of_the_first_windows_sound_like(network):
    """Three windows vote; the rest is written in what they chose, and a file without speech has none."""

    class Polyglot(Scripted):
        languages = ("en", "de")

        def detect_language(self, tasks):
            return [
                {"en": 0.6, "de": 0.4} if t.features == 1 else {"en": 0.3, "de": 0.7} for t in tasks
            ]

    used = []
    tokenizer = network.tokenizer("en", "transcribe")

    def answer(one):
        used.append(one.options.language)
        return line(tokenizer, "x")

    fake = Polyglot(network, answer)
    scheduler = Scheduler(fake)
    transcriber = RecordingTranscriber(scheduler, fake, TranscriptionOptions(), Event())
    assert len(list(transcriber.results(iter([window(n) for n in (1, 2, 2, 1, 1, 1)])))) == 6
    assert (transcriber.language, set(used)) == ("de", {"de"})
    silent = RecordingTranscriber(scheduler, fake, TranscriptionOptions(), Event())
    assert list(silent.results(iter([]))) == []
    assert silent.language is None
    scheduler.close()


# --- Whole recordings ------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["torch", "ctranslate2"])
def engine(request, network):
    engine = BatchEngine(
        "demo", network if request.param == "torch" else CTranslate2Network("demo")
    )
    engine.name = request.param
    yield engine
    engine.close()


def hear(engine, path, **options):
    from homescribe.core import Audio

    audio = Audio(Item("file", path.name, str(path), path.stem), path, temporary=False)
    return engine.transcribe(audio, TranscriptionOptions(**options), Event(), lambda _: None)


def summary(transcript):
    return [(s.start, s.end, s.text) for s in transcript.segments]


def test_the_same_text_alone_and_together_in_any_order(engine):
    alone = {name: summary(hear(engine, path)) for name, path in SAMPLES.items()}
    for order in (list(SAMPLES), list(SAMPLES)[::-1]):
        with ThreadPoolExecutor(3) as pool:
            calls = {name: pool.submit(hear, engine, SAMPLES[name]) for name in order}
        assert {name: summary(call.result()) for name, call in calls.items()} == alone


def test_no_worse_than_whisper_transcribe(engine, reference):
    """Over all samples, with noise: no more wrong words than the same weights make alone."""
    from jiwer import wer

    noise = np.random.default_rng(5)
    ours, theirs, truth = [], [], []
    for name in ("channel-40s", "fox-20s"):
        waveform = decode(SAMPLES[name])
        waveform = waveform + 0.004 * noise.standard_normal(len(waveform)).astype(np.float32)
        result = reference.transcribe(
            waveform, fp16=False, language="en", condition_on_previous_text=False
        )
        theirs.append(result["text"].strip())
        transcriber = RecordingTranscriber(
            engine.scheduler, engine.network, TranscriptionOptions(), Event()
        )
        windows = split_windows([waveform])
        found: list[Segment] = [s for p in transcriber.results(windows) for s in p.segments]
        ours.append("".join(s.text for s in found).strip())
        truth.append(" ".join(said(name)))
    assert wer(truth, ours) <= wer(truth, theirs) + 0.01


@pytest.mark.parametrize("vad_filter", [True, False])
def test_nothing_is_invented_on_silence_noise_or_music(engine, vad_filter):
    draw = np.random.default_rng(1)
    time = np.arange(40 * SAMPLE_RATE) / SAMPLE_RATE
    chords = sum(
        np.sin(2 * np.pi * f * time) * (np.sin(np.pi * time * 2) > 0) for f in (220, 277, 330)
    )
    sounds = {
        "silence": np.zeros(40 * SAMPLE_RATE),
        "hiss": 0.01 * draw.standard_normal(40 * SAMPLE_RATE),
        "music": 0.1 * chords,
    }
    for name, sound in sounds.items():
        transcriber = RecordingTranscriber(
            engine.scheduler, engine.network, TranscriptionOptions(), Event()
        )
        windows = split_windows([sound.astype(np.float32)], vad_filter=vad_filter)
        text = [s.text for p in transcriber.results(windows) for s in p.segments]
        assert text == [], name


def test_word_times_in_a_batch(engine):
    transcript = hear(engine, SAMPLES["numbers-60s"], word_timestamps=True)
    words = [w for s in transcript.segments for w in s.words]
    assert [w.word.strip() for w in words] == said("numbers-60s")
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(words))


def test_a_hot_window_is_written_the_same_each_time(network, windows):
    """On torch: CTranslate2 draws from a generator of its own threads, which no seed reaches."""
    once, again = (
        network.decode([task(network, windows[-1], temperature=0.8, seed=7)]) for _ in "ab"
    )
    other = network.decode([task(network, windows[-1], temperature=0.8, seed=8)])
    assert once == again
    assert once != other
