"""The web application: what answers at which address, and how errors look there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from homescribe.config import Config
from homescribe.errors import HomescribeError, SetupError
from homescribe.library import Library
from homescribe.web import api, exports, media, openai_api, pages
from homescribe.web.jinja import page
from homescribe.web.jobs import Work
from homescribe.web.security import Guard

STATIC = Path(__file__).parent / "static"
YEAR = 365 * 24 * 3600  # seconds


def build(
    config: Config,
    *,
    token: str,
    host: str = "127.0.0.1",
    private: bool = False,
    closing: Event | None = None,
) -> ASGIApp:
    """The application over the library in `config`, guarded.

    Args:
        token: lets programs write, and everybody in where `private`.
        host: the address that it will be bound to.
        private: it can be reached from other machines.
        closing: set it when the server ends, so that answers without an end do so too.
    """
    app = Starlette(
        routes=[
            Route("/", pages.home),
            Route("/results", pages.results),
            Route("/library", pages.library),
            Route("/work", pages.work),
            Route("/figures", pages.figures),
            Route("/work/lists", pages.lists),
            Route("/export/{format}.zip", exports.many),
            Route("/export/{format}/{key:path}", exports.one),
            Route("/items/{key:path}", pages.item),
            Route("/media/{key:path}", media.media),
            *api.ROUTES,
            *openai_api.ROUTES,
            Mount("/static", _Static(directory=STATIC)),
        ],
        exception_handlers={
            HomescribeError: _sorry,
            HTTPException: _not_here,
            Exception: _bug,
        },
        lifespan=_lifespan,
    )
    app.state.config = config
    app.state.work = Work(config)
    app.state.ears = openai_api.Ears(config)
    app.state.closing = closing or Event()
    return Guard(app, token=token, private=private, host=host)


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    # Open all the time, so that no request is the last to close the database and has to clear its log.
    with Library(app.state.config.library):
        yield
    app.state.work.close()
    app.state.ears.close()


class _Static(StaticFiles):
    """Files of ours, kept by the browser: their addresses change with their content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable"
        return response


def _sorry(request: Request, error: Exception) -> Response:
    """A mistake of the user's or of the world: one line and what to do."""
    assert isinstance(error, HomescribeError)
    status = 500 if isinstance(error, SetupError) else 400
    return _answer(request, status, error.message, error.hint)


def _not_here(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = error.detail if error.status_code != 404 or " " in error.detail else ""
    return _answer(request, error.status_code, message or "There is nothing here.")


def _bug(request: Request, error: Exception) -> Response:
    return _answer(
        request,
        500,
        "homescribe made a mistake.",
        "The terminal it was started in says which. Please report it.",
    )


def _answer(request: Request, status: int, message: str, hint: str = "") -> Response:
    path: str = request.scope["path"]
    if path.startswith("/v1/"):  # as OpenAI words it
        kind = "invalid_request_error" if status < 500 else "server_error"
        told = {"message": f"{message} {hint}".strip(), "type": kind, "param": None, "code": None}
        return JSONResponse({"error": told}, status_code=status)
    if path.startswith("/api/"):
        return JSONResponse({"error": {"message": message, "hint": hint}}, status_code=status)
    return page(request, "error.html", status=status, message=message, hint=hint)
