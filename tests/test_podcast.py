"""Podcast feeds and downloads of their episodes over HTTP on the loopback, with valid and hostile input."""

import base64
import json
import os
import threading
import time
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta

import pytest
import requests
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

from homescribe.core import HOUR, Chapter, Item, SourceOptions, TranscriptLink
from homescribe.errors import (
    Cancelled,
    ItemError,
    PermanentError,
    RetryableError,
    SiteBusy,
    SourceBlocked,
    UserError,
)
from homescribe.sources import (
    disk_space,
    feed_documents,
    feeds,
    http_download,
    least_rate,
    podcast,
    web_addresses,
)
from homescribe.sources.http_errors import connection_error, retry_after
from homescribe.sources.http_response import open_url
from homescribe.sources.podcast import PodcastSource

STOP = threading.Event()  # never set


@pytest.fixture
def source(tmp_path):
    with closing(PodcastSource(SourceOptions(cache=tmp_path / "cache"))) as one:
        yield one


def serve(server, path, body, kind="application/rss+xml", **headers):
    server.routes[path] = lambda *_: (200, body, {"Content-Type": kind, **headers})
    return server.url(path)


def rss(items, channel=""):
    return f"""<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"
    xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"
    xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:atom="http://www.w3.org/2005/Atom"
    xmlns:psc="http://podlove.org/simple-chapters"><channel>{channel}{items}</channel></rss>"""


def listing(source, url):
    return next(source.list(url, STOP))


def items(source, url):
    return list(listing(source, url).items)


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- Feeds ---------------------------------------------------------------------------------------


def test_listing_a_feed_gives_its_metadata(source, server):
    url = server.url("/feed.xml")
    [one] = source.list(url, STOP)
    episodes = list(one.items)
    assert (one.url, one.title, one.newest_first) == (url, "Loopback Podcast", False)
    assert len(episodes) == 25
    assert len({episode.key for episode in episodes}) == 25
    first = episodes[0]
    assert first == Item(
        source="podcast",
        id=first.id,
        url=server.url("/episodes/25"),
        title="Episode 25: testing & more",
        channel="Loopback Podcast",
        channel_id=url,
        duration=7.0,
        upload_date="2026-06-26",
        language="en-us",
        description="Notes for 25",
        media_url=server.url("/media/ep1.mp3?ep=25"),
        transcript_links=(TranscriptLink(server.url("/media/ep25.vtt"), "text/vtt"),),
    )
    assert source.rate_limit_key(first) == "127.0.0.1"


def test_an_atom_feed(source, server):
    [episode] = items(source, server.url("/atom.xml"))
    assert (episode.title, episode.channel, episode.upload_date) == (
        "A1",
        "Atom cast",
        "2026-05-04",
    )
    assert episode.media_url == server.url("/media/ep1.mp3")


def json_feed(server, path, items, **fields):
    document = {"version": "https://jsonfeed.org/version/1.1", "items": items, **fields}
    serve(server, path, json.dumps(document).replace("/", "\\/"), "application/feed+json")
    return server.url(path)


def test_a_json_feed(source, server):
    episode = {
        "id": 7,
        "title": "Is a < b?",
        "url": "https://show.example/7",
        "content_html": "<p>Notes</p>",
        "date_published": "2026-06-01T23:30:00+02:00",
        "attachments": [
            {"url": "/cover.jpg", "mime_type": "image/jpeg"},
            {"url": "/media/ep1.mp3", "mime_type": "audio/mpeg", "duration_in_seconds": 61.5},
        ],
    }
    post = {"id": "post", "content_text": "only words"}
    second = json_feed(server, "/page2", [{**episode, "id": "6", "title": "Older"}])
    url = json_feed(
        server, "/cast", [episode, post], title="JSON cast", language="en", next_url=second
    )
    assert source.matches(url)
    assert listing(source, url).title == "JSON cast"
    one, older = items(source, url)
    assert (one.title, one.url, one.description) == ("Is a < b?", "https://show.example/7", "Notes")
    assert (one.duration, one.upload_date, one.language) == (61.5, "2026-06-01", "en")
    assert one.media_url == server.url("/media/ep1.mp3")
    assert older.title == "Older"


@pytest.mark.parametrize(
    "items_", [5, None, [None], [[]], [{"attachments": 3}], [{"attachments": [{"url": {}}]}]]
)
def test_a_json_feed_of_wrong_types_has_no_recordings(source, server, items_):
    with pytest.raises(UserError, match="has no recordings"):
        items(source, json_feed(server, "/cast", items_, title=[]))


@pytest.mark.parametrize("rest", ["", "[" * 100_000])
def test_a_damaged_json_feed(source, server, rest):
    serve(server, "/cast", '{"version": "https://jsonfeed.org/version/1", "items": [' + rest)
    with pytest.raises(UserError, match="damaged"):
        items(source, server.url("/cast"))


def test_an_episode_keeps_its_key_when_its_address_and_title_change(source, server):
    before = """<item><title>Old</title><guid>g1</guid>
        <enclosure url="http://old.example/1.mp3?token=1" type="audio/mpeg"/></item>"""
    after = before.replace("Old", "New").replace("old.example/1.mp3?token=1", "new.example/2.mp3")
    [one] = items(source, serve(server, "/feed", rss(before)))
    [two] = items(source, serve(server, "/feed", rss(after)))
    assert one.key == two.key
    [other] = items(source, serve(server, "/other-feed", rss(before)))
    assert other.key != one.key  # a guid is unique only within its feed


def test_a_guid_that_stands_twice_is_no_guid(source, server):
    feed = "".join(
        f"<item><title>{title}</title><guid>same</guid>"
        f'<enclosure url="http://x.example/{title}.mp3" type="audio/mpeg"/></item>'
        for title in ("One", "Two", "Two")  # the last is the same entry again
    )
    found = items(source, serve(server, "/feed", rss(feed)))
    assert [one.title for one in found] == ["One", "Two"]
    assert found[0].key != found[1].key


def test_without_a_guid_trackers_and_tokens_do_not_change_the_key(source, server):
    def key(address):
        item = f'<item><enclosure url="{address}" type="audio/mpeg"/></item>'
        return items(source, serve(server, "/feed", rss(item)))[0].key

    plain = key("https://cdn.example/show/1.mp3?token=1")
    assert key("https://cdn.example/show/1.mp3?token=2") == plain
    assert key("https://dts.podtrac.com/redirect.mp3/cdn.example/show/1.mp3") == plain
    assert key("https://pdst.fm/e/chrt.fm/track/ABC/cdn.example/show/1.mp3?x=1") == plain
    assert key("https://cdn.example/show/2.mp3") != plain


def test_entries_without_a_recording_are_skipped(source, server):
    feed = rss(
        """<item><title>A post</title><link>http://x.example/post</link></item>
        <item><title>A picture</title><enclosure url="http://x.example/a.jpg" type="image/jpeg"/></item>
        <item><title>Talk</title><enclosure url="http://x.example/a.mp3" type="audio/mpeg"/></item>
        <item><title>Untyped</title><enclosure url="/b.m4a?x"/></item>
        <item><title>Mistyped</title><enclosure url="http://x.example/c.mp3" type="text/plain"/></item>
        <item><title>Local</title><enclosure url="file:///etc/passwd" type="audio/mpeg"/></item>"""
    )
    found = items(source, serve(server, "/feed", feed))
    assert [one.title for one in found] == ["Talk", "Untyped", "Mistyped"]
    assert found[1].media_url == server.url("/b.m4a?x")


def test_pictures_of_an_entry_are_no_recordings(source, server):
    media = 'xmlns:media="http://search.yahoo.com/mrss/"'
    pictures = "".join(
        f'<media:content {media} url="{server.url(path)}" {rest}/>'
        for path, rest in (("/a", 'medium="image"'), ("/b.JPG", ""), ("/c.png?w=1", ""))
    )
    url = serve(
        server, "/f.rss", rss(f"<item><title>1</title>{pictures}</item>" + episode_xml(server))
    )
    assert [one.title for one in items(source, url)] == ["with a picture"]


def episode_xml(server):
    media = 'xmlns:media="http://search.yahoo.com/mrss/"'
    return f"""<item><title>with a picture</title>
    <media:content {media} url="{server.url("/a.png")}" medium="image"/>
    <media:content {media} url="{server.url("/media/ep1.mp3")}"/></item>"""


def test_a_feed_without_any_recording(source, server):
    url = serve(server, "/blog", rss("<item><title>A post</title></item>", "<title>Blog</title>"))
    with pytest.raises(UserError, match="has no recordings"):
        items(source, url)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3725", 3725.0),
        ("62:05", 3725.0),
        ("1:02:05", 3725.0),
        (" 01:02:05 ", 3725.0),
        ("12.5", 12.5),
        ("0", None),
        ("00:00:00", None),
        ("", None),
        ("about an hour", None),
        ("-5", None),
        ("1:2:3:4", None),
        ("9" * 400, None),
        ("٣:٠٠", None),
    ],
)
def test_formats_of_durations(text, seconds):
    assert feeds.duration({"itunes_duration": text}) == seconds


def test_descriptions_become_plain_text_and_chapters_are_kept(source, server):
    feed = rss(
        """<item><title>&lt;b&gt;Bold&lt;/b&gt; &amp;amp; true</title>
        <enclosure url="http://x.example/a.mp3" type="audio/mpeg"/>
        <itunes:duration>600</itunes:duration><description>short</description>
        <content:encoded><![CDATA[<p>First&nbsp;line.</p><script>alert(1)</script><ul><li>One<li>Two</ul>
        <a href="javascript:x">link</a> &lt;tag&gt;]]></content:encoded>
        <psc:chapters><psc:chapter start="0" title="Intro"/>
        <psc:chapter start="00:05:00.500" title="Body"/></psc:chapters></item>"""
    )
    [one] = items(source, serve(server, "/feed", feed))
    assert one.title == "Bold & true"
    assert one.description == "First line.\n\nOne\nTwo\n\nlink <tag>"
    assert one.chapters == (Chapter(0.0, 300.5, "Intro"), Chapter(300.5, 600.0, "Body"))


def test_all_pages_of_a_feed_are_listed(source, server):
    def feed(number, following):
        return rss(
            f"""<item><title>E{number}</title><guid>{number}</guid>
            <enclosure url="http://x.example/{number}.mp3" type="audio/mpeg"/></item>""",
            f'<atom:link rel="next" href="{following}"/>',
        )

    serve(server, "/p2", feed(2, "/p3"))
    serve(server, "/p3", feed(3, "/p1"))  # a cycle
    found = items(source, serve(server, "/p1", feed(1, "/p2")))
    assert [one.title for one in found] == ["E1", "E2", "E3"]


def test_a_page_that_cannot_be_read_keeps_the_pages_before_it(source, server):
    item = (
        '<item><title>E1</title><enclosure url="http://x.example/1.mp3" type="audio/mpeg"/></item>'
    )
    link = '<atom:link rel="next" href="/status/503"/>'
    one = listing(source, serve(server, "/feed", rss(item, link)))
    assert [episode.title for episode in one.items] == ["E1"]
    [warning] = one.warnings
    assert warning.startswith(
        "Older episodes were not listed, since page 2 of the feed could not be read:"
    )
    assert "HTTP 503" in warning
    [(refused, error)] = one.refused.items()
    assert (refused, error.retry_after) == (server.url("/status/503"), 120)


def test_a_new_address_at_a_host_that_asks_to_wait_keeps_the_feed(source, server):
    moved = "<itunes:new-feed-url>/status/429</itunes:new-feed-url>"
    item = '<item><enclosure url="http://x.example/1.mp3" type="audio/mpeg"/></item>'
    one = listing(source, serve(server, "/feed", rss(item, moved)))
    assert len(list(one.items)) == 1
    assert one.refused.keys() == {server.url("/status/429")}


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("Fri, 26 Jun 2026 23:30:00 -0700", "2026-06-26"),
        ("Sat, 27 Jun 2026 00:30:00 +0200", "2026-06-27"),
        ("Fri, 26 Jun 2026 23:30:00 PST", "2026-06-26"),
        ("2026-06-26T23:30:00-07:00", "2026-06-26"),
        ("Mon, 31 Feb 2026 06:00:00 +0000", None),
        ("yesterday", None),
    ],
)
def test_the_date_of_an_episode_is_the_publishers(source, server, text, day):
    item = f'<item><pubDate>{text}</pubDate><enclosure url="http://x.example/1.mp3"/></item>'
    [one] = items(source, serve(server, "/feed", rss(item)))
    assert one.upload_date == day


def test_a_next_page_on_another_server_is_not_followed(source, server):
    item = '<item><enclosure url="http://x.example/1.mp3" type="audio/mpeg"/></item>'
    link = '<atom:link rel="next" href="http://169.254.169.254/meta"/>'
    assert len(items(source, serve(server, "/feed", rss(item, link)))) == 1


def test_an_unchanged_feed_is_read_from_the_cache(source, server, tmp_path):
    conditions = []

    def feed(_server, _query, headers):
        conditions.append(headers.get("If-None-Match"))
        if headers.get("If-None-Match") == '"v1"':
            return 304, b"", {}
        body = rss('<item><enclosure url="http://x.example/1.mp3" type="audio/mpeg"/></item>')
        return 200, body, {"ETag": '"v1"', "Content-Type": "text/xml"}

    server.routes["/feed"] = feed
    first = items(source, server.url("/feed"))
    again = items(source, server.url("/feed"))
    assert conditions == [None, '"v1"']
    assert again == first
    assert len(first) == 1
    for file in (tmp_path / "cache" / "feeds").iterdir():
        file.write_bytes(b"damaged")
    assert items(source, server.url("/feed")) == first
    assert conditions[2] is None


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/status/404", "is not available"),
        ("/status/401", "needs a subscription or a password"),
        ("/status/500", "the server failed"),
        ("/plain.html", "no feed"),
        ("/redirect?to=/redirect%3Fto%3D/loop", "is not available"),
        ("/redirect?to=file:///etc/passwd", "not a valid web address"),
        ("/redirect?to=http://[", "not a valid web address"),
    ],
)
def test_an_unavailable_feed_gives_a_message_of_one_line(source, server, path, words):
    server.routes["/loop"] = lambda *_: (404, "", {})
    with pytest.raises(UserError, match=words) as caught:
        items(source, server.url(path))
    assert "\n" not in caught.value.message
    assert "passwd" not in caught.value.message


def test_a_rate_limit_of_a_feed_blocks_the_site_until_retry_after(source, server):
    with pytest.raises(SourceBlocked) as caught:
        items(source, server.url("/status/429"))
    assert caught.value.retry_after == 120


def test_a_feed_on_an_unreachable_server(source):
    with pytest.raises(UserError, match="connection failed") as caught:
        items(source, "http://127.0.0.1:1/feed?token=secret")
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


def test_an_address_with_a_password_is_refused_without_showing_it(source):
    with pytest.raises(UserError, match="password") as caught:
        items(source, "https://user:hunter2@feeds.example/rss")
    assert "hunter2" not in f"{caught.value.message} {caught.value.hint}"


def test_a_password_from_netrc_is_used(source, server, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password hunter2\n")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    seen = []

    def feed(_server, _query, headers):
        seen.append(headers.get("Authorization"))
        return 200, rss('<item><enclosure url="http://x.example/1.mp3"/></item>'), {}

    server.routes["/feed"] = feed
    assert len(items(source, server.url("/feed"))) == 1
    assert seen == ["Basic " + base64.b64encode(b"me:hunter2").decode()]


BILLION = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a0 "lol">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    + "]>"
)
HOSTILE = {
    "entities": BILLION + rss("<item><title>&a11;</title></item>").partition("?>")[2],
    "utf-16": (BILLION + rss("<item>&a11;</item>").partition("?>")[2]).encode("utf-16"),
    "external": '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    + rss("<item><title>&x;</title></item>").partition("?>")[2],
    "nothing": "",
    "a path": "/etc/passwd",
    "noise": bytes(range(256)) * 100,
    "deep": rss("<x>" * 20_000),
    "open": '<rss version="2.0"><channel><item><title>' + "x" * 1_000_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_feed_is_refused(source, server, kind):
    with pytest.raises(UserError) as caught:
        items(source, serve(server, "/feed", HOSTILE[kind]))
    assert "root:" not in caught.value.message


PIECES = st.sampled_from(
    [
        *(
            "<item>",
            "</item>",
            "<title>",
            "</title>",
            "<guid>",
            "</guid>",
            "<link>",
            "</link>",
            "]]>",
        ),
        '<enclosure url="http://x.example/1.mp3" length="x" type="audio/mpeg"/>',
        '<enclosure url="http://[" type="audio/mpeg"/>',
        '<media:content url="http://x.example/1.mp3"/>',
        '<atom:link rel="next" href="http://["/>',
        *(
            "<itunes:duration>",
            "9:99:99",
            "1e999",
            "-",
            "\u202e",
            "&#0;",
            "&#xd800;",
            "&lt;b&gt;",
            "<![CDATA[",
        ),
        *(
            "<pubDate>",
            "Mon, 31 Feb 2026",
            "<psc:chapter start='x'/>",
            "<psc:chapters>",
            "</psc:chapters>",
        ),
        *(
            "<content:encoded>",
            "<language>",
            "</channel>",
            "<entry>",
            "<!ENTITY x '&x;'>",
            "é",
            "\x00",
        ),
    ]
)


@given(st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=30), st.binary(max_size=20))
@settings(max_examples=200, deadline=None)
def test_no_feed_raises_anything_but_user_error(pieces, tail):
    body = rss("".join(pieces)).encode("utf-8", "replace") + tail
    try:
        page = feeds.parse(body, STOP)
    except UserError:
        return
    podcast.next_page(page, "http://x.example/feed")
    for entry in page.entries:
        one = feeds.item_from(entry, "http://x.example/feed")
        if one:
            one.title.encode()
            assert "\n" not in one.title
            assert one.media_url.startswith(("http://", "https://"))


def test_cancelling_while_a_large_feed_is_parsed():
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    with pytest.raises(Cancelled):
        feeds.parse(rss("<item><title>x</title></item>" * 5_000).encode(), stop)
    wait_for(lambda: not [one for one in threading.enumerate() if one.name == "parse feed"])


def test_a_feed_over_the_size_limit_is_refused(source, server, monkeypatch):
    monkeypatch.setattr(feed_documents, "MAX_FEED_BYTES", 2**20)
    with pytest.raises(UserError, match="longer than 1 MiB"):
        items(source, serve(server, "/feed", rss("<item></item>" * 200_000)))


def test_hostile_episodes_become_plain_items(source, server):
    feed = rss(
        "<item><title>" + "x" * 10_000 + "</title><guid>../../etc</guid><pubDate>never</pubDate>"
        '<link>javascript:alert(1)</link><enclosure url="http://x.example/../../1.mp3"/></item>'
        "<item><title>\u202egnp.exe&#8238;</title><guid>2</guid>"
        '<pubDate>Mon, 31 Feb 99999 06:00:00 +0000</pubDate><enclosure url="http://x.example/2.mp3"/></item>'
        '<item><guid>3</guid><enclosure url="http://[::1/3.mp3"/></item>'
        '<item><guid>4</guid><enclosure url="http://x.example:99999999/4.mp3"/></item>'
    )
    one, two, three = items(source, serve(server, "/feed", feed))
    assert (len(one.title), one.upload_date, one.url) == (500, None, one.media_url)
    assert (two.title, two.upload_date) == ("gnp.exe", None)
    assert three.media_url.endswith("/4.mp3")
    assert all(one.id.isalnum() for one in (one, two, three))
    with pytest.raises(PermanentError, match="not a valid web address"):
        source.fetch(three, server.root, STOP)


def test_a_long_author_does_not_stop_the_process():
    """feedparser would look for an e-mail address in it for minutes, and hold Python's lock."""
    author = "x" * 300_000
    body = (
        '<rss xmlns:itunes="http://www.itunes.com/dtds/podcast-1.0.dtd"><channel><item><title>A</title>'
        f"<author>{author}</author><itunes:author>{author}</itunes:author></item></channel></rss>"
    )
    began = time.monotonic()
    [entry] = feeds.parse(body.encode(), threading.Event()).entries
    assert entry["title"] == "A"
    assert time.monotonic() - began < 10


# --- Feeds and other web pages -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "matches"),
    [
        ("/feed.xml", True),
        ("/atom.xml", True),
        ("/redirect?to=/feed.xml", True),
        ("/audio.html", False),
        ("/media/ep1.mp3", False),
        ("/status/404", False),
        ("/page-that-links-a-feed", False),
        ("/commented", True),
        ("/utf16", True),
        ("/svg.xml", False),
        ("/rss", False),  # the name of a feed, but not its content
    ],
)
def test_a_feed_is_recognized_by_its_content(source, server, path, matches):
    page = '<html><link rel="alternate" type="application/rss+xml" href="/feed.xml"></html>'
    serve(server, "/page-that-links-a-feed", page, "text/html")
    commented = '\ufeff<?xml version="1.0"?>\n<!-- <html> -->\n<!DOCTYPE rss>\n<rss version="2.0">'
    serve(server, "/commented", commented.encode(), "text/html")
    serve(
        server,
        "/utf16",
        '<?xml version="1.0" encoding="utf-16"?><rss version="2.0">'.encode("utf-16"),
    )
    serve(server, "/svg.xml", '<?xml version="1.0"?><svg></svg>', "application/xml")
    serve(server, "/rss", "<html></html>", "application/rss+xml")
    assert source.matches(server.url(path)) is matches


@pytest.mark.parametrize(
    ("url", "matches"),
    [
        ("feed://127.0.0.1:1/x", True),
        ("feed:https://host.example/x", True),
        ("https://www.youtube.com/feeds/videos.xml?channel_id=UC1", False),
        ("https://youtu.be/x", False),
        ("http://127.0.0.1:1/podcast/feed", True),  # no connection: the path decides
        ("http://127.0.0.1:1/show.rss", True),
        ("@handle", False),
        ("/home/feed.xml", False),
        ("http://", False),
        ("http://[", False),
    ],
)
def test_some_addresses_are_recognized_without_a_request(source, url, matches):
    assert source.matches(url) is matches


@pytest.mark.parametrize("path", ["/status/503", "/status/500", "/status/429", "/unreachable"])
def test_an_address_that_does_not_answer_is_no_page_for_another_source(source, server, path):
    url = "http://127.0.0.1:1/show" if path == "/unreachable" else server.url(path)
    with pytest.raises(UserError, match=r"server failed|too many|connection failed"):
        source.matches(url)


def test_a_feed_that_needs_a_password_is_advised_netrc(source, server):
    server.routes["/private"] = lambda *_: (401, "", {"WWW-Authenticate": 'Basic realm="feeds"'})
    with pytest.raises(UserError, match="password") as caught:
        source.matches(server.url("/private"))
    assert "netrc" in caught.value.hint
    assert source.matches(server.url("/status/401")) is False  # perhaps a site that yt-dlp knows


def test_a_slow_feed_is_waited_for(source, server, monkeypatch):
    monkeypatch.setattr(web_addresses, "PROBE_TIMEOUT", 0.3)
    with pytest.raises(UserError, match="does not respond"):
        source.matches(server.url("/stall"))


def test_a_feed_that_is_unavailable_for_a_time_names_that_time(source, server):
    with pytest.raises(SourceBlocked, match="server failed") as caught:
        items(source, server.url("/status/503"))
    assert caught.value.retry_after == 120


@pytest.mark.parametrize("path", ["/status/503", "/status/429", "/show/feed", "/refused"])
def test_a_site_that_asks_to_wait_is_not_asked_in_another_way(source, server, path):
    """Neither as a page that yt-dlp may know, nor as a feed because of the form of its address."""
    server.routes["/show/feed"] = lambda *_: (503, "", {"Retry-After": "120"})
    server.routes["/refused"] = lambda *_: (403, "", {"Retry-After": "120"})
    with pytest.raises(SourceBlocked) as caught:
        source.matches(server.url(path))
    assert (caught.value.retry_after, len(server.log)) == (120, 1)


# --- Downloads -----------------------------------------------------------------------------------


def episode(server, path):
    page, feed = server.url("/episodes/1"), server.url("/feed.xml")
    return Item("podcast", "1", page, "t", channel_id=feed, media_url=server.url(path))


def test_live_radio_in_a_feed_is_refused(source, server, tmp_path):
    address = server.url("/media/ep1.mp3?chunked=1&icy=1")
    episode = Item("podcast", "1", "https://a.example/", "t", media_url=address)
    with pytest.raises(PermanentError, match="live radio stream, which does not end"):
        source.fetch(replace(episode, channel_id=server.url("/feed.xml")), tmp_path, STOP)


def test_an_episode_is_downloaded_once(source, server, tmp_path, clips):
    audio = source.fetch(episode(server, "/redirect?to=/media/ep1.mp3"), tmp_path / "new", STOP)
    assert audio.path.read_bytes() == (clips / "ep1.mp3").read_bytes()
    assert (audio.path.name, audio.temporary, audio.duration) == ("audio.media", True, None)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["audio.media"]
    server.log.clear()
    source.fetch(episode(server, "/redirect?to=/media/ep1.mp3"), tmp_path / "new", STOP)
    assert server.log == []


def ranges(server):
    """Range header and status of each response with content."""
    return [(sent, status) for _, _, sent, status in server.log if status in (200, 206, 416)]


@pytest.mark.slow
def test_an_interrupted_download_resumes_in_the_same_run(source, server, tmp_path, clips):
    one = episode(server, "/media/ep1.mp3?die_after=30000&times=2&etag=v1")
    audio = source.fetch(one, tmp_path, STOP)
    assert audio.path.read_bytes() == (clips / "ep1.mp3").read_bytes()
    assert audio.path.name == "audio.mp3"
    (first, status), *others = ranges(server)
    assert (first, status) == (None, 200)
    starts = [int(sent.removeprefix("bytes=").removesuffix("-")) for sent, _ in others]
    assert [status for _, status in others] == [206, 206]
    assert 0 < starts[0] < starts[1]


def test_an_interrupted_download_resumes_in_a_later_run(source, server, tmp_path, clips):
    slow = episode(server, "/media/ep1.mp3?bps=100000&etag=v1")
    size = interrupt(source, slow, tmp_path)
    assert 0 < size < (clips / "ep1.mp3").stat().st_size
    audio = source.fetch(episode(server, "/media/ep1.mp3?etag=v1"), tmp_path, STOP)
    assert audio.path.read_bytes() == (clips / "ep1.mp3").read_bytes()
    assert ranges(server)[-1] == (f"bytes={size}-", 206)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("audio")] == [
        "audio.mp3"
    ]


@pytest.mark.parametrize("change", ["etag", "no ranges", "length", "no version", "complete"])
def test_a_partial_download_of_another_file_is_replaced(source, server, tmp_path, clips, change):
    wanted = (clips / "ep2.mp3").read_bytes()
    part, version = tmp_path / "audio.mp3.part", tmp_path / "audio.mp3.part.json"
    part.write_bytes(b"the beginning of another file")
    version.write_text('{"etag": "\\"old\\"", "modified": null, "length": 99999}')
    path = "/media/ep2.mp3?etag=new"
    if change == "no ranges":
        path = "/media/ep2.mp3?norange=1"
    elif change == "length":
        version.write_text('{"etag": null, "modified": null, "length": 99999}')
    elif change == "no version":
        version.unlink()
    elif change == "complete":  # killed between the last byte and the renaming
        part.write_bytes(wanted)
        version.write_text(f'{{"etag": "\\"new\\"", "modified": null, "length": {len(wanted)}}}')
    assert source.fetch(episode(server, path), tmp_path, STOP).path.read_bytes() == wanted


def interrupt(source, slow, folder):
    """Cancel the download of the episode `slow` after its first bytes; return how many there are."""
    stop = threading.Event()
    part = folder / "audio.mp3.part"
    threading.Thread(
        target=lambda: (wait_for(lambda: part.exists() and part.stat().st_size), stop.set())
    ).start()
    with pytest.raises(Cancelled):
        source.fetch(slow, folder, stop)
    return part.stat().st_size


@pytest.fixture
def changed(source, server, tmp_path, monkeypatch):
    """Interrupt a download with these query parameters, and give the file new content of the same length."""
    monkeypatch.setattr(http_download, "MAX_FAILURES", 1)
    server.root = tmp_path / "served"
    server.root.mkdir()
    file = server.root / "changed.mp3"

    def download(query):
        file.write_bytes(OLD)
        os.utime(file, (YESTERDAY, YESTERDAY))
        interrupt(source, episode(server, f"/media/changed.mp3?bps=100000&{query}"), tmp_path)
        file.write_bytes(NEW)
        os.utime(file, (YESTERDAY + 60, YESTERDAY + 60))
        server.log.clear()
        server.if_range.clear()
        return episode(server, f"/media/changed.mp3?{query}")

    return download


YESTERDAY = int(time.time()) - 24 * 3600
OLD, NEW = b"old " * 20_000, b"new " * 20_000


@pytest.mark.parametrize("validator", ["etag=content", "modified=file"])
def test_a_changed_file_of_the_same_length_is_downloaded_from_the_start(
    source, server, tmp_path, changed, validator
):
    """Servers put other advertisements into an episode: half of each would be words that nobody said."""
    one = changed(validator)
    assert source.fetch(one, tmp_path, STOP).path.read_bytes() == NEW
    [(sent, status)] = ranges(server)
    assert sent.startswith("bytes=")
    assert status == 200  # the server compared If-Range
    [condition] = server.if_range
    assert condition


@pytest.mark.parametrize("validator", ["etag=content", "modified=file"])
@pytest.mark.parametrize("flaw", ["ignore_if_range=1", "ignore_if_range=1&bare206=1"])
def test_partial_content_without_the_same_validator_is_refused(
    source, server, tmp_path, changed, validator, flaw
):
    """A server that ignores If-Range sends the rest of another file."""
    one = changed(f"{validator}&{flaw}")
    with pytest.raises(RetryableError, match="has changed since its download began"):
        source.fetch(one, tmp_path, STOP)
    assert ranges(server)[0][1] == 206
    assert not (tmp_path / "audio.mp3.part").exists()
    assert source.fetch(one, tmp_path, STOP).path.read_bytes() == NEW


@pytest.mark.parametrize("query", ["", "etag=content&weak=1", "modified=now"])
def test_without_a_strong_validator_nothing_is_resumed(source, server, tmp_path, changed, query):
    """Neither a weak ETag nor a Last-Modified of this very second proves that the content is the same."""
    one = changed(query)
    assert source.fetch(one, tmp_path, STOP).path.read_bytes() == NEW
    assert ranges(server) == [(None, 200)]


@pytest.mark.slow
def test_a_connection_that_always_fails_is_given_up(source, server, tmp_path, monkeypatch):
    monkeypatch.setattr(http_download, "MAX_FAILURES", 2)
    one = episode(server, "/media/ep1.mp3?die_after=0&times=99")
    with pytest.raises(RetryableError, match=r"connection failed|connection ended"):
        source.fetch(one, tmp_path, STOP)


@pytest.mark.parametrize(
    ("path", "kind", "words", "retry_after"),
    [
        ("/status/404", PermanentError, "is not available", None),
        ("/status/410", PermanentError, "is not available", None),
        ("/status/401", PermanentError, "subscription", None),
        ("/status/403", RetryableError, "refuses access", None),
        ("/status/418", PermanentError, "418", None),
        ("/status/503", SiteBusy, "the server failed", 120),
        ("/busy", SiteBusy, "refuses access", 60),
        ("/soon", RetryableError, "the server failed", None),
        ("/status/429", SourceBlocked, "too many requests", 120),
        ("/plain.html", RetryableError, "web page instead of a recording", None),
        ("/redirect?to=ftp://host.example/x.mp3", PermanentError, "not a valid web address", None),
    ],
)
def test_each_http_status_has_its_error(
    source, server, tmp_path, monkeypatch, path, kind, words, retry_after
):
    monkeypatch.setattr(http_download, "MAX_FAILURES", 1)
    server.routes["/busy"] = lambda *_: (403, "", {"Retry-After": "60"})
    server.routes["/soon"] = lambda *_: (503, "", {"Retry-After": "0"})
    with pytest.raises((ItemError, UserError), match=words) as caught:
        source.fetch(episode(server, path), tmp_path, STOP)
    assert type(caught.value) is kind
    assert getattr(caught.value, "retry_after", None) == retry_after
    assert not (tmp_path / "audio.media").exists()
    assert ("homescribe retry podcast:1" in caught.value.hint) is (path == "/status/401")


@pytest.mark.parametrize(("days", "kind"), [(1, RetryableError), (30, PermanentError)])
def test_a_fresh_episode_that_is_not_there_yet_is_tried_again(source, server, tmp_path, days, kind):
    one = replace(episode(server, "/status/404"), upload_date=str(date.today() - timedelta(days)))
    with pytest.raises(kind, match="is not available"):
        source.fetch(one, tmp_path, STOP)


def test_a_download_over_the_size_limit_is_refused(source, server, tmp_path, monkeypatch):
    monkeypatch.setattr(disk_space, "MAX_MEDIA_BYTES", 20_000)
    with pytest.raises(PermanentError, match="larger than"):
        source.fetch(episode(server, "/media/ep1.mp3"), tmp_path, STOP)


@pytest.mark.parametrize("path", ["/stall", "/media/ep1.mp3?bps=100"])
def test_cancelling_does_not_wait_for_a_slow_server(source, server, tmp_path, path):
    stop = threading.Event()
    threading.Thread(target=lambda: (wait_for(lambda: server.log), stop.set())).start()
    with pytest.raises(Cancelled):
        source.fetch(episode(server, path), tmp_path, stop)
    server.stopped.set()
    wait_for(lambda: receivers() == [])


def receivers():
    return [one for one in threading.enumerate() if "_receive" in one.name]


def test_a_server_that_sends_a_byte_a_second_is_given_up(source, server, tmp_path, monkeypatch):
    monkeypatch.setattr(least_rate, "WINDOW", 0.5)
    with pytest.raises(RetryableError, match="sends too slowly"):
        source.fetch(episode(server, "/media/ep1.mp3?bps=20"), tmp_path, STOP)
    with pytest.raises(UserError, match="sends too slowly"):
        items(source, server.url("/media/ep1.mp3?bps=20"))


def test_a_slow_but_steady_download_is_not_given_up(source, server, tmp_path, monkeypatch):
    monkeypatch.setattr(least_rate, "WINDOW", 1.0)
    assert source.fetch(episode(server, "/media/ep1.mp3?bps=60000"), tmp_path, STOP).path.exists()


def test_a_download_has_a_total_time(source, server, tmp_path, monkeypatch):
    monkeypatch.setattr(http_download, "MAX_SECONDS", 0.6)
    with pytest.raises(RetryableError, match="took longer than"):
        source.fetch(episode(server, "/media/ep1.mp3?bps=50000&etag=v1"), tmp_path, STOP)
    assert (tmp_path / "audio.mp3.part").stat().st_size  # the next run resumes it


def test_a_recording_without_an_end_is_no_recording(source, server, tmp_path, monkeypatch):
    monkeypatch.setattr(http_download, "MAX_SECONDS", 0.3)
    with pytest.raises(PermanentError, match="live stream"):
        source.fetch(episode(server, "/media/ep1.mp3?bps=40000&chunked=1"), tmp_path, STOP)
    assert not (tmp_path / "audio.mp3.part").exists()


@pytest.mark.parametrize("query", ["", "?chunked=1"])
def test_a_download_leaves_a_reserve_of_the_disk(source, server, tmp_path, monkeypatch, query):
    """Not a UserError: other items may be smaller, or stored on other disks."""
    monkeypatch.setattr(disk_space, "RESERVE_BYTES", 2**60)
    with pytest.raises(RetryableError, match="disk is too full") as caught:
        source.fetch(episode(server, f"/media/ep1.mp3{query}"), tmp_path, STOP)
    assert caught.value.retry_after
    assert not (tmp_path / "audio.mp3.part").exists()


def test_a_user_agent_can_be_set(server, tmp_path):
    seen = []
    server.routes["/feed"] = lambda _server, _query, headers: (
        seen.append(headers["User-Agent"]) or (200, rss("<item></item>"), {})
    )
    for agent in (None, "Player/1"):
        with closing(PodcastSource(SourceOptions(cache=tmp_path, user_agent=agent))) as source:
            assert source.matches(server.url("/feed"))
    assert seen[0].startswith("homescribe/")
    assert seen[1] == "Player/1"


def test_a_disk_error_is_a_user_error(source, server, tmp_path):
    (tmp_path / "audio.mp3.part.json").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        source.fetch(episode(server, "/media/ep1.mp3"), tmp_path, STOP)


# --- Errors --------------------------------------------------------------------------------------


def subclasses(kind):
    for one in kind.__subclasses__():
        yield one
        yield from subclasses(one)


KINDS = sorted(
    {requests.RequestException, *subclasses(requests.RequestException)},
    key=lambda one: one.__name__,
)
PERMANENT = {
    "InvalidSchema",
    "MissingSchema",
    "InvalidURL",
    "InvalidProxyURL",
    "InvalidHeader",
    "JSONDecodeError",
    "TooManyRedirects",
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda one: one.__name__)
def test_every_exception_of_requests_has_an_error(kind):
    error = kind("words", "doc", 0) if kind.__name__ == "JSONDecodeError" else kind("words")
    result = connection_error(error, "https://user:pw@host.example/x?token=t")
    expected = PermanentError if kind.__name__ in PERMANENT else RetryableError
    assert type(result) is expected
    assert "pw" not in result.message
    assert "token" not in result.message


@pytest.mark.parametrize(
    "error",
    [
        urllib3.exceptions.ProtocolError("Connection broken", ConnectionResetError(104, "reset")),
        urllib3.exceptions.ReadTimeoutError(None, None, "Read timed out."),
        OSError(101, "Network is unreachable"),
    ],
)
def test_exceptions_of_urllib3_and_sockets_are_retryable(error):
    assert isinstance(connection_error(error, "https://host.example/"), RetryableError)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Fri, 31 Dec 9998 23:59:59 GMT", 24 * HOUR),
        ("999999999", 24 * HOUR),
        ("soon", None),
        ("-1", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value, seconds):
    assert retry_after(value) == seconds


def test_the_message_of_a_refused_connection():
    with pytest.raises(ItemError) as caught, open_url("http://127.0.0.1:1/feed", STOP):
        pass
    assert caught.value.message == (
        "http://127.0.0.1:1/feed: the connection failed (Failed to establish a new connection: "
        "Connection refused)."
    )
