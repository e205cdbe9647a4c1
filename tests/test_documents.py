"""Documents for office programs: docx is read by python-docx, csv by Python and as a spreadsheet does."""

import csv
import io
import re
from dataclasses import replace
from unicodedata import category

import docx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from homescribe.cli.export_writer import STDOUT, ExportWriter, Target
from homescribe.core import Chapter, Item, Segment, Speaker, SubtitleOptions
from homescribe.errors import UserError
from homescribe.formats.spreadsheet import to_csv
from homescribe.formats.word_document import to_docx
from homescribe.library import Library
from homescribe.text.sanitize import file_safe_line
from transcripts import HOSTILE, ITEM, spoken, transcript

TALK = replace(
    transcript(
        Segment(0, 2, " Hello and welcome.", speaker="SPEAKER_00"),
        Segment(2, 4, " Who are you?", speaker="SPEAKER_00", flags=("low_probability",)),
        Segment(3723, 3725.5, " I am Bob.", speaker="SPEAKER_01"),
    ),
    speakers=(Speaker("SPEAKER_00", name="Ann"), Speaker("SPEAKER_01", name="Bob")),
)


def read(content):
    """Return the document, and (style, text, addresses) of each paragraph."""
    document = docx.Document(io.BytesIO(content))
    return document, [
        (paragraph.style.name, paragraph.text, [link.url for link in paragraph.hyperlinks])
        for paragraph in document.paragraphs
    ]


def test_a_document_has_facts_chapters_speakers_and_links():
    item = replace(ITEM, chapters=(Chapter(0, 60, "Hello"), Chapter(3600, 4000, "Bob & Ann")))
    document, found = read(to_docx(item, TALK))
    assert document.core_properties.title == "Me at the zoo"
    url = "https://www.youtube.com/watch?v=jNQXAC9IVRw"
    assert found == [
        ("Title", "Me at the zoo", []),
        ("Facts", f"Recording: {url}", [url]),
        ("Facts", "Channel: jawed", []),
        ("Facts", "Date: 2005-04-24", []),
        ("Facts", "Duration: 1:02:05", []),
        ("Facts", "Language: en", []),
        ("Facts", "Transcript: openai-whisper, tiny.en", []),
        ("Heading 1", "0:00 Hello", [f"{url}&t=0s"]),
        ("Normal", "0:00 Ann: Hello and welcome. Who are you?", [f"{url}&t=0s"]),
        ("Heading 1", "1:00:00 Bob & Ann", [f"{url}&t=3600s"]),
        ("Normal", "1:02:03 Bob: I am Bob.", [f"{url}&t=3723s"]),
    ]
    runs = document.paragraphs[8].runs
    assert [run.text for run in runs if run.bold] == ["Ann: "]
    assert [run.text for run in runs if run.style.name == "Doubt"] == ["Who are you?"]


def test_a_document_without_speech_says_so():
    _, found = read(to_docx(ITEM, spoken(" ")))
    assert found[-1] == ("Normal", "No speech was found.", [])


def test_the_same_transcript_gives_the_same_bytes():
    assert to_docx(ITEM, TALK) == to_docx(ITEM, TALK)


def test_arabic_is_written_from_right_to_left():
    said = replace(spoken(" مرحبا"), language="ar")
    document, _ = read(to_docx(ITEM, said))
    assert "w:bidi" in document.paragraphs[-1]._p.xml
    document, _ = read(to_docx(ITEM, spoken(" hello")))
    assert "w:bidi" not in document.paragraphs[-1]._p.xml


@given(st.text(max_size=60), st.text(max_size=60))
@example("\ufffe\uffff</w:t>", "javascript:alert(1)")
@example('https://x.example/"><w:p/>', "\ud83d")
def test_no_text_breaks_a_document(title, text):
    item = Item("site", "a", f"https://x.example/{title}", title, channel=text)
    _, found = read(to_docx(item, spoken(text)))
    allowed = file_safe_line(re.sub("[\ufffe\uffff]", "", title)) or "a"
    assert " ".join(found[0][1].split()) == " ".join(allowed.split())
    assert {style for style, _, _ in found} <= {"Title", "Facts", "Normal"}


def test_no_hostile_text_breaks_a_document():
    _, found = read(to_docx(ITEM, spoken(*HOSTILE)))
    assert "<b>bold</b> <script>alert(1)</script> &lt; &amp;" in found[-1][1]
    assert all(url.startswith("https://") for _, _, urls in found for url in urls)


def test_csv_has_times_that_spreadsheets_read_and_links():
    content = to_csv(ITEM, TALK)
    assert content.startswith("\ufeff")
    rows = list(csv.DictReader(io.StringIO(content.removeprefix("\ufeff"))))
    assert rows[2] == {
        "start": "1:02:03",
        "end": "1:02:05",
        "speaker": "Bob",
        "text": "I am Bob.",
        "link": "https://www.youtube.com/watch?v=jNQXAC9IVRw&t=3723s",
    }
    assert "speaker" not in to_csv(ITEM, spoken("Hello.")).splitlines()[0]


@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
@example(["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)", "a,b", 'say "x"', "one\ntwo", "＝1"])
@example(["\u200b=1", "\ufeff+1", " \u2060\u00ad@1", "\u200ba=1"])
def test_no_cell_is_a_formula_and_rows_stay_whole(texts):
    said = spoken(*texts)
    rows = list(csv.reader(io.StringIO(to_csv(ITEM, said).removeprefix("\ufeff"))))
    assert len(rows) == 1 + sum(bool(file_safe_line(text)) for text in texts)
    for row in rows:
        assert len(row) == 4
        for cell in row:
            seen = [one for one in cell if not one.isspace() and category(one) not in ("Cc", "Cf")]
            assert not seen or seen[0] not in "=+-@＝＋＠"


def test_a_document_is_piped_but_not_printed_to_a_terminal(tmp_path, capsysbinary, monkeypatch):
    def document_writer():
        return ExportWriter(["docx"], Target(STDOUT), SubtitleOptions(), default=STDOUT)

    writer = document_writer()
    with Library(tmp_path) as library:
        writer.write(library, ITEM, TALK)
        assert read(capsysbinary.readouterr().out)[1][0][1] == "Me at the zoo"
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        with pytest.raises(UserError, match="not text"):
            document_writer()
