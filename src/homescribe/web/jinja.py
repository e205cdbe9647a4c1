"""HTML from templates. Titles, descriptions and transcripts are strangers' text: all of it is escaped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from homescribe import __version__
from homescribe.plugins import link
from homescribe.text.display import clock, count, moment, size, span

STATIC = Path(__file__).parent / "static"


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """The answer to `request` that `template` makes of `values`."""
    text = _environment().get_template(template).render(path=request.scope["path"], **values)
    # Never kept: what the library holds may have changed a moment later.
    return HTMLResponse(text, status_code=status, headers={"Cache-Control": "no-store"})


def address(path: str, query: Mapping[str, object] | None = None, fragment: str = "") -> str:
    """A link within the page; what is empty in `query` is left out."""
    pairs = [(name, value) for name, value in (query or {}).items() if value not in (None, "")]
    asked = f"?{urlencode(pairs)}" if pairs else ""
    return quote(path, safe="/:") + asked + (f"#{fragment}" if fragment else "")


def item_address(key: str, query: Mapping[str, object] | None = None, fragment: str = "") -> str:
    """The page of an item."""
    return address(f"/items/{key}", query, fragment)


def marked(text: str, ranges: Iterable[tuple[int, int]]) -> Markup:
    """`text` with these ranges of its characters in <mark>."""
    parts = []
    at = 0
    for start, end in ranges:
        parts += [escape(text[at:start]), Markup("<mark>%s</mark>") % text[start:end]]
        at = end
    return Markup("").join([*parts, escape(text[at:])])


def outward(url: str) -> str:
    """`url` if a browser may be sent there from a link; "" for javascript:, file: and the like."""
    try:
        return url if urlsplit(url).scheme.lower() in ("http", "https") else ""
    except ValueError:
        return ""


def static(name: str) -> str:
    """The address of a file of ours, with a mark that changes when the file does."""
    return f"/static/{name}?{_digest(name)}"


@cache
def _digest(name: str) -> str:
    return hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("homescribe.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"clock": clock, "size": size, "span": span, "moment": moment}
    environment.globals |= {
        "address": address,
        "count": count,
        "item_address": item_address,
        "link": link,
        "marked": marked,
        "outward": outward,
        "static": static,
        "version": __version__,
    }
    return environment
