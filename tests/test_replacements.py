"""Words that are replaced in all transcripts, stored and later ones, until a replacement is removed."""

import json
import tempfile
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_plugins import FakeBackend, FakeSource
from fake_plugins import run as fake_run
from homescribe import Item, Library, Listing, Segment, Speaker, Transcript, Turn, UserError, Word
from homescribe.cli.main import run
from homescribe.library import replacement_methods, transcripts
from homescribe.library.passages import index_segments
from homescribe.text.word_replacement import WordReplacement

SOURCE = "https://x.example"
ITEM = Item("web", "talk", "https://x.example/talk", "A talk", channel="Talks")
OTHER = Item("web", "other", "https://y.example/other", "Another", channel="Others")


def line(text, start):
    words = tuple(
        Word(start + n * 0.5, start + n * 0.5 + 0.5, f" {word}", 0.5)
        for n, word in enumerate(text.split())
    )
    return Segment(start, words[-1].end, f" {text}", -1.2, words=words, flags=("low_probability",))


ORIGINAL = Transcript(
    "faster-whisper",
    "small",
    "en",
    100.0,
    (
        line("Hello and welcome.", 10.0),
        line("My name is Ann Perrison.", 20.0),
        line("Perrison's book, by ANN PERRISON.", 30.0),
    ),
)


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path) as library:
        library.record("ytdlp", Listing(SOURCE, "X", iter(())), [ITEM])
        library.record("ytdlp", Listing("https://y.example", "Y", iter(())), [OTHER])
        library.save(ITEM, ORIGINAL)
        library.save(OTHER, ORIGINAL)
        yield library


def texts(library, item=ITEM):
    return [segment.text for segment in library.transcript(item.key).segments]


@pytest.mark.parametrize(
    ("old", "new", "text", "expected"),
    [
        ("ann", "Anna", "Ann, Anna, ann's and Joann.", "Anna, Anna, Anna's and Joann."),
        ("Ann", "Ann Lee", "Ann and Ann Lee.", "Ann Lee and Ann Lee."),
        ("colour", "color", "Colour, COLOUR, colour.", "Color, COLOR, color."),
        ("iphone", "iPhone", "IPhone iphone", "iPhone iPhone"),
        ("home scribe", "homescribe", "A home\n scribe. Home Scribe!", "A homescribe. Homescribe!"),
        ("don", "Dan", "Don, I don't and don’t.", "Dan, I don't and don’t."),
        ("c++", "C++", "In c++ and c.", "In C++ and c."),
        ("東京", "東亰", "私は東京に住む", "私は東亰に住む"),
        ("राम", "श्याम", "राम और रामा", "श्याम और रामा"),
        ("Cafe", "Café", "Cafe, cafe\u0301s", "Café, cafe\u0301s"),
    ],
)
def test_whole_words_are_replaced_and_keep_their_capitals(old, new, text, expected):
    replaced, spans = WordReplacement(old, new).apply(text)
    assert replaced == expected
    assert all(replaced[begin:end].casefold() == new.casefold() for begin, end in spans)


def test_match_case():
    assert WordReplacement("us", "US", match_case=True).apply("us US Us")[0] == "US US Us"


def test_words_are_replaced_everywhere_and_keep_their_times(library):
    replaced = library.replace_words("Perrison", "Peerson")
    assert (replaced.words, replaced.lines, replaced.recordings) == (6, 4, 2)
    assert replaced.examples[0].after == "My name is Ann Peerson."
    assert texts(library)[1:] == [" My name is Ann Peerson.", " Peerson's book, by ANN PEERSON."]
    assert library.search("perrison") == []
    assert {hit.start for hit in library.search("peerson")} == {22.0}
    segment = library.transcript(ITEM.key).segments[1]
    assert [(word.word, word.start) for word in segment.words][-2:] == [
        (" Ann", 21.5),
        (" Peerson.", 22.0),
    ]
    assert segment.flags == ("low_probability",)  # nobody has read the rest of the line
    assert library.check() == []


def test_new_transcripts_are_replaced_before_they_are_indexed(library):
    library.replace_words("Perrison", "Peerson")
    library.save(ITEM, ORIGINAL)
    new = replace(OTHER, id="new", url="https://y.example/new")
    library.save(new, ORIGINAL)
    for item in (ITEM, new):
        assert texts(library, item)[1] == " My name is Ann Peerson."
    assert len(library.search("peerson")) == 3
    assert library.search("perrison") == []
    assert library.replacements()[0].recordings == 3


def test_undo_restores_what_the_engine_wrote(library):
    library.replace_words("Perrison", "Peerson")
    library.replace_words("Ann", "Anne")
    assert texts(library)[1] == " My name is Anne Peerson."
    (first, _) = library.replacements()
    assert library.remove_replacement(first.id) == 2
    assert texts(library)[1] == " My name is Anne Perrison."
    assert library.remove_replacement() == 2
    assert library.transcript(ITEM.key) == ORIGINAL
    assert library.replacements() == []
    assert len(library.search("perrison")) == 2
    with pytest.raises(UserError, match="no replacement to undo"):
        library.remove_replacement()


def test_lines_that_a_person_corrected_stay(library):
    library.correct(ITEM.key, 1, "My name is Perrison, Ann.")
    replaced = library.replace_words("Perrison", "Peerson")
    assert (replaced.words, replaced.corrected) == (5, 1)
    assert texts(library)[1] == " My name is Perrison, Ann."
    assert library.corrections(ITEM.key)[1].original == " My name is Ann Perrison."
    library.save(ITEM, ORIGINAL)  # transcribed again
    assert texts(library)[1] == " My name is Perrison, Ann."
    assert library.undo_correction(ITEM.key, 1).text == " My name is Ann Peerson."
    library.correct(ITEM.key, 1, "My name is Ann Peerson!")
    library.remove_replacement()
    assert texts(library)[1:] == [" My name is Ann Peerson!", " Perrison's book, by ANN PERRISON."]
    assert library.undo_correction(ITEM.key, 1).text == " My name is Ann Perrison."


def test_a_replacement_is_limited_to_a_source_or_a_channel(library):
    library.replace_words("Perrison", "Peerson", source=SOURCE)
    library.replace_words("welcome", "good morning", channel="others")
    assert " Peerson's book" in texts(library)[2]
    assert texts(library)[0] == " Hello and welcome."
    assert texts(library, OTHER)[:2] == [" Hello and good morning.", " My name is Ann Perrison."]
    library.save(OTHER, ORIGINAL)
    assert texts(library, OTHER)[:2] == [" Hello and good morning.", " My name is Ann Perrison."]


def test_speakers_that_are_added_later_keep_replaced_words(library):
    library.replace_words("Perrison", "Peerson")
    speakers = (Speaker("SPEAKER_00", 1.0), Speaker("SPEAKER_01", 4.0))
    turns = (Turn(20.0, 21.0, "SPEAKER_00"), Turn(21.0, 33.0, "SPEAKER_01"))
    assert library.add_speakers(ITEM.key, speakers, turns, least=2)
    spoken = library.transcript(ITEM.key)
    assert "is Ann Peerson." in spoken.text
    assert len(spoken.segments) == 4  # the second line has two speakers
    library.remove_replacement()
    assert "is Ann Perrison." in library.transcript(ITEM.key).text
    assert {segment.speaker for segment in library.transcript(ITEM.key).segments[1:]} == {
        "SPEAKER_00",
        "SPEAKER_01",
    }


def test_a_dry_run_changes_nothing(library):
    replaced = library.replace_words("Perrison", "Peerson", dry_run=True)
    assert (replaced.id, replaced.words) == (None, 6)
    assert library.transcript(ITEM.key) == ORIGINAL
    assert library.replacements() == []


@pytest.mark.parametrize(("old", "new"), [("", "x"), ("...", "x"), ("x", " "), ("x", "x")])
def test_words_that_cannot_be_replaced(library, old, new):
    with pytest.raises(UserError):
        library.replace_words(old, new)


def test_a_word_is_replaced_by_one_other(library):
    library.replace_words("Perrison", "Peerson")
    with pytest.raises(UserError, match="already replaced by Peerson"):
        library.replace_words("perrison", "Person")


def test_the_commands(library, tmp_path, capsys):
    place = ["--library", str(tmp_path)]
    assert run([*place, "replace", "Perrison", "Peerson", "--dry-run"]) == 0
    out, error = capsys.readouterr()
    assert "+ My name is Ann Peerson." in out
    assert "Found 6 times in 4 lines of 2 recordings. Nothing was changed." in error
    assert run([*place, "replace", "Perrison", "Peerson"]) == 0
    assert "Replaced 6 times in 4 lines of 2 recordings." in capsys.readouterr().err
    assert run([*place, "replaced", "list", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["old"], found["new"], found["words"], found["lines"]) == (
        *("Perrison", "Peerson"),
        *(6, 4),
    )
    assert run([*place, "replaced", "remove", str(found["id"])]) == 0
    assert library.transcript(ITEM.key) == ORIGINAL


# --- Many recordings: one transaction after the other -------------------------------------------------


@pytest.fixture
def one_by_one(monkeypatch):
    """Let each transaction change one recording."""
    monkeypatch.setattr(replacement_methods, "HELD", -1.0)
    monkeypatch.setattr(replacement_methods, "PAUSE", 0.0)


def state_of_index(library):
    """The number of words, and what is indexed, of each item; and the same computed anew."""
    with library._writing() as db:
        words = "SELECT item_id, words FROM transcripts ORDER BY item_id"
        passages = "SELECT * FROM passages ORDER BY passage_id"
        stored = [tuple(row) for query in (words, passages) for row in db.execute(query)]
        for (item_id,) in db.execute("SELECT item_id FROM transcripts").fetchall():
            index_segments(db, item_id, transcripts._count_words(db, item_id))
        anew = [tuple(row) for query in (words, passages) for row in db.execute(query)]
    return stored, anew


def test_other_programs_write_between_two_recordings(library, one_by_one, monkeypatch):
    corrected = []

    def correct(seconds):
        with Library(library.directory) as other, other.busy_timeout(0):
            other.correct(ITEM.key, 0, f"Hello, {len(corrected)} times.")
            corrected.append(other.unfinished_replacements())

    monkeypatch.setattr(replacement_methods.time, "sleep", correct)
    replaced = library.replace_words("Perrison", "Peerson")
    assert corrected == [1]
    assert (replaced.words, replaced.lines, replaced.recordings) == (6, 4, 2)
    assert [example.key for example in replaced.examples] == [
        ITEM.key,
        ITEM.key,
        OTHER.key,
        OTHER.key,
    ]
    assert texts(library)[:2] == [" Hello, 0 times.", " My name is Ann Peerson."]
    assert library.remove_replacement() == 2
    assert corrected == [1, 1]
    assert library.check() == []


@pytest.mark.parametrize("finish", ["run", "replace"])
def test_what_a_killed_replacement_leaves_is_done_later(
    library, one_by_one, monkeypatch, tmp_path, capsys, finish
):
    def killed(seconds):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(replacement_methods.time, "sleep", killed)
        with pytest.raises(KeyboardInterrupt):
            library.replace_words("Perrison", "Peerson")
    assert (texts(library)[1], texts(library, OTHER)[1]) == (
        " My name is Ann Peerson.",
        " My name is Ann Perrison.",
    )
    assert run(["--library", str(tmp_path), "replaced", "list"]) == 0
    assert "1 recording still to be changed" in capsys.readouterr().err
    if finish == "run":
        list(fake_run(library, FakeSource(), FakeBackend()))
    else:
        library.replace_words("Hello", "Hullo")
    assert library.unfinished_replacements() == 0
    assert texts(library, OTHER)[1] == " My name is Ann Peerson."
    assert library.replacements()[0].recordings == 2
    assert library.search("perrison") == []
    stored, anew = state_of_index(library)
    assert stored == anew


def test_an_interrupted_undo_is_completed_later(library, one_by_one, monkeypatch):
    library.replace_words("Perrison", "Peerson")

    def killed(seconds):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(replacement_methods.time, "sleep", killed)
        with pytest.raises(KeyboardInterrupt):
            library.remove_replacement()
    assert library.replacements() == []
    assert library.transcript(OTHER.key) != ORIGINAL
    library.finish_replacements()
    assert library.transcript(ITEM.key) == library.transcript(OTHER.key) == ORIGINAL
    stored, anew = state_of_index(library)
    assert stored == anew


def test_a_transcript_that_is_stored_meanwhile_is_replaced(library, one_by_one, monkeypatch):
    def save(seconds):
        library.save(OTHER, replace(ORIGINAL, segments=(line("Perrison again.", 1.0),)))

    monkeypatch.setattr(replacement_methods.time, "sleep", save)
    assert library.replace_words("Perrison", "Peerson").recordings == 2
    assert texts(library, OTHER) == [" Peerson again."]


@given(
    st.lists(st.sampled_from(["ann perrison", "", "an e-mail", "東京 ann", "e\u0301"]), min_size=1),
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["ann", "one e-mail two", "京"]))),
    st.sampled_from(["an", "two words", "東"]),
)
@settings(max_examples=30, deadline=None)
def test_words_and_index_follow_each_change(spoken, corrections, new):
    segments = tuple(Segment(n * 12.0, n * 12.0 + 11, f" {text}") for n, text in enumerate(spoken))
    with tempfile.TemporaryDirectory() as directory, Library(directory) as library:
        library.save(ITEM, replace(ORIGINAL, segments=segments))
        library.replace_words("ann", new)
        for position, text in corrections:
            if position < len(segments):
                library.correct(ITEM.key, position, text)
        for position in {position for position, _ in corrections[1:] if position < len(segments)}:
            if position in library.corrections(ITEM.key):
                library.undo_correction(ITEM.key, position)
        stored, anew = state_of_index(library)
        assert stored == anew
        library.remove_replacement()
        stored, anew = state_of_index(library)
        assert stored == anew


def test_a_dry_run_needs_no_permission_to_write(library):
    with Library(library.directory, read_only=True) as reading:
        assert reading.replace_words("Perrison", "Peerson", dry_run=True).words == 6
