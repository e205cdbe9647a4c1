"""Command that serves the web page: serve."""

from __future__ import annotations

import re

import click

from homescribe import plugins
from homescribe.assemble import open_library
from homescribe.cli.options import RUN_SETTINGS, command, configured
from homescribe.cli.options import origins as setting_origins
from homescribe.config import Config
from homescribe.errors import UserError


@command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    metavar="N",
    help="Port to listen on; 0 chooses a free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen on. Other machines need a token.",
)
@click.option(
    "--token",
    envvar="HOMESCRIBE_TOKEN",
    metavar="TEXT",
    help="Token for programs and other machines. Default: a new one at each start.",
)
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Another name of this machine, such as that of a proxy. May be repeated.",
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    callback=lambda context, parameter, values: [checked_origin(value) for value in values],
    help="Site whose pages may use the API, such as https://notes.example. May be repeated.",
)
@click.option("--open/--no-open", "open_page", default=True, help="Open the page in a browser.")
@configured(*RUN_SETTINGS)
def serve(
    config: Config,
    port: int,
    host: str,
    token: str | None,
    hosts: tuple[str, ...],
    origins: list[str],
    open_page: bool,
) -> None:
    """Serve a web page to search, read, listen, and start runs.

    Only this machine can open it unless --host is given. The library is created if its directory exists
    or is the default one.
    """
    try:
        from homescribe.web import server
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("homescribe"):
            raise
        raise plugins.missing_package("homescribe serve", error) from error
    # A mistyped directory must not become a library. An empty one may.
    if setting_origins()["library"] != "default" and not config.library.is_dir():
        open_library(config, must_exist=True).close()
    server.serve(
        config,
        host=host,
        port=port,
        token=token,
        open_page=open_page,
        hosts=hosts,
        origins=origins,
    )


def checked_origin(text: str) -> str:
    """Return an origin as browsers send it. Raises UserError for anything else, "*" too."""
    origin = text.strip().rstrip("/").lower()
    if not re.fullmatch(r"https?://[^\s/?#@*]+", origin):
        raise UserError(
            f"{text!r} is not an origin.",
            "Write the beginning of the site's address, such as https://notes.example.",
        )
    return origin


COMMANDS = (serve,)
