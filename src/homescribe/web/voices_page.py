"""The page of the voices that are known by a name."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse

from homescribe.assemble import open_library
from homescribe.web.jinja import render


def voices(request: Request) -> HTMLResponse:
    """The named voices: what is known of each, rename and forget."""
    with open_library(request.app.state.config) as library:
        found = library.voices()
    return render(request, "voices.html", voices=found)
