"""The settings of the next run: GET and PUT /api/settings, and the dialog that shows them."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from homescribe.assemble import open_library
from homescribe.config import Config
from homescribe.web import glossary_api
from homescribe.web.again import language_choices
from homescribe.web.jinja import render
from homescribe.web.json_body import json_object
from homescribe.web.json_response import JSONResponse
from homescribe.web.run_settings import RunSettings
from homescribe.web.shared_engine import SharedEngine

SPEAKER_CHOICES = [
    ("", "Not told apart"),
    ("auto", "Detect"),
    *((str(number), f"{number} speakers") for number in range(2, 7)),
    ("channels", "Left and right channel"),
]


CAPTION_CHOICES = [
    ("auto", "Keep those that people wrote"),
    ("use", "Keep all"),
    ("upgrade", "Transcribe all"),
    ("ignore", "Do not request any"),
]


def show(request: Request) -> Response:
    """The settings of the next run, the models to choose from, and where a run takes place."""
    settings: RunSettings = request.app.state.settings
    return JSONResponse(settings.state())


async def change(request: Request) -> Response:
    """PUT {name: value}: change settings; null is the default. Returns all of them."""
    settings: RunSettings = request.app.state.settings
    values = await json_object(request)
    await run_in_threadpool(settings.change, values)
    state = request.app.state
    if settings.config.model != state.config.model:
        engine: SharedEngine = state.engine
        state.engine = SharedEngine(settings.config)
        engine.close()
    state.config = state.jobs.config = settings.config
    await run_in_threadpool(_apply_caption_policy, settings.config)
    state.jobs.changes += 1
    return JSONResponse(await run_in_threadpool(settings.state))


def _apply_caption_policy(config: Config) -> None:
    """Let the states of items follow the setting at once."""
    with open_library(config) as library:
        library.apply_caption_policy(config.captions)


def dialog(request: Request) -> HTMLResponse:
    """The content of the dialog "Add recordings"."""
    settings: RunSettings = request.app.state.settings
    options = settings.config.transcription()
    speakers = options.speakers or ""
    known = [value for value, _ in SPEAKER_CHOICES]
    own = [] if speakers in known else [(speakers, speakers)]
    return render(
        request,
        "add.html",
        state=settings.state(),
        glossary=glossary_api.state(settings.config),
        language=options.language,
        language_choices=language_choices(),
        captions=settings.config.captions,
        caption_choices=CAPTION_CHOICES,
        speakers=speakers,
        speaker_choices=[*SPEAKER_CHOICES, *own],
    )


ROUTES = [
    Route("/add", dialog),
    Route("/api/settings", show, methods=["GET"]),
    Route("/api/settings", change, methods=["PUT"]),
]
