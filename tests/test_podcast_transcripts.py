"""Transcripts that feeds offer (podcast:transcript): which one is taken, over HTTP on the loopback."""

import json
import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest

from homescribe import Library
from homescribe.core import Item, SourceOptions, TranscriptLink
from homescribe.errors import Cancelled, PermanentError, RetryableError, SourceBlocked
from homescribe.sources import podcast_transcripts, private_networks
from homescribe.sources.podcast import PodcastSource

STOP = threading.Event()  # never set

VTT = "WEBVTT\n\n00:00.500 --> 00:03.000\n<v Ann>Welcome to the show.</v>\n"
SRT = "1\n00:00:00,500 --> 00:00:03,000\nWelcome to the show.\n"
HTML = "<cite>Ann</cite><time>0:00</time><p>Welcome to the show.</p>"
JSON = json.dumps(
    {
        "version": "1.0.0",
        "segments": [
            {"speaker": "Ann", "startTime": 0.5, "endTime": 3.0, "body": "Welcome to the show."}
        ],
    }
)


@pytest.fixture
def source(tmp_path):
    with closing(PodcastSource(SourceOptions(cache=tmp_path / "cache"))) as one:
        yield one


def serve(server, path, body, kind="application/rss+xml", status=200, **headers):
    server.routes[path] = lambda *_: (status, body, {"Content-Type": kind, **headers})
    return server.url(path)


def feed(elements, *, prefix="podcast", namespace="https://podcastindex.org/namespace/1.0"):
    return f"""<?xml version="1.0"?><rss version="2.0" xmlns:{prefix}="{namespace}"><channel>
    <title>Show</title><language>en-us</language>
    <{prefix}:transcript url="https://x.example/of-the-show.vtt" type="text/vtt"/>
    <item><title>One</title><guid>1</guid>{elements}
    <enclosure url="https://x.example/1.mp3" type="audio/mpeg"/></item>
    <item><title>Two</title><guid>2</guid><enclosure url="https://x.example/2.mp3" type="audio/mpeg"/></item>
    </channel></rss>"""


def items(source, url):
    return list(next(source.list(url, STOP)).items)


def episode(server, *links, **more):
    known = [link if isinstance(link, TranscriptLink) else TranscriptLink(link) for link in links]
    return Item(
        *("podcast", "1", "https://x.example/1", "t"),
        channel_id=server.url("/feed.xml"),
        transcript_links=tuple(known),
        **more,
    )


def captions(source, item, tmp_path):
    found = source.captions(item, tmp_path / "x", STOP)
    assert found.item == item
    return found.transcript


# --- In the feed ---------------------------------------------------------------------------------

ELEMENTS = """
<podcast:transcript url="/t/1.html" type="text/html; charset=utf-8"/>
<podcast:transcript type="Application/SRT" url="https://x.example/1.srt?token=s" language="en"
    rel="captions"/>
<podcast:transcript url="https://x.example/1.de.vtt" type="text/vtt" language="de"></podcast:transcript>
<podcast:transcript url="javascript:alert(1)" type="text/vtt"/><podcast:transcript type="text/vtt"/>
<podcast:transcript url="/t/1.html" type="text/plain"/>
"""


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"prefix": "p"},
        {
            "namespace": "https://github.com/Podcastindex-org/podcast-namespace/blob/main/docs/1.0.md",
        },
    ],
)
def test_every_transcript_of_an_episode_is_kept(source, server, changes):
    elements = ELEMENTS.replace("podcast:", f"{changes.get('prefix', 'podcast')}:")
    one, two = items(source, serve(server, "/cast", feed(elements, **changes)))
    assert one.transcript_links == (
        TranscriptLink(server.url("/t/1.html"), "text/html"),
        TranscriptLink("https://x.example/1.srt?token=s", "application/srt", "en", "captions"),
        TranscriptLink("https://x.example/1.de.vtt", "text/vtt", "de"),
    )
    assert two.transcript_links == ()


def test_a_damaged_feed_keeps_its_transcripts(source, server):
    damaged = feed(ELEMENTS).replace("<title>One", "<title>One & <b>")
    one, _ = items(source, serve(server, "/cast", damaged))
    assert [link.type for link in one.transcript_links][1:] == ["application/srt", "text/vtt"]


def test_attachments_of_a_json_feed(source, server):
    attachments = [
        {"url": "https://x.example/1.mp3", "mime_type": "audio/mpeg"},
        {"url": "https://x.example/1.vtt", "mime_type": "text/VTT"},
        {"url": "https://x.example/1.pdf", "mime_type": "application/pdf"},
    ]
    document = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": "Show",
        "items": [{"id": "1", "title": "One", "attachments": attachments}],
    }
    [one] = items(source, serve(server, "/cast", json.dumps(document), "application/feed+json"))
    assert one.media_url == "https://x.example/1.mp3"
    assert one.transcript_links == (TranscriptLink("https://x.example/1.vtt", "text/vtt"),)


def test_a_known_episode_gets_the_transcripts_of_a_later_listing(source, server, tmp_path):
    url = serve(server, "/cast", feed(""))
    with Library(tmp_path / "library") as library:
        for elements, expected in [("", 0), (ELEMENTS, 3), ("", 3)]:
            serve(server, "/cast", feed(elements))
            listing = next(source.list(url, STOP))
            library.record("podcast", listing, list(listing.items))
            [one] = [record.item for record in library.items() if record.item.title == "One"]
            assert len(one.transcript_links) == expected


# --- Which file ----------------------------------------------------------------------------------


def test_the_best_file_comes_first():
    kinds = ["text/plain", "text/html", "application/x-subrip", "text/vtt", "application/json", ""]
    links = [TranscriptLink(f"https://x.example/{n}", kind) for n, kind in enumerate(kinds)]
    links.append(TranscriptLink("https://x.example/6", "text/vtt", rel="captions"))
    ranked = podcast_transcripts.ranked(links, "en-us")
    assert [link.url[-1] for link in ranked] == ["4", "6", "3", "2", "1", "0", "5"]


def test_translations_are_not_taken():
    links = [
        TranscriptLink(f"https://x.example/{tag}", "text/vtt", tag) for tag in ("de", "en", None)
    ]
    assert [one.language for one in podcast_transcripts.ranked(links, "en-us")] == ["en", None]
    assert [one.language for one in podcast_transcripts.ranked(links, None)] == ["de", "en", None]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (VTT, "text/vtt"),
        (SRT, "application/srt"),
        (JSON, "application/json"),
        (HTML, "text/html"),
        (VTT, "text/plain"),  # the type is wrong
    ],
)
def test_a_transcript_in_each_format(source, server, tmp_path, body, kind):
    link = TranscriptLink(serve(server, "/1", body, kind), kind)
    found = captions(source, episode(server, link, duration=3.0, language="en-us"), tmp_path)
    assert (found.engine, found.model, found.language) == ("captions", "manual", "en")
    assert found.text == "Welcome to the show."
    assert (found.duration, found.warnings) == (3.0, ())
    assert [one.name for one in found.speakers] == ([] if body == SRT else ["Ann"])


def test_a_file_that_cannot_be_used_is_followed_by_the_next(source, server, tmp_path):
    links = [
        TranscriptLink(server.url("/status/404"), "application/json"),
        TranscriptLink(serve(server, "/1", "no times", "text/plain"), "text/vtt"),
        TranscriptLink(serve(server, "/2", SRT, "text/plain"), "application/srt"),
        TranscriptLink(serve(server, "/3", VTT, "text/plain"), "text/html"),
    ]
    assert captions(source, episode(server, *links), tmp_path).text == "Welcome to the show."
    assert [path for _, path, *_ in server.log] == ["/status/404", "/1", "/2"]


def test_without_a_transcript_no_request_is_made(source, server, tmp_path):
    assert source.captions(episode(server), tmp_path / "x", STOP) is None
    assert captions(source, episode(server, server.url("/status/404")), tmp_path) is None
    assert [path for _, path, *_ in server.log] == ["/status/404"]
    assert source.caption_key(episode(server)) == ""
    assert source.caption_key(episode(server, "https://t.example/1.vtt")) == "t.example captions"
    assert source.caption_pause == (0.0, 1.0)


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        ("/status/429", SourceBlocked, "too many requests"),
        ("/status/503", RetryableError, "503"),
        ("/status/403", RetryableError, "refuses access"),
        ("/status/401", PermanentError, "subscription or a password"),
        ("/untimed", PermanentError, "has no times"),
    ],
)
def test_errors(source, server, tmp_path, path, kind, message):
    serve(server, "/untimed", "Welcome to the show.", "text/plain")
    with pytest.raises(kind, match=message):
        captions(source, episode(server, server.url(path)), tmp_path)


def test_a_file_over_the_limit_is_not_read_to_its_end(source, server, tmp_path, monkeypatch):
    url = serve(server, "/1", VTT + " " * 3_000_000, "text/vtt")
    monkeypatch.setattr(podcast_transcripts.caption_files, "MAX_BYTES", 1000)
    with pytest.raises(PermanentError, match="captions are larger than"):
        captions(source, episode(server, url), tmp_path)


def test_a_transcript_of_a_public_feed_is_not_in_a_private_network(
    source, server, tmp_path, monkeypatch
):
    real = private_networks.is_private
    monkeypatch.setattr(
        private_networks, "is_private", lambda one: one != "127.0.0.1" and real(one)
    )
    there = serve(server, "/1", VTT, "text/vtt").replace("127.0.0.1", "127.0.0.2")
    for url in (there, server.url(f"/redirect?to={there}")):
        one = replace(episode(server, url), channel_id="http://127.0.0.1/")
        with pytest.raises(RetryableError, match="private network"):
            captions(source, one, tmp_path)
    assert not any(path == "/1" for _, path, *_ in server.log)


def test_adverts_that_the_feed_does_not_count(source, server, tmp_path):
    url = serve(server, "/1", VTT.replace("00:03.000", "10:03.000"), "text/vtt")
    found = captions(source, episode(server, url, duration=720.0), tmp_path)
    assert found.warnings == (
        "The publisher's captions end 1:57 before the recording: their end is missing, or advertisements "
        "in the recording shift their times.",
    )


def test_a_stop_ends_a_request(source, server, tmp_path):
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        source.captions(episode(server, server.url("/stall")), tmp_path, stop)
    assert time.monotonic() - began < 5
