"""The web server as an attacker sees it: hostile requests, files and recordings."""

import contextlib
import json
import os
import select
import socket
import stat
import subprocess
import sys
import threading

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homescribe import Item, Library, Listing, demo
from homescribe.core import SourceOptions
from homescribe.pipeline import Sources, add
from homescribe.pipeline.crash_log import internal_error
from homescribe.web import api, slow_bodies, uploads
from web_server import FOX, RIDGE, TOKEN, make_library, serving

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
SAMPLE = demo.samples() / "fox-20s.mp3"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    with serving(make_library(tmp_path_factory.mktemp("attacked"))) as address:
        yield address


# --- Any request ------------------------------------------------------------------------------------

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
# Without those that start a run or a listing of the machine that the test runs on from a body like these.
ACTIONS = st.sampled_from([*sorted(api.ACTIONS.keys() - {"add", "run", "sync"}), "none"])
BODIES = st.binary() | st.fixed_dictionaries(
    {"action": ACTIONS | ANY_JSON},
    optional={
        "key": ANY_JSON,
        "keys": ANY_JSON,
        "model": ANY_JSON,
        "language": ANY_JSON,
        "speakers": ANY_JSON,
        "text": ANY_JSON,
        "x": ANY_JSON,
    },
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *("Origin", "Host", "Cookie", "Range", "If-Range", "Content-Type", "Content-Length"),
            *("Sec-Fetch-Site", "Accept", "Upload-Length", "Upload-Offset", "Upload-Metadata"),
            *("Access-Control-Request-Method", "Tus-Resumable"),
        ]
    ),
    st.text(
        st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=20
    ),
)
PATHS = st.sampled_from(
    [
        *(
            "/",
            "/results",
            "/library",
            "/queue",
            "/api/items",
            "/api/search",
            "/api/queue",
            "/api/status",
        ),
        *(
            f"/items/{RIDGE}",
            f"/media/{FOX}",
            f"/export/srt/{FOX}",
            "/v1/models",
            "/static/x/app.js",
        ),
        *(f"/api/items/{RIDGE}/segments/0", f"/api/items/{RIDGE}/segments/{'9' * 30}"),
        f"/api/items/{RIDGE}/segments/{'9' * 5000}",
        *("/api/settings", "/api/uploads", "/api/uploads/x", f"/api/uploads/{'0' * 32}", "/add"),
        "/v1/audio/transcriptions",
    ]
)
QUERIES = st.dictionaries(
    st.sampled_from(
        [
            *("q", "raw", "channel", "since", "until", "language", "source", "state", "sort"),
            *("limit", "offset", "token"),
        ]
    ),
    st.text(max_size=12),
    max_size=4,
)


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]),
    path=PATHS | st.text(max_size=20).map(lambda text: f"/{text}"),
    query=QUERIES,
    headers=HEADERS,
    body=BODIES,
    authorized=st.booleans(),
)
def test_no_request_is_an_internal_error(base, method, path, query, headers, body, authorized):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    if "Content-Length" in sent:
        sent["Content-Length"] = str(len(content)).encode()
    with httpx.Client(base_url=base, timeout=30) as client:
        try:
            answer = client.request(
                method,
                path,
                params={name: value.encode(errors="replace") for name, value in query.items()},
                headers=sent | (AUTHORIZED if authorized else {}),
                content=content,
            )
        except (httpx.InvalidURL, httpx.LocalProtocolError):  # not sent
            return
    assert answer.status_code < 500


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/queue HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: \xb2\r\n\r\n",
        b"POST /api/queue HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: "
        + b"9" * 5000
        + b"\r\n\r\n",
        b"GET /%00%ff%ed%a0%80 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /items/%ed%a0%80 HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: \xff=\xfe\r\n\r\n",
    ],
)
def test_malformed_heads_are_refused(base, head):
    host, port = base.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(head)
        status = connection.recv(100)
    assert status[9:10] == b"4", status


# --- Recordings -------------------------------------------------------------------------------------


def test_only_recordings_inside_what_was_added_are_served(tmp_path):
    talks, other = tmp_path / "talks", tmp_path / "other"
    talks.mkdir()
    other.mkdir()
    for path in (talks / "good.mp3", other / "private.mp3", tmp_path / "single.mp3"):
        path.write_bytes(SAMPLE.read_bytes())
    (talks / "text.mp3").write_text("secret")
    (talks / "link.mp3").symlink_to(other / "private.mp3")
    (talks / "below").symlink_to(other)
    os.mkfifo(talks / "pipe.mp3")
    names = {
        "good": (talks / "good.mp3", 200),
        "text": (talks / "text.mp3", 404),
        "link": (talks / "link.mp3", 404),
        "below": (talks / "below/private.mp3", 404),
        "pipe": (talks / "pipe.mp3", 404),
        "outside": (other / "private.mp3", 404),
        "dots": (f"{talks}/../other/private.mp3", 404),
        "single": (tmp_path / "single.mp3", 200),
    }
    items = [Item("file", name, str(path), name) for name, (path, _) in names.items()]
    library = tmp_path / "library"
    with Library(library) as opened:
        opened.record("file", Listing(str(talks), "talks", iter(())), items)
        opened.record("file", Listing(str(tmp_path / "single.mp3"), "s", iter(())), items[-1:])
    with serving(library) as address:
        found = {name: httpx.get(f"{address}/media/file:{name}").status_code for name in names}
    assert found == {name: status for name, (_, status) in names.items()}


# --- Uploads ----------------------------------------------------------------------------------------


def test_many_uploads_wait_in_a_queue_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_UPLOADS", 2)
    release = threading.Event()

    def transcribe(*_):
        release.wait(60)
        raise RuntimeError("never reached in this test") if not release.is_set() else ValueError

    monkeypatch.setattr("homescribe.web.openai_api._transcribe", transcribe)
    with serving(tmp_path) as address, httpx.Client(base_url=address, timeout=60) as client:
        statuses = []

        def upload():
            answer = client.post("/v1/audio/transcriptions", files={"file": b"x"})
            statuses.append((answer.status_code, answer.headers.get("retry-after")))

        threads = [threading.Thread(target=upload) for _ in range(12)]
        for thread in threads:
            thread.start()
        while len(statuses) < 10:
            threading.Event().wait(0.02)
        assert statuses == [(429, "30")] * 10
        assert client.get("/", timeout=10).status_code == 200
        release.set()
        for thread in threads:
            thread.join()


def begin_request(address, path, length, body, headers=()):
    """Send the head of a POST and the beginning of its body; returns the open connection."""
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    lines = [
        *(f"POST {path} HTTP/1.1", f"Host: {host}:{port}", f"Content-Length: {length}"),
        "Content-Type: multipart/form-data; boundary=b",
        *headers,
    ]
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    return connection


def answer_of(connection):
    """What the server sends until it closes the connection."""
    with connection, contextlib.suppress(ConnectionError):
        return b"".join(iter(lambda: connection.recv(65536), b""))


FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'


def test_a_slow_client_does_not_hold_a_place(tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "MAX_UPLOADS", 2)
    monkeypatch.setattr(slow_bodies, "GRACE", 1.0)
    with serving(tmp_path) as address:
        slow = [
            begin_request(address, "/v1/audio/transcriptions", 10_000_000, FORM) for _ in range(2)
        ]
        while httpx.post(f"{address}/v1/audio/transcriptions", data={"a": "b"}).status_code != 429:
            pass  # until both hold their place
        dripping = begin_request(
            address, "/api/queue", 1000, b"{", [f"Authorization: Bearer {TOKEN}"]
        )
        with contextlib.suppress(ConnectionError):  # a byte now and then makes no difference
            for _ in range(100):
                dripping.sendall(b" ")
                if select.select([dripping], [], [], 0.1)[0]:
                    break
        answers = list(map(answer_of, (*slow, dripping)))
        assert [answer.split(b"\r\n")[0] for answer in answers] == [
            b"HTTP/1.1 408 Request Timeout"
        ] * 3
        assert all(b"arrives too slowly" in answer for answer in answers)
        # The places are free: this one has no file.
        assert httpx.post(f"{address}/v1/audio/transcriptions").status_code == 400


def test_a_client_that_is_fast_enough_may_take_long(tmp_path, monkeypatch):
    monkeypatch.setattr(slow_bodies, "GRACE", 0.5)
    rest = b"x" * 60_000 + b"\r\n--b--\r\n"
    with serving(tmp_path) as address:
        length = len(FORM) + len(rest)
        connection = begin_request(address, "/v1/audio/transcriptions", length, FORM)
        for first in range(0, len(rest), 6000):  # 10 parts: two seconds
            connection.sendall(rest[first : first + 6000])
            threading.Event().wait(0.2)
        with connection:
            assert connection.recv(100).startswith(b"HTTP/1.1 400")  # it is no recording


def test_uploads_of_a_killed_server_are_deleted(tmp_path):
    folder = tmp_path / "uploads"
    code = (
        "import os, sys; from pathlib import Path; from homescribe.web.uploads import Uploads\n"
        "with Uploads(Path(sys.argv[1])).directory() as directory:\n"
        "    (directory / 'recording').write_bytes(b'x'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    assert list(folder.rglob("recording"))
    running = uploads.Uploads(folder)
    with running.directory() as directory:
        (directory / "recording").write_bytes(b"y")
        uploads.Uploads(folder).sweep()
        assert [path.read_bytes() for path in folder.rglob("recording")] == [b"y"]
    running.close()
    assert not folder.exists()


def test_the_token_is_not_an_argument_of_the_browser(tmp_path, monkeypatch):
    from homescribe.web import server

    opened = []
    monkeypatch.setattr(server.webbrowser, "open", opened.append)
    server._open_page(tmp_path / "open-page.html", f"http://127.0.0.1:1/#token={TOKEN}")
    assert opened == [(tmp_path / "open-page.html").as_uri()]
    assert TOKEN in (tmp_path / "open-page.html").read_text()
    assert stat.S_IMODE((tmp_path / "open-page.html").stat().st_mode) == 0o600


# --- Files ------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_a_new_library_is_readable_by_its_owner_only(tmp_path):
    before = os.umask(0o022)
    try:
        with Library(tmp_path / "library") as library, library.run_lock():
            folder = library.directory
            library.record("fake", Listing("x", "x", iter(())), [Item("x", "1", "u", "t")])
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert set(modes.values()) == {0o600}, modes


def modes(folder):
    """Return the modes of everything below `folder`, but not its own, by path."""
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*")
    }


def private(found):
    """Return which of `modes` are of files and folders that others cannot read."""
    return {path for path, mode in found.items() if mode in (0o600, 0o700)}


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_a_new_library_in_an_existing_folder_is_readable_by_its_owner_only(tmp_path, server):
    """Feeds, and errors with addresses in them, may have tokens."""
    folder = tmp_path / "library"
    before = os.umask(0o022)
    try:
        folder.mkdir()
        with (
            Library(folder) as library,
            Sources(SourceOptions(cache=folder / "cache")) as sources,
        ):
            list(add(library, sources, server.url("/feed.xml"), threading.Event()))
            internal_error(ValueError("a bug"), folder, "listing", "https://a.example/")
            with library.run_lock():
                found = modes(folder)
    finally:
        os.umask(before)
    for name in ("cache/feeds/*", "logs/*.log", "run.pid", "library.db-wal"):
        assert list(folder.glob(name)) or name in found
    assert set(found) - private(found) == set()


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_what_an_earlier_version_left_readable_is_restricted(tmp_path):
    folder = tmp_path / "library"
    with Library(folder):
        pass
    for name in ("cache", "downloads", "logs", "exports"):
        (folder / name).mkdir(mode=0o755)
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    (folder / "uploads").symlink_to(tmp_path / "elsewhere")
    (folder / "library-v9.db").touch()
    for name, mode in {"library.db": 0o644, "library-v9.db": 0o664}.items():
        (folder / name).chmod(mode)
    with Library(folder) as library:
        library.record("fake", Listing("x", "x", iter(())), [Item("x", "1", "u", "t")])
        found = modes(folder)
    assert set(found) - private(found) == {"exports", "uploads"}
    (folder / "library.db").chmod(0o640)  # as somebody chose it
    with Library(folder):
        assert modes(folder)["library.db"] == 0o640
