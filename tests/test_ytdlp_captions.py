"""Captions by the real yt-dlp in a real child process, against a YouTube on the loopback."""

import threading
from contextlib import closing
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from fake_youtube import FakeTube
from homescribe.captions import caption_files
from homescribe.core import Item, SourceOptions
from homescribe.errors import PermanentError, RetryableError, SourceBlocked
from homescribe.sources.ytdlp import caption_tracks, download_limits
from homescribe.sources.ytdlp.source import YtdlpSource
from loopback import LoopbackServer

STOP = threading.Event()  # never set
VTT = "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n\n"


@pytest.fixture(scope="module")
def environment(clips, tmp_path_factory):
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
    _, folder = environment
    fake = FakeTube(folder, server.base)
    fake.save()
    (folder / "faketube.log").write_text("")
    return fake


def item(tube, number, **more):
    return Item("youtube", tube.id(number), tube.watch(number), f"Fake video {number}", **more)


def requested(server):
    """[(language, kind, format, tlang)] of the requests for captions."""
    queries = [parse_qs(urlsplit(path).query) for _, path, *_ in server.log if "/captions" in path]
    names = ("lang", "kind", "fmt", "tlang")
    return [tuple(query.get(name, [None])[0] for name in names) for query in queries]


def captions(source, tube, tmp_path, number=1, **more):
    return source.captions(item(tube, number, **more), tmp_path / "x", STOP)


def test_captions_take_one_request_of_the_page_and_one_of_the_file(source, tube, server, tmp_path):
    tube.captions = {"*": "manual:en auto:en"}
    tube.save()
    found = captions(source, tube, tmp_path)
    assert tube.requests == [f"video {tube.id(1)}"]
    assert requested(server) == [("en", None, "json3", None)]
    assert len(server.log) == 1
    transcript = found.transcript
    assert (transcript.engine, transcript.model, transcript.language) == (
        "captions",
        "manual",
        "en",
    )
    assert transcript.text == tube.words(1)
    assert transcript.duration == 7.0
    assert list((tmp_path / "x").iterdir()) == []


def test_the_page_completes_the_item(source, tube, tmp_path):
    tube.captions = {"*": "auto:en"}
    tube.save()
    found = captions(source, tube, tmp_path).item
    assert found.key == item(tube, 1).key
    assert (found.channel, found.duration, found.upload_date) == ("Fake Channel", 7.0, "2026-02-02")
    assert (found.description, found.language) == ("About video 1", "en")
    assert [chapter.title for chapter in found.chapters] == ["Intro", "Body"]
    assert found == source.fetch(item(tube, 1), tmp_path / "audio", STOP).item


def test_automatic_captions_have_the_times_of_words(source, tube, server, tmp_path):
    tube.captions = {"*": "auto:en"}
    tube.save()
    transcript = captions(source, tube, tmp_path).transcript
    assert requested(server) == [("en", "asr", "json3", None)]
    assert transcript.model == "automatic"
    assert transcript.text == tube.words(1)
    words = [word for segment in transcript.segments for word in segment.words]
    assert "".join(word.word for word in words).strip() == tube.words(1)
    step = 7.0 / len(words)
    assert [word.start for word in words] == pytest.approx(
        [number * step for number in range(len(words))], abs=0.002
    )


@pytest.mark.parametrize(
    ("tracks", "listed", "expected"),
    [
        ("manual:en", None, ("en", None)),
        ("auto:en", None, ("en", "asr")),
        ("manual:fr auto:en", None, ("en", "asr")),  # a translation by a person
        ("manual:fr", None, None),
        ("manual:es auto:es auto:en", None, ("es", None)),  # people speak two languages
        ("manual:en manual:en-GB auto:en", "en-GB", ("en-GB", None)),
        ("manual:pt-BR auto:pt", "pt", ("pt-BR", None)),
        ("", None, None),
    ],
)
def test_which_track_is_taken(source, tube, server, tmp_path, tracks, listed, expected):
    """The recording of the fake YouTube is in English, unless automatic captions say more."""
    tube.captions = {"*": tracks}
    tube.save()
    transcript = captions(source, tube, tmp_path, language=listed).transcript
    assert [one[:2] for one in requested(server)] == ([expected] if expected else [])
    assert (transcript is None) is (expected is None)
    assert not [path for _, path, *_ in server.log if "chat" in path]
    if expected:
        assert transcript.language == expected[0][:2]


@pytest.mark.parametrize(
    ("scenario", "kind", "message"),
    [
        ("bot", SourceBlocked, "as a bot"),
        ("429", SourceBlocked, "rate limit"),
        ("captions-429", SourceBlocked, "rate limit"),
        ("captions-403", RetryableError, "403"),
        ("captions-404", PermanentError, "404"),
        ("captions-500", RetryableError, "500"),
        ("captions-empty", RetryableError, "sent an empty file"),
        ("captions-token", RetryableError, "PO token"),
        ("captions-private", RetryableError, "private network"),
        ("private", PermanentError, "Private"),
        ("upcoming", RetryableError, "has not begun|begin in"),
    ],
)
def test_errors_are_those_of_a_download(source, tube, tmp_path, scenario, kind, message):
    tube.captions = {"*": "auto:en"}
    tube.scenarios = {tube.id(1): scenario}
    tube.save()
    with pytest.raises(kind, match=message) as caught:
        captions(source, tube, tmp_path)
    assert "homescribe retry" not in caught.value.hint  # the item has not failed


def test_a_missing_token_is_a_fact_about_one_video(source, tube, tmp_path):
    tube.captions = {tube.id(1): "auto:en"}
    tube.scenarios = {tube.id(1): "captions-token"}
    tube.save()
    with pytest.raises(RetryableError, match="PO token"):
        captions(source, tube, tmp_path)
    assert captions(source, tube, tmp_path, number=2).transcript is None


def test_files_over_the_limit(source, tube, tmp_path, monkeypatch):
    tube.captions = {"*": "auto:en"}
    tube.save()
    monkeypatch.setattr(caption_files, "MAX_BYTES", 300)
    with pytest.raises(PermanentError, match="captions are larger than"):
        captions(source, tube, tmp_path)
    monkeypatch.setattr(download_limits.CaptionLimits, "most_bytes", 1000)
    limits = download_limits.CaptionLimits(tmp_path / "x")
    limits.check(0.1, {"downloaded": 1000, "endless": True})
    with pytest.raises(PermanentError, match="captions are larger than"):
        limits.check(0.1, {"downloaded": 1001, "endless": True})
    assert not (tmp_path / "x").exists()


def test_captions_have_a_rate_limit_of_their_own(tube):
    one = item(tube, 1)
    assert YtdlpSource.caption_key(one) == "youtube captions"
    assert YtdlpSource.rate_limit_key(one) == "youtube"
    assert YtdlpSource.caption_key(replace(one, source="vimeo")) == "vimeo captions"
    # Each request takes the page of the video: YouTube counts them as it counts downloads.
    assert YtdlpSource.caption_pause == YtdlpSource.pause == (6.0, 14.0)


def test_a_site_that_looks_for_captions_only_if_they_are_wanted(source, tube, tmp_path):
    tube.save()
    talk = Item("fakesite", "1", "https://fakesite.example/1", "Talk")
    found = source.captions(talk, tmp_path / "x", STOP).transcript
    assert (found.model, found.language, found.text) == ("automatic", "de", "Guten Tag.")
    assert tube.requests == ["site 1", "subtitles", "automatic"]
    source.fetch(talk, tmp_path / "audio", STOP)
    assert tube.requests[3:] == ["site 1"]


def test_a_page_that_no_extractor_knows(source, server, tmp_path):
    """The captions of an HTML5 player, in a format without times of words."""
    body = (
        '<html><title>Talk</title><video src="/media/ep1.mp3">'
        '<track kind="captions" srclang="de" src="/1.vtt"></video></html>'
    )
    server.routes["/talk.html"] = lambda *_: (200, body, {})
    vtt = "WEBVTT\n\n00:01.000 --> 00:02.500\n<v Ann>Guten Tag.\n"
    server.routes["/1.vtt"] = lambda *_: (200, vtt, {"Content-Type": "text/vtt"})
    with closing(source.list(server.url("/talk.html"), STOP)) as listings:
        [one] = next(listings).items
    found = source.captions(one, tmp_path / "x", STOP).transcript
    assert (found.model, found.language, found.text) == ("manual", "de", "Guten Tag.")
    assert [speaker.name for speaker in found.speakers] == ["Ann"]


def test_captions_in_parts_of_a_stream(source, server, tmp_path):
    """HLS sends WebVTT in segments, each with a header of its own."""
    kind = {"Content-Type": "application/vnd.apple.mpegurl"}
    documents = {
        "/talk.m3u8": "#EXTM3U\n"
        '#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID="s",NAME="Deutsch",LANGUAGE="de",URI="s.m3u8"\n'
        '#EXT-X-STREAM-INF:BANDWIDTH=100000,CODECS="mp4a.40.2",SUBTITLES="s"\naudio.m3u8\n',
        "/s.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n1.vtt\n#EXTINF:4,\n2.vtt\n#EXT-X-ENDLIST\n",
        "/1.vtt": VTT
        + "00:01.000 --> 00:02.500\nGuten Tag.\n\n00:03.000 --> 00:05.000\nAuf beiden Seiten.\n",
        "/2.vtt": VTT
        + "00:03.000 --> 00:05.000\nAuf beiden Seiten.\n\n00:06.000 --> 00:07.000\nEnde.\n",
        "/audio.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:8\n#EXTINF:8,\n/media/ep1.m4a\n#EXT-X-ENDLIST\n",
    }
    for path, body in documents.items():
        server.routes[path] = lambda *_, body=body: (200, body, kind)
    talk = Item("generic", "1", server.url("/talk.m3u8"), "Talk")
    found = source.captions(talk, tmp_path / "x", STOP).transcript
    assert [(segment.start, segment.text) for segment in found.segments] == [
        (1.0, " Guten Tag."),
        (3.0, " Auf beiden Seiten."),
        (6.0, " Ende."),
    ]
    assert (found.language, list((tmp_path / "x").iterdir())) == ("de", [])


# --- Which track ---------------------------------------------------------------------------------


def files(*kinds, **more):
    return [{"ext": kind, "url": f"https://x.example/a.{kind}", **more} for kind in kinds]


def chosen(listed=None, **info):
    track, unsure = caption_tracks.choose(info, listed)
    return (track.tag, track.automatic, track.file["ext"], unsure) if track else None


def test_the_best_format_of_a_track():
    assert chosen(subtitles={"en": files("srv3", "ttml", "vtt", "ass", "srt")})[2] == "vtt"
    assert chosen(subtitles={"en": files("ass", "json", "xml")}) is None
    assert chosen(subtitles={"en": [{"ext": "srt", "data": "1"}]})[2] == "srt"
    assert chosen(subtitles={"en": [{"ext": "srt"}], "de": None}) is None


def test_sites_that_do_not_say_which_language_is_spoken():
    vtt = files("vtt")
    assert chosen(subtitles={"de": vtt}) == ("de", False, "vtt", False)
    assert chosen(subtitles={"de": vtt, "fr": vtt}) == ("de", False, "vtt", True)
    assert chosen(subtitles={"de": vtt, "fr": vtt}, language="fr") == ("fr", False, "vtt", False)
    assert chosen("fr-CA", subtitles={"deu": vtt, "fra": vtt}) == ("fra", False, "vtt", False)
    assert chosen(subtitles={"en": vtt, "en-x-autogen": vtt})[:2] == ("en-x-autogen", True)
    assert chosen(subtitles={"en-forced": vtt, "comments": vtt, "danmaku": vtt}) is None
    assert chosen(automatic_captions={"en": vtt, "de": vtt}) is None
    assert chosen(automatic_captions={"en": vtt, "de": vtt}, language="de")[0] == "de"


def test_machine_translations_are_never_taken():
    translated = [{"ext": "json3", "url": "https://x.example/a?lang=en&tlang=de"}]
    assert chosen(automatic_captions={"de": translated}, language="de") is None
    both = {"de": translated, "en": files("json3"), "en-orig": files("json3")}
    assert chosen("de", automatic_captions=both)[0] == "en-orig"
