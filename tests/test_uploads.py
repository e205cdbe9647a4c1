"""Files that are uploaded to the page: in parts, resumed, recorded as items, and removed."""

import base64
import io
import os
import shutil
import socket
import stat
import threading
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

import httpx
import pytest
from starlette.exceptions import HTTPException

from homescribe import Library, demo
from homescribe.assemble import open_library, open_sources
from homescribe.cli.main import main
from homescribe.config import Config
from homescribe.core import DISK_RESERVE
from homescribe.formats.filenames import NAME_BYTES, safe_file_name
from homescribe.sources import unfinished_files
from homescribe.web import partial_uploads, slow_bodies, transfers, upload_api
from web_server import TOKEN, serving

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
BODY = {"Content-Type": "application/offset+octet-stream"}
SAMPLE = demo.samples() / "fox-20s.mp3"
DATA = SAMPLE.read_bytes()
OTHER = (demo.samples() / "channel-40s.webm").read_bytes()


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


def encoded(**values):
    pairs = (f"{name} {base64.b64encode(str(v).encode()).decode()}" for name, v in values.items())
    return ",".join(pairs)


def begin(client, size=None, name="talk.mp3", **more):
    """Begin an upload; returns where it continues."""
    metadata = encoded(filename=name, **more) if name else ""
    headers = {"Upload-Length": str(size or len(DATA)), "Upload-Metadata": metadata}
    answer = client.post("/api/uploads", headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


def send(client, location, offset, data):
    return client.patch(location, headers=BODY | {"Upload-Offset": str(offset)}, content=data)


def upload(client, data=DATA, name="talk.mp3", **more):
    """Upload a file at once; returns the response to its last part."""
    return send(client, begin(client, len(data), name, **more), 0, data)


def offset_of(client, location):
    return int(client.head(location).headers["upload-offset"])


def files_of(library):
    return sorted(
        path.relative_to(library).as_posix()
        for path in library.glob("recordings/**/*")
        if path.is_file()
    )


def remove(*arguments_and_library):
    """Run `homescribe remove`; returns whether it succeeded."""
    *arguments, library = arguments_and_library
    with pytest.raises(SystemExit) as ended:
        main(["remove", *arguments, "--library", str(library)])
    return not ended.value.code


def wait_until(condition):
    for _ in range(600):
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("timed out")


# --- From the first byte to the item ----------------------------------------------------------------


def test_an_upload_in_parts_becomes_an_item_of_the_source_uploads(client, library):
    location = begin(client, modified=1_700_000_000_000)
    half = len(DATA) // 2
    answer = send(client, location, 0, DATA[:half])
    assert (answer.status_code, answer.headers["upload-offset"]) == (204, str(half))
    [unfinished] = client.get("/api/uploads").json()["uploads"]
    assert (unfinished["name"], unfinished["size"]) == ("talk.mp3", len(DATA))
    assert (unfinished["offset"], unfinished["modified"]) == (half, 1_700_000_000)
    assert unfinished["expires"] == pytest.approx(time.time() + 24 * 3600, abs=60)
    assert offset_of(client, location) == half
    answer = send(client, location, half, DATA[half:])
    assert answer.status_code == 204, answer.text
    assert answer.headers["upload-new"] == "true"
    item = client.get(f"/api/items/{answer.headers['upload-item']}").json()
    assert (item["title"], item["state"], item["channel"]) == ("talk", "pending", "Uploads")
    assert item["upload_date"] == "2023-11-14"
    assert item["duration"] == pytest.approx(18, abs=1)
    [source] = client.get("/api/sources").json()["sources"]
    assert (source["title"], source["items"]) == ("Uploads", 1)
    assert files_of(library) == ["recordings/Uploads/talk.mp3"]
    assert (library / "recordings/Uploads/talk.mp3").read_bytes() == DATA
    assert client.get("/api/uploads").json()["uploads"] == []
    assert client.get(f"/media/{item['key']}").content == DATA


def test_the_source_lists_what_was_uploaded(client, monkeypatch):
    monkeypatch.setattr(unfinished_files, "CHANGING", 30.0)  # as for users
    assert "upload-warning" not in upload(client).headers
    client.post("/api/queue", json={"action": "sync"})
    listing = wait_until(
        lambda: (now := client.get("/api/queue").json()["listing"])["finished"] and now
    )
    [listed] = listing["sources"]
    assert (listed["items"], listed["new"], listed["warnings"]) == (1, 0, [])


def test_an_upload_is_transcribed_when_it_is_complete(client):
    answer = upload(client, transcribe="1")
    assert answer.headers["upload-transcribing"] == "true"
    second = upload(client, OTHER, "b.webm", transcribe="1")  # after the present run
    assert second.headers["upload-transcribing"] == "true"
    for each in (answer, second):
        address = f"/api/items/{each.headers['upload-item']}"
        wait_until(lambda address=address: client.get(address).json()["state"] == "done")
    text = client.get(f"/api/items/{answer.headers['upload-item']}").json()["transcript"]["text"]
    assert "quick brown fox" in text.lower()
    again = upload(client, transcribe="1")
    assert (again.headers["upload-new"], again.headers["upload-transcribing"]) == ("false", "false")


def test_the_same_recording_twice_is_one_item_and_one_file(client, library):
    first = upload(client)
    second = upload(client, name="another name.mp3")
    assert second.headers["upload-new"] == "false"
    assert second.headers["upload-item"] == first.headers["upload-item"]
    assert files_of(library) == ["recordings/Uploads/talk.mp3"]
    assert client.get("/api/items").json()["total"] == 1


def test_a_lost_file_is_replaced_by_uploading_it_again(client, library):
    first = upload(client)
    (library / "recordings/Uploads/talk.mp3").unlink()
    second = upload(client, name="again.mp3")
    assert second.headers["upload-item"] == first.headers["upload-item"]
    assert client.get(f"/media/{first.headers['upload-item']}").content == DATA


def test_two_files_of_one_name_are_both_kept(client, library):
    upload(client)
    upload(client, OTHER)
    assert files_of(library) == [
        "recordings/Uploads/talk (2).mp3",
        "recordings/Uploads/talk.mp3",
    ]
    assert client.get("/api/items").json()["total"] == 2


# --- Removing ---------------------------------------------------------------------------------------


def test_removing_an_item_deletes_its_uploaded_file(client, library, capsys):
    key = upload(client).headers["upload-item"]
    other = upload(client, OTHER, "b.webm").headers["upload-item"]
    assert remove(key, "--yes", library)
    assert "Removed 1 item and 1 uploaded file." in capsys.readouterr().err
    assert files_of(library) == ["recordings/Uploads/b.webm"]
    assert remove(other, "--yes", "--keep-files", library)
    assert files_of(library) == ["recordings/Uploads/b.webm"]
    client.post("/api/queue", json={"action": "sync"})
    wait_until(lambda: client.get("/api/items").json()["total"] == 1)  # it is listed again
    assert remove(other, "--yes", library)
    assert files_of(library) == []
    assert client.get("/api/sources").json()["sources"] == []  # nothing that sync could miss


def test_an_item_is_removed_with_its_file_by_the_api(client, library):
    key = upload(client).headers["upload-item"]
    preview = client.get(f"/api/items/{key}/removal").json()
    assert preview == {
        "items": 1,
        "transcripts": 0,
        "corrections": 0,
        "files": ["talk.mp3"],
        "bytes": len(DATA),
    }
    selected = client.post("/api/selection", json={"action": "preview-removal", "keys": [key]})
    assert selected.json() == preview
    stranger = httpx.delete(client.base_url.join(f"/api/items/{key}/removal"))
    assert stranger.status_code == 403
    with Library(library) as opened, opened.run_lock():
        assert client.delete(f"/api/items/{key}/removal").status_code == 400
    assert files_of(library) == ["recordings/Uploads/talk.mp3"]
    answer = client.delete(f"/api/items/{key}/removal")
    assert answer.json() == {"removed": 1, "files": ["talk.mp3"]}
    assert files_of(library) == []
    assert client.delete(f"/api/items/{key}/removal").status_code == 404


def test_a_file_may_stay_when_its_item_is_removed(client, library):
    key = upload(client).headers["upload-item"]
    answer = client.delete(f"/api/items/{key}/removal", params={"keep_files": "true"})
    assert answer.json() == {"removed": 1, "files": []}
    assert files_of(library) == ["recordings/Uploads/talk.mp3"]


def test_removing_an_item_leaves_the_users_own_file(client, library, tmp_path):
    own = tmp_path / "own.mp3"
    shutil.copy(SAMPLE, own)
    client.post("/api/queue", json={"action": "add", "url": str(own)})
    wait_until(lambda: client.get("/api/items").json()["total"] == 1)
    [item] = client.get("/api/items").json()["items"]
    assert upload(client).headers["upload-item"] == item["key"]  # not kept a second time
    assert files_of(library) == []
    assert remove(item["key"], "--yes", library)
    assert own.read_bytes() == DATA


# --- What should be known about a file --------------------------------------------------------------


def test_a_recording_that_is_incomplete_is_kept_and_said(client):
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setparams((1, 2, 16000, 0, "NONE", ""))
        wav.writeframes(bytes(64000))
    answer = upload(client, file.getvalue()[:40_000], "half.wav")
    assert answer.headers["upload-new"] == "true"
    warning = unquote(answer.headers["upload-warning"])
    assert warning == "half.wav is shorter than its header says: it is incomplete."
    assert "upload-warning" not in upload(client).headers


# --- Resuming ---------------------------------------------------------------------------------------


def test_what_arrived_before_the_connection_broke_is_kept(client, library):
    location = begin(client, 10_000_000)
    host, port = str(client.base_url).removeprefix("http://").rstrip("/").split(":")
    head = (
        f"PATCH {location} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 10000000\r\n"
        f"Authorization: Bearer {TOKEN}\r\nUpload-Offset: 0\r\n"
        "Content-Type: application/offset+octet-stream\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(head.encode() + bytes(3_000_000))
    wait_until(lambda: offset_of(client, location) == 3_000_000)


def test_a_restarted_server_continues_an_upload(library):
    with serving(library) as address, httpx.Client(base_url=address, headers=AUTHORIZED) as client:
        location = begin(client)
        send(client, location, 0, DATA[:50_000])
    with serving(library) as address, httpx.Client(base_url=address, headers=AUTHORIZED) as client:
        assert offset_of(client, location) == 50_000
        assert send(client, location, 50_000, DATA[50_000:]).headers["upload-item"]


@pytest.fixture
def slow_recording(monkeypatch):
    """Makes an item of a complete file only when the returned event is set."""
    go_on, record = threading.Event(), transfers.record_upload

    def wait(*arguments):
        assert go_on.wait(60)
        return record(*arguments)

    monkeypatch.setattr(transfers, "record_upload", wait)
    yield go_on
    go_on.set()


def test_an_upload_is_known_until_it_is_an_item(client, library, slow_recording):
    """A page that is loaded again meanwhile must not send the file again."""
    location = begin(client)
    with ThreadPoolExecutor() as threads:
        sent = threads.submit(send, client, location, 0, DATA)
        wait_until(lambda: (library / "recordings/Uploads/talk.mp3").exists())
        answer = client.head(location)
        assert (answer.status_code, answer.headers["upload-offset"]) == (200, str(len(DATA)))
        assert "upload-item" not in answer.headers
        assert [one["offset"] for one in client.get("/api/uploads").json()["uploads"]] == [
            len(DATA)
        ]
        late = client.delete(location)
        assert (late.status_code, late.json()["error"]["message"]) == (
            409,
            "The file has arrived: remove its item instead.",
        )
        again = threads.submit(send, client, location, len(DATA), b"")
        time.sleep(0.3)
        assert not again.done()
        slow_recording.set()
        key = sent.result().headers["upload-item"]
        assert again.result().headers["upload-item"] == key
    assert files_of(library) == ["recordings/Uploads/talk.mp3"]
    assert client.get("/api/items").json()["total"] == 1
    assert client.delete(location).status_code == 409


@pytest.mark.parametrize("step", ["before it is placed", "placed", "recorded"])
def test_the_next_start_finishes_what_a_killed_server_began(library, step):
    with serving(library) as address, httpx.Client(base_url=address, headers=AUTHORIZED) as client:
        begin(client, transcribe="1", modified=1_700_000_000_000)
    uploads = partial_uploads.PartialUploads(library / "recordings/.partial")
    [begun] = uploads.unfinished()
    uploads.append(begun, 0, DATA)
    if step != "before it is placed":
        path = uploads.place(begun, library / "recordings/Uploads")
        uploads.sweep()  # of the date of the file, which is old
    if step == "recorded":
        config = Config(library=library)
        with open_library(config) as opened, open_sources(config, opened) as sources:
            transfers.record_upload(opened, sources, path, threading.Event())
    with serving(library) as address, httpx.Client(base_url=address, headers=AUTHORIZED) as client:
        wait_until(lambda: files_of(library) == ["recordings/Uploads/talk.mp3"])
        wait_until(lambda: client.get("/api/items").json()["items"][0]["state"] == "done")
        [item] = client.get("/api/items").json()["items"]
        assert (item["title"], item["upload_date"]) == ("talk", "2023-11-14")
        assert client.head(f"/api/uploads/{begun.id}").headers["upload-item"] == item["key"]


def test_an_upload_whose_file_was_removed_is_not_known_any_more(client, library):
    location = begin(client)
    uploads = partial_uploads.PartialUploads(library / "recordings/.partial")
    [begun] = uploads.unfinished()
    uploads.append(begun, 0, DATA)
    uploads.place(begun, library / "recordings/Uploads").unlink()
    assert send(client, location, len(DATA), b"").status_code == 404
    assert client.head(location).status_code == 404
    assert files_of(library) == []


def test_of_two_servers_one_finishes_an_upload(tmp_path):
    stored = partial_uploads.PartialUploads(tmp_path)
    begun = stored.create("talk.mp3", 5, None, transcribe=False)
    with stored.lock(begun):
        stored.delete(begun)  # the other one has finished it
    with pytest.raises(HTTPException) as refused, stored.lock(begun):
        pass
    assert refused.value.status_code == 404
    assert list(tmp_path.iterdir()) == []


def test_a_client_that_missed_the_last_answer_gets_it_again(client):
    location = begin(client)
    sent = send(client, location, 0, DATA)
    answer = client.head(location)
    assert answer.headers["upload-offset"] == answer.headers["upload-length"] == str(len(DATA))
    assert answer.headers["upload-item"] == sent.headers["upload-item"]
    assert send(client, location, len(DATA), b"").headers["upload-item"]
    assert client.get("/api/items").json()["total"] == 1


@pytest.mark.parametrize("offset", [0, 99, 101, 10**14])
def test_bytes_at_another_offset_are_refused(client, offset):
    location = begin(client)
    send(client, location, 0, DATA[:100])
    assert send(client, location, offset, b"x").status_code == 409
    assert offset_of(client, location) == 100


def test_of_two_writers_at_one_offset_one_is_refused(tmp_path):
    """Both may have read the same offset before either of them writes."""
    stored = partial_uploads.PartialUploads(tmp_path)
    begun = stored.create("talk.mp3", 100, None, transcribe=False)
    stored.append(begun, 0, b"first")
    with pytest.raises(HTTPException, match="another offset"):
        stored.append(begun, 0, b"again")
    assert stored.offset(begun) == 5


def test_a_second_connection_takes_over_from_one_that_hangs(client):
    location = begin(client)
    host, port = str(client.base_url).removeprefix("http://").rstrip("/").split(":")
    head = (
        f"PATCH {location} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(DATA)}\r\n"
        f"Authorization: Bearer {TOKEN}\r\nUpload-Offset: 0\r\nConnection: close\r\n"
        "Content-Type: application/offset+octet-stream\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=30) as hanging:
        hanging.sendall(head.encode())
        time.sleep(0.3)
        assert send(client, location, 0, DATA[:1000]).status_code == 204
        hanging.sendall(bytes(len(DATA)))
        assert hanging.recv(100).startswith(b"HTTP/1.1 423")
    assert offset_of(client, location) == 1000
    assert send(client, location, 1000, DATA[1000:]).headers["upload-item"]


def test_a_slow_body_ends_and_what_arrived_is_kept(client, monkeypatch):
    monkeypatch.setattr(slow_bodies, "GRACE", 0.5)
    location = begin(client)
    host, port = str(client.base_url).removeprefix("http://").rstrip("/").split(":")
    head = (
        f"PATCH {location} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: {len(DATA)}\r\n"
        f"Authorization: Bearer {TOKEN}\r\nUpload-Offset: 0\r\n"
        "Content-Type: application/offset+octet-stream\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=30) as slow:
        slow.sendall(head.encode() + DATA[:100])
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
    assert offset_of(client, location) == 100


def test_an_upload_that_nobody_continues_is_removed_after_a_day(client, library):
    location = begin(client)
    part = next((library / "recordings/.partial").glob("*.part"))
    for hours, status in ((23, 200), (25, 404)):
        os.utime(part, (time.time(), time.time() - hours * 3600))
        client.get("/api/uploads")
        assert client.head(location).status_code == status
    assert files_of(library) == []


def test_a_server_removes_what_nobody_continued_while_none_ran(library):
    with serving(library) as address, httpx.Client(base_url=address, headers=AUTHORIZED) as client:
        begin(client)
    part = next((library / "recordings/.partial").glob("*.part"))
    os.utime(part, (time.time(), time.time() - 25 * 3600))
    with serving(library):
        wait_until(lambda: files_of(library) == [])


def test_a_cancelled_upload_is_deleted(client, library):
    location = begin(client)
    send(client, location, 0, DATA[:100])
    assert client.delete(location).status_code == 204
    assert client.head(location).status_code == 404
    assert files_of(library) == []


# --- Hostile and wrong uploads ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../../etc/passwd", "passwd"),
        ("..\\..\\talk.mp3", "talk.mp3"),
        ("/absolute/talk.mp3", "talk.mp3"),
        (".hidden.mp3", "hidden.mp3"),
        ("..", "recording"),
        ("", "recording"),
        ("con.mp3", "_con.mp3"),
        ("a\x01\nb\u202e.mp3", "a b.mp3"),
        ('<img src="x">: "y".mp3', "img src='x' - 'y'.mp3"),
        ("-rf.wav", "rf.wav"),
        ("河边.m4a", "河边.m4a"),
        ("no extension", "no extension"),
        ("ends.", "ends"),
        ("name.with spaces", "name.with spaces"),
    ],
)
def test_names_are_made_safe(client, library, name, kept):
    assert safe_file_name(name) == kept
    upload(client, name=name)
    assert files_of(library) == [f"recordings/Uploads/{kept}"]


def test_a_long_name_is_shortened_and_keeps_its_extension():
    name = safe_file_name("é" * 5000 + ".mp3")
    assert name.endswith("….mp3")
    assert len(name.encode()) <= NAME_BYTES


def test_uploaded_files_are_readable_by_their_owner_only(client, library):
    begin(client)
    upload(client)
    for path in (library / "recordings").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize(
    "data", [b"<html>not audio</html>", b"PK\x03\x04" + bytes(1000), bytes(5000)]
)
def test_what_is_not_a_recording_is_refused_and_deleted(client, library, data):
    answer = upload(client, data, "talk.mp3")
    assert answer.status_code == 400
    assert "talk.mp3" in answer.json()["error"]["message"]
    assert files_of(library) == []
    assert client.get("/api/items").json()["total"] == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 400),
        ({"Upload-Length": "-1"}, 400),
        ({"Upload-Length": "1e3"}, 400),
        ({"Upload-Length": "²"}, 400),
        ({"Upload-Length": "0"}, 400),
        ({"Upload-Length": "9" * 15}, 413),
        ({"Upload-Length": "5", "Upload-Metadata": "filename ???"}, 400),
        ({"Upload-Length": "5", "Upload-Metadata": "filename /w=="}, 400),
    ],
)
def test_an_invalid_upload_does_not_begin(client, library, headers, status):
    sent = {name: value.encode() for name, value in headers.items()}
    answer = client.post("/api/uploads", headers=sent)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert files_of(library) == []


def test_more_bytes_than_announced_are_refused(client, library):
    location = begin(client, 100)
    assert send(client, location, 0, bytes(101)).status_code == 413
    assert offset_of(client, location) == 0


def test_other_content_types_are_refused(client):
    location = begin(client)
    answer = client.patch(location, headers={"Upload-Offset": "0"}, content=DATA)
    assert answer.status_code == 415


@pytest.mark.parametrize("name", ["x", "../x", "0" * 31, "0" * 32, "0" * 33, "%2e%2e", "é"])
def test_unknown_uploads_are_not_found(client, name):
    for method in ("HEAD", "PATCH", "DELETE"):
        answer = client.request(method, f"/api/uploads/{name}", headers={"Upload-Offset": "0"})
        assert answer.status_code == 404


def test_uploading_needs_the_token(client, library):
    location = begin(client)
    stranger = httpx.Client(base_url=client.base_url)
    with stranger:
        assert stranger.post("/api/uploads", headers={"Upload-Length": "5"}).status_code == 403
        assert send(stranger, location, 0, b"x").status_code == 403
        assert stranger.delete(location).status_code == 403
    assert offset_of(client, location) == 0


def test_a_link_in_the_folder_of_parts_is_not_followed(client, library, tmp_path):
    location = begin(client)
    target = tmp_path / "target"
    target.write_bytes(b"")
    part = next((library / "recordings/.partial").glob("*.part"))
    part.unlink()
    part.symlink_to(target)
    assert send(client, location, 0, DATA).status_code == 404
    assert target.read_bytes() == b""


def test_a_disk_that_is_almost_full_takes_no_upload(client, library, monkeypatch):
    location = begin(client)
    usage = os.statvfs(library)
    free = DISK_RESERVE + len(DATA) + 1000
    monkeypatch.setattr(
        "shutil.disk_usage", lambda path: type("Usage", (), {"free": free, "total": usage.f_blocks})
    )
    answer = client.post("/api/uploads", headers={"Upload-Length": "2000"})  # the first is promised
    assert answer.status_code == 507
    assert "500.0 MB stay free" in answer.json()["error"]["message"]
    assert send(client, location, 0, DATA[:1000]).status_code == 204
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    assert send(client, location, 1000, DATA[1000:]).status_code == 507
    assert offset_of(client, location) == 1000


def test_the_number_of_unfinished_uploads_is_limited(client, monkeypatch):
    monkeypatch.setattr(partial_uploads, "MAX_PARTIAL", 2)
    begin(client)
    begin(client)
    assert client.post("/api/uploads", headers={"Upload-Length": "5"}).status_code == 429


def test_a_large_upload_needs_little_memory(client, library, monkeypatch):
    """No more than a part is held before it is written."""
    sizes = []
    append = partial_uploads.PartialUploads.append

    def watched(self, upload, offset, data):
        sizes.append(len(data))
        append(self, upload, offset, data)

    monkeypatch.setattr(partial_uploads.PartialUploads, "append", watched)
    location = begin(client, 30_000_000)
    assert send(client, location, 0, bytes(20_000_000)).status_code == 204
    assert sum(sizes) == 20_000_000
    assert max(sizes) < 2 * upload_api.WRITE_BYTES


def test_a_file_that_cannot_be_recorded_is_not_lost(client, library, monkeypatch):
    """The next request tries it again."""
    from homescribe.errors import UserError

    location = begin(client)

    def fail(*_):
        raise UserError("The library is locked.")

    with monkeypatch.context() as patched:
        patched.setattr(transfers, "record_upload", fail)
        assert send(client, location, 0, DATA).status_code == 400
    assert offset_of(client, location) == len(DATA)
    assert send(client, location, len(DATA), b"").headers["upload-item"]
    with Library(library) as opened:
        assert [record.item.title for record in opened.page().records] == ["talk"]
