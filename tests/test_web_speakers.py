"""The page and the API of speakers and voices: names, undo, questions, search."""

import dataclasses
import re
from threading import Event
from types import SimpleNamespace

import httpx
import pytest
from playwright.sync_api import expect

from conversation import ANN, BEN, EVE, LATER, TALK, conversation, save_conversations
from homescribe import Item, Library, Listing, PermanentError, add, assemble, demo
from homescribe.assemble import open_sources
from homescribe.config import Config
from homescribe.core import Segment, Speaker, Turn
from homescribe.errors import Cancelled, UserError
from homescribe.library.speaker_query import split_speakers
from homescribe.speakers.diarizer import Diarization
from homescribe.speakers.speaker_finder import SpeakerFinder
from homescribe.web.speaker_search import suggestions
from pages import check_view, until
from web_server import TOKEN, sample_segments, serving, transcript


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


def names(library, key=TALK):
    with Library(library) as opened:
        return [(speaker.name, speaker.named_by) for speaker in opened.speakers(key)]


def column(page):
    return page.locator(".who .name:visible").all_text_contents()


# --- Naming on the page ----------------------------------------------------------------------------


def test_one_click_and_enter_name_a_speaker_everywhere_in_the_recording(page, library):
    page.goto(f"/items/{TALK}")
    page.evaluate("window.notReloaded = true")
    page.locator(".who .name").nth(2).click()  # the second turn of the first speaker
    expect(page.get_by_role("combobox", name="Name of Speaker 1")).to_be_focused()
    page.keyboard.type("Ann Lee")
    page.keyboard.press("Enter")
    expect(page.locator("#toast")).to_contain_text(
        "This is Ann Lee. Also known in 1 other recording."
    )
    assert column(page) == ["Ann Lee", "Speaker 2", "Ann Lee", "Speaker 3", "Speaker 2"]
    assert page.locator(".chip .name-text").all_text_contents() == [
        *("Ann Lee", "Speaker 2", "Speaker 3")
    ]
    assert page.evaluate("window.notReloaded")
    assert names(library) == [("Ann Lee", "person"), (None, None), (None, None)]
    assert names(library, LATER)[0] == ("Ann Lee", "voice")
    expect(page.locator(".who .name").nth(2)).to_be_focused()


def test_the_chip_of_a_person_shows_all_that_this_person_says(page, library):
    with Library(library) as opened:
        opened.name_speaker(TALK, [ANN, EVE], "Ann")
    page.goto(f"/items/{TALK}")
    pressed = page.locator(".chip[aria-pressed=true]")
    page.locator(".chip").nth(2).click()
    expect(pressed).to_have_count(2)
    assert column(page) == ["Ann", "Ann", "Ann"]
    page.locator(".chip").first.click()
    expect(pressed).to_have_count(0)
    page.keyboard.press("1")
    expect(pressed).to_have_count(2)
    page.keyboard.press("3")  # the same person, who is shown alone
    expect(pressed).to_have_count(0)
    assert column(page) == ["Ann", "Speaker 2", "Ann", "Ann", "Speaker 2"]


def test_a_naming_is_undone_from_its_message(page, library):
    page.goto(f"/items/{TALK}")
    page.locator(".who .name").first.click()
    page.keyboard.type("Ann")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#toast")).to_have_text("Undone.")
    assert column(page)[0] == "Speaker 1"
    assert names(library) == names(library, LATER) == [(None, None)] * 3


def test_escape_keeps_the_name_and_leaving_the_field_saves_it(page, library):
    page.goto(f"/items/{TALK}")
    page.locator(".who .name").first.click()
    page.keyboard.type("Never")
    page.keyboard.press("Escape")
    assert column(page)[0] == "Speaker 1"
    page.locator(".line").nth(1).focus()
    page.keyboard.press("r")
    page.keyboard.type("Ann")
    page.locator("h1").click()
    expect(page.locator("#toast")).to_contain_text("This is Ann.")
    assert names(library)[0] == ("Ann", "person")
    page.locator(".who .name").first.click()  # the stored name is in the field
    expect(page.locator(".name-field")).to_have_value("Ann")
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    expect(page.locator("#toast")).to_contain_text("Name removed.")
    assert column(page)[0] == "Speaker 1"


@pytest.mark.parametrize(
    ("answer", "shown", "stored"),
    [("Yes", "Ben", ("Ben", "person")), ("No", "Speaker 2", (None, None))],
)
def test_a_name_that_may_be_right_is_answered_with_one_click(page, library, answer, shown, stored):
    with Library(library) as opened:
        opened.name_speaker(TALK, BEN, "Ben")
    page.goto(f"/items/{LATER}")
    assert column(page)[1] == "Ben?"
    expect(page.locator(".chip .name-text").nth(1)).to_have_text("Ben?")
    expect(page.locator(".answer:visible")).to_have_text(["Yes", "No"])
    page.get_by_role("button", name=re.compile(f"^{answer}, this is")).click()
    expect(page.locator(".who .name").nth(1)).to_have_text(shown)
    expect(page.locator(".answer:visible")).to_have_count(0)
    assert names(library, LATER)[1] == stored
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".who .name").nth(1)).to_have_text("Ben?")
    expect(page.locator(".answer:visible")).to_have_count(2)


def test_a_hostile_name_is_text(page, library):
    page.goto(f"/items/{TALK}")
    page.locator(".who .name").first.click()
    page.keyboard.type("<img src=x onerror=\"document.title='owned'\">")
    page.keyboard.press("Enter")
    expect(page.locator(".who .name").first).to_contain_text("<img")
    page.reload()
    expect(page.locator(".who .name").first).to_contain_text("<img")
    page.goto("/voices")
    expect(page.locator(".voices .name")).to_contain_text("<img")
    assert page.locator("main img").count() == 0
    assert page.title() != "owned"


# --- Voices ----------------------------------------------------------------------------------------


def test_voices_are_listed_renamed_and_forgotten(page, library, axe):
    with Library(library) as opened:
        opened.name_speaker(TALK, ANN, "Ann")
        opened.name_speaker(TALK, BEN, "Ben")
    page.goto("/voices")
    expect(page.locator("main")).to_contain_text("Voices are stored in this library only")
    ann = page.locator(".voices tr").filter(has_text="Ann")
    expect(ann).to_contain_text("2 recordings")
    expect(ann).to_contain_text("Ridge")
    expect(page.locator(".voices tr").filter(has_text="Ben")).to_contain_text("perhaps 1 more")
    for scheme in ("light", "dark"):
        for width in (390, 1440):
            page.set_viewport_size({"width": width, "height": 844})
            page.emulate_media(color_scheme=scheme)
            check_view(page, axe, f"voices, {width}, {scheme}")
    ann.locator(".name").click()
    page.keyboard.type("Ann Lee")
    page.keyboard.press("Enter")
    expect(page.locator("#toast")).to_contain_text("This is Ann Lee in all recordings now.")
    assert names(library, LATER)[0] == ("Ann Lee", "voice")
    page.get_by_role("button", name="Forget Ann Lee").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Forget the voice of Ann Lee?")
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.locator(".voices tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Forget Ann Lee").click()
    dialog.get_by_label("Keep the name").uncheck()
    dialog.get_by_role("button", name="Forget").click()
    expect(page.locator(".voices tbody tr")).to_have_count(1)
    expect(page.locator("#toast")).to_have_text("The voice of Ann Lee is forgotten.")
    assert names(library)[0] == names(library, LATER)[0] == (None, None)


def test_statistics_have_the_speaking_time_of_each_person(page, library):
    with Library(library) as opened:
        opened.name_speaker(TALK, ANN, "Ann")
        opened.name_speaker(TALK, BEN, "Ben")
    page.goto("/statistics")
    people = page.get_by_role("region", name="Speaking time").get_by_role("listitem")
    # Ann in both recordings, Ben in one: that he may be in the other does not count.
    assert [text.split() for text in people.all_text_contents()] == [
        ["Ann11", "s"],
        ["Ben10", "s"],
    ]


# --- Search ----------------------------------------------------------------------------------------


@pytest.fixture
def named(library):
    """Ann in both recordings, Ben in one; that he is in the other is a question."""
    with Library(library) as opened:
        opened.name_speaker(TALK, ANN, "Ann Lee")
        opened.name_speaker(TALK, BEN, "Ben")


def found_by(page):
    return page.locator(".hit b").all_text_contents()


def test_results_say_who_and_a_query_can_name_the_speaker(page, named):
    page.goto("/?q=morning")
    expect(page.locator(".hit")).not_to_have_count(0)
    assert {"Ben", "Ben?"} <= set(found_by(page))
    page.goto("/")
    page.keyboard.type("morning speaker:b")
    expect(page.locator(".suggestions a")).to_have_text(["Ben"])
    page.keyboard.press("Tab")  # to the filters
    page.keyboard.press("Tab")
    expect(page.locator(".suggestions a")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#q")).to_have_value("morning speaker:Ben ")
    expect(page.locator("#q")).to_be_focused()
    expect(page.locator(".suggestions")).to_have_count(0)
    until(page, "document.querySelectorAll('.hit').length > 0")
    assert set(found_by(page)) == {"Ben", "Ben?"}


def test_a_result_shows_what_the_speaker_says_in_the_recording(page, named):
    page.goto('/?q=morning speaker:"Ann Lee"')
    assert set(found_by(page)) == {"Ann Lee"}
    page.locator("a.hit").first.click()
    expect(page.locator("h1")).to_have_text(re.compile("ridge|later"))
    expect(page.locator("#find")).to_have_value("morning")
    expect(page.locator(".chip[aria-pressed=true] .name-text")).to_have_text("Ann Lee")
    assert set(column(page)) == {"Ann Lee"}
    expect(page.locator("#hit-counter span")).to_have_text("1 of 1")
    assert page.evaluate("CSS.highlights.get('hit').size") == 1
    page.keyboard.press("0")
    assert len(column(page)) == 5


def test_the_filter_lists_all_that_a_person_says(page, named, axe):
    page.goto("/")
    page.locator(".filters summary").click()
    page.get_by_label("Speaker").select_option("Ann Lee")
    expect(page.locator(".hit").first).to_contain_text("Ann Lee Welcome back.")
    until(page, "new URLSearchParams(location.search).get('speaker') === 'Ann Lee'")
    assert set(found_by(page)) == {"Ann Lee"}
    expect(page.locator("#overview")).to_be_hidden()
    check_view(page, axe, "what a person says")
    page.reload()
    expect(page.get_by_label("Speaker")).to_have_value("Ann Lee")
    assert set(found_by(page)) == {"Ann Lee"}


def test_an_unknown_name_is_answered_with_the_known_ones(page, named):
    page.goto("/?q=morning speaker:Anne")
    expect(page.locator(".nothing")).to_contain_text("No speaker is called Anne.")
    page.goto("/?q=morning speaker:")
    expect(page.locator(".suggestions a")).to_have_text(["Ann Lee", "Ben"])
    page.locator(".suggestions a").first.click()
    expect(page.locator("#q")).to_have_value('morning speaker:"Ann Lee" ')
    expect(page.locator(".hit b").first).to_have_text("Ann Lee")


def test_the_api_searches_by_speaker(api, named):
    hits = api.get("/api/search", params={"q": "morning", "speaker": "Ben"}).json()["hits"]
    assert {(hit["key"], hit["speaker"]) for hit in hits} == {(TALK, "Ben"), (LATER, "Ben?")}
    response = api.get("/api/search", params={"q": "morning", "speaker": "Nobody"})
    assert response.status_code == 400


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("speaker:", ["Ann Lee", "Joanne", "Ben"]),
        ("ice speaker:an", ["Ann Lee"]),
        ('ice SPEAKER:"ann l', ["Ann Lee"]),
        ("speaker:lee", ["Ann Lee"]),
        ("speaker:ben", ["Ben"]),
        ("speaker:Ben", []),  # complete
        ("speaker:ann ice", []),  # not being typed
        ("loudspeaker:ann", []),
        ("speaker:zoe", []),
    ],
)
def test_suggestions_of_names(query, found):
    suggested = suggestions(query, ["Ann Lee", "Joanne", "Ben"])
    assert [each.name for each in suggested] == found
    for each in suggested:
        assert split_speakers(each.query)[1] == [each.name]


# --- Lines of another speaker ----------------------------------------------------------------------


def test_a_line_is_given_to_another_speaker_and_back(page, library, axe):
    page.goto(f"/items/{TALK}")
    line = page.locator(".line", has_text="Every winter morning.")
    page.locator(".who .name[data-speaker=SPEAKER_01]").first.click()
    page.keyboard.type("Ben")
    page.keyboard.press("Enter")
    expect(page.locator("#toast")).to_contain_text("This is Ben.")
    page.locator("#main").focus()
    for _ in range(6):
        page.keyboard.press("j")
    expect(line).to_be_focused()
    page.keyboard.press("s")
    menu = page.get_by_role("toolbar", name="Who says this")
    expect(menu.get_by_role("button")).to_have_text(["Speaker 1", "Ben", "Speaker 3"])
    check_view(page, axe, "who says this")
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(line).to_be_focused()
    page.keyboard.press("s")
    menu.get_by_role("button", name="Ben").click()
    expect(page.locator("#toast")).to_contain_text("1 line: Ben.")
    assert column(page) == ["Speaker 1", "Ben", "Speaker 1", "Ben"]
    with Library(library) as opened:
        [hit] = opened.search("winter speaker:ben")
        assert hit.speaker == "Ben"
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#toast")).to_contain_text("Undone.")
    assert column(page) == ["Speaker 1", "Ben", "Speaker 1", "Speaker 3", "Ben"]


def test_selected_lines_are_given_to_another_speaker(page, library):
    page.goto(f"/items/{TALK}")
    page.evaluate(
        """() => {
            const lines = document.querySelectorAll(".line");
            getSelection().setBaseAndExtent(lines[0].firstChild, 2, lines[2].firstChild, 4);
        }"""
    )
    page.get_by_role("toolbar", name="Selection").get_by_role("button", name="Speaker").click()
    page.get_by_role("toolbar", name="Who says this").get_by_role("button").nth(2).click()
    expect(page.locator("#toast")).to_contain_text("3 lines: Speaker 3.")
    with Library(library) as opened:
        said = [segment.speaker for segment in opened.transcript(TALK).segments[:4]]
    assert said == [EVE, EVE, EVE, BEN]


def test_turns_words_and_speaking_times_follow_the_speaker_of_a_line(library):
    with Library(library) as opened:
        before = {speaker.label: speaker.seconds for speaker in opened.speakers(TALK)}
        assert opened.set_speaker(TALK, [1, 2], EVE) == {1: ANN, 2: BEN}  # 1.0 to 4.5, to 5.5
        changed = opened.transcript(TALK)
        after = {speaker.label: speaker.seconds for speaker in opened.speakers(TALK)}
        assert changed.turns[:3] == (Turn(0, 1, ANN), Turn(1, 5.5, EVE), Turn(5.5, 8.5, BEN))
        assert {word.speaker for word in changed.segments[1].words} == {EVE}
        assert after == {ANN: before[ANN] - 3.5, BEN: before[BEN] - 1, EVE: before[EVE] + 4.5}
        opened.set_speaker(TALK, [1], ANN)
        opened.set_speaker(TALK, [2], BEN)
        assert opened.transcript(TALK).turns == conversation().turns
        assert {each.label: each.seconds for each in opened.speakers(TALK)} == before
        for positions, label in (([99], EVE), ([-1], EVE), ([0], "SPEAKER_09")):
            with pytest.raises(UserError):
                opened.set_speaker(TALK, positions, label)


def test_search_finds_a_line_by_its_corrected_speaker(library):
    said = [(0, "Thin ice.", ANN), (100, "A hut.", BEN), (200, "Yes.", ANN), (300, "No.", EVE)]
    segments = tuple(Segment(at, at + 5, f" {text}", speaker=who) for at, text, who in said)
    turns = tuple(Turn(at, at + 5, who) for at, _, who in said)
    item = Item("file", "long", "/long.mp3", "long", "talks")
    with Library(library) as opened:
        opened.save(item, dataclasses.replace(conversation(), segments=segments, turns=turns))
        opened.name_speaker(item.key, EVE, "Eve")
        assert opened.search("hut speaker:eve") == []
        opened.set_speaker(item.key, [1], EVE)
        [hit] = opened.search("hut speaker:eve")
    assert (hit.key, hit.start, hit.speaker) == (item.key, 100, "Eve")


# --- Finding speakers ------------------------------------------------------------------------------


@pytest.fixture
def finder(monkeypatch):
    """Two voices in every recording, found when `finder.go` is set. What was requested is in `requested`."""
    go, requested = Event(), []

    def find(finder, audio, setting, track, stop, progress):
        requested.append(str(setting))
        progress(4.0)
        while not go.wait(0.05):
            if stop.is_set():
                raise Cancelled
        turns = (Turn(0, 9, "SPEAKER_00"), Turn(9, 18, "SPEAKER_01"))
        speakers = (
            Speaker("SPEAKER_00", 9.0, (1.0, 0.0), "test"),
            Speaker("SPEAKER_01", 9.0, (0.0, 1.0), "test"),
        )
        return Diarization(turns, speakers)

    monkeypatch.setattr(SpeakerFinder, "load", lambda finder: None)
    monkeypatch.setattr(SpeakerFinder, "find", find)
    monkeypatch.setattr(assemble, "check_speakers", lambda config, options: None)
    return SimpleNamespace(go=go, requested=requested)


@pytest.fixture
def fox(library):
    """A recording on the disk whose transcript has no speakers."""
    config = Config(library=library)
    with Library(library) as opened, open_sources(config, opened) as sources:
        [listed] = add(opened, sources, str(demo.samples() / "fox-20s.mp3"), Event())
        [item] = listed.items
        opened.save(item, transcript(sample_segments("fox-20s")), 4.0)
    return item.key


def test_speakers_are_found_without_transcribing_again(page, library, finder, fox, axe):
    page.goto(f"/items/{fox}")
    shown = page.locator("#transcript .line").all_inner_texts()
    expect(page.locator(".chip")).to_have_count(0)
    page.get_by_label("Who speaks?").select_option("2 people")
    page.get_by_role("button", name="Find speakers").click()
    expect(page.locator("#finding")).to_have_text(re.compile(r"Finding speakers, 2\d %"))
    expect(page.get_by_role("progressbar", name="Finding speakers")).to_be_visible()
    expect(page.get_by_role("button", name="Find speakers")).to_be_disabled()
    check_view(page, axe, "finding speakers")
    page.reload()  # the page shows it again
    expect(page.locator("#finding")).to_have_text(re.compile(r"Finding speakers, 2\d %"))
    finder.go.set()
    expect(page.locator(".chip .name-text")).to_have_text(["Speaker 1", "Speaker 2"])
    expect(page.locator("#find-speakers")).to_be_hidden()
    assert finder.requested == ["2"]
    with Library(library) as opened:
        stored = opened.transcript(fox)
    assert " ".join(shown).split() == stored.text.split()
    assert stored.options.speakers == "2"
    # Two clicks and two words give both a name.
    for number, name in enumerate(("Ann", "Ben")):
        page.locator(f".who .name[data-speaker=SPEAKER_0{number}]").first.click()
        page.keyboard.type(name)
        page.keyboard.press("Enter")
        expect(page.locator("#toast")).to_contain_text(f"This is {name}.")
    assert [name for name, _ in names(library, fox)] == ["Ann", "Ben"]
    page.get_by_text("More", exact=True).click()
    page.get_by_role("button", name="Find speakers again").click()
    expect(page.get_by_label("Who speaks?")).to_be_focused()
    page.get_by_role("button", name="Find speakers", exact=True).click()
    expect(page.locator("#find-speakers")).to_be_hidden()
    assert finder.requested == ["2", "auto"]
    assert [name for name, _ in names(library, fox)] == ["Ann", "Ben"]  # names stay


def test_why_no_speakers_were_found_is_said(page, finder, fox, monkeypatch):
    def find(*arguments):
        raise PermanentError("The audio cannot be decoded.", "Play the file.")

    monkeypatch.setattr(SpeakerFinder, "find", find)
    page.goto(f"/items/{fox}")
    page.get_by_role("button", name="Find speakers").click()
    expect(page.locator("#toast")).to_have_text("The audio cannot be decoded. Play the file.")
    expect(page.get_by_role("button", name="Find speakers")).to_be_enabled()


def test_the_api_finds_speakers_only_where_there_is_a_transcript(api, library, finder):
    item = Item("file", "new", "/new.mp3", "new", "samples")
    with Library(library) as opened:
        opened.record("file", Listing("/", "samples", iter(())), [item])
    for body in (
        {"action": "speakers", "key": "file:new"},
        {"action": "speakers", "key": TALK, "speakers": "many"},
        {"action": "speakers", "key": "youtube:none"},
    ):
        response = api.post("/api/queue", json=body)
        assert response.status_code == 400
        assert response.json()["error"]["message"]


# --- The API ---------------------------------------------------------------------------------------


def test_the_api_names_confirms_rejects_and_undoes(api):
    found = api.get(f"/api/items/{TALK}/speakers").json()["speakers"]
    assert [(each["label"], each["display_name"], each["seconds"]) for each in found] == [
        *((ANN, "Speaker 1", 5.5), (BEN, "Speaker 2", 9.5), (EVE, "Speaker 3", 1.5))
    ]
    assert {frozenset(each) for each in found} == {
        frozenset(("label", "number", "name", "named_by", "display_name", "seconds"))
    }
    named = api.put(f"/api/items/{TALK}/speakers/{BEN}", json={"name": "Ben"}).json()
    assert (named["speakers"][1]["name"], named["speakers"][1]["named_by"]) == ("Ben", "person")
    assert (named["recordings"], named["maybe"]) == (0, 1)
    later = f"/api/items/{LATER}/speakers"
    assert api.get(later).json()["speakers"][1]["display_name"] == "Ben?"
    confirmed = api.post(f"{later}/{BEN}", json={"action": "confirm"}).json()
    assert confirmed["speakers"][1]["named_by"] == "person"
    assert LATER in api.post("/api/speakers/undo").json()["keys"]
    rejected = api.post(f"{later}/{BEN}", json={"action": "reject"}).json()
    assert rejected["speakers"][1]["name"] is None
    [voice] = api.get("/api/voices").json()["voices"]
    assert (voice["name"], voice["recordings"], voice["samples"]) == ("Ben", 1, 1)
    address = f"/api/voices/{voice['id']}"
    assert api.put(address, json={"name": "Benjamin"}).json()["voices"][0]["name"] == "Benjamin"
    assert api.delete(f"{address}?keep_names=true").json() == {"voices": []}
    assert api.get(f"/api/items/{TALK}/speakers").json()["speakers"][1]["name"] == "Benjamin"
    assert "embedding" not in api.get(f"/api/items/{TALK}").text


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("PUT", f"/api/items/{TALK}/speakers/SPEAKER_07", {"name": "Ann"}, 400),
        ("PUT", f"/api/items/{TALK}/speakers/{ANN}", {"name": 5}, 400),
        ("PUT", f"/api/items/{TALK}/speakers/{ANN}", {}, 400),
        ("PUT", f"/api/items/youtube:none/speakers/{ANN}", {"name": "Ann"}, 404),
        ("POST", f"/api/items/{TALK}/speakers/{ANN}", {"action": "guess"}, 400),
        ("POST", f"/api/items/{TALK}/speakers/{ANN}", {"action": "confirm"}, 400),
        ("POST", "/api/speakers/undo", {}, 400),
        ("PUT", f"/api/items/{TALK}/speakers", {"positions": [0], "label": "SPEAKER_07"}, 400),
        ("PUT", f"/api/items/{TALK}/speakers", {"positions": [99], "label": ANN}, 400),
        ("PUT", f"/api/items/{TALK}/speakers", {"positions": [True], "label": ANN}, 400),
        ("PUT", f"/api/items/{TALK}/speakers", {"positions": [], "label": ANN}, 400),
        ("PUT", "/api/voices/99", {"name": "Ann"}, 404),
        ("DELETE", "/api/voices/99", None, 404),
        ("PUT", "/api/voices/999999999999999999", {"name": "Ann"}, 404),
    ],
)
def test_wrong_requests_are_refused_in_words(api, method, path, body, status):
    response = api.request(method, path, json=body)
    assert response.status_code == status
    assert response.json()["error"]["message"]


def test_turns_are_offered_for_export_only_where_there_are_any(api, fox):
    assert f"/export/rttm/{TALK}" in api.get(f"/items/{TALK}").text
    page = api.get(f"/items/{fox}").text
    assert f"/export/txt/{fox}" in page
    assert f"/export/rttm/{fox}" not in page


def test_names_are_changed_only_with_the_token(base, library):
    for method, path in (
        ("PUT", f"/api/items/{TALK}/speakers/{ANN}"),
        ("POST", f"/api/items/{TALK}/speakers/{ANN}"),
        ("POST", "/api/speakers/undo"),
        ("PUT", f"/api/items/{TALK}/speakers"),
        ("PUT", "/api/voices/1"),
        ("DELETE", "/api/voices/1"),
        ("DELETE", "/api/voices"),
    ):
        assert httpx.request(method, base + path, json={"name": "Ann"}).status_code == 403
    assert names(library) == [(None, None)] * 3
