"""Words that are replaced everywhere, on the page and in its API."""

import httpx
import pytest
from playwright.sync_api import expect

from conversation import TALK, save_conversations
from homescribe import Library
from web_server import TOKEN, serving


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as opened:
        save_conversations(opened)
    return tmp_path / "library"


@pytest.fixture
def base(library, request):
    if "page" in request.fixturenames:  # the browser must outlive the server's thread
        request.getfixturevalue("browser")
    with serving(library) as address:
        yield address


@pytest.fixture
def api(base):
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client


def text(library):
    with Library(library) as opened:
        return opened.transcript(TALK).text


def first_word(library):
    return text(library).split()[0].strip(".,!?")


def test_the_api(api, library):
    before, word = text(library), first_word(library)
    body = {"old": word, "new": "Zanzibar"}
    tried = api.post("/api/replacements", json={**body, "dry_run": True}).json()
    assert tried["id"] is None
    assert tried["words"] >= 1
    assert text(library) == before
    done = api.post("/api/replacements", json=body).json()
    assert {**done, "id": None} == tried
    assert text(library).startswith("Zanzibar")
    (listed,) = api.get("/api/replacements").json()["replacements"]
    assert (listed["id"], listed["words"]) == (done["id"], done["words"])
    undone = api.delete(f"/api/replacements/{done['id']}")
    assert undone.json() == {"recordings": done["recordings"]}
    assert text(library) == before
    assert api.delete(f"/api/replacements/{done['id']}").status_code == 404
    assert api.post("/api/replacements", json={"old": word}).status_code == 400
    assert api.post("/api/replacements", json={**body, "dry_run": "no"}).status_code == 400


def test_changes_need_the_token(base):
    answer = httpx.post(f"{base}/api/replacements", json={"old": "a", "new": "b"})
    assert answer.status_code in (401, 403)


def test_a_selected_word_is_replaced_everywhere_and_restored(page, library):
    before, word = text(library), first_word(library)
    page.goto(f"/items/{TALK}")
    page.evaluate(
        """(length) => {
            const line = document.querySelector("#transcript .line").firstChild;
            const begin = line.data.search(/\\S/);
            getSelection().setBaseAndExtent(line, begin, line, begin + length);
        }""",
        len(word),
    )
    page.get_by_role("button", name="Replace everywhere").click()
    dialog = page.get_by_role("dialog", name="Replace everywhere")
    expect(dialog.get_by_label("Word")).to_have_value(word)
    dialog.get_by_label("Replace by").fill("Zanzibar")
    expect(dialog.get_by_role("status")).to_contain_text("Found ")
    assert text(library) == before
    dialog.get_by_role("button", name="Replace").click()
    expect(page.locator("#toast")).to_contain_text("Replaced ")
    expect(page.locator("#transcript .line").first).to_contain_text("Zanzibar")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#toast")).to_contain_text("Undone in ")
    expect(page.locator("#transcript .line").first).to_contain_text(word)
    assert text(library) == before
