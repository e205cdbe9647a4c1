"""Corrections of a transcript: they are read, searched and exported, and can be undone."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homescribe import Item, Library, Listing, Segment, Transcript, UserError, Word
from homescribe.formats.subtitles import to_srt
from homescribe.formats.whisper import to_txt
from homescribe.library.corrections import timed_words

ITEM = Item("web", "talk", "https://x.example/talk", "A talk")


def words(text, start=10.0, step=0.5):
    return tuple(
        Word(start + n * step, start + n * step + step, f" {word}", 0.5)
        for n, word in enumerate(text.split())
    )


def line(text, start, flags=(), timed=True):
    end = start + len(text.split()) * 0.5
    return Segment(
        start, end, f" {text}", -1.2, words=words(text, start) if timed else (), flags=flags
    )


def transcript(*segments):
    return Transcript("faster-whisper", "small", "en", 100.0, tuple(segments))


ORIGINAL = transcript(
    line("Hello and welcome.", 10.0),
    line("My name is Ann Pearson.", 20.0, flags=("low_probability",)),
    line("Thank you.", 30.0),
)


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path) as library:
        library.record("ytdlp", Listing("https://x.example", "X", iter(())), [ITEM])
        library.save(ITEM, ORIGINAL)
        yield library


def text(library):
    return library.transcript(ITEM.key).text


def test_a_correction_is_read_searched_and_exported(library):
    corrected = library.correct(ITEM.key, 1, "My name is Anne Peerson.")
    assert corrected.text == " My name is Anne Peerson."
    assert corrected.flags == ()  # a corrected line is not doubtful
    assert corrected.avg_logprob == -1.2  # as the engine measured it
    found = library.transcript(ITEM.key)
    assert found.text == "Hello and welcome. My name is Anne Peerson. Thank you."
    assert [hit.start for hit in library.search('"anne peerson"')] == [21.5]
    assert library.search("pearson") == []
    assert "My name is Anne Peerson." in to_srt(ITEM, found)
    assert to_txt(ITEM, found).splitlines()[1] == "My name is Anne Peerson."
    assert library.check() == []


def test_the_original_text_is_kept_and_restored(library):
    library.correct(ITEM.key, 1, "My name is Anne Pearson.")
    library.correct(ITEM.key, 1, "My name is Anne Peerson.")
    correction = library.corrections(ITEM.key)[1]
    assert (correction.original, correction.text) == (
        " My name is Ann Pearson.",
        "My name is Anne Peerson.",
    )
    assert library.undo_correction(ITEM.key, 1).text == " My name is Anne Pearson."
    assert library.corrections(ITEM.key)[1].original == " My name is Ann Pearson."
    assert library.undo_correction(ITEM.key, 1) == ORIGINAL.segments[1]
    assert library.corrections(ITEM.key) == {}
    assert library.transcript(ITEM.key) == ORIGINAL
    assert [hit.start for hit in library.search("pearson")] == [22.0]
    with pytest.raises(UserError, match="has no correction"):
        library.undo_correction(ITEM.key, 1)


def test_words_keep_their_times(library):
    corrected = library.correct(ITEM.key, 1, "My full name is Anne Pearson.")
    times = {
        word.word.strip(): (word.start, word.end, word.probability) for word in corrected.words
    }
    original = {
        word.word.strip(): (word.start, word.end, word.probability)
        for word in ORIGINAL.segments[1].words
    }
    for word in ("My", "name", "is", "Pearson."):
        assert times[word] == original[word]
    assert times["Anne"] == (*original["Ann"][:2], 1.0)
    assert (
        times["full"][0] == times["full"][1] == original["name"][0]
    )  # inserted: no time is known for it
    assert "".join(word.word for word in corrected.words) == corrected.text


@pytest.mark.parametrize(
    ("position", "wanted", "was", "message"),
    [
        (7, "x", None, "no line 7"),
        (0, "  ", None, "cannot be empty"),
        (0, "x", "What another window showed", "has been changed"),
    ],
)
def test_invalid_corrections(library, position, wanted, was, message):
    with pytest.raises(UserError, match=message):
        library.correct(ITEM.key, position, wanted, was=was)
    assert library.transcript(ITEM.key) == ORIGINAL


def test_the_same_text_is_no_correction(library):
    library.correct(ITEM.key, 0, " Hello  and\nwelcome. ", was="Hello and welcome.")
    assert library.corrections(ITEM.key) == {}


def test_corrections_outlive_a_new_transcript(library):
    library.correct(ITEM.key, 1, "My name is Anne Peerson.")
    library.correct(ITEM.key, 2, "Thanks to you.")
    again = transcript(
        line("Music.", 1.0),
        line("Hello and welcome.", 10.0),
        line("My name is Ann Pearson.", 20.1, timed=False),
        line("Thank you all.", 30.0),
    )
    library.save(ITEM, again)
    assert text(library) == "Music. Hello and welcome. My name is Anne Peerson. Thank you all."
    assert set(library.corrections(ITEM.key)) == {2}
    assert [hit.start for hit in library.search("peerson")] == [20.1]
    assert library.undo_correction(ITEM.key, 2) == again.segments[2]
    assert library.check() == []


def test_a_correction_without_a_segment_is_applied_to_a_later_transcript(library):
    library.correct(ITEM.key, 2, "Thanks to you.")
    library.save(ITEM, transcript(line("Thank you all.", 30.0)))
    assert text(library) == "Thank you all."
    library.save(ITEM, ORIGINAL)
    assert text(library) == "Hello and welcome. My name is Ann Pearson. Thanks to you."


def test_words_are_counted_again(library):
    before = library.page().total, library.channels()
    library.save(Item("web", "talk", ITEM.url, "A talk", channel="X"), ORIGINAL)
    assert library.channels()[0].words == 10
    library.correct(ITEM.key, 2, "Thank you all very much.")
    assert library.channels()[0].words == 13
    assert before == (1, [])


def test_removing_an_item_removes_its_corrections(library):
    library.correct(ITEM.key, 1, "My name is Anne.")
    library.remove([ITEM.key])
    assert library.check() == []


def test_words_in_scripts_without_spaces_are_characters():
    original = (
        Word(0.0, 1.0, "今天", 0.9),
        Word(1.0, 2.0, "我们", 0.9),
        Word(2.0, 3.0, "走。", 0.9),
    )
    corrected = timed_words(original, "今天他们走。", 0.0, 3.0)
    assert "".join(word.word for word in corrected) == "今天他们走。"
    assert [(word.word, word.start) for word in corrected][:4] == [
        ("今", 0.0),
        ("天", 0.5),
        ("他", 1.0),
        ("们", 1.5),
    ]


some_text = st.text(st.sampled_from("ab 今天.é'"), max_size=30)


@given(some_text.filter(str.strip), some_text.filter(str.strip))
def test_corrected_words_are_the_text_in_order(original, wanted):
    wanted = f" {' '.join(wanted.split())}"
    corrected = timed_words(words(original), wanted, 10.0, 30.0)
    assert "".join(word.word for word in corrected) == wanted
    assert all(word.start <= word.end for word in corrected)
    assert all(first.end <= second.start + 1e-6 for first, second in pairwise(corrected))
    assert all(word.start >= 10.0 and word.end <= 30.0 for word in corrected)
