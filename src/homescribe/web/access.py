"""Whether a browser may change the library: pages that may not hide what they cannot do, and say why.

A server that only this machine can reach answers reading requests without the token, which the page keeps in
its local storage and sends with changes. The server therefore does not know whether a page has it: the
script access.js decides that before the page is painted, by whether there is a token. Then app.js checks the
token with GET /api/access, once for each start of the server.
"""

from __future__ import annotations

from typing import Literal

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from homescribe.web.json_response import JSONResponse
from homescribe.web.security import has_token
from homescribe.web.storage import is_read_only

Access = Literal["write", "unknown", "no-storage"]


def page_access(request: Request) -> Access:
    """Return what the page that answers `request` may do; "unknown": its script has to find out."""
    if is_read_only(request.app.state.config.library):
        return "no-storage"
    return "write" if has_token(request) else "unknown"


def access(request: Request) -> Response:
    """{"write"}: whether this request has the token, without which nothing can be changed."""
    return JSONResponse({"write": has_token(request)})


ROUTES = [Route("/api/access", access)]
