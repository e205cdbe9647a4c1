"""The jobs of the page from beginning to end in a browser, with their clicks, which its guide counts."""

import re
from pathlib import Path

import pysubs2
import pytest
from playwright.sync_api import expect

from conversation import TALK, save_conversations
from homescribe import Library
from pages import CLICKS, clicks, until
from test_upload_pages import FOX, drop
from web_server import CHANNEL, make_library, serving

pytestmark = pytest.mark.browser
GUIDE = Path(__file__).parent.parent / "docs" / "guides" / "web.md"


@pytest.fixture
def base(browser, tmp_path):
    """The address of a library. `browser` first: Playwright must outlive the server's thread."""
    make_library(tmp_path / "library")
    with Library(tmp_path / "library") as library:
        save_conversations(library)
    with serving(tmp_path / "library") as address:
        yield address


@pytest.fixture
def page(page):
    page.add_init_script(f"({CLICKS})()")
    yield page
    page.goto("about:blank")


def in_guide(beginning):
    """Return the number of clicks that the guide states for a job."""
    text = GUIDE.read_text(encoding="utf-8")
    return int(re.search(rf"^\| {beginning}.*\| (\d) \|$", text, re.MULTILINE)[1])


def test_from_a_file_to_a_transcript_and_to_an_srt_file_for_a_player(page, tmp_path):
    page.goto("/")
    drop(page, FOX, "A talk.mp3")
    expect(page.locator("#transcript")).to_contain_text("quick brown fox", timeout=90_000)
    assert len(clicks(page)) == in_guide("a file") == 0
    page.locator("summary", has_text="Export").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="srt", exact=True).click()
    assert clicks(page) == ["Export", "srt"]
    assert in_guide("a transcript") == 2
    assert download.value.suggested_filename == "A talk.en.srt"
    saved = tmp_path / "A talk.en.srt"
    download.value.save_as(saved)
    cues = pysubs2.load(str(saved), encoding="utf-8")
    assert "quick brown fox" in " ".join(cue.plaintext.replace("\n", " ") for cue in cues)
    assert 0 <= cues[0].start < cues[-1].end <= 21_000


def test_from_words_to_the_place_where_they_are_said(page):
    page.goto("/")
    page.keyboard.type('"brown fox"')
    page.locator(f"a.hit[href*='{CHANNEL}']").first.click()
    until(page, "document.getElementById('media')?.currentTime > 10.5")
    assert not page.evaluate("document.getElementById('media').paused")
    assert len(clicks(page)) == in_guide("words") == 1


def test_from_a_misheard_word_to_the_right_one_everywhere(page, tmp_path):
    page.goto(f"/items/{TALK}")
    line = page.locator("#transcript .line").first
    word = line.text_content().split()[0].strip(".,!?")
    left, right, y = line.evaluate(
        """(element, length) => {
            const text = document.createTreeWalker(element, NodeFilter.SHOW_TEXT).nextNode();
            const range = document.createRange(), begin = text.data.search(/\\S/);
            range.setStart(text, begin);
            range.setEnd(text, begin + length);
            const box = range.getBoundingClientRect();
            return [box.left, box.right, box.top + box.height / 2];
        }""",
        len(word),
    )
    page.mouse.move(left, y)  # select it
    page.mouse.down()
    page.mouse.move((left + right) / 2, y)
    page.mouse.move(right, y)
    page.mouse.up()
    page.get_by_role("button", name="Replace everywhere").click()
    dialog = page.get_by_role("dialog", name="Replace everywhere")
    expect(dialog.get_by_label("Word")).to_have_value(word)
    dialog.get_by_label("Replace by").fill("Zanzibar")
    expect(dialog.get_by_role("status")).to_contain_text("Found ")
    dialog.get_by_role("button", name="Replace").click()
    expect(page.locator("#toast")).to_contain_text("Replaced ")
    assert clicks(page)[-2:] == ["Replace everywhere", "Replace"]
    assert len(clicks(page)) == in_guide("a misheard word") == 3  # the first selects
    with Library(tmp_path / "library") as library:
        said = library.transcript(TALK).text
        assert library.search("Zanzibar")
    assert "Zanzibar" in said
    assert not re.search(rf"\b{word}\b", said)


def test_from_an_address_to_the_transcripts_of_its_channel(page, browser, tmp_path, server):
    entries = "".join(
        f"<item><title>Episode {n}</title><guid>{n}</guid>"
        f'<enclosure url="{server.base}/media/ep{n}.mp3" type="audio/mpeg"/></item>'
        for n in (1, 2)
    )
    feed = f"<rss version='2.0'><channel><title>Show</title>{entries}</channel></rss>"
    server.routes["/show"] = lambda *_: (200, feed, {"Content-Type": "text/xml"})
    with serving(tmp_path / "empty") as address:
        page.allowed.add(address.partition("://")[2])
        page.goto(address)
        page.get_by_role("banner").get_by_role("link", name="Add recordings").click()
        page.get_by_label("Address", exact=True).fill(server.url("/show"))
        page.keyboard.press("Enter")
        page.wait_for_url("**/queue")
        expect(page.locator("#plan")).to_contain_text("New items")
        page.get_by_role("button", name="Transcribe now").click()
        expect(page.locator("#state")).to_contain_text("Run finished", timeout=90_000)
        expect(page.locator("#totals")).to_contain_text("2 of 2 items")
        assert clicks(page) == ["Add", "Transcribe now"]
        assert in_guide("the address") == 2
        page.goto("about:blank")
    with Library(tmp_path / "empty") as library:
        assert [record.state for record in library.items()] == ["done", "done"]


def test_from_a_channel_to_one_text_for_a_language_model(page):
    page.goto("/library?channel=samples")
    page.locator("summary", has_text="Export all").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Text for a language model").click()
    assert len(clicks(page)) == in_guide("a channel in the library") == 2
    assert download.value.suggested_filename == "samples.md"
    assert "quick brown fox" in Path(download.value.path()).read_text(encoding="utf-8")


def tab_to(page, selector):
    """Press Tab until an element that matches is focused."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_every_job_is_done_with_the_keyboard_alone(page, tmp_path, server):
    page.goto("/")
    page.keyboard.type('"brown fox"')
    expect(page.locator("a.hit")).not_to_have_count(0)
    tab_to(page, f"a.hit[href*='{CHANNEL}']")
    page.keyboard.press("Enter")
    page.wait_for_url("**/items/**")
    until(page, "document.getElementById('media')?.currentTime > 10.5")
    page.goto(f"/items/{TALK}")
    tab_to(page, "summary")
    page.keyboard.press("Enter")
    tab_to(page, "a[href*='/export/srt/']")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename.endswith(".srt")
    page.keyboard.press("Escape")
    tab_to(page, ".line")
    page.keyboard.press("x")
    page.keyboard.type("ridge")
    page.keyboard.press("Tab")
    page.keyboard.type("summit")
    expect(page.locator("#replace-count")).to_contain_text("Found ")
    page.keyboard.press("Enter")
    expect(page.locator("#toast")).to_contain_text("Replaced ")
    with Library(tmp_path / "library") as library:
        assert "northern summit" in library.transcript(TALK).text
    server.routes["/show"] = lambda *_: (
        200,
        "<rss version='2.0'><channel><title>Show</title><item><title>One</title><guid>1</guid>"
        f'<enclosure url="{server.base}/media/ep1.mp3" type="audio/mpeg"/></item></channel></rss>',
        {"Content-Type": "text/xml"},
    )
    page.goto("/statistics")
    tab_to(page, ".add-button")
    page.keyboard.press("Enter")
    tab_to(page, "[name=url]")
    page.keyboard.type(server.url("/show"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/queue")
    expect(page.locator("#plan")).to_contain_text("New items")
    tab_to(page, "[data-action=keep]")
    page.keyboard.press("Enter")
    expect(page.locator("#plan")).to_be_hidden()
    assert clicks(page) == []
