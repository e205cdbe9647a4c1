"""Exports, and the queue through its API: adding, running, pausing, and runs of another process."""

import io
import json
import shutil
import subprocess
import sys
import time
import zipfile
from dataclasses import replace

import httpx
import pytest

from homescribe import Item, Library, Listing, Segment, TranscriptionOptions, plugins
from homescribe.config import Config
from homescribe.formats.exporters import file_content
from homescribe.formats.filenames import file_name
from homescribe.formats.writer import nothing_to_write
from homescribe.pipeline import ListingResult
from homescribe.web.jobs import Job, Jobs
from homescribe.web.snapshot import Snapshots
from web_server import CHINESE, FOX, HOSTILE, HOSTILE_ITEM, PENDING, TOKEN, make_library, serving

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def library(tmp_path):
    return tmp_path / "library"


@pytest.fixture
def client(library):
    with (
        serving(library) as address,
        httpx.Client(base_url=address, headers=AUTHORIZED, timeout=30) as client,
    ):
        yield client


@pytest.fixture
def talks(tmp_path, clips):
    """A folder with a recording, and a file that is not audio."""
    folder = tmp_path / "talks"
    folder.mkdir()
    shutil.copy(clips / "ep1.webm", folder)
    shutil.copy(clips / "junk.mp3", folder)
    return folder


def act(client, action, status=202, **arguments):
    answer = client.post("/api/queue", json={"action": action, **arguments})
    assert answer.status_code == status, answer.text
    return answer.json()


def wait_for(client, condition):
    """Return the first snapshot for which `condition` is true."""
    for _ in range(600):
        snapshot = client.get("/api/queue").json()
        if condition(snapshot):
            return snapshot
        time.sleep(0.1)
    raise AssertionError(f"timed out: {snapshot}")


def add(client, folder):
    act(client, "add", url=str(folder))
    return wait_for(client, lambda now: now["listing"]["finished"])


# --- Exports ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", plugins.BUILT_IN["exporters"])
def test_a_download_equals_the_exported_file(library, client, name):
    make_library(library)
    with Library(library) as opened:
        item, stored = opened.item(HOSTILE_ITEM).item, opened.transcript(HOSTILE_ITEM)
    answer = client.get(f"/export/{name}/{HOSTILE_ITEM}")
    if nothing_to_write(name, stored):  # rttm without speakers
        assert answer.status_code == 404
        return
    assert answer.content == file_content(plugins.load("exporters", name), item, stored)
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment; filename*=UTF-8''")
    assert "script" not in answer.headers["content-type"]
    assert "<" not in disposition


def test_a_zip_contains_every_transcript_of_a_channel(library, client):
    make_library(library)
    answer = client.get("/export/srt.zip", params={"channel": "samples"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive, Library(library) as opened:
        items = [record.item for record in opened.items(channel="samples")]
        assert archive.namelist() == [file_name(item, "srt") for item in items]
        assert archive.testzip() is None
        assert b"quick brown fox" in archive.read(archive.namelist()[0])
    everything = client.get("/export/json.zip")
    with zipfile.ZipFile(io.BytesIO(everything.content)) as archive:
        titles = [
            json.loads(archive.read(name))["homescribe"]["title"] for name in archive.namelist()
        ]
    assert len(titles) == 6
    assert HOSTILE in titles


def test_subtitles_have_the_options_in_the_address(library, client):
    make_library(library)

    def download(**options):
        return client.get(f"/export/srt/{FOX}", params=options)

    assert max(map(len, download().text.split("\n"))) > 29
    narrow = download(max_line_width=12, max_line_count=1).text
    assert max(len(line) for line in narrow.split("\n") if "-->" not in line) <= 12
    assert "<u>" in download(highlight_words="true").text
    assert "<u>" not in download(highlight_words="false").text
    for options in (
        {"max_line_count": 2},
        {"max_line_width": 0},
        {"max_words_per_line": "x"},
        {"highlight_words": "maybe"},
    ):
        answer = download(**options)
        assert answer.status_code == 400
        assert next(iter(options)) in answer.text


def test_unknown_exports_are_not_found(library, client):
    make_library(library)
    assert client.get(f"/export/srt/{PENDING}").status_code == 404
    assert client.get(f"/export/exe/{FOX}").status_code == 404
    assert client.get("/export/exe.zip").status_code == 404


# --- Adding -----------------------------------------------------------------------------------------


def test_a_list_at_an_address_adds_what_it_names(library, server):
    feed, gone, show = (server.url(path) for path in ("/feed.xml", "/gone.rss", "/show"))
    names = "".join(f'<outline xmlUrl="{url}"/>' for url in (show, gone))
    link = f'<link rel="alternate" type="application/rss+xml" href="{feed}">'
    server.routes["/list"] = lambda *_: (200, f"<opml><body>{names}</body></opml>", {})
    server.routes["/show"] = lambda *_: (200, f"<html><head>{link}</head></html>", {})
    with (
        serving(library, sleep_interval=None) as address,
        httpx.Client(base_url=address, headers=AUTHORIZED, timeout=30) as client,
    ):
        now = add(client, server.url("/list"))
    listed = now["listing"]["sources"]
    assert [(one["url"], one["new"]) for one in listed] == [(feed, 25), (gone, 0)]
    assert listed[0]["warnings"] == [f"This is the feed of the page {show}."]
    assert "404" in listed[1]["error"]
    assert now["plan"]["download_seconds"] == 25 * 0.5  # the pauses of a podcast's host


# --- Access ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Authorization": "Bearer wrong"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://evil.example", **AUTHORIZED}, 403),
        (AUTHORIZED, 400),
        # Another account on this machine can send these headers, too.
        ({"Sec-Fetch-Site": "same-origin"}, 403),
        ({"Origin": "{own}", "Sec-Fetch-Site": "same-origin"}, 403),
        ({"Origin": "{own}", "Cookie": f"homescribe={TOKEN}"}, 403),
        ({"Origin": "{own}", **AUTHORIZED}, 400),
    ],
)
def test_writes_need_the_token(library, headers, status):
    """400 means allowed: there is no run to pause."""
    with serving(library) as address:
        sent = {name: value.replace("{own}", address) for name, value in headers.items()}
        answer = httpx.post(f"{address}/api/queue", json={"action": "pause"}, headers=sent)
        assert answer.status_code == status
        assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [
        *(b"[]", b"{", b'{"action": "rm"}', b'{"action": ["run"]}', b'{"action":"run","keys":[]}'),
        b'{"action": "add", "url": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"action": ' + b"9" * 10_000 + b"}",
        b'{"action": NaN}',
        b'{"action": "\xff"}',
    ],
)
def test_an_invalid_action_is_refused_with_a_hint(client, body):
    answer = client.post("/api/queue", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["hint"]
    assert client.get("/queue").status_code == 200  # it goes on
    assert client.get("/api/queue").json()["listing"] is None


# --- Adding and running ----------------------------------------------------------------------------


def test_a_listing_waits_for_a_decision(library, client, talks):
    add(client, talks)
    plan = wait_for(client, lambda now: now["plan"])["plan"]
    assert plan["items"] == 2
    assert plan["audio_seconds"] == pytest.approx(7, abs=0.5)
    assert plan["dollars"] == 0
    assert plan["seconds"] is None  # unknown before the first transcript
    assert add(client, talks)["plan"] == plan  # a listing without new items keeps the plan
    assert act(client, "drop")["plan"] is None
    with Library(library) as opened:
        assert opened.page().total == 0
        assert opened.sources() == []
    add(client, talks)
    assert act(client, "keep")["items"]["pending"] == 2
    assert act(client, "accept", status=400)["error"]["message"]


def test_a_plan_for_modal_has_a_price(library, talks):
    with (
        serving(library, backend="modal", model="large-v3", gpu="L4") as address,
        httpx.Client(base_url=address, headers=AUTHORIZED) as client,
    ):
        add(client, talks)
        plan = wait_for(client, lambda now: now["plan"])["plan"]
    assert 0 < plan["dollars"] < 1
    assert plan["seconds"] > 0
    assert "L4" in plan["prices"]


def test_a_run_that_finishes_while_figures_are_read_is_still_active(tmp_path, monkeypatch):
    """Its last figures come with the next snapshot, which reads them again at once."""
    settings = Config(library=tmp_path)
    jobs = Jobs(settings)
    jobs.run = Job("run")
    snapshots = Snapshots(settings, jobs)
    item = Item("web", "1", "https://a", "A title")

    def finish(library):
        library.record("web", Listing("https://a", "A", iter(())), [item])
        jobs.changes += 1
        jobs.run.finished = True

    monkeypatch.setattr(Library, "running", finish)
    monkeypatch.setattr("homescribe.web.snapshot.MAX_READING_SHARE", 1e-9)  # reading seems slow
    before = snapshots.take()
    assert (before["state"], before["items"]["pending"]) == ("running", 0)
    after = snapshots.take()
    assert (after["state"], after["items"]["pending"]) == ("idle", 1)


def test_a_listing_that_finishes_while_figures_are_read_has_its_plan(tmp_path, monkeypatch):
    settings = Config(library=tmp_path)
    jobs = Jobs(settings)
    jobs.listing = Job("list", url="https://a")
    snapshots = Snapshots(settings, jobs)
    new = (Item("web", "1", "https://a", "A title"),)

    def finish(library):
        jobs.listing.listed[:] = [ListingResult("https://a", "A", new, new)]
        jobs.undecided = jobs.listing
        jobs.listing.finished = True

    monkeypatch.setattr(Library, "running", finish)
    before, after = snapshots.take(), snapshots.take()
    assert before["plan"] or not before["listing"]["finished"]
    assert (after["listing"]["finished"], after["plan"]["items"]) == (True, 1)


@pytest.mark.models
def test_a_run_from_the_page(library, client, talks):
    add(client, talks)
    (talks / "ep1.webm").rename(talks / "away")
    assert act(client, "accept")["state"] == "running"
    assert "already active" in act(client, "run", status=400)["error"]["message"]
    now = wait_for(client, lambda now: now["state"] == "idle")
    assert (now["items"]["done"], now["items"]["failed"]) == (0, 2)
    assert (now["progress"]["done"], now["progress"]["failed"]) == (0, 2)
    assert all(each["error"] and not each["done"] for each in now["recent"])
    failed = client.get("/api/items", params={"state": "failed"}).json()
    assert failed["total"] == 2
    assert client.get("/queue/lists").text.count("Try again") == 2
    # The file is back, and its item is retried.
    (talks / "away").rename(talks / "ep1.webm")
    key = next(each["key"] for each in failed["items"] if each["title"] == "ep1")
    answer = act(client, "retry", keys=[key])
    assert (answer["retried"], answer["started"]) == (1, True)
    assert add(client, talks)["listing"]["sources"][0]["new"] == 0  # while the run is active
    now = wait_for(client, lambda now: now["state"] == "idle")
    assert (now["items"]["done"], now["items"]["failed"]) == (1, 1)
    assert now["recent"][0]["done"]
    hits = client.get("/api/search", params={"q": '"welcome to my new channel"'}).json()["hits"]
    assert hits[0]["title"] == "ep1"


# --- Again -----------------------------------------------------------------------------------------


def preview(client, key=FOX, **choice):
    return client.get("/api/again", params={"key": key, **choice})


def test_what_transcribing_again_would_change_is_shown(library, client):
    make_library(library)
    with Library(library) as opened:
        stored = opened.transcript(FOX)
        made = TranscriptionOptions(language="de", beam_size=1, word_timestamps=True)
        opened.save(opened.item(FOX).item, replace(stored, options=made))
        opened.correct(FOX, 0, "A correction")
    shown = preview(client).json()
    assert shown["made_with"] == (
        "faster-whisper, large-v3, language de, beam size 1, word timestamps"
    )
    # The words keep their times.
    assert shown["differences"] == [
        "model demo instead of large-v3",
        "language detected instead of de",
        "beam size the default instead of 1",
    ]
    assert (shown["corrections"], shown["plan"]["dollars"]) == (1, 0)
    shown = preview(client, model="large-v3", language="de").json()
    assert shown["differences"] == ["beam size the default instead of 1"]
    shown = preview(client, CHINESE, language="chinese").json()
    assert (shown["language"], shown["corrections"]) == ("zh", 0)
    assert shown["differences"] == ["model demo instead of large-v3"]


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"model": "/etc/passwd"}, "Unknown model"),
        ({"model": "enormous"}, "Unknown model"),
        ({"language": "klingon"}, "klingon"),
        ({"key": PENDING}, "not transcribed yet"),
        ({"key": "nothing"}, "There is no item nothing"),
    ],
)
def test_a_choice_that_is_not_possible_is_refused_before_anything_starts(
    library, client, choice, reason
):
    make_library(library)
    choice = {"key": FOX, **choice}
    answers = [
        client.get("/api/again", params=choice),
        client.post("/api/queue", json={"action": "again", **choice}),
    ]
    for answer in answers:
        assert answer.status_code == 400
        assert reason in answer.json()["error"]["message"]
    assert client.get("/api/queue").json()["progress"] is None


def test_again_at_modal_has_a_price(library):
    make_library(library)
    with serving(library, backend="modal", model="large-v3", gpu="L4") as address:
        plan = httpx.get(f"{address}/api/again", params={"key": FOX}).json()["plan"]
    assert (plan["backend"], 0 < plan["dollars"] < 1) == ("modal", True)


@pytest.mark.models
def test_an_item_is_transcribed_again_and_corrections_are_kept(library, client, talks):
    (talks / "junk.mp3").unlink()
    add(client, talks)
    act(client, "accept")
    wait_for(client, lambda now: now["items"]["done"] == 1 and now["state"] == "idle")
    with Library(library) as opened:
        [record] = opened.items()
        key, transcript = record.item.key, opened.transcript(record.item.key)
        opened.save(record.item, replace(transcript, model="stale"))
        opened.correct(key, 0, transcript.segments[0].text.replace("channel", "canal"))

    def again():
        assert act(client, "again", key=key, model="demo", language="english")["state"] == "running"
        now = wait_for(client, lambda now: now["state"] == "idle")
        assert (now["error"], now["recent"][0]["done"]) == (None, True)
        return now["recent"][0]["note"]

    assert again() is None
    with Library(library) as opened:
        after = opened.transcript(key)
        assert (after.model, after.options.language) == ("demo", "en")
        assert "canal" in after.segments[0].text
        assert list(opened.corrections(key)) == [0]
        # A correction of words that the engine will not write again.
        opened.undo_correction(key, 0)
        opened.save(record.item, replace(transcript, segments=(Segment(0.0, 3.0, " Nothing"),)))
        opened.correct(key, 0, "Everything")
    assert again().startswith("0 of 1 correction carried over.")
    before = len(client.get("/api/queue").json()["recent"])
    act(client, "run")  # an ordinary run leaves it alone
    now = wait_for(client, lambda now: now["state"] == "idle")
    assert (before, now["progress"]["items"]) == (1, 0)


def test_a_paused_run_goes_on_with_what_is_not_transcribed_again_yet(tmp_path, monkeypatch):
    config, other = Config(library=tmp_path), Config(library=tmp_path, model="other")
    jobs = Jobs(config)
    started = []
    monkeypatch.setattr(jobs, "_start", lambda job, work: started.append(job))
    jobs.run = Job("run", keys=frozenset("ab"), again=True, config=other, stopped_as="paused")
    jobs.run.done.add("a")
    jobs.resume()
    assert [(job.keys, job.again, job.config) for job in started] == [(frozenset("b"), True, other)]


@pytest.mark.models
def test_a_run_is_paused_and_resumed(library, client, talks):
    (talks / "junk.mp3").unlink()
    add(client, talks)
    act(client, "accept")
    act(client, "pause")
    now = wait_for(client, lambda now: now["state"] != "stopping")
    assert now["state"] == "paused"
    assert now["items"] == {"done": 0, "failed": 0, "in flight": 0, "pending": 1, "ignored": 0}
    assert now["error"] is None
    act(client, "resume")
    assert wait_for(client, lambda now: now["state"] == "idle")["items"]["done"] == 1
    assert act(client, "resume", status=400)["error"]["message"] == "No run is paused."


def test_a_failed_listing_has_a_hint(client, tmp_path):
    now = add(client, tmp_path / "nowhere")
    assert now["listing"]["error"]["message"]
    assert now["listing"]["error"]["hint"]
    assert now["plan"] is None


def test_what_a_listing_could_not_read_and_that_it_has_moved_are_shown(client, server):
    """A show that redirects for good to a feed whose second page fails."""
    entry = (
        f'<item><title>E</title><guid>g</guid><enclosure url="{server.base}/media/ep1.mp3"/></item>'
    )
    more = '<atom:link rel="next" href="/status/500"/>'
    spaces = 'xmlns:atom="http://www.w3.org/2005/Atom"'
    feeds = {"/old": f"<title>Show</title>{entry}", "/new": f"<title>Show</title>{more}{entry}"}
    for path, body in feeds.items():
        text = f'<rss version="2.0" {spaces}><channel>{body}</channel></rss>'
        server.routes[path] = lambda *_, text=text: (200, text, {"Content-Type": "text/xml"})
    old, new = server.url("/old?auth=SECRET1"), server.url("/new?auth=SECRET2")
    [listed] = add(client, old)["listing"]["sources"]
    assert (listed["warnings"], listed["moved_from"]) == ([], None)
    server.routes["/old"] = lambda *_: (301, "", {"Location": new})
    act(client, "sync")
    [listed] = wait_for(client, lambda now: now["listing"]["finished"])["listing"]["sources"]
    assert (listed["new"], listed["error"], listed["hint"]) == (0, None, None)
    [warning] = listed["warnings"]
    assert "page" in warning
    assert listed["moved_from"].startswith(server.url("/old?auth=~"))
    assert listed["url"].startswith(server.url("/new?auth=~"))
    # Of a source that cannot be read, the reason and what to do.
    server.routes["/new"] = lambda *_: (401, "", {})
    act(client, "sync")
    [listed] = wait_for(client, lambda now: now["listing"]["finished"])["listing"]["sources"]
    assert listed["error"]
    assert listed["hint"]


def test_a_run_of_another_process_is_shown(library, client):
    make_library(library)
    code = "import sys; from pathlib import Path; from homescribe import Library\n" + (
        "with Library(Path(sys.argv[1])) as library, library.run_lock():\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(library)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        now = wait_for(client, lambda now: now["state"] == "elsewhere")
        assert now["process"] == str(other.pid)
        assert str(other.pid) in act(client, "run", status=400)["error"]["message"]
        with Library(library) as opened:
            item = opened.item(PENDING).item
            opened.save(item, opened.transcript(FOX), 1.0)
        wait_for(client, lambda now: now["items"]["pending"] == 0)
        other.stdin.close()
        other.wait(10)
    wait_for(client, lambda now: now["state"] == "idle")


def test_reading_the_run_lock_does_not_block_a_run(library):
    """`running` holds the lock for a moment; a run that starts at that moment waits for it."""
    from threading import Event, Thread

    stop = Event()

    def read_lock():
        with Library(library) as opened:
            while not stop.is_set():
                opened.running()

    readers = [Thread(target=read_lock) for _ in range(3)]
    with Library(library) as opened:
        with opened.run_lock():
            pass
        for reader in readers:
            reader.start()
        try:
            for _ in range(30):
                with opened.run_lock():
                    assert opened.running() is not None
        finally:
            stop.set()
            for reader in readers:
                reader.join()


def test_events_are_sent_when_the_queue_changes(library, client):
    make_library(library)
    with client.stream("GET", "/api/queue/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert next(lines) == "retry: 1000"
        snapshots = (json.loads(line[6:]) for line in lines if line.startswith("data: "))
        assert next(snapshots)["items"]["pending"] == 1
        with Library(library) as opened:
            opened.remove([PENDING])
        assert next(snapshots)["items"]["pending"] == 0
