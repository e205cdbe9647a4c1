"""The JSON API of speakers: their names in a recording, and the voices that are known by a name."""

from __future__ import annotations

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from homescribe.assemble import open_library
from homescribe.errors import UserError
from homescribe.library import Library, Naming
from homescribe.library.as_json import speaker_as_json, voice_as_json
from homescribe.text.sanitize import utf8_safe
from homescribe.web import params
from homescribe.web.json_body import json_object, required_string
from homescribe.web.json_response import JSONResponse

Change = Callable[[Library, str, list[str]], Naming]  # of a library, a key and labels


def speakers(request: Request) -> Response:
    """{"speakers": [...]} of an item, in the order of their first words."""
    with open_library(request.app.state.config) as library:
        record = params.item(request, library)
        return JSONResponse({"speakers": _speakers(library, record.item.key)})


async def name(request: Request) -> Response:
    """PUT {"name"}: name a speaker, and those with the same name; "" removes the name.

    With ?only=true, only this one. The answer has the id of the "naming", for undo.
    """
    body = await json_object(request)
    given = required_string(body, "name")

    def change(library: Library, key: str, labels: list[str]) -> Naming:
        return library.name_speaker(key, labels, given)

    return await run_in_threadpool(_changed, request, change)


async def answer(request: Request) -> Response:
    """POST {"action": "confirm" or "reject"}: whether the name that a speaker has by its voice is right."""
    body = await json_object(request)
    action = required_string(body, "action")
    if action not in ANSWERS:
        raise UserError(f"Unknown action {action!r}.", f"Known actions: {', '.join(ANSWERS)}.")
    return await run_in_threadpool(_changed, request, ANSWERS[action])


ANSWERS: dict[str, Change] = {
    "confirm": Library.confirm_speaker,
    "reject": Library.reject_speaker,
}


async def set_speaker(request: Request) -> Response:
    """PUT {"positions", "label"}: who says these segments. Returns {"before": {position: label or null}}."""
    body = await json_object(request)
    label = required_string(body, "label")
    given = body.get("positions")
    numbers = [n for n in given if type(n) is int] if isinstance(given, list) else []
    if not numbers or given != numbers:
        raise UserError("positions is not a list of numbers of segments.", "Send [0, 1].")

    def change() -> Response:
        with open_library(request.app.state.config) as library:
            record = params.item(request, library)
            return JSONResponse({"before": library.set_speaker(record.item.key, numbers, label)})

    return await run_in_threadpool(change)


def undo(request: Request) -> Response:
    """POST: undo the latest naming, confirmation or rejection. Returns {"keys"} of the items that changed.

    With ?naming=ID only if it is this one.
    """
    given = request.query_params.get("naming", "")
    if given and not (given.isascii() and given.isdigit() and len(given) < 19):
        raise UserError("naming is not the id of a naming.", "Send ?naming=12.")
    with open_library(request.app.state.config) as library:
        return JSONResponse({"keys": list(library.undo_naming(int(given) if given else None))})


def voices(request: Request) -> Response:
    """{"voices": [...]}, those with the most speech first."""
    with open_library(request.app.state.config) as library:
        return JSONResponse({"voices": _voices(library)})


def _voices(library: Library) -> list[dict[str, object]]:
    return [{"id": voice.id, **voice_as_json(voice)} for voice in library.voices()]


async def rename_voice(request: Request) -> Response:
    """PUT {"name"}: rename a voice in all recordings. Returns {"voices", "naming"}: the id, for undo."""
    body = await json_object(request)
    given = required_string(body, "name")

    def change(library: Library, voice: int) -> int | None:
        return library.rename_voice(voice, given)

    return await run_in_threadpool(_changed_voice, request, change)


async def forget_voice(request: Request) -> Response:
    """DELETE: delete a voice and its embeddings; ?keep_names=true: not its name. Returns {"voices"}."""
    keep_names = request.query_params.get("keep_names") == "true"

    def change(library: Library, voice: int) -> None:
        library.forget_voice(voice, keep_names=keep_names)

    return await run_in_threadpool(_changed_voice, request, change)


async def forget_all_voices(request: Request) -> Response:
    """DELETE: delete all voices and embeddings; with ?keep_names=true names stay. Returns {"voices"}."""
    keep_names = request.query_params.get("keep_names") == "true"

    def change(library: Library, voice: int) -> None:
        library.forget_all_voices(keep_names=keep_names)

    return await run_in_threadpool(_changed_voice, request, change)


def _changed(request: Request, change: Change) -> Response:
    with open_library(request.app.state.config) as library:
        record = params.item(request, library)
        labels = _labels(library, record.item.key, request.path_params["label"])
        if request.query_params.get("only") == "true":
            labels = labels[:1]
        naming = change(library, record.item.key, labels)
        found = _speakers(library, record.item.key)
    return JSONResponse(
        {
            "speakers": found,
            "recordings": naming.recordings,
            "maybe": naming.maybe,
            "naming": naming.id,
        }
    )


def _labels(library: Library, key: str, label: str) -> list[str]:
    """Return a label, then those of the other speakers of the recording with the same name."""
    names = {each.label: (each.name, each.named_by == "maybe") for each in library.speakers(key)}
    own = names.get(label, (None, False))
    others = [each for each, name in names.items() if name == own and each != label]
    return [label, *others] if own[0] else [label]


def _changed_voice(request: Request, change: Callable[[Library, int], int | None]) -> Response:
    number = request.path_params.get("voice")
    with open_library(request.app.state.config) as library:
        if number is not None and number not in {voice.id for voice in library.voices()}:
            raise HTTPException(404, f"There is no voice {number}.")
        naming = change(library, number or 0)
        made = {"naming": naming} if request.method == "PUT" else {}
        return JSONResponse({"voices": _voices(library), **made})


def _speakers(library: Library, key: str) -> list[dict[str, object]]:
    return [
        {**speaker_as_json(each, number), "display_name": utf8_safe(each.shown_name(number))}
        for number, each in enumerate(library.speakers(key), 1)
    ]


ROUTES = [
    Route("/api/items/{key:path}/speakers", speakers, methods=["GET"]),
    Route("/api/items/{key:path}/speakers", set_speaker, methods=["PUT"]),
    Route("/api/items/{key:path}/speakers/{label}", name, methods=["PUT"]),
    Route("/api/items/{key:path}/speakers/{label}", answer, methods=["POST"]),
    Route("/api/speakers/undo", undo, methods=["POST"]),
    Route("/api/voices", voices, methods=["GET"]),
    Route("/api/voices", forget_all_voices, methods=["DELETE"]),
    Route("/api/voices/{voice:segment}", rename_voice, methods=["PUT"]),
    Route("/api/voices/{voice:segment}", forget_voice, methods=["DELETE"]),
]
