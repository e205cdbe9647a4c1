"""The language of each window: rules, and the transcriber that follows them on a scripted network."""

from collections import Counter
from threading import Event

import numpy as np
import pytest
import whisper

from homescribe.audio import SAMPLE_RATE
from homescribe.core import TranscriptionOptions
from homescribe.engines.language_choice import (
    LanguageEvidence,
    most_spoken,
    next_language,
    part_languages,
    parts_of,
)
from homescribe.engines.recording_transcriber import RecordingTranscriber
from homescribe.engines.scheduler import Scheduler
from homescribe.engines.whisper_network import DecodingResult, set_languages
from homescribe.engines.windows import Window

CODES = ("en", "de", "es", "gl")


def evidence(speech=10.0, **probabilities):
    return LanguageEvidence(probabilities, speech)


# --- Rules -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "window", "chosen"),
    [
        ("en", evidence(en=0.1, de=0.9), "de"),
        ("en", evidence(1.0, en=0.1, de=0.9), "en"),  # too little speech
        ("en", evidence(en=0.1, de=0.45), "en"),  # not sure
        ("es", evidence(es=0.4, gl=0.55), "es"),  # a close language: no flapping
        (None, evidence(es=0.4, gl=0.55), "gl"),
        (None, evidence(1.0, de=0.9), None),
    ],
)
def test_a_language_changes_where_another_is_sure(before, window, chosen):
    assert next_language(before, window) == chosen


def test_the_most_spoken_language_is_counted_in_seconds():
    """Two short windows in one language do not outvote a long one in another."""
    assert (
        most_spoken([evidence(3.0, ko=0.99), evidence(3.0, ko=0.9), evidence(25.0, en=0.8)]) == "en"
    )


def test_an_unsure_part_has_the_language_before_it_and_the_first_ones_that_after_them():
    parts = [evidence(1.0, es=0.9), evidence(en=0.9), evidence(en=0.3, es=0.3), evidence(es=0.95)]
    assert part_languages(parts, None) == ["en", "en", "en", "es"]
    assert part_languages([evidence(1.0, es=0.9)], None) == [None]


def speech_window(start, *stretches):
    """A window whose samples say which language each stretch (language, seconds) has, 0.5 s apart."""
    samples, speech, at = [], [], 0.0
    for language, seconds in stretches:
        samples.append(np.full(round(seconds * SAMPLE_RATE), CODES.index(language) + 1, np.float32))
        samples.append(np.zeros(SAMPLE_RATE // 2, np.float32))
        speech.append((at, at + seconds))
        at += seconds + 0.5
    return Window(start, np.concatenate(samples), tuple(speech))


def test_parts_are_cut_in_pauses_and_hold_everything():
    window = speech_window(100.0, ("en", 3), ("en", 1), ("en", 2), ("de", 3), ("de", 0.5))
    parts = parts_of(window)
    assert [part.start for part in parts] == pytest.approx([100.0, 103.25, 107.25])
    np.testing.assert_array_equal(np.concatenate([p.samples for p in parts]), window.samples)
    assert sum(part.speech_seconds() for part in parts) == pytest.approx(9.5)


# --- The transcriber -------------------------------------------------------------------------------


class Polyglot:
    """Hears the languages that `speech_window` wrote, each by its share, and writes their names.

    Decoded in one language, all of a window is written in it: a wrong one is a wrong text.
    """

    batch_size = 4
    workers = 1
    languages = CODES

    def __init__(self):
        self.tokenizers = {
            code: whisper.tokenizer.get_tokenizer(multilingual=True, language=code)
            for code in CODES
        }
        self.decoded = Counter()
        self.parts = 0

    def tokenizer(self, language, task):
        return self.tokenizers[language]

    def padded_length(self, samples):
        return len(samples)

    def start_worker(self):
        pass

    def encode(self, samples, length):
        return list(samples)

    def probabilities(self, samples):
        spoken = samples[samples > 0].astype(int)
        counts = np.bincount(spoken, minlength=len(CODES) + 1)[1:]
        return {c: float(n) / max(1, len(spoken)) for c, n in zip(CODES, counts, strict=True)}

    def detect_language(self, tasks):
        self.parts += len(tasks)
        return [self.probabilities(task.samples) for task in tasks]

    def decode(self, tasks):
        found = set_languages(self, tasks, lambda: [self.probabilities(t.samples) for t in tasks])
        results = []
        for task, languages in zip(tasks, found, strict=True):
            tokenizer = task.options.tokenizer
            self.decoded[task.options.language] += 1
            begin = tokenizer.timestamp_begin
            end = begin + round(len(task.samples) / SAMPLE_RATE * 50)
            tokens = (begin, *tokenizer.encode(f" {task.options.language}"), end)
            results.append(DecodingResult(tokens, -0.1, 0.0, languages=languages))
        return results


def transcribe(windows, **options):
    network = Polyglot()
    scheduler = Scheduler(network)
    try:
        transcriber = RecordingTranscriber(
            scheduler, network, TranscriptionOptions(**options), Event()
        )
        results = list(transcriber.results(iter(windows)))
    finally:
        scheduler.close()
    for result in results:
        assert {segment.language for segment in result.segments} <= {result.language}
        assert all(s.text.strip() == result.language for s in result.segments)
    starts = [result.window.start for result in results]
    assert starts == sorted(starts)
    return [(r.window.start, r.language) for r in results], network


def test_each_window_is_transcribed_in_its_own_language():
    windows = [speech_window(30.0 * n, (code, 20)) for n, code in enumerate(("en", "de", "en"))]
    assert transcribe(windows)[0] == [(0, "en"), (30, "de"), (60, "en")]


def test_a_recording_of_one_language_is_decoded_once_and_in_whole_windows():
    windows = [speech_window(30.0 * n, ("de", 9), ("de", 9)) for n in range(12)]
    results, network = transcribe(windows)
    assert results == [(30 * n, "de") for n in range(12)]
    assert network.decoded == {"de": 12}
    assert network.parts == 0


def test_a_language_that_was_given_is_kept():
    windows = [speech_window(0.0, ("en", 20)), speech_window(30.0, ("es", 20))]
    results, network = transcribe(windows, language="de")
    assert results == [(0, "de"), (30, "de")]
    assert network.parts == 0


def test_windows_are_split_where_the_language_changes():
    windows = [
        speech_window(0.0, ("en", 9), ("en", 8), ("de", 4)),
        speech_window(30.0, ("de", 9), ("de", 9)),
    ]
    assert transcribe(windows)[0] == [(0, "en"), (pytest.approx(17.75), "de"), (30, "de")]


def test_a_change_between_two_languages_and_back_inside_a_window_is_found():
    window = speech_window(0.0, ("es", 7), ("en", 6), ("es", 7))
    assert [language for _, language in transcribe([window])[0]] == ["es", "en", "es"]


def test_little_speech_has_the_language_around_it():
    short = speech_window(30.0, ("gl", 1.0))
    around = [speech_window(0.0, ("es", 20)), short, speech_window(60.0, ("es", 20))]
    assert [language for _, language in transcribe(around)[0]] == ["es", "es", "es"]
    assert [language for _, language in transcribe([short, around[2]])[0]] == ["es", "es"]
    assert transcribe([short])[0] == [(30, "gl")]
    assert transcribe([])[0] == []


def test_the_languages_do_not_depend_on_how_many_windows_are_in_flight():
    windows = [
        speech_window(30.0 * n, (CODES[n * n % 3], 9), (CODES[n * n * n % 3], 8)) for n in range(9)
    ]
    together = transcribe(windows)[0]
    again = transcribe(iter(windows), condition_on_previous_text=True)[0]
    assert len(together) >= 9
    assert {language for _, language in together} >= {language for _, language in again}
