"""A static site can be read and searched from a disk and from a server, and nothing in it runs or leaks."""

import functools
import http.server
import json
import os
import re
import threading
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import expect

from homescribe.cli.main import run as run_command
from homescribe.core import Chapter, Item, Segment, Speaker
from homescribe.errors import UserError
from homescribe.library import Library
from homescribe.static_site.search_index import DIGITS, _encoded, words
from homescribe.static_site.site_writer import LIST, write_site
from pages import PHONE, check_view
from transcripts import HOSTILE, ITEM, spoken, transcript

TALK = replace(
    transcript(
        Segment(0, 4, " Der Zug nach Köln fährt ab.", speaker="A"),
        Segment(4, 8, " The railway station is old.", speaker="A"),
        Segment(70, 75, " I like trains and gardens.", speaker="B"),
    ),
    speakers=(Speaker("A", name="Ann Lee"), Speaker("B", name="Bob")),
)
RECORDINGS = [
    (
        replace(ITEM, title="Trains", chapters=(Chapter(0, 60, "Köln"), Chapter(60, 80, "End"))),
        TALK,
    ),
    (replace(ITEM, id="two", title="Gardens"), spoken(" A garden.", " The station garden is new.")),
    (
        Item("file", "0a1b", "/home/me/secret path/weather.mp3", "Weather"),
        replace(spoken(" 今天天气很好我们去公园。", " مرحبا"), language="zh"),
    ),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    directory = tmp_path_factory.mktemp("site")
    assert write_site(directory, "Jawed", RECORDINGS) == 3
    return directory


@pytest.fixture(scope="module")
def served(site, browser):
    """The address of a plain file server. `browser` first: Playwright must outlive the server's thread."""
    handler = functools.partial(Silent, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Print nothing."""


@pytest.fixture(params=["disk", "server"])
def opened(request, browser, site, served):
    """The page with the search, opened from a disk or a server; fails on errors and other requests."""
    address = site.as_uri() if request.param == "disk" else served
    context = browser.new_context()
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.on(
        "request",
        lambda request: request.url.startswith(address) or problems.append(request.url),
    )
    page.goto(f"{address}/index.html")
    yield page
    context.close()
    assert [problem for problem in problems if "favicon" not in problem] == []


def test_search_finds_words_and_leads_to_the_line(opened):
    expect(opened.locator("#recordings li")).to_have_count(3)
    opened.locator("#q").fill("koln fahrt")  # as people type it
    expect(opened.locator("#status")).to_have_text("1 paragraph")
    expect(opened.locator("#recordings")).to_be_hidden()
    hit = opened.locator("a.hit")
    expect(hit).to_contain_text("Ann Lee: Der Zug nach Köln fährt ab.")
    assert hit.locator("mark").all_text_contents() == ["Köln", "fährt"]
    hit.click()
    expect(opened.locator("h1")).to_have_text("Trains")
    assert opened.url.endswith("#t0")
    expect(opened.locator("mark")).to_have_text(["Köln", "fährt"])
    assert opened.evaluate("document.querySelector(':target').textContent") == (
        "Der Zug nach Köln fährt ab."
    )


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("station", ["Trains", "Gardens"]),
        ("station garden", ["Gardens"]),
        ('"station garden"', ["Gardens"]),
        ('"garden station"', []),
        ("garde", ["Trains", "Gardens"]),  # the last word may be unfinished
        ("garde ", []),
        ("speaker:bob", ["Trains"]),
        ('speaker:"ann lee" trains', []),
        ("speaker:ann railway", ["Trains"]),
        ("天气很好", ["Weather"]),
        ("好天", []),
        ("مرحبا", ["Weather"]),
        ("nothing", []),
        ("constructor", []),
    ],
)
def test_queries(opened, query, titles):
    opened.locator("#q").fill(query)
    if titles:
        expect(opened.locator("#results h2")).to_have_text(titles)
    else:
        expect(opened.locator("#status")).to_have_text("Nobody says that.")


def test_hits_come_in_order_a_screen_first_then_the_rest(tmp_path, browser):
    recordings = [
        (replace(ITEM, id=f"r{n}", title=f"Title {n}"), spoken(f" Wood number {n}."))
        for n in range(50)
    ]
    write_site(tmp_path, "Jawed", recordings)
    page = browser.new_page()
    page.add_init_script(
        """addEventListener("DOMContentLoaded", () => {
            window.counts = [];
            const count = () => counts.push(document.querySelectorAll("a.hit").length);
            new MutationObserver(count).observe(document.getElementById("results"), {childList: true});
        })"""
    )
    page.goto(f"{tmp_path.as_uri()}/index.html")
    page.locator("#q").fill("wood ")
    expect(page.locator("a.hit")).to_have_count(20)
    assert page.evaluate("counts") == [8, 20]
    page.get_by_role("button", name="More").click()
    expect(page.locator("a.hit")).to_have_count(40)
    page.get_by_role("button", name="More").click()
    expect(page.locator("#results h2")).to_have_text([f"Title {n}" for n in range(50)])
    expect(page.get_by_role("button", name="More")).to_have_count(0)
    page.close()


def test_the_address_keeps_the_query(opened):
    opened.locator("#q").fill("station")
    expect(opened.locator("a.hit")).to_have_count(2)
    opened.reload()
    expect(opened.locator("#q")).to_have_value("station")
    expect(opened.locator("a.hit")).to_have_count(2)


def test_the_pages_are_accessible(browser, served, axe):
    page = browser.new_page(viewport=PHONE)
    page.goto(f"{served}/index.html")
    check_view(page, axe, "list")
    page.locator("#q").fill("station")
    expect(page.locator("a.hit")).to_have_count(2)
    check_view(page, axe, "hits")
    page.locator("a.hit").first.click()
    expect(page.locator("h1")).to_have_text("Trains")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        check_view(page, axe, scheme)
    page.close()


def test_the_page_has_the_same_words_as_the_index(opened):
    texts = [
        *HOSTILE,
        "Straße İstanbul ὈΔΥΣΣΕΎΣ ½ naïve don't 한국어 がぎ ﬁne e\u0301",
        "नमस्ते สวัสดี हिन्दी में विश्वविद्यालय বাংলা ភាសា မြန်မာ",
    ]
    texts = [text.encode(errors="ignore").decode() for text in texts]
    found = opened.evaluate("texts => texts.map(text => siteWords.words(text))", texts)
    assert found == [words(text) for text in texts]


def test_a_word_has_its_vowel_signs():
    assert len(words("हिन्दी में विश्वविद्यालय")) == 3
    assert words("பள்ளிக்கூடம்") == ["பளளிககூடம"]
    assert words("हिन्दी") != words("हन्द")


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_nothing_in_a_text_becomes_markup(tmp_path, browser):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'"
    item = replace(ITEM, title=evil, channel=evil, chapters=(Chapter(0, 1, evil),))
    said = replace(spoken(evil, *HOSTILE), speakers=(Speaker("A", name=evil),))
    said = replace(said, segments=tuple(replace(each, speaker="A") for each in said.segments))
    write_site(tmp_path, evil, [(item, said)])
    for path in tmp_path.rglob("*.html"):
        tags = Tags()
        tags.feed(path.read_text())
        assert {tag for tag, _ in tags.found} <= {
            *("html", "head", "meta", "title", "link", "script", "body", "p", "a", "main", "h1"),
            *("h2", "div", "span", "b", "form", "input", "ul", "li", "nav"),
        }
        assert all("src" in found for tag, found in tags.found if tag == "script")
        assert not [name for _, found in tags.found for name in found if name.startswith("on")]
        (policy,) = [f["content"] for t, f in tags.found if f.get("http-equiv")]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    page = browser.new_context().new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.goto(f"{tmp_path.as_uri()}/index.html")
    page.locator("#q").fill("alert")
    expect(page.locator("a.hit").first).to_contain_text("<script>")
    page.context.close()
    assert problems == []


def test_one_person_has_one_colour(tmp_path):
    people = (Speaker("A", name="Ann"), Speaker("B", name="Ann"), Speaker("C", name="Bob"))
    said = transcript(
        *(Segment(9.0 * n, 9.0 * n + 2, f" Line {n}.", speaker="ABC"[n]) for n in range(3))
    )
    write_site(tmp_path, "Jawed", [(ITEM, replace(said, speakers=people))])
    (page,) = (tmp_path / "recordings").iterdir()
    voices = re.findall(r'<b class="(voice-\d)">(\w+):</b>', page.read_text())
    assert {name: voice for voice, name in voices} == {"Ann": "voice-0", "Bob": "voice-1"}
    assert len(set(voices)) == 2


def test_no_path_of_this_computer_is_published(site):
    for path in site.rglob("*"):
        if path.is_file():
            assert "secret path" not in path.read_text(), path
            assert str(site) not in path.read_text(), path


def test_pages_keep_their_names(site, tmp_path):
    write_site(tmp_path, "Jawed", reversed(RECORDINGS))
    assert sorted(path.name for path in (tmp_path / "recordings").iterdir()) == sorted(
        path.name for path in (site / "recordings").iterdir()
    )


def test_a_later_export_removes_what_is_gone_and_keeps_what_is_not_its_own(tmp_path):
    write_site(tmp_path, "Jawed", RECORDINGS)
    (tmp_path / "CNAME").write_text("example.org")
    (tmp_path / ".git").mkdir()
    write_site(tmp_path, "Jawed", RECORDINGS[:1])
    assert [path.name for path in (tmp_path / "recordings").iterdir()] == ["jNQXAC9IVRw.html"]
    assert (tmp_path / "CNAME").exists()
    listed = json.loads((tmp_path / LIST).read_text())
    assert all((tmp_path / name).exists() for name in listed)


def test_an_interrupted_export_can_be_repeated(tmp_path):
    def failing():
        yield RECORDINGS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_site(tmp_path, "Jawed", failing())
    assert write_site(tmp_path, "Jawed", RECORDINGS) == 3


@pytest.mark.parametrize("torn", ["", '"recordings/ne'])
def test_the_pages_of_an_interrupted_export_are_removed_by_the_next(tmp_path, torn):
    site = tmp_path / "site"
    write_site(site, "Jawed", RECORDINGS[:1])
    long = spoken(*(f" Word{number}." for number in range(2000)))

    def killed():
        yield RECORDINGS[1][0], long
        files = [path for path in site.rglob("*") if path.is_file()]
        assert any(path.parent.name == "index" for path in files)
        for path in files:
            copy = tmp_path / "killed" / path.relative_to(site)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())

    write_site(site, "Jawed", killed())
    killed_site = tmp_path / "killed"
    assert (killed_site / "recordings" / "youtube.two.html").exists()
    with (killed_site / LIST).open("a") as file:
        file.write(torn)
    write_site(killed_site, "Jawed", RECORDINGS[2:])
    write_site(tmp_path / "fresh", "Jawed", RECORDINGS[2:])

    def written(directory):
        return {path.relative_to(directory) for path in directory.rglob("*")}

    assert written(killed_site) == written(tmp_path / "fresh")


@pytest.mark.parametrize("name", ["recordings/jNQXAC9IVRw.html", "index.html", LIST])
def test_a_page_that_became_a_link_is_replaced_and_its_target_kept(tmp_path, name):
    site = tmp_path / "site"
    write_site(site, "Jawed", RECORDINGS)
    target = tmp_path / "target"
    target.write_bytes((site / name).read_bytes())
    (site / name).unlink()
    (site / name).symlink_to(target)
    content = target.read_bytes()
    write_site(site, "Other", RECORDINGS[:2])
    assert target.read_bytes() == content
    assert not (site / name).is_symlink()


@pytest.mark.parametrize("name", ["index.html", "assets", "recordings"])
def test_a_directory_of_another_site_is_not_touched(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=f"has {name}, which homescribe did not write"):
        write_site(tmp_path, "Jawed", RECORDINGS)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    "listed", ['["../victim", "recordings/../../victim", "victim"]', "not json", '{"a": 1}', "[1]"]
)
def test_a_list_that_was_altered_removes_nothing_else(tmp_path, listed):
    victim = tmp_path / "victim"
    victim.write_text("")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "victim").write_text("")
    (tmp_path / "site" / LIST).write_text(listed)
    write_site(tmp_path / "site", "Jawed", RECORDINGS)
    assert victim.exists()
    assert (tmp_path / "site" / "victim").exists()


@given(st.lists(st.integers(0, 2**31), unique=True).map(sorted))
def test_places_are_encoded_without_loss(places):
    found, place, value, shift = [], 0, 0, 0
    for digit in map(DIGITS.index, _encoded(places)):
        value += (digit & 31) << shift
        shift += 5
        if digit < 32:
            place += value
            found.append(place)
            value = shift = 0
    assert found == places


def test_the_command_writes_a_site(tmp_path, monkeypatch, capsys):
    for name in list(os.environ):
        if name.startswith("HOMESCRIBE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOMESCRIBE_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("HOMESCRIBE_LIBRARY", str(tmp_path / "library"))
    with Library(tmp_path / "library") as library:
        for item, said in RECORDINGS:
            library.save(item, said)
    target = tmp_path / "out"
    assert run_command(["export", "--channel", "jawed", "--site", str(target)]) == 0
    assert f"2 recordings written. Open the page: {target.as_uri()}/index.html" in (
        capsys.readouterr().err
    )
    assert "<h1>Jawed</h1>" in (target / "index.html").read_text()
    assert re.search(
        r'href="recordings/youtube\.two\.html">Gardens<', (target / "index.html").read_text()
    )
    assert run_command(["export", "--site", str(target), "-f", "srt"]) == 2
    assert run_command(["export", "--site", "-"]) == 2
    capsys.readouterr()
    assert run_command(["export", "--since", "2030-01-01", "--site", str(tmp_path / "none")]) == 2
    assert "No recording is transcribed yet" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
