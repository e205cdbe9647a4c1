"""txt, tsv, json and subtitles are byte for byte the files of openai-whisper."""

import csv
import io
import json
from dataclasses import replace

import pysubs2
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from whisper.utils import get_writer

from homescribe import plugins
from homescribe.core import Segment, Word
from homescribe.formats.subtitles import to_srt, to_vtt
from homescribe.formats.whisper import to_json, to_tsv, to_txt
from homescribe.formats.writer import write
from transcripts import HOSTILE, ITEM, from_whisper, spoken, transcript

EXPORTERS = {"txt": to_txt, "srt": to_srt, "vtt": to_vtt, "tsv": to_tsv, "json": to_json}


def whisper_output(result, extension):
    """Return what openai-whisper itself writes."""
    file = io.StringIO()
    get_writer(extension, ".").write_result(result, file)
    return file.getvalue()


@pytest.mark.parametrize("extension", ["txt", "srt", "vtt", "tsv"])
def test_real_speech_is_written_as_whisper_writes_it(extension, whisper_results, tmp_path):
    assert len(whisper_results) == 4
    for result in whisper_results:
        get_writer(extension, str(tmp_path))(result, "theirs.mp3")
        expected = (tmp_path / f"theirs.{extension}").read_bytes()
        (path,) = write(tmp_path, ITEM, from_whisper(result), {extension: EXPORTERS[extension]})
        assert path.read_bytes() == expected
        assert len(expected) > 200


def test_real_speech_gives_whispers_json(whisper_results):
    for result in whisper_results:
        found = to_json(ITEM, from_whisper(result))
        for segment in result["segments"]:
            del segment["seek"], segment["tokens"]
        expected = whisper_output(result, "json")
        # The same text up to the closing brace, where our own fields follow.
        assert found.startswith(expected.removesuffix("}") + ', "homescribe": {')


TIMES = st.floats(0, 400_000)
NUMBERS = st.floats(-10, 10)
# Text that can be on one line of a file; other text is tested by reading it back (test_subtitles.py).
MARKUP = st.sampled_from("<&>-{\\an8}\t \u2028\u00a0|\"'")
LINES = st.text(MARKUP | st.characters(exclude_categories=["Cc", "Cs"])).filter(
    lambda text: "--->" not in text
)
WORDS = LINES.filter(lambda text: "-->" not in text)


@st.composite
def results(draw):
    """Result objects of whisper.transcribe: in a result with words, only empty segments have none."""
    with_words = draw(st.booleans())
    segments = []
    for number in range(draw(st.integers(0, 4))):
        start, end = sorted([draw(TIMES), draw(TIMES)])
        segment = {
            "id": number,
            "start": start,
            "end": end,
            "text": draw(LINES),
            "temperature": draw(NUMBERS),
            "avg_logprob": draw(NUMBERS),
            "compression_ratio": draw(NUMBERS),
            "no_speech_prob": draw(NUMBERS),
        }
        if with_words:
            words = draw(st.lists(st.tuples(WORDS, TIMES, TIMES), max_size=5))
            segment["words"] = [
                {"word": text, "start": min(times), "end": max(times), "probability": 0.5}
                for text, *times in words
            ]
            if not words:
                segment["text"] = ""
        segments.append(segment)
    # If no segment has words, our Transcript does not say that words were requested.
    assume(not with_words or any(s["words"] for s in segments))
    return {"text": "".join(s["text"] for s in segments), "segments": segments, "language": "en"}


@given(results())
def test_any_segments_are_written_as_whisper_writes_them(result):
    for extension in ("txt", "srt", "vtt", "tsv"):
        expected = whisper_output(result, extension)
        assert EXPORTERS[extension](ITEM, from_whisper(result)) == expected, extension
    found = to_json(ITEM, from_whisper(result))
    assert found.startswith(whisper_output(result, "json").removesuffix("}") + ', "homescribe": {')


@pytest.mark.parametrize(("count", "letters"), [(200, 6), (1001, 3), (2500, 1), (1, 1500)])
def test_a_segment_longer_than_a_cue_is_cut_where_whisper_cuts_it(count, letters):
    words = [
        {"word": " " + "a" * letters, "start": n / 10, "end": n / 10 + 0.1, "probability": 1.0}
        for n in range(count)
    ]
    segment = {
        "start": 0.0,
        "end": count / 10,
        "text": "".join(word["word"] for word in words),
        "avg_logprob": -0.1,
        "no_speech_prob": 0.1,
        "compression_ratio": 1.1,
        "temperature": 0.0,
        "words": words,
    }
    result = {"segments": [segment, segment], "language": "en"}
    for extension in ("srt", "vtt"):
        assert EXPORTERS[extension](ITEM, from_whisper(result)) == whisper_output(result, extension)


def test_an_empty_transcript_is_whispers_empty_file():
    result = {"text": "", "segments": [], "language": "en"}
    for extension in ("txt", "srt", "vtt", "tsv"):
        assert EXPORTERS[extension](ITEM, from_whisper(result)) == whisper_output(result, extension)
    assert json.loads(to_json(ITEM, from_whisper(result)))["segments"] == []


def test_tsv_has_one_row_for_each_segment():
    rows = list(
        csv.reader(io.StringIO(to_tsv(ITEM, spoken(*HOSTILE))), "excel-tab", quoting=csv.QUOTE_NONE)
    )
    assert rows[0] == ["start", "end", "text"]
    assert [int(start) for start, _, _ in rows[1:]] == [2000 * n for n in range(len(HOSTILE))]


def test_json_can_be_read_as_whispers():
    words = (Word(0.0, 1.0, " Hello", 0.9),)
    said = transcript(
        Segment(0.0, 2.0, " Hello", -0.25, 0.01, 1.1, 0.0, words),
        Segment(2.0, 3.0, " <b>", float("nan"), None, float("inf"), 0.2, (), ("retried",)),
    )
    file = to_json(replace(ITEM, title="half \ud83d"), said)
    result = json.loads(file, parse_constant=pytest.fail)
    assert result["segments"] == [
        {
            "id": 0,
            "start": 0.0,
            "end": 2.0,
            "text": " Hello",
            "temperature": 0.0,
            "avg_logprob": -0.25,
            "compression_ratio": 1.1,
            "no_speech_prob": 0.01,
            "words": [{"word": " Hello", "start": 0.0, "end": 1.0, "probability": 0.9}],
        },
        {
            "id": 1,
            "start": 2.0,
            "end": 3.0,
            "text": " <b>",
            "temperature": 0.2,
            "avg_logprob": None,
            "compression_ratio": None,
            "no_speech_prob": None,
            "words": [],
            "flags": ["retried"],
        },
    ]
    assert result["homescribe"]["key"] == "youtube:jNQXAC9IVRw"
    assert result["homescribe"]["title"].encode() == b"half ?"
    assert [event.text for event in pysubs2.load_from_whisper(result)] == ["Hello", "<b>"]


def test_no_format_contains_the_token_of_a_private_feed():
    item = replace(ITEM, media_url="https://example.org/7.mp3?token-hash=secret")
    for name in plugins.names("exporters"):
        assert "secret" not in plugins.load("exporters", name)(item, spoken("hello")), name
