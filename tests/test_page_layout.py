"""Nothing on a page is cut, outside the window, or too small to press, at three widths."""

import pytest
from playwright.sync_api import expect

from conversation import ANN, TALK, save_conversations
from homescribe import Item, Library, Listing, PermanentError
from pages import KEEP_TOKEN, check_view
from web_server import ARABIC, FOX, HOSTILE_ITEM, PENDING, PRIVATE, TOKEN, make_library, serving

LONG = "Pneumonoultramicroscopicsilicovolcanoconiosis" * 4
NAMES = "A podcast about the very long names that people give to their podcasts, part two"
SIZES = {"1440": (1440, 900), "768": (768, 1024), "390": (390, 844)}
PAGES = {
    **{path: path for path in ("/", "/?q=winter", "/library", "/queue", "/statistics", "/voices")},
    "?speaker": "/?q=morning&speaker=Ann+Lee",
    **{
        key: f"/items/{key}"
        for key in (FOX, TALK, ARABIC, HOSTILE_ITEM, PENDING, PRIVATE, "podcast:long")
    },
}
# Menus and dialogs: the page, and what is pressed one after the other.
OPENED = {
    "add": ("/", ["[data-open-add] >> visible=true"]),
    "export all": ("/library", ["summary:has-text('Export all')"]),
    "row": ("/library", ["td.act button >> nth=2"]),
    "selection": (
        "/library",
        [".items tbody .pick input >> nth=1", "#bulk summary:has-text('Export')"],
    ),
    "export": (f"/items/{TALK}", ["summary:has-text('Export')"]),
    "about": (f"/items/{TALK}", ["summary:has-text('About')"]),
    "more": (f"/items/{TALK}", ["summary:has-text('More')"]),
    "again": (f"/items/{TALK}", ["summary:has-text('More')", "#transcribe-again"]),
    "remove": (f"/items/{TALK}", ["summary:has-text('More')", "#remove-item"]),
}
# Links within a text are as high as its lines: https://www.w3.org/WAI/WCAG22/Understanding/target-size-minimum
PROBLEMS = """() => {
    const found = [], width = document.documentElement.clientWidth;
    const name = each => (each.getAttribute("aria-label") ?? each.textContent).trim().slice(0, 40);
    const clipped = "td, .scroll, .chapters ol, .speakers ul, #transcript";
    if (document.documentElement.scrollWidth > width) found.push("the page scrolls sideways");
    for (const each of document.querySelectorAll("a, button, input, select, summary")) {
        const box = each.getBoundingClientRect(), style = getComputedStyle(each);
        if (!each.checkVisibility({visibilityProperty: true}) || each.closest(".hidden, .skip")) continue;
        if ((box.right > width + 1 || box.left < -1) && !each.closest(clipped))
            found.push(`outside the window: ${name(each)}`);
        const target = (each.type === "checkbox" && each.closest("label") || each).getBoundingClientRect();
        if (style.display !== "inline" && (target.height < 23.9 || target.width < 23.9))
            found.push(`small: ${name(each)}, ${target.width} x ${target.height}`);
        if (each.placeholder && !each.value) {
            const text = document.createElement("canvas").getContext("2d");
            text.font = style.font;
            const room = each.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
            if (text.measureText(each.placeholder).width > room) found.push(`cut: ${each.placeholder}`);
        }
        if (each.matches(".run-settings select")) {
            const text = document.createElement("canvas").getContext("2d"), arrow = 20;
            text.font = style.font;
            const room = each.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
            const {textContent: chosen} = each.selectedOptions[0];
            if (text.measureText(chosen).width > room - arrow) found.push(`cut: ${chosen}`);
        }
    }
    return found;
}"""


@pytest.fixture(scope="module")
def base(browser, tmp_path_factory):
    directory = make_library(tmp_path_factory.mktemp("layout") / "library")
    long = Item("podcast", "long", "https://pod.example/long", LONG, NAMES, None, 60.0)
    with Library(directory) as library:
        save_conversations(library)
        library.name_speaker(TALK, ANN, "Ann Lee")
        library.record("podcast", Listing("https://pod.example/feed", NAMES, iter(())), [long])
        library.fail(long, PermanentError(f"{NAMES}: {LONG}"))
    with serving(directory) as address:
        yield address


@pytest.fixture(params=SIZES)
def sized(request, browser, base):
    width, height = SIZES[request.param]
    context = browser.new_context(viewport={"width": width, "height": height}, base_url=base)
    context.add_init_script(KEEP_TOKEN)
    yield context.new_page()
    context.close()


def test_every_control_is_seen_and_large_enough(sized):
    for name, path in PAGES.items():
        sized.goto(path)
        expect(sized.locator("main")).to_be_visible()
        assert sized.evaluate(PROBLEMS) == [], name
        # The browser paints when it has parsed what is above this element.
        assert sized.evaluate(
            "document.querySelector(document.querySelector('link[rel=expect]').getAttribute('href')) !== null"
        ), name


def test_every_menu_and_dialog_is_inside_the_window(sized, axe):
    for name, (path, pressed) in OPENED.items():
        sized.goto(path)
        for each in pressed:
            sized.locator(each).first.click()
        sized.wait_for_timeout(100)
        assert sized.evaluate(PROBLEMS) == [], name
        check_view(sized, axe, name)


def test_the_menu_of_pages_stays_where_it_is(sized):
    """From one page to the next, what is under the pointer does not move."""
    places = {}
    for path in ("/", "/library", "/queue", "/statistics"):
        sized.goto(path)
        places[path] = sized.get_by_role("navigation", name="Pages").bounding_box()
    assert len({(box["x"], box["y"]) for box in places.values()}) == 1, places


def test_what_a_page_shows_has_the_edges_of_its_header(browser, base):
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    edges = {}
    for path, wide in (("/library", ".items"), ("/queue", ".panel"), (f"/items/{TALK}", ".reader")):
        page.goto(f"{base}{path}#token={TOKEN}")
        box = page.locator(wide).first.bounding_box()
        edges[path] = (round(box["x"]), round(box["x"] + box["width"]))
    assert len(set(edges.values())) == 1, edges
    page.close()


def test_on_a_large_screen_the_library_shows_25_rows(browser, tmp_path):
    items = [
        Item("podcast", str(n), f"https://pod.example/{n}", f"Episode {n}", NAMES, None, 60.0)
        for n in range(40)
    ]
    with Library(tmp_path) as library:
        library.record("podcast", Listing("https://pod.example/feed", NAMES, iter(())), items)
    with serving(tmp_path) as address:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(f"{address}/library#token={TOKEN}")
        rows = page.locator(".items tbody tr")
        expect(rows).to_have_count(40)
        assert rows.nth(24).bounding_box()["y"] + rows.nth(24).bounding_box()["height"] <= 900
        lefts = page.evaluate(
            "['.brand', 'h1', '#filters', '.items'].map(each => "
            "Math.round(document.querySelector(each).getBoundingClientRect().left))"
        )
        assert len(set(lefts)) == 1  # one left edge
        page.close()
