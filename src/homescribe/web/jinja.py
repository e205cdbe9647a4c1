"""HTML from Jinja templates. All text is escaped: titles and transcripts come from strangers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse

from homescribe.plugins import link
from homescribe.text.display import clock, count, moment, size, span
from homescribe.text.redaction import is_redacted, shown_text
from homescribe.text.sanitize import page_safe
from homescribe.web.access import page_access
from homescribe.web.storage import storage_problem

STATIC = Path(__file__).parent / "static"


def render(request: Request, template: str, status: int = 200, **values: object) -> HTMLResponse:
    """Respond to `request` with `template`, filled with `values`."""
    problem = storage_problem(request.app.state.config.library)
    text = (
        _environment()
        .get_template(template)
        .render(
            path=request.scope["path"],
            access=page_access(request),
            start=request.app.state.start,
            storage_problem=problem,
            **values,
        )
    )
    # Never cached: the library may change at any moment.
    return HTMLResponse(text, status_code=status, headers={"Cache-Control": "no-store"})


def address(path: str, query: Mapping[str, object] | None = None, fragment: str = "") -> str:
    """A link to a page. Empty values of `query` are left out."""
    pairs = [(name, value) for name, value in (query or {}).items() if value not in (None, "")]
    encoded = f"?{urlencode(pairs)}" if pairs else ""
    return quote(path, safe="/:") + encoded + (f"#{fragment}" if fragment else "")


def item_address(key: str, query: Mapping[str, object] | None = None, fragment: str = "") -> str:
    """A link to the page of an item."""
    return address(f"/items/{key}", query, fragment)


def highlight(text: str, ranges: Iterable[tuple[int, int]]) -> Markup:
    """`text` with these ranges of characters in <mark> elements."""
    text = page_safe(text)
    parts = []
    at = 0
    for start, end in ranges:
        parts += [escape(text[at:start]), Markup("<mark>%s</mark>") % text[start:end]]
        at = end
    return Markup("").join([*parts, escape(text[at:])])


def web_address(url: str) -> str:
    """`url` if it starts with http: or https:, else "": no link may lead to javascript: or file:.

    "" also for an address whose secrets are left out, which would not open.
    """
    if is_redacted(url):
        return ""
    try:
        return url if urlsplit(url).scheme.lower() in ("http", "https") else ""
    except ValueError:
        return ""


def static(name: str) -> str:
    """The address of a static file.

    The version is in the path, not in the query, so that a module that another one imports as "./app.js" is
    of the same version, and is loaded only once.
    """
    return f"/static/{_static_version()}/{name}"


@cache
def _static_version() -> str:
    """A digest that changes with the content of any static file."""
    digest = hashlib.sha256()
    for path in sorted(STATIC.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:10]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("homescribe.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "clock": clock,
        "span": span,
        "moment": moment,
        "size": size,
        "page_safe": page_safe,
    }
    environment.globals |= {
        "address": address,
        "count": count,
        "highlight": highlight,
        "item_address": item_address,
        "link": link,
        "shown_text": shown_text,
        "static": static,
        "web_address": web_address,
    }
    return environment
