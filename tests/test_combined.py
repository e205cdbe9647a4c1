"""Many transcripts in one file: complete, in order, in parts of bounded size."""

import json
import os
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homescribe.cli.main import run as run_command
from homescribe.core import Chapter, Segment, Speaker
from homescribe.formats import writer
from homescribe.formats.combined import INTRODUCTION, one_file, parts
from homescribe.formats.json_lines import to_jsonl
from homescribe.formats.markdown import to_md
from homescribe.library import Library
from transcripts import HOSTILE, ITEM, spoken, transcript


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library with three recordings of two channels, one of them without speech."""
    for name in list(os.environ):
        if name.startswith("HOMESCRIBE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOMESCRIBE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("HOMESCRIBE_LIBRARY", str(tmp_path / "library"))
    monkeypatch.chdir(tmp_path)
    with Library(tmp_path / "library") as opened:
        opened.save(replace(ITEM, id="new", upload_date="2026-01-02"), spoken(" The newer one."))
        opened.save(replace(ITEM, id="old", upload_date="2026-01-01"), spoken(" The older one."))
        opened.save(replace(ITEM, id="mute"), replace(transcript(), duration=5.0))
        opened.save(replace(ITEM, id="x", channel="Other"), spoken(" Elsewhere."))
        yield opened


def export(capsys, *arguments):
    code = run_command(["export", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_channel_in_one_file_the_oldest_first(library, tmp_path, capsys):
    code, _, err = export(capsys, "--channel", "jawed", "--combine", "-f", "md", "-o", "out")
    assert code == 0, err
    assert "1 recording without speech left out." in err
    (path,) = (tmp_path / "out").iterdir()
    assert path.name == "jawed.md"
    text = path.read_text()
    assert text.startswith(f"{INTRODUCTION}\n\n# Me at the zoo\n")
    assert text.index("older") < text.index("newer")
    assert "Elsewhere" not in text
    assert "&t=0s" in text


def test_several_channels_and_dates(library, tmp_path, capsys):
    export(capsys, "--combine", "-f", "jsonl", "-o", "out", "--since", "2026-01-01")
    lines = (tmp_path / "out" / "jawed.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == ["The older one.", "The newer one."]
    export(capsys, "--combine", "-f", "jsonl", "-o", "out")
    assert len((tmp_path / "out" / "transcripts.jsonl").read_text().splitlines()) == 3


def test_on_standard_output_there_is_one_part(library, capsys):
    code, out, _ = export(capsys, "--combine", "-f", "md", "-o", "-", "--part-words", "1")
    assert code == 0
    assert out.count(INTRODUCTION) == 1
    assert out.count("# Me at the zoo") == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-f", "srt"], "combined as md or jsonl, not as srt"),
        (["-f", "md,jsonl"], "combined as md or jsonl"),
        (["-f", "md", "--beside"], "exclude each other"),
        (["-f", "md", "--output-template", "%(title)s"], "exclude each other"),
        (["-f", "md", "youtube:old", "--channel", "jawed"], "exclude each other"),
        (["-f", "md", "--since", "yesterday"], "is not a date"),
    ],
)
def test_options_that_do_not_go_together(library, capsys, options, message):
    code, _, err = export(capsys, "--combine", *options)
    assert (code, message in err) == (2, True), err


def test_a_size_of_parts_needs_parts(library, capsys):
    code, _, err = export(capsys, "-f", "md", "--part-words", "10")
    assert (code, "no effect without --combine" in err) == (2, True)


def test_filters_without_combine(library, tmp_path, capsys):
    export(capsys, "-f", "txt", "-o", "out", "--channel", "Other")
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["Elsewhere.\n"]


WORDS = st.integers(1, 40)


@given(st.lists(st.lists(WORDS, min_size=1, max_size=6), min_size=1, max_size=6), WORDS)
def test_parts_are_bounded_and_lose_nothing(recordings, limit):
    numbered = iter(range(10_000))
    said = [
        (
            replace(ITEM, id=str(number), title=f"Title {number}"),
            transcript(
                *(  # a pause after each segment, so that each is a paragraph
                    Segment(
                        10.0 * n,
                        10.0 * n + 1,
                        "".join(f" w{next(numbered)}" for _ in range(words)),
                    )
                    for n, words in enumerate(paragraphs)
                )
            ),
        )
        for number, paragraphs in enumerate(recordings)
    ]
    found = list(parts(said, "md", limit))
    words = [re.findall(r"\bw\d+", part) for part in found]
    total = sum(map(sum, recordings))
    assert [word for part in words for word in part] == [f"w{n}" for n in range(total)]
    longest = max(map(max, recordings))
    for part, text in zip(words, found, strict=True):
        assert len(part) <= max(limit, longest)
        assert text.startswith(f"{INTRODUCTION}\n\n# Title ")
    continued = sum(text.count("(continued)") for text in found)
    assert continued <= len(found) - 1
    # The time before each paragraph is a word, too, and no part could have had the next paragraph.
    sizes = [2 * text.count("&t=") + len(part) for text, part in zip(found, words, strict=True)]
    assert len(found) == 1 or sizes[0] + max(map(max, recordings)) + 1 > limit
    lines = list(parts(said, "jsonl", limit))
    assert sum(part.count("\n") for part in lines) == sum(map(len, recordings))


def test_a_recording_longer_than_a_part_is_continued(library, tmp_path, capsys):
    segments = (Segment(10.0 * n, 10.0 * n + 1, f" paragraph number {n}") for n in range(4))
    library.save(replace(ITEM, id="long", channel="Long"), transcript(*segments))
    options = ("--channel", "Long", "--combine", "-f", "md", "-o", "out", "--part-words", "10")
    _, _, err = export(capsys, *options)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["Long (1 of 2).md", "Long (2 of 2).md"]
    assert err.count("written: ") == 2
    second = (tmp_path / "out" / names[1]).read_text()
    assert "# Me at the zoo (continued)\n\n- Recording: " in second


def test_a_part_that_cannot_be_written_leaves_nothing(tmp_path):
    def failing():
        yield "one"
        raise OSError(28, "No space left on device")

    with pytest.raises(Exception, match="No space is left"):
        writer.write_parts(tmp_path, "name", "md", failing())
    assert list(tmp_path.iterdir()) == []


def test_jsonl_has_all_that_a_quotation_needs():
    item = replace(ITEM, chapters=(Chapter(0, 60, "First"),))
    said = replace(
        transcript(
            Segment(1, 2, " Hello.", speaker="SPEAKER_00"), Segment(62, 63, " Yes.", language="de")
        ),
        speakers=(Speaker("SPEAKER_00", name="Ann"),),
    )
    first, second = map(json.loads, to_jsonl(item, said).splitlines())
    assert first == {
        "key": "youtube:jNQXAC9IVRw",
        "title": "Me at the zoo",
        "channel": "jawed",
        "upload_date": "2005-04-24",
        "chapter": "First",
        "start": 1,
        "end": 2,
        "url": "https://www.youtube.com/watch?v=jNQXAC9IVRw&t=1s",
        "speaker": "Ann",
        "language": "en",
        "captions": None,
        "text": "Hello.",
    }
    assert (second["speaker"], second["language"]) == ("Unknown", "de")


def test_hostile_text_stays_on_its_line():
    said = spoken(*HOSTILE)
    lines = to_jsonl(replace(ITEM, title="a\nb\ud83d"), said).split("\n")
    assert all(json.loads(line)["title"] == "a b\ufffd" for line in lines if line)
    assert to_md(ITEM, said) in "".join(one_file([(ITEM, said)], "md"))
