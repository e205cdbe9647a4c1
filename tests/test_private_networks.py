"""Addresses that strangers publish do not lead into private networks."""

import socket
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from fake_youtube import FakeTube
from homescribe.core import Item, SourceOptions
from homescribe.errors import RetryableError, UserError
from homescribe.sources import http_download, private_networks
from homescribe.sources.http_response import Access, open_url
from homescribe.sources.podcast import PodcastSource
from homescribe.sources.private_networks import (
    PrivateAddressError,
    check_proxied,
    is_local,
    is_private,
)
from homescribe.sources.ytdlp.source import YtdlpSource
from loopback import page

STOP = threading.Event()  # never set


@pytest.mark.parametrize(
    ("address", "private"),
    [
        *((one, True) for one in ("127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "0.0.0.0")),
        *((one, True) for one in ("169.254.169.254", "100.64.0.1", "224.0.0.1", "255.255.255.255")),
        *((one, True) for one in ("::1", "::", "fe80::1%eth0", "fd00::1", "ff02::1")),
        *((one, True) for one in ("::ffff:127.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::")),
        *(
            (one, False)
            for one in ("1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101")
        ),
    ],
)
def test_which_addresses_are_private(address, private):
    assert is_private(address) is private


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *((one, True) for one in ("localhost", "nas", "nas.local", "NAS.LAN.", "a.home.arpa")),
        *((one, True) for one in ("127.0.0.1", "192.168.1.1", "::1")),
        *((one, False) for one in ("feeds.example.com", "local.example.com", "1.1.1.1")),
    ],
)
def test_which_hosts_are_local_by_their_form(host, local):
    assert is_local(host) is local


@pytest.fixture
def public_loopback(monkeypatch):
    """127.0.0.1 stands for the internet, every other address of the loopback for a private network."""
    monkeypatch.setattr(
        private_networks, "is_private", lambda one: one != "127.0.0.1" and is_private(one)
    )


@pytest.fixture
def source(tmp_path):
    with closing(PodcastSource(SourceOptions(cache=tmp_path / "cache"))) as one:
        yield one


def private(server, path):
    return server.url(path).replace("127.0.0.1", "127.0.0.2")


def episode(address):
    return Item(
        "podcast", "1", "https://a.example/", "t", channel_id="http://127.0.0.1/", media_url=address
    )


def test_a_public_feed_does_not_redirect_into_a_private_network(source, server, public_loopback):
    url = server.url(f"/redirect?to={private(server, '/feed.xml')}")
    for call in (source.matches, lambda url: next(source.list(url, STOP))):
        with pytest.raises(UserError, match=r"127\.0\.0\.2.* is on a private network") as caught:
            call(url)
        assert "allow_private_networks" in caught.value.hint
    assert all("/feed.xml" not in path.partition("?")[0] for _, path, *_ in server.log)


@pytest.mark.parametrize("form", ["plain", "redirect"])
def test_an_enclosure_of_a_public_feed_is_not_in_a_private_network(
    source, server, tmp_path, public_loopback, monkeypatch, form
):
    address = private(server, "/media/ep1.mp3")
    if form == "redirect":
        address = server.url(f"/redirect?to={address}")
    requests = []
    real = http_download.open_url
    monkeypatch.setattr(
        http_download, "open_url", lambda *args, **rest: requests.append(1) or real(*args, **rest)
    )
    with pytest.raises(RetryableError, match="private network"):
        source.fetch(episode(address), tmp_path, STOP)
    assert len(requests) == 1  # it would be refused each time
    assert not any(path.startswith("/media") for _, path, *_ in server.log)


def test_a_setting_allows_private_networks(server, tmp_path, public_loopback):
    options = SourceOptions(cache=tmp_path / "cache", allow_private_networks=True)
    url = server.url(
        "/redirect?to=" + server.url("/media/ep1.mp3").replace("127.0.0.1", "localhost")
    )
    with closing(PodcastSource(options)) as source:
        assert source.fetch(episode(url), tmp_path, STOP).path.exists()


def test_a_local_address_that_the_user_gave_may_lead_to_others(source, server):
    url = server.url("/redirect?to=" + server.url("/feed.xml").replace("127.0.0.1", "localhost"))
    assert source.matches(url)


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(server, monkeypatch):
    """A name server may answer with a public address first and with a private one a moment later."""
    asked, connected = [], []
    real = socket.getaddrinfo

    def rebinding(host, *args, **kwargs):
        if host != "rebinding.example":
            return real(host, *args, **kwargs)
        asked.append(host)
        return real("127.0.0.1" if len(asked) == 1 else "127.0.0.2", *args, **kwargs)

    def connect(address, *_args, **_kwargs):
        connected.append(address[0])
        raise OSError("no connection in this test")

    monkeypatch.setattr(private_networks, "is_private", lambda address: address != "127.0.0.1")
    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr("urllib3.util.connection.create_connection", connect)
    with (
        pytest.raises(RetryableError),
        open_url("http://rebinding.example/", STOP, access=Access()),
    ):
        pass
    assert connected == ["127.0.0.1"]
    assert len(asked) == 1


# --- Behind a proxy ------------------------------------------------------------------------------


@pytest.fixture
def names(monkeypatch):
    """A name server: what stands in the dictionary, and nothing else."""
    known = {}
    real = socket.getaddrinfo

    def look_up(host, *args, **kwargs):
        if host in known:
            return real(known[host], *args, **kwargs)
        if host in ("127.0.0.1", "127.0.0.2"):
            return real(host, *args, **kwargs)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    private_networks._addresses.cache_clear()
    yield known
    private_networks._addresses.cache_clear()


@pytest.mark.parametrize(
    ("host", "proxy", "refused"),
    [
        ("public.example", "http://127.0.0.1:8080", False),
        ("unknown.example", "http://127.0.0.1:8080", False),  # only the proxy may know it
        ("rebound.example", "http://127.0.0.1:8080", True),
        ("rebound.example", "socks5://127.0.0.1:1080", True),
        ("rebound.example", "socks5h://127.0.0.1:1080", False),  # no name leaves this machine
        ("nas.local", "socks5h://127.0.0.1:1080", True),
        ("192.168.1.1", "socks5h://127.0.0.1:1080", True),
        ("[::1]", "http://127.0.0.1:8080", True),
    ],
)
def test_names_behind_a_proxy(names, host, proxy, refused):
    names |= {"public.example": "1.1.1.1", "rebound.example": "10.0.0.1"}
    try:
        check_proxied(f"http://{host}/", proxy)
    except PrivateAddressError:
        assert refused
    else:
        assert not refused


@pytest.mark.parametrize("host", ["127.0.0.2", "rebound.example"])
def test_a_proxy_on_this_machine_is_used_and_what_it_connects_to_is_checked(
    server, names, monkeypatch, host
):
    names |= {"public.example": "1.1.1.1", "rebound.example": "10.0.0.1"}
    monkeypatch.setenv("http_proxy", server.base)
    monkeypatch.setenv("no_proxy", "")
    with open_url("http://public.example/feed.xml", STOP, access=Access()) as response:
        assert response.status == 200
    redirection = f"http://public.example/redirect?to=http://{host}/feed.xml"
    with (
        pytest.raises(RetryableError, match="private network"),
        open_url(redirection, STOP, access=Access()),
    ):
        pass
    assert [path for _, path, *_ in server.log] == ["http://public.example/feed.xml", redirection]


# --- Connections of yt-dlp -----------------------------------------------------------------------


@pytest.fixture
def ytdlp(server, tmp_path, public_loopback, monkeypatch):
    """yt-dlp, for which 127.0.0.1 is the internet: see tests/faketube."""
    folder = tmp_path / "faketube"
    folder.mkdir()
    for name, value in FakeTube(folder, server.base).save().environment.items():
        monkeypatch.setenv(name, value)
    with closing(YtdlpSource(SourceOptions(cache=tmp_path / "cache"))) as one:
        yield one


def recording(address):
    return Item("generic", "1", address, "t")


def requested(server, name):
    return any(name in path.partition("?")[0] for _, path, *_ in server.log)


GUARDED = """
import requests, socket, sys, types
from homescribe.sources.ytdlp.connection_guard import Guard
from yt_dlp.downloader.external import FFmpegFD
from yt_dlp.downloader.rtmp import RtmpFD
from yt_dlp.extractor.youtube.pot.provider import PoTokenProvider
from yt_dlp.networking import Request

port = int(sys.argv[1])
guard = Guard()
guard.install()

def connects(host, method="connect"):
    with socket.socket() as sock:
        try:
            return getattr(sock, method)((host, port)) in (None, 0)
        except OSError as error:
            return str(error)

def fails(downloader):
    try:
        downloader.real_download(object.__new__(downloader), "", {})
    except Exception as error:
        return str(error)

print(connects("127.0.0.1"))
guard.public_only = True
print(connects("127.0.0.1"), connects("127.0.0.1", "connect_ex"), connects("localhost"), sep="; ")
print(fails(FFmpegFD))
print(fails(RtmpFD))
provider = types.SimpleNamespace(
    ie=types.SimpleNamespace(_downloader=types.SimpleNamespace(urlopen=lambda _: connects("127.0.0.1"))),
    logger=types.SimpleNamespace(info=print),
    _validate_external_request_features=lambda _: None,
)
print(PoTokenProvider._request_webpage(provider, Request("http://127.0.0.1/"), note=False))
print(connects("127.0.0.1"))
proxies = {"http": f"http://127.0.0.1:{port}"}
print(requests.get("http://1.1.1.1/plain.html", proxies=proxies).status_code)
print(connects("127.0.0.1"))
a, b = socket.socketpair()
print(a.family == socket.AF_UNIX)
"""


def test_every_kind_of_connection_of_ytdlp_is_guarded(server):
    port = server.base.rpartition(":")[2]
    command = [sys.executable, "-c", GUARDED, port]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    refused = "127.0.0.1 is on a private network"
    assert done.stdout.splitlines() == [
        "True",
        f"{refused}; {refused}; {refused}",
        "The download needs ffmpeg, which cannot be kept out of private networks",
        "The download needs rtmpdump, which cannot be kept out of private networks",
        "True",  # of a provider of PO tokens, which is the user's own program
        refused,
        "200",  # through a proxy on this machine
        refused,
        "True",
    ]


def test_a_page_for_ytdlp_does_not_redirect_into_a_private_network(ytdlp, server):
    url = server.url(f"/redirect?to={private(server, '/audio.html')}")
    with pytest.raises(UserError, match=r"127\.0\.0\.2, which is on a private network") as caught:
        list(next(ytdlp.list(url, STOP)).items)
    assert "--allow-private-networks" in caught.value.hint
    assert not requested(server, "/audio.html")


@pytest.mark.slow
@pytest.mark.parametrize("form", ["media", "redirect", "hls"])
def test_media_of_a_public_page_is_in_no_private_network(ytdlp, server, tmp_path, form):
    media = private(server, "/media/ep1.mp3")
    if form == "redirect":
        media = server.url(f"/redirect?to={media}&x=.mp3")
    body = page("t", f'<audio src="{media}"></audio>')
    kind = "text/html"
    if form == "hls":
        body = f"#EXTM3U\n#EXT-X-TARGETDURATION:7\n#EXTINF:7,\n{media}\n#EXT-X-ENDLIST\n"
        kind = "application/vnd.apple.mpegurl"
    server.routes["/t.m3u8"] = lambda *_: (200, body, {"Content-Type": kind})
    with pytest.raises(RetryableError, match=r"127\.0\.0\.2, which is on a private network"):
        ytdlp.fetch(recording(server.url("/t.m3u8")), tmp_path / "x", STOP)
    assert not requested(server, "/media/")


@pytest.mark.parametrize(("given", "kept"), [("https://a.example/", 1), ("http://nas.local/", 3)])
def test_entries_of_a_public_page_in_a_private_network_are_left_out(ytdlp, given, kept):
    """Their address would be taken for one that the user gave, when they are downloaded."""
    addresses = [
        ("https://b.example/1", None),
        ("http://nas.local/2", None),
        ("https://b.example/3", "http://10.0.0.1/3#__youtubedl_smuggle=%7B%7D"),
    ]

    class Child:
        def request(self, request, stop):
            return {"items": [entry(*one) for one in addresses], "end": True}

    warnings = []
    access = Access.of(ytdlp.options, given)
    items = ytdlp._items(Child(), given, access, warnings, threading.Event(), STOP)
    assert [item.title for item in items] == ["1", "2", "3"][:kept]
    assert warnings == [
        f"{n} is in a private network and was left out." for n in (2, 3)[: 3 - kept]
    ]


def entry(url, media_url):
    fields = ("channel", "channel_id", "duration", "upload_date", "language", "description")
    known = {"source": "generic", "id": url[-1], "title": url[-1], "availability": "public"}
    return {**dict.fromkeys(fields), **known, "url": url, "media_url": media_url, "chapters": []}


@pytest.mark.slow
def test_a_setting_allows_ytdlp_private_networks(server, tmp_path, ytdlp):
    options = SourceOptions(cache=tmp_path / "cache", allow_private_networks=True)
    url = server.url(f"/redirect?to={private(server, '/media/ep1.mp3')}")
    # Nothing listens there.
    with closing(YtdlpSource(options)) as source, pytest.raises(RetryableError, match="refused"):
        source.fetch(recording(url), tmp_path / "x", STOP)


@pytest.mark.slow
def test_ytdlp_uses_a_proxy_and_what_it_connects_to_is_checked(
    ytdlp, server, tmp_path, monkeypatch
):
    monkeypatch.setenv("http_proxy", server.base)
    monkeypatch.setenv("no_proxy", "")
    fetched = ytdlp.fetch(recording("http://1.1.1.1/media/ep1.mp3"), tmp_path / "public", STOP)
    assert fetched.path.exists()
    url = "http://1.1.1.1/redirect?to=http://10.0.0.1/media/ep1.mp3"
    with pytest.raises(RetryableError, match=r"10\.0\.0\.1, which is on a private network"):
        ytdlp.fetch(recording(url), tmp_path / "private", STOP)
    assert not any(path.startswith("http://10.0.0.1") for _, path, *_ in server.log)
