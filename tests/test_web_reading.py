"""The page of a recording in a browser: reading, finding, and who speaks."""

import dataclasses
import itertools
import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import expect

from conversation import ITEM, TALK, conversation, save_conversations
from homescribe import Library
from homescribe.core import Speaker
from homescribe.web import speaker_view
from homescribe.web.jinja import STATIC
from pages import KEEP_TOKEN, check_page, check_view, until
from web_server import CHANNEL, RIDGE, make_library, serving

DESKTOP = {"width": 1440, "height": 900}
TABLET = {"width": 768, "height": 1024}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    directory = make_library(tmp_path_factory.mktemp("reading"))
    with Library(directory) as opened:
        save_conversations(opened)
    return directory


@pytest.fixture(scope="module")
def base(library, browser):
    with serving(library) as address:
        yield address


def names(page):
    """The names in the column beside the text, from top to bottom."""
    return page.locator(".who .name:visible").all_text_contents()


def copied(page):
    return page.evaluate("navigator.clipboard.readText()")


# --- Playback --------------------------------------------------------------------------------------


def start_of_the_player(page, requests):
    """Second at which YouTube's player was told to start."""
    expect(page.locator("#play")).to_have_attribute("aria-label", "Pause")
    return dict(parse_qsl(urlsplit(requests[0].url).query))["start"]


@pytest.mark.parametrize("way", ["Space", "play", "load"])
@pytest.mark.parametrize(("query", "start"), [("t=4.5", "4"), ("q=winter", "8")])
def test_every_way_to_play_a_video_starts_at_the_time_of_the_address(
    page, youtube_requests, way, query, start
):
    page.goto(f"/items/{RIDGE}?{query}")
    expect(page.locator("#now")).to_have_text(f"0:0{start}")
    if way == "Space":
        page.keyboard.press("Space")
    elif way == "play":
        page.get_by_role("button", name="Play", exact=True).click()
    else:
        page.get_by_role("button", name="Play the video").click()
    assert start_of_the_player(page, youtube_requests) == start


def test_a_video_starts_where_the_bar_was_moved_to(page, youtube_requests):
    page.goto(f"/items/{RIDGE}?t=4.5")
    page.locator("#seek").fill("9")
    expect(page.locator(".line.now")).to_have_text("It was a long winter.")
    page.locator("#main").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Space")
    assert start_of_the_player(page, youtube_requests) == "4"


def test_a_file_starts_at_the_hit_that_the_address_leads_to(page):
    page.goto(f"/items/{CHANNEL}?q=fox")
    expect(page.locator("#hit-counter span")).to_have_text(re.compile("1 of"))
    page.keyboard.press("Space")
    until(page, "!document.getElementById('media').paused")
    said = float(page.locator(".line:focus").get_attribute("data-s"))
    assert said <= page.evaluate("document.getElementById('media').currentTime") < said + 8


# --- Finding ---------------------------------------------------------------------------------------


def test_words_are_found_within_the_transcript(page):
    page.goto(f"/items/{TALK}")
    expect(page.locator("#hit-counter")).to_be_hidden()
    page.locator("#main").focus()
    page.keyboard.press("w")
    page.keyboard.type("morning")
    counter = page.locator("#hit-counter span")
    expect(counter).to_have_text("1 of 3")
    assert page.evaluate("CSS.highlights.get('hit').size") == 3
    page.keyboard.press("Enter")
    expect(counter).to_have_text("2 of 3")
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    expect(counter).to_have_text("3 of 3")
    expect(page.get_by_role("searchbox", name="Find in this transcript")).to_be_focused()
    page.get_by_role("button", name="Next hit").click()
    expect(counter).to_have_text("1 of 3")
    page.locator("#find").fill("nobody says this")
    expect(counter).to_have_text("0 hits")
    page.locator("#find").fill("")
    expect(page.locator("#hit-counter")).to_be_hidden()
    assert page.evaluate("CSS.highlights.get('hit').size") == 0


COLOURS_OF = """name => {
    const style = getComputedStyle(document.querySelector(".line"), `::highlight(${name})`);
    return [style.color, style.backgroundColor];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_current_hit_is_readable_after_a_correction(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto(f"/items/{RIDGE}?q=winter")
    expect(page.locator("#hit-counter span")).to_have_text("1 of 1")
    page.keyboard.press("e")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("It was a very long winter.")
    page.keyboard.press("Enter")
    expect(page.locator("#toast")).to_contain_text("Corrected.")
    for name in ("hit", "current-hit", "excerpt", "word"):
        colours = page.evaluate(COLOURS_OF, name)
        assert contrast(*map(rgb_of, colours)) >= 4.5, name
    marked = "[...CSS.highlights.get('current-hit')].map(range => range.toString())"
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".line").nth(2)).to_have_text("It was a long winter.")
    page.keyboard.press("n")
    assert page.evaluate(marked) == ["winter"]
    above = "CSS.highlights.get('current-hit').priority > CSS.highlights.get('hit').priority"
    assert page.evaluate(above)


# --- The whole text --------------------------------------------------------------------------------


def test_the_transcript_is_copied_as_it_is_shown(page):
    page.goto(f"/items/{TALK}")
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.locator("#toast")).to_have_text("Transcript copied.")
    assert copied(page) == (
        "Speaker 1: Welcome back. Today we talk about the northern ridge.\n\n"
        "Speaker 2: Thank you. The readings came in every morning.\n\n"
        "Speaker 1: Every morning?\n\n"
        "Speaker 3: Every winter morning.\n\n"
        "Speaker 2: We knocked the ice off the mast with a wooden spoon.\n"
    )
    page.get_by_role("button", name="Times").click()
    page.locator(".chip").nth(1).click()
    page.get_by_role("button", name="Copy", exact=True).click()
    until(page, "navigator.clipboard.readText().then(text => text.startsWith('Speaker 2'))")
    assert copied(page) == (
        "Speaker 2:\n0:04 Thank you.\n0:05 The readings came in every morning.\n\n"
        "0:11 We knocked the ice off the mast with a wooden spoon.\n"
    )
    page.reload()  # times stay
    expect(page.get_by_role("button", name="Times")).to_have_attribute("aria-pressed", "true")
    tops = [box["y"] for line in page.locator(".line").all() if (box := line.bounding_box())]
    assert len(set(tops)) == len(tops)  # each line in a row of its own


@pytest.mark.parametrize("address", [f"/items/{TALK}", f"/items/{CHANNEL}", f"/items/{RIDGE}"])
def test_on_a_phone_the_transcript_begins_on_the_first_screen(page, address):
    page.set_viewport_size(PHONE)
    page.goto(address)
    line, player = (
        page.locator(".line").first.bounding_box(),
        page.locator("#player").bounding_box(),
    )
    assert line["y"] + 2 * 32 < player["y"]  # two rows of text
    for target in page.locator(
        "button:visible, .chapters a:visible, a.time:visible, .facts a:visible"
    ).all():
        box = target.bounding_box()
        assert min(box["width"], box["height"]) >= 24, target.evaluate("each => each.outerHTML")


# --- Who speaks ------------------------------------------------------------------------------------


def test_the_column_says_who_speaks_where_it_changes(page):
    page.goto(f"/items/{TALK}")
    assert names(page) == ["Speaker 1", "Speaker 2", "Speaker 1", "Speaker 3", "Speaker 2"]
    amounts = page.locator(".chip .amount").all_text_contents()
    assert amounts == ["6 s, 33 %", "10 s, 58 %", "2 s, 9 %"]
    overlap = page.locator(".line.overlap")
    expect(overlap).to_have_text("Every morning?")
    expect(overlap).to_have_attribute("title", "Several people speak at once")
    expect(page.locator(".line.doubt")).to_have_count(0)


def test_a_chip_and_a_key_show_only_what_one_person_says(page):
    page.goto(f"/items/{TALK}?q=morning")
    expect(page.locator("#hit-counter span")).to_have_text("1 of 3")
    page.locator(".chip").nth(1).click()
    assert names(page) == ["Speaker 2", "Speaker 2"]
    expect(page.locator("#hit-counter span")).to_contain_text("1")
    assert page.evaluate("CSS.highlights.get('hit').size") == 1
    page.locator(".chip").nth(2).click()
    assert names(page) == ["Speaker 2", "Speaker 3", "Speaker 2"]
    page.locator("#main").focus()
    page.keyboard.press("1")
    assert names(page) == ["Speaker 1", "Speaker 1"]
    expect(page.locator(".chip[aria-pressed=true]")).to_have_text(re.compile("Speaker 1"))
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(".line:focus")).to_have_text("Every morning?")  # j skips the others' lines
    page.keyboard.press("1")
    assert len(names(page)) == 5
    page.keyboard.press("3")
    page.keyboard.press("0")
    assert len(names(page)) == 5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, TABLET, PHONE], ids=["desktop", "tablet", "phone"])
def test_the_page_of_a_conversation_is_accessible(browser, base, axe, size, scheme):
    context = browser.new_context(viewport=size, color_scheme=scheme, base_url=base)
    context.add_init_script(KEEP_TOKEN)
    page = context.new_page()
    page.goto(f"/items/{TALK}?q=morning")
    check_page(page, axe, "conversation")
    page.locator(".chip").first.click()
    page.evaluate("document.getElementById('line-times').click()")
    check_view(page, axe, "filtered, with times")
    context.close()


# --- Colours ---------------------------------------------------------------------------------------

BACKGROUNDS = {"light": ("#faf9f6", "#ffffff"), "dark": ("#161817", "#1e2120")}
# What people see who lack one kind of cone: matrices for linear RGB of Machado, Oliveira and Fernandes,
# "A Physiologically-based Model for Simulation of Color Vision Deficiency" (2009), severity 1.
VISION = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
# https://bottosson.github.io/posts/oklab/
TO_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
TO_OKLAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)


def times(matrix, vector):
    return [sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix]


def rgb_of(colour):
    """0..1 of each channel of "#0072b2" or "rgb(0, 114, 178)"."""
    if colour.startswith("#"):
        return [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    return [float(number) / 255 for number in re.findall(r"[\d.]+", colour)[:3]]


def linear(colour):
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]


def contrast(one, other):
    """https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""
    dark, light = sorted(times([(0.2126, 0.7152, 0.0722)], linear(c))[0] for c in (one, other))
    return (light + 0.05) / (dark + 0.05)


def oklab(colour, vision):
    seen = [min(1.0, max(0.0, c)) for c in times(VISION[vision], linear(colour))]
    return times(TO_OKLAB, [cone ** (1 / 3) for cone in times(TO_CONES, seen)])


def voice_colours(scheme):
    style = (STATIC / "style.css").read_text()
    light, dark = style.split("@media (prefers-color-scheme: dark)", 1)
    found = re.findall(r"--voice-\d: (#[0-9a-f]{6})", light if scheme == "light" else dark)
    assert len(found) == speaker_view.COLOURS
    return [rgb_of(colour) for colour in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_colours_of_speakers_differ_for_every_kind_of_colour_vision(scheme):
    colours = voice_colours(scheme)
    for colour, background in itertools.product(colours, BACKGROUNDS[scheme]):
        assert contrast(colour, rgb_of(background)) >= 3  # WCAG 1.4.11, for what is not text
    for vision in VISION:
        seen = [oklab(colour, vision) for colour in colours]
        for one, other in itertools.combinations(seen, 2):
            # 0.02 is a difference that is just noticeable.
            assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5 > 0.1


def test_the_ninth_speaker_has_the_first_colour_with_another_mark():
    speakers = tuple(Speaker(f"SPEAKER_{n:02}", 10.0) for n in range(17))
    views = speaker_view.speaker_views(dataclasses.replace(conversation(), speakers=speakers))
    styles = [view.style for view in views.values()]
    assert len(set(styles[:16])) == 16
    assert (styles[0], styles[8], styles[16]) == ("voice-0", "voice-0 striped", "voice-0")


def test_reading_along_returns_to_the_one_who_still_speaks(page, library):
    key = "youtube:speakatonce"
    item = dataclasses.replace(
        ITEM, id="speakatonce", url="https://www.youtube.com/watch?v=speakatonce"
    )
    said = conversation()
    long, short, later = said.segments[:3]
    segments = (
        dataclasses.replace(long, start=1.0, end=9.0, words=()),
        dataclasses.replace(short, start=2.0, end=4.0, words=()),
        dataclasses.replace(later, start=12.0, end=14.0, words=()),
    )
    with Library(library) as opened:
        opened.save(item, dataclasses.replace(said, segments=segments), 5.0)
    page.goto(f"/items/{key}")
    address = page.evaluate(
        "performance.getEntriesByType('resource').map(each => each.name)"
        ".find(name => name.includes('transcript.js'))"
    )
    lines = page.evaluate(
        "async ([address, times]) => times.map((await import(address)).lineAt)",
        [address, [0.5, 1.5, 2.0, 3.5, 4.5, 8.9, 10.0, 12.5, 20.0]],
    )
    assert lines == [-1, 0, 1, 1, 0, 0, 1, 2, 2]
