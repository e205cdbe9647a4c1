"""Search by date, and "did you mean" for words that nobody said."""

import json
import time

import pytest

from homescribe import Item, Library, Segment, Transcript
from homescribe.cli.main import run
from homescribe.library import spelling


def said(text, start=0.0):
    return Segment(start, start + 5.0, text)


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path) as library:
        for name, date, text in (
            ("old", "2024-01-01", "The lighthouse keeper. Lighthouse!"),
            (
                "new",
                "2026-01-01",
                "Well, there was a lighthouse, and much more to talk about than that.",
            ),
            ("undated", None, "A lighthouse."),
            ("other", "2025-01-01", "Café Müller was closed. 東京"),
        ):
            item = Item("web", name, f"https://x.example/{name}", f"Talk {name}", upload_date=date)
            library.save(item, Transcript("faster-whisper", "small", "en", 9.0, (said(text),)))
        yield library


def test_hits_by_date(library):
    assert [hit.key for hit in library.search("lighthouse", order="date")] == [
        "web:new",
        "web:old",
        "web:undated",
    ]
    assert [hit.key for hit in library.search("talk", order="date")] == [
        *("web:new", "web:new", "web:other", "web:old", "web:undated"),
    ]
    limited = library.search("talk", order="date", limit=2, offset=1, since="2025-01-01")
    assert [(hit.key, hit.start) for hit in limited] == [("web:new", 0.0), ("web:other", 0.0)]


@pytest.mark.parametrize(
    ("query", "meant"),
    [
        ("lihgthouse", "lighthouse"),
        ("the lighthuose keper", "the lighthouse keeper"),
        ("ilghthouse", "lighthouse"),
        ('"lighthouse keepper" speaker:lihgthouse', '"lighthouse keeper" speaker:lihgthouse'),
        ("mulller", "müller"),
        ("cafee", "café"),
        ("lighthouse", None),
        ("zebra", None),
        ("東亰", None),
        ("", None),
        ("x" * 10_000, None),
    ],
)
def test_words_that_were_said_are_suggested(library, query, meant):
    assert library.did_you_mean(query) == meant


def test_the_more_frequent_of_two_words_is_suggested(library):
    for number, text in enumerate(("boat boat", "boot", "boot")):
        item = Item("web", f"n{number}", "https://x.example", "T")
        library.save(item, Transcript("faster-whisper", "small", "en", 9.0, (said(text),)))
    assert library.did_you_mean("boit") == "boot"


def test_the_comparison_ends_in_time(library):
    words = spelling._words(library._db, "lighthousse", time.monotonic() - 1)
    assert len(list(words)) <= 1


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [("ab", "ba", 1), ("keeper", "keper", 1), ("a", "abcd", 3), ("same", "same", 0)],
)
def test_distance(one, other, expected):
    assert spelling.distance(one, other, 3) == expected


def test_the_command(library, tmp_path, capsys):
    place = ["--library", str(tmp_path)]
    assert run([*place, "search", "lihgthouse"]) == 0
    assert "No results. Did you mean: lighthouse" in capsys.readouterr().err
    assert run([*place, "search", "lighthouse", "--sort", "date", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["key"] == "web:new"
