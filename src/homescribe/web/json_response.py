"""Responses in JSON: a terminal shows them as safely as the output of `--json`."""

from __future__ import annotations

import starlette.responses

from homescribe.text.json_text import json_text


class JSONResponse(starlette.responses.JSONResponse):
    """A response in JSON, with the characters escaped that could control a terminal (`curl`)."""

    def render(self, content: object) -> bytes:
        return json_text(content).encode()
