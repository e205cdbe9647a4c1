"""The library for AI assistants over HTTP: POST /mcp, with the token, as `homescribe mcp` without HTTP.

The Model Context Protocol calls this "streamable HTTP". Answers are JSON; there are no sessions and no event
streams, so GET and DELETE are refused, as the protocol allows.
"""

from __future__ import annotations

import importlib

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from homescribe import plugins


class McpEndpoint:
    """Answers requests of assistants. The SDK is loaded with the first one."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            refusal = PlainTextResponse(
                "Assistants send POST requests here.\n", 405, headers={"Allow": "POST"}
            )
            await refusal(scope, receive, send)
            return
        try:
            await run_in_threadpool(importlib.import_module, "mcp.server.streamable_http_manager")
        except ModuleNotFoundError as error:
            missing = plugins.missing_package("/mcp", error)
            response = PlainTextResponse(f"{missing.message} {missing.hint}\n", 501)
            await response(scope, receive, send)
            return
        from homescribe.assistants.mcp_server import answer_http

        app: Starlette = scope["app"]
        await answer_http(app.state.config, scope, receive, send)


ROUTES = [Route("/mcp", McpEndpoint())]
