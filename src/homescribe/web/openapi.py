"""The description of the API in OpenAPI 3.1, at /openapi.json: of every route, with details of those below.

https://spec.openapis.org/oas/v3.1.1.html. The objects are documented in docs/reference/api.md and json.md.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping

from starlette.routing import BaseRoute, Route

from homescribe import __version__

Node = Mapping[str, object]

PREFIXES = ("/api/", "/v1/", "/health", "/openapi.json")  # of addresses for programs

TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
FLAG = {"type": "boolean"}
OBJECT = {"type": "object"}

FILTERS = ("captions", "channel", "language", "since", "source", "until")
SELECTION_ACTIONS = ("ignore", "preview-removal", "remove", "stop-ignoring")
QUEUE_ACTIONS = (
    *("accept", "add", "again", "cancel", "cancel-listing", "drop", "enqueue", "keep", "pause"),
    *("resume", "retry", "run", "speakers", "sync"),
)


def _parameter(name: str, kind: Node = TEXT, where: str = "query") -> Node:
    return {"name": name, "in": where, "required": where == "path", "schema": kind}


def _query(*names: str, **kinds: Node) -> list[Node]:
    return [*map(_parameter, names), *(_parameter(name, kind) for name, kind in kinds.items())]


def _headers(*names: str) -> list[Node]:
    return [_parameter(name, TEXT, "header") for name in names]


def _operation(
    summary: str,
    *,
    parameters: list[Node] | None = None,
    body: Node | None = None,
    body_type: str = "application/json",
    status: int = 200,
    answer: str = "application/json",
) -> Node:
    """Describe an operation. `answer` is the media type of a successful response, "" for none."""
    success: dict[str, object] = {"description": "Success"}
    if answer:
        success["content"] = {answer: {"schema": OBJECT if "json" in answer else TEXT}}
    found: dict[str, object] = {
        "summary": summary,
        "responses": {str(status): success, "default": {"$ref": "#/components/responses/Error"}},
    }
    if parameters:
        found["parameters"] = parameters
    if body is not None:
        found["requestBody"] = {"required": True, "content": {body_type: {"schema": body}}}
    return found


def _object(required: tuple[str, ...] = (), **properties: Node) -> Node:
    found: dict[str, object] = {"type": "object", "properties": properties}
    return found | {"required": list(required)} if required else found


def _path(*names: str, **operations: Node) -> Node:
    parameters = [_parameter(name, TEXT, "path") for name in names]
    return {"parameters": parameters, **operations} if parameters else operations


def _audio(summary: str) -> Node:
    """OpenAI's transcription and translation."""
    formats = ["json", "text", "srt", "verbose_json", "vtt", "diarized_json"]
    form = _object(
        ("file", "model"),
        file={"type": "string", "contentMediaType": "application/octet-stream"},
        model=TEXT,
        language=TEXT,
        prompt=TEXT,
        response_format={"type": "string", "enum": formats, "default": "json"},
        temperature={"type": "number", "minimum": 0, "maximum": 1},
        stream=FLAG,
        speakers=TEXT,
        **{
            "timestamp_granularities[]": {
                "type": "array",
                "items": {"type": "string", "enum": ["word", "segment"]},
            }
        },
    )
    return _path(post=_operation(summary, body=form, body_type="multipart/form-data"))


SETTINGS = _object(
    model=TEXT,
    language=TEXT,
    speakers=TEXT,
    task={"type": "string", "enum": ["transcribe", "translate"]},
    word_timestamps=FLAG,
    initial_prompt=TEXT,
    keep_audio={"type": "string", "enum": ["none", "speech", "all"]},
    captions={"type": "string", "enum": ["auto", "use", "upgrade", "ignore"]},
)
QUEUE_BODY = _object(
    ("action",),
    action={"type": "string", "enum": list(QUEUE_ACTIONS)},
    url=TEXT,
    key=TEXT,
    keys={"type": "array", "items": TEXT},
    model=TEXT,
    language=TEXT,
    speakers=TEXT,
)

# Details by path; a route that is not here is described by its docstring.
DETAILS: dict[str, Node] = {
    "/health": _path(get=_operation("Whether the server works; needs no token")),
    "/openapi.json": _path(get=_operation("This description")),
    "/api/access": _path(get=_operation("Whether this request has the token that changes need")),
    "/api/items": _path(
        get=_operation(
            "Items of the library",
            parameters=_query(*FILTERS, "state", "sort", "title", limit=WHOLE, offset=WHOLE),
        )
    ),
    "/api/items/{key}": _path("key", get=_operation("One item, with its transcript")),
    "/api/items/{key}/segments/{position}": _path(
        *("key", "position"),
        put=_operation(
            "Correct the text of a segment", body=_object(("text",), text=TEXT, expected=TEXT)
        ),
        delete=_operation("Undo the latest correction of a segment"),
    ),
    "/api/items/{key}/title": _path(
        "key", put=_operation("Rename an item", body=_object(("title",), title=TEXT))
    ),
    "/api/selection": _path(
        get=_operation(
            "Keys of all items that a query finds",
            parameters=_query(*FILTERS, "state", "sort", "title"),
        ),
        post=_operation(
            "Ignore or remove items",
            body=_object(
                ("action", "keys"),
                action={"type": "string", "enum": list(SELECTION_ACTIONS)},
                keys={"type": "array", "items": TEXT},
                keep_files=FLAG,
                ignore=FLAG,
            ),
        ),
    ),
    "/api/selection/export/{format}": _path(
        "format",
        post=_operation(
            "A zip of the transcripts of these items",
            body=_object(("keys",), keys={"type": "array", "items": TEXT}),
            answer="application/zip",
        ),
    ),
    "/api/items/{key}/audio": _path("key", delete=_operation("Remove the kept audio of an item")),
    "/api/audio": _path(
        get=_operation("The audio that is kept"),
        post=_operation(
            "What kept audio is above a limit; with remove, remove it, the oldest first",
            body=_object(("limit",), limit=TEXT, remove=FLAG),
        ),
    ),
    "/api/replacements": _path(
        get=_operation("Words that are replaced in all transcripts"),
        post=_operation(
            "Replace a word in all transcripts; with dry_run, say what would change",
            body=_object(
                ("old", "new"),
                old=TEXT,
                new=TEXT,
                source=TEXT,
                channel=TEXT,
                match_case=FLAG,
                dry_run=FLAG,
            ),
        ),
    ),
    "/api/search": _path(
        get=_operation(
            "Search every word",
            parameters=_query(
                *FILTERS, "q", "speaker", "sort", raw=FLAG, limit=WHOLE, offset=WHOLE
            ),
        )
    ),
    "/api/again": _path(
        get=_operation(
            "What transcribing an item again would change",
            parameters=_query("key", "model", "language"),
        )
    ),
    "/api/sources": _path(get=_operation("Sources, the oldest first")),
    "/api/status": _path(get=_operation("Totals of the library")),
    "/api/queue": _path(
        get=_operation("The state of the queue"),
        post=_operation("Add sources, start and stop runs", body=QUEUE_BODY, status=202),
    ),
    "/api/queue/events": _path(
        get=_operation("The state of the queue as it changes", answer="text/event-stream")
    ),
    "/api/settings": _path(
        get=_operation("Settings of the next run"),
        put=_operation("Change settings of the next run; null is the default", body=SETTINGS),
    ),
    "/api/glossary": _path(
        get=_operation("Names and spellings to expect in the next run"),
        put=_operation("Write the glossary", body=_object(("text",), text=TEXT)),
    ),
    "/api/uploads": _path(
        get=_operation("Unfinished uploads"),
        post=_operation(
            "Begin an upload (tus 1.0)",
            parameters=_headers("Upload-Length", "Upload-Metadata"),
            status=201,
            answer="",
        ),
        options=_operation("What is supported of tus", status=204, answer=""),
    ),
    "/api/uploads/{id}": _path(
        "id",
        head=_operation("How much of an upload has arrived", answer=""),
        patch=_operation(
            "Continue an upload",
            parameters=_headers("Upload-Offset"),
            body=TEXT,
            body_type="application/offset+octet-stream",
            status=204,
            answer="",
        ),
        delete=_operation("Give an upload up", status=204, answer=""),
    ),
    "/v1/audio/transcriptions": _audio("Transcribe a recording, as OpenAI does"),
    "/v1/audio/translations": _audio("Transcribe a recording into English, as OpenAI does"),
    "/v1/models": _path(get=_operation("The models that OpenAI's endpoints accept")),
    "/v1/models/{model}": _path("model", get=_operation("One of the models")),
}

ERROR = _object(("error",), error=_object(("message",), message=TEXT, hint=TEXT))

COMMON: Node = {
    "openapi": "3.1.0",
    "info": {"title": "homescribe", "version": __version__},
    "security": [{}, {"token": []}],
    "components": {
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        "responses": {
            "Error": {
                "description": "What went wrong, and what to do",
                "content": {"application/json": {"schema": ERROR}},
            }
        },
    },
}


def describe(routes: Iterable[BaseRoute]) -> Node:
    """Return the description of those of `routes` that are for programs."""
    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        if not isinstance(route, Route) or not route.path.startswith(PREFIXES):
            continue
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
        names = re.findall(r"\{(\w+)\}", path)
        found = paths.setdefault(path, dict(_path(*names)))
        methods = route.methods or set()
        for method in methods - ({"HEAD"} if "GET" in methods else set()):
            detail = DETAILS.get(path, {}).get(method.lower())
            found[method.lower()] = detail or _operation(_summary(route))
    return {**COMMON, "paths": paths}


def _summary(route: Route) -> str:
    """Return the first sentence of what the function of a route does."""
    text = inspect.getdoc(route.endpoint) or route.name
    return " ".join(text.split("\n\n")[0].split()).rstrip(".")
