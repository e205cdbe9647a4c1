"""A page without the token, or over a library that cannot be written, says so and offers no change."""

import httpx
import pytest
from playwright.sync_api import expect

from conversation import ANN, TALK, save_conversations
from homescribe.library import Library
from homescribe.web import storage
from pages import DESKTOP, PHONE, check_page
from web_server import FOX, PENDING, PRIVATE, TOKEN, make_library, serving

PAGES = (
    *("/", "/?q=fox", "/library", "/library?state=failed", "/queue", "/statistics", "/voices"),
    *(f"/items/{key}" for key in (FOX, TALK, PENDING, PRIVATE)),
    "/nothing",
)
BANNER = "This page is read-only."
CONTROLS = "main :is(button:not(#load-player), input[type=checkbox])"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    directory = make_library(tmp_path_factory.mktemp("read-only") / "library")
    with Library(directory) as opened:
        save_conversations(opened)
        opened.name_speaker(TALK, ANN, "Ann Lee")
    return directory


@pytest.fixture(scope="module")
def base(library, browser):
    with serving(library) as address:
        yield address


@pytest.fixture
def reader(browser, base):
    """A page of a browser that has no token; fails the test on an error or a request that is no GET."""
    context = browser.new_context(viewport=DESKTOP, base_url=base)
    page = context.new_page()
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda said: said.type == "error" and problems.append(said.text))
    page.on("request", lambda sent: sent.method == "GET" or problems.append(sent.url))
    page.problems = problems
    yield page
    context.close()
    assert [text for text in problems if "404" not in text] == []


@pytest.mark.parametrize("address", PAGES)
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_page_without_the_token_says_so(reader, axe, address, size):
    reader.set_viewport_size(size)
    reader.goto(address)
    expect(reader.get_by_text(BANNER)).to_be_visible()
    expect(reader.locator("[data-writes]:visible")).to_have_count(0)
    expect(reader.get_by_role("link", name="Add recordings")).to_have_count(0)
    check_page(reader, axe, f"{address} without the token")


@pytest.mark.parametrize("address", PAGES)
def test_no_control_of_a_page_without_the_token_sends_a_change(reader, address):
    """Whatever is pressed: `reader` fails on a request that is no GET."""
    reader.goto(address)
    for opened in reader.locator("summary:visible").all():
        opened.click()
    for number in range(reader.locator(CONTROLS).count()):
        control = reader.locator(CONTROLS).nth(number)
        if (
            control.is_visible()
            and control.is_enabled()
            and control.get_attribute("type") != "submit"
        ):
            control.evaluate("element => element.click()")  # also below an open menu
            reader.keyboard.press("Escape")
    if reader.locator(".line").count():
        for key in "esrx":
            reader.locator(".line").first.focus()
            reader.keyboard.press(key)
        expect(reader.locator("#toast")).to_have_text(
            "This page is read-only: it has no token of this server."
        )
        expect(reader.locator("[contenteditable], .name-field")).to_have_count(0)


def test_a_file_that_is_dropped_without_the_token_is_not_taken(reader):
    reader.goto("/")
    drop = """() => {
        const data = new DataTransfer();
        data.items.add(new File(["x"], "talk.mp3", {type: "audio/mpeg"}));
        for (const type of ["dragenter", "dragover"])
            document.body.dispatchEvent(new DragEvent(type, {dataTransfer: data, bubbles: true}));
        const hidden = document.getElementById("drop-hint").hidden;
        document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
        return hidden;
    }"""
    assert reader.evaluate(drop)
    expect(reader.locator("#toast")).to_contain_text("This page is read-only")
    expect(reader.locator("#uploads")).to_be_hidden()


@pytest.mark.parametrize(
    "typed",
    [TOKEN, f"http://127.0.0.1:8765/#token={TOKEN}", f"http://127.0.0.1/?token={TOKEN}&x=1"],
)
def test_the_token_is_entered(reader, typed):
    reader.goto(f"/items/{FOX}")
    field = reader.get_by_label("Token or address")
    field.fill("wrong")
    field.press("Enter")
    expect(reader.locator("#toast")).to_have_text("This is not the token of this server.")
    field.fill(typed)
    field.press("Enter")
    expect(reader.get_by_role("button", name="Correct")).to_be_visible()
    expect(reader.get_by_text(BANNER)).to_be_hidden()
    reader.goto("/library")
    expect(reader.get_by_role("link", name="Add recordings")).to_be_visible()


def test_the_token_is_typed_behind_the_address_of_an_open_page(reader, base):
    reader.goto("/library")
    reader.evaluate(f"location.hash = 'token={TOKEN}'")
    expect(reader.get_by_role("link", name="Add recordings")).to_be_visible()
    assert reader.url == f"{base}/library"


def test_the_token_of_an_earlier_start_is_found_and_forgotten(reader):
    reader.goto("/")
    reader.evaluate("localStorage.setItem('token', 'earlier')")
    reader.goto("/library")
    expect(reader.get_by_text(BANNER)).to_be_visible()
    assert reader.evaluate("localStorage.getItem('token')") is None


def test_a_token_is_checked_once_for_each_start_of_the_server(page, base):
    checks = []
    page.on("request", lambda sent: "/api/access" in sent.url and checks.append(sent.url))
    page.goto("/")
    page.wait_for_timeout(500)
    page.goto("/library")
    page.wait_for_timeout(500)
    assert len(checks) == 1
    expect(page.get_by_text(BANNER)).to_be_hidden()


def test_a_page_that_outlives_the_server_becomes_read_only(page, base):
    page.goto("/queue")
    page.evaluate("localStorage.setItem('token', 'earlier')")
    page.get_by_role("button", name="Check all sources").click()
    expect(page.get_by_text(BANNER)).to_be_visible()
    expect(page.get_by_role("button", name="Check all sources")).to_be_hidden()
    page.problems[:] = [each for each in page.problems if "403" not in each]


def test_programs_ask_whether_their_token_is_right(base):
    for headers, writes in (
        ({}, False),
        ({"Authorization": "Bearer wrong"}, False),
        ({"Authorization": f"Bearer {TOKEN}"}, True),
    ):
        answer = httpx.get(f"{base}/api/access", headers=headers)
        assert (answer.status_code, answer.json()) == (200, {"write": writes})


def test_a_server_for_other_machines_knows_the_token_of_the_page(browser, library, axe):
    with serving(library, token_required=True) as address:
        page = browser.new_page(viewport=DESKTOP)
        page.goto(f"{address}/library?token={TOKEN}")
        expect(page.get_by_role("link", name="Add recordings")).to_be_visible()
        expect(page.get_by_text(BANNER)).to_be_hidden()
        check_page(page, axe, "library with a cookie")
        page.close()


def test_a_library_that_cannot_be_written_offers_no_change(page, library, monkeypatch, axe):
    database = library / "library.db"
    monkeypatch.setattr(storage.os, "access", lambda path, mode: path != database)
    for address in PAGES[:-1]:
        page.goto(address)
        expect(page.locator("#storage-problem")).to_contain_text("The library is read-only")
        expect(page.get_by_text(BANNER)).to_be_hidden()
        expect(page.locator("[data-writes]:visible")).to_have_count(0)
    check_page(page, axe, "library that cannot be written")
