"""Keep yt-dlp's connections out of private networks. Part of the child process.

A page on the internet may redirect to, or name media at, http://127.0.0.1/ or http://192.168.1.1/. yt-dlp
connects in many places, and nearly all of them end in `socket.connect` with an address that was already
resolved, so the address is checked there. Others are:

- A proxy resolves names itself, so the name is checked: see `private_networks.check_proxied`.
- curl_cffi, if it is installed, connects by itself: the name is checked, and curl is told to refuse
  redirections to addresses of private networks.
- Programs that yt-dlp starts to download (ffmpeg, rtmpdump) cannot be checked, and are not started.

A provider of PO tokens for YouTube is a program of the user's, often on this machine. Its plug-in may connect
to it.
"""

from __future__ import annotations

import contextlib
import functools
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import requests.adapters
from requests.utils import select_proxy
from yt_dlp.downloader.external import ExternalFD
from yt_dlp.networking.common import RequestHandler
from yt_dlp.networking.exceptions import RequestError
from yt_dlp.utils import DownloadError
from yt_dlp.utils import networking as ytdlp_networking

from homescribe.sources import private_networks

Foreign = Any  # objects and functions of yt-dlp, requests and curl_cffi, which this module takes as they are
INTERNET = (socket.AF_INET, socket.AF_INET6)


class PrivateNetworkError(OSError):
    """A connection would lead into a private network. As an OSError, it lets the next address be tried."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} is on a private network")


class Guard:
    """Checks the connections of this process while `public_only` is True."""

    def __init__(self) -> None:
        self.public_only = False
        self._allowed = threading.local()  # `now`: this thread connects to a proxy or to a provider

    def install(self) -> None:
        """Replace the functions through which yt-dlp connects, for the rest of this process."""
        for name in ("connect", "connect_ex"):
            _wrap(socket.socket, name, self._connect)
        _wrap(requests.adapters.HTTPAdapter, "send", self._send_by_requests)
        _wrap(RequestHandler, "send", self._send)
        _wrap(ExternalFD, "real_download", self._start_program)
        with contextlib.suppress(ImportError):
            from yt_dlp.downloader.rtmp import RtmpFD

            _wrap(RtmpFD, "real_download", self._start_program)
        with contextlib.suppress(ImportError):
            from yt_dlp.extractor.youtube.pot.provider import PoTokenProvider

            _wrap(PoTokenProvider, "_request_webpage", self._ask_provider)

    @contextlib.contextmanager
    def _allow(self) -> Iterator[None]:
        before = getattr(self._allowed, "now", False)
        self._allowed.now = True
        try:
            yield
        finally:
            self._allowed.now = before

    @property
    def _checks(self) -> bool:
        return self.public_only and not getattr(self._allowed, "now", False)

    def _connect(self, original: Foreign, sock: socket.socket, address: Foreign) -> object:
        if self._checks and sock.family in INTERNET:
            address = _resolved(sock, address)
            if private_networks.is_private(str(address[0])):
                raise PrivateNetworkError(str(address[0]))
        return original(sock, address)

    def _send_by_requests(
        self, original: Foreign, adapter: object, request: Foreign, **options: Foreign
    ) -> object:
        """Make one request: the first, or that of a redirection."""
        proxy = select_proxy(request.url, options.get("proxies"))
        if not self._checks or not proxy:
            return original(adapter, request, **options)
        _check_proxied(request.url, proxy)
        with self._allow():
            return original(adapter, request, **options)

    def _send(self, original: Foreign, handler: Foreign, request: Foreign) -> object:
        """Make a request by one of yt-dlp's handlers; `_send_by_requests` checks most of them further."""
        if not self._checks or handler.RH_NAME == "requests":
            return original(handler, request)
        proxy = ytdlp_networking.select_proxy(request.url, handler._get_proxies(request))
        if handler.RH_NAME == "curl_cffi":
            _check_curl(handler, request, proxy)
        elif proxy:
            _check_proxied(request.url, proxy)
            with self._allow():
                return original(handler, request)
        return original(handler, request)

    def _ask_provider(self, original: Foreign, *args: object, **options: object) -> object:
        with self._allow():
            return original(*args, **options)

    def _start_program(self, original: Foreign, downloader: Foreign, *args: object) -> object:
        if not self.public_only:
            return original(downloader, *args)
        is_external = isinstance(downloader, ExternalFD)
        program = downloader.get_basename() if is_external else "rtmpdump"
        raise DownloadError(
            f"The download needs {program}, which cannot be kept out of private networks"
        )


def _wrap(owner: Foreign, name: str, replacement: Callable[..., object]) -> None:
    """Replace a method: `replacement` gets the original before the method's own arguments."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def method(*args: object, **options: object) -> object:
        return replacement(original, *args, **options)

    setattr(owner, name, method)


def _resolved(sock: socket.socket, address: Foreign) -> Foreign:
    """Return an address with a number in place of a name, so that it is the one that is connected to."""
    try:
        socket.inet_pton(sock.family, str(address[0]).partition("%")[0])
    except OSError:
        return socket.getaddrinfo(address[0], address[1], sock.family, sock.type)[0][4]
    return address


def _check_proxied(url: str, proxy: str) -> None:
    try:
        private_networks.check_proxied(url, proxy)
    except private_networks.PrivateAddressError as error:
        raise RequestError(cause=PrivateNetworkError(error.address)) from error


def _check_curl(handler: Foreign, request: Foreign, proxy: str | None) -> None:
    """Check the name, and have curl refuse redirections to private networks; older versions refuse all."""
    import curl_cffi

    _check_proxied(request.url, proxy or "")
    cookies = handler._get_cookiejar(request) if "cookie" not in request.headers else None
    session = handler._get_instance(cookiejar=cookies)
    session.allow_redirects = "safe" if hasattr(curl_cffi, "CurlFollow") else False
