"""The scheduler and the transcriber of one recording, on a scripted network; then both engines together."""

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from threading import Barrier, Event

import numpy as np
import pytest
import torch
import whisper
from jiwer import wer

from homescribe import demo
from homescribe.audio import SAMPLE_RATE, decode
from homescribe.core import Audio, Item, Segment, TranscriptionOptions, Word
from homescribe.engines import batch_engine, quality
from homescribe.engines.batch_engine import BatchEngine
from homescribe.engines.ctranslate2_network import CTranslate2Network
from homescribe.engines.recording_transcriber import RecordingTranscriber
from homescribe.engines.scheduler import MIN_CAPACITY, Scheduler, Task
from homescribe.engines.segments import split_segments, words_by_segment
from homescribe.engines.torch_network import TorchNetwork
from homescribe.engines.whisper_network import MEL_FRAMES, DecodingResult
from homescribe.engines.windows import Window, split_windows
from homescribe.engines.word_timestamps import TokenizedWord, find_words
from homescribe.errors import Cancelled, UserError
from speech_samples import SAMPLES, sample_text, words

DEADLINE = 120  # seconds; only a hanging thread takes so long, even on a busy machine


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads that wait for each other are slow on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tokenizer():
    return whisper.tokenizer.get_tokenizer(multilingual=False)


# --- The results of windows ------------------------------------------------------------------------


class ScriptedNetwork:
    """Returns what `answer` returns for a task. Features are the first sample of the window."""

    batch_size = 4
    workers = 1
    languages = ("en",)

    def __init__(self, tokenizer, answer):
        self.one_tokenizer, self.answer = tokenizer, answer
        self.batches = []

    def tokenizer(self, language, task):
        return self.one_tokenizer

    def padded_length(self, samples):
        return 0

    def start_worker(self):
        pass

    def encode(self, samples, length):
        return [float(s[0]) for s in samples]

    def detect_language(self, tasks):
        raise AssertionError("the model knows one language")

    def decode(self, tasks):
        self.batches.append([t.features for t in tasks])
        return [self.answer(t) for t in tasks]


def result(tokenizer, text, start=0.0, end=2.0, logprob=-0.1, silence=0.0):
    begin = tokenizer.timestamp_begin
    tokens = (begin + round(start * 50), *tokenizer.encode(f" {text}"), begin + round(end * 50))
    return DecodingResult(tokens, logprob, silence)


def window(mark, start=0.0, length=3.0, spoken=()):
    samples = np.full(round(length * SAMPLE_RATE), mark, np.float32)
    return Window(start, samples, tuple(spoken))


@pytest.fixture
def scripted(tokenizer):
    """Starts a scheduler on a ScriptedNetwork. Returns a function to transcribe windows, and both."""
    opened = []

    def start(answer, **options):
        fake = ScriptedNetwork(tokenizer, answer)
        scheduler = Scheduler(fake)
        opened.append(scheduler)

        def transcribe(windows, stop=None, **more):
            settings = TranscriptionOptions(**options, **more)
            transcriber = RecordingTranscriber(scheduler, fake, settings, stop or Event())
            return list(transcriber.results(iter(windows)))

        return transcribe, fake, scheduler

    yield start
    for one in opened:
        one.close()


def test_every_window_is_text_or_silence_and_in_order(tokenizer, scripted):
    def answer(one):
        mark = round(one.features)
        if mark % 3 == 0:
            return result(tokenizer, "thanks for watching", logprob=-1.5, silence=0.9)
        return result(tokenizer, f"number {mark}")

    transcribe, _, _ = scripted(answer)
    results = transcribe(window(n, start=3.0 * n) for n in range(30))
    assert [round(r.window.samples[0]) for r in results] == list(range(30))
    for number, one in enumerate(results):
        text = "".join(s.text for s in one.segments)
        assert text == ("" if number % 3 == 0 else f" number {number}")


def test_a_window_that_fails_is_retried_at_higher_temperatures_and_flagged(tokenizer, scripted):
    loop = "no " * 40

    def answer(one):
        if one.features == 1 and one.options.temperature < 0.5:
            return result(tokenizer, loop)
        if one.features == 2 and one.options.temperature == 0:
            return result(tokenizer, "mumble", logprob=-1.4)
        if one.features == 3:
            return result(tokenizer, loop, logprob=-0.2 - one.options.temperature)
        return result(tokenizer, f"decoded at {one.options.temperature}")

    transcribe, _, _ = scripted(answer)
    found = [r.segments[0] for r in transcribe(window(n, spoken=[(0.2, 2.8)]) for n in range(4))]
    assert [s.text for s in found[:3]] == [" decoded at 0.0", " decoded at 0.6", " decoded at 0.2"]
    assert [s.temperature for s in found] == [0.0, 0.6, 0.2, 0.0]
    assert [s.flags for s in found] == [(), ("retried",), ("retried",), ("repetition",)]


def test_speech_after_the_last_word_is_decoded_as_another_window(tokenizer, scripted):
    """A model that stops too early loses nothing."""

    def answer(one):
        if len(one.samples) == 20 * SAMPLE_RATE:
            return result(tokenizer, "the beginning", 0.0, 8.0)
        return result(tokenizer, "the end", 0.5, 4.0)

    transcribe, _, _ = scripted(answer)
    results = transcribe([window(1, 100.0, 20.0, [(0.0, 8.0), (9.0, 13.0)])])
    assert [(r.window.start, r.segments[0].text) for r in results] == [
        (100.0, " the beginning"),
        (108.0, " the end"),
    ]
    assert results[1].window.speech == ((1.0, 5.0),)


def test_an_empty_text_where_speech_was_detected_is_retried(tokenizer, scripted):
    def answer(one):
        return result(tokenizer, "" if one.options.temperature == 0 else "here", silence=0.1)

    transcribe, _, _ = scripted(answer)
    results = transcribe([window(1, spoken=[(0.5, 2.5)]), window(2)])
    assert [[s.text for s in r.segments] for r in results] == [[" here"], []]


def test_text_that_nobody_can_say_in_its_time_is_decoded_again(tokenizer, scripted):
    sentence = "printing in the only sense with which we are at present concerned differs from most"

    def answer(one):
        careful = one.options.beam_size == 5
        return result(tokenizer, sentence, 0.0, 8.0 if careful else 0.4)

    transcribe, network, _ = scripted(answer, beam_size=1)
    [found] = transcribe([window(1, length=9.0, spoken=[(0.2, 8.8)])])
    assert [(s.start, s.end) for s in found.segments] == [(0.0, 8.0)]
    assert len(network.batches) == 2


@pytest.mark.parametrize(
    ("texts", "kept", "attempts"),
    [
        # Said once, and written twice by the first attempt only.
        (("by a similar process, by a similar process", "by a similar process"), 1, 2),
        # A person says it twice: so does the second attempt.
        (
            (
                "by a similar process, by a similar process.",
                "by a similar process, by a similar process",
            ),
            0,
            2,
        ),
        # The second attempt is worse.
        (("by a similar process, by a similar process", ""), 0, 2),
        (("by a similar process, by a similar process", "no " * 40), 0, 2),
        (("once and no more", "twice"), 0, 1),
    ],
)
def test_a_phrase_that_is_written_twice_is_looked_at_again(
    tokenizer, scripted, texts, kept, attempts
):
    def answer(one):
        return result(tokenizer, texts[one.options.beam_size == 5], 0.0, 8.0)

    transcribe, network, _ = scripted(answer, beam_size=1)
    [found] = transcribe([window(1, length=9.0, spoken=[(0.2, 8.8)])])
    assert "".join(s.text for s in found.segments) == f" {texts[kept]}"
    assert len(network.batches) == attempts


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        ("by a similar process, by a similar process,", True),
        ("He was not an ill-disposed young man, and he was not an ill-disposed young man.", True),
        ("begin. It was the best of times. It was the best of times. The end", True),
        ("それはとても寒い朝でした。それはとても寒い朝でした。", True),
        ("no, no, no, no, no, no, no, no", False),
        ("I know, I know, it is late", False),
        ("It was the best of times, it was the worst of times", False),
        ("くるくるくるくる", False),
        ("", False),
    ],
)
def test_what_is_written_twice(text, twice):
    assert quality.says_twice(text) == twice


def test_sounds_that_may_be_no_speech_keep_only_text_that_whisper_is_sure_of(tokenizer, scripted):
    texts = {
        1: result(tokenizer, "quite different than the", logprob=-0.4, silence=0.1),
        2: result(tokenizer, "thank you", logprob=-0.8, silence=0.1),
        3: result(tokenizer, "thank you", logprob=-0.4, silence=0.5),
        4: result(tokenizer, "oh " * 60, logprob=-0.1, silence=0.1),
    }

    transcribe, _, _ = scripted(lambda one: texts[one.features])
    found = transcribe(window(n) for n in texts)
    assert ["".join(s.text for s in r.segments) for r in found] == [
        *(" quite different than the", "", "", "")
    ]


def test_a_sentence_that_is_written_twice_is_kept_once():
    """Whisper wrote it for the noise before it, too, in less time than anybody can say it."""
    sentence = " Mr. Quilter is the apostle of the middle classes, and we are glad to welcome him."
    copy, said = Segment(4.3, 6.9, sentence), Segment(6.9, 12.2, sentence)
    other = Segment(12.2, 12.4, " Thank you.")
    assert quality.without_copies([copy, said, other]) == (said, other)
    assert quality.without_copies([said, replace(copy, start=12.2, end=12.9)]) == (said,)
    slow = (Segment(0.0, 5.0, sentence), Segment(5.0, 10.5, sentence))
    assert quality.without_copies(slow) == slow  # said twice
    assert quality.without_copies([copy, other]) == (copy, other)
    short = (Segment(0.0, 1.0, " No."), Segment(1.0, 1.1, " No."))
    assert quality.without_copies(short) == short


def test_text_without_its_timestamp_is_kept(tokenizer):
    begin = tokenizer.timestamp_begin
    a, b, c = (tokenizer.encode(f" {w}") for w in ("one", "two", "three"))
    tokens = [begin, *a, begin + 50, begin + 50, *b, begin + 100, *c]
    assert split_segments(tokens, tokenizer, 9.0) == [(0.0, 1.0, a), (1.0, 2.0, b), (2.0, 9.0, c)]
    assert split_segments([begin, begin + 10], tokenizer, 9.0) == []
    assert split_segments([begin, *a, begin + 1400], tokenizer, 9.0) == [(0.0, 9.0, a)]


def test_repetitions_that_the_compression_ratio_does_not_show():
    speech_like = "the quick brown fox jumps over the lazy dog and please open the file " * 1
    assert not quality.is_repetitive(speech_like)
    assert quality.repeats_phrase([*speech_like.split(), *("thank you " * 12).split()])
    assert quality.repeats_phrase(("one two three " * 6).split())
    assert not quality.repeats_phrase(
        ["one", "one", "two", "two", "three", "three", "four", "four"]
    )
    assert not quality.repeats_phrase(["yes", "yes", "yes", "yes"])


def test_a_loop_of_three_is_flagged_and_not_decoded_again():
    text = "I am going home. I am going home. I am going home."
    assert not quality.needs_retry(text, -0.2)
    assert quality.flags(text, -0.2, 1.5, 0.0) == ("repetition",)
    assert quality.flags("No, no, no, words words words words", -0.2, 1.5, 0.0) == ()


def test_segments_that_say_the_same_three_times_are_flagged():
    texts = [
        " Thank you.",
        " Hello.",
        " Bye.",
        " Bye.",
        " Thank you.",
        " thank you.",
        " Thank you.",
    ]
    segments = [Segment(n, n + 1.0, text) for n, text in enumerate(texts)]
    flags = [segment.flags for segment in quality.flag_repeated_segments(segments)]
    assert flags == [()] * 4 + [("repetition",)] * 3


@pytest.mark.parametrize(
    ("logprob", "no_speech", "speech", "silence"),
    [
        (-0.2, 0.1, 0.3, False),  # "Yes."
        (-0.8, 0.1, 0.3, True),  # "Thank you." from a door
        (-0.3, 0.4, 0.3, True),
        (-0.8, 0.4, 5.0, False),
        (-1.2, 0.7, 5.0, True),
    ],
)
def test_short_sounds_must_be_surer_speech(logprob, no_speech, speech, silence):
    assert quality.is_silence(logprob, no_speech, speech) == silence


def test_words_are_assigned_to_their_segments():
    words = [
        TokenizedWord(Word(n, n + 1, f" w{n}", 1.0), tokens)
        for n, tokens in enumerate((1, 2, 1, 3))
    ]
    assigned = words_by_segment(words, [3, 4])
    assert [[w.word for w in part] for part in assigned] == [[" w0", " w1"], [" w2", " w3"]]
    assert words_by_segment([], [2, 2]) == [(), ()]


class OneTokenPerWord:
    """A tokenizer for which each token is one of these words."""

    eot = 99

    def __init__(self, *words):
        self.words = words

    def split_to_word_tokens(self, tokens):
        return [*self.words, ""], [[token] for token in tokens]


def test_the_pause_between_sentences_belongs_to_no_word():
    tokenizer = OneTokenPerWord(" One", " two", ".", " Three", " four")
    starts = np.array(
        [0, 15, 30, 130, 330, 345]
    )  # in fiftieths of a second: "." and "Three" are long
    words = find_words((np.arange(6), starts), [0, 1, 2, 3, 4], [1.0] * 5, tokenizer)
    assert [(one.word.word, one.word.start, one.word.end) for one in words] == [
        (" One", 0.0, 0.3),
        (" two.", 0.3, 0.6),
        (" Three", pytest.approx(6.0), 6.6),
        (" four", 6.6, 6.9),
    ]


def timed(*times):
    """Words of one token each."""
    return [TokenizedWord(Word(*each, f" w{n}", 1.0), 1) for n, each in enumerate(times)]


def test_a_word_after_a_pause_is_not_stretched_over_it():
    words = timed((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 6.0), (6.0, 6.3), (6.3, 6.5))
    first, second = words_by_segment(words, [3, 3])
    assert [(word.start, word.end) for word in first] == [(0, 0.2), (0.2, 0.5), (0.5, 0.8)]
    # Twice the median of 0.3 s.
    assert [(word.start, word.end) for word in second] == [
        (pytest.approx(5.4), 6.0),
        (6.0, 6.3),
        (6.3, 6.5),
    ]
    # The second word, too, is part of the pause.
    words = timed((0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 3.0), (3.0, 6.3), (6.3, 6.5))
    _, second = words_by_segment(words, [3, 3])
    assert [(word.start, word.end) for word in second] == [
        (pytest.approx(5.1), pytest.approx(5.7)),
        (pytest.approx(5.7), 6.3),
        (6.3, 6.5),
    ]


# --- Several recordings ----------------------------------------------------------------------------


def test_a_short_recording_does_not_wait_for_a_long_one(tokenizer, scripted):
    proceed = Event()

    def answer(one):
        proceed.wait(DEADLINE)
        return result(tokenizer, "x")

    transcribe, fake, scheduler = scripted(answer)
    with ThreadPoolExecutor(2) as pool:
        long = pool.submit(transcribe, [window(1)] * 200)
        while not fake.batches:
            time.sleep(0.01)
        short = pool.submit(transcribe, [window(2)] * 3)
        while len(scheduler.queues) < 2:
            time.sleep(0.01)
        proceed.set()
        assert len(short.result(DEADLINE)) == 3
        done = next(n for n in range(len(fake.batches), 0, -1) if 2.0 in fake.batches[n - 1])
        assert done <= 5
        assert len(long.result(DEADLINE)) == 200


def test_windows_of_different_recordings_share_a_batch(tokenizer, scripted, monkeypatch):
    monkeypatch.setattr("homescribe.engines.scheduler.BATCH_WAIT", DEADLINE)
    transcribe, fake, scheduler = scripted(
        lambda one: result(tokenizer, f"number {round(one.features)}")
    )
    scheduler.enter()  # as if another recording were decoding: only full batches run
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(transcribe, [window(mark)] * 2) for mark in (1, 2, 3, 4)]
    scheduler.leave(deque())
    for mark, call in zip((1, 2, 3, 4), calls, strict=True):
        assert [r.segments[0].text for r in call.result()] == [f" number {mark}"] * 2
    assert [len(batch) for batch in fake.batches] == [4, 4]
    assert len(set(fake.batches[0])) > 1


def test_one_recording_keeps_every_worker_busy(tokenizer, scripted, monkeypatch):
    """Each worker computes a batch of its own at the same time, with its share of the windows."""
    monkeypatch.setattr(ScriptedNetwork, "workers", 3)
    together, first = Barrier(3), [1, 2, 3]

    def answer(one):
        return result(tokenizer, f"number {round(one.features)}")

    transcribe, fake, scheduler = scripted(answer)
    working = fake.decode

    def decode(tasks):
        if first:
            first.pop()
            together.wait(DEADLINE)  # passes only when three batches run at once
        return working(tasks)

    fake.decode = decode
    results = transcribe(window(n) for n in range(12))
    assert [r.segments[0].text for r in results] == [f" number {n}" for n in range(12)]
    assert len(scheduler.threads) == 3


def test_workers_share_what_waits(tokenizer, scripted, monkeypatch):
    monkeypatch.setattr(ScriptedNetwork, "workers", 2)
    _, _, scheduler = scripted(lambda one: None)
    first, proceed = Event(), Event()
    sizes = []

    def compute(tasks):
        sizes.append(len(tasks))
        first.set()
        proceed.wait(DEADLINE)
        return [len(tasks)] * len(tasks)

    scheduler.enter()
    queue = deque()
    tasks = [Task(np.zeros(16, np.float32), compute, None, Event()) for _ in range(4)]
    with scheduler.changed:  # all four wait before a worker looks
        for task in tasks:
            scheduler.put(queue, task)
    first.wait(DEADLINE)
    proceed.set()
    assert [scheduler.wait(task) for task in tasks][:2] == [2, 2]
    assert sizes[0] == 2  # and not four: the other worker wants the rest


def test_callers_share_the_windows_in_memory(tokenizer, scripted, monkeypatch):
    monkeypatch.setattr(ScriptedNetwork, "workers", 3)
    _, _, scheduler = scripted(lambda one: None)
    capacities = []
    for _ in range(6):
        scheduler.enter()
        capacities.append(scheduler.capacity)
    assert capacities == [24, 12, 8, MIN_CAPACITY, MIN_CAPACITY, MIN_CAPACITY]
    for _ in range(6):
        scheduler.leave(deque())
    assert scheduler.capacity == 24


def test_an_engine_takes_enough_short_recordings_to_fill_its_batches(tokenizer, monkeypatch):
    def slots(workers, batch_size):
        monkeypatch.setattr(ScriptedNetwork, "workers", workers)
        monkeypatch.setattr(ScriptedNetwork, "batch_size", batch_size)
        engine = BatchEngine("scripted", ScriptedNetwork(tokenizer, lambda one: None))
        engine.close()
        return engine.slots

    assert [slots(1, 1), slots(2, 4), slots(1, 16), slots(16, 4)] == [4, 10, 17, 32]


def test_a_window_that_fails_is_first_computed_again_with_care(tokenizer, scripted):
    """With a beam search and whole padding, at temperature 0. So no text depends on a random draw."""
    seen = []

    def answer(one):
        seen.append((one.options.temperature, one.options.beam_size, one.length))
        careful = one.options.beam_size == 5 and one.length == MEL_FRAMES
        return result(tokenizer, "at last" if careful else "no " * 40)

    transcribe, fake, _ = scripted(answer)
    fake.padded_length = lambda samples: 1000
    (found,) = transcribe([window(1)], beam_size=1)
    assert [s.text for s in found.segments] == [" at last"]
    assert found.segments[0].flags == ()
    assert seen == [(0.0, 1, 1000), (0.0, 5, MEL_FRAMES)]
    seen.clear()
    fake.padded_length = lambda samples: MEL_FRAMES
    fake.decode = lambda tasks: [
        seen.append(t.options.temperature) or result(tokenizer, "no " * 40) for t in tasks
    ]
    transcribe([window(1)], beam_size=5)  # which is as careful as can be
    assert seen == [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    seen.clear()
    (found,) = transcribe([window(1, spoken=[(0.2, 2.8)])], temperature=(0.0,))
    assert len(seen) == 1  # no other temperature, no other attempt
    assert found.segments[0].flags == ("repetition",)


def test_text_that_begins_in_the_padding_is_dropped(tokenizer, scripted):
    def answer(one):
        begin = tokenizer.timestamp_begin
        spoken, more = tokenizer.encode(" spoken"), tokenizer.encode(" thanks for watching")
        tokens = (begin, *spoken, begin + 100, begin + 160, *more, begin + 200)
        return DecodingResult(tokens, -0.1, 0.0)

    transcribe, _, _ = scripted(answer)
    (found,) = transcribe([window(1, length=3.0)])
    assert [s.text for s in found.segments] == [" spoken"]


def test_a_batch_has_one_kind_of_work(tokenizer, scripted):
    """Tasks share a batch only if they have the same function and the same batch key."""
    _, _, scheduler = scripted(lambda one: None)
    batches = []

    def one_kind(tasks):
        batches.append([task.options for task in tasks])
        return [task.options for task in tasks]

    def another_kind(tasks):
        return one_kind(tasks)

    kinds = [(one_kind, "a"), (another_kind, "a"), (one_kind, "b")]
    scheduler.enter()
    tasks = []
    for kind in kinds * 2:
        task = Task(np.zeros(16, np.float32), kind[0], kind, Event(), batch_key=kind[1])
        scheduler.put(deque(), task)
        tasks.append(task)
    assert [scheduler.wait(task) for task in tasks] == kinds * 2
    assert sorted(len(batch) for batch in batches) == [2, 2, 2]
    assert all(len(set(batch)) == 1 for batch in batches)


def test_a_batch_has_windows_of_one_length_and_each_caller_its_turn(tokenizer, scripted):
    _, fake, scheduler = scripted(lambda one: None)
    fake.padded_length = len
    batches = []

    def lengths(tasks):
        batches.append([(task.options, len(task.samples)) for task in tasks])
        return [len(task.samples) for task in tasks]

    scheduler.enter()
    queues = {"a": deque(), "b": deque()}
    tasks = []
    for name, sizes in (("a", (9, 5, 9, 5, 9)), ("b", (7, 9))):
        for size in sizes:
            task = Task(np.zeros(size, np.float32), lengths, name, Event())
            scheduler.put(queues[name], task)
            tasks.append(task)
    assert [scheduler.wait(task) for task in tasks] == [9, 5, 9, 5, 9, 7, 9]
    assert batches[0] == [("a", 9), ("b", 9), ("a", 9), ("a", 9)]
    assert batches[1:] == [[("b", 7)], [("a", 5), ("a", 5)]]


def test_a_window_that_breaks_the_network_fails_alone(tokenizer, scripted):
    def answer(one):
        if one.features == 13:
            raise ValueError("broken")
        return result(tokenizer, f"number {round(one.features)}")

    transcribe, _, scheduler = scripted(answer)
    with ThreadPoolExecutor(3) as pool:
        good = [pool.submit(transcribe, [window(n)] * 6) for n in (1, 2)]
        bad = pool.submit(transcribe, [window(5), window(13), window(5)])
        with pytest.raises(ValueError, match="broken"):
            bad.result(DEADLINE)
        for number, call in zip((1, 2), good, strict=True):
            assert [r.segments[0].text for r in call.result(DEADLINE)] == [f" number {number}"] * 6
    assert len(transcribe([window(3)])) == 1  # the thread still runs
    assert scheduler.batch_size == ScriptedNetwork.batch_size


def test_out_of_memory_halves_the_batch_size(tokenizer, scripted):
    sizes = []

    def answer(one):
        return result(tokenizer, f"number {round(one.features)}")

    transcribe, fake, scheduler = scripted(answer)
    working = fake.decode

    def decode(tasks):
        sizes.append(len(tasks))
        if len(tasks) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return working(tasks)

    fake.decode = decode
    results = transcribe(window(n) for n in range(9))
    assert [r.segments[0].text for r in results] == [f" number {n}" for n in range(9)]
    assert max(sizes) > 1
    assert scheduler.batch_size == 1

    def never(tasks):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    fake.decode = never
    with pytest.raises(UserError, match="Out of memory"):
        transcribe([window(1)])


def test_cancelling_one_recording_does_not_affect_another(tokenizer, scripted):
    stop, started = Event(), Event()

    def answer(one):
        if one.features == 1:
            started.set()
            time.sleep(0.02)
        return result(tokenizer, "x")

    transcribe, fake, _ = scripted(answer)
    with ThreadPoolExecutor(2) as pool:
        leaving = pool.submit(transcribe, (window(1) for _ in range(100_000)), stop)
        staying = pool.submit(transcribe, [window(2)] * 20)
        started.wait(DEADLINE)
        stop.set()
        with pytest.raises(Cancelled):
            leaving.result(DEADLINE)
        assert len(staying.result(DEADLINE)) == 20
    before = sum(batch.count(1.0) for batch in fake.batches)
    transcribe([window(3)])
    assert sum(batch.count(1.0) for batch in fake.batches) == before


def test_a_task_withdrawn_before_its_batch_starts_does_not_end_the_thread(tokenizer, scripted):
    """The scheduler waits for a caller that is decoding. Another one's window is withdrawn meanwhile."""
    transcribe, _, scheduler = scripted(lambda one: result(tokenizer, "x"))
    scheduler.enter()
    for _ in range(3):
        queue = deque()
        scheduler.enter()
        scheduler.put(queue, Task(np.zeros(16, np.float32), lambda tasks: tasks, None, Event()))
        scheduler.leave(queue)
    scheduler.leave(deque())
    assert len(transcribe([window(1)])) == 1
    assert all(thread.is_alive() for thread in scheduler.threads)


def test_closing_cancels_waiting_callers(tokenizer, scripted):
    release = Event()

    def answer(one):
        release.wait(DEADLINE)
        return result(tokenizer, "x")

    transcribe, fake, scheduler = scripted(answer)
    with ThreadPoolExecutor(2) as pool:
        call = pool.submit(transcribe, [window(1)])
        while not fake.batches:
            time.sleep(0.01)
        closing = pool.submit(scheduler.close)
        with pytest.raises(Cancelled):
            call.result(DEADLINE)
        release.set()
        closing.result(DEADLINE)


def test_previous_text_is_the_prompt_if_requested(tokenizer, scripted):
    prompts = []

    def answer(one):
        prompts.append(tokenizer.decode([t for t in one.options.prompt if t < tokenizer.eot]))
        return result(tokenizer, f"number {round(one.features)}")

    transcribe, _, _ = scripted(answer, condition_on_previous_text=True, initial_prompt="Names")
    transcribe(window(n, spoken=[(0.0, 2.0)]) for n in range(3))
    carried = ["", " number 0", " number 0 number 1"]
    assert prompts == [each for text in carried for each in (text, f" Names{text}")]


def test_segments_are_reported_while_later_windows_are_decoded(tokenizer, monkeypatch):
    reported = []
    first = Event()

    def answer(one):
        if round(one.features) == 8:
            assert first.wait(DEADLINE)
        return result(tokenizer, f"number {round(one.features)}")

    class Windows(list):
        duration, warnings = 32.0, ()

    windows = Windows(window(n, start=4.0 * (n - 1)) for n in range(1, 9))
    monkeypatch.setattr(batch_engine, "RecordingWindows", lambda *_: windows)
    engine = BatchEngine("scripted", ScriptedNetwork(tokenizer, answer))
    engine.name = "scripted"

    def decoded(segments):
        reported.extend(segments)
        first.set()

    try:
        transcript = engine.stream(
            *(Audio(Item("x", "x", "x", "x"), "x"), TranscriptionOptions(), Event()),
            lambda seconds: None,
            decoded,
        )
    finally:
        engine.close()
    assert tuple(reported) == transcript.segments
    assert [s.text.strip() for s in transcript.segments] == [f"number {n}" for n in range(1, 9)]


# --- Sentences that go on in the next window -------------------------------------------------------


def speaking(mark, start, length=20.0):
    return window(mark, start, length, [(0.2, length - 0.2)])


@pytest.fixture
def sentences_of(tokenizer, scripted):
    """Transcribe windows whose texts, by mark, are written down. Returns texts and prompts."""

    def run(texts, windows, **options):
        prompts = {}

        def answer(one):
            mark = round(one.features)
            before = tokenizer.decode(list(one.options.previous))
            prompts.setdefault(mark, []).append(before.strip())
            text = texts[mark](before.strip()) if callable(texts[mark]) else texts[mark]
            values = text if isinstance(text, tuple) else (text, -0.1)
            return result(tokenizer, values[0], end=20.0, logprob=values[1])

        transcribe, _, _ = scripted(answer, **options)
        found = transcribe(windows)
        return ["".join(s.text for s in one.segments).strip() for one in found], prompts

    return run


def test_a_window_that_begins_inside_a_sentence_gets_the_words_before_it(sentences_of):
    texts = {
        1: "again, until the resonant frequencies of the room",
        2: lambda before: "reinforce themselves." if before else "Who reinforce themselves.",
        3: "What you will hear then.",
    }
    windows = [speaking(n, 20.0 * (n - 1)) for n in (1, 2, 3)]
    found, prompts = sentences_of(texts, windows)
    assert found == [texts[1], "reinforce themselves.", texts[3]]
    assert prompts[2] == ["", texts[1]]
    assert prompts[1] == prompts[3] == [""]  # complete sentences cost nothing


def test_words_are_no_prompt_across_silence_or_after_a_failed_window(sentences_of):
    texts = {1: "and then, we", 2: "went home"}
    _, prompts = sentences_of(texts, [speaking(1, 0.0), speaking(2, 28.0)])
    assert prompts[2] == [""]
    failed = {1: ("and then, we", -2.0), 2: "went home"}
    _, prompts = sentences_of(failed, [speaking(1, 0.0), speaking(2, 20.0)])
    assert set(prompts[2]) == {""}


def test_words_that_make_the_next_window_worse_are_no_prompt(sentences_of):
    texts = {1: "and then, we", 2: lambda before: ("we we we", -0.5) if before else "went home"}
    found, prompts = sentences_of(texts, [speaking(1, 0.0), speaking(2, 20.0)])
    assert found[1] == "went home"
    assert len(prompts[2]) == 2


def test_a_window_that_lost_its_punctuation_is_decoded_after_one_that_has_it(sentences_of):
    bare = "so he went on and on and nobody said anything at all about it"
    texts = {1: "It was late.", 2: lambda before: f"So {bare}." if before else bare}
    found, _ = sentences_of(texts, [speaking(1, 0.0), speaking(2, 20.0)])
    assert found[1] == f"So {bare}."


def test_a_chain_of_windows_is_the_same_however_many_are_in_flight(sentences_of):
    def text(number):
        return lambda before: f"{number}, after {before.split(',')[0] if before else 'nothing'}"

    texts = {n: text(n) for n in range(1, 9)}
    windows = [speaking(n, 20.0 * (n - 1)) for n in range(1, 9)]
    found, _ = sentences_of(texts, windows)
    assert found == ["1, after nothing", *(f"{n}, after {n - 1}" for n in range(2, 9))]


def test_the_end_of_a_window_is_decoded_after_its_beginning(tokenizer, scripted):
    prompts = []

    def answer(one):
        prompts.append(tokenizer.decode([t for t in one.options.previous if t < tokenizer.eot]))
        if len(prompts) == 1:
            return result(tokenizer, "the beginning", end=8.0)
        return result(tokenizer, "and the end", end=10.0)

    transcribe, _, _ = scripted(answer)
    found = transcribe([window(1, 0.0, 20.0, [(0.2, 19.0)])])
    assert [s.text for one in found for s in one.segments][:2] == [" the beginning", " and the end"]
    assert prompts[1] == " the beginning"


def test_an_end_that_no_temperature_makes_sense_of_is_left_out(tokenizer, scripted):
    def answer(one):
        if one.options.previous:
            return result(tokenizer, "I don't know", end=2.0, logprob=-1.4)
        return result(tokenizer, "all of it", end=16.0)

    transcribe, _, _ = scripted(answer)
    found = transcribe([window(1, 0.0, 20.0, [(0.2, 19.0)])])
    assert [s.text for one in found for s in one.segments] == [" all of it"]


# --- Both engines ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference():
    return whisper.load_model(str(demo.model("openai-whisper")), "cpu")


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=pytest.mark.models) for n in ("torch", "ctranslate2")],
)
def engine(request):
    """A BatchEngine of the bundled model in float32, whose results do not depend on the processor."""
    if request.param == "torch":
        model = whisper.load_model(str(demo.model("openai-whisper")), "cpu")
        network = TorchNetwork(model, 8, torch.float32)
    else:
        network = CTranslate2Network("demo", "float32")
    engine = BatchEngine("demo", network)
    engine.name = request.param
    yield engine
    engine.close()


def transcribe(engine, path, **options):
    audio = Audio(Item("file", path.name, str(path), path.stem), path, temporary=False)
    return engine.transcribe(audio, TranscriptionOptions(**options), Event(), lambda _: None)


def summary(transcript):
    return [(s.start, s.end, s.text) for s in transcript.segments]


def test_the_same_text_alone_and_in_a_batch_in_any_order(engine):
    alone = {name: summary(transcribe(engine, path)) for name, path in SAMPLES.items()}
    for order in (list(SAMPLES), list(SAMPLES)[::-1]):
        with ThreadPoolExecutor(3) as pool:
            calls = {name: pool.submit(transcribe, engine, SAMPLES[name]) for name in order}
        assert {name: summary(call.result()) for name, call in calls.items()} == alone


def test_no_worse_than_whisper_transcribe(engine, reference):
    """Samples with noise: no more words wrong than whisper.transcribe with the same weights."""
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
        found = [s for r in transcriber.results(windows) for s in r.segments]
        ours.append("".join(s.text for s in found).strip())
        truth.append(sample_text(name))
    assert wer(truth, ours) <= wer(truth, theirs) + 0.01


@pytest.mark.parametrize("vad_filter", [True, False])
def test_no_text_on_silence_noise_or_music(engine, vad_filter):
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
        text = [s.text for r in transcriber.results(windows) for s in r.segments]
        assert text == [], name


def test_word_timestamps_in_a_batch(engine):
    transcript = transcribe(engine, SAMPLES["numbers-60s"], word_timestamps=True)
    found = [w for s in transcript.segments for w in s.words]
    assert [w.word.strip() for w in found] == words("numbers-60s")
    assert all(a.end <= b.start + 1e-9 for a, b in pairwise(found))
