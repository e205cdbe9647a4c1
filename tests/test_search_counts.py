"""How many results a search has in all, beside those that are shown."""

import json

import httpx
import pytest

from homescribe import Item, Library, Listing, Segment, Transcript
from homescribe.cli.main import run
from homescribe.library import HitCount
from web_server import serving

TALKS = [Item("web", f"talk-{n}", f"https://x.example/{n}", f"Talk {n}") for n in range(3)]
LINES = 60  # of each talk, two in three with the word


@pytest.fixture
def folder(tmp_path):
    with Library(tmp_path / "library") as library:
        library.record("ytdlp", Listing("https://x.example", "X", iter(())), TALKS)
        for talk in TALKS[:2]:
            segments = tuple(
                Segment(9.0 * n, 9.0 * n + 8, " A hen." if n % 3 == 0 else f" Fox number {n}.")
                for n in range(LINES)
            )
            library.save(talk, Transcript("e", "m", "en", 9.0 * LINES, segments))
    return tmp_path / "library"


def test_all_hits_are_counted_once_although_passages_overlap(folder):
    with Library(folder) as library:
        everything = library.search("fox", limit=10_000)
        assert library.count_hits("fox") == HitCount(len(everything), 2)
        assert len({(hit.key, hit.start) for hit in everything}) == len(everything) > 20
        assert library.count_hits("fox", most=7) == HitCount(7, 1, exact=False)
        assert library.count_hits("talk") == HitCount(3, 3)  # titles
        assert library.count_hits("fox", until="1990-01-01") == HitCount(0, 0)


def test_the_command_says_how_many_there_are(folder, capsys):
    with Library(folder) as library:
        total = library.count_hits("fox").hits
    search = ["search", "fox", "--library", str(folder)]
    assert run([*search, "--limit", "5"]) == 0
    out, err = capsys.readouterr()
    assert out.count("https://x.example/") == 5
    assert err == f"5 of {total} results in 2 recordings. To see more: --limit 50\n"
    assert run([*search, "--limit", "5", "--json"]) == 0
    out, err = capsys.readouterr()
    assert (len(json.loads(out)), err.partition(".")[0]) == (
        5,
        f"5 of {total} results in 2 recordings",
    )
    assert run([*search, "--limit", str(total)]) == 0
    assert capsys.readouterr().err == ""


def test_more_than_are_counted(folder, capsys, monkeypatch):
    monkeypatch.setattr(Library, "count_hits", lambda *_, **__: HitCount(1000, 2, exact=False))
    run(["search", "fox", "--library", str(folder), "--limit", "5"])
    assert capsys.readouterr().err == "5 of more than 1,000 results. To see more: --limit 50\n"


def test_the_api_says_how_many_there_are(folder):
    with Library(folder) as library:
        total = library.count_hits("fox").hits
    with serving(folder) as address, httpx.Client(base_url=address) as api:
        for asked in ({"limit": 5}, {"limit": 5, "offset": total - 2}, {"limit": 200}):
            answer = api.get("/api/search", params={"q": "fox", **asked}).json()
            assert (answer["total"], answer["recordings"], answer["exact"]) == (total, 2, True)
            assert len(answer["hits"]) == {5: 5, 200: total}[asked["limit"]] - 3 * (
                "offset" in asked
            )
        assert api.get("/api/search", params={"q": "cow"}).json()["total"] == 0
