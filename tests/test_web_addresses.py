"""Addresses that lead to others: a show's web page, its page in an app, OPML and playlists on the web."""

import json
import threading
import time
from contextlib import closing

import pytest

import homescribe
from homescribe import plugins
from homescribe.core import Addresses, Source, SourceOptions
from homescribe.errors import UserError
from homescribe.library import Library
from homescribe.pipeline import Sources, add
from homescribe.sources import podcast_apps, private_networks
from homescribe.sources.feed_links import is_page, page_links, same_page
from homescribe.sources.podcast import PodcastSource
from homescribe.text import address_lists
from homescribe.text.charsets import charset_of, decoded
from loopback import page

STOP = threading.Event()  # never set


@pytest.fixture
def source(tmp_path):
    with closing(PodcastSource(SourceOptions(cache=tmp_path / "cache"))) as one:
        yield one


@pytest.fixture
def add_all(tmp_path):
    """A function that adds an address to a library, and returns the results."""
    with (
        Library(tmp_path / "library") as library,
        Sources(SourceOptions(cache=tmp_path / "cache")) as sources,
    ):
        yield lambda url, **options: list(add(library, sources, url, STOP, **options))


def serve(server, path, body, kind="text/html", status=200):
    server.routes[path] = lambda *_: (status, body, {"Content-Type": kind})
    return server.url(path)


def feed(server, path, *titles, link="", media="/media/ep1.mp3", entry_link=""):
    """Serve a feed with an entry for each title; with `media` "" they have no recordings."""
    items = "".join(
        f"<item><title>{title}</title><guid>{path}-{title}</guid>"
        + (f"<link>{entry_link}</link>" if entry_link else "")
        + (f'<enclosure url="{server.url(media)}?{title}" type="audio/mpeg"/>' if media else "")
        + "</item>"
        for title in titles
    )
    document = f"<rss version='2.0'><channel><title>Show {path}</title><link>{link}</link>{items}"
    return serve(server, path, f"{document}</channel></rss>", "application/rss+xml")


def show(server, head, path="/show", **options):
    return serve(server, path, page("A show", "", head), **options)


def alternate(href, title="", kind="application/rss+xml"):
    return f'<link rel="alternate" type="{kind}" title="{title}" href="{href}">'


# --- A show's web page ---------------------------------------------------------------------------


def test_a_shows_page_adds_its_feed(server, add_all, tmp_path):
    url = feed(server, "/feed.xml", "One", "Two")
    [result] = add_all(show(server, alternate("/feed.xml")))
    assert (result.url, len(result.new)) == (url, 2)
    assert result.warnings == (f"This is the feed of the page {server.url('/show')}.",)
    with Library(tmp_path / "library") as library:
        assert [record.url for record in library.sources()] == [url]


@pytest.mark.parametrize("kind", ["application/atom+xml", "application/feed+json"])
def test_other_kinds_of_feeds(source, server, kind):
    if kind.endswith("json"):
        entry = {"id": "1", "attachments": [{"url": "/media/ep1.mp3", "mime_type": "audio/mpeg"}]}
        document = {"version": "https://jsonfeed.org/version/1.1", "items": [entry]}
        url = serve(server, "/feed.json", json.dumps(document), kind)
    else:
        url = server.url("/atom.xml")
    found = source.addresses(show(server, alternate(url, kind=kind)), STOP)
    assert found.urls == (url,)


def test_of_several_feeds_the_podcast_is_taken(source, server):
    feed(server, "/feed/", "post", media="")
    feed(server, "/comments/feed/", "a", "b", "c", "d", "e")
    feed(server, "/feed/some", "1", "2")
    all_of_it = feed(server, "/feed/all", "1", "2", "3")
    feed(server, "/feed/opus", "1", "2", "3")
    head = (
        alternate("/feed/", "Site » Feed")
        + alternate("/feed/some", "Podcast: the latest")
        + alternate("/feed/all", "Podcast")
        + alternate("/feed/opus", "Podcast (Opus)")
        + alternate("/feed/gone", "Podcast archive")
    )
    found = source.addresses(show(server, head), STOP)
    assert (found.urls, found.each) == ((all_of_it,), False)
    others = f"{server.url('/feed/some')}, {server.url('/feed/opus')}"
    assert found.note.endswith(f" The page also names: {others}.")


def test_a_feed_of_comments_is_read_last(server):
    head = alternate("/comments/feed", "Comments") + alternate("/feed") + alternate("/podcast.xml")
    assert page_links(head, "https://a.example/").feeds == (
        "https://a.example/podcast.xml",
        "https://a.example/feed",
        "https://a.example/comments/feed",
    )


@pytest.mark.parametrize(
    ("page_link", "entry_link", "head", "taken"),
    [
        ("", "/show", "", False),  # the page of an episode in the feed
        ("/show/", "/show", "", True),  # all episodes link to the show's page
        ("", "", '<meta property="og:type" content="article">', False),
        ("", "", '<meta property="og:type" content="video.other">', False),
        ("/show", "", '<meta property="og:type" content="article">', True),
        ("", "", '<meta property="og:type" content="website">', True),
    ],
)
def test_the_page_of_an_episode_is_no_shows_page(
    source, server, page_link, entry_link, head, taken
):
    link, entry = (server.url(path) if path else "" for path in (page_link, entry_link))
    url = feed(server, "/feed.xml", "One", link=link, entry_link=entry)
    found = source.addresses(show(server, alternate(url) + head), STOP)
    assert (found is not None) is taken


@pytest.mark.parametrize("media", ["", "/cover.jpg"])
def test_a_page_whose_feed_has_no_recordings_goes_to_other_sources(source, server, media):
    server.routes["/feed.xml"] = server.routes["/atom.xml"]
    feed(server, "/blog.xml", "post", media="")
    url = show(server, alternate("/blog.xml") + alternate("/gone.xml"))
    assert source.addresses(url, STOP) is None
    assert source.matches(url) is False


def test_a_site_that_another_source_knows_by_name_is_left_to_it(server, tmp_path, monkeypatch):
    feed(server, "/feed.xml", "One")
    url = show(server, alternate("/feed.xml"))
    with Sources(SourceOptions(cache=tmp_path / "cache")) as sources:
        assert sources.addresses(url, STOP).urls == (server.url("/feed.xml"),)
        monkeypatch.setattr(type(sources.by_name("ytdlp")), "knows", lambda self, url: True)
        assert sources.addresses(url, STOP) is None


class OtherSource(Source):
    """A source of another package."""

    def __init__(self, *_):
        pass

    def matches(self, url):
        return "spotify" in url or url.endswith(".m3u")


def test_an_address_of_another_packages_source_is_left_to_it(server, tmp_path, monkeypatch):
    url = serve(server, "/list.m3u", "/media/ep1.mp3", "audio/mpegurl")
    empty = serve(server, "/empty.m3u", "#EXTM3U")
    names = ["file", "podcast", "other", "ytdlp"]
    with Sources(SourceOptions(cache=tmp_path / "cache")) as sources:
        assert sources.addresses(url, STOP) is not None
        with pytest.raises(UserError, match="lists no recordings"):
            sources.addresses(empty, STOP)
        monkeypatch.setattr(plugins, "names", lambda group: names)
        monkeypatch.setitem(sources._created, "other", OtherSource())
        for one in (url, empty, "https://open.spotify.com/show/abc"):
            assert sources.addresses(one, STOP) is None
            assert sources.for_url(one)[0] == "other"


def test_a_source_that_shows_a_page_is_an_error_of_the_day(server, tmp_path):
    """The page that a moved feed shows may name any feed."""
    url = feed(server, "/feed.xml", "One")
    other = feed(server, "/other.xml", "Two")
    with (
        Library(tmp_path / "library") as library,
        Sources(SourceOptions(cache=tmp_path / "cache")) as sources,
    ):
        list(add(library, sources, url, STOP))
        show(server, alternate(other), path="/feed.xml")
        with pytest.raises(UserError, match="There is no feed at"):
            list(add(library, sources, url, STOP))
        assert [record.url for record in library.sources()] == [url]


def test_redirects_and_the_base_of_a_page(source, server):
    url = feed(server, "/deep/feed.xml", "One")
    show(server, '<base href="/deep/">' + alternate("feed.xml"), path="/pages/show")
    assert source.addresses(server.url("/redirect?to=/pages/show"), STOP).urls == (url,)


def test_a_page_that_is_sent_in_parts_is_read_whole(source, server, clips):
    """A static file: its server sends the first bytes, as requested, and the link comes later."""
    url = feed(server, "/feed.xml", "One")
    text = page("A show", "", f"<style>{'x' * 9000}</style>{alternate(url)}")
    path = clips / "show.html"
    path.write_text(text)
    try:
        assert source.addresses(server.url("/media/show.html"), STOP).urls == (url,)
    finally:
        path.unlink()


def test_the_first_bytes_are_requested_once(source, server):
    url = server.url("/plain.html")
    assert source.addresses(url, STOP) is None
    assert source.matches(url) is False
    assert [path for _, path, *_ in server.log] == ["/plain.html"]


def test_a_page_in_another_encoding(source, server):
    url = feed(server, "/feed.xml", "One")
    body = page("Ein Gespräch", "", alternate(url)).encode("utf-16")
    assert source.addresses(serve(server, "/show", body), STOP).urls == (url,)


# --- The head of a page --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "feeds"),
    [
        ("<LINK REL=alternate TYPE=application/rss+xml HREF=/a>", ["/a"]),
        (
            "<link href='/a?b=1&amp;c=2#top' type='application/rss+xml' rel='alternate' />",
            ["/a?b=1&c=2"],
        ),
        ('<link title="a > b" rel="alternate home" type="application/rss+xml" href="/a">', ["/a"]),
        (alternate("/a") + alternate("/b") + alternate("/a"), ["/a", "/b"]),
        (alternate("/a", kind="application/json") + alternate("/b"), ["/b", "/a"]),
        (alternate("/a", kind="application/rss+xml; charset=utf-8"), ["/a"]),
        (alternate("/a", kind="application/json+oembed"), []),
        (alternate("/a", kind="text/html"), []),
        (alternate("javascript:alert(1)") + alternate("") + alternate("file:///etc/passwd"), []),
        ('<link rel="stylesheet alternate" type="application/rss+xml" href="/a">', []),
        ('<link rel="alternate" hreflang="de" href="/de/">', []),
        (f"<!-- {alternate('/a')} -->{alternate('/b')}", ["/b"]),
        (f"<script>'{alternate('/a')}'</script>{alternate('/b')}", ["/b"]),
        (f"</head><body>{alternate('/a')}", []),
        (f"<title>x{alternate('/a')}", []),
        ('<link rel="alternate" type="application/rss+xml" href="/a', []),
    ],
)
def test_links_in_the_head_of_a_page(head, feeds):
    expected = tuple(f"https://a.example{path}" for path in feeds)
    assert page_links(head, "https://a.example/show/").feeds == expected


@pytest.mark.parametrize(
    "piece",
    [
        "<link ",
        '<link a="',
        "<link a='",
        "<!--",
        "<script",
        "<title>",
        "<meta a=",
        "<",
        "< link",
        "<base",
    ],
)
def test_a_hostile_page_takes_no_time(piece):
    text = piece * (2**20 // len(piece))
    began = time.process_time()
    page_links(text, "https://a.example/")
    is_page(text)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://www.a.example/show/", "https://a.example/show?utm_source=x#top", True),
        ("https://a.example", "https://A.example/", True),
        ("https://a.example/?p=1", "https://a.example/?p=2", False),
        ("https://a.example/show", "https://a.example/show/1", False),
        ("", "https://a.example/", False),
    ],
)
def test_spellings_of_one_page(one, other, same):
    assert same_page(one, other) is same


@pytest.mark.parametrize(
    ("body", "charset", "text"),
    [
        ("ä".encode(), None, "ä"),
        ("ä".encode("latin-1"), None, "ä"),
        ("„ä“".encode("cp1252"), "iso-8859-1", "„ä“"),
        ("ä".encode("utf-16"), "utf-8", "ä"),
        (b"\xef\xbb\xbf" + "ä".encode(), "latin-1", "ä"),
        (b'<meta charset="koi8-r">' + "я".encode("koi8-r"), None, '<meta charset="koi8-r">я'),
        ("ä".encode(), "no such charset", "ä"),
        ("ä".encode(), "base64", "ä"),
        (
            5000 * b"a" + "ä".encode()[:-1],
            None,
            5000 * "a" + "\N{REPLACEMENT CHARACTER}",
        ),  # cut off
    ],
)
def test_encodings(body, charset, text):
    assert decoded(body, charset) == text


def test_the_charset_of_a_content_type():
    assert charset_of('text/html; Charset="ISO-8859-1"') == "ISO-8859-1"
    assert charset_of("text/html") is None


# --- Lists on the web ----------------------------------------------------------------------------


def opml(*urls):
    outlines = "".join(f'<outline type="rss" xmlUrl="{url}"/>' for url in urls)
    return (
        f'<?xml version="1.0"?><opml><body><outline text="News">{outlines}</outline></body></opml>'
    )


def test_opml_at_an_address_adds_each_of_its_feeds(server, add_all):
    a, b = feed(server, "/a.xml", "One"), feed(server, "/b.xml", "Two", "Three")
    gone = server.url("/gone.rss")
    results = add_all(serve(server, "/export", opml(a, gone, "/b.xml", a), "text/plain"))
    assert [(one.url, len(one.new)) for one in results] == [(a, 1), (gone, 0), (b, 2)]
    assert [bool(one.error) for one in results] == [False, True, False]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/list", "#EXTM3U\r\n#EXTINF:7,One\r\nmedia/ep1.mp3\r\n\r\n{base}/media/ep2.mp3\r\n"),
        ("/list.m3u", "media/ep1.mp3\n# a comment\n{base}/media/ep2.mp3"),
        ("/list.m3u8", "\ufeff#EXTM3U\nmedia/ep1.mp3\n{base}/media/ep2.mp3\nfile:///etc/passwd"),
        ("/list.pls", "[playlist]\nFile1=media/ep1.mp3\nTitle1=x\nFILE2={base}/media/ep2.mp3\n"),
        ("/list", "[Playlist]\nFile1=/media/ep1.mp3\nFile2={base}/media/ep2.mp3\nfile3=\n"),
    ],
)
def test_a_playlist_at_an_address(source, server, path, body):
    url = serve(server, path, body.format(base=server.base), "audio/x-mpegurl")
    expected = (server.url("/media/ep1.mp3"), server.url("/media/ep2.mp3"))
    assert source.addresses(url, STOP) == Addresses(expected, each=True)


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:7\n#EXTINF:7,\n/media/ep1.mp3\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize("path", ["/hls.m3u8", "/hls", "/late.m3u8"])
def test_an_hls_playlist_is_a_recording_and_no_list(source, server, path):
    body = "#EXTM3U\n" + "#" * 20_000 + HLS[7:] if path == "/late.m3u8" else HLS
    url = serve(server, path, body, "application/vnd.apple.mpegurl")
    assert source.addresses(url, STOP) is None
    assert source.matches(url) is False


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<opml/>", "lists no feeds"),
        ("<opml>", "is no OPML"),
        ('<opml a="&a;"/>', "is no OPML"),
        ('<!DOCTYPE opml [<!ENTITY a "b">]><opml>&a;</opml>', "is no OPML"),
        ('<!DOCTYPE opml [<!ENTITY a "b">]><opml>&a;</opml>'.encode("utf-16"), "is no OPML"),
        ("#EXTM3U\n", "lists no recordings"),
        ("#EXTM3U\nfile:///etc/passwd\n", "lists no recordings"),
        ("[playlist]\nFile1=javascript:alert(1)", "lists no recordings"),
        ("#EXTM3U\n" + "".join(f"/{n}.mp3\n" for n in range(10_001)), "10001 addresses"),
    ],
)
def test_a_list_that_cannot_be_used(source, server, body, words):
    with pytest.raises(UserError, match=words) as caught:
        source.addresses(serve(server, "/list", body), STOP)
    assert server.base in caught.value.message


def test_a_list_over_the_size_limit(source, server, monkeypatch):
    monkeypatch.setattr(address_lists, "MAX_BYTES", 2**20)
    url = serve(server, "/list", opml(*(f"https://a.example/{n}" for n in range(40_000))))
    with pytest.raises(UserError, match="longer than 1 MiB"):
        source.addresses(url, STOP)


def test_a_list_within_a_list_is_not_read(server, add_all):
    inner = serve(server, "/inner", opml("/a.xml"))
    [result] = add_all(serve(server, "/outer", opml(inner)))
    assert "list within a list" in result.error.message


def test_a_host_that_asks_to_wait_gets_no_request_for_the_rest_of_the_list(server, add_all):
    urls = [server.url(f"/status/429?{n}") for n in range(3)]
    results = add_all(serve(server, "/list", opml(*(f"feed:{url}" for url in urls))))
    assert [type(one.error).__name__ for one in results] == ["SourceBlocked"] * 3
    assert sum("/status/429" in path for _, path, *_ in server.log) == 1


def test_a_page_in_a_list_adds_its_feed(server, add_all):
    url = feed(server, "/feed.xml", "One")
    [result] = add_all(serve(server, "/list", opml(show(server, alternate(url)))))
    assert (result.url, result.error) == (url, None)


def test_transcribe_reads_lists(server, tmp_path, monkeypatch):
    a, gone = feed(server, "/a.xml", "One"), server.url("/gone.rss")
    url = serve(server, "/list", opml(a, gone))
    monkeypatch.setattr("homescribe.assemble.build_run", lambda *_, **options: options["keys"])
    results = homescribe.transcribe(url, library=tmp_path / "library", model="demo")
    assert len([next(results)]) == 1
    with pytest.raises(UserError, match="404"):
        list(results)


def test_a_file_may_be_any_of_these_lists(tmp_path, add_all, server):
    a = feed(server, "/a.xml", "One")
    for name, content in (
        ("export.xml", opml(a)),
        ("list.pls", f"[playlist]\nFile1={a}\n"),
    ):
        (tmp_path / name).write_text(content)
        [result] = add_all(str(tmp_path / name))
        assert result.url == a


# --- Private networks ----------------------------------------------------------------------------


@pytest.fixture
def public_loopback(monkeypatch):
    """127.0.0.1 stands for the internet, every other address of the loopback for a private network."""
    monkeypatch.setattr(private_networks, "is_private", lambda address: address != "127.0.0.1")


def test_a_public_list_names_nothing_in_a_private_network(source, server, public_loopback):
    names = ["http://127.0.0.2/feed", "http://nas.local/feed", "http://localhost/feed"]
    url = serve(server, "/list", opml(*names, "/a.xml"))
    found = source.addresses(url, STOP)
    assert found.urls == (server.url("/a.xml"),)
    assert found.note == "3 of its addresses are in private networks and were left out."
    with pytest.raises(UserError, match="only addresses in private networks"):
        source.addresses(serve(server, "/private", opml(*names)), STOP)


def test_the_feed_of_a_public_page_is_in_no_private_network(source, server, public_loopback):
    url = feed(server, "/feed.xml", "One").replace("127.0.0.1", "127.0.0.2")
    assert source.addresses(show(server, alternate(url)), STOP) is None
    assert not any(path == "/feed.xml" for _, path, *_ in server.log)
    public = feed(server, "/public.xml", "One")
    private = "".join(alternate(f"http://nas.local/podcast/{n}") for n in range(9))
    assert source.addresses(show(server, private + alternate(public)), STOP).urls == (public,)


# --- Podcast apps --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "show"),
    [
        ("https://podcasts.apple.com/de/podcast/a-show/id123456?l=en", ("123456", "de")),
        ("https://podcasts.apple.com/podcast/id123456", ("123456", "us")),
        ("http://itunes.apple.com/us/podcast/a-show/id123456?mt=2", ("123456", "us")),
        ("https://overcast.fm/itunes123456/a-show", ("123456", "us")),
        ("https://podcasts.apple.com/de/podcast/a-show/id123456?i=1000", None),  # an episode
        ("https://podcasts.apple.com/de/channel/id123456", None),
        ("https://apple.example/de/podcast/a-show/id123456", None),
    ],
)
def test_addresses_of_shows_in_apples_directory(url, show):
    assert podcast_apps.apple_show(url) == show


@pytest.fixture
def directory(server, monkeypatch):
    """A stand-in for Apple's directory, which returns what is in the list."""
    answers = []
    server.routes["/lookup"] = lambda *_: answers.pop()
    monkeypatch.setattr(
        podcast_apps, "LOOKUP", server.url("/lookup?id={id}&country={country}&entity=podcast")
    )
    return answers


def test_a_page_of_apple_podcasts_adds_the_feed(server, add_all, directory):
    url = feed(server, "/feed.xml", "One")
    result = {"kind": "podcast", "collectionName": "A show", "feedUrl": url}
    directory.append((200, json.dumps({"resultCount": 1, "results": [result]}), {}))
    [added] = add_all("https://podcasts.apple.com/de/podcast/a-show/id123456")
    assert (added.url, len(added.new)) == (url, 1)
    assert added.warnings == (f"This is the feed that Apple names: {url}.",)
    assert server.log[0][1] == "/lookup?id=123456&country=de&entity=podcast"


@pytest.mark.parametrize(
    "body",
    ['{"resultCount": 0, "results": []}', "", "[]", '{"results": [{"feedUrl": 1}, 2]}', "[" * 9999],
)
def test_a_show_without_a_feed_in_apples_directory(source, directory, body):
    directory.append((200, body, {}))
    with pytest.raises(UserError, match="names no feed"):
        source.addresses("https://podcasts.apple.com/de/podcast/a-show/id123456", STOP)


def test_apples_directory_does_not_answer(source, directory):
    directory.append((503, "", {}))
    with pytest.raises(UserError, match="HTTP 503"):
        source.addresses("https://podcasts.apple.com/de/podcast/a-show/id123456", STOP)


@pytest.mark.parametrize("path", ["show/abc", "intl-de/episode/abc", "embed/show/abc?x=1"])
def test_shows_at_spotify_have_no_feed(source, path):
    with pytest.raises(UserError, match="Spotify names no feed"):
        source.addresses(f"https://open.spotify.com/{path}", STOP)
