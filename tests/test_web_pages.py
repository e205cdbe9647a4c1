"""The pages in a real browser."""

import re
import shutil
import time
from pathlib import Path
from threading import Event
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx
import pytest
from playwright.sync_api import expect

from homescribe import Library, add
from homescribe.assemble import open_sources
from homescribe.config import Config
from pages import DESKTOP, KEEP_TOKEN, PHONE, check_page, until
from web_server import (
    ARABIC,
    CHANNEL,
    CHINESE,
    FOX,
    HOSTILE_ITEM,
    PENDING,
    PRIVATE,
    RIDGE,
    make_library,
    segments,
    serving,
    transcript,
)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return make_library(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def base(library, browser):
    """The address of the web interface. `browser` first: Playwright must outlive the server's thread."""
    with serving(library) as address:
        yield address


def time_of(page):
    return page.evaluate("document.getElementById('media').currentTime")


def is_playing(page):
    return page.evaluate("!document.getElementById('media').paused")


# --- Search ----------------------------------------------------------------------------------------


def test_search_while_typing_keeps_the_address_up_to_date(page):
    page.goto("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("quick bro")
    expect(page.locator(".hit mark").first).to_have_text("quick")
    until(page, "location.search === '?q=quick+bro'")
    expect(page.locator("#overview")).to_be_hidden()
    expect(page.locator("#results .summary")).to_have_text("2 results in 2 recordings")
    page.keyboard.type("wn fox jumps")
    until(page, "location.search === '?q=quick+brown+fox+jumps'")
    page.locator(".filters summary").click()
    page.locator("select[name=channel]").select_option("Ridge")
    expect(page.locator(".nothing")).to_contain_text("No results")
    until(page, "new URLSearchParams(location.search).get('channel') === 'Ridge'")
    page.reload()
    expect(page.locator("#q")).to_have_value("quick brown fox jumps")
    expect(page.locator("select[name=channel]")).to_have_value("Ridge")
    page.go_back()
    expect(page.locator("#overview")).to_be_visible()
    page.go_forward()
    expect(page.locator("#q")).to_have_value("quick brown fox jumps")


def test_the_title_of_a_search_stays_when_the_queue_changes(page, library):
    page.goto("/")
    page.keyboard.type("quick brown")
    expect(page).to_have_title("quick brown · homescribe")
    with page.expect_event("console"):
        page.evaluate(
            """async () => {
                const live = performance.getEntriesByType("resource").find(e => e.name.endsWith("live.js"));
                const { onSnapshot } = await import(live.name);
                let seen = 0;
                onSnapshot(() => ++seen === 2 && console.info("changed"));
            }"""
        )
        with Library(library) as opened:
            opened.block_site("site.example", time.time() + 1, "Wait.")
    expect(page).to_have_title("quick brown · homescribe")


def test_a_hit_opens_its_line_and_plays_from_it(page):
    page.goto("/")
    page.keyboard.type('"brown fox"')
    page.locator(f"a.hit[href*='{CHANNEL}']").first.click()
    expect(page.locator("h1")).to_have_text("channel")
    until(page, "document.getElementById('media').currentTime > 10.5")
    assert is_playing(page)
    assert time_of(page) < 25
    expect(page.locator(".line.now")).to_contain_text("brown fox")
    assert page.evaluate("CSS.highlights.get('current-hit').size") == 1
    page.go_back()
    expect(page.locator("#q")).to_have_value('"brown fox"')


def test_keys_move_between_hits(page):
    page.goto("/?q=wooden+spoon")
    page.locator("#main").focus()
    page.keyboard.press("n")
    expect(page.locator("a.hit").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#hit-counter span")).to_have_text("1 of 2")
    page.keyboard.press("n")
    expect(page.locator("#hit-counter span")).to_have_text("2 of 2")
    page.keyboard.press("p")
    page.keyboard.press("p")
    expect(page.locator("#hit-counter span")).to_have_text("2 of 2")
    page.keyboard.press("/")
    search = page.get_by_role("searchbox", name="Search every word")
    expect(search).to_be_focused()
    page.keyboard.type("n/?")  # in a text field, shortcuts are off
    expect(search).to_have_value("n/?")


# --- Playback --------------------------------------------------------------------------------------


def test_a_click_on_a_word_plays_from_that_word(page):
    page.goto(f"/items/{FOX}")
    line = page.locator(".line").nth(2)  # "Please speak and write the word in October."
    spot = line.evaluate(
        """line => {
            const range = document.createRange();
            const at = line.textContent.indexOf("October");
            range.setStart(line.firstChild, at + 1);
            range.setEnd(line.firstChild, at + 3);
            const box = range.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }"""
    )
    page.mouse.click(*spot)
    until(page, "!document.getElementById('media').paused")
    start, end = (float(line.get_attribute(f"data-{side}")) for side in "se")
    assert start + (end - start) * 6 / 8 < time_of(page) < end + 1
    expect(line).to_have_class(re.compile("now"))


def test_the_spoken_line_is_kept_in_view_until_the_reader_scrolls(page):
    page.set_viewport_size({"width": 360, "height": 420})
    page.goto(f"/items/{CHANNEL}")
    page.locator("#play").click()
    until(page, "!document.getElementById('media').paused")
    page.evaluate("document.getElementById('media').currentTime = 30")
    until(page, "Number(document.querySelector('.line.now')?.dataset.s) > 25")
    expect(page.locator(".line.now")).to_be_in_viewport()
    expect(page.locator(".chapters a[aria-current]")).to_contain_text("The fox")
    assert page.evaluate("CSS.highlights.get('word').size") == 1
    expect(page.locator("#follow")).to_have_attribute("aria-pressed", "true")
    page.mouse.move(150, 150)
    page.mouse.wheel(0, -2000)
    expect(page.locator("#follow")).to_have_attribute("aria-pressed", "false")
    page.evaluate("document.getElementById('media').currentTime = 20")
    until(page, "Number(document.querySelector('.line.now').dataset.s) < 22")
    page.locator("#follow").click()
    expect(page.locator(".line.now")).to_be_in_viewport()


def test_keys_control_the_player(page):
    page.goto(f"/items/{CHANNEL}")
    page.locator("#main").focus()
    page.keyboard.press("Space")
    until(page, "!document.getElementById('media').paused")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    page.keyboard.press("Space")
    until(page, "document.getElementById('media').paused")
    before = time_of(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert time_of(page) == pytest.approx(before + 5, abs=0.2)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    line = page.locator(".line:focus")
    page.keyboard.press("Enter")
    until(page, "!document.getElementById('media').paused")
    assert (
        float(line.get_attribute("data-s")) <= time_of(page) < float(line.get_attribute("data-e"))
    )
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.locator("#keys-on").uncheck()
    page.keyboard.press("Escape")
    page.locator("#main").focus()
    page.keyboard.press("/")
    expect(page.locator("input[type=search]").first).not_to_be_focused()


def test_a_shared_excerpt_plays_to_its_end(page):
    page.goto("/")  # browsers play nothing before the first click
    page.locator(".brand").click()
    page.evaluate(f"location.href = '/items/{FOX}?t=6.25,7.2'")
    page.wait_for_url("**/items/**")
    assert page.evaluate("CSS.highlights.get('excerpt').size") == 1
    if not is_playing(page):
        page.keyboard.press("Space")
    until(page, "document.getElementById('media').currentTime >= 7.2")
    until(page, "document.getElementById('media').paused")
    assert time_of(page) < 8.2


# --- YouTube ---------------------------------------------------------------------------------------


def test_a_video_without_a_transcript_plays(page, youtube_requests):
    page.goto(f"/items/{PRIVATE}")
    page.get_by_role("button", name="Play the video").click()
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    assert urlsplit(youtube_requests[0].url).path == "/embed/ridge000001"


def test_the_youtube_player_is_loaded_on_request(page, youtube_requests):
    page.goto(f"/items/{RIDGE}?t=4.5")
    expect(page.locator(".line").nth(1)).to_be_focused()
    page.wait_for_timeout(300)
    assert youtube_requests == []
    assert page.locator("iframe").count() == 0
    page.get_by_role("button", name="Play the video").click()
    expect(page.locator(".line.now")).to_have_text("Nobody knows why.")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    query = dict(parse_qsl(urlsplit(youtube_requests[0].url).query))
    assert urlsplit(youtube_requests[0].url).path == "/embed/ridge000000"
    assert (query["enablejsapi"], query["start"]) == ("1", "4")
    # The player refuses requests without a referrer. It receives the origin, not the path.
    assert youtube_requests[0].headers["referer"] == urljoin(page.url, "/")
    page.locator(".line").nth(2).click()
    expect(page.locator(".line.now")).to_have_text("It was a long winter.")
    page.locator("#main").focus()
    page.keyboard.press("Space")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Play")
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".line.now")).not_to_have_text("It was a long winter.")
    page.locator("#speed").select_option("2")
    frame = page.frames[1]
    expect(frame.locator("body")).to_be_attached()
    assert "setPlaybackRate" in frame.title()
    assert len(youtube_requests) == 1


# --- Corrections and quotes ------------------------------------------------------------------------


def select(page, words):
    """Select these words of the transcript."""
    page.evaluate(
        """words => {
            for (const line of document.querySelectorAll(".line")) {
                const at = line.textContent.indexOf(words);
                if (at < 0) continue;
                getSelection().setBaseAndExtent(line.firstChild, at, line.firstChild, at + words.length);
            }
        }""",
        words,
    )
    expect(page.locator("#selection")).to_be_visible()


def test_a_correction_is_saved_and_undone(page, library):
    page.goto(f"/items/{RIDGE}")
    line = page.locator(".line").nth(1)
    original = line.text_content()
    page.get_by_role("button", name="Correct", exact=True).click()
    line.click()
    expect(line).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("Everybody knows w")
    page.keyboard.press("Escape")
    expect(line).to_have_text(original)
    page.keyboard.press("e")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("Everybody knows why, n?/ <b>")
    page.keyboard.press("Enter")
    expect(line).to_have_class(re.compile("corrected"))
    expect(page.locator("#toast")).to_contain_text("Corrected.")
    with Library(library) as opened:
        assert "Everybody knows why, n?/ <b>" in opened.transcript(RIDGE).text
        assert opened.search("everybody")[0].key == RIDGE
    page.reload()
    expect(line).to_have_text("Everybody knows why, n?/ <b>")
    expect(line).to_have_attribute("title", f"Original transcript: {original}")
    for key in "jjje":
        page.keyboard.press(key)
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("It was a short winter.")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".line").nth(2)).to_have_text("It was a long winter.")
    with Library(library) as opened:
        opened.undo_correction(RIDGE, 1)
        assert opened.corrections(RIDGE) == {}


def test_a_conflicting_correction_is_not_overwritten(page, library):
    page.goto(f"/items/{RIDGE}")
    with Library(library) as opened:
        opened.correct(RIDGE, 1, "Somebody else wrote this.")
    line = page.locator(".line").nth(1)
    for key in "jje":
        page.keyboard.press(key)
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("Mine")
    page.keyboard.press("Enter")
    expect(page.locator("#toast")).to_contain_text("has been changed")
    expect(line).to_have_text("Mine")  # the typed text is kept
    page.keyboard.press("Escape")
    with Library(library) as opened:
        assert opened.undo_correction(RIDGE, 1).text == " Nobody knows why."
    page.problems.clear()  # the browser logs the refused request


def test_a_selection_is_copied_as_a_link(page):
    page.goto(f"/items/{FOX}")
    select(page, "write the word")
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#toast")).to_have_text("Link copied.")
    link = page.evaluate("navigator.clipboard.readText()")
    assert re.search(rf"/items/{FOX}\?t=[0-9.]+,[0-9.]+$", link)
    page.goto(link)
    excerpt = page.evaluate("[...CSS.highlights.get('excerpt')].map(String).join('')")
    assert excerpt.strip() == "write the word"


def test_a_selection_is_copied_as_a_quote(page):
    page.goto(f"/items/{RIDGE}")
    select(page, "a long winter.")
    page.get_by_role("button", name="Copy quote").click()
    expect(page.locator("#toast")).to_have_text("Quote copied.")
    assert page.evaluate("navigator.clipboard.readText()").splitlines() == [
        "“a long winter.”",
        "Ridge, A wooden spoon, 2026-02-01, 0:08",
        "https://www.youtube.com/watch?v=ridge000000&t=8s",
    ]


def test_keys_copy_a_quote_and_a_link(page):
    page.goto(f"/items/{RIDGE}")
    for key in "jjq":
        page.keyboard.press(key)
    expect(page.locator("#toast")).to_have_text("Quote copied.")
    assert page.evaluate("navigator.clipboard.readText()").startswith(
        "“Nobody knows why.”\nRidge, "
    )
    page.keyboard.press("l")
    expect(page.locator("#toast")).to_have_text("Link copied.")
    assert page.evaluate("navigator.clipboard.readText()").endswith(f"/items/{RIDGE}?t=4.00,7.50")


def test_uncertain_lines_are_marked_with_the_reason(page):
    page.goto(f"/items/{RIDGE}")
    expect(page.locator(".line.doubt")).to_have_count(1)
    expect(page.locator(".line.doubt")).to_have_attribute("title", "Uncertain: low confidence")


# --- Queue -----------------------------------------------------------------------------------------


@pytest.fixture
def new_library(page, tmp_path):
    """The address of an empty library."""
    with serving(tmp_path / "new") as address:
        page.allowed.add(urlsplit(address).netloc)
        yield address
        page.goto("about:blank")  # closes the connection before the server ends


def test_adding_transcribing_and_exporting_a_folder(page, new_library, clips, tmp_path):
    folder = tmp_path / "talks"
    folder.mkdir()
    shutil.copy(clips / "ep1.webm", folder)
    shutil.copy(clips / "junk.mp3", folder)
    page.goto(new_library)
    page.get_by_role("link", name="Add recordings").last.click()
    page.get_by_label("Address", exact=True).fill(str(folder))
    page.keyboard.press("Enter")
    page.wait_for_url("**/queue")
    expect(page.locator("#plan")).to_contain_text("New items")
    expect(page.locator("#plan dd").nth(3)).to_have_text("free")
    page.reload()  # the plan is still there
    page.get_by_role("button", name="Transcribe now").click()
    expect(page.locator("#plan")).to_be_hidden()
    page.reload()  # the run continues
    expect(page.locator("#state")).to_contain_text("Run finished", timeout=60_000)
    expect(page.locator("#totals")).to_contain_text("2 of 2 items")
    expect(page.locator("#progress")).to_have_js_property("value", 1)
    expect(page.locator("#lists .failed-items")).to_contain_text("junk")
    page.get_by_role("link", name="ep1").click()
    expect(page.locator("#transcript")).to_contain_text("Hello and welcome to my new channel")
    with page.expect_download() as download:
        page.get_by_text("Export", exact=True).click()
        page.get_by_role("link", name="txt", exact=True).click()
    assert "welcome" in Path(download.value.path()).read_text()
    assert download.value.suggested_filename.endswith(".txt")


def test_an_item_is_transcribed_again_with_another_language(page, tmp_path, clips):
    directory = tmp_path / "again"
    config = Config(library=directory)
    with Library(directory) as library, open_sources(config, library) as sources:
        [listed] = add(library, sources, str(clips / "ep1.webm"), Event())
        [talk] = listed.items
        library.save(talk, transcript(segments(" Some words.", " And others.")), 1.0)
        library.correct(talk.key, 0, "Corrected words.")
    with serving(directory) as address:
        page.allowed.add(urlsplit(address).netloc)
        page.goto(f"{address}/items/{talk.key}")
        page.get_by_text("More", exact=True).click()
        page.get_by_role("button", name="Transcribe again").click()
        dialog = page.get_by_role("dialog", name="Transcribe again")
        expect(dialog).to_contain_text("Made with faster-whisper, large-v3.")
        expect(dialog.get_by_role("listitem")).to_have_text(["model demo instead of large-v3"])
        expect(dialog).to_contain_text("1 correction: kept wherever the new text is the same.")
        dialog.get_by_label("Language").select_option("German")
        expect(dialog.get_by_role("listitem").nth(1)).to_have_text("language de instead of en")
        dialog.get_by_label("Model").select_option("large-v3")
        expect(dialog.get_by_role("listitem")).to_have_text(["language de instead of en"])
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        assert httpx.get(f"{address}/api/queue").json()["progress"] is None
        page.get_by_text("More", exact=True).click()
        page.get_by_role("button", name="Transcribe again").click()
        dialog.get_by_label("Model").select_option("demo")
        dialog.get_by_label("Language").select_option("English")
        dialog.get_by_role("button", name="Transcribe again").click()
        page.get_by_role("button", name="Show the queue").click()
        expect(page.locator("#state")).to_contain_text("Run finished", timeout=60_000)
        expect(page.locator("#recent")).to_contain_text("0 of 1 correction carried over.")
        page.locator("#recent a").click()
        expect(page.locator("#transcript")).to_contain_text("welcome to my new channel")
        expect(page.locator(".provenance").first).to_contain_text("Options: language en.")
        page.goto("about:blank")


def test_the_queue_shows_what_was_not_listed_and_that_a_show_has_moved(page, tmp_path, server):
    entry = (
        f'<item><title>E</title><guid>g</guid><enclosure url="{server.base}/media/ep1.mp3"/></item>'
    )
    more = '<a:link xmlns:a="http://www.w3.org/2005/Atom" rel="next" href="/status/500"/>'
    for path, begin in (("/old", ""), ("/new", more)):
        text = f"<rss version='2.0'><channel><title>Show</title>{begin}{entry}</channel></rss>"
        server.routes[path] = lambda *_, text=text: (200, text, {"Content-Type": "text/xml"})
    with serving(tmp_path / "moving") as address:
        page.allowed.add(urlsplit(address).netloc)
        page.goto(f"{address}/queue")
        expect(page.get_by_role("button", name="Add", exact=True)).to_be_enabled()
        page.get_by_label("Address of a channel").fill(server.url("/old"))
        page.keyboard.press("Enter")
        expect(page.locator("#listing")).to_have_text("Show: 1 new item")
        server.routes["/old"] = lambda *_: (301, "", {"Location": server.url("/new")})
        page.get_by_role("button", name="Check all sources").click()
        moved = f"Show has moved: {server.url('/old')} is now {server.url('/new')}"
        expect(page.locator("#listing")).to_contain_text(moved)
        expect(page.locator("#listing .bad")).to_contain_text("page")
        expect(page.locator("#listing")).to_contain_text("Show: 0 new items")
        page.goto("about:blank")


def test_the_queue_reconnects_to_a_restarted_server(page, tmp_path):
    directory = make_library(tmp_path / "library")
    with serving(directory) as address:
        page.allowed.add(urlsplit(address).netloc)
        page.goto(f"{address}/queue")
        expect(page.locator("#state")).to_have_text("Idle")
    expect(page.locator("#state")).to_contain_text("Connection lost")
    with Library(directory) as library:
        library.remove([PENDING])
    with serving(directory, port=urlsplit(address).port):
        expect(page.locator("#state")).to_have_text("Idle", timeout=20_000)
        expect(page.locator("#totals")).to_contain_text("6 of 8 items")
        expect(page.locator("#run")).to_be_hidden()
        page.goto("about:blank")  # closes the connection before the server ends
    page.problems.clear()  # the browser logs every failed attempt to connect


# --- Statistics ------------------------------------------------------------------------------------


def test_statistics(page):
    page.goto("/statistics")
    expect(page.locator(".big")).to_contain_text("of audio")
    expect(page.locator(".chart")).to_have_count(0)  # of one day a curve says nothing
    expect(page.locator(".note").first).to_contain_text("All of it on 20")
    labels = page.locator(".bars .title").all_text_contents()
    assert labels[0] == "samples"
    widths = [
        float(rect.get_attribute("width").rstrip("%")) for rect in page.locator(".bars rect").all()
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == 100
    expect(page.locator(".plain tbody tr").last).to_contain_text("free")


# --- Accessibility ---------------------------------------------------------------------------------

PAGES = {
    "home": "/",
    "search": "/?q=spoon",
    "filtered": "/?q=quick&channel=samples",
    "library": "/library",
    "ridge": f"/items/{RIDGE}?q=wooden",
    "excerpt": f"/items/{FOX}?t=6.25,7.2",
    "chapters": f"/items/{CHANNEL}",
    "arabic": f"/items/{ARABIC}",
    "chinese": f"/items/{CHINESE}",
    "hostile": f"/items/{HOSTILE_ITEM}",
    "failed": f"/items/{PRIVATE}",
    "queue": "/queue",
    "statistics": "/statistics",
    "error": "/nothing",
}


@pytest.mark.parametrize(
    ("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop, light", "phone, dark"]
)
def test_every_page_is_accessible(browser, base, axe, size, scheme):
    """No violation of axe's rules (contrast, names, landmarks), no horizontal scrolling, no layout shift."""
    context = browser.new_context(viewport=size, color_scheme=scheme, base_url=base)
    context.add_init_script(KEEP_TOKEN)
    page = context.new_page()
    for name, path in PAGES.items():
        page.goto(path)
        check_page(page, axe, name)
    context.close()


def test_every_script_is_loaded_once(page):
    """Also a module that a page loads and another module imports."""
    page.goto(f"/items/{RIDGE}")
    addresses = page.evaluate(
        "performance.getEntriesByType('resource').map(entry => entry.name)"
        ".filter(name => name.endsWith('.js'))"
    )
    names = [address.rpartition("/")[2] for address in addresses]
    assert {"app.js", "reader.js", "transcript.js"} <= set(names)
    assert len(names) == len(set(names))


def test_the_first_page_is_small(page):
    page.goto("/")
    sizes = page.evaluate(
        "['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind))"
        ".map(entry => entry.transferSize)"
    )
    assert len(sizes) >= 4
    assert sum(sizes) < 100_000


def test_text_direction_and_script(page):
    page.goto(f"/items/{ARABIC}")
    assert page.locator("#transcript").get_attribute("lang") == "ar"
    first = page.locator(".paragraph").first
    time, text = first.locator(".time").bounding_box(), first.locator("p").bounding_box()
    assert time["x"] > text["x"]  # times are on the right
    page.goto(f"/items/{CHINESE}?q=河边走")
    expect(page.locator("#hit-counter span")).to_have_text("1 of 1")
    assert (
        page.locator("#transcript p").text_content()
        == "今天我们沿着河边走。很多年以前，这里是码头。"
    )


def test_keyboard_navigation(page):
    page.goto("/library?q=")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.textContent.trim().split(/\\s+/)[0]"))
    assert {"Export", "fox", "samples"} <= seen


# --- Hostile text ----------------------------------------------------------------------------------


def test_hostile_text_is_never_executed(page):
    for path in (
        "/",
        "/library",
        "/?q=owned",
        f"/items/{HOSTILE_ITEM}",
        "/?q=%3Cscript%3E",
        f"/items/{RIDGE}",
    ):
        page.goto(path)
        assert "homescribe" in page.title()
        assert page.title() != "owned"
        assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
