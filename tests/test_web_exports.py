"""Transcripts together, from the page: one text for a language model, its parts, and a website."""

import io
import json
import zipfile
from dataclasses import replace
from urllib.parse import unquote

import httpx
import pytest
from playwright.sync_api import expect

from homescribe.formats import combined
from homescribe.library import Library
from homescribe.static_site.site_writer import write_site
from homescribe.web import exports
from homescribe.web.zip_stream import zip_stream
from transcripts import ITEM, spoken, transcript
from web_server import TOKEN, serving

NEW = replace(ITEM, id="new", title="The newer", upload_date="2026-01-02")
OLD = replace(ITEM, id="old", title="The older", upload_date="2026-01-01")
MUTE = replace(ITEM, id="mute", title="Silence", upload_date="2026-01-03")
OTHER = replace(ITEM, id="x", title="Elsewhere", channel="Other", upload_date="2026-01-04")
RECORDINGS = [
    (NEW, spoken(" The newer one.")),
    (OLD, spoken(" The older one.")),
    (MUTE, replace(transcript(), duration=5.0)),
    (OTHER, spoken(" Far away.")),
]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    directory = tmp_path_factory.mktemp("exports") / "library"
    with Library(directory) as opened:
        for item, said in RECORDINGS:
            opened.save(item, said)
    return directory


@pytest.fixture(scope="module")
def base(library, browser):
    with serving(library) as address:
        yield address


@pytest.fixture
def client(base):
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


def name_of(answer):
    disposition = answer.headers["content-disposition"]
    return unquote(disposition.removeprefix("attachment; filename*=UTF-8''"))


def files_in(answer):
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_what_the_filters_find_in_one_file_the_oldest_first(client):
    answer = client.get("/export/combined.md", params={"channel": "jawed"})
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert name_of(answer) == "jawed.md"
    recordings = [RECORDINGS[1], RECORDINGS[0]]
    assert answer.text == "".join(combined.one_file(recordings, "md"))
    assert answer.text.index("The older one.") < answer.text.index("The newer one.")
    answer = client.get("/export/combined.jsonl", params={"since": "2026-01-02"})
    assert name_of(answer) == "transcripts.jsonl"
    texts = [json.loads(line)["text"] for line in answer.text.splitlines()]
    assert texts == ["The newer one.", "Far away."]


def test_a_large_text_comes_in_parts(client, monkeypatch):
    monkeypatch.setattr(exports, "PART_WORDS", 4)
    answer = client.get("/export/combined.md.zip", params={"channel": "jawed"})
    assert name_of(answer) == "jawed md.zip"
    files = files_in(answer)
    assert list(files) == ["jawed (part 1).md", "jawed (part 2).md"]
    assert "The older one." in files["jawed (part 1).md"]
    assert all(text.startswith(combined.INTRODUCTION) for text in files.values())


def test_a_website_is_that_of_the_command(client, tmp_path):
    answer = client.get("/export/site.zip", params={"channel": "jawed"})
    assert name_of(answer) == "jawed website.zip"
    write_site(tmp_path, "Jawed", [RECORDINGS[2], RECORDINGS[0], RECORDINGS[1]])
    written = {
        f"jawed/{path.relative_to(tmp_path)}": path.read_text()
        for path in tmp_path.rglob("*")
        if path.is_file()
    }
    assert files_in(answer) == written


def test_the_command_replaces_a_website_that_was_unpacked(client, tmp_path):
    answer = client.get("/export/site.zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path)
    site = tmp_path / "transcripts"
    assert len(list((site / "recordings").iterdir())) == 4
    write_site(site, "Jawed", RECORDINGS[:1])
    assert [path.name for path in (site / "recordings").iterdir()] == ["youtube.new.html"]


def test_a_selection_in_one_file_and_as_a_website(client):
    body = {"keys": [OTHER.key, OLD.key, "youtube:removed"]}
    answer = client.post("/api/selection/export/combined.md", json=body)
    assert name_of(answer) == "transcripts.md"
    assert answer.text.index("The older one.") < answer.text.index("Far away.")
    assert "newer" not in answer.text
    answer = client.post("/api/selection/export/site", json=body)
    pages = [name for name in files_in(answer) if "/recordings/" in name]
    assert sorted(pages) == [
        "transcripts/recordings/youtube.old.html",
        "transcripts/recordings/youtube.x.html",
    ]


@pytest.mark.parametrize("path", ["combined.srt", "combined.srt.zip", "combined.zip", "none.zip"])
def test_what_cannot_be_combined_is_not_found(client, path):
    assert client.get(f"/export/{path}").status_code == 404


def test_a_website_of_nothing_is_not_found(client):
    assert client.get("/export/site.zip", params={"channel": "nobody"}).status_code == 404


def test_an_archive_is_sent_while_it_is_made():
    made = []

    def files():
        for number in range(3):
            made.append(number)
            yield f"{number}.txt", "text" * 1000

    stream = zip_stream(files())
    assert made == []
    first = next(stream)
    assert made == [0]
    whole = first + b"".join(stream)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.namelist() == ["0.txt", "1.txt", "2.txt"]


def test_one_transcript_at_a_time_is_read(library, monkeypatch):
    """In one file, in parts and for a website, so that memory does not grow with the library."""
    read = []
    monkeypatch.setattr(
        Library, "transcript", lambda self, key: read.append(key) or dict(BY_KEY)[key]
    )
    config = exports.Config(library=library)
    with Library(library) as opened:
        records = opened.page(state="done", limit=-1).records
    found = exports._transcripts(config, records)
    assert read == []
    next(found)
    assert len(read) == 1


BY_KEY = [(item.key, said) for item, said in RECORDINGS]


@pytest.mark.browser
def test_the_page_exports_a_channel_together(page):
    page.goto("/library?channel=jawed")
    for label, name in (
        ("Text for a language model", "jawed.md"),
        ("In parts of 400,000 words (zip)", "jawed md.zip"),
        ("Website with a search (zip)", "jawed website.zip"),
    ):
        page.locator("summary", has_text="Export all").click()
        with page.expect_download() as download:
            page.get_by_role("link", name=label).click()
        assert download.value.suggested_filename == name
        page.keyboard.press("Escape")


@pytest.mark.browser
def test_the_page_exports_a_selection_together(page):
    page.goto("/library")
    page.get_by_label("Select The older").check()
    page.get_by_label("Select Elsewhere").check()
    bulk = page.get_by_role("region", name="Selected items")
    for label, name in (
        ("Text for a language model", "transcripts.md"),
        ("Website with a search (zip)", "transcripts website.zip"),
        ("srt", "transcripts srt.zip"),
    ):
        bulk.get_by_text("Export").click()
        with page.expect_download() as download:
            bulk.get_by_role("button", name=label, exact=True).click()
        assert download.value.suggested_filename == name
    page.get_by_label("Select all on this page").check()
    with page.expect_download() as download:
        bulk.get_by_text("Export").click()
        bulk.get_by_role("button", name="Text for a language model").click()
    text = download.value.path().read_text()
    assert text.count("\n# ") == 3
    expect(bulk).to_be_visible()
