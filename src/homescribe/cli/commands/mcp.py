"""Command that answers language models: mcp."""

from __future__ import annotations

import importlib
import sys

from homescribe import plugins
from homescribe.cli.options import command, configured
from homescribe.cli.program import message
from homescribe.config import Config


@command()
@configured()
def mcp(config: Config) -> None:
    """Let AI assistants search and read the library.

    An assistant starts this command and talks to it on standard input and output (Model Context
    Protocol, MCP). It can only read. `homescribe serve` answers the same over HTTP, at /mcp. What to
    write into the settings of an assistant: docs/guides/assistants.md
    """
    try:
        importlib.import_module("mcp")
        import anyio

        from homescribe.assistants import mcp_server
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("homescribe"):
            raise
        raise plugins.missing_package("homescribe mcp", error) from error
    if sys.stdin.isatty():
        message(
            "An assistant starts this command: see docs/guides/assistants.md. Press Ctrl-C to stop."
        )
    anyio.run(mcp_server.serve_on_stdio, config)


COMMANDS = (mcp,)
