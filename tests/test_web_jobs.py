"""What the page has done for it: adding, running, pausing, and agreeing with a run in a terminal."""

import io
import json
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import httpx
import pytest

from homescribe import Library, plugins
from homescribe.formats.filenames import file_name
from webbing import FOX, HOSTILE, STRANGE, TOKEN, make_library, serving

OWN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def library(tmp_path):
    return tmp_path / "library"


@pytest.fixture
def client(library):
    with (
        serving(library) as address,
        httpx.Client(base_url=address, headers=OWN, timeout=30) as client,
    ):
        yield client


@pytest.fixture
def talks(tmp_path, clips):
    """A folder with one recording and one file that is no sound."""
    folder = tmp_path / "talks"
    folder.mkdir()
    shutil.copy(clips / "ep1.webm", folder)
    shutil.copy(clips / "junk.mp3", folder)
    return folder


def do(client, what, status=202, **more):
    answer = client.post("/api/work", json={"do": what, **more})
    assert answer.status_code == status, answer.text
    return answer.json()


def when(client, true):
    """The first snapshot for which `true` holds."""
    for _ in range(600):
        snapshot = client.get("/api/work").json()
        if true(snapshot):
            return snapshot
        time.sleep(0.1)
    raise AssertionError(f"it never came: {snapshot}")


def add(client, folder):
    do(client, "add", url=str(folder))
    return when(client, lambda now: now["listing"]["over"])


# --- Files to take along ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", plugins.BUILT_IN["exporters"])
def test_every_format_is_what_export_writes(library, client, name):
    make_library(library)
    with Library(library) as opened:
        item = opened.item(STRANGE).item
        wanted = plugins.load("exporters", name)(item, opened.transcript(STRANGE))
    answer = client.get(f"/export/{name}/{STRANGE}")
    assert answer.content == wanted.encode(errors="replace")
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment; filename*=UTF-8''")
    assert "script" not in answer.headers["content-type"]
    assert "<" not in disposition


def test_a_zip_holds_every_transcript_of_a_channel(library, client):
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


def test_what_cannot_be_exported_is_not_there(library, client):
    make_library(library)
    assert client.get("/export/srt/podcast:new").status_code == 404
    assert client.get(f"/export/exe/{FOX}").status_code == 404
    assert client.get("/export/exe.zip").status_code == 404


# --- Who may write ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Authorization": "Bearer wrong"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "http://evil.example", **OWN}, 403),
        (OWN, 400),
        ({"Sec-Fetch-Site": "same-origin"}, 400),
        ({"Origin": "{own}"}, 400),
    ],
)
def test_writes_need_the_token_or_our_own_page(library, headers, status):
    """400: let in, and told that nothing is being done."""
    with serving(library) as address:
        sent = {name: value.replace("{own}", address) for name, value in headers.items()}
        answer = httpx.post(f"{address}/api/work", json={"do": "pause"}, headers=sent)
        assert answer.status_code == status
        assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'{"do": "rm"}', b'{"do": ["run"]}', b'{"do":"run","keys":[]}']
)
def test_nonsense_is_refused_in_words(client, body):
    answer = client.post("/api/work", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["hint"]


# --- Adding and running ----------------------------------------------------------------------------


def test_a_plan_comes_before_the_work_and_may_be_refused(library, client, talks):
    plan = add(client, talks)["plan"]
    assert plan["items"] == 2
    assert plan["audio_seconds"] == pytest.approx(7, abs=0.5)
    assert plan["dollars"] == 0
    assert plan["seconds"] is None  # nothing was transcribed yet: unknown is not guessed
    assert add(client, talks)["plan"] == plan  # nothing new does not take the question away
    assert do(client, "drop")["plan"] is None
    with Library(library) as opened:
        assert opened.page().total == 0
        assert opened.sources() == []
    add(client, talks)
    assert do(client, "keep")["items"]["pending"] == 2
    assert do(client, "accept", status=400)["error"]["message"]


def test_a_plan_for_a_rented_gpu_has_a_price(library, talks):
    with (
        serving(library, backend="modal", model="large-v3", gpu="L4") as address,
        httpx.Client(base_url=address, headers=OWN) as client,
    ):
        plan = add(client, talks)["plan"]
    assert 0 < plan["dollars"] < 1
    assert plan["seconds"] > 0
    assert "L4" in plan["prices"]


def test_a_run_from_the_page(library, client, talks):
    add(client, talks)
    (talks / "ep1.webm").rename(talks / "away")
    assert do(client, "accept")["state"] == "running"
    assert "Not now" in do(client, "run", status=400)["error"]["message"]
    now = when(client, lambda now: now["state"] == "idle")
    assert (now["items"]["done"], now["items"]["failed"]) == (0, 2)
    assert (now["progress"]["done"], now["progress"]["failed"]) == (0, 2)
    assert all(each["error"] and not each["done"] for each in now["recent"])
    failed = client.get("/api/items", params={"state": "failed"}).json()
    assert failed["total"] == 2
    assert client.get("/work/lists").text.count("Try again") == 2
    # The file comes back, and is tried again by its button.
    (talks / "away").rename(talks / "ep1.webm")
    key = next(each["key"] for each in failed["items"] if each["title"] == "ep1")
    told = do(client, "retry", keys=[key])
    assert (told["retried"], told["began"]) == (1, True)
    assert add(client, talks)["listing"]["listed"][0]["new"] == 0  # lists are read meanwhile
    now = when(client, lambda now: now["state"] == "idle")
    assert (now["items"]["done"], now["items"]["failed"]) == (1, 1)
    assert now["recent"][0]["done"]
    hits = client.get("/api/search", params={"q": '"welcome to my new channel"'}).json()["hits"]
    assert hits[0]["title"] == "ep1"


def test_a_run_is_paused_and_goes_on(library, client, talks):
    (talks / "junk.mp3").unlink()
    add(client, talks)
    do(client, "accept")
    do(client, "pause")
    now = when(client, lambda now: now["state"] != "stopping")
    assert now["state"] == "paused"
    assert now["items"] == {"done": 0, "failed": 0, "in flight": 0, "pending": 1}
    assert now["error"] is None
    do(client, "resume")
    assert when(client, lambda now: now["state"] == "idle")["items"]["done"] == 1
    assert do(client, "resume", status=400)["error"]["message"] == "No run is paused."


def test_a_listing_that_fails_says_what_to_do(client, tmp_path):
    now = add(client, tmp_path / "nowhere")
    assert now["listing"]["error"]["message"]
    assert now["listing"]["error"]["hint"]
    assert now["plan"] is None


def test_the_page_follows_a_run_in_another_process(library, client):
    make_library(library)
    hold = "import sys; from pathlib import Path; from homescribe import Library\n" + (
        "with Library(Path(sys.argv[1])) as library, library.run_lock():\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(library)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        now = when(client, lambda now: now["state"] == "elsewhere")
        assert now["process"] == str(other.pid)
        assert str(other.pid) in do(client, "run", status=400)["error"]["message"]
        with Library(library) as opened:
            item = opened.item("podcast:new").item
            opened.save(item, opened.transcript(FOX), 1.0)
        when(client, lambda now: now["items"]["pending"] == 0)
        other.stdin.close()
        other.wait(10)
    when(client, lambda now: now["state"] == "idle")


def test_looking_at_the_lock_does_not_keep_a_run_away(library):
    """Whoever asks who is at work holds the lock for a moment; a run that begins then waits for it."""
    from threading import Event, Thread

    stop = Event()

    def look():
        with Library(library) as opened:
            while not stop.is_set():
                opened.running()

    lookers = [Thread(target=look) for _ in range(3)]
    with Library(library) as opened:
        with opened.run_lock():
            pass
        for looker in lookers:
            looker.start()
        try:
            for _ in range(30):
                with opened.run_lock():
                    assert opened.running() is not None
        finally:
            stop.set()
            for looker in lookers:
                looker.join()
    assert isinstance(library, Path)


def test_the_work_is_told_as_it_changes(library, client):
    make_library(library)
    with client.stream("GET", "/api/work/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert next(lines) == "retry: 1000"
        snapshots = (json.loads(line[6:]) for line in lines if line.startswith("data: "))
        assert next(snapshots)["items"]["pending"] == 1
        with Library(library) as opened:
            opened.remove(["podcast:new"])
        assert next(snapshots)["items"]["pending"] == 0
