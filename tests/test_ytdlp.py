"""The yt-dlp source, with the real yt-dlp in real child processes, against a YouTube on the loopback."""

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing

import pytest
import yt_dlp
import yt_dlp.cookies
import yt_dlp.networking.exceptions
import yt_dlp.postprocessor
from yt_dlp.networking.exceptions import HTTPError

from fake_youtube import FakeTube
from homescribe.core import HOUR, Chapter, Item, SourceOptions
from homescribe.errors import (
    Cancelled,
    PermanentError,
    RetryableError,
    SetupError,
    SourceBlocked,
    UserError,
)
from homescribe.sources.ytdlp import child, download_limits
from homescribe.sources.ytdlp import source as ytdlp_source
from homescribe.sources.ytdlp.error_map import error_for, failure, plain
from homescribe.sources.ytdlp.source import YtdlpSource
from loopback import LoopbackServer

STOP = threading.Event()  # never set


@pytest.fixture(scope="module")
def environment(clips, tmp_path_factory):
    """A server and a fake YouTube for the whole module, so that one child process serves many tests."""
    folder = tmp_path_factory.mktemp("faketube")
    with LoopbackServer(clips) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in FakeTube(folder, server.base).save().environment.items():
            patch.setenv(name, value)
        yield server, folder


@pytest.fixture(scope="module")
def source(environment, tmp_path_factory):
    with closing(YtdlpSource(SourceOptions(cache=tmp_path_factory.mktemp("cache")))) as one:
        yield one


@pytest.fixture
def server(environment):
    server, _ = environment
    server.log.clear()
    server.counters.clear()
    return server


@pytest.fixture
def tube(environment, server):
    """The fake YouTube in its initial state: 430 videos without failures."""
    _, folder = environment
    fake = FakeTube(folder, server.base).save()
    (folder / "faketube.log").write_text("")
    return fake


@pytest.fixture
def own_source(environment, tmp_path):
    """A source that shares no child process with other tests."""
    with closing(YtdlpSource(SourceOptions(cache=tmp_path / "cache"))) as one:
        yield one


def listings(source, url):
    """[(url, title, newest_first, items)] of each listing at `url`."""
    return [
        (part.url, part.title, part.newest_first, list(part.items))
        for part in source.list(url, STOP)
    ]


def only(source, url):
    """The items of the only listing at `url`."""
    [(_, _, _, items)] = listings(source, url)
    return items


def item(tube, number):
    return Item(
        "youtube", tube.id(number), tube.watch(number), f"Fake video {number}", duration=7.0
    )


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_sites_that_are_known_by_name(source):
    assert source.knows("https://vimeo.com/76979871")
    assert source.knows("@fake")
    for url in ("https://show.example/", "https://open.spotify.com/show/abc", "/talks/one.mp3"):
        assert not source.knows(url)


# --- Listing -------------------------------------------------------------------------------------


def test_a_channel_is_listed_newest_first_without_a_request_for_any_video(source, tube):
    [(url, title, newest_first, items)] = listings(source, "@fake")
    assert (url, title, newest_first) == (tube.CANONICAL, "Fake Channel", True)
    assert [one.key for one in items] == [f"youtube:{tube.id(n)}" for n in range(430, 0, -1)]
    assert items[0] == Item(
        source="youtube",
        id="FAKE0000430",
        url="https://www.youtube.com/watch?v=FAKE0000430",
        title="Fake video 430",
        channel="Fake Channel",
        channel_id="UCfakefakefakefakefake00",
        duration=7.0,
        availability="public",
    )
    assert tube.requests == [f"page videos {n}" for n in range(1, 16)]


@pytest.mark.parametrize(
    "spelling",
    [
        "https://www.youtube.com/@fake",
        "https://m.youtube.com/@fake?si=token",
        "youtube.com/@fake/",
        "https://www.youtube.com/@fake/featured",
        "https://www.youtube.com/channel/UCfakefakefakefakefake00",
        "UCfakefakefakefakefake00",
        "https://www.youtube.com/c/fake",
        "https://www.youtube.com/feeds/videos.xml?channel_id=UCfakefakefakefakefake00",
    ],
)
def test_every_address_of_a_channel_gives_one_canonical_url(source, tube, spelling):
    with closing(source.list(spelling, STOP)) as parts:
        part = next(parts)
        assert (part.url, next(part.items).id) == (tube.CANONICAL, tube.id(430))


def test_the_tabs_of_a_channel_are_listings_with_one_url(source, tube):
    tube.videos, tube.tabs = 3, {"streams": 2, "shorts": 1}
    tube.save()
    parts = listings(source, "@fake")
    assert [(url, newest) for url, _, newest, _ in parts] == [(tube.CANONICAL, True)] * 3
    assert [[one.id for one in items] for *_, items in parts] == [
        ["FAKE0000003", "FAKE0000002", "FAKE0000001"],
        ["LIVE0000002", "LIVE0000001"],
        ["SHRT0000001"],
    ]


def test_the_address_of_a_tab_lists_only_that_tab(source, tube):
    tube.tabs = {"streams": 2, "shorts": 1}
    tube.save()
    [(url, title, newest_first, items)] = listings(source, "https://www.youtube.com/@fake/streams")
    assert (url, newest_first) == (f"{tube.CANONICAL}/streams", True)
    assert title == "Fake Channel - Streams"
    assert [one.id for one in items] == ["LIVE0000002", "LIVE0000001"]
    assert listings(source, url)[0][0] == url  # the canonical address leads to the same


def test_a_tab_that_does_not_exist(source, tube):
    with pytest.raises(UserError, match="does not have a shorts tab") as caught:
        listings(source, "https://www.youtube.com/@fake/shorts")
    assert not isinstance(caught.value, SourceBlocked)


def test_a_channel_without_videos_has_an_empty_listing(source, tube):
    tube.videos = 0
    tube.save()
    [(url, title, _, items)] = listings(source, "@fake")
    assert (url, title, items) == (tube.CANONICAL, "Fake Channel", [])


def test_only_the_pages_that_are_read_are_requested(source, tube):
    with closing(source.list("@fake", STOP)) as parts:
        items = next(parts).items
        assert len(list(itertools.islice(items, 5))) == 5
        assert tube.requests == ["page videos 1"]
        assert len(list(itertools.islice(items, 40))) == 40
        assert tube.requests == ["page videos 1", "page videos 2"]
    assert list(items) == []  # it has ended, and nothing more is requested
    assert tube.requests == ["page videos 1", "page videos 2"]


def test_taking_the_next_listing_ends_the_one_before(source, tube):
    tube.videos, tube.tabs = 100, {"streams": 1}
    tube.save()
    with closing(source.list("@fake", STOP)) as parts:
        videos = next(parts).items
        next(videos)
        streams = next(parts).items
        assert [one.id for one in streams] == ["LIVE0000001"]
        assert len(list(videos)) < 30
    assert tube.requests == ["page videos 1", "page streams 1"]


def test_a_playlist_lists_all_videos_and_each_only_once(source, tube):
    numbers = [*range(1, 121), 7, 8]
    tube.playlists = {"PLfakefakefake": [tube.id(n) for n in numbers]}
    tube.save()
    for url in ("PLfakefakefake", "https://youtube.com/playlist?list=PLfakefakefake&si=x"):
        [(address, title, newest_first, items)] = listings(source, url)
        assert address == "https://www.youtube.com/playlist?list=PLfakefakefake"
        assert (title, newest_first) == ("Fake Channel - PLfakefakefake", False)
        assert [one.id for one in items] == [tube.id(n) for n in range(1, 121)]


def test_playlists_in_a_list_are_followed(source, tube):
    tube.playlists = {
        "PLaaaaaaaaaaaa": [tube.id(1), tube.id(2)],
        "PLbbbbbbbbbbbb": [tube.id(2), tube.id(3)],
    }
    tube.save()
    items = only(source, "https://www.youtube.com/@fake/playlists")
    assert [one.id for one in items] == [tube.id(1), tube.id(2), tube.id(3)]


@pytest.mark.parametrize(
    "url",
    [
        "https://www.youtube.com/watch?v=FAKE0000001",
        "https://www.youtube.com/watch?v=FAKE0000001&list=PLfakefakefake&t=33",
        "https://youtu.be/FAKE0000001?si=token",
        "https://www.youtube.com/shorts/FAKE0000001",
    ],
)
def test_a_video_is_one_item_with_all_metadata_of_its_page(source, tube, url):
    [(address, title, newest_first, items)] = listings(source, url)
    assert (address, title, newest_first) == (tube.watch(1), "Fake video 1", False)
    assert items == [
        Item(
            source="youtube",
            id="FAKE0000001",
            url=tube.watch(1),
            title="Fake video 1",
            channel="Fake Channel",
            channel_id="UCfakefakefakefakefake00",
            duration=7.0,
            upload_date="2026-02-02",
            description="About video 1",
            availability="public",
            chapters=(Chapter(0.0, 3.0, "Intro"), Chapter(3.0, 6.0, "Body")),
        )
    ]


def test_items_of_unknown_sites_are_identified_by_their_address(source, server, tmp_path):
    [first, second] = only(source, server.url("/two.html"))
    [page] = only(source, server.url("/jsonld.html"))
    [direct] = only(source, server.url("/media/ep1.mp3"))
    [same] = only(source, server.url("/media/ep1.mp3#t=12"))
    keys = {one.key for one in (first, second, page, direct)}
    assert len(keys) == 4
    assert all(one.source == "generic" for one in (first, second, page, direct))
    assert same.key == direct.key
    assert (page.title, page.upload_date, page.duration) == (
        "Title from the page",
        "2026-05-04",
        7.0,
    )
    assert (first.url, source.rate_limit_key(first)) == (server.url("/two.html"), "127.0.0.1")
    assert [one.key for one in only(source, server.url("/two.html"))] == [first.key, second.key]
    audio = source.fetch(second, tmp_path / "second", STOP)
    assert audio.path.read_bytes() == (server.root / "ep2.mp3").read_bytes()
    assert audio.item.key == second.key


def test_a_listing_that_fails_halfway_gives_a_message_of_one_line(source, tube):
    tube.fail_page = 3
    tube.save()
    with closing(source.list("@fake", STOP)) as parts:
        items = next(parts).items
        taken = list(itertools.islice(items, 50))
        assert len(taken) == 50
        with pytest.raises(UserError, match="The site failed") as caught:
            list(items)
    assert "HTTP 503" in caught.value.message
    assert "\n" not in caught.value.message
    tube.fail_page = None
    tube.save()
    assert len(only(source, "@fake")) == 430  # the child still works


def test_a_rate_limit_in_a_listing_blocks_the_site(source, tube):
    tube.fail_page, tube.fail_status = 2, 429
    tube.save()
    with pytest.raises(SourceBlocked) as caught:
        listings(source, "@fake")
    assert caught.value.retry_after == HOUR


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("@gone", "not available"),
        ("https://www.youtube.com/playlist?list=PLnothere000", "does not exist"),
        ("https://www.youtube.com/@fake/live", "not currently live"),
        ("http://127.0.0.1:1/page", "connection failed"),
        ("LOOPBACK/plain.html", "no recording"),
        ("LOOPBACK/status/404", "not available"),
        ("http://user:secret@127.0.0.1:1/x.mp3", "password"),
        ("no such thing", "not a web address"),
    ],
)
def test_an_address_that_cannot_be_listed_gives_a_message_of_one_line(
    source, tube, server, url, words
):
    with pytest.raises(UserError, match=words) as caught:
        listings(source, url.replace("LOOPBACK", server.base))
    shown = f"{caught.value.message} {caught.value.hint}"
    assert "\n" not in shown
    assert "secret" not in shown
    assert "yt-dlp/yt-dlp" not in shown
    assert "Errno" not in caught.value.message or "refused" in caught.value.message


def test_listing_a_single_private_video_is_a_user_error(source, tube):
    tube.scenarios = {tube.id(5): "private"}
    tube.save()
    with pytest.raises(UserError, match="Private video") as caught:
        listings(source, tube.watch(5))
    assert "cookies" in caught.value.hint


HOSTILE = {
    "\x1b[31mred\x1b[0m\x07 bell": "[31mred [0m bell",
    "../../etc/passwd": "../../etc/passwd",
    "two\nlines\r\n\ttabs": "two lines tabs",
    "\u202eright to left\u2066": "right to left",
    "half \ud83d a pair": "half a pair",
    "%(id)s $HOME ~ {x} \x00nul": "%(id)s $HOME ~ {x} nul",
    "": "FAKE0000001",
}


@pytest.mark.parametrize("title", HOSTILE)
def test_hostile_titles_become_one_plain_line(source, tube, tmp_path, title):
    tube.videos, tube.titles = 1, {tube.id(1): title}
    tube.save()
    [listed] = only(source, "@fake")
    assert listed.title == HOSTILE[title]
    audio = source.fetch(listed, tmp_path / "audio", STOP)
    assert audio.item.title == HOSTILE[title]
    assert [path.name for path in (tmp_path / "audio").iterdir()] == ["audio.249.webm"]


def test_a_long_title_is_cut(source, tube):
    tube.videos, tube.titles = 1, {tube.id(1): "word " * 20_000}
    tube.save()
    [listed] = only(source, "@fake")
    assert len(listed.title) <= 500
    assert listed.title.endswith("…")


def test_a_download_during_a_listing_does_not_disturb_it(source, tube, tmp_path, clips):
    with closing(source.list("@fake", STOP)) as parts:
        items = next(parts).items
        first = next(items)
        fetched = []
        thread = threading.Thread(
            target=lambda: fetched.append(source.fetch(first, tmp_path / "a", STOP))
        )
        thread.start()
        rest = list(items)
        thread.join()
    assert [one.id for one in rest] == [tube.id(n) for n in range(429, 0, -1)]
    assert fetched[0].path.read_bytes() == (clips / "ep2.webm").read_bytes()


# --- Downloads -----------------------------------------------------------------------------------


def test_the_smallest_audio_for_speech_in_the_original_language_is_downloaded(
    source, tube, tmp_path, clips
):
    audio = source.fetch(item(tube, 2), tmp_path / "$HOME ~ %(title)s", STOP)
    assert audio.path == tmp_path / "$HOME ~ %(title)s" / "audio.249.webm"
    assert audio.path.read_bytes() == (clips / "ep2.webm").read_bytes()
    assert (audio.duration, audio.temporary) == (7.0, True)
    found = audio.item
    assert (found.key, found.language, found.upload_date) == (
        "youtube:FAKE0000002",
        "en",
        "2026-03-03",
    )
    assert found.chapters == (Chapter(0.0, 3.0, "Intro"), Chapter(3.0, 6.0, "Body"))


def test_without_an_audio_format_the_smallest_video_is_downloaded(source, tube, tmp_path):
    tube.scenarios = {tube.id(1): "only-video"}
    tube.save()
    assert source.fetch(item(tube, 1), tmp_path, STOP).path.name == "audio.18.mp4"


def test_a_complete_download_is_not_downloaded_again(source, tube, server, tmp_path):
    source.fetch(item(tube, 1), tmp_path, STOP)
    server.log.clear()
    source.fetch(item(tube, 1), tmp_path, STOP)
    assert server.log == []


# scenario: the error, text in its message, text in its hint, retry_after
ERRORS_BY_SCENARIO = {
    "bot": (SourceBlocked, "not a bot", "cookies", None),
    "captcha": (SourceBlocked, "captcha", "cookies", None),
    "ip": (SourceBlocked, "IP is likely", "cookies", None),
    "ratelimit": (SourceBlocked, "rate limit", "hour", HOUR),
    "429": (SourceBlocked, "rate limit", "hour", HOUR),
    "upcoming": (RetryableError, "will begin in 3 hours", "", 3 * HOUR),
    "premiere": (RetryableError, "Premieres in 20 hours", "", 20 * HOUR),
    "live": (RetryableError, "it is live", "", HOUR),
    "post_live": (RetryableError, "it was live", "", HOUR),
    "members": (
        PermanentError,
        "Join this channel",
        "--cookies FILE). Then run: homescribe retry youtube:",
        None,
    ),
    "age": (PermanentError, "confirm your age", "--cookies", None),
    "private": (PermanentError, "Private video", "--cookies", None),
    "deleted": (PermanentError, "removed by the uploader", "", None),
    "terminated": (PermanentError, "account", "", None),
    "drm": (PermanentError, "DRM", "", None),
    "live_offline": (PermanentError, "recording is not available", "", None),
    "geo": (PermanentError, "CA, US", "", None),
    "404": (PermanentError, "not available", "", None),
    "410": (PermanentError, "not available", "", None),
    "media-403": (RetryableError, "403", "update yt-dlp", None),
    "bug": (RetryableError, "yt-dlp failed", "update yt-dlp", None),
    "503": (RetryableError, "The site failed", "", None),
}


@pytest.mark.parametrize("scenario", ERRORS_BY_SCENARIO)
def test_each_failure_has_its_error(source, tube, tmp_path, scenario):
    kind, words, hint, retry_after = ERRORS_BY_SCENARIO[scenario]
    tube.scenarios = {tube.id(9): scenario}
    tube.save()
    with pytest.raises((UserError, PermanentError, RetryableError)) as caught:
        source.fetch(item(tube, 9), tmp_path, STOP)
    error = caught.value
    assert type(error) is kind
    assert words in error.message
    assert hint in error.hint
    if kind is not PermanentError:
        assert error.retry_after == retry_after
    shown = f"{error.message} {error.hint}"
    for noise in ("\n", "\x1b", "please report", "--cookies-from-browser", "ERROR:", "[youtube]"):
        assert noise not in shown
    # The child still works.
    assert source.fetch(item(tube, 1), tmp_path / "next", STOP).path.exists()


@pytest.mark.parametrize(
    ("installed", "hint"), [(False, "JavaScript runtime"), (True, "update yt-dlp")]
)
def test_who_has_no_javascript_runtime_learns_it(
    source, tube, tmp_path, monkeypatch, installed, hint
):
    monkeypatch.setattr(ytdlp_source, "has_runtime", lambda: installed)
    tube.scenarios = {tube.id(9): "media-403"}
    tube.save()
    with pytest.raises(RetryableError) as caught:
        source.fetch(item(tube, 9), tmp_path, STOP)
    assert hint in caught.value.hint


def test_an_upcoming_video_is_tried_again_after_its_release(source, tube, tmp_path):
    tube.scenarios, tube.release = {tube.id(9): "premiere"}, time.time() + 12_345
    tube.save()
    with pytest.raises(RetryableError) as caught:
        source.fetch(item(tube, 9), tmp_path, STOP)
    assert 12_000 < caught.value.retry_after < 13_000


@pytest.mark.slow
def test_a_download_without_a_network(source, tube, tmp_path):
    tube.scenarios, tube.base = {tube.id(9): "200"}, "http://127.0.0.1:1"
    tube.save()
    for number in (8, 9):  # the media, the page
        with pytest.raises(RetryableError, match="connection failed") as caught:
            source.fetch(item(tube, number), tmp_path, STOP)
        assert caught.value.hint == "Check the network."


def test_after_a_403_the_page_is_loaded_once_more_for_new_addresses(source, tube, tmp_path, clips):
    tube.scenarios = {tube.id(1): "media-once403"}
    tube.save()
    audio = source.fetch(item(tube, 1), tmp_path, STOP)
    assert audio.path.read_bytes() == (clips / "ep1.webm").read_bytes()
    assert tube.requests == ["video FAKE0000001"] * 2


def test_an_interrupted_download_resumes(source, tube, server, tmp_path, clips):
    tube.scenarios = {tube.id(1): "media-cut"}
    tube.save()
    audio = source.fetch(item(tube, 1), tmp_path, STOP)
    assert audio.path.read_bytes() == (clips / "ep1.webm").read_bytes()
    first, second = [row for row in server.log if row[0] == "GET"]
    assert first[2].startswith("bytes=0-")
    assert 0 < int(second[2].removeprefix("bytes=").partition("-")[0]) <= 3000


@pytest.mark.slow
@pytest.mark.parametrize("form", ["whole", "hls"])
def test_a_download_that_is_too_slow_is_a_failure_of_its_item(
    own_source, server, tmp_path, monkeypatch, form
):
    """One byte a second resets every time-out of yt-dlp."""
    monkeypatch.setattr(download_limits, "RATE_WINDOW", 2.0)
    slow = server.url("/media/ep1.mp3?bps=20")
    url = f"{slow}&x=.mp3"
    if form == "hls":
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:7\n#EXTINF:7,\n{slow}\n#EXT-X-ENDLIST\n"
        kind = {"Content-Type": "application/vnd.apple.mpegurl"}
        server.routes["/slow.m3u8"] = lambda *_: (200, playlist, kind)
        url = server.url("/slow.m3u8")
    item = Item("generic", "1", url, "t")
    with pytest.raises(RetryableError, match=r"sends too slowly: \d+ bytes a second"):
        own_source.fetch(item, tmp_path / "x", STOP)


@pytest.mark.parametrize(("endless", "kind"), [(True, PermanentError), (False, RetryableError)])
def test_a_download_that_takes_too_long(tmp_path, monkeypatch, endless, kind):
    """One without a length will never end, and takes no space after its failure."""
    monkeypatch.setattr(download_limits.Limits, "most_seconds", 0.0)
    folder = tmp_path / "x"
    folder.mkdir()
    limits = download_limits.Limits(folder)
    with pytest.raises(kind, match="does not end" if endless else "took longer than"):
        limits.check(0.1, {"downloaded": 1, "endless": endless})
    assert folder.exists() is not endless


@pytest.mark.parametrize(("query", "endless"), [("chunked=1", True), ("etag=x", False)])
def test_whether_a_download_has_a_length_is_reported(
    source, server, tmp_path, monkeypatch, query, endless
):
    reports = []
    monkeypatch.setattr(download_limits.Limits, "check", lambda *args: reports.append(args[2]))
    item = Item("generic", "1", server.url(f"/media/ep1.mp3?{query}"), "t")
    assert source.fetch(item, tmp_path / "x", STOP).path.exists()
    first, *_, last = (report for report in reports if report is not None)
    assert (first["endless"], last["downloaded"]) == (endless, None)


@pytest.mark.slow
def test_a_download_over_the_size_limit(own_source, server, tmp_path, monkeypatch):
    monkeypatch.setattr(download_limits.Limits, "most_bytes", 10_000)
    item = Item("generic", "1", server.url("/media/ep1.mp3?chunked=1&bps=20000"), "t")
    with pytest.raises(PermanentError, match="does not end"):
        own_source.fetch(item, tmp_path / "x", STOP)


def test_live_radio_is_refused_before_it_is_downloaded(source, server, tmp_path):
    for path in ("ep1.mp3?chunked=1&icy=1", "ep1.mp3?icy=1"):  # the second has a length: a file
        url = server.url(f"/media/{path}")
        item = Item("generic", "1", url, "t")
        if "chunked" in path:
            with pytest.raises(UserError, match="live radio stream, which does not end"):
                only(source, url)
            with pytest.raises(PermanentError, match="live radio stream, which does not end"):
                source.fetch(item, tmp_path / "radio", STOP)
        else:
            assert source.fetch(item, tmp_path / "file", STOP).path.exists()


def test_a_live_hls_stream_is_not_available_yet(source, server, tmp_path):
    playlist = (
        "#EXTM3U\n#EXT-X-TARGETDURATION:7\n#EXT-X-MEDIA-SEQUENCE:7\n#EXTINF:7,\n/media/ep1.mp3\n"
    )
    kind = {"Content-Type": "application/vnd.apple.mpegurl"}
    server.routes["/live.m3u8"] = lambda *_: (200, playlist, kind)
    item = Item("generic", "1", server.url("/live.m3u8"), "t")
    with pytest.raises(RetryableError, match="it is live"):
        source.fetch(item, tmp_path, STOP)


def test_a_site_may_say_only_that_something_is_live(tmp_path):
    class Live:
        def __init__(self):
            self.params = {"outtmpl": {}}

        def extract_info(self, url, **_):
            return {"id": "1", "is_live": True}

    request = {"source": "generic", "url": "https://a.example/", "directory": str(tmp_path)}
    assert child.fetch(Live(), request) == {"live": "is_live", "release": None}


def test_a_list_without_an_end(own_source, tube, monkeypatch):
    monkeypatch.setattr(ytdlp_source, "LISTING_TIMEOUT", -1.0)
    with pytest.raises(UserError, match="does not end"):
        only(own_source, "@fake")


def test_a_disk_error_is_a_user_error(source, tube, tmp_path):
    (tmp_path / "audio.249.webm.part").mkdir()
    with pytest.raises(UserError, match="cannot be written") as caught:
        source.fetch(item(tube, 1), tmp_path, STOP)
    assert "Free some space" in caught.value.hint


def test_a_page_without_the_item_is_a_permanent_error(source, tube, server, tmp_path):
    lost = Item("generic", "0" * 16, server.url("/two.html"), "an entry that was removed")
    with pytest.raises(PermanentError, match="a list of recordings"):
        source.fetch(lost, tmp_path, STOP)


# --- Child processes -----------------------------------------------------------------------------


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
def test_a_cancelled_download_ends_its_child_and_resumes_later(
    own_source, tube, server, tmp_path, clips
):
    tube.scenarios = {tube.id(1): "media-slow"}
    tube.save()
    part = tmp_path / "audio.249.webm.part"
    stop = threading.Event()
    raised = []

    def fetch():
        with pytest.raises(Cancelled) as caught:
            own_source.fetch(item(tube, 1), tmp_path, stop)
        raised.append(caught.type)

    thread = threading.Thread(target=fetch)
    thread.start()
    wait_for(lambda: part.exists() and part.stat().st_size > 2000)
    [child] = own_source._all
    stop.set()
    thread.join()
    assert raised == [Cancelled]
    assert not alive(child.process.pid)
    wait_for(lambda: any(row[0] == "CLIENT-GONE" for row in server.log))
    size = part.stat().st_size
    tube.scenarios = {}
    tube.save()
    server.log.clear()
    audio = own_source.fetch(item(tube, 1), tmp_path, STOP)
    assert audio.path.read_bytes() == (clips / "ep1.webm").read_bytes()
    [(_, _, requested, status)] = server.log
    assert (requested.split("-")[0], status) == (f"bytes={size}", 206)


@pytest.mark.slow
def test_a_file_of_an_unknown_site_is_never_resumed(own_source, server, tmp_path, monkeypatch):
    """yt-dlp sends no If-Range: the rest of a file that has changed would be appended."""
    monkeypatch.setattr(server, "root", tmp_path / "served")
    server.root.mkdir()
    file = server.root / "talk.mp3"
    file.write_bytes(b"old " * 20_000)
    folder = tmp_path / "audio"
    stop = threading.Event()

    def partial():
        return any(part.stat().st_size for part in folder.glob("*.part"))

    threading.Thread(target=lambda: (wait_for(partial), stop.set())).start()
    slow = Item("generic", "1", server.url("/media/talk.mp3?bps=20000"), "t")
    with pytest.raises(Cancelled):
        own_source.fetch(slow, folder, stop)
    assert partial()
    file.write_bytes(b"new " * 20_000)
    talk = Item("generic", "1", server.url("/media/talk.mp3"), "t")
    assert own_source.fetch(talk, folder, STOP).path.read_bytes() == b"new " * 20_000


def test_a_cancelled_listing_ends_its_child(own_source, tube):
    tube.page_delay = 1000
    tube.save()
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with closing(own_source.list("@fake", stop)) as parts, pytest.raises(Cancelled):
        list(next(parts).items)
    assert own_source._all == set()


def test_the_death_of_a_child_is_a_retryable_error(own_source, tube, tmp_path):
    tube.scenarios = {tube.id(1): "hang", tube.id(2): "die"}
    tube.save()

    def kill():
        wait_for(lambda: tube.requests)
        [child] = own_source._all
        os.kill(child.process.pid, signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(RetryableError, match="killed by signal 9"):
        own_source.fetch(item(tube, 1), tmp_path, STOP)
    thread.join()
    with pytest.raises(RetryableError, match=r"exit status 7.*the interpreter gave up"):
        own_source.fetch(item(tube, 2), tmp_path, STOP)
    assert own_source.fetch(item(tube, 3), tmp_path / "next", STOP).path.exists()


def test_a_child_that_does_not_respond_is_killed(own_source, tube, tmp_path):
    tube.scenarios = {tube.id(1): "hang"}
    tube.save()
    own_source.fetch(item(tube, 2), tmp_path / "first", STOP)  # it has started
    [child] = own_source._all
    child.timeout = 0.3
    with pytest.raises(RetryableError, match="has not responded"):
        own_source.fetch(item(tube, 1), tmp_path, STOP)
    assert child.dead


def test_closing_the_source_cancels_a_download(environment, tube, tmp_path):
    tube.scenarios = {tube.id(1): "hang"}
    tube.save()
    source = YtdlpSource(SourceOptions(cache=tmp_path / "cache"))
    raised = []

    def fetch():
        with pytest.raises(Cancelled) as caught:
            source.fetch(item(tube, 1), tmp_path, STOP)
        raised.append(caught.type)

    thread = threading.Thread(target=fetch)
    thread.start()
    wait_for(lambda: tube.requests)
    source.close()
    thread.join()
    assert raised == [Cancelled]
    with pytest.raises(Cancelled):
        source.fetch(item(tube, 1), tmp_path, STOP)


@pytest.mark.slow
def test_a_child_ends_when_its_parent_is_killed(tube, server, tmp_path):
    tube.scenarios = {tube.id(1): "media-slow"}
    tube.save()
    script = f"""
        import threading
        from pathlib import Path
        from homescribe.core import Item, SourceOptions
        from homescribe.sources.ytdlp.source import YtdlpSource
        source = YtdlpSource(SourceOptions(cache=Path({str(tmp_path / "cache")!r})))
        item = Item("youtube", {tube.id(1)!r}, {tube.watch(1)!r}, "t")
        source.fetch(item, Path({str(tmp_path / "audio")!r}), threading.Event())
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    part = tmp_path / "audio" / "audio.249.webm.part"
    wait_for(lambda: part.exists() and part.stat().st_size > 1000)
    parent.kill()
    parent.wait()
    wait_for(lambda: any(row[0] == "CLIENT-GONE" for row in server.log))


def test_modules_are_not_imported_from_the_current_folder(tube, tmp_path, monkeypatch):
    """A file yt_dlp.py in the current folder is not run."""
    (tmp_path / "yt_dlp.py").write_text("raise SystemExit('taken over')")
    monkeypatch.chdir(tmp_path)
    with closing(YtdlpSource(SourceOptions(cache=tmp_path / "cache"))) as source:
        assert only(source, tube.watch(1))[0].id == tube.id(1)


def test_a_broken_installation_of_yt_dlp_is_a_setup_error(tube, tmp_path, monkeypatch):
    (tmp_path / "yt_dlp.py").write_text("raise ImportError('a broken installation')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with (
        closing(YtdlpSource(SourceOptions(cache=tmp_path / "cache"))) as source,
        pytest.raises(SetupError, match="ImportError: a broken installation"),
    ):
        source.fetch(item(tube, 1), tmp_path / "audio", STOP)


# --- Cookies -------------------------------------------------------------------------------------


def cookie_line(value):
    return f"127.0.0.1\tFALSE\t/\tFALSE\t2147483647\tsession\t{value}\n"


def test_cookies_are_sent_and_their_file_is_not_changed(environment, server, tmp_path):
    seen = []

    def media(_server, _query, headers):
        seen.append(headers.get("Cookie"))
        body = (server.root / "ep1.mp3").read_bytes()
        return 200, body, {"Content-Type": "audio/mpeg"}

    server.routes["/members/ep.mp3"] = media
    cookies = tmp_path / "my $cookies.txt"
    cookies.write_text("# Netscape HTTP Cookie File\n" + cookie_line("s3cret"))
    before = cookies.read_bytes()
    options = SourceOptions(cache=tmp_path / "cache", cookies=cookies)
    with closing(YtdlpSource(options)) as source:
        [one] = only(source, server.url("/members/ep.mp3"))
        source.fetch(one, tmp_path / "audio", STOP)
    assert seen
    assert set(seen) == {"session=s3cret"}
    assert cookies.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [
        '{"cookies": "s3cret"}',
        "127.0.0.1 FALSE s3cret\n",
        "# Netscape HTTP Cookie File\nsession=s3cret\n" + cookie_line("s3cret\ts3cret\ts3cret"),
        "\x00\xff s3cret",
    ],
)
def test_a_broken_cookie_file_is_never_shown(environment, server, tmp_path, capfd, content):
    cookies = tmp_path / "cookies.txt"
    cookies.write_bytes(content.encode("latin-1"))
    options = SourceOptions(cache=tmp_path / "cache", cookies=cookies)
    message = ""
    with closing(YtdlpSource(options)) as source:
        try:
            listings(source, server.url("/status/404"))
        except UserError as error:
            message = f"{error!r} {error.message} {error.hint}"
    printed = capfd.readouterr()
    assert message
    assert "s3cret" not in message + printed.out + printed.err


def test_a_file_that_is_not_a_cookie_file(environment, server, tmp_path):
    cookies = tmp_path / "cookies.txt"
    cookies.write_text('{"cookies": 1}')
    options = SourceOptions(cache=tmp_path / "cache", cookies=cookies)
    with (
        closing(YtdlpSource(options)) as source,
        pytest.raises(UserError, match="cookies cannot be read") as caught,
    ):
        listings(source, server.url("/audio.html"))
    assert "Netscape" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cookies": "missing.txt"}, r"cookie file .*missing.txt cannot be read"),
        ({"cookies_from_browser": "netscape navigator"}, "cookies cannot be read"),
    ],
)
def test_missing_cookies(environment, server, tmp_path, options, words):
    if "cookies" in options:
        options = {"cookies": tmp_path / options["cookies"]}
    with (
        closing(YtdlpSource(SourceOptions(cache=tmp_path, **options))) as source,
        pytest.raises(UserError, match=words),
    ):
        listings(source, server.url("/audio.html"))


@pytest.mark.parametrize(
    ("text", "specification"),
    [
        ("firefox", ("firefox", None, None, None)),
        ("Chrome:Profile 1", ("chrome", "Profile 1", None, None)),
        ("chromium+gnomekeyring:Default", ("chromium", "Default", "GNOMEKEYRING", None)),
        ("firefox:abc::none", ("firefox", "abc", None, "none")),
        ("firefox::Work", ("firefox", None, None, "Work")),
    ],
)
def test_a_browser_is_specified_as_for_yt_dlp(text, specification):
    assert child.browser_specification(text) == specification


# --- Errors --------------------------------------------------------------------------------------


def subclasses(kind):
    for one in kind.__subclasses__():
        yield one
        yield from subclasses(one)


class _Response:
    """What yt-dlp's HTTPError reads of a response."""

    reason = "reason"

    def __init__(self, status):
        self.status = status


SPECIAL = {
    "HTTPError": lambda kind: kind(_Response(500)),
    "NoSupportingHandlers": lambda kind: kind([], []),
    "ContentTooShortError": lambda kind: kind(1, 2),
    "IncompleteRead": lambda kind: kind(1),
    "ThrottledDownload": lambda kind: kind(),
}
ERRORS = sorted(
    {yt_dlp.utils.YoutubeDLError, *subclasses(yt_dlp.utils.YoutubeDLError)},
    key=lambda kind: kind.__name__,
)
EXPECTED = {
    "CookieLoadError": UserError,
    "ContentTooShortError": RetryableError,
    "GeoRestrictedError": PermanentError,
    "HTTPError": RetryableError,
    "IncompleteRead": RetryableError,
    "SSLError": RetryableError,
    "TransportError": RetryableError,
    "UnsupportedError": PermanentError,
    "UserNotLive": RetryableError,
}


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_exception_of_yt_dlp_has_an_error(kind):
    error = SPECIAL.get(kind.__name__, lambda kind: kind("words"))(kind)
    for one in (error, yt_dlp.utils.DownloadError("outer", (type(error), error, None))):
        facts = json.loads(json.dumps(child.error_facts(one)))
        # An unknown exception is retryable, with the advice to update.
        assert type(error_for(failure(facts))) is EXPECTED.get(kind.__name__, RetryableError)


@pytest.mark.parametrize("status", range(400, 600))
def test_every_http_status_has_an_error(status):
    error = yt_dlp.utils.ExtractorError("Unable to download", cause=HTTPError(_Response(status)))
    result = error_for(failure(child.error_facts(error)))
    if status == 429:
        assert type(result) is SourceBlocked
    elif status in (401, 402, 404, 410):
        assert type(result) is PermanentError
    else:
        assert type(result) is RetryableError


@pytest.mark.parametrize("number", [28, 122])
def test_a_full_disk_is_a_user_error(number):
    error = yt_dlp.utils.UnavailableVideoError(OSError(number, os.strerror(number)))
    error.__cause__ = OSError(number, os.strerror(number))
    assert type(error_for(failure(child.error_facts(error)))) is UserError


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (
            "\x1b[0;31mERROR:\x1b[0m [youtube] FAKE0000001: Unable to extract x; please report this issue "
            "on  https://github.com/yt-dlp/yt-dlp/issues?q= , filling out the appropriate issue template. "
            "Confirm you are on the latest version using  yt-dlp -U",
            "Unable to extract x",
        ),
        (
            "Sign in to confirm you’re not a bot. Use --cookies-from-browser",
            "Sign in to confirm you're not a bot",
        ),
        ("two\n   lines", "two lines"),
        (
            "Unable to fetch https://user:pw@cdn.example/a.m4a?token=abc&id=7#x now",
            "Unable to fetch https://cdn.example/a.m4a?id=7 now",
        ),
        ("x (caused by <HTTPError 404: Not Found>)", "x"),
        ("w" * 10_000, "w" * 299 + "…"),
    ],
)
def test_messages_of_yt_dlp_become_one_plain_line(words, shown):
    assert plain(words) == shown


# --- Addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "matches"),
    [
        ("@handle", True),
        ("@handle/videos", True),
        ("@handle/../x", False),
        ("https://vimeo.com/1", True),
        ("vimeo.com/1", True),
        ("ytsearch5:words", True),
        ("UCfakefakefakefakefake00", True),
        ("talk.mp3", False),
        ("/home/talk.mp3", False),
        ("file:///talk.mp3", False),
        ("javascript:alert(1)", False),
        ("ftp://host/x", False),
        ("", False),
    ],
)
def test_web_addresses_match_and_nothing_else(source, url, matches):
    assert source.matches(url) is matches


def test_the_rate_limit_key_is_the_site_or_the_host(source, tube):
    assert source.rate_limit_key(item(tube, 1)) == "youtube"
    assert source.rate_limit_key(Item("vimeo", "1", "https://vimeo.com/1", "t")) == "vimeo"
    assert (
        source.rate_limit_key(Item("generic", "1", "https://host.example/1", "t")) == "host.example"
    )


def test_a_feed_is_never_listed_as_pages(source, server):
    """Its episodes would be transcribed once more as `generic:` items."""
    with pytest.raises(UserError, match="podcast feed"):
        list(next(source.list(server.url("/feed.xml"), STOP)).items)
