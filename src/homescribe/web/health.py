"""Whether the server works, and what it can be asked: GET /health and GET /openapi.json."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from homescribe.assemble import open_library
from homescribe.errors import HomescribeError
from homescribe.web.json_response import JSONResponse
from homescribe.web.openapi import describe


def health(request: Request) -> Response:
    """{"status": "ok"}, or status 503 if the library cannot be opened. It needs no token."""
    try:
        open_library(request.app.state.config).close()
    except HomescribeError:
        return JSONResponse({"status": "the library cannot be opened"}, status_code=503)
    return JSONResponse({"status": "ok"})


def openapi(request: Request) -> Response:
    """The description of the API, for tools that generate clients."""
    return JSONResponse(describe(request.app.routes))


ROUTES = [Route("/health", health), Route("/openapi.json", openapi)]
