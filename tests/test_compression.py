"""What is compressed, for whom, and what never is."""

import gzip
import zlib

import httpx
import pytest

from homescribe.core import Item, Listing
from homescribe.library import Library
from homescribe.web.jinja import static
from web_server import FOX, TOKEN, make_library, serving

GZIP = {"Accept-Encoding": "gzip, deflate"}
NOTES = "https://notes.example"
TEXTS = (
    *("/", "/?q=fox", "/library", "/queue", "/statistics", f"/items/{FOX}", "/nothing"),
    *("/api/items", f"/api/items/{FOX}", "/openapi.json"),
)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return make_library(tmp_path_factory.mktemp("compressed") / "library")


@pytest.fixture(scope="module")
def base(library):
    with serving(library, origins=[NOTES]) as address:
        yield address


def sent(address, **headers):
    """The headers and the bytes of a body, as they are sent."""
    with httpx.stream("GET", address, headers=headers) as response:
        return response.headers, b"".join(response.iter_raw())


@pytest.mark.parametrize("path", [*TEXTS, static("app.js"), static("style.css")])
def test_pages_scripts_and_json_are_compressed(base, path):
    plain, content = sent(base + path, **{"Accept-Encoding": "identity"})
    headers, body = sent(base + path, **GZIP)
    assert "content-encoding" not in plain
    assert headers["content-encoding"] == "gzip"
    assert int(headers["content-length"]) == len(body) < len(content) / 1.5
    assert plain["vary"] == headers["vary"] == "Accept-Encoding"
    assert headers["content-type"] == plain["content-type"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers.get("cache-control") == plain.get("cache-control")
    assert gzip.decompress(body) == content


@pytest.mark.parametrize(
    "accepted", ["", "identity", "br", "gzip;q=0", "gzip; q=0.0, br", "*", "x-gzip"]
)
def test_who_does_not_ask_for_gzip_gets_none(base, accepted):
    assert "content-encoding" not in sent(f"{base}/", **{"Accept-Encoding": accepted})[0]


@pytest.mark.parametrize(
    "path",
    [
        *(f"/media/{FOX}", "/api/queue/events", "/export/txt.zip", f"/export/txt/{FOX}"),
        *("/health", "/api/access", static("icon.svg")),
    ],
)
def test_recordings_streams_archives_and_what_is_small_are_not(base, path):
    with httpx.stream("GET", base + path, headers=GZIP) as response:
        assert response.status_code == 200
        assert "content-encoding" not in response.headers or path.endswith("icon.svg")


def test_a_part_of_a_file_is_a_part_of_its_content(base):
    for path in (static("app.js"), f"/media/{FOX}"):  # large enough to be compressed
        whole = httpx.get(base + path).content
        headers, part = sent(base + path, Range="bytes=10-2009", **GZIP)
        assert "content-encoding" not in headers
        assert part == whole[10:2010]


def test_events_arrive_at_once(base):
    with httpx.stream("GET", f"{base}/api/queue/events", headers=GZIP) as response:
        assert next(response.iter_raw()).startswith(b"retry:")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_site_causes_is_not_compressed(base, site):
    """So that the sizes of bodies tell it nothing about what is in them beside its own text."""
    link = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    headers, body = sent(f"{base}/?q=guess", **GZIP, **link)
    assert "content-encoding" not in headers
    assert b"<!doctype html>" in body
    script = {"Sec-Fetch-Site": site, "Origin": NOTES}
    headers, _ = sent(f"{base}/api/items", **GZIP, **script)
    assert headers["access-control-allow-origin"] == NOTES
    assert "content-encoding" not in headers
    for own in ("same-origin", "none"):
        headers, _ = sent(f"{base}/?q=guess", **GZIP, **{"Sec-Fetch-Site": own})
        assert headers["content-encoding"] == "gzip"


def test_no_body_contains_the_token(library):
    with serving(library, token_required=True) as address:
        cookie = {"Cookie": f"homescribe={TOKEN}", "Authorization": f"Bearer {TOKEN}"}
        for path in TEXTS:
            assert TOKEN not in httpx.get(address + path, headers=cookie).text, path


def test_a_page_of_the_library_is_small(tmp_path):
    items = [
        Item(
            *("youtube", f"talk{n:07}", f"https://www.youtube.com/watch?v=talk{n:07}"),
            *(f"Talk {n:03}: what {n * 7919} winters in the hut have taught us", f"Channel {n}"),
            *("UC", 60.0 + n, "2026-03-11"),
        )
        for n in range(1000)
    ]
    with Library(tmp_path) as library:
        library.record("ytdlp", Listing("https://www.youtube.com/@t", "T", iter(())), items)
    with serving(tmp_path) as address:
        headers, body = sent(f"{address}/library", **GZIP)
        assert headers["content-encoding"] == "gzip"
        assert len(body) < 20_000
        assert len(zlib.decompress(body, wbits=31)) < 100_000
