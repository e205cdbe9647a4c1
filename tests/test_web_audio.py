"""Audio that the library keeps, on the page: played with exact times, removed, and bounded."""

import re
from threading import Event

import av
import httpx
import numpy as np
import pytest
from playwright.sync_api import expect

from homescribe import demo
from homescribe.audio import SAMPLE_RATE, SUFFIX, write_speech_copy
from homescribe.library import Library, kept_audio
from pages import check_page, until
from web_server import PENDING, RIDGE, TOKEN, make_library, serving

WRITE = {"Authorization": f"Bearer {TOKEN}"}
HOURS = 10
SWEEP = 20  # seconds of a tone whose frequency tells its time
LOWEST, SLOPE = 400.0, 150.0  # Hz, Hz per second


@pytest.fixture
def folder(tmp_path):
    return make_library(tmp_path / "library")


@pytest.fixture
def base(folder):
    with serving(folder, keep_audio="speech", keep_audio_limit=0.05) as base:
        yield base


def keep(folder, key):
    """Keep a copy for speech of a bundled recording as the audio of an item."""
    with Library(folder) as library:
        path = library.audio.new_path(key, SUFFIX)
        copy = write_speech_copy(demo.samples() / "fox-20s.mp3", path, Event())
        library.audio.add(library.item(key).item, path, "speech", duration=copy.seconds)
    return path


# --- Over HTTP -------------------------------------------------------------------------------------


def test_kept_audio_is_served_in_parts(base, folder):
    assert httpx.get(f"{base}/media/{PENDING}").status_code == 404
    content = keep(folder, PENDING).read_bytes()
    whole = httpx.get(f"{base}/media/{PENDING}")
    assert (whole.status_code, whole.content) == (200, content)
    assert whole.headers["content-type"] == "audio/ogg"
    assert whole.headers["accept-ranges"] == "bytes"
    part = httpx.get(f"{base}/media/{PENDING}", headers={"Range": "bytes=1000-1999"})
    assert (part.status_code, part.content) == (206, content[1000:2000])
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(content)}"


def test_only_the_file_of_the_row_is_served(base, folder):
    """Not what another program made of it."""
    path = keep(folder, PENDING)
    path.write_bytes(b"another program wrote this")
    assert httpx.get(f"{base}/media/{PENDING}").status_code == 404
    path.unlink()
    assert httpx.get(f"{base}/media/{PENDING}").status_code == 404


def test_the_api_lists_removes_and_prunes(base, folder):
    for key in (PENDING, RIDGE):
        keep(folder, key)
    found = httpx.get(f"{base}/api/audio").json()
    assert (found["files"], found["limit"]) == (2, 50_000_000)
    assert [one["key"] for one in found["items"]] == [PENDING, RIDGE]
    assert found["bytes"] == sum(one["bytes"] for one in found["items"])
    limit = {"limit": f"{found['items'][1]['bytes'] / 1e3} kB"}
    plan = httpx.post(f"{base}/api/audio", json=limit, headers=WRITE).json()
    assert (plan["files"], plan["bytes"]) == (1, found["items"][0]["bytes"])
    assert httpx.get(f"{base}/api/audio").json()["files"] == 2
    httpx.post(f"{base}/api/audio", json={**limit, "remove": True}, headers=WRITE)
    with Library(folder) as library:
        assert [one.key for one in library.audio.records()] == [RIDGE]
        assert len(list(library.audio.path.iterdir())) == 1
    removed = httpx.delete(f"{base}/api/items/{RIDGE}/audio", headers=WRITE)
    assert removed.json() == {"bytes": found["items"][1]["bytes"]}
    assert httpx.delete(f"{base}/api/items/{RIDGE}/audio", headers=WRITE).json() == {"bytes": 0}
    assert httpx.delete(f"{base}/api/items/nothing:x/audio", headers=WRITE).status_code == 404
    assert httpx.get(f"{base}/api/status").json()["kept_audio"] == {"files": 0, "bytes": 0}


@pytest.mark.parametrize("limit", ["many", "", "-1", None, 5])
def test_a_limit_that_is_none_removes_nothing(base, folder, limit):
    keep(folder, PENDING)
    body = {"limit": limit, "remove": True}
    answer = httpx.post(f"{base}/api/audio", json=body, headers=WRITE)
    if limit == 5:
        assert answer.json()["files"] == 0
    else:
        assert answer.status_code == 400
    assert httpx.get(f"{base}/api/audio").json()["files"] == 1


def test_nothing_is_removed_without_the_token(base, folder):
    keep(folder, PENDING)
    body = {"limit": "0", "remove": True}
    assert httpx.post(f"{base}/api/audio", json=body).status_code == 403
    assert httpx.delete(f"{base}/api/items/{PENDING}/audio").status_code == 403
    assert httpx.get(f"{base}/api/audio").json()["files"] == 1


# --- In a browser ----------------------------------------------------------------------------------


def is_playing(page):
    return page.evaluate("!document.getElementById('media').paused")


@pytest.mark.browser
def test_a_kept_episode_is_played_from_a_line_without_its_site(page, folder):
    """The fixture fails for a request to any other host."""
    keep(folder, RIDGE)
    page.goto(f"/items/{RIDGE}?t=4.5")
    page.locator(".brand").hover()
    page.locator(".line").nth(2).click()
    until(page, "!document.getElementById('media').paused")
    until(page, "document.getElementById('media').currentTime > 8.1")
    expect(page.locator(".line.now")).to_have_text("It was a long winter.")
    expect(page.get_by_text("Audio kept,")).to_contain_text("kB")
    assert page.locator("iframe").count() == 0


@pytest.mark.browser
def test_the_video_goes_on_where_the_kept_audio_was(page, folder, youtube_requests):
    keep(folder, RIDGE)
    page.goto(f"/items/{RIDGE}")
    page.locator(".line").nth(1).click()
    until(page, "document.getElementById('media').currentTime > 4.1")
    page.get_by_role("button", name="Play the video").click()
    expect(page.locator("iframe")).to_have_attribute("src", re.compile("start=4"))
    assert not is_playing(page)
    assert len(youtube_requests) == 1


@pytest.mark.browser
def test_the_audio_of_a_recording_is_removed_with_a_second_press(page, folder, axe):
    keep(folder, PENDING)
    page.goto(f"/items/{PENDING}")
    check_page(page, axe, "kept audio")
    page.get_by_role("button", name="Remove", exact=True).click()
    sure = page.get_by_role("button", name="Remove it? The transcript stays.")
    with Library(folder) as library:
        assert kept_audio(library, library.item(PENDING).item)
    sure.click()
    expect(page.get_by_text("Audio kept,")).to_have_count(0)
    with Library(folder) as library:
        assert library.audio.total().files == 0


@pytest.mark.browser
def test_the_oldest_is_removed_on_the_page_of_statistics(page, folder, axe):
    for key in (PENDING, RIDGE):
        keep(folder, key)
    page.goto("/statistics")
    check_page(page, axe, "statistics with kept audio")
    section = page.locator(".kept")
    expect(section).to_contain_text("of 2 recordings, at most 50.0 MB")
    section.get_by_role("button", name="Remove the oldest").click()
    expect(section.locator("[role=status]")).to_have_text("There is no more than that.")
    section.get_by_label("Keep at most").fill("50 kB")
    section.get_by_role("button", name="Remove the oldest").click()
    expect(section.locator("[role=status]")).to_contain_text("the audio of 1 recording")
    section.get_by_role("button", name="Remove the oldest").click()
    expect(section).not_to_contain_text(
        "of 2 recordings"
    )  # "of 1 recording" is in the question, too
    expect(section).to_contain_text("of 1 recording,")
    with Library(folder) as library:
        assert [one.key for one in library.audio.records()] == [RIDGE]


@pytest.mark.browser
def test_a_file_that_vanished_is_named(page, folder, tmp_path):
    with Library(folder) as library:
        gone = tmp_path / "talk.mp3"
        fox = library.item("file:fox").item
        library._db.execute("UPDATE items SET url = ? WHERE key = ?", (str(gone), fox.key))
    page.goto("/items/file:fox")
    expect(page.get_by_text(f"The file is no longer there: {gone}")).to_be_visible()
    page.problems.clear()  # the player could not load it


def write_long_recording(path, hours):
    """Write a recording whose tone tells the time within 20 seconds, by repeating its encoded packets."""
    times = np.arange(SWEEP * SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * (LOWEST * times + SLOPE * times**2 / 2)) * 12_000
    with av.open(str(path), "w", format="ogg") as out:
        stream = out.add_stream("libopus", rate=SAMPLE_RATE, layout="mono")
        stream.bit_rate = 24_000
        frame = av.AudioFrame.from_ndarray(
            np.tile(tone, 2).astype(np.int16).reshape(1, -1), format="s16", layout="mono"
        )
        frame.sample_rate, frame.pts = SAMPLE_RATE, 0
        encoded = list(stream.encode(frame))
        contents = [bytes(packet) for packet in encoded]
        sweep = len(contents) // 2  # packets
        for number in range(hours * 3600 * sweep // SWEEP):
            # The first sweep begins with the encoder's delay, the second one can follow itself.
            packet = av.Packet(contents[number if number < sweep else sweep + number % sweep])
            packet.stream, packet.time_base = stream, encoded[0].time_base
            packet.duration = encoded[0].duration
            packet.pts = packet.dts = encoded[0].pts + number * packet.duration
            out.mux(packet)


# What the player plays and the time that it shows, for a second.
LISTEN = """async seconds => {
    const media = document.getElementById("media");
    window.context ??= new AudioContext();
    window.analyser ??= (() => {
        const analyser = new AnalyserNode(context, {fftSize: 8192, smoothingTimeConstant: 0});
        context.createMediaElementSource(media).connect(analyser);
        analyser.connect(context.destination);
        return analyser;
    })();
    await context.resume();
    if (seconds !== null) {
        media.currentTime = seconds;
        await new Promise(done => media.addEventListener("seeked", done, {once: true}));
    }
    await media.play();
    const found = [], bins = new Float32Array(analyser.frequencyBinCount);
    const began = performance.now();
    while (performance.now() - began < 2000) {
        await new Promise(done => setTimeout(done, 50));
        analyser.getFloatFrequencyData(bins);
        const peak = bins.indexOf(Math.max(...bins));
        found.push([media.currentTime, peak * context.sampleRate / analyser.fftSize, bins[peak]]);
    }
    media.pause();
    return found;
}"""


def lateness(heard):
    """Seconds by which the sound is behind the time that the player shows, without those at the start."""
    found = []
    for shown, frequency, level in heard[len(heard) // 2 :]:
        behind = (shown - (frequency - LOWEST) / SLOPE) % SWEEP
        if level > -60:
            found.append(behind - SWEEP if behind > SWEEP / 2 else behind)
    assert len(found) > 10
    return float(np.median(found))


@pytest.mark.browser
@pytest.mark.slow
def test_a_seek_in_ten_hours_is_exact(page, folder):
    """A file in Ogg has no index: the browser looks for the place by reading parts."""
    with Library(folder) as library:
        path = library.audio.new_path(PENDING, SUFFIX)
        write_long_recording(path, HOURS)
        library.audio.add(library.item(PENDING).item, path, "speech", duration=HOURS * 3600.0)
    page.goto(f"/items/{PENDING}")
    page.locator(".brand").hover()
    page.locator("#play").click()
    until(page, "document.getElementById('media').currentTime > 0.5")
    assert page.evaluate("document.getElementById('media').duration") == pytest.approx(
        36_000, abs=0.1
    )
    # Behind what is shown by the length of the analysis and the delay of this machine's output.
    usual = lateness(page.evaluate(LISTEN, None))
    for seconds in (35_990.0, 3.2, 17_999.3, 30_001.0, 7_205.5):
        assert lateness(page.evaluate(LISTEN, seconds)) == pytest.approx(usual, abs=0.1), seconds


@pytest.mark.browser
def test_keeping_audio_is_chosen_before_the_next_run(page, base, folder):
    """The fixture serves a library whose runs keep copies for speech."""
    page.goto("/library")
    page.get_by_role("link", name="Add recordings").first.click()
    choice = page.get_by_label("Keep the audio of downloads")
    expect(choice).to_be_checked()
    for checked, expected in ((False, "none"), (True, "speech")):
        choice.set_checked(checked)
        expect(page.locator("[data-saved]")).to_have_text("Saved for the next run.")
        until(
            page,
            "fetch('/api/settings').then(answer => answer.json()).then(state => "
            f"state.settings.keep_audio.value === '{expected}')",
        )
