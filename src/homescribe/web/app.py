"""The web application: routes, static files and error responses."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Collection
from contextlib import ExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from threading import Event

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Mount, Route
from starlette.types import ASGIApp

from homescribe.assemble import open_library
from homescribe.config import Config
from homescribe.core import HOUR
from homescribe.errors import HomescribeError
from homescribe.text.redaction import shown_text
from homescribe.text.sanitize import utf8_safe
from homescribe.web import (
    access,
    api,
    audio_space,
    exports,
    glossary_api,
    health,
    item_actions,
    mcp_endpoint,
    media,
    openai_api,
    pages,
    removal,
    replacement_api,
    settings_api,
    speaker_api,
    upload_api,
    voices_page,
)
from homescribe.web.compression import CompressedStaticFiles, CompressionMiddleware
from homescribe.web.jinja import STATIC, render
from homescribe.web.jobs import Jobs
from homescribe.web.json_response import JSONResponse
from homescribe.web.openai_errors import openai_error, status_of
from homescribe.web.run_settings import RunSettings
from homescribe.web.security import SecurityMiddleware
from homescribe.web.shared_engine import SharedEngine
from homescribe.web.snapshot import Snapshots
from homescribe.web.transfers import Transfers
from homescribe.web.uploads import Uploads


def build_app(
    config: Config,
    *,
    token: str,
    host: str = "127.0.0.1",
    token_required: bool = False,
    config_file: Path | None = None,
    hosts: Collection[str] = (),
    origins: Collection[str] = (),
    closing: Event | None = None,
) -> ASGIApp:
    """Build the application for the library in `config`, behind the security middleware.

    Args:
        token: allows a program to write, and where `token_required` to do anything.
        host: the address that the server listens on.
        config_file: where changed settings are stored; None: they hold until the server stops.
        hosts, origins: as for SecurityMiddleware.
        token_required: every request needs the token, because other machines can reach the server.
        closing: set by the server when it shuts down, so that event streams end.
    """
    app = Starlette(
        routes=[
            *health.ROUTES,
            *access.ROUTES,
            Route("/", pages.home),
            Route("/results", pages.results),
            Route("/library", pages.library),
            Route("/queue", pages.queue),
            Route("/queue/lists", pages.queue_lists),
            Route("/statistics", pages.statistics),
            Route("/export/{format}.zip", exports.export_zip),
            Route("/export/combined.{format}", exports.export_combined),
            Route("/export/{format}/{key:path}", exports.export),
            Route("/items/{key:path}", pages.item),
            Route("/media/{key:path}", media.media),
            Route("/voices", voices_page.voices),
            *speaker_api.ROUTES,
            *replacement_api.ROUTES,
            *audio_space.ROUTES,
            *removal.ROUTES,
            *item_actions.ROUTES,
            *api.ROUTES,
            *settings_api.ROUTES,
            *glossary_api.ROUTES,
            *upload_api.ROUTES,
            *openai_api.ROUTES,
            *mcp_endpoint.ROUTES,
            Mount("/static/{version}", CompressedStaticFiles(directory=STATIC)),
        ],
        exception_handlers={
            HomescribeError: _homescribe_error,
            HTTPException: _http_error,
            Exception: _internal_error,
        },
        lifespan=_lifespan,
    )
    app.state.config = config
    app.state.start = secrets.token_hex(6)  # names this start; it is no secret
    app.state.settings = RunSettings(config, config_file)
    app.state.jobs = Jobs(config)
    app.state.snapshots = Snapshots(config, app.state.jobs)
    app.state.engine = SharedEngine(config)
    app.state.uploads = Uploads(config.library / "uploads")
    app.state.transfers = Transfers(config, app.state.jobs)
    app.state.closing = closing or Event()
    return SecurityMiddleware(
        CompressionMiddleware(app),
        token=token,
        token_required=token_required,
        host=host,
        hosts=hosts,
        origins=origins,
        knows=lambda scope: any(route.matches(scope)[0] != Match.NONE for route in app.routes),
    )


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    app.state.uploads.sweep()
    with ExitStack() as stack:
        library = stack.enter_context(open_library(app.state.config))
        # When its last connection closes, SQLite writes its log back. This connection stays open, so that no
        # request has to wait for that. One that cannot write may keep others out: see library/connection.py.
        library.apply_caption_policy(app.state.config.captions)
        if library.read_only:
            stack.close()
        tasks = [asyncio.create_task(_sweep(app.state.transfers))]
        if not library.read_only:
            tasks.append(asyncio.create_task(app.state.transfers.resume()))
        yield
        for task in tasks:
            task.cancel()
    app.state.jobs.close()
    app.state.uploads.close()
    app.state.engine.close()


async def _sweep(transfers: Transfers) -> None:
    """Remove uploads that nobody continues, now and every hour."""
    while True:
        await run_in_threadpool(transfers.stored.sweep)
        await asyncio.sleep(HOUR)


def _homescribe_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HomescribeError)
    return _error_response(request, status_of(error), error.message, error.hint)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = error.detail
    if message == HTTPStatus.NOT_FOUND.phrase:
        message = "Page not found."
    response = _error_response(request, error.status_code, message)
    response.headers.update(error.headers or {})
    return response


def _internal_error(request: Request, error: Exception) -> Response:
    return _error_response(
        request,
        500,
        "Internal error.",
        "The terminal that runs homescribe serve shows the details. Please report them.",
    )


def _error_response(request: Request, status: int, message: str, hint: str = "") -> Response:
    """An error in the format of the path: OpenAI's JSON, the API's JSON or a page."""
    path: str = request.scope["path"]
    if path.startswith("/v1/"):
        return JSONResponse({"error": openai_error(status, message, hint)}, status_code=status)
    message, hint = utf8_safe(shown_text(message)), utf8_safe(shown_text(hint))
    if path.startswith("/api/"):
        return JSONResponse({"error": {"message": message, "hint": hint}}, status_code=status)
    return render(request, "error.html", status=status, message=message, hint=hint)
