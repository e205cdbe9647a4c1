"""A recording that is published again, elsewhere or under other names, is the same item of the library."""

import threading
from contextlib import closing
from dataclasses import replace

import pytest

from fake_plugins import FakeSources, transcript
from homescribe.core import SourceOptions
from homescribe.library import Library
from homescribe.pipeline import add, sync
from homescribe.sources.podcast import PodcastSource
from older_libraries import make_older

STOP = threading.Event()  # never set


@pytest.fixture
def library(tmp_path):
    with Library(tmp_path / "library") as opened:
        yield opened


@pytest.fixture
def sources(tmp_path):
    with closing(PodcastSource(SourceOptions(cache=tmp_path / "cache"))) as source:
        yield FakeSources(source)


class Show:
    """A feed at `path` of a server. Each episode is (guid, title, date in June, address of the file)."""

    def __init__(self, server, path="/show", channel=""):
        self.server = server
        self.path = path
        self.channel = channel
        self.episodes = []
        server.routes[path] = self._answer

    @property
    def url(self):
        return self.server.url(self.path)

    def _answer(self, *_):
        items = "".join(
            f"<item><title>{title}</title>{f'<guid>{guid}</guid>' if guid else ''}"
            f"<pubDate>{day} Jun 2026 06:00:00 +0000</pubDate>"
            f'<enclosure url="{media}" type="audio/mpeg"/></item>'
            for guid, title, day, media in self.episodes
        )
        body = f"""<?xml version="1.0"?><rss version="2.0"
        xmlns:podcast="https://podcastindex.org/namespace/1.0"
        xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd">
        <channel><title>Show</title>{self.channel}{items}</channel></rss>"""
        return 200, body, {"Content-Type": "application/rss+xml"}


ONE = ("g1", "One", 1, "https://cdn.example/1.mp3")
TWO = ("g2", "Two", 2, "https://cdn.example/2.mp3")


@pytest.fixture
def show(server, library, sources):
    """A feed with two episodes that was added; the first one is done."""
    made = Show(server)
    made.episodes = [ONE, TWO]
    [result] = add(library, sources, made.url, STOP)
    library.save(result.items[0], transcript())
    return made


def resync(library, sources):
    """Return the titles of new items at a sync, after a second sync that finds none."""
    results = [result for _ in range(2) for result in sync(library, sources, STOP)]
    assert [str(result.error) for result in results if result.error] == []
    half = len(results) // 2
    assert [item.title for result in results[half:] for item in result.new] == []
    return [item.title for result in results[:half] for item in result.new]


def titles(library):
    return sorted(record.item.title for record in library.items())


@pytest.mark.parametrize(
    "episode",
    [
        ("g1", "One", 1, "https://cdn.example/1.mp3?token=2"),
        ("g1", "One, edited", 1, "https://new.example/TOKEN/1.mp3"),
        ("g1", "One", 9, "https://new.example/TOKEN/1.mp3"),
        ("g1", "One, edited", 9, "https://cdn.example/1.mp3"),
        ("other guid", "One", 1, "https://cdn.example/1.mp3"),
        ("", "One", 1, "https://dts.podtrac.com/redirect.mp3/cdn.example/1.mp3?token=1"),
    ],
    ids=["token", "edited and moved", "dated and moved", "edited and dated", "new guid", "no guid"],
)
def test_a_changed_episode_is_the_same(show, library, sources, episode):
    show.episodes[0] = episode
    assert resync(library, sources) == []
    assert len(list(library.items())) == 2


def test_guids_change_from_http_to_https(server, library, sources):
    show = Show(server)
    show.episodes = [("http://host.example/?p=1", "One", 1, "https://a.example/x/1.mp3")]
    list(add(library, sources, show.url, STOP))
    show.episodes = [("https://Host.example/?p=1", "One", 1, "https://b.example/y/1.mp3")]
    assert resync(library, sources) == []


def test_a_guid_that_stands_twice_is_no_guid(show, library, sources):
    show.episodes = [
        ("g1", "Three", 3, "https://cdn.example/3.mp3"),
        *show.episodes,
        ("", "Four", 4, "https://cdn.example/play.mp3?id=4"),
        ("", "Five", 5, "https://cdn.example/play.mp3?id=5"),
    ]
    assert resync(library, sources) == ["Three", "Four", "Five"]
    assert titles(library) == ["Five", "Four", "One", "Three", "Two"]


def test_a_guid_that_is_used_again_is_a_new_episode(show, library, sources):
    show.episodes[0] = ("g1", "Three", 13, "https://cdn.example/3.mp3")
    assert resync(library, sources) == ["Three"]
    states = {record.item.title: record.state for record in library.items()}
    assert states == {"One": "done", "Two": "pending", "Three": "pending"}
    show.episodes[0] = ("g1", "Three, edited", 13, "https://cdn.example/3.mp3?token=1")
    assert resync(library, sources) == []
    assert titles(library) == ["One", "Three, edited", "Two"]


@pytest.mark.parametrize("guid", ["", "latest"])
def test_the_latest_episode_at_one_address(server, library, sources, guid):
    """A news show replaces its only episode, with a guid each or without any."""
    show = Show(server)
    for day in (1, 11, 21):
        own = f"news-{day}" if guid else ""
        show.episodes = [(own, f"News of {day} June", day, "https://cdn.example/latest.mp3")]
        list(add(library, sources, show.url, STOP))
    assert len(list(library.items())) == 3
    assert resync(library, sources) == []


def test_hourly_news_with_one_title_and_one_address(server, library, sources):
    show = Show(server)
    for hour in (1, 2, 3):
        show.episodes = [
            (f"hour-{hour}", "News", hour + 10 * hour, "https://cdn.example/latest.mp3")
        ]
        list(add(library, sources, show.url, STOP))
    assert len(list(library.items())) == 3


def moved(server, show, how):
    """Move `show` to a new address; return it."""
    if how == "redirect":
        new = Show(server, "/new")
        server.routes[show.path] = lambda *_: (301, "", {"Location": new.url})
    else:
        new = Show(server, "/new")
        show.channel = f"<itunes:new-feed-url>{new.url}</itunes:new-feed-url>"
    new.episodes = [
        (guid, title, day, media.replace("cdn", "new")) for guid, title, day, media in show.episodes
    ]
    return new


@pytest.mark.parametrize("how", ["redirect", "announced"])
def test_a_moved_feed_is_the_same_source(server, show, library, sources, how):
    new = moved(server, show, how)
    [result] = sync(library, sources, STOP)
    assert (result.moved_from, result.url, result.new) == (show.url, new.url, ())
    assert [record.url for record in library.sources()] == [new.url]
    del server.routes[show.path]
    new.episodes.append(("g3", "Three", 3, "https://new.example/3.mp3"))
    assert resync(library, sources) == ["Three"]
    assert {record.item.media_url for record in library.items()} == {
        f"https://new.example/{n}.mp3" for n in (1, 2, 3)
    }


def test_a_temporary_redirect_does_not_move_a_feed(server, show, library, sources):
    new = moved(server, show, "redirect")
    server.routes[show.path] = lambda *_: (302, "", {"Location": new.url})
    [result] = sync(library, sources, STOP)
    assert (result.moved_from, result.url) == (None, show.url)
    assert resync(library, sources) == []


def test_a_new_address_that_fails_does_not_lose_the_old_one(show, library, sources):
    show.channel = "<itunes:new-feed-url>http://127.0.0.1:1/feed</itunes:new-feed-url>"
    [result] = sync(library, sources, STOP)
    assert (result.url, len(result.items)) == (show.url, 2)
    assert "new address, which fails" in result.warnings[0]


def test_a_source_is_moved_by_hand(server, show, library, sources):
    new = Show(server, "/elsewhere")
    new.episodes = [
        (guid, title, day, media.replace("cdn", "new")) for guid, title, day, media in show.episodes
    ]
    del server.routes[show.path]
    [result] = add(library, sources, new.url, STOP, moved_from=show.url)
    assert (result.moved_from, result.new) == (show.url, ())
    assert [record.url for record in library.sources()] == [new.url]
    assert resync(library, sources) == []


def test_one_episode_in_two_feeds(server, show, library, sources):
    second = Show(server, "/network")
    second.episodes = [
        ("n1", "One", 1, "https://dts.podtrac.com/redirect.mp3/cdn.example/1.mp3?from=network"),
        ("g2", "Two", 2, "https://cdn.example/other/2.mp3"),  # the guid g2 of another show
    ]
    [result] = add(library, sources, second.url, STOP)
    assert [item.title for item in result.new] == ["Two"]
    assert result.items[0].key in library.known_keys(show.url)
    assert resync(library, sources) == []


def test_a_show_with_a_guid_of_its_own_is_known_at_another_address(server, library, sources):
    guid = "<podcast:guid>917393e3-1b1e-5cef-ace4-edaa54e1f810</podcast:guid>"
    first, second = Show(server, "/a", guid), Show(server, "/b", guid)
    first.episodes = [ONE]
    second.episodes = [("g1", "One", 1, "https://elsewhere.example/one.mp3")]
    list(add(library, sources, first.url, STOP))
    [result] = add(library, sources, second.url, STOP)
    assert result.new == ()


def test_a_library_of_the_version_before_keeps_its_keys(show, library, sources, tmp_path):
    """Nothing is transcribed again after an upgrade, also if the feed changed meanwhile."""
    before = {record.item.key for record in library.items()}
    library.close()
    make_older(tmp_path / "library" / "library.db", 8)
    show.episodes[1] = ("new guid", *TWO[1:3], TWO[3] + "?token=1")
    with Library(tmp_path / "library") as upgraded:
        assert resync(upgraded, sources) == []
        assert {record.item.key for record in upgraded.items()} == before


def test_the_description_of_a_done_item_is_that_of_its_first_source(server, show, library, sources):
    second = Show(server, "/network")
    second.episodes = [("n1", "One", 1, "https://cdn.example/1.mp3?from=network")]
    [result] = add(library, sources, second.url, STOP)
    done = library.item(result.items[0].key).item
    assert done.channel_id == show.url
    assert replace(done, duration=None).media_url == "https://cdn.example/1.mp3"
