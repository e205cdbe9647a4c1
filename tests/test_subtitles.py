"""Other programs read back the text and times of our subtitles, whatever the text contains."""

import re
import unicodedata

import pysubs2
import pytest
import srt
import webvtt

from homescribe.core import Segment, Word
from homescribe.formats.subtitles import to_srt, to_vtt
from transcripts import HOSTILE, ITEM, spoken, transcript

# pysubs2 takes any line with two times for the beginning of a cue, in Whisper's files too.
HOLDS_TWO_TIMES = re.compile(r"(\d{1,2}:\d{1,2}:\d{1,2}[.,]\d.*){2}")


def kept(text):
    """Return what a cue can hold of `text`: its lines without empty ones and without control characters."""
    text = re.sub(r"\r\n|\r", "\n", text.strip())
    text = "".join(
        " " if c in "\v\f\x85" else "\ufffd" if unicodedata.category(c) == "Cs" else c
        for c in text
        if c in "\t\n\v\f\x85" or unicodedata.category(c) != "Cc"
    )
    text = re.sub("--+>", "->", text)
    text = "\n".join(line for line in text.split("\n") if line.strip())
    return re.sub(r"\n(?=\s*-?\d)", " ", text)


def read_vtt(file):
    # `raw_text` is as in the file; `text` is without what looks like a tag.
    captions = webvtt.from_string(file, strict=True)
    return [
        (round(1000 * cue.start_in_seconds) + cue.start_time.milliseconds, cue.raw_text)
        for cue in captions
    ]


def read_srt(file):
    return [(round(cue.start.total_seconds() * 1000), cue.content) for cue in srt.parse(file)]


def read_pysubs2(file):
    events = pysubs2.SSAFile.from_string(file, keep_html_tags=True)
    return [(event.start, event.text.replace("\\N", "\n")) for event in events]


READERS = [(to_vtt, read_vtt), (to_srt, read_srt), (to_vtt, read_pysubs2), (to_srt, read_pysubs2)]


@pytest.mark.parametrize(("exporter", "read"), READERS)
def test_hostile_text_is_read_back(exporter, read):
    # Each between two others: text that breaks out of its cue would change the next one.
    for text in HOSTILE:
        if read is read_pysubs2 and HOLDS_TWO_TIMES.search(text):
            continue
        found = read(exporter(ITEM, spoken("before", text, "after")))
        assert found == [(0, "before"), (2000, kept(text)), (4000, "after")], repr(text)


@pytest.mark.parametrize(("exporter", "read"), READERS)
def test_hostile_words_are_read_back(exporter, read):
    for text in HOSTILE:
        if read is read_pysubs2 and HOLDS_TWO_TIMES.search(text):
            continue
        said = (
            Segment(n, n + 1, word, words=(Word(n, n + 1, word, 1.0),))
            for n, word in enumerate(["a", text, "b"])
        )
        found = read(exporter(ITEM, transcript(*said)))
        assert found == [(0, "a"), (1000, kept(text)), (2000, "b")], repr(text)


@pytest.mark.parametrize(("exporter", "read"), READERS)
def test_times_are_read_back(exporter, read):
    starts = [0.0, 0.0005, 59.9994, 59.9996, 3599.9999, 3600.0, 35_999.5, 100 * 3600 - 2]
    said = transcript(*(Segment(start, start + 1, f"at {start}") for start in starts))
    found = [milliseconds for milliseconds, _ in read(exporter(ITEM, said))]
    assert found == [round(start * 1000.0) for start in starts]


def test_a_segment_without_words_is_still_shown():
    """Whisper's writer would drop it, because another segment has words."""
    said = transcript(
        Segment(0, 1, " corrected by hand"),
        Segment(1, 2, " hello", words=(Word(1.1, 1.9, " hello", 0.9),)),
        Segment(2, 3, ""),
    )
    assert read_srt(to_srt(ITEM, said)) == [(0, "corrected by hand"), (1100, "hello")]
