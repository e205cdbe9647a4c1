"""Captions on the page and in its API."""

import html
import json
from dataclasses import replace

import httpx
import pytest
from playwright.sync_api import expect

from fake_plugins import captions, fill, item, transcript
from homescribe.assemble import open_library
from homescribe.config import Config
from homescribe.core import Captions, TranscriptLink
from homescribe.errors import PermanentError
from homescribe.library import Library
from homescribe.pipeline.state import CaptionProgress, Progress
from homescribe.web import again
from homescribe.web.estimate import estimate
from homescribe.web.jobs import Job, Jobs
from homescribe.web.snapshot import Snapshots
from pages import check_page
from web_server import TOKEN, serving

MANUAL, AUTOMATIC, ENGINE, NOTHING = (item(n, source="podcast") for n in range(4))


@pytest.fixture
def library(tmp_path):
    """Manual captions, automatic ones, a transcript of an engine, and an item without text."""
    with Library(tmp_path / "library") as library:
        fill(library, [MANUAL, AUTOMATIC, ENGINE, NOTHING])
        library.save_captions(Captions(MANUAL, captions("words by hand", "manual")), "auto")
        library.save_captions(Captions(AUTOMATIC, captions("words by machine")), "auto")
        library.save(ENGINE, transcript("words by engine"))
    return tmp_path / "library"


@pytest.fixture
def client(library, tmp_path):
    with (
        serving(library, config_file=tmp_path / "config.toml") as address,
        httpx.Client(
            base_url=address, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30
        ) as client,
    ):
        yield client


@pytest.fixture
def base(library, browser):
    with serving(library) as address:
        yield address


def text(client, address):
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return " ".join(answer.text.split())


def test_the_api_says_which_transcripts_are_captions(client):
    listed = {each["key"]: each for each in client.get("/api/items").json()["items"]}
    assert [
        (listed[one.key]["state"], listed[one.key]["captions"])
        for one in (MANUAL, AUTOMATIC, ENGINE, NOTHING)
    ] == [("done", "manual"), ("pending", "automatic"), ("done", None), ("pending", None)]
    found = client.get("/api/items?captions=automatic").json()["items"]
    assert [each["key"] for each in found] == [AUTOMATIC.key]
    assert client.get("/api/items?captions=any").json()["total"] == 2
    assert client.get("/api/items?captions=some").status_code == 400
    hits = client.get("/api/search?q=words&captions=manual").json()["hits"]
    assert [(hit["key"], hit["captions"]) for hit in hits] == [(MANUAL.key, "manual")]
    status = client.get("/api/status").json()["captions"]
    assert (status["searchable"], status["to_upgrade"]) == (3, 1)
    snapshot = client.get("/api/queue").json()
    assert (snapshot["searchable"], snapshot["to_upgrade"]) == (3, 1)


def test_the_pages_say_which_transcripts_are_captions(client):
    library = text(client, "/library?captions=any")
    assert MANUAL.title in library
    assert ENGINE.title not in library
    by_hand = '<span class="state done" title="It can be searched by manual captions">'
    assert f"{by_hand}captions</span>" in library
    by_machine = '<span class="state pending" title="It can be searched by automatic captions">'
    assert f'{by_machine}captions<span class="hidden">, pending</span></span>' in library
    assert "2 searchable by captions" in text(client, "/")
    assert "<span>automatic captions</span>" in text(client, "/?q=machine")
    assert "2 more recordings searchable by" in text(client, "/statistics")
    page = text(client, f"/items/{AUTOMATIC.key}")
    assert "Automatic captions of the publisher. A run transcribes this recording." in page
    assert ">Transcribe</button>" in page
    assert "Transcribe again" not in page
    page = text(client, f"/items/{MANUAL.key}")
    assert "Captions that a person wrote for the publisher." in page
    assert "A run transcribes" not in page
    assert "aptions of the publisher" not in text(client, f"/items/{ENGINE.key}")


def test_a_failed_upgrade_shows_its_error_and_the_captions(client, library):
    with Library(library) as opened:
        opened.fail(AUTOMATIC, PermanentError("It has no audio."))
    page = text(client, f"/items/{AUTOMATIC.key}")
    assert "Transcribing it failed: It has no audio." in page
    assert "words by machine" in page


def test_a_changed_setting_applies_at_once(client, library):
    def pending():
        return client.get("/api/queue").json()["items"]["pending"]

    assert pending() == 2
    assert client.put("/api/settings", json={"captions": "use"}).status_code == 200
    assert pending() == 1
    assert client.put("/api/settings", json={"captions": "upgrade"}).status_code == 200
    assert pending() == 3
    assert client.put("/api/settings", json={"captions": "some"}).status_code == 400
    assert "Keep those that people wrote" in text(client, "/add")


def test_selected_captions_are_transcribed(library, monkeypatch):
    jobs = Jobs(Config(library=library))
    started = []
    monkeypatch.setattr(jobs, "_run", started.append)
    jobs.again_all([MANUAL.key, AUTOMATIC.key, NOTHING.key])
    assert started[0].keys == {MANUAL.key, AUTOMATIC.key}
    assert started[0].again


def test_the_zip_has_captions_too(client):
    import io
    import zipfile

    archive = zipfile.ZipFile(io.BytesIO(client.get("/export/txt.zip").content))
    assert len(archive.namelist()) == 3


def test_the_snapshot_shows_requests_while_they_go_on(library):
    config = Config(library=library)
    jobs = Jobs(config)
    requests = CaptionProgress(
        items=430, requested=120, manual=18, automatic=100, seconds_left=1560.4
    )
    jobs.run = Job("run", progress=Progress(captions=requests))
    snapshot = Snapshots(config, jobs).take()
    assert snapshot["progress"]["captions"] == {
        "items": 430,
        "requested": 120,
        "found": 118,
        "seconds_left": 1560,
    }
    requests.ended = True
    assert Snapshots(config, jobs).take()["progress"]["captions"] is None


@pytest.mark.parametrize(("policy", "number"), [("auto", 2), ("use", 2), ("upgrade", 0)])
def test_the_estimate_of_a_listing_says_how_many_captions_are_requested(library, policy, number):
    file = item(9, source="file", url="/talks/9.mp3")
    config = Config(library=library, captions=policy)
    link = TranscriptLink("https://x.example/1.vtt", "text/vtt")
    offered = [replace(one, transcript_links=(link,)) for one in (MANUAL, AUTOMATIC)]
    # Nothing is requested for a file, and for an episode for which the feed names no transcript.
    found = estimate(config, [*offered, NOTHING, file], [], 0.0, None)
    assert found["captions_to_request"] == number
    with open_library(config) as opened:
        plan = again.preview(config, opened, ENGINE.key)["plan"]
    assert plan["captions_to_request"] == 0


def test_an_assistant_is_told_what_the_text_is(library):
    from homescribe.assistants import answers
    from homescribe.assistants.tool_arguments import Given

    with open_library(Config(library=library)) as opened:
        numbers = answers.statistics(opened, Given({}))
        assert (numbers["searchable"], numbers["searchable_by_captions"]) == (3, 2)
        assert numbers["words"] == 9


# --- In a browser ------------------------------------------------------------------------------------


def test_marked_captions_pass_the_checks_of_all_pages(page, axe):
    for name in ("/library?captions=any", f"/items/{AUTOMATIC.key}", "/?q=words", "/statistics"):
        page.goto(name)
        check_page(page, axe, name)


def test_the_dialog_changes_what_becomes_of_captions(page, library):
    page.goto("/library")
    page.locator("[data-open-add]:visible").first.click()
    page.locator("dialog[open] select[name=captions]").select_option("upgrade")
    expect(page.locator("[data-saved]")).to_have_text("Saved for the next run.")
    with Library(library) as opened:
        assert opened.caption_figures().to_upgrade == 2


def test_kept_captions_are_transcribed_from_their_page(page):
    page.goto(f"/items/{MANUAL.key}")
    page.locator("summary", has_text="More").click()
    page.locator("#transcribe-again").click()
    expect(page.locator("#again-title")).to_have_text("Transcribe")
    expect(page.locator("#again-changes")).to_contain_text("instead of captions")


def test_the_queue_shows_the_requests(page, library):
    requests = CaptionProgress(
        items=430, requested=120, manual=18, automatic=100, seconds_left=1560.0
    )
    jobs = Jobs(Config(library=library))
    jobs.run = Job("run", progress=Progress(captions=requests))
    snapshot = json.dumps(Snapshots(jobs.config, jobs).take())

    def with_requests(route):
        start, _, rest = route.fetch().text().partition('<div id="snapshot" hidden>')
        after = rest.partition("</div>")[2]
        body = f'{start}<div id="snapshot" hidden>{html.escape(snapshot)}</div>{after}'
        route.fulfill(body=body, content_type="text/html")

    page.route("**/api/queue/events", lambda route: None)  # no later state
    page.route("**/queue", with_requests)
    page.goto("/queue")
    expect(page.locator("#state")).to_have_text("Requesting captions")
    expect(page.locator("#totals")).to_have_text("120 of 430 items · 118 found · 26:00 left")
    assert page.locator("#progress").evaluate("bar => bar.value") == pytest.approx(120 / 430)
