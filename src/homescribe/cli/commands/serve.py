"""The command that opens the page: serve."""

from __future__ import annotations

import click

from homescribe import plugins
from homescribe.cli.options import RUN_SETTINGS, configured
from homescribe.config import Config


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    metavar="N",
    help="Where it answers; 0 takes any port that is free.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen at. Any other than this machine's own asks every visitor for a token.",
)
@click.option(
    "--token",
    envvar="HOMESCRIBE_TOKEN",
    metavar="TEXT",
    help="The token for programs and other machines. Default: a new one each time.",
)
@click.option("--open/--no-open", "open_page", default=True, help="Open a browser.")
@configured(*RUN_SETTINGS)
def serve(config: Config, port: int, host: str, token: str | None, open_page: bool) -> None:
    """Read, search and follow along in a browser; start runs and watch them.

    Only this machine can reach it, unless --host says otherwise.
    """
    try:
        from homescribe.web import server
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("homescribe"):
            raise
        raise plugins.missing_package("homescribe serve", error) from error
    server.serve(config, host=host, port=port, token=token, open_page=open_page)


COMMANDS = (serve,)
