"""Keep addresses that strangers publish out of this machine and its networks.

A feed on the internet may name or redirect to http://127.0.0.1/ or http://192.168.1.1/, or its host name may
resolve to such an address, where a request could do harm or read what is not public. Each name is resolved
here, and the connection goes to the address that was checked, so a second answer of the name server changes
nothing. A proxy resolves names itself: there the name is checked, and what it means on this machine.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import re
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy

# Host names that by convention exist only in a local network.
LOCAL_NAME = re.compile(
    r"(^|\.)(localhost|local|localdomain|lan|home|internal|intranet|home\.arpa)$"
)
NAT64 = ipaddress.ip_network("64:ff9b::/96")  # IPv4 addresses as IPv6, RFC 6052


class PrivateAddressError(Exception):
    """A public address leads into a private network."""

    def __init__(self, host: str, address: str) -> None:
        super().__init__(host, address)
        self.host = host
        self.address = address


def is_private(address: str) -> bool:
    """Whether an IP address belongs to this machine or a network that is not the internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])  # without the zone of a link-local address
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ip.ipv4_mapped or ip.sixtofour
        if embedded is None and ip in NAT64:
            embedded = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        ip = embedded or ip
    return not ip.is_global or ip.is_multicast


def is_local(host: str) -> bool:
    """Whether `host` by its form is on a private network: such an IP address, or a local name.

    The form counts, since a stranger controls what a public name resolves to.
    """
    try:
        return is_private(host)
    except ValueError:
        name = host.rstrip(".").lower()
        return "." not in name or LOCAL_NAME.search(name) is not None


def _public_addresses(host: str, port: int | None) -> list[str]:
    """Return the public IP addresses of `host`; OSError if it has no address at all."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    public = [address for address in addresses if not is_private(address)]
    if not public:
        raise PrivateAddressError(host, addresses[0])
    return public


def _connected(
    host: str, port: int | None, connect: Callable[[str], socket.socket]
) -> socket.socket:
    """Return a connection to the first public address of `host` that accepts one."""
    *others, last = _public_addresses(host, port)
    for address in others:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            return connect(address)
    return connect(last)


class _CheckedConnection(urllib3.connection.HTTPConnection):
    """Connects only to addresses that were checked."""

    def _new_conn(self) -> socket.socket:
        return _connected(self._dns_host, self.port, self._connect)

    def _connect(self, address: str) -> socket.socket:
        host, self._dns_host = self._dns_host, address
        try:
            return super()._new_conn()
        finally:
            self._dns_host = host  # for the Host header, and with HTTPS for the certificate


class _CheckedHTTPSConnection(_CheckedConnection, urllib3.connection.HTTPSConnection):
    """The same over TLS."""


class _HTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _CheckedConnection


class _HTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _CheckedHTTPSConnection


# Proxies that are chosen so that no name is looked up outside of them.
REMOTE_NAMES = ("socks5h", "socks4a")


def check_proxied(url: str, proxy: str) -> None:
    """Raise PrivateAddressError if the host of `url`, which a proxy connects to, is on a private network.

    That is known by its form, or from this machine's name server, unless the proxy is one that keeps names
    from it. What the proxy's own name server says is not known.
    """
    host = urlsplit(url).hostname or ""
    if is_local(host):
        raise PrivateAddressError(host, host)
    if urlsplit(proxy).scheme.lower() in REMOTE_NAMES:
        return
    for address in _addresses(host):
        if is_private(address):
            raise PrivateAddressError(host, address)


@functools.lru_cache(maxsize=1024)  # where no name server answers, each lookup takes seconds
def _addresses(host: str) -> tuple[str, ...]:
    """Return the IP addresses of `host`; () if this machine does not know it."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


class PublicAdapter(HTTPAdapter):
    """Makes the connections of a session of requests; raises PrivateAddressError."""

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float | None, float | None] | None = None,
        verify: bool | str = True,
        cert: str | tuple[str, str] | None = None,
        proxies: dict[str, str] | None = None,
    ) -> requests.Response:
        url = request.url or ""
        if proxy := select_proxy(url, proxies):
            check_proxied(url, proxy)
        return super().send(request, stream, timeout, verify, cert, proxies)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **options: object
    ) -> None:
        super().init_poolmanager(connections, maxsize, block, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}


def public_session() -> requests.Session:
    """Return a session that connects to public addresses only, also after redirects."""
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, PublicAdapter())
    return session
