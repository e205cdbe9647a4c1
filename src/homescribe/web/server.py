"""The server behind `homescribe serve`: runs until Ctrl-C."""

from __future__ import annotations

import html
import os
import secrets
import socket
import sys
import webbrowser
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from threading import Event, Timer
from types import FrameType
from urllib.parse import quote

import uvicorn

from homescribe import config as config_module
from homescribe.assemble import open_library
from homescribe.config import Config
from homescribe.errors import UserError
from homescribe.text.log_lines import SafeFormatter
from homescribe.web.app import build_app
from homescribe.web.security import is_loopback

LOGGING = {  # of uvicorn: without secrets in its tracebacks
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"safe": {"()": SafeFormatter}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "safe"}},
    "loggers": {"uvicorn": {"handlers": ["stderr"], "propagate": False}},
}
SHUTDOWN_SECONDS = 2  # for open responses, such as event streams, to end
BROWSER_DELAY = 0.5  # seconds until the server accepts requests


def serve(
    config: Config,
    *,
    host: str,
    port: int,
    token: str | None,
    open_page: bool,
    hosts: Collection[str] = (),
    origins: Collection[str] = (),
) -> None:
    """Serve at `host` and `port` (0: any free port) until SIGINT or SIGTERM.

    Args:
        hosts, origins: as for SecurityMiddleware.

    Raises UserError when the library cannot be opened or the port is taken.
    """
    with open_library(config):  # created, migrated or refused before the address is printed
        pass
    chosen = token is not None
    token = token or secrets.token_urlsafe(24)
    token_required = not is_loopback(host)
    with _bind(host, port) as listener:
        plain = _address(host, listener.getsockname()[1])
        # On this machine reading needs no token. The fragment is not sent; the page sends the token in it.
        begin = "?token=" if token_required else "#token="
        address = f"{plain}{begin}{quote(token, safe='')}"
        _print_address(plain if chosen else address, token_required, chosen)
        closing = Event()
        app = build_app(
            config,
            token=token,
            host=host,
            token_required=token_required,
            config_file=config_module.path(),
            hosts=hosts,
            origins=origins,
            closing=closing,
        )
        settings = uvicorn.Config(
            app,
            log_config=LOGGING,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            proxy_headers=False,
        )
        opener = config.library / "open-page.html"
        if open_page and _has_browser():
            Timer(BROWSER_DELAY, _open_page, [opener, address]).start()
        try:
            _Server(settings, closing).run(sockets=[listener])
            stopped = (
                "\nStopped." if sys.stderr.isatty() else "Stopped."
            )  # after the ^C of a terminal
            print(stopped, file=sys.stderr)  # noqa: T201
        finally:
            with suppress(OSError):
                opener.unlink()


def _open_page(opener: Path, address: str) -> None:
    """Open `address` in a browser, through the file `opener` that only its owner can read.

    Every account on the machine sees the arguments of a browser's process, so the token must not be in them.
    """
    content = (
        f'<!doctype html><meta http-equiv="refresh" content="0; url={html.escape(address)}">\n'
    )
    with suppress(OSError):
        opener.unlink(missing_ok=True)
        number = os.open(opener, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            file.write(content)
        webbrowser.open(opener.absolute().as_uri())


class _Server(uvicorn.Server):
    """Ctrl-C ends the server normally: uvicorn would raise the signal again afterwards."""

    def __init__(self, settings: uvicorn.Config, closing: Event) -> None:
        super().__init__(settings)
        self._closing = closing

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._closing.set()
        super().handle_exit(sig, frame)
        self._captured_signals.clear()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets whose protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()  # before the address is printed, so that a client may connect at once
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"Cannot listen on {host} port {port}: {reason}.", "Choose another port: --port 0"
        ) from error
    return listener


def _address(host: str, port: int) -> str:
    shown = _network_address(host) if host in ("0.0.0.0", "::") else host
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


def _network_address(host: str) -> str:
    """This machine's address in the local network: a phone may not know its name.

    It is that of the interface which leads to other networks. Connecting a datagram socket sends nothing.
    """
    family, elsewhere = (
        (socket.AF_INET6, "2001:db8::1") if host == "::" else (socket.AF_INET, "192.0.2.1")
    )
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            return str(probe.getsockname()[0])
    except OSError:  # no network
        return socket.gethostname()


def _print_address(address: str, token_required: bool, chosen: bool) -> None:
    """Print the address; it contains the token unless the user has `chosen` one, which is not printed."""
    lines = [f"Serving {address}"]  # on one line of a terminal with 80 columns
    if chosen and token_required:
        lines.append("To open it, add ?token= and the token that you set.")
    elif chosen:
        lines.append("To change anything there, add #token= and the token that you set.")
    elif not token_required:
        lines.append("Without the part after #, the page is read-only.")
    if token_required:
        who = "who has the token" if chosen else "who has this address"
        lines.append(f"Everyone {who} can read and change the library.")
    lines.append("Press Ctrl-C to stop.")
    print("\n".join(lines), file=sys.stderr, flush=True)  # noqa: T201 - the command's output


def _has_browser() -> bool:
    """Whether a browser can open a window. A text browser would take over this terminal."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
