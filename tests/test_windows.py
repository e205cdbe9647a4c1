"""Windows of speech, and segments within them. No Whisper model is loaded."""

from itertools import pairwise

import numpy as np
import pytest

from homescribe.audio import SAMPLE_RATE, decode
from homescribe.core import Segment, Word
from homescribe.engines.segments import place
from homescribe.engines.vad import SileroVad
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


def test_silero_gives_the_same_probabilities_for_a_stream_as_for_the_whole():
    from faster_whisper.vad import get_vad_model

    waveform = decode(SAMPLES["fox-20s"])
    waveform = waveform[: len(waveform) // 512 * 512]
    whole = get_vad_model()(waveform.copy()).reshape(-1)
    detector = SileroVad()
    parts = np.concatenate([detector(p) for p in np.split(waveform, [5_120, 51_200, 256_000])])
    np.testing.assert_allclose(parts[:-1], whole[:-1], atol=1e-6)


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
