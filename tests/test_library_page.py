"""The library page as a tool: sort, select, rename, ignore, remove and export many recordings."""

import io
import re
import zipfile

import httpx
import pytest
from playwright.sync_api import expect

from homescribe.config import Config
from homescribe.core import Item, Listing, Segment, Word
from homescribe.errors import PermanentError, UserError
from homescribe.library import Library
from homescribe.web.jobs import Jobs
from pages import DESKTOP, KEEP_TOKEN, PHONE, check_page, check_view
from web_server import TOKEN, segments, serving, transcript

TABLET = {"width": 768, "height": 1024}
LAPTOP = {"width": 1440, "height": 900}


def talk(number):
    channel = ("Ridge", "Harbour", "A channel with a name that is longer than its column")[
        number % 3
    ]
    return Item(
        *("youtube", f"talk{number:07}", f"https://www.youtube.com/watch?v=talk{number:07}"),
        *(
            f"Talk {number:03} {'about winter ' * (number % 9)}".strip(),
            channel,
            "UC",
            60.0 + number,
        ),
        f"20{10 + number % 15}-0{1 + number % 9}-11",
    )


TALKS = [talk(number) for number in range(140)]


def key(number):
    return TALKS[number].key


def fill(directory):
    with Library(directory) as library:
        library.record("ytdlp", Listing("https://www.youtube.com/@t", "T", iter(())), TALKS)
        for number in range(6):
            words = transcript(segments(" a wooden spoon" * (number + 1)))
            library.save(TALKS[number], words, 1.0)
        library.fail(TALKS[6], PermanentError("This video is private."))
    return directory


@pytest.fixture
def library(tmp_path):
    return fill(tmp_path / "library")


@pytest.fixture
def base(library, request):
    if "page" in request.fixturenames:
        request.getfixturevalue("browser")  # must outlive the server's thread
    with serving(library) as address:
        yield address


@pytest.fixture
def client(base):
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


def records(library):
    with Library(library) as opened:
        return {record.item.key: record for record in opened.items()}


def shown(page):
    return page.locator(".items tbody .name a").all_text_contents()


# --- API ---------------------------------------------------------------------------------------------


def test_a_title_is_changed_and_restored(client, library):
    answer = client.put(f"/api/items/{key(0)}/title", json={"title": "Mine"}).json()
    assert answer == {"key": key(0), "before": "", "title": "Mine"}
    answer = client.put(f"/api/items/{key(0)}/title", json={"title": "Better"}).json()
    assert (answer["before"], answer["title"]) == ("Mine", "Better")
    found = client.get("/api/items", params={"title": "BETT"}).json()
    assert [each["listed_title"] for each in found["items"]] == [TALKS[0].title]
    answer = client.put(f"/api/items/{key(0)}/title", json={"title": ""}).json()
    assert answer["title"] == TALKS[0].title
    assert client.put(f"/api/items/{key(0)}/title", json={"title": 3}).status_code == 400
    assert client.put(f"/api/items/{key(0)}/title", json={}).status_code == 400
    assert client.put("/api/items/none/title", json={"title": "x"}).status_code == 404


def test_all_that_a_filter_finds_is_selected(client):
    found = client.get("/api/selection", params={"channel": "Ridge", "state": "done"}).json()
    assert found == {"keys": [key(0), key(3)]}
    assert len(client.get("/api/selection").json()["keys"]) == 140


def test_many_items_are_ignored_and_no_longer(client, library):
    body = {"action": "ignore", "keys": [key(0), key(6), key(7)]}
    answer = client.post("/api/selection", json=body).json()
    assert answer == {"ignored": [key(6), key(7)], "transcribed": 1}
    assert client.get("/api/items").json()["total"] == 138
    assert client.get("/api/items", params={"state": "ignored"}).json()["total"] == 2
    body = {"action": "stop-ignoring", "keys": [key(6), key(7)]}
    assert client.post("/api/selection", json=body).json() == {"pending": [key(6), key(7)]}
    assert records(library)[key(6)].state == "failed"


def test_many_items_are_removed(client, library):
    keys = [key(0), key(1), key(7)]
    answer = client.post("/api/selection", json={"action": "preview-removal", "keys": keys})
    assert answer.json() == {
        "items": 3,
        "transcripts": 2,
        "corrections": 0,
        "files": [],
        "bytes": 0,
    }
    body = {"action": "remove", "keys": keys, "ignore": True}
    assert client.post("/api/selection", json=body).json() == {"removed": 3, "files": []}
    assert client.get("/api/items", params={"state": "ignored"}).json()["total"] == 3
    body = {"action": "remove", "keys": [key(2)]}
    assert client.post("/api/selection", json=body).json() == {"removed": 1, "files": []}
    assert client.get(f"/api/items/{key(2)}").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"action": "ignore"},
        {"action": "ignore", "keys": []},
        {"action": "ignore", "keys": "youtube:x"},
        {"action": "ignore", "keys": ["none"]},
        {"action": "explode", "keys": ["none"]},
        {"action": "remove", "keys": [key(0)], "keep_files": "true"},
        {"action": "remove", "keys": [key(0)], "ignore": 1},
    ],
)
def test_an_action_without_known_items_is_refused(client, library, body):
    assert client.post("/api/selection", json=body).status_code == 400
    assert len(records(library)) == 140


def test_a_selection_is_exported_as_a_zip(client):
    answer = client.post("/api/selection/export/txt", json={"keys": [key(1), key(2), key(9)]})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert len(archive.namelist()) == 2  # of those with a transcript
    assert client.post("/api/selection/export/none", json={"keys": [key(1)]}).status_code == 404
    answer = client.get("/export/txt.zip", params={"title": "talk 001"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert len(archive.namelist()) == 1


def test_many_items_are_transcribed_again(library, monkeypatch):
    """Those that are transcribed, with the settings of the next run, and word times where there were any."""
    jobs, started = Jobs(Config(library=library)), []
    monkeypatch.setattr(jobs, "_start", lambda job, work: started.append(job))
    jobs.again_all([key(0), key(1), key(7)])
    with Library(library) as opened:
        said = transcript((Segment(0.0, 1.0, " spoon", words=(Word(" spoon", 0.0, 1.0, 0.9),)),))
        opened.save(TALKS[1], said, 1.0)
    jobs.again_all([key(0), key(1), key(7)])
    assert [(job.keys, job.again, job.config.word_timestamps) for job in started] == [
        (frozenset([key(0), key(1)]), True, None),
        (frozenset([key(0), key(1)]), True, True),
    ]
    with pytest.raises(UserError, match="None of these items is transcribed"):
        jobs.again_all([key(7)])


def test_actions_need_the_token(base):
    for method, path in (
        ("POST", "/api/selection"),
        ("PUT", f"/api/items/{key(0)}/title"),
        ("POST", "/api/selection/export/txt"),
    ):
        assert httpx.request(method, base + path, json={}).status_code == 403


def test_headers_sort_in_both_directions_and_keep_the_filters(client):
    page = client.get("/library", params={"channel": "Ridge", "sort": "longest", "offset": 3}).text
    header = re.search(
        r'<th scope="col"[^>]*aria-sort="descending"[^>]*><a href="([^"]*)">Length', page
    )
    assert header is not None
    assert header.group(1) == "/library?channel=Ridge&amp;sort=shortest"
    assert page.count("aria-sort") == 1


# --- In a browser --------------------------------------------------------------------------------------


@pytest.mark.browser
def test_rows_are_dense_and_have_one_left_edge(page):
    page.set_viewport_size(LAPTOP)
    page.goto("/library")
    visible = page.evaluate(
        "[...document.querySelectorAll('.items tbody tr')]"
        ".filter(row => row.getBoundingClientRect().bottom <= innerHeight).length"
    )
    assert visible >= 25
    lefts = page.evaluate(
        "['.brand', 'h1', '#filters', '.items'].map(each => "
        "document.querySelector(each).getBoundingClientRect().left)"
    )
    assert len(set(lefts)) == 1
    targets = page.evaluate(
        "[...document.querySelectorAll('.items .pick label, .items .act button, .items th a')]"
        ".map(each => each.getBoundingClientRect()).map(box => Math.min(box.width, box.height))"
    )
    assert min(targets) >= 24


@pytest.mark.browser
def test_a_header_sorts_by_keyboard(page):
    page.goto("/library")
    page.get_by_role("link", name="Words").focus()
    page.keyboard.press("Enter")
    expect(page.locator("th[aria-sort]")).to_have_text("Words")
    assert page.url.endswith("sort=most-words")
    assert shown(page)[0].startswith("Talk 005")
    page.locator("th[aria-sort] a").press("Enter")
    expect(page.locator("th[aria-sort=ascending]")).to_have_text("Words")
    assert shown(page)[0].startswith("Talk 000")


@pytest.mark.browser
def test_a_range_is_ignored_with_undo(page, library):
    page.goto("/library")
    boxes = page.locator(".items tbody .pick input")
    boxes.nth(4).check()
    boxes.nth(8).click(modifiers=["Shift"])
    bulk = page.get_by_role("region", name="Selected items")
    expect(bulk).to_contain_text("5 items selected")
    bulk.get_by_role("button", name="Ignore").click()
    toast = page.locator("#toast")
    expect(toast).to_contain_text("3 items ignored. 2 transcribed items left as before")
    expect(bulk).to_be_hidden()
    expect(page.locator(".headline .summary")).to_contain_text("137 items")
    assert key(7) not in records(library)
    toast.get_by_role("button", name="Undo").click()
    expect(page.locator(".headline .summary")).to_contain_text("140 items")
    assert records(library)[key(7)].state == "pending"


@pytest.mark.browser
def test_everything_that_the_filter_finds_is_removed(page, library):
    page.goto("/library")
    page.locator("#pick-all").check()
    bulk = page.get_by_role("region", name="Selected items")
    expect(bulk).to_contain_text("100 items selected")
    bulk.get_by_role("button", name="Select all 140").click()
    expect(bulk).to_contain_text("140 items selected")
    page.locator(".items tbody .pick input").nth(1).uncheck()
    expect(bulk).to_contain_text("99 items selected")
    page.goto("/library?channel=Harbour&state=pending")
    page.locator("#pick-all").check()
    bulk.get_by_role("button", name="Remove").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Remove 45 items?")
    expect(dialog).to_contain_text("This cannot be undone.")
    dialog.get_by_role("button", name="Remove").click()
    expect(page.locator(".nothing")).to_contain_text("No items match")
    assert len(records(library)) == 95


@pytest.mark.browser
def test_a_selection_is_downloaded(page):
    page.goto("/library")
    for number in (0, 2):
        page.locator(".items tbody .pick input").nth(number).check()
    bulk = page.get_by_role("region", name="Selected items")
    bulk.get_by_text("Export").click()
    with page.expect_download() as download:
        bulk.get_by_role("button", name="srt", exact=True).click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert len(archive.namelist()) == 2


@pytest.mark.browser
def test_a_recording_is_renamed_in_its_row_with_undo(page, library):
    page.goto("/library")
    row = page.locator(".items tbody tr").nth(1)
    row.get_by_role("button", name="Actions").click()
    page.get_by_role("menuitem", name="Rename").click()
    page.keyboard.type("A better title")
    page.keyboard.press("Enter")
    expect(row.locator(".name a")).to_have_text("A better title")
    assert records(library)[key(1)].item.title == "A better title"
    page.locator("#toast").get_by_role("button", name="Undo").click()
    expect(row.locator(".name a")).to_have_text(TALKS[1].title)
    assert records(library)[key(1)].listed_title is None


@pytest.mark.browser
def test_the_menu_of_a_row_is_used_by_keyboard(page, library):
    page.goto("/library")
    button = page.locator(".items tbody tr").nth(6).get_by_role("button", name="Actions")
    button.press("Enter")
    menu = page.locator("#row-menu")
    expect(menu.get_by_role("menuitem", name="Rename")).to_be_focused()
    assert list(menu.locator("button:visible").all_text_contents()) == [
        *("Rename", "Try again", "Ignore", "Remove…")
    ]
    page.keyboard.press("ArrowUp")
    expect(menu.get_by_role("menuitem", name="Remove")).to_be_focused()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(button).to_be_focused()


@pytest.mark.browser
def test_the_page_of_a_recording_renames_and_ignores_it(page, library):
    page.goto(f"/items/{key(7)}")
    page.get_by_text("More", exact=True).click()
    page.get_by_role("button", name="Rename").click()
    page.keyboard.type("Mine")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Mine")
    expect(page).to_have_title("Mine · homescribe")
    page.get_by_text("More", exact=True).click()
    page.get_by_role("button", name="Ignore").click()
    expect(page.locator(".no-transcript")).to_contain_text("ignored")
    assert key(7) not in records(library)
    page.get_by_role("button", name="Ignore no longer").click()
    expect(page.get_by_role("button", name="Transcribe")).to_be_visible()
    assert records(library)[key(7)].item.title == "Mine"


@pytest.mark.browser
@pytest.mark.parametrize(
    ("size", "scheme"),
    [(LAPTOP, "light"), (DESKTOP, "dark"), (TABLET, "light"), (PHONE, "dark")],
    ids=["1440", "1280", "768", "360"],
)
def test_the_table_is_accessible_at_every_size(browser, base, axe, size, scheme):
    context = browser.new_context(viewport=size, color_scheme=scheme, base_url=base)
    context.add_init_script(KEEP_TOKEN)
    page = context.new_page()
    for path in ("/library", "/library?title=xyzzy", "/library?state=failed&sort=state"):
        page.goto(path)
        check_page(page, axe, path)
    page.goto("/library?state=failed")
    page.locator(".items tbody .pick input").check()
    check_view(page, axe, "selected")
    page.get_by_role("button", name="Actions").click()
    check_view(page, axe, "menu")
    dates = page.locator(".items .date").first.bounding_box()
    assert dates["height"] < 34  # on one line
    context.close()
