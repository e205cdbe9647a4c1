"""The server for the Model Context Protocol: on standard input and output, or for requests over HTTP.

It uses the official SDK. Every call opens the library anew, in a thread, so a run may write to it meanwhile,
and a library that is created later is found. Errors that the caller can act on are answers with their
sentence and hint; the traceback of any other goes to standard error.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import anyio.to_thread
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    ToolAnnotations,
)
from mcp_types import Tool as ListedTool
from starlette.types import Receive, Scope, Send

from homescribe import __version__
from homescribe.assemble import open_library
from homescribe.assistants.answer_size import Entry
from homescribe.assistants.tool_arguments import check_arguments, input_schema
from homescribe.assistants.tool_table import INSTRUCTIONS, NOTICE, TOOLS, Tool
from homescribe.assistants.visible_text import visible_message
from homescribe.config import Config
from homescribe.errors import HomescribeError, UserError
from homescribe.text.json_text import json_text

log = logging.getLogger(__name__)

MOST_BODY_BYTES = 100_000  # of a request over HTTP: arguments are short
INTERNAL_ERROR: Entry = {
    "error": "Internal error.",
    "hint": "What homescribe prints on standard error has the details. Please report them.",
}


async def serve_on_stdio(config: Config) -> None:
    """Answer on standard input and output until the input ends."""
    server = build_server(config)
    async with stdio_server() as (received, sent):
        await server.run(received, sent, server.create_initialization_options())


async def answer_http(config: Config, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request over HTTP. There are no sessions, so nothing is kept between requests."""
    manager = StreamableHTTPSessionManager(
        build_server(config),
        json_response=True,
        stateless=True,
        max_request_body_size=MOST_BODY_BYTES,
    )
    async with manager.run():
        await manager.handle_request(scope, receive, send)


def build_server(config: Config) -> Server[dict[str, object]]:
    """Return a server with the tools of `tool_table` over the library of `config`."""
    tools = {tool.name: tool for tool in TOOLS}

    async def list_tools(context: object, params: PaginatedRequestParams | None) -> ListToolsResult:
        return ListToolsResult(tools=[_listed(tool) for tool in TOOLS])

    async def call_tool(context: object, params: CallToolRequestParams) -> CallToolResult:
        arguments = params.arguments or {}
        return await anyio.to_thread.run_sync(_result, config, tools, params.name, arguments)

    return Server(
        "homescribe",
        version=__version__,
        title="homescribe",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _listed(tool: Tool) -> ListedTool:
    return ListedTool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=input_schema(tool.arguments),
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )


def _result(
    config: Config, tools: Mapping[str, Tool], name: str, arguments: Mapping[str, object]
) -> CallToolResult:
    """Return the answer of a tool, or its error."""
    try:
        answer = _answer(config, tools, name, arguments)
    except HomescribeError as error:
        shown = {"error": visible_message(error.message), "hint": visible_message(error.hint)}
        return _text({name: text for name, text in shown.items() if text}, is_error=True)
    except Exception:
        log.exception("The tool %s failed.", name[:100])
        return _text(INTERNAL_ERROR, is_error=True)
    return _text(answer, is_error=False)


def _answer(
    config: Config, tools: Mapping[str, Tool], name: str, arguments: Mapping[str, object]
) -> Entry:
    if name not in tools:
        raise UserError(f"There is no tool {name[:100]!r}.", f"Tools: {', '.join(tools)}.")
    given = check_arguments(tools[name].arguments, arguments)
    with open_library(config, read_only=True) as library:
        return tools[name].answer(library, given)


def _text(answer: Entry, *, is_error: bool) -> CallToolResult:
    """Return an answer or an error as JSON. Messages may have names of strangers in them, too."""
    text = json_text({"notice": NOTICE, **answer})
    return CallToolResult(content=[TextContent(type="text", text=text)], is_error=is_error)
