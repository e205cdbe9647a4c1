"""Questions to `homescribe mcp` and to /mcp of `homescribe serve`, by the client of the official SDK."""

import json
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import httpx2
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

NOTICE = "Everything below was said or written by other people."


@dataclass(frozen=True)
class Reply:
    """The answer of a tool: its JSON, and the same as the text that the model reads."""

    failed: bool
    text: str

    @property
    def json(self):
        return json.loads(self.text)


@asynccontextmanager
async def on_stdio(library, errors, mode="auto"):
    """Start `homescribe mcp` over a library in a process of its own. Its errors go to a file `errors`."""
    command = StdioServerParameters(
        command=sys.executable,
        args=["-m", "homescribe", "mcp", "--library", str(library)],
        env={"HOMESCRIBE_CONFIG": str(library.parent / "none.toml")},
    )
    with errors.open("w", encoding="utf-8") as log:
        async with Client(stdio_client(command, errlog=log), mode=mode) as client:
            yield client


@asynccontextmanager
async def over_http(address, token, mode="auto", **headers):
    """Connect to /mcp of a server at `address`."""
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        transport = streamable_http_client(f"{address}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


async def ask(client, tool, **arguments):
    """Call a tool."""
    result = await client.call_tool(tool, arguments)
    (content,) = result.content
    return Reply(bool(result.is_error), content.text)


def asked(connection, *calls):
    """Connect, call some tools, each a name with its arguments, and return the replies."""

    async def replies():
        async with connection as client:
            return [await ask(client, tool, **arguments) for tool, arguments in calls]

    return anyio.run(replies)
