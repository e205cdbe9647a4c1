"""Windows of speech, and segments within them. No Whisper model is loaded."""

from itertools import pairwise

import numpy as np
import pytest

from homescribe.audio import SAMPLE_RATE, decode
from homescribe.core import Segment, Word
from homescribe.engines import vad
from homescribe.engines.segments import place
from homescribe.engines.vad import (
    CHUNK,
    CHUNKS_PER_SECOND,
    ONSET,
    PIECE,
    SpeechDetector,
    pieces,
    speech_probabilities,
)
from homescribe.engines.windows import Window, split_windows
from speech_samples import SAMPLES, sentences


def contain(windows, start, end):
    """Whether one of `windows` contains `start` to `end`."""
    return any(w.start <= start and end <= w.end for w in windows)


@pytest.mark.parametrize("limit", [30.0, 12.0, 6.0])
@pytest.mark.parametrize("name", SAMPLES)
def test_every_sentence_is_whole_in_some_window(name, limit):
    waveform = decode(SAMPLES[name])
    windows = list(split_windows([waveform], limit=limit))
    for window in windows:
        assert 0 < len(window.samples) <= limit * SAMPLE_RATE
        first = round(window.start * SAMPLE_RATE)
        np.testing.assert_array_equal(window.samples, waveform[first : first + len(window.samples)])
    for before, after in pairwise(windows):
        assert before.end <= after.start
    for sentence in sentences(name):
        assert contain(windows, sentence["start"], sentence["end"]), sentence


def test_windows_do_not_depend_on_the_size_of_blocks():
    waveform = np.tile(decode(SAMPLES["numbers-60s"]), 2)
    whole = list(split_windows([waveform]))
    for size in (7_777, 480_000):
        pieces = [waveform[i : i + size] for i in range(0, len(waveform), size)]
        again = list(split_windows(pieces))
        assert [(w.start, len(w.samples)) for w in again] == [
            (w.start, len(w.samples)) for w in whole
        ]


def test_speech_without_pauses_is_split_and_nothing_is_left_out():
    """Sentences joined without their pauses, longer than a window."""
    waveform = decode(SAMPLES["channel-40s"])
    joined = np.concatenate(
        [
            waveform[round(s["start"] * SAMPLE_RATE) : round(s["end"] * SAMPLE_RATE)]
            for s in sentences("channel-40s") * 3
        ]
    )
    windows = list(split_windows([joined]))
    assert len(windows) >= 3
    for before, after in pairwise(windows):
        assert before.end == after.start
    assert windows[0].start == 0
    assert windows[-1].end == len(joined) / SAMPLE_RATE


def test_without_vad_filter_windows_hold_everything():
    sound = np.zeros(100 * SAMPLE_RATE, np.float32)
    windows = list(split_windows([sound], vad_filter=False))
    assert np.concatenate([w.samples for w in windows]).shape == sound.shape
    assert all(len(w.samples) <= 30 * SAMPLE_RATE for w in windows)


# --- Detection -------------------------------------------------------------------------------------


def detected(waveform):
    """Decisions of a detector that has listened to all of `waveform`."""
    detector = SpeechDetector()
    for piece in pieces(waveform):
        detector.extend(piece)
    detector.end()
    return detector


def test_silero_gives_the_same_probabilities_as_faster_whisper_for_a_piece():
    from faster_whisper.vad import get_vad_model

    waveform = decode(SAMPLES["fox-20s"])[:PIECE]
    whole = get_vad_model()(waveform.copy()).reshape(-1)
    ours = speech_probabilities(waveform, waveform[:0])
    np.testing.assert_allclose(ours[:-1], whole[:-1], atol=1e-6)


def test_a_loud_voice_does_not_hide_the_soft_one_after_it():
    """The detector's network remembers: without a fresh start it would give the soft voice less."""
    waveform = decode(SAMPLES["channel-40s"])[: 3 * PIECE]
    soft = 0.01 * decode(SAMPLES["fox-20s"])[: 2 * PIECE]
    alone = detected(soft).speech()
    after = detected(np.concatenate([waveform, soft])).speech()[len(waveform) // CHUNK :]
    assert alone.mean() > 0.3
    assert (alone & after).sum() >= 0.97 * alone.sum()


@pytest.mark.parametrize("decibels", [0, -30, -50, -65])
def test_quiet_speech_is_speech(decibels):
    waveform = decode(SAMPLES["fox-20s"])
    loud = detected(waveform).speech()
    quiet = np.round(waveform * 10 ** (decibels / 20) * 32768) / 32768
    found = detected(quiet.astype(np.float32)).speech()
    assert (loud & found).sum() >= 0.8 * loud.sum()


@pytest.mark.parametrize("level", [0.0, 0.0005, 0.05])
def test_silence_and_noise_are_no_speech(level):
    noise = np.random.default_rng(1).normal(0, level, 60 * SAMPLE_RATE).astype(np.float32)
    assert not detected(noise).speech().any()


def scripted(*stretches):
    """A detector that has found stretches of (seconds, probability)."""
    detector = SpeechDetector()
    for seconds, probability in stretches:
        chunks = round(seconds * CHUNKS_PER_SECOND)
        detector.probabilities = np.append(detector.probabilities, np.full(chunks, probability))
        detector.above = np.append(detector.above, np.full(chunks, probability >= ONSET))
    return detector


def seconds_of_speech(detector):
    return detector.speech().sum() / CHUNKS_PER_SECOND


def test_a_short_sound_that_nothing_surrounds_is_no_utterance():
    drum = scripted((10, 0.0), (0.2, 0.5), (10, 0.0))
    drum.end()
    assert seconds_of_speech(drum) == 0
    drums = scripted(*[(0.5, 0.0), (0.15, 0.6)] * 10, (10, 0.0))
    drums.end()
    assert seconds_of_speech(drums) == 0
    word = scripted((10, 0.0), (0.4, 0.9), (10, 0.0))
    word.end()
    assert seconds_of_speech(word) == pytest.approx(0.4, abs=0.05)
    sentence = scripted((10, 0.0), (2, 0.9), (1, 0.0), (0.2, 0.5), (10, 0.0))
    sentence.end()
    assert seconds_of_speech(sentence) == pytest.approx(2.2, abs=0.1)


def test_an_utterance_that_may_go_on_is_speech_until_it_is_known():
    detector = scripted((10, 0.0), (0.2, 0.5), (1, 0.0))
    assert seconds_of_speech(detector) > 0
    detector.end()
    assert seconds_of_speech(detector) == 0


def test_an_utterance_continues_where_chunks_were_dropped():
    detector = scripted((3, 0.9), (0.5, 0.0), (0.2, 0.5), (10, 0.0))
    detector.drop(round(3 * CHUNKS_PER_SECOND), speech=True)
    detector.end()
    assert seconds_of_speech(detector) == pytest.approx(0.2, abs=0.05)


# --- Segments --------------------------------------------------------------------------------------


def test_segments_are_placed_in_order_and_within_their_window():
    window = Window(100.0, np.zeros(10 * SAMPLE_RATE, np.float32))
    segments = [
        Segment(-1.0, 2.0, " a", words=(Word(-3.0, 0.5, " a", 1.0),)),
        Segment(1.0, 5.0, " b"),
        Segment(4.0, 4.0, "  "),
        Segment(6.0, 30.0, " c", words=(Word(8.0, 29.0, " c", 1.0),)),
    ]
    assert [(s.start, s.end, s.text) for s in place(segments, window, 101.5)] == [
        (101.5, 102.0, " a"),
        (102.0, 105.0, " b"),
        (106.0, 110.0, " c"),
    ]
    assert place(segments, window, 101.5)[2].words == (Word(108.0, 110.0, " c", 1.0),)


def test_placed_words_are_inside_their_segment_and_have_a_length():
    window = Window(100.0, np.zeros(10 * SAMPLE_RATE, np.float32))
    times = [(-3.0, -1.0), (-1.0, 0.5), (0.5, 0.5), (0.4, 1.0), (3.0, 9.0), (9.0, 9.5)]
    words = tuple(Word(start, end, f" w{n}", 1.0) for n, (start, end) in enumerate(times))
    [segment] = place([Segment(0.0, 4.0, " w", words=words)], window, 100.0)
    at = 100.0
    for word in segment.words:
        assert at <= word.start < word.end <= 104.0
        at = word.end
    assert segment.words[1].end == 100.5


def test_a_sound_as_loud_as_the_speech_before_it_is_more_likely_to_be_speech(monkeypatch):
    """Hoarse voices get low probabilities. A quieter sound with the same probability stays silence."""

    def flagged(clear, sound, level):
        """Share of two seconds of `sound` with probability 0.12 that is speech, after `clear` seconds."""
        chunks = round(CHUNKS_PER_SECOND)
        spoken = np.full(clear * chunks * CHUNK, 0.1, np.float32)
        pause = np.zeros(4 * chunks * CHUNK, np.float32)
        later = np.full(2 * chunks * CHUNK, level, np.float32)
        found = [0.9] * (clear * chunks) + [0.0] * (4 * chunks) + [sound] * (2 * chunks)
        monkeypatch.setattr(
            vad, "speech_probabilities", lambda samples, before: np.array(found, np.float32)
        )
        detector = vad.SpeechDetector()
        detector.extend(np.concatenate([spoken, pause, later]))
        detector.end()
        return detector.speech()[-2 * chunks :].mean()

    assert flagged(clear=3, sound=0.12, level=0.1) == 1.0
    assert flagged(clear=3, sound=0.12, level=0.02) == 0.0  # 14 dB quieter
    assert flagged(clear=3, sound=0.02, level=0.1) == 0.0
    assert flagged(clear=0, sound=0.12, level=0.1) == 0.0  # nothing to compare it with


@pytest.mark.parametrize(
    ("start", "speech", "expected"),
    [
        (1.0, [(0.0, 1.2), (1.8, 4.0)], 1.8),  # the end of the words before, then a pause
        (1.0, [(0.0, 1.6), (2.2, 4.0)], 1.0),  # too much speech to belong to the words before
        (1.0, [(0.9, 1.2), (1.8, 4.0)], 1.0),  # a word that begins with the segment
        (0.0, [(0.1, 0.25), (1.0, 4.0)], 1.0),  # a click
        (0.0, [(0.1, 0.25), (0.5, 4.0)], 0.0),  # the first sound of a word
        (0.0, [(0.1, 0.4), (1.0, 4.0)], 0.0),  # a word
        (0.0, [(0.1, 0.25), (9.0, 12.0)], 0.0),  # nothing else is spoken in the segment
        (0.0, [(0.5, 4.0)], 0.5),
    ],
)
def test_a_segment_starts_with_its_own_words(start, speech, expected):
    samples = np.zeros(30 * SAMPLE_RATE, np.float32)
    window = Window(100.0, samples, tuple(speech))
    (placed,) = place([Segment(start, 4.5, " and I'm saying")], window, 0.0)
    assert placed.start == pytest.approx(100.0 + expected)


def chunks(*levels):
    """Samples of one chunk for each level."""
    return np.concatenate([np.full(CHUNK, level, np.float32) for level in levels])


def test_sounds_as_loud_as_clear_speech_before_them_are_likelier_speech(monkeypatch):
    detector = SpeechDetector()
    clear, hoarse, far = [0.1] * 40, [0.05] * 30, [0.01] * 30
    found = np.array([0.9] * 40 + [0.12] * 30 + [0.12] * 30, np.float32)
    monkeypatch.setattr(vad, "speech_probabilities", lambda samples, before: found)
    detector.extend(chunks(*clear, *hoarse, *far))
    assert detector.above.tolist() == [True] * 70 + [False] * 30


def test_sounds_that_may_be_speech_are_in_a_window_without_being_speech(monkeypatch):
    """A hoarse voice gets low probabilities, so whoever has spoken before decides how loud it must be."""
    one = CHUNKS_PER_SECOND
    silent, soft = round(12 * one), round(2 * one)
    levels = [0.1] * 60 + [0.0] * silent + [0.015] * soft + [0.0] * silent + [0.005] * soft
    found = [0.9] * 60 + [0.0] * silent + [0.1] * soft + [0.0] * silent + [0.1] * soft
    kept = np.array(found, np.float32)

    def probabilities(samples, before):
        nonlocal kept
        here, kept = kept[: len(samples) // CHUNK], kept[len(samples) // CHUNK :]
        return here

    monkeypatch.setattr(vad, "speech_probabilities", probabilities)
    spoken, doubtful = split_windows([chunks(*levels)])
    assert spoken.speech
    assert doubtful.speech == ()
    start = (60 + silent) / one
    assert doubtful.start <= start
    assert start + 2.0 <= doubtful.end <= start + 3.0
