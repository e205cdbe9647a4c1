"""The excerpts in docs/guides/exports.md are what the exporters write."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from homescribe import demo, plugins
from homescribe.audio import decode
from homescribe.core import Chapter, Item, Segment, Speaker, TranscriptionOptions, Turn
from homescribe.formats.json_lines import to_jsonl
from homescribe.formats.markdown import to_md
from homescribe.formats.rttm import to_rttm
from homescribe.formats.spreadsheet import to_csv
from homescribe.formats.whisper import to_json, to_txt
from transcripts import ITEM, from_whisper, transcript

GUIDE = Path(__file__).parent.parent / "docs" / "guides" / "exports.md"


def excerpts(language):
    """Code blocks of `language` in the guide."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def fox(whisper_results):
    """Item and transcript of the sample that the guide shows."""
    item = Item(
        "file",
        "3b544691d80a34fd",
        "/home/me/talks/fox-20s.mp3",
        "fox-20s",
        channel="talks",
        upload_date="2026-03-01",
    )
    (result, _) = (r for r in whisper_results if "quick" in r["segments"][0]["text"])
    length = len(decode(demo.samples() / "fox-20s.mp3")) / 16_000
    return item, replace(
        from_whisper(result), model="demo", duration=length, options=TranscriptionOptions()
    )


@pytest.mark.parametrize("extension", ["txt", "srt", "vtt", "tsv", "lrc"])
def test_excerpts_of_text_formats(extension, fox):
    shown = excerpts(extension)[0]
    assert len(shown) > 80
    assert plugins.load("exporters", extension)(*fox).startswith(shown)


def test_excerpt_of_csv(fox):
    (shown,) = excerpts("csv")
    assert to_csv(*fox).removeprefix("\ufeff").startswith(shown)


def test_excerpts_with_speakers():
    ann, bob = Speaker("SPEAKER_00", name="Ann"), Speaker("SPEAKER_01", name="Bob")
    said = replace(
        transcript(
            Segment(0.4, 1.5, " Welcome back.", speaker=ann.label),
            Segment(2, 5, " Today we talk about trains.", speaker=ann.label),
            Segment(5.2, 6.4, " Thank you, Ann.", speaker=bob.label),
        ),
        speakers=(ann, bob),
        turns=(Turn(0.32, 5.2, ann.label), Turn(5.1, 6.5, bob.label)),
    )
    item = Item("file", "3b544691d80a34fd", "/home/me/interview.mp3", "interview")
    assert to_txt(item, said) == excerpts("txt")[1]
    assert to_rttm(item, said) == excerpts("rttm")[0]


def test_excerpts_of_markdown(fox):
    page, doubtful = excerpts("markdown")
    assert to_md(*fox).startswith(page.rstrip("\n"))
    segment = Segment(62, 64, " They have really long trunks.", flags=("low_probability",))
    item = replace(ITEM, chapters=(Chapter(60, 90, "The elephants"),))
    assert to_md(item, transcript(segment)).endswith(doubtful)


def test_excerpts_of_json(fox):
    def rounded(value):
        if isinstance(value, dict):
            return {key: rounded(inside) for key, inside in value.items()}
        return round(value, 2) if isinstance(value, float) else value

    shown, paragraph = (json.loads(text) for text in excerpts("json"))
    found = json.loads(to_json(*fox))
    assert found["text"].startswith(shown["text"].removesuffix(" ..."))
    assert list(found) == list(shown)
    (segment,) = shown["segments"]
    assert list(rounded(found["segments"][0]).items()) == list(segment.items())
    assert list(rounded(found["homescribe"]).items()) == list(shown["homescribe"].items())
    (line, *_) = to_jsonl(*fox).splitlines()
    line = rounded(json.loads(line))
    text = paragraph.pop("text").removesuffix(" ...")
    assert line.pop("text").startswith(text)
    assert list(line) == list(paragraph)
    assert {**line, "end": 0} == {**paragraph, "end": 0}
