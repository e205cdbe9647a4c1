"""Pages and uploads where nothing can be stored: the disk is full, or the library is read-only."""

import errno
import os
import shutil
import sqlite3
import threading
from pathlib import Path

import httpx
import pytest

from homescribe import demo
from homescribe.library import Library
from homescribe.web import storage
from homescribe.web.uploads import Uploads
from web_server import FOX, TOKEN, make_library, serving

PAGES = ("/", "/library", "/queue", "/statistics", f"/items/{FOX}", "/nothing")
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def library(tmp_path):
    return make_library(tmp_path / "library")


def leave_free(monkeypatch, free):
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)


@pytest.mark.parametrize(
    ("free", "said"),
    [
        (10**12, None),
        (3 * 10**8, "almost full (300.0 MB are free): nothing is downloaded until 500.0 MB"),
        (1000, "is full: nothing can be stored"),
    ],
)
def test_every_page_says_that_the_disk_is_full(library, monkeypatch, free, said):
    with serving(library) as address, httpx.Client(base_url=address) as client:
        leave_free(monkeypatch, free)
        texts = [client.get(path).text for path in PAGES]
        assert [said in text if said else "banner" in text for text in texts] == [True] * len(PAGES)
        assert ['banner" role="status" hidden' in text for text in texts] == [not said] * len(PAGES)
        problem = client.get("/api/queue").json()["storage_problem"]
        assert problem is None if said is None else said in problem


def test_every_page_says_that_the_library_is_read_only(library, monkeypatch):
    with serving(library) as address, httpx.Client(base_url=address) as client:
        path = library / "library.db"
        monkeypatch.setattr(storage.os, "access", lambda tried, mode: tried != path)
        for page in PAGES:
            assert f"read-only, because {path}" in client.get(page).text


@pytest.mark.parametrize("killed", [False, True])
def test_a_library_on_a_full_disk_is_served(library, monkeypatch, killed):
    """Without the file through which processes share it; `killed` left changes in the log."""
    if killed:
        opened = Library(library)
        opened.correct(FOX, 0, "A correction.")
        files = ("library.db", "library.db-wal")
        contents = [(library / name).read_bytes() for name in files]
        opened.close()
        for name, content in zip(files, contents, strict=True):
            (library / name).write_bytes(content)

    def no_room(path):
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
        raise error

    monkeypatch.setattr("homescribe.library.connection._open", no_room)
    leave_free(monkeypatch, 0)
    with (
        serving(library) as address,
        httpx.Client(base_url=address, timeout=20, headers=AUTHORIZED) as client,
    ):
        statuses = []
        threads = [
            threading.Thread(target=lambda path=path: statuses.append(client.get(path).status_code))
            for path in PAGES
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [200] * 5 + [404]
        answer = client.put(f"/api/items/{FOX}/segments/0", json={"text": "x"})
        assert (answer.status_code, "disk is full" in answer.text) == (400, True)


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (errno.ENOSPC, 507, "cannot be stored: No space left on device."),
        (errno.EROFS, 507, "cannot be stored: Read-only file system."),
        (errno.EIO, 500, "Internal error."),
    ],
)
@pytest.mark.parametrize("where", ["form", "directory"])
def test_an_upload_that_cannot_be_stored_is_an_error_with_the_reason(
    library, monkeypatch, number, status, said, where
):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    if where == "form":
        monkeypatch.setattr("starlette.datastructures.UploadFile.write", fail)
    else:
        monkeypatch.setattr(Uploads, "directory", fail)
    recording = Path(demo.samples() / "fox-20s.mp3").read_bytes()
    with serving(library) as address:
        answer = httpx.post(
            f"{address}/v1/audio/transcriptions", files={"file": recording}, timeout=30
        )
        assert (answer.status_code, said in answer.json()["error"]["message"]) == (status, True)
        monkeypatch.undo()
        # Its place is free again.
        assert httpx.post(f"{address}/v1/audio/transcriptions").status_code == 400
