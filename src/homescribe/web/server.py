"""Serving the page on this machine until Ctrl-C."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import webbrowser
from threading import Event, Timer
from types import FrameType

import uvicorn

from homescribe.config import Config
from homescribe.errors import UserError
from homescribe.library import Library
from homescribe.web.app import build
from homescribe.web.security import is_loopback

PORT = 8765
# How long open answers, such as live progress, may take to notice that the server ends, in seconds.
GRACE = 2


def serve(config: Config, *, host: str, port: int, token: str | None, open_page: bool) -> None:
    """Answer at `host` and `port` (0: any that is free) until SIGINT or SIGTERM.

    Raises UserError when the library cannot be opened or the port is taken.
    """
    with Library(config.library):  # made, brought up to date or refused before a page is promised
        pass
    token = token or secrets.token_urlsafe(24)
    private = not is_loopback(host)
    with _listening(host, port) as listening:
        address = _address(host, listening.getsockname()[1])
        _say(address, token, private)
        closing = Event()
        app = build(config, token=token, host=host, private=private, closing=closing)
        settings = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
            proxy_headers=False,
        )
        if open_page and _has_browser():
            Timer(
                0.5, webbrowser.open, [f"{address}?token={token}" if private else address]
            ).start()
        _Server(settings, closing).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Ctrl-C is how it ends: nothing is wrong then, and no signal is raised again."""

    def __init__(self, settings: uvicorn.Config, closing: Event) -> None:
        super().__init__(settings)
        self._closing = closing

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._closing.set()
        super().handle_exit(sig, frame)
        self._captured_signals.clear()


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, because asyncio sends at once (TCP_NODELAY) only where it reads that this is TCP.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()  # by now, so that who reads the address may ask at once
    except (OSError, OverflowError) as error:
        listening.close()
        why = getattr(error, "strerror", None) or error
        raise UserError(
            f"Cannot listen at {host} port {port}: {why}.", "Choose another port: --port 0"
        ) from error
    return listening


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


def _say(address: str, token: str, private: bool) -> None:
    opening = f"{address}?token={token}" if private else address
    print(f"The library is at {opening}", file=sys.stderr)  # noqa: T201 - what the command is for
    if private:
        warning = "Everybody who has this address can read and change the library."
        print(warning, file=sys.stderr)  # noqa: T201
    print("Ctrl-C ends it.", file=sys.stderr)  # noqa: T201


def _has_browser() -> bool:
    """Whether a window can be opened; a browser in the terminal would take it over."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
