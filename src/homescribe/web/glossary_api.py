"""The glossary of the next run: GET and PUT /api/glossary."""

from __future__ import annotations

import os
from typing import TypedDict

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from homescribe.assemble import glossary_note
from homescribe.config import Config
from homescribe.errors import UserError
from homescribe.glossary import glossary_file, glossary_text, write_glossary
from homescribe.text.glossary_lines import Glossary, parse_glossary
from homescribe.text.sanitize import utf8_safe
from homescribe.web.json_body import json_object, required_string
from homescribe.web.json_response import JSONResponse


class GlossaryState(TypedDict):
    """The glossary as the page shows it."""

    text: str
    file: str
    names: int
    rules: int
    note: str | None  # about names that do not fit into the prompt, or what is not valid
    can_change: bool  # False: the file is there, and is no glossary


def state(config: Config) -> GlossaryState:
    """Return the glossary of `config`, an empty one with a note if it cannot be read or is not valid."""
    text, file, can_change = "", glossary_file(config), True
    try:
        text = glossary_text(config)
        glossary, note = parse_glossary(text, file.name), glossary_note(config)
    except UserError as error:  # a line that is not valid, or a missing file, can be put right here
        glossary, note = Glossary(), f"{error.message} {error.hint}"
        can_change = bool(text) or not os.path.lexists(file)
    return {
        "text": utf8_safe(text),
        "file": utf8_safe(str(file)),
        "names": len(glossary.names),
        "rules": len(glossary.rules),
        "note": note and utf8_safe(note),
        "can_change": can_change,
    }


def show(request: Request) -> Response:
    """Names and spellings to expect in the next run, and where they are stored."""
    return JSONResponse(state(request.app.state.config))


async def change(request: Request) -> Response:
    """PUT {"text": ...}: write the glossary. Returns it."""
    text = required_string(await json_object(request), "text")
    config: Config = request.app.state.config

    def write() -> GlossaryState:
        if os.path.lexists(glossary_file(config)):
            glossary_text(config)  # what is no glossary is not overwritten
        write_glossary(config, text)
        return state(config)

    return JSONResponse(await run_in_threadpool(write))


ROUTES = [
    Route("/api/glossary", show, methods=["GET"]),
    Route("/api/glossary", change, methods=["PUT"]),
]
