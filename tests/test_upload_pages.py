"""Uploading on the page in a browser: from a dropped file to its transcript, and the settings of runs."""

import base64
import shutil
import threading
import tomllib
from importlib import resources
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import expect

import browser as browsers
from homescribe import Library, assemble, demo
from homescribe.core import Speaker, Turn
from homescribe.speakers.diarizer import Diarization
from homescribe.speakers.speaker_finder import SpeakerFinder
from homescribe.web import snapshot, transfers
from pages import CLICKS, KEEP_TOKEN, clicks
from web_server import PENDING, PRIVATE, TOKEN, make_library, serving

expect.set_options(timeout=30_000)  # milliseconds, for busy machines
FOX = demo.samples() / "fox-20s.mp3"
CHANNEL = demo.samples() / "channel-40s.webm"
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
DROP = """([name, data, type]) => {
    const bytes = Uint8Array.from(atob(data), character => character.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, {type, lastModified: 1700000000000}));
    const event = kind => new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true});
    document.body.dispatchEvent(event("dragenter"));
    document.body.dispatchEvent(event("dragover"));
    document.body.dispatchEvent(event("drop"));
}"""

# A browser that has no room for files.
FULL_DATABASE = """() => {
    const put = IDBObjectStore.prototype.put;
    IDBObjectStore.prototype.put = function (value) {
        if (value.file) throw new DOMException("full", "QuotaExceededError");
        return put.call(this, value);
    };
}"""


@pytest.fixture
def config_file(tmp_path):
    return tmp_path / "config.toml"


@pytest.fixture
def base(browser, tmp_path, config_file):
    """The address of an empty library. `browser` first: Playwright must outlive the server's thread."""
    with serving(tmp_path / "library", config_file=config_file) as address:
        yield address


def opened(browser, base, size=DESKTOP, **options):
    """A page with the token; what goes wrong on it is in `page.problems`."""
    context = browser.new_context(viewport=size, base_url=base, **options)
    context.add_init_script(KEEP_TOKEN)
    page = context.new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(f"error: {error}"))
    page.on(
        "dialog",
        lambda dialog: (page.problems.append(f"dialog: {dialog.type}"), dialog.accept()),
    )
    page.on(
        "request",
        lambda request: (
            urlsplit(request.url).netloc != urlsplit(base).netloc
            and page.problems.append(f"request: {request.url}")
        ),
    )
    return page


@pytest.fixture
def page(browser, base):
    page = opened(browser, base)
    yield page
    page.goto("about:blank")  # closes the connection before the server ends
    page.context.close()
    assert page.problems == []


def drop(page, path, name=None):
    data = base64.b64encode(path.read_bytes()).decode()
    page.evaluate(DROP, [name or path.name, data, "audio/mpeg"])


def choose(page, *paths):
    """Choose files as in the browser's own dialog."""
    page.get_by_role("link", name="Add recordings").first.click()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose files").click()
    chooser.value.set_files(paths)


# --- From a file to its transcript ------------------------------------------------------------------


def test_a_dropped_file_comes_out_as_a_transcript_without_a_click(page, base):
    page.goto("/")
    drop(page, FOX, "interview.mp3")
    page.wait_for_url("**/items/file:*")  # by itself
    expect(page.get_by_role("heading", name="interview")).to_be_visible()
    expect(page.locator("#transcript")).to_contain_text("quick brown fox", timeout=90_000)
    assert httpx.get(f"{base}/api/uploads").json()["uploads"] == []


def test_chosen_files_are_uploaded_and_transcribed_while_other_pages_are_read(page, base):
    page.goto("/")
    choose(page, FOX, CHANNEL)
    tray = page.get_by_role("region", name="Upload")
    expect(tray.get_by_role("link", name="fox-20s.mp3")).to_be_visible()
    expect(tray.get_by_role("link", name="channel-40s.webm")).to_be_visible()
    page.goto("/library")
    expect(page.locator("#run-badge")).to_be_visible(timeout=60_000)
    assert (
        page.get_by_role("link", name="Queue").get_attribute("aria-label").startswith("Queue: Tr")
    )
    assert page.title().startswith("Transcribing")
    for _ in range(300):
        states = [one["state"] for one in httpx.get(f"{base}/api/items").json()["items"]]
        if states == ["done", "done"]:
            break
        page.wait_for_timeout(200)
    expect(page.locator("#run-badge")).to_be_hidden()
    assert page.title() == "Library · homescribe"


def test_a_page_loaded_again_while_an_upload_is_added_sends_nothing_again(page, monkeypatch):
    go_on, record = threading.Event(), transfers.record_upload
    monkeypatch.setattr(
        transfers, "record_upload", lambda *given: go_on.wait(60) and record(*given)
    )
    sent = []
    page.on("request", lambda each: each.method in ("POST", "PATCH") and sent.append(each))
    page.goto("/")
    choose(page, FOX)
    tray = page.get_by_role("region", name="Upload")
    expect(tray).to_contain_text("uploaded, being added…")
    expect(tray.get_by_role("button", name="Cancel")).to_have_count(0)
    page.reload()
    expect(tray).to_contain_text("uploaded, being added…")
    go_on.set()
    expect(tray.get_by_role("link", name="fox-20s.mp3")).to_be_visible()
    bodies = [len(each.post_data_buffer or b"") for each in sent if "/api/uploads/" in each.url]
    assert sum(bodies) <= FOX.stat().st_size
    assert len([each for each in sent if each.url.endswith("/api/uploads")]) == 1


def test_on_a_phone_the_title_and_the_end_of_the_dialog_stay_in_sight(browser, base):
    page = opened(browser, base, {"width": 390, "height": 600}, has_touch=True, is_mobile=True)
    page.goto("/")
    page.get_by_role("link", name="Add recordings").first.click()
    dialog = page.get_by_role("dialog")
    box = dialog.bounding_box()
    for position in (0, 10_000):
        dialog.evaluate("(each, position) => each.scrollTo(0, position)", position)
        for part in (dialog.locator("h2"), dialog.get_by_role("button", name="Close")):
            seen = part.bounding_box()
            assert box["y"] <= seen["y"]
            assert seen["y"] + seen["height"] <= box["y"] + box["height"]
    dialog.get_by_label("Time of each word").click()
    expect(dialog.locator("[data-saved]")).to_have_text("Saved for the next run.")
    expect(dialog.locator("[data-saved]")).to_be_in_viewport()
    page.context.close()


def test_a_file_that_is_not_a_recording_says_so(page, tmp_path):
    text = tmp_path / "notes.mp3"
    text.write_text("no sound")
    page.goto("/")
    choose(page, text)
    tray = page.get_by_role("region", name="Uploads")
    expect(tray).to_contain_text("notes.mp3 is not")
    tray.get_by_role("button", name="Hide: notes.mp3").click()
    expect(tray).to_be_hidden()


def test_the_same_file_again_opens_what_is_there(page):
    page.goto("/")
    drop(page, FOX)
    page.wait_for_url("**/items/file:*")
    first = page.url
    page.goto("/")
    drop(page, FOX, "renamed.mp3")
    page.wait_for_url("**/items/file:*")
    assert page.url == first


def test_an_interview_has_two_named_speakers_after_two_clicks(browser, tmp_path, monkeypatch):
    """With `speakers` chosen before, as the page remembers it."""

    def find(finder, audio, setting, track, stop, progress):
        turns = (Turn(0, 9, "SPEAKER_00"), Turn(9, 18, "SPEAKER_01"))
        speakers = (
            Speaker("SPEAKER_00", 9.0, (1.0, 0.0), "test"),
            Speaker("SPEAKER_01", 9.0, (0.0, 1.0), "test"),
        )
        return Diarization(turns, speakers)

    monkeypatch.setattr(SpeakerFinder, "load", lambda finder: None)
    monkeypatch.setattr(SpeakerFinder, "find", find)
    monkeypatch.setattr(assemble, "check_speakers", lambda config, options: None)
    library = tmp_path / "library"
    with serving(library, speakers="auto") as base:
        page = opened(browser, base)
        page.add_init_script(f"({CLICKS})()")
        page.goto("/")
        drop(page, FOX, "interview.mp3")
        expect(page.locator(".who .name").first).to_have_text("Speaker 1", timeout=90_000)
        for number, name in ((1, "Ann Lee"), (2, "Ben")):
            page.locator(".who .name", has_text=f"Speaker {number}").first.click()
            page.keyboard.type(name)
            page.keyboard.press("Enter")
            expect(page.locator(".who .name", has_text=name).first).to_be_visible()
        assert clicks(page) == ["Speaker 1", "Speaker 2"]
        [item] = httpx.get(f"{base}/api/items").json()["items"]
        with Library(library) as stored:
            names = [speaker.name for speaker in stored.speakers(item["key"])]
        page.goto("about:blank")
        page.context.close()
    assert names == ["Ann Lee", "Ben"]


# --- Interruptions ----------------------------------------------------------------------------------


def hold_parts(page):
    """Let the first part of an upload arrive by half, and the rest never."""
    parts = []

    def handle(route):
        if route.request.method != "PATCH":
            return route.continue_()
        parts.append(route.request)
        if len(parts) > 1:
            return route.abort()
        body = route.request.post_data_buffer
        headers = {k: v for k, v in route.request.headers.items() if k != "content-length"}
        httpx.patch(route.request.url, headers=headers, content=body[: len(body) // 2])
        return route.abort()

    page.route("**/api/uploads/*", handle)
    return parts


def test_an_upload_continues_after_a_lost_connection_and_a_reload(page, base):
    page.goto("/")
    hold_parts(page)
    drop(page, FOX, "interview.mp3")
    tray = page.get_by_role("region", name="Uploading")
    expect(tray).to_contain_text("no connection, trying again")
    [unfinished] = httpx.get(f"{base}/api/uploads").json()["uploads"]
    size = FOX.stat().st_size
    assert (unfinished["offset"], unfinished["size"]) == (size // 2, size)
    page.unroute("**/api/uploads/*")
    offsets = []
    page.on(
        "request",
        lambda request: (
            request.method == "PATCH" and offsets.append(request.headers["upload-offset"])
        ),
    )
    page.goto("/library")  # another page continues, with the same bytes
    expect(page.get_by_role("region", name="Uploads")).to_contain_text("interview.mp3")
    expect(page.get_by_role("link", name="interview.mp3")).to_be_visible()
    assert offsets == [str(size // 2)]
    [item] = httpx.get(f"{base}/api/items").json()["items"]
    assert httpx.get(f"{base}/media/{item['key']}").content == FOX.read_bytes()


def test_a_file_that_the_browser_did_not_keep_continues_when_it_is_chosen_again(page, base):
    page.goto("/")
    page.evaluate(FULL_DATABASE)
    hold_parts(page)
    drop(page, FOX, "interview.mp3")
    expect(page.get_by_role("region", name="Uploading")).to_contain_text("trying again")
    page.unroute("**/api/uploads/*")
    page.goto("/library")
    assert page.problems == ["dialog: beforeunload"]  # leaving the page would stop the upload
    page.problems.clear()
    expect(page.get_by_role("region", name="Uploads")).to_contain_text("Choose the file again")
    offsets = []
    page.on(
        "request",
        lambda request: (
            request.method == "PATCH" and offsets.append(request.headers["upload-offset"])
        ),
    )
    drop(page, FOX, "interview.mp3")
    page.wait_for_url("**/items/file:*")
    assert offsets == [str(FOX.stat().st_size // 2)]


def test_a_cancelled_upload_is_deleted_on_the_server(page, base):
    page.goto("/")
    hold_parts(page)
    drop(page, FOX, "interview.mp3")
    expect(page.get_by_role("region", name="Uploading")).to_contain_text("trying again")
    page.get_by_role("button", name="Cancel: interview.mp3").click()
    expect(page.locator("#uploads")).to_be_hidden()
    for _ in range(100):
        if not httpx.get(f"{base}/api/uploads").json()["uploads"]:
            break
        page.wait_for_timeout(50)
    assert httpx.get(f"{base}/api/uploads").json()["uploads"] == []
    page.reload()
    expect(page.locator("#uploads")).to_be_hidden()


# --- Settings ---------------------------------------------------------------------------------------


def test_settings_of_the_next_run_are_chosen_and_remembered(page, config_file):
    config_file.write_text("# mine\ndisk = 3.0  # gigabytes\n")
    page.goto("/")
    page.keyboard.press("Tab")  # by keyboard alone
    page.get_by_role("link", name="Add recordings").first.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Add recordings")
    expect(dialog.get_by_label("Model")).to_have_value("demo")
    dialog.get_by_label("Language").select_option("German")
    expect(dialog.get_by_role("status")).to_have_text("Saved for the next run.")
    dialog.get_by_label("Time of each word").check()
    for _ in range(100):
        if "word_timestamps" in config_file.read_text():
            break
        page.wait_for_timeout(50)
    assert config_file.read_text() == (
        '# mine\ndisk = 3.0  # gigabytes\nlanguage = "de"\nword_timestamps = true\n'
    )
    page.reload()
    page.get_by_role("link", name="Add recordings").first.click()
    expect(dialog.get_by_label("Language")).to_have_value("de")
    dialog.get_by_label("Language").select_option("Detect")
    for _ in range(100):
        if "language" not in config_file.read_text():
            break
        page.wait_for_timeout(50)
    assert tomllib.loads(config_file.read_text()) == {"disk": 3.0, "word_timestamps": True}
    page.keyboard.press("Escape")
    drop(page, FOX)
    page.wait_for_url("**/items/file:*")
    expect(page.locator("#transcript")).to_contain_text("quick brown fox", timeout=90_000)
    expect(page.locator(".provenance").first).to_contain_text("word")


def test_names_to_expect_are_written_into_the_glossary(page, tmp_path):
    page.goto("/")
    page.get_by_role("link", name="Add recordings").first.click()
    dialog = page.get_by_role("dialog", name="Add recordings")
    names, note = dialog.get_by_label("Names and spellings"), dialog.locator("[data-glossary-note]")
    names.fill("Ann Lee\nquick -> rapid")
    names.blur()
    expect(note).to_have_text("Saved for the next run.")
    names.fill("Ann Lee\nquick ->")
    names.blur()
    expect(note).to_contain_text("line 2: 'quick ->' is no rule")
    page.reload()
    page.get_by_role("link", name="Add recordings").first.click()
    expect(names).to_have_value("Ann Lee\nquick -> rapid\n")
    page.keyboard.press("Escape")
    drop(page, FOX)
    page.wait_for_url("**/items/file:*")
    expect(page.locator("#transcript")).to_contain_text("rapid brown fox", timeout=90_000)


def test_uploads_wait_where_a_run_costs_money(browser, tmp_path):
    with serving(tmp_path / "library", backend="modal", model=None) as base:
        page = opened(browser, base)
        page.goto("/")
        choose(page, FOX)
        page.wait_for_url("**/items/file:*")
        expect(page.locator(".no-transcript")).to_contain_text("pending")
        assert httpx.get(f"{base}/api/queue").json()["progress"] is None
        page.goto("about:blank")
        page.context.close()


def test_another_device_uploads_with_the_token_of_the_address(tmp_path, browser):
    """At a name in the local network, browsers have no locks, and the token is in a cookie."""
    with serving(tmp_path / "library", token_required=True, host="0.0.0.0") as base:
        port = urlsplit(base).port
        launched = browser.browser_type.launch(
            executable_path=browsers.find(),
            args=["--no-sandbox", "--host-resolver-rules=MAP nas.local 127.0.0.1"],
        )
        page = launched.new_page(base_url=f"http://nas.local:{port}")
        page.goto(f"/?token={TOKEN}")
        assert page.evaluate("isSecureContext") is False
        drop(page, FOX)
        page.wait_for_url("**/items/file:*")
        expect(page.locator("#transcript")).to_contain_text("quick brown fox", timeout=90_000)
        launched.close()


# --- Pages of items, and all pages ------------------------------------------------------------------


def test_a_pending_item_starts_alone(page, base, tmp_path):
    for name in ("one", "two"):
        shutil.copy(FOX if name == "one" else CHANNEL, tmp_path / f"{name}{FOX.suffix}")
    client = httpx.Client(base_url=base, headers={"Authorization": f"Bearer {TOKEN}"})
    with client:
        for name in ("one", "two"):
            client.post("/api/queue", json={"action": "add", "url": str(tmp_path / f"{name}.mp3")})
            for _ in range(200):
                listing = client.get("/api/queue").json()["listing"]
                if listing["finished"]:
                    break
                page.wait_for_timeout(50)
        items = {each["title"]: each["key"] for each in client.get("/api/items").json()["items"]}
        page.goto(f"/items/{items['one']}")
        page.get_by_role("button", name="Transcribe", exact=True).click()
        expect(page.locator("#transcript")).to_contain_text("quick brown fox", timeout=90_000)
        states = {e["title"]: e["state"] for e in client.get("/api/items").json()["items"]}
        assert states == {"one": "done", "two": "pending"}


def test_an_item_is_removed_with_its_uploaded_file(page, base, tmp_path):
    page.goto("/")
    drop(page, FOX)
    page.wait_for_url("**/items/file:*")
    expect(page.locator("#transcript")).to_contain_text("quick brown fox", timeout=90_000)
    page.get_by_text("More", exact=True).click()
    page.get_by_role("button", name="Remove from the library").click()
    dialog = page.get_by_role("dialog", name="Remove this recording?")
    expect(dialog).to_contain_text("Its transcript is removed, too.")
    expect(dialog.get_by_label("Delete the uploaded file")).to_be_checked()
    page.keyboard.press("Escape")
    assert (tmp_path / "library/recordings/Uploads/fox-20s.mp3").exists()
    page.get_by_text("More", exact=True).click()
    page.get_by_role("button", name="Remove from the library").click()
    dialog.get_by_role("button", name="Remove").click()
    page.wait_for_url("**/library")
    assert httpx.get(f"{base}/api/items").json()["total"] == 0
    assert not (tmp_path / "library/recordings/Uploads").exists()


@pytest.mark.parametrize(
    ("state", "buttons"),
    [("running", ["Pause"]), ("paused", ["Resume", "End"]), ("idle", ["Transcribe 1 item"])],
)
def test_a_run_has_one_button_that_stops_it(browser, tmp_path, monkeypatch, state, buttons):
    take = snapshot.Snapshots.take
    monkeypatch.setattr(snapshot.Snapshots, "take", lambda self: {**take(self), "state": state})
    with serving(make_library(tmp_path / "library")) as base:
        page = opened(browser, base)
        page.goto("/queue")
        found = page.locator("[aria-labelledby=run-title] button:visible")
        expect(found).to_have_text(buttons)
        page.goto("about:blank")
        page.context.close()


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_what_is_added_to_the_pages_is_accessible(browser, tmp_path, size, scheme):
    """No violation of axe's rules and no horizontal scrolling: the dialog, uploads, items in each state."""
    axe = (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")

    def check(name):
        page.wait_for_timeout(100)
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) == 0, name
        page.evaluate(axe)
        found = page.evaluate("axe.run()")["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == [], name

    with serving(make_library(tmp_path / "library")) as base:
        page = opened(browser, base, size, color_scheme=scheme)
        for path in (f"/items/{PENDING}", f"/items/{PRIVATE}", "/"):
            page.goto(path)
            check(path)
        page.get_by_role("link", name="Add recordings").first.click()
        expect(page.get_by_role("button", name="Choose files")).to_be_visible()
        check("dialog")
        page.keyboard.press("Escape")
        hold_parts(page)
        drop(page, FOX)
        expect(page.locator("#uploads")).to_contain_text("trying again")
        check("upload")
        page.goto("about:blank")
        page.context.close()
