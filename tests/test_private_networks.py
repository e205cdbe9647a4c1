"""Addresses that strangers publish do not lead into private networks."""

import socket
import threading
from contextlib import closing

import pytest

from homescribe.core import Item, SourceOptions
from homescribe.errors import RetryableError, UserError
from homescribe.sources import private_networks
from homescribe.sources.http_response import Access, open_url
from homescribe.sources.podcast import PodcastSource
from homescribe.sources.private_networks import is_local, is_private

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
    monkeypatch.setattr(private_networks, "is_private", lambda address: address != "127.0.0.1")


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


@pytest.mark.slow
@pytest.mark.parametrize("form", ["plain", "redirect"])
def test_an_enclosure_of_a_public_feed_is_not_in_a_private_network(
    source, server, tmp_path, public_loopback, form
):
    address = private(server, "/media/ep1.mp3")
    if form == "redirect":
        address = server.url(f"/redirect?to={address}")
    with pytest.raises(RetryableError, match="private network"):
        source.fetch(episode(address), tmp_path, STOP)
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
