"""What leaves the library: the bytes other tools expect, read back by their readers, under safe names."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import unicodedata
import warnings
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pysubs2
import pytest
import srt
import webvtt
from hypothesis import assume, example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from whisper.utils import get_writer

from homescribe import demo, link, plugins
from homescribe.audio import decode
from homescribe.core import Chapter, Item, Segment, Transcript, Word
from homescribe.errors import UserError
from homescribe.formats.filenames import NAME_BYTES, file_name
from homescribe.formats.lrc import to_lrc
from homescribe.formats.markdown import to_md
from homescribe.formats.subtitles import to_srt, to_vtt
from homescribe.formats.whisper import to_json, to_tsv, to_txt
from homescribe.formats.writer import prepare, write

WHISPERS = {"txt": to_txt, "srt": to_srt, "vtt": to_vtt, "tsv": to_tsv, "json": to_json}

ITEM = Item(
    "youtube",
    "jNQXAC9IVRw",
    "https://www.youtube.com/watch?v=jNQXAC9IVRw",
    "Me at the zoo",
    channel="jawed",
    upload_date="2005-04-24",
)


def transcript(*segments, duration=None):
    end = segments[-1].end if segments else 0.0
    return Transcript("openai-whisper", "tiny.en", "en", duration or end, segments)


def spoken(*texts):
    """A transcript in which each text takes two seconds."""
    return transcript(*(Segment(2.0 * n, 2.0 * n + 2, text) for n, text in enumerate(texts)))


# --- openai-whisper as the oracle ----------------------------------------------------------------


def ours(result):
    """Whisper's result object as our values."""
    segments = tuple(
        Segment(
            s["start"],
            s["end"],
            s["text"],
            s["avg_logprob"],
            s["no_speech_prob"],
            s["compression_ratio"],
            s["temperature"],
            tuple(
                Word(w["start"], w["end"], w["word"], w["probability"]) for w in s.get("words", ())
            ),
        )
        for s in result["segments"]
    )
    return Transcript("openai-whisper", "demo", result["language"], 60.0, segments)


def whispers(result, extension):
    """What openai-whisper itself writes."""
    file = io.StringIO()
    get_writer(extension, ".").write_result(result, file)
    return file.getvalue()


@pytest.fixture(scope="module")
def heard():
    """Result objects of openai-whisper for the bundled samples, of the shortest with words too."""
    import torch
    import whisper

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more only wait for each other on a model this small
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # its tokenizer leaves a file open
        model = whisper.load_model(str(demo.model("openai-whisper")), device="cpu")
        results = [
            model.transcribe(decode(path), fp16=False, language="en", word_timestamps=with_words)
            for path in sorted(demo.samples().glob("*.[mw][pe4]*"))
            for with_words in ((False, True) if "fox" in path.name else (False,))
        ]
    torch.set_num_threads(threads)
    return results


@pytest.mark.parametrize("extension", ["txt", "srt", "vtt", "tsv"])
def test_real_speech_gives_whispers_own_bytes(extension, heard, tmp_path):
    assert len(heard) == 4
    for result in heard:
        get_writer(extension, str(tmp_path))(result, "theirs.mp3")
        expected = (tmp_path / f"theirs.{extension}").read_bytes()
        (path,) = write(tmp_path, ITEM, ours(result), {extension: WHISPERS[extension]})
        assert path.read_bytes() == expected
        assert len(expected) > 200


def test_real_speech_gives_whispers_own_json(heard):
    for result in heard:
        found = to_json(ITEM, ours(result))
        for segment in result["segments"]:
            del segment["seek"], segment["tokens"]
        expected = whispers(result, "json")
        # The same text up to the brace that ends it: there stands what we know besides.
        assert found.startswith(expected.removesuffix("}") + ', "homescribe": {')


TIMES = st.floats(0, 400_000)
FIGURES = st.floats(-10, 10)
# What one line of a text file can hold; the rest is tested by reading it back.
MARKUP = st.sampled_from("<&>-{\\an8}\t \u2028\u00a0|\"'")
LINES = st.text(MARKUP | st.characters(exclude_categories=["Cc", "Cs"])).filter(
    lambda text: "--->" not in text
)
WORDS = LINES.filter(lambda text: "-->" not in text)


@st.composite
def results(draw):
    """Result objects as whisper.transcribe gives them: in a result with words only silence has none."""
    with_words = draw(st.booleans())
    segments = []
    for number in range(draw(st.integers(0, 4))):
        start, end = sorted([draw(TIMES), draw(TIMES)])
        segment = {
            "id": number,
            "start": start,
            "end": end,
            "text": draw(LINES),
            "temperature": draw(FIGURES),
            "avg_logprob": draw(FIGURES),
            "compression_ratio": draw(FIGURES),
            "no_speech_prob": draw(FIGURES),
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
    # With words in none of them, ours has no way to know that words were asked for.
    assume(not with_words or any(s["words"] for s in segments))
    return {"text": "".join(s["text"] for s in segments), "segments": segments, "language": "en"}


@given(results())
def test_any_segments_give_whispers_own_bytes(result):
    for extension in ("txt", "srt", "vtt", "tsv"):
        expected = whispers(result, extension)
        assert WHISPERS[extension](ITEM, ours(result)) == expected, extension
    found = to_json(ITEM, ours(result))
    assert found.startswith(whispers(result, "json").removesuffix("}") + ', "homescribe": {')


@pytest.mark.parametrize(("count", "letters"), [(200, 6), (1001, 3), (2500, 1), (1, 1500)])
def test_a_segment_longer_than_a_subtitle_is_cut_where_whisper_cuts_it(count, letters):
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
        assert WHISPERS[extension](ITEM, ours(result)) == whispers(result, extension)


def test_nothing_heard_is_whispers_empty_file():
    result = {"text": "", "segments": [], "language": "en"}
    for extension in ("txt", "srt", "vtt", "tsv"):
        assert WHISPERS[extension](ITEM, ours(result)) == whispers(result, extension)
    assert json.loads(to_json(ITEM, ours(result)))["segments"] == []


# --- Readers as oracles --------------------------------------------------------------------------

HOSTILE = [
    "a < b && c > d",
    "<b>bold</b> <script>alert(1)</script> &lt; &amp;",
    "first --> second",
    "00:01 --> 00:05",
    "a ---> b <!-- c -->",
    "{\\an8}above {\\pos(1,2)}",
    "one line\nand another",
    "one\n\ntwo\n\n\n  \nthree",
    "7\n\n8\n00:00:01,000 --> 00:00:02,000\nforged",
    "carriage\r\nreturn\ralone",
    "NOTE not a note",
    "STYLE",
    "WEBVTT",
    "42",
    "שלום עולם, مرحبا بالعالم",
    "\u202eright to left override\u202c",
    "今天天气很好。你好，世界！",
    "👩‍👩‍👧‍👦 and 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "nul\x00 bell\x07 escape\x1b[31m c1\x9b31m",
    "vertical\x0btab form\x0cfeed next\x85line",
    "half an emoji \ud83d",
    "u+2028\u2028separator\u2029paragraph",
    "tab\tin between",
    "\ufeffmark",
]


# pysubs2 takes any line with two times in it for the beginning of a cue, in Whisper's own files too.
HOLDS_TWO_TIMES = re.compile(r"(\d{1,2}:\d{1,2}:\d{1,2}[.,]\d.*){2}")


def kept(text):
    """What a subtitle can hold of `text`: its lines as they are, no empty ones, no control characters."""
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
    # `raw_text` is what stands in the file; `text` is without what looks like a tag.
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
def test_hostile_text_is_read_back_as_it_was_said(exporter, read):
    # Each between two others, so that what breaks out of its cue is seen in the next.
    for text in HOSTILE:
        if read is read_pysubs2 and HOLDS_TWO_TIMES.search(text):
            continue
        found = read(exporter(ITEM, spoken("before", text, "after")))
        assert found == [(0, "before"), (2000, kept(text)), (4000, "after")], repr(text)


@pytest.mark.parametrize(("exporter", "read"), READERS)
def test_hostile_words_are_read_back_as_they_were_said(exporter, read):
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


def test_a_segment_that_lost_its_words_still_shows():
    """Whisper's writer goes by the first segment's words and would drop this one."""
    said = transcript(
        Segment(0, 1, " corrected by hand"),
        Segment(1, 2, " hello", words=(Word(1.1, 1.9, " hello", 0.9),)),
        Segment(2, 3, ""),
    )
    assert read_srt(to_srt(ITEM, said)) == [(0, "corrected by hand"), (1100, "hello")]


def test_tsv_has_one_row_for_each_segment():
    rows = list(
        csv.reader(io.StringIO(to_tsv(ITEM, spoken(*HOSTILE))), "excel-tab", quoting=csv.QUOTE_NONE)
    )
    assert rows[0] == ["start", "end", "text"]
    assert [int(start) for start, _, _ in rows[1:]] == [2000 * n for n in range(len(HOSTILE))]


def test_json_is_what_tools_take_for_whispers():
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


def test_json_does_not_give_away_a_private_feed():
    secret = "https://example.org/7.mp3?token-hash=secret"
    said = spoken("hello")
    for exporter in (*WHISPERS.values(), to_lrc, to_md):
        assert "secret" not in exporter(replace(ITEM, media_url=secret), said)


# --- Lyrics --------------------------------------------------------------------------------------

LRC_TAG = re.compile(r"\[([a-z]+|\d+):([^\]]*)\]")


def test_lyrics():
    item = replace(ITEM, channel=None)
    said = transcript(
        Segment(0.004, 2, " Hello."),
        Segment(2, 3, " "),
        Segment(59.996, 62, " [Music]"),
        Segment(7384.125, 7386, " two hours later"),
    )
    assert to_lrc(item, said) == (
        "[ti:Me at the zoo]\n"
        "[length:123:06]\n"
        "[00:00.00]Hello.\n"
        "[01:00.00][Music]\n"
        "[123:04.12]two hours later\n"
    )


@given(st.lists(st.text(st.sampled_from("[]<>:10. artiof\n\r\x00\u2028é")), min_size=3))
@example(["x]\n[ar:forged", "[00:10.00]jump", "<00:01.00> word"])
@example(["a[", "b]", "[[00:10.00]]"])
def test_nothing_said_becomes_a_tag_of_a_player(texts):
    title, channel, *said = texts
    lines = to_lrc(replace(ITEM, title=title, channel=channel), spoken(*said)).splitlines()
    tags = [LRC_TAG.findall(line) for line in lines]
    assert all(len(found) == 1 for found in tags), lines
    headers = [name for name, value in (("ti", title), ("ar", channel)) if kept_line(value)]
    assert [name for ((name, _),) in tags if not name.isdigit()] == [*headers, "length"]
    assert sum(name.isdigit() for ((name, _),) in tags) == sum(bool(kept_line(t)) for t in said)
    assert not any(re.search(r"<\s*\d+\s*:", line) for line in lines)


def kept_line(text):
    return " ".join(text.replace("\x00", "").split())


# --- Markdown ------------------------------------------------------------------------------------


def blocks(markdown):
    """(tag, text, addresses) of each heading and paragraph as a reader of CommonMark and GFM sees it."""
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    reader.validateLink = lambda url: True  # else it would hide a dangerous one, and file: too
    tokens = reader.parse(markdown)
    assert not [t for t in tokens if t.type in ("html_block", "code_block", "fence", "table_open")]
    found = []
    for opening, inline in pairwise(tokens):
        if inline.type == "inline":
            kinds = {child.type for child in inline.children}
            assert kinds <= {"text", "text_special", "link_open", "link_close"}, inline.content
            text = "".join(child.content for child in inline.children)
            links = [child.attrs["href"] for child in inline.children if child.type == "link_open"]
            found.append((opening.tag, text, links))
    return found


def test_markdown_tells_the_facts_and_links_each_paragraph_to_its_second():
    item = replace(
        ITEM, language="en-US", chapters=(Chapter(0, 60, "Elephants"), Chapter(60, 90, "End"))
    )
    said = transcript(
        Segment(1.9, 4, " All right, so here we are."),
        Segment(4, 7, " One of the elephants."),
        Segment(20, 22, " After a pause."),
        Segment(59, 66, " The last chapter."),
    )  # fmt: skip
    url = "https://www.youtube.com/watch?v=jNQXAC9IVRw"
    assert to_md(item, said) == (
        "# Me at the zoo\n\n"
        f"- Recording: [{url}]({url})\n"
        "- Channel: jawed\n"
        "- Date: 2005-04-24\n"
        "- Duration: 1:06\n"
        "- Language: en\n"
        "- Transcript: openai-whisper, tiny.en\n\n"
        f"## [0:00]({url}&t=0s) Elephants\n\n"
        f"[0:01]({url}&t=1s) All right, so here we are. One of the elephants.\n\n"
        f"[0:20]({url}&t=20s) After a pause.\n\n"
        f"## [1:00]({url}&t=60s) End\n\n"
        f"[0:59]({url}&t=59s) The last chapter.\n"
    )


def test_markdown_of_a_file_opens_the_file():
    item = Item("file", "0a1b", "/home/me/My (best) talk.mp3", "My (best) talk")
    found = blocks(to_md(item, spoken("hello")))
    address = "file:///home/me/My%20%28best%29%20talk.mp3#t=0"
    assert found[1] == ("p", "Recording: /home/me/My (best) talk.mp3", [address])
    assert found[-1] == ("p", "0:00 hello", [address])


def test_markdown_marks_what_the_model_doubted():
    said = transcript(
        Segment(0, 1, " Sure."),
        Segment(61, 62, " Unsure!", flags=("low_probability", 'x](evil "')),
        Segment(62, 63, " Sure again."),
    )
    markdown = to_md(ITEM, said)
    mark = f'[(?)]({ITEM.url}&t=61s "low probability, x evil")'
    assert f" Unsure! {mark} Sure again." in markdown
    assert markdown.count("(?)") == 2  # the mark, and what it means
    assert "(?)" not in to_md(ITEM, spoken("Sure."))


def test_markdown_paragraphs_end_with_sentences():
    # A paragraph is long enough after the first of these, and its sentence ends with the third.
    lines = (" and so the words go on and on", " until at last there is", " a sentence end.")
    said = transcript(*(Segment(n, n + 1, lines[n % 3]) for n in range(90)))
    paragraphs = [text for tag, text, links in blocks(to_md(ITEM, said)) if text[:1].isdigit()]
    assert len(paragraphs) > 2
    assert all(paragraph.endswith("end.") for paragraph in paragraphs)
    assert all(500 < len(paragraph) < 600 for paragraph in paragraphs[:-1])
    endless = transcript(*(Segment(n, n + 1, " and then and then and then") for n in range(300)))
    paragraphs = [text for tag, text, links in blocks(to_md(ITEM, endless)) if text[:1].isdigit()]
    assert all(len(paragraph) < 1100 for paragraph in paragraphs)


def test_markdown_joins_segments_as_their_language_does():
    assert (
        "0:00 你好，世界！今天很好。"
        in blocks(to_md(ITEM, spoken("你好，世界！", "今天很好。")))[-1][1]
    )
    assert blocks(to_md(ITEM, spoken(" one", " two")))[-1][1] == "0:00 one two"


def test_markdown_gives_no_link_to_what_is_no_page():
    for url in ("javascript:alert(1)", "data:text/html,x", "vbscript:x", "//x", ""):
        item = replace(ITEM, source="podcast", url=url)
        assert [links for _, _, links in blocks(to_md(item, spoken("hello"))) if links] == []


@pytest.mark.parametrize(
    "url",
    [
        'https://example.org/a) "x" [b](https://evil.example/)',
        "https://example.org/?a=1&copy;=2&lt;",
        "https://example.org/<script>\\`*_",
        "https://example.org/\n\n# heading",
        "https://example.org/\ud83d",
    ],
)
def test_markdown_link_is_never_left(url):
    found = blocks(to_md(replace(ITEM, source="podcast", url=url), spoken("hello")))
    assert [tag for tag, _, _ in found] == ["h1", *["p"] * 7]
    addresses = [address for _, _, links in found for address in links]
    page, passage = (unquote(address) for address in addresses)
    assert page == url.replace("\ud83d", "?")
    assert passage == link(replace(ITEM, source="podcast", url=url), 0).replace("\ud83d", "?")


MARKED = st.text(
    st.one_of(st.sampled_from("\\`*_{}[]()#+-.!<>&;|~$^:/=\"'@% \n\t1a"), st.characters()), max_size=60
)  # fmt: skip


@given(MARKED, MARKED, MARKED, MARKED)
@example("# a #", "- b", "1. c", "---")
@example("<img src=x onerror=alert(1)>", "![x](https://evil.example/x.png)", "[a]: /b", "&lt;")
@example("```\nx\n```", "    code", "> quote", "| a | b |\n|---|---|\n| c | d |")
@example("https://evil.example", "<https://evil.example>", "a@b.example", "***a***")
def test_markdown_shows_any_text_as_it_is(title, channel, chapter, text):
    item = replace(ITEM, title=title, channel=channel, chapters=(Chapter(0, 2, chapter),))
    found = blocks(to_md(item, spoken(text)))
    assert found[0] == ("h1", seen(title) or ITEM.id, [])
    headings = [(text, len(links)) for tag, text, links in found if tag == "h2"]
    assert headings == [(f"0:00 {seen(chapter)}".strip(), 1)]
    if seen(channel):
        assert ("p", f"Channel: {seen(channel)}", []) in found
    if seen(text):
        assert found[-1][1] == f"0:00 {seen(text)}"
        assert len(found[-1][2]) == 1


def seen(text):
    """`text` as one line without what no file can hold."""
    text = "".join(
        "\ufffd" if unicodedata.category(c) == "Cs" else c
        for c in text.replace("\v", " ").replace("\f", " ").replace("\x85", " ")
        if c in "\t\n\r" or unicodedata.category(c) != "Cc"
    )
    return " ".join(text.split())


# --- The guide -----------------------------------------------------------------------------------

GUIDE = Path(__file__).parent.parent / "docs" / "guides" / "exports.md"


def excerpts(language):
    """What the guide shows in `language`."""
    return re.findall(rf"```{language}\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture(scope="module")
def fox(heard):
    """The item and transcript that the guide shows."""
    item = Item(
        "file",
        "3b544691d80a34fd",
        "/home/me/talks/fox-20s.mp3",
        "fox-20s",
        channel="talks",
        upload_date="2026-03-01",
    )
    (said, _) = (ours(result) for result in heard if "quick" in result["segments"][0]["text"])
    length = len(decode(demo.samples() / "fox-20s.mp3")) / 16_000
    return item, replace(said, model="demo", duration=length)


@pytest.mark.parametrize("extension", ["txt", "srt", "vtt", "tsv", "lrc"])
def test_the_guide_shows_what_is_written(extension, fox):
    (shown,) = excerpts(extension)
    assert len(shown) > 80
    assert plugins.load("exporters", extension)(*fox).startswith(shown)


def test_the_guide_shows_the_markdown_that_is_written(fox):
    page, passage = excerpts("markdown")
    assert to_md(*fox).startswith(page.rstrip("\n"))
    said = Segment(62, 64, " They have really long trunks.", flags=("low_probability",))
    item = replace(ITEM, chapters=(Chapter(60, 90, "The elephants"),))
    assert to_md(item, transcript(said)).endswith(passage)


def test_the_guide_shows_the_json_that_is_written(fox):
    def rounded(value):
        if isinstance(value, dict):
            return {key: rounded(inside) for key, inside in value.items()}
        return round(value, 2) if isinstance(value, float) else value

    (shown,) = (json.loads(text) for text in excerpts("json"))
    found = json.loads(to_json(*fox))
    assert found["text"].startswith(shown["text"].removesuffix(" ..."))
    assert list(found) == list(shown)
    (segment,) = shown["segments"]
    assert list(rounded(found["segments"][0]).items()) == list(segment.items())
    assert list(rounded(found["homescribe"]).items()) == list(shown["homescribe"].items())


# --- Names ---------------------------------------------------------------------------------------


def test_a_name_is_date_title_and_id():
    assert file_name(ITEM, "srt") == "2005-04-24 Me at the zoo [jNQXAC9IVRw].srt"
    assert file_name(replace(ITEM, upload_date=None), "md") == "Me at the zoo [jNQXAC9IVRw].md"
    assert file_name(replace(ITEM, title="", upload_date=None), "md") == "[jNQXAC9IVRw].md"
    local = replace(ITEM, source="file", id="3b544691d80a34fd")
    assert file_name(local, "txt") == "Me at the zoo [file 3b544691d80a34fd].txt"
    vimeo = replace(ITEM, source="vimeo", id="76979871")
    assert file_name(vimeo, "txt") == "2005-04-24 Me at the zoo [vimeo 76979871].txt"
    episode = replace(ITEM, source="podcast", id="https://Example.org/Episode?id=7")
    assert re.fullmatch(
        r"2005-04-24 Me at the zoo \[podcast https-example-or~[a-z2-7]{12}\]\.txt",
        file_name(episode, "txt"),
    )


@pytest.mark.parametrize(
    ("title", "readable"),
    [
        ('What is "AI"? | Part 1/2: <the> beginning*', "What is 'AI' - Part 1-2 - the beginning"),
        ("../../etc/passwd", "etc-passwd"),
        ("C:\\Windows\\System32", "C--Windows-System32"),
        ("con", "_con"),
        ("CON.txt", "_CON.txt"),
        ("nul .tar", "_nul .tar"),
        ("COM¹.x", "_COM¹.x"),
        (".hidden", "hidden"),
        ("-rf", "rf"),
        ("trailing dots...  ", "trailing dots..."),
        ("line\nbreak\ttab\x00nul\x1b[31m", "line break tabnul[31m"),
        ("gpj.\u202eexe", "gpj.exe"),
        ("Café", "Café"),
        ("e*\u0301 joined", "é joined"),
        ("नमस्ते 👩‍👩‍👧 می‌خواهم", "नमस्ते 👩‍👩‍👧 می‌خواهم"),
        ("half \ud83d", "half \ufffd"),
        ("。。。", "。。。"),
        ("???", ""),
    ],
)
def test_a_name_keeps_what_can_be_read_of_a_title(title, readable):
    name = file_name(replace(ITEM, title=title, upload_date=None), "txt")
    assert name == f"{readable} [jNQXAC9IVRw].txt".strip()


def test_a_long_title_is_cut_at_a_word():
    title = "Why the quick brown fox jumps over the lazy dog, and what it means " * 4
    name = file_name(replace(ITEM, title=title), "srt")
    assert name.endswith("… [jNQXAC9IVRw].srt")
    words = name.removesuffix("… [jNQXAC9IVRw].srt").split()[1:]
    assert words == title.split()[: len(words)]
    assert len(words) > 15


@pytest.mark.parametrize("unit", ["é", "字", "👩‍👩‍👧‍👦", "👍🏽", "e\u0323\u0302", "ह\u093f"])
def test_a_long_title_is_cut_between_characters(unit):
    name = file_name(replace(ITEM, title=unit * 100), "srt")
    title = name.removeprefix("2005-04-24 ").removesuffix("… [jNQXAC9IVRw].srt")
    assert not title.replace(unicodedata.normalize("NFC", unit), "")
    assert NAME_BYTES - len(unit.encode()) - 3 < len(name.encode()) <= NAME_BYTES


RESERVED = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789¹²³"
}
TITLES = st.one_of(
    st.text(),
    st.text(min_size=60),
    st.builds(
        lambda a, b: a + b,
        st.sampled_from(sorted(RESERVED)),
        st.text(st.sampled_from(" .-x:\u00a0")),
    ),
    st.text(st.sampled_from('.. /\\:*?"<>|\x00\x1fa\u0301\u202e~-')),
)
ITEMS = st.builds(
    Item,
    source=st.one_of(
        st.sampled_from(["youtube", "podcast", "file", "vimeo"]), st.text(max_size=40)
    ),
    id=st.one_of(st.from_regex(r"[A-Za-z0-9_-]{11}", fullmatch=True), st.text(max_size=60)),
    url=st.just("https://example.org/"),
    title=TITLES,
    upload_date=st.one_of(st.none(), st.just("2026-03-01"), st.text(max_size=12)),
)


@given(ITEMS)
def test_a_name_is_safe_on_every_system(item):
    name = file_name(item, "json")
    assert len(name.encode()) <= NAME_BYTES  # also that it can be encoded
    assert name == unicodedata.normalize("NFC", name)
    assert not re.search(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f]', name)
    assert not set(name) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\ufeff")
    assert name.split(".")[0].rstrip().upper() not in RESERVED
    assert name[0] not in ".-~ "
    assert name[-1] not in ". "
    assert name.endswith("].json")
    assert name == file_name(replace(item), "json")


@given(ITEMS, ITEMS)
@example(replace(ITEM, source="vimeo", id="abc"), replace(ITEM, source="vimeo", id="ABC"))
@example(replace(ITEM, source="vimeo", id="a b"), replace(ITEM, source="vimeo", id="a-b"))
@example(replace(ITEM, source="a", id="b c"), replace(ITEM, source="a b", id="c"))
@example(replace(ITEM, source="podcast", id="é"), replace(ITEM, source="podcast", id="e\u0301"))
@example(replace(ITEM, id="\ud800"), replace(ITEM, id="\ud801"))
@example(ITEM, replace(ITEM, source="vimeo"))
@example(replace(ITEM, id="vimeo 12345"), replace(ITEM, source="vimeo", id="12345"))
def test_no_two_items_share_a_name(one, other):
    other = replace(other, title=one.title, upload_date=one.upload_date)
    assume(one.key != other.key)
    # Two YouTube ids that differ in case alone: see file_name.
    assume(one.source != "youtube" or one.key.lower() != other.key.lower())
    names = {unicodedata.normalize("NFD", file_name(i, "txt")).casefold() for i in (one, other)}
    assert len(names) == 2


@pytest.mark.parametrize("extension", ["", "../x", "a/b", ".txt", "x" * 21, "tx t", "txt\n"])
def test_an_extension_is_no_path(extension):
    with pytest.raises(ValueError, match="not an extension"):
        file_name(ITEM, extension)


# --- Files ---------------------------------------------------------------------------------------


def test_every_format_is_written_whole(tmp_path):
    directory = tmp_path / "new" / "folder"
    exporters = {name: plugins.load("exporters", name) for name in plugins.names("exporters")}
    said = spoken(*HOSTILE)
    paths = write(directory, replace(ITEM, title="caf\ud83d é"), said, exporters)
    assert [path.suffix[1:] for path in paths] == ["txt", "srt", "vtt", "tsv", "json", "lrc", "md"]
    assert sorted(paths) == sorted(directory.iterdir())
    for path in paths:
        content = path.read_bytes()
        assert content.endswith(b"}" if path.suffix == ".json" else b"\n")
        content.decode()
        assert b"\r" not in content
        assert path.stat().st_mode & 0o777 == 0o666 & ~umask()


def umask():
    current = os.umask(0)
    os.umask(current)
    return current


def test_writing_again_replaces(tmp_path):
    (first,) = write(tmp_path, ITEM, spoken("a longer text than the second"), {"txt": to_txt})
    earlier = tmp_path / "earlier"
    earlier.hardlink_to(first)
    (second,) = write(tmp_path, ITEM, spoken("short"), {"txt": to_txt})
    assert first == second
    assert second.read_text() == "short\n"
    assert earlier.read_text() == "a longer text than the second\n"  # who reads it may finish
    assert sorted(tmp_path.iterdir()) == [second, earlier]


def one_line(error):
    """The message of a UserError, which is one line with a hint of one line."""
    assert error.type is UserError
    assert error.value.hint
    assert "\n" not in error.value.message + error.value.hint
    return error.value.message


def test_a_directory_that_is_a_file(tmp_path):
    occupied = tmp_path / "occupied"
    occupied.write_text("mine")
    for directory in (occupied, occupied / "below"):
        with pytest.raises(UserError) as error:
            write(directory, ITEM, spoken("a"), {"txt": to_txt})
        assert one_line(error) == f"{directory} is not a directory."
        with pytest.raises(UserError):
            prepare(directory)
    assert occupied.read_text() == "mine"


def test_a_directory_that_may_not_be_written_to():
    # Not even by the superuser.
    directory = Path("/sys" if sys.platform == "linux" else "/System")
    with pytest.raises(UserError) as error:
        prepare(directory)
    assert one_line(error) == f"{directory} cannot be written to."


def test_a_folder_stands_where_the_file_should(tmp_path):
    (tmp_path / file_name(ITEM, "txt")).mkdir()
    with pytest.raises(UserError) as error:
        write(tmp_path, ITEM, spoken("a"), {"txt": to_txt})
    assert one_line(error).startswith(f"Cannot write to {tmp_path}: ")
    assert len(list(tmp_path.iterdir())) == 1


CHILD = """
import resource, signal, sys
from pathlib import Path
from homescribe.core import Item, Segment, Transcript
from homescribe.errors import UserError
from homescribe.formats.whisper import to_txt
from homescribe.formats.writer import write

item = Item("youtube", "jNQXAC9IVRw", "https://youtu.be/jNQXAC9IVRw", "Me at the zoo")
said = Transcript("e", "m", "en", 1.0, (Segment(0.0, 1.0, "x" * 100_000),))
# No file may grow past 50 kB: the system refuses in the middle of the write, or kills.
signal.signal(signal.SIGXFSZ, getattr(signal, sys.argv[2]))
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write(Path(sys.argv[1]), item, said, {"tsv": lambda item, said: "small", "txt": to_txt})
except UserError as error:
    print(error)
"""


def written_by_a_child(directory, on_limit):
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(directory), on_limit],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_system_refuses_in_the_middle_of_a_file(tmp_path):
    (old,) = write(tmp_path, replace(ITEM, upload_date=None), spoken("old"), {"txt": to_txt})
    done = written_by_a_child(tmp_path, "SIG_IGN")
    assert done.stdout == f"Cannot write to {tmp_path}: File too large.\n", done.stderr
    assert old.read_text() == "old\n"
    whole = tmp_path / "Me at the zoo [jNQXAC9IVRw].tsv"
    assert sorted(tmp_path.iterdir()) == sorted([old, whole])
    assert whole.read_text() == "small"


def test_killed_in_the_middle_of_a_file(tmp_path):
    (old,) = write(tmp_path, replace(ITEM, upload_date=None), spoken("old"), {"txt": to_txt})
    assert written_by_a_child(tmp_path, "SIG_DFL").returncode == -signal.SIGXFSZ
    assert old.read_text() == "old\n"
    (leftover,) = tmp_path.glob(".homescribe-*.part")
    prepare(tmp_path)
    assert leftover.exists()  # it could be another run's, at work
    os.utime(leftover, (time.time() - 3700, time.time() - 3700))
    prepare(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [old.stem + ".tsv", old.name]


def test_prepare_leaves_nothing(tmp_path):
    prepare(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
