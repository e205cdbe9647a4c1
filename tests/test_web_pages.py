"""The pages in a real browser, as a person uses them."""

import re
import shutil
from importlib import resources
from pathlib import Path
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from homescribe import Library
from webbing import ARABIC, CHANNEL, CHINESE, FOX, RIDGE, STRANGE, make_library, serving

# The system's browser, or the one that `playwright install chromium` fetched.
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
expect.set_options(timeout=20_000)  # milliseconds; a machine may be busy
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return make_library(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--mute-audio"]
        )
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def base(
    library, browser
):  # Playwright's loop is begun before the server's thread, and ends after it
    with serving(library) as address:
        yield address


@pytest.fixture
def page(browser, base):
    """A page that may ask nobody but our server, and at whose end nothing may have gone wrong."""
    context = browser.new_context(
        viewport=DESKTOP, base_url=base, permissions=["clipboard-read", "clipboard-write"]
    )
    page = context.new_page()
    wrong, allowed = [], {urlsplit(base).netloc}
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda said: said.type == "error" and wrong.append(f"console: {said.text}"))
    page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
    page.on(
        "request",
        lambda request: (
            urlsplit(request.url).netloc not in allowed and wrong.append(f"asked: {request.url}")
        ),
    )
    page.wrong, page.allowed = wrong, allowed
    yield page
    context.close()
    assert wrong == []


def time_of(page):
    return page.evaluate("document.getElementById('media').currentTime")


def is_playing(page):
    return page.evaluate("!document.getElementById('media').paused")


def until(page, expression):
    """Wait until the expression is true. Not wait_for_function: the pages forbid it to evaluate text."""
    for _ in range(300):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(40)
    raise AssertionError(f"never true: {expression}")


# --- Search ----------------------------------------------------------------------------------------


def test_results_come_while_typing_and_the_address_holds_them(page):
    page.goto("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("quick bro")
    expect(page.locator(".hit mark").first).to_have_text("quick")
    until(page, "location.search === '?q=quick+bro'")
    expect(page.locator("#overview")).to_be_hidden()
    page.keyboard.type("wn fox jumps")
    until(page, "location.search === '?q=quick+brown+fox+jumps'")
    page.locator(".filters summary").click()
    page.locator("select[name=channel]").select_option("Ridge")
    expect(page.locator(".nothing")).to_contain_text("Nothing found")
    until(page, "new URLSearchParams(location.search).get('channel') === 'Ridge'")
    page.reload()
    expect(page.locator("#q")).to_have_value("quick brown fox jumps")
    expect(page.locator("select[name=channel]")).to_have_value("Ridge")
    page.go_back()
    expect(page.locator("#overview")).to_be_visible()
    page.go_forward()
    expect(page.locator("#q")).to_have_value("quick brown fox jumps")


def test_a_hit_opens_its_passage_and_plays_from_it(page):
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


def test_hits_are_walked_by_keys(page):
    page.goto("/?q=wooden+spoon")
    page.locator("#main").focus()
    page.keyboard.press("n")
    expect(page.locator("a.hit").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#hits-of span")).to_have_text("1 of 2")
    page.keyboard.press("n")
    expect(page.locator("#hits-of span")).to_have_text("2 of 2")
    page.keyboard.press("p")
    page.keyboard.press("p")
    expect(page.locator("#hits-of span")).to_have_text("2 of 2")
    page.keyboard.press("/")
    expect(page.locator("input[type=search]")).to_be_focused()
    page.keyboard.type("n/?")  # in a field, keys are letters
    expect(page.locator("input[type=search]")).to_have_value("n/?")


# --- Reading along ---------------------------------------------------------------------------------


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


def test_what_is_spoken_is_marked_and_kept_in_view_until_the_reader_scrolls(page):
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


def test_the_player_obeys_keys(page):
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
    expect(page.locator("input[type=search]")).not_to_be_focused()


def test_a_passage_plays_to_its_end(page):
    page.goto("/")  # a click first: browsers play nothing for a page that was never touched
    page.locator(".brand").click()
    page.evaluate(f"location.href = '/items/{FOX}?t=6.25,7.2'")
    page.wait_for_url("**/items/**")
    assert page.evaluate("CSS.highlights.get('passage').size") == 1
    if not is_playing(page):
        page.keyboard.press("Space")
    until(page, "document.getElementById('media').currentTime >= 7.2")
    until(page, "document.getElementById('media').paused")
    assert time_of(page) < 8.2


# --- YouTube ---------------------------------------------------------------------------------------

# What the frame of YouTube's player says and understands, as far as we speak with it.
PLAYER = """<!doctype html><title>player</title><script>
let now = Number(new URLSearchParams(location.search).get("start")), state = -1, rate = 1;
const tell = (event, info) => parent.postMessage(JSON.stringify({event, info}), "*");
const told = () => tell("infoDelivery", {
    currentTime: now, duration: 12, playerState: state, playbackRate: rate,
});
const orders = {
    playVideo() { state = 1; }, pauseVideo() { state = 2; }, seekTo(to) { now = to; },
    setPlaybackRate(to) { rate = to; },
};
addEventListener("message", ({data, origin}) => {
    const said = JSON.parse(data);
    document.title += " " + (said.func ?? said.event) + " " + origin;
    if (said.event === "listening" && state === -1) { state = 1; tell("onReady", null); }
    if (said.event === "command") orders[said.func](...said.args);
    told();
});
setInterval(() => { if (state === 1) { now += 0.1 * rate; told(); } }, 100);
</script>"""


def test_the_video_is_asked_for_only_when_the_reader_does(page):
    asked = []

    def answer(route):
        asked.append(route.request)
        route.fulfill(content_type="text/html", body=PLAYER)

    page.route("https://www.youtube-nocookie.com/**", answer)
    page.allowed.add("www.youtube-nocookie.com")
    page.goto(f"/items/{RIDGE}?t=4.5")
    expect(page.locator(".line").nth(1)).to_be_focused()
    page.wait_for_timeout(300)
    assert asked == []
    assert page.locator("iframe").count() == 0
    page.get_by_role("button", name="Play the video").click()
    expect(page.locator(".line.now")).to_have_text("Nobody knows why.")
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    query = dict(parse_qsl(urlsplit(asked[0].url).query))
    assert urlsplit(asked[0].url).path == "/embed/ridge000000"
    assert (query["enablejsapi"], query["start"]) == ("1", "4")
    # The player plays for nobody who hides where he comes from; it learns no more than that.
    assert asked[0].headers["referer"] == urljoin(page.url, "/")
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
    assert len(asked) == 1


# --- Correcting and quoting ------------------------------------------------------------------------


def select(page, words):
    """Select these words of the transcript, as a mouse would."""
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
    expect(page.locator("#selected")).to_be_visible()


def test_a_line_is_corrected_in_its_place_and_undone(page, library):
    page.goto(f"/items/{RIDGE}")
    line = page.locator(".line").nth(1)
    heard = line.text_content()
    page.get_by_role("button", name="Correct", exact=True).click()
    line.click()
    expect(line).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("Everybody knows w")
    page.keyboard.press("Escape")
    expect(line).to_have_text(heard)
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
    expect(line).to_have_attribute("title", f"The machine heard: {heard}")
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


def test_a_line_that_changed_meanwhile_is_not_overwritten(page, library):
    page.goto(f"/items/{RIDGE}")
    with Library(library) as opened:
        opened.correct(RIDGE, 1, "Somebody else wrote this.")
    line = page.locator(".line").nth(1)
    for key in "jje":
        page.keyboard.press(key)
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("Mine")
    page.keyboard.press("Enter")
    expect(page.locator("#toast")).to_contain_text("changed meanwhile")
    expect(line).to_have_text("Mine")  # what was typed is not thrown away
    page.keyboard.press("Escape")
    with Library(library) as opened:
        assert opened.undo_correction(RIDGE, 1).text == " Nobody knows why."
    page.wrong.clear()  # the browser reports the refusal


def test_selected_words_become_a_link_that_opens_them(page):
    page.goto(f"/items/{FOX}")
    select(page, "write the word")
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("#toast")).to_have_text("Link copied.")
    link = page.evaluate("navigator.clipboard.readText()")
    assert re.search(rf"/items/{FOX}\?t=[0-9.]+,[0-9.]+$", link)
    page.goto(link)
    passage = page.evaluate("[...CSS.highlights.get('passage')].map(String).join('')")
    assert passage.strip() == "write the word"


def test_selected_words_become_a_quote_with_its_citation(page):
    page.goto(f"/items/{RIDGE}")
    select(page, "a long winter.")
    page.get_by_role("button", name="Copy quote").click()
    expect(page.locator("#toast")).to_have_text("Quote copied.")
    assert page.evaluate("navigator.clipboard.readText()").splitlines() == [
        "“a long winter.”",
        "Ridge, A wooden spoon, 2026-02-01, 0:08",
        "https://www.youtube.com/watch?v=ridge000000&t=8s",
    ]


def test_lines_are_quoted_by_the_keyboard(page):
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


def test_doubtful_passages_are_marked_and_say_why(page):
    page.goto(f"/items/{RIDGE}")
    expect(page.locator(".line.doubt")).to_have_count(1)
    expect(page.locator(".line.doubt")).to_have_attribute("title", "Doubtful: the model was unsure")


# --- Work ------------------------------------------------------------------------------------------


@pytest.fixture
def new_library(page, tmp_path):
    """An empty library of its own, at an address of its own."""
    with serving(tmp_path / "new") as address:
        page.allowed.add(urlsplit(address).netloc)
        yield address
        page.goto("about:blank")  # nobody asks a server that has ended


def test_a_first_visitor_adds_transcribes_and_finds(page, new_library, clips, tmp_path):
    folder = tmp_path / "talks"
    folder.mkdir()
    shutil.copy(clips / "ep1.webm", folder)
    shutil.copy(clips / "junk.mp3", folder)
    page.goto(new_library)
    page.get_by_role("link", name="Add something").click()
    expect(page.get_by_role("button", name="Add", exact=True)).to_be_enabled()
    page.get_by_label("Address of a channel").fill(str(folder))
    page.keyboard.press("Enter")
    expect(page.locator("#plan")).to_contain_text("New items")
    expect(page.locator("#plan dd").nth(3)).to_have_text("nothing")
    page.reload()  # the question waits
    page.get_by_role("button", name="Transcribe now").click()
    expect(page.locator("#plan")).to_be_hidden()
    page.reload()  # and the run goes on
    expect(page.locator("#state")).to_contain_text("The run has ended.", timeout=60_000)
    expect(page.locator("#figures")).to_contain_text("2 of 2 items")
    expect(page.locator("#progress")).to_have_js_property("value", 1)
    expect(page.locator("#lists .failures")).to_contain_text("junk")
    page.get_by_role("link", name="ep1").click()
    expect(page.locator("#transcript")).to_contain_text("Hello and welcome to my new channel")
    with page.expect_download() as download:
        page.get_by_text("Export", exact=True).click()
        page.get_by_role("link", name="txt", exact=True).click()
    assert "welcome" in Path(download.value.path()).read_text()
    assert download.value.suggested_filename.endswith(".txt")


def test_live_progress_comes_back_when_the_server_does(page, tmp_path):
    directory = make_library(tmp_path / "library")
    with serving(directory) as address:
        page.allowed.add(urlsplit(address).netloc)
        page.goto(f"{address}/work")
        expect(page.locator("#state")).to_have_text("Nothing is being done.")
    expect(page.locator("#state")).to_contain_text("The connection is lost")
    page.wrong.clear()  # the browser itself reports that nobody answered
    with Library(directory) as library:
        library.remove(["podcast:new"])
    with serving(directory, port=urlsplit(address).port):
        expect(page.locator("#state")).to_have_text("Nothing is being done.", timeout=20_000)
        expect(page.locator("#figures")).to_contain_text("6 of 8 items")
        expect(page.locator("#run")).to_be_hidden()
        page.wrong.clear()


# --- Figures ---------------------------------------------------------------------------------------


def test_figures_count_what_was_done(page):
    page.goto("/figures")
    expect(page.locator(".big")).to_contain_text("of audio")
    expect(page.locator(".chart")).to_have_attribute(
        "aria-label", re.compile("Audio transcribed from")
    )
    labels = page.locator(".bars .title").all_text_contents()
    assert labels[0] == "samples"
    widths = [
        float(rect.get_attribute("width").rstrip("%")) for rect in page.locator(".bars rect").all()
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] == 100
    expect(page.locator(".plain tbody tr").last).to_contain_text("nothing")  # paid for this machine


# --- For everyone ----------------------------------------------------------------------------------

PAGES = {
    "home": "/",
    "search": "/?q=spoon",
    "filtered": "/?q=quick&channel=samples",
    "library": "/library",
    "ridge": f"/items/{RIDGE}?q=wooden",
    "passage": f"/items/{FOX}?t=6.25,7.2",
    "chapters": f"/items/{CHANNEL}",
    "arabic": f"/items/{ARABIC}",
    "chinese": f"/items/{CHINESE}",
    "strange": f"/items/{STRANGE}",
    "failed": "/items/youtube:ridge000001",
    "work": "/work",
    "figures": "/figures",
    "error": "/nothing",
}
SHIFTS = """() => new Promise(done => {
    const found = [];
    const take = list => found.push(...list.getEntries().map(entry => entry.value));
    new PerformanceObserver(take).observe({type: "layout-shift", buffered: true});
    setTimeout(() => done(found), 50);
})"""


@pytest.fixture(scope="module")
def axe():
    """The script of axe-core."""
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop, light", "phone, dark"]
)
def test_every_page_suits_everyone(browser, base, axe, size, scheme):
    """No violation of axe's rules (contrast, names, landmarks), nothing wider than the window, nothing that
    moves once it is shown.
    """
    context = browser.new_context(viewport=size, color_scheme=scheme, base_url=base)
    page = context.new_page()
    for name, path in PAGES.items():
        page.goto(path)
        page.wait_for_timeout(60)
        # On a busy machine a browser may paint the menu before its last word has come: 0.00003 of the page.
        assert sum(page.evaluate(SHIFTS)) < 0.001, name
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) == 0, name
        page.evaluate(axe)
        found = page.evaluate("axe.run()")["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == [], name
    context.close()


def test_the_first_page_is_small(page):
    page.goto("/")
    sizes = page.evaluate(
        "['navigation', 'resource'].flatMap(kind => performance.getEntriesByType(kind))"
        ".map(entry => entry.transferSize)"
    )
    assert len(sizes) >= 4
    assert sum(sizes) < 100_000


def test_scripts_run_in_their_own_direction(page):
    page.goto(f"/items/{ARABIC}")
    assert page.locator("#transcript").get_attribute("lang") == "ar"
    first = page.locator(".paragraph").first
    time, text = first.locator(".time").bounding_box(), first.locator("p").bounding_box()
    assert time["x"] > text["x"]  # the margin is at the right
    page.goto(f"/items/{CHINESE}?q=河边走")
    expect(page.locator("#hits-of span")).to_have_text("1 of 1")
    assert (
        page.locator("#transcript p").text_content()
        == "今天我们沿着河边走。很多年以前，这里是码头。"
    )


def test_everything_is_reached_by_the_keyboard(page):
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


# --- Strangers' text -------------------------------------------------------------------------------


def test_hostile_text_does_not_run_anywhere(page):
    for path in (
        "/",
        "/library",
        "/?q=owned",
        f"/items/{STRANGE}",
        "/?q=%3Cscript%3E",
        f"/items/{RIDGE}",
    ):
        page.goto(path)
        assert "homescribe" in page.title()
        assert page.title() != "owned"
        assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
