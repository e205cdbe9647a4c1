"""Names of export files are readable, valid on every system, and different for each item."""

import re
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from homescribe.core import Item
from homescribe.formats.filenames import NAME_BYTES, file_name
from transcripts import ITEM


def test_a_name_has_date_title_and_id():
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
def test_a_name_keeps_the_readable_part_of_a_title(title, readable):
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
def test_a_name_is_valid_on_every_system(item):
    name = file_name(item, "json")
    assert len(name.encode()) <= NAME_BYTES  # and it can be encoded
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
    # YouTube ids that differ only in case: see filenames._tag.
    assume(one.source != "youtube" or one.key.lower() != other.key.lower())
    names = {unicodedata.normalize("NFD", file_name(i, "txt")).casefold() for i in (one, other)}
    assert len(names) == 2


@pytest.mark.parametrize("extension", ["", "../x", "a/b", ".txt", "x" * 21, "tx t", "txt\n"])
def test_an_extension_cannot_be_a_path(extension):
    with pytest.raises(ValueError, match="not an extension"):
        file_name(ITEM, extension)
