"""The fixtures and checks of the tests that drive a browser."""

from importlib import resources
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

import browser as browsers
from web_server import TOKEN

expect.set_options(timeout=20_000)  # milliseconds, for busy machines
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}


# As after opening the address that `homescribe serve` prints.
KEEP_TOKEN = f"try {{ localStorage.setItem('token', '{TOKEN}') }} catch {{}}"

SHIFTS = """() => new Promise(done => {
    const found = [];
    const take = list => found.push(...list.getEntries().map(entry => entry.value));
    new PerformanceObserver(take).observe({type: "layout-shift", buffered: true});
    setTimeout(() => done(found), 50);
})"""


# Notes what is clicked with a pointer (not with a key), on all pages of a tab; a double click is one.
CLICKS = """() => {
    if (!location.protocol.startsWith("http")) return; // about:blank has no storage
    const clicks = JSON.parse(sessionStorage.getItem("clicks") ?? "[]");
    addEventListener("click", event => {
        if (event.detail === 1) clicks.push(event.target.textContent.trim());
        sessionStorage.setItem("clicks", JSON.stringify(clicks));
    }, true);
}"""


def clicks(page):
    """Return the texts of what was clicked since CLICKS became a script of the page."""
    return page.evaluate("JSON.parse(sessionStorage.getItem('clicks') ?? '[]')")


@pytest.fixture(scope="module")
def browser():
    path = browsers.find()
    if path is None:
        pytest.fail(browsers.MISSING, pytrace=False)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--mute-audio"]
        )
        yield launched
        launched.close()


@pytest.fixture
def page(browser, base):
    """A page; fails the test on an error, a dialog, or a request to any other server."""
    context = browser.new_context(
        viewport=DESKTOP, base_url=base, permissions=["clipboard-read", "clipboard-write"]
    )
    context.add_init_script(KEEP_TOKEN)
    page = context.new_page()
    problems, allowed = [], {urlsplit(base).netloc}
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on(
        "console",
        lambda message: message.type == "error" and problems.append(f"console: {message.text}"),
    )
    page.on("dialog", lambda dialog: problems.append(f"dialog: {dialog.message}"))
    page.on(
        "request",
        lambda request: (
            urlsplit(request.url).netloc not in allowed
            and problems.append(f"request: {request.url}")
        ),
    )
    page.problems, page.allowed = problems, allowed
    yield page
    context.close()
    assert problems == [], problems


# A stand-in for YouTube's player: the messages that youtube.js sends and receives.
PLAYER = """<!doctype html><title>player</title><script>
let now = Number(new URLSearchParams(location.search).get("start")), state = -1, rate = 1;
const send = (event, info) => parent.postMessage(JSON.stringify({event, info}), "*");
const sendInfo = () => send("infoDelivery", {
    currentTime: now, duration: 12, playerState: state, playbackRate: rate,
});
const commands = {
    playVideo() { state = 1; }, pauseVideo() { state = 2; }, seekTo(to) { now = to; },
    setPlaybackRate(to) { rate = to; },
};
addEventListener("message", ({data, origin}) => {
    const message = JSON.parse(data);
    document.title += " " + (message.func ?? message.event) + " " + origin;
    if (message.event === "listening" && state === -1) { state = 1; send("onReady", null); }
    if (message.event === "command") commands[message.func](...message.args);
    sendInfo();
});
setInterval(() => { if (state === 1) { now += 0.1 * rate; sendInfo(); } }, 100);
</script>"""


@pytest.fixture
def youtube_requests(page):
    """Requests for YouTube's player, which the stand-in answers."""
    requests = []

    def answer(route):
        requests.append(route.request)
        route.fulfill(content_type="text/html", body=PLAYER)

    page.route("https://www.youtube-nocookie.com/**", answer)
    page.allowed.add("www.youtube-nocookie.com")
    return requests


@pytest.fixture(scope="module")
def axe():
    """The source of axe-core."""
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


def until(page, expression):
    """Wait until the expression is true. The pages' security policy forbids wait_for_function."""
    for _ in range(300):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(40)
    raise AssertionError(f"timed out: {expression}")


def check_page(page, axe, name):
    """No layout shift, and what `check_view` checks."""
    page.wait_for_timeout(60)
    # On a busy machine, the menu may be painted before its last word has arrived: 0.00003 of the page.
    assert sum(page.evaluate(SHIFTS)) < 0.001, name
    check_view(page, axe, name)


def check_view(page, axe, name):
    """No violation of axe's rules (contrast, names, landmarks), no horizontal scrolling."""
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) == 0, f"{name} scrolls sideways"
    page.evaluate(axe)
    found = [
        (each["id"], each["nodes"][0]["html"]) for each in page.evaluate("axe.run()")["violations"]
    ]
    assert not found, f"{name}: {found}"
