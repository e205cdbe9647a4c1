"""The web server, tested without a browser: access, pages, recordings and the serve command."""

import re
import subprocess
import sys
from html.parser import HTMLParser

import httpx
import pytest

from homescribe import Item, Library, Segment, Transcript
from homescribe.cli.main import homescribe
from homescribe.core import Skipped
from homescribe.web.security import is_loopback
from web_server import (
    FOX,
    HOSTILE,
    HOSTILE_ITEM,
    PRIVATE,
    RETRYABLE,
    RIDGE,
    TOKEN,
    make_library,
    serving,
)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return make_library(tmp_path_factory.mktemp("web"))


@pytest.fixture(scope="module")
def base(library):
    with serving(library) as address:
        yield address


@pytest.fixture
def client(base):
    with httpx.Client(base_url=base) as client:
        yield client


def text_of(html):
    """The text of a page, on one line."""

    class Text(HTMLParser):
        def __init__(self):
            super().__init__()
            self.found = []

        def handle_data(self, data):
            self.found.append(data)

    parser = Text()
    parser.feed(html)
    return " ".join(" ".join(parser.found).split())


def tags_of(html):
    """Every tag of a page, with its attributes."""

    class Tags(HTMLParser):
        def __init__(self):
            super().__init__()
            self.found = []

        def handle_starttag(self, tag, attrs):
            self.found.append((tag, dict(attrs)))

    parser = Tags()
    parser.feed(html)
    return parser.found


# --- Access ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "["])
def test_a_foreign_host_is_refused(client, host):
    assert client.get("/", headers={"Host": host}).status_code in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8765"])
def test_names_of_this_machine_are_allowed(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1", "https://{host}"]
)
@pytest.mark.parametrize("path", ["/", "/api/items", "/v1/models"])
def test_a_foreign_origin_cannot_read(client, origin, path):
    origin = origin.format(host=client.base_url.netloc.decode())
    answer = client.get(path, headers={"Origin": origin})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_another_site_can_link_to_a_page_but_not_embed_it(client):
    site = {"Sec-Fetch-Site": "cross-site"}
    navigation = site | {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert client.get("/", headers=navigation).status_code == 200
    assert client.get("/", headers=navigation | {"Sec-Fetch-Dest": "iframe"}).status_code == 403
    assert (
        client.get(f"/media/{FOX}", headers=site | {"Sec-Fetch-Mode": "no-cors"}).status_code == 403
    )


def test_other_machines_need_the_token_for_everything(library):
    with serving(library, token_required=True) as address, httpx.Client(base_url=address) as client:
        for path in ("/", "/static/app.js", f"/media/{FOX}", "/?token=wrong"):
            assert client.get(path).status_code == 401
        assert client.get("/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        opened = client.get(f"/library?token={TOKEN}&sort=title")
        assert opened.status_code == 303
        assert opened.headers["location"] == "/library?sort=title"
        assert "httponly" in opened.headers["set-cookie"].lower()
        assert client.get("/library").status_code == 200  # with the cookie


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("nas", False)],
)
def test_loopback_addresses(host, own):
    assert is_loopback(host) == own


def test_pages_contain_no_inline_scripts(client):
    policy = dict(
        part.split(" ", 1)
        for part in client.get("/").headers["content-security-policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["media-src"] == "'self'"
    assert policy["frame-src"] == "https://www.youtube-nocookie.com"
    for path in ("/", "/library", f"/items/{RIDGE}", f"/items/{HOSTILE_ITEM}"):
        for tag, attributes in tags_of(client.get(path).text):
            assert not [name for name in attributes if name.startswith("on") or name == "style"]
            if tag == "script":
                assert attributes["src"].startswith("/static/")


def test_a_large_request_body_is_refused(client):
    answer = client.post("/api/queue", content=b" " * 1_100_000)
    assert answer.status_code == 413


# --- Pages -----------------------------------------------------------------------------------------


def test_hostile_titles_and_texts_are_escaped(client):
    page = client.get(f"/items/{HOSTILE_ITEM}")
    assert "<script>document" not in page.text
    assert "<img" not in page.text
    seen = text_of(page.text)
    assert " ".join(HOSTILE.split()) in seen
    assert "<img src=x onerror=\"document.title='owned'\">" in seen
    assert "{{ 7 * 7 }}" in seen


def test_a_search_result_links_to_its_first_word(client, library):
    results = client.get("/results", params={"q": '"quick brown fox"'}).text
    assert "<mark>quick</mark> <mark>brown</mark> <mark>fox</mark>" in results or (
        "<mark>quick brown fox</mark>" in results
    )
    start = re.search(rf'href="/items/{FOX}\?q=[^"]*&amp;t=([0-9.]+)"', results)[1]
    with Library(library) as opened:
        words = [w for s in opened.transcript(FOX).segments for w in s.words]
    quick = next(word for word in words if word.word.strip() == "quick")
    assert float(start) == pytest.approx(quick.start, abs=0.01)


def test_a_library_without_transcripts_says_so_to_a_search(tmp_path):
    with (
        serving(tmp_path / "empty") as address,
        httpx.Client(base_url=address) as client,
    ):
        for path in ("/", "/results"):
            text = client.get(path, params={"q": "wood"}).text
            assert "Nothing is transcribed yet." in text
            assert "No results" not in text


def test_bidirectional_controls_do_not_reorder_a_page(tmp_path):
    library = make_library(tmp_path)
    with Library(library) as opened:
        opened.correct(FOX, 0, "The \u202eoverride\u2066 words")
    with serving(library) as address, httpx.Client(base_url=address) as client:
        pages = [
            client.get(f"/items/{FOX}").text,
            client.get("/results", params={"q": "override"}).text,
        ]
    for text in pages:
        assert re.search("[\u202a-\u202e\u2066-\u2069]", text) is None
        assert "The \u2060" in text


def test_an_unfinished_word_is_found(client):
    assert "<mark>wooden</mark>" in client.get("/results", params={"q": "wood"}).text
    assert "No results" in client.get("/results", params={"q": '"wood"'}).text


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"channel": "samples"}, True),
        ({"channel": "Ridge"}, False),
        ({"language": "en", "source": "file"}, True),
        ({"language": "zh"}, False),
        ({"since": "2026-01-06", "until": "2026-01-06"}, True),
        ({"since": "2026-01-07"}, False),
    ],
)
def test_search_filters(client, filters, found):
    results = client.get("/results", params={"q": "quick", **filters}).text
    assert ("<mark>quick</mark>" in results) == found


def test_an_invalid_date_is_an_error(client):
    answer = client.get("/results", params={"q": "fox", "since": "yesterday"})
    assert answer.status_code == 400
    assert "not a date" in answer.text


def test_the_library_is_sorted_filtered_and_paginated(client):
    def titles(**query):
        return re.findall(
            r'class="name"><a[^>]*><bdi>([^<]*)', client.get("/library", params=query).text
        )

    assert titles(sort="title", source="youtube") == ["A private one", "A wooden spoon"]
    assert titles(sort="longest", source="youtube") == ["A private one", "A wooden spoon"]
    assert titles(sort="newest", channel="samples") == ["channel", "fox"]
    assert titles(state="failed") == ["A private one", "Comes later"]
    assert titles(state="pending") == ["Brand new"]
    assert titles(offset=1000) == []


def test_ten_thousand_items_are_paginated(tmp_path):
    from homescribe import Item, Listing

    items = [Item("web", f"{n}", f"https://x.example/{n}", f"Talk {n:05}") for n in range(10_000)]
    with Library(tmp_path) as library:
        library.record("ytdlp", Listing("https://x.example", "Talks", iter(())), items)
    with serving(tmp_path) as address:
        page = httpx.get(f"{address}/library", params={"sort": "title", "offset": 9950}).text
    assert "Talk 09999" in page
    assert "Talk 09949" not in page
    assert "9,951 to 10,000 of 10,000" in page
    assert len(page) < 100_000


def test_an_item_without_a_transcript_shows_the_error(client):
    seen = text_of(client.get(f"/items/{PRIVATE}").text)
    assert "This video is private. Ask its owner." in seen
    assert "tries it again" in text_of(client.get(f"/items/{RETRYABLE}").text)


@pytest.mark.parametrize(
    "path", ["/items/youtube:none", "/items/ridge000000", "/nothing", "/media/nothing", "/items/"]
)
def test_unknown_addresses_are_not_found(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert "<h1>" in answer.text


def test_an_unknown_page_is_reported_in_words(client):
    assert "<h1>Page not found.</h1>" in client.get("/nothing").text


def test_static_files_of_one_page_have_one_version(client):
    """Modules import each other by relative path, so a cached page must not mix versions."""
    found = re.findall(r"/static/(\w+)/[\w.]+", client.get(f"/items/{RIDGE}").text)
    assert len(found) >= 4
    assert len(set(found)) == 1
    script = client.get(f"/static/{found[0]}/app.js")
    assert script.status_code == 200
    assert "immutable" in script.headers["cache-control"]


# --- Recordings ------------------------------------------------------------------------------------


def test_a_recording_is_served_by_its_key_and_in_ranges(client, library):
    whole = client.get(f"/media/{FOX}")
    assert whole.headers["content-type"] == "audio/mpeg"
    assert whole.headers["accept-ranges"] == "bytes"
    part = client.get(f"/media/{FOX}", headers={"Range": "bytes=100-199"})
    assert part.status_code == 206
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert part.content == whole.content[100:200]
    beyond = client.get(f"/media/{FOX}", headers={"Range": "bytes=99999999-"})
    assert beyond.status_code == 416


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../library.db", "%2e%2e%2flibrary.db", "fox", RIDGE, "file:../fox"]
)
def test_media_are_never_addressed_by_path(client, name):
    assert client.get(f"/media/{name}").status_code == 404


def test_only_existing_recordings_are_served(tmp_path):
    from homescribe import Item, Listing

    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    items = [
        Item("file", "s", str(secret), "s"),
        Item("file", "g", str(tmp_path / "gone.mp3"), "g"),
    ]
    with Library(tmp_path / "library") as library:
        library.record("file", Listing(str(tmp_path), "x", iter(())), items)
    with serving(tmp_path / "library") as address:
        assert httpx.get(f"{address}/media/file:s").status_code == 404
        assert httpx.get(f"{address}/media/file:g").status_code == 404


# --- homescribe serve ------------------------------------------------------------------------------


def test_serve_prints_its_address_and_ends_on_ctrl_c(tmp_path):
    import signal

    command = [sys.executable, "-m", "homescribe", "--library", str(tmp_path), "serve", "--no-open"]
    with subprocess.Popen([*command, "--port", "0"], stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        address = re.search(r"http://127\.0\.0\.1:\d+/", line)[0]
        assert "Your library is empty" in httpx.get(address).text
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.wait(20) == 0
    assert "Traceback" not in rest


def test_a_port_in_use_is_a_one_line_error(base, library):
    port = base.rpartition(":")[2]
    command = [sys.executable, "-m", "homescribe", "--library", str(library), "serve", "--no-open"]
    done = subprocess.run([*command, "--port", port], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--port 0" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_line_does_not_import_the_server():
    assert "serve" in homescribe.commands
    code = (
        "import homescribe.cli.main, sys; print('uvicorn' in sys.modules, 'jinja2' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_a_missing_extra_is_reported(tmp_path):
    code = (
        "import sys; sys.modules['starlette'] = sys.modules['uvicorn'] = None\n"
        "from homescribe.cli.main import main; main(['--library', sys.argv[1], 'serve', '--no-open'])"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "install 'homescribe[web]'" in done.stderr


# --- What a transcript covers ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed(library):
    """An item in two languages with a hole and a warning, and one without speech."""
    warning = "Audio track 2 of 2 was used: track 1 is <b>silent</b>."
    said = (
        Segment(0.0, 62.0, " Good evening.", language="en"),
        Segment(100.0, 138.0, " مساء الخير.", language="ar"),
    )
    with Library(library) as opened:
        opened.save(
            Item("podcast", "mixed", "https://pod.example/mixed", "Mixed", duration=138.0),
            Transcript(
                *("faster-whisper", "base", "en", 138.0, said),
                skipped=(Skipped(62.0, 100.0, "no_speech"),),
                warnings=(warning,),
            ),
        )
        opened.save(
            Item("podcast", "silent", "https://pod.example/silent", "Silent", duration=60.0),
            Transcript("faster-whisper", "base", "und", 60.0, ()),
        )
    return warning


def test_the_page_of_an_item_has_languages_holes_and_warnings(client, mixed):
    page = client.get("/items/podcast:mixed").text
    assert "Languages: en 62 %, ar 38 %." in text_of(page)
    assert "Without text: 38 s: 1:02 to 1:40." in text_of(page)
    assert mixed in text_of(page)
    assert "[no speech, 1:02 to 1:40]" in text_of(page)
    paragraphs = [attrs for tag, attrs in tags_of(page) if attrs.get("class") == "paragraph"]
    assert [(each.get("lang"), each.get("dir")) for each in paragraphs] == [
        (None, None),
        ("ar", "rtl"),
    ]
    assert text_of(page).index("Good evening.") < text_of(page).index("[no speech")
    silent = text_of(client.get("/items/podcast:silent").text)
    assert "No speech was found." in silent
    assert "und" not in silent.split()


def test_the_list_and_the_api_say_that_no_speech_was_found(client, mixed):
    assert text_of(client.get("/library").text).count("No speech was found.") == 1
    assert client.get("/api/items/podcast:silent").json()["speech"] is False
    record = client.get("/api/items/podcast:mixed").json()
    assert record["languages"] == {"en": 62.0, "ar": 38.0}
    assert record["transcript"]["homescribe"]["skipped_seconds"] == 38.0
    assert record["warnings"] == record["transcript"]["homescribe"]["warnings"] == [mixed]
    items = client.get("/api/items", params={"language": "ar"}).json()["items"]
    assert {item["key"] for item in items} == {"podcast:ar", "podcast:mixed"}


def test_search_suggests_words_and_sorts_by_date(client):
    page = client.get("/results", params={"q": "quikc"}).text
    assert "Did you mean" in page
    assert 'href="/?q=quick"' in page
    answer = client.get("/api/search", params={"q": "quikc"}).json()
    assert (answer["hits"], answer["did_you_mean"]) == ([], "quick")
    page = client.get("/", params={"q": "fox", "sort": "date"}).text
    assert '<option value="date" selected>' in page
    assert client.get("/api/search", params={"q": "fox", "sort": "size"}).status_code == 400
