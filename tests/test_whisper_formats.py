"""txt, tsv, json and subtitles are byte for byte the files of openai-whisper."""

import csv
import html
import io
import json
import re
import zipfile
from dataclasses import replace
from functools import partial

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisper.utils import get_writer

from homescribe import plugins
from homescribe.core import Segment, SubtitleOptions, Word
from homescribe.formats.subtitles import to_srt, to_vtt
from homescribe.formats.whisper import to_json, to_tsv, to_txt
from homescribe.formats.writer import write
from transcripts import HOSTILE, ITEM, from_whisper, spoken, transcript

# With any of its options, subtitles are Whisper's. This one does not limit the width.
AS_WHISPER = SubtitleOptions(max_line_width=1000)
EXPORTERS = {
    "txt": to_txt,
    "srt": partial(to_srt, options=AS_WHISPER),
    "vtt": partial(to_vtt, options=AS_WHISPER),
    "tsv": to_tsv,
    "json": to_json,
}


def whisper_output(result, extension, **options):
    """Return what openai-whisper itself writes; vtt with its text escaped, which Whisper forgets."""
    file = io.StringIO()
    get_writer(extension, ".").write_result(result, file, **options)
    if extension != "vtt":
        return file.getvalue()
    found = escaped(file.getvalue())
    return re.sub("&lt;(/?u)&gt;", r"<\1>", found) if options.get("highlight_words") else found


def escaped(vtt):
    times = re.compile(r"[\d:.]+ --> [\d:.]+")
    return "\n".join(
        line if times.fullmatch(line) else html.escape(line, quote=False)
        for line in vtt.split("\n")
    )


@pytest.mark.parametrize("extension", ["txt", "srt", "vtt", "tsv"])
def test_real_speech_is_written_as_whisper_writes_it(extension, whisper_results, tmp_path):
    assert len(whisper_results) == 4
    for result in whisper_results:
        get_writer(extension, str(tmp_path))(result, "theirs.mp3")
        expected = (tmp_path / f"theirs.{extension}").read_bytes()
        exporters = {extension: EXPORTERS[extension]}
        (path,) = write(tmp_path, ITEM, from_whisper(result), exporters)
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


NUMBERS = st.floats(-10, 10)
# Text that can be on one line of a file; other text is tested by reading it back (test_subtitles.py).
MARKUP = st.sampled_from("<&>-{\\an8}\t \u2028\u00a0|\"'")
LINES = st.text(MARKUP | st.characters(exclude_categories=["Cc", "Cs"])).filter(
    lambda text: "--->" not in text and text.strip()
)
WORDS = LINES.filter(lambda text: "-->" not in text)


@st.composite
def results(draw, words=WORDS):
    """Result objects of whisper.transcribe, with times in order: all segments have words, or none."""
    with_words = draw(st.booleans())
    segments = []
    now = draw(st.integers(0, 4000)) * 100_000  # milliseconds

    def later():
        nonlocal now
        now += draw(st.integers(1, 5000))
        return now / 1000

    for number in range(draw(st.integers(0, 4))):
        segment = {
            "id": number,
            "start": later(),
            "end": None,
            "text": draw(LINES),
            "temperature": draw(NUMBERS),
            "avg_logprob": draw(NUMBERS),
            "compression_ratio": draw(NUMBERS),
            "no_speech_prob": draw(NUMBERS),
        }
        if with_words:
            segment["words"] = [
                {"word": text, "start": later(), "end": later(), "probability": 0.5}
                for text in draw(st.lists(words, min_size=1, max_size=12))
            ]
        segment["end"] = later()
        segments.append(segment)
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
    def segment(begin):
        words = [
            {"word": " " + "a" * letters, "start": n, "end": n + 1, "probability": 1.0}
            for n in range(begin, begin + count)
        ]
        return {
            "start": begin,
            "end": begin + count,
            "text": "".join(word["word"] for word in words),
            "avg_logprob": -0.1,
            "no_speech_prob": 0.1,
            "compression_ratio": 1.1,
            "temperature": 0.0,
            "words": words,
        }

    result = {"segments": [segment(0), segment(count)], "language": "en"}
    for extension in ("srt", "vtt"):
        assert EXPORTERS[extension](ITEM, from_whisper(result)) == whisper_output(result, extension)


OPTIONS = [
    {"max_line_width": 42},
    {"max_line_width": 20, "max_line_count": 2},
    {"max_line_width": 32, "max_line_count": 1, "highlight_words": True},
    {"max_words_per_line": 3},
    {"max_words_per_line": 1, "highlight_words": True},
    {"max_line_width": 30, "max_words_per_line": 4},
    {"max_line_width": 30, "max_line_count": 3, "max_words_per_line": 2},
]
# No line is only a number: those are joined to the line before.
PLAIN_WORDS = st.from_regex(r" [a-z<&'.]{1,12}|[a-z]{1,3}[.,]?", fullmatch=True)


@given(results(PLAIN_WORDS), st.sampled_from(OPTIONS))
def test_whispers_options_give_whispers_cues(result, options):
    if any("words" not in segment for segment in result["segments"]):
        return  # Whisper ignores the options
    for extension, exporter in (("srt", to_srt), ("vtt", to_vtt)):
        found = exporter(ITEM, from_whisper(result), SubtitleOptions(**options))
        assert found == whisper_output(result, extension, **options)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_real_speech_with_whispers_options_gives_whispers_cues(options, whisper_results):
    (result,) = (r for r in whisper_results if r["segments"][0].get("words"))
    for extension, exporter in (("srt", to_srt), ("vtt", to_vtt)):
        found = exporter(ITEM, from_whisper(result), SubtitleOptions(**options))
        assert found == whisper_output(result, extension, **options)


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
        made = plugins.load("exporters", name)(item, spoken("hello"))
        if isinstance(made, bytes):
            archive = zipfile.ZipFile(io.BytesIO(made))
            made = "".join(archive.read(each).decode() for each in archive.namelist())
        assert "secret" not in made, name
