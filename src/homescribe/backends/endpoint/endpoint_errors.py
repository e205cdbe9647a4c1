"""What a response that is no transcript means: end the run, wait, send again, or leave out a field.

The messages of services differ. OpenAI and Groq answer {"error": {"message", "type", "code", "param"}},
whisper.cpp {"error": "..."}, FastAPI {"detail": "..."} or {"detail": [{"loc", "msg"}]}, Mistral
{"message": {"detail": [...]}}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from homescribe.backends.endpoint.endpoint_options import KEY_SETTING, EndpointOptions
from homescribe.backends.endpoint.endpoint_request import HttpReply
from homescribe.backends.endpoint.rate_limits import requested_wait
from homescribe.errors import UserError
from homescribe.text.sanitize import public_message

# Fields that a transcript can do without, by the name in the form.
OPTIONAL_FIELDS = ("timestamp_granularities", "prompt", "temperature", "response_format")
# Words of a refusal that is about money, not about the rate of requests: OpenAI's codes.
QUOTA = (
    "insufficient_quota",
    "credit_balance",
    "spend_limit",
    "usage_limit_exceeded",
    "billing_hard_limit",
    "billing_not_active",
)
STORED = "What was answered is stored, and the other recordings stay pending."


class Again(Exception):
    """The same request may succeed later. `billed`: this one may have been billed."""

    def __init__(self, message: str, wait: float | None = None, *, billed: bool) -> None:
        super().__init__(message)
        self.message = message
        self.wait = wait  # seconds that the service asks for
        self.billed = billed


class TooManyRequests(Again):
    """The rate limit of the endpoint is reached."""


class FieldRefused(Exception):
    """The service does not accept an optional field."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name
        self.message = message


class RequestRefused(Exception):
    """The service refuses this request, perhaps because of this part of the recording."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """The text of an error response, on one line, and the names in it that programs read."""

    message: str
    names: str  # codes, types and fields, in lower case
    is_page: bool  # HTML


def check_reply(reply: HttpReply, options: EndpointOptions, model: str) -> None:
    """Raise what a response means that is no success; nothing for one that is.

    Raises UserError, Again, FieldRefused or RequestRefused.
    """
    body = read_error(reply, options.api_key)
    host, status = options.host, reply.status
    said = f": {body.message}" if body.message else ""
    if 200 <= status < 300:
        if body.is_page:
            raise UserError(
                f"{host} answers with a web page instead of a transcript.",
                f"Check --base-url: {options.base_url} needs the path of the API, often /v1.",
            )
        return
    if 300 <= status < 400:
        raise UserError(
            f"{host} redirects (HTTP {status}), which is not followed: the key would go elsewhere.",
            "Give the address that it leads to as --base-url.",
        )
    if status == 402 or any(word in body.names for word in QUOTA):
        raise UserError(f"{host} wants to be paid first (HTTP {status}){said}", STORED)
    if status in (401, 403, 407):
        given = "refuses the key" if options.api_key else "needs a key"
        raise UserError(f"{host} {given} (HTTP {status}){said}", f"Set {KEY_SETTING}.")
    if status == 404:
        if "model" in body.names or model.lower() in body.message.lower():
            raise UserError(
                f"{host} does not know the model {model!r}{said}", "Name another one with --model."
            )
        raise UserError(
            f"{host} has no {options.address('transcribe')} (HTTP 404){said}",
            "Check --base-url: it is the address before /audio/transcriptions, often ending in /v1.",
        )
    if status == 405 or (body.is_page and status < 500):
        raise UserError(
            f"{host} is no transcription endpoint (HTTP {status}).", "Check --base-url."
        )
    if status == 413:
        raise UserError(
            f"{host} takes no request of this size (HTTP 413){said}",
            "Send less at once: --request-seconds or --request-megabytes.",
        )
    if status == 429:
        raise TooManyRequests(
            f"too many requests (HTTP 429){said}", requested_wait(reply.headers), billed=False
        )
    if status in (408, 409, 425) or status >= 500:
        words = "" if body.is_page else said
        # A service that answers 503 has not begun; others may have worked before they failed.
        raise Again(
            f"the service failed (HTTP {status}){words}",
            requested_wait(reply.headers),
            billed=status not in (408, 409, 425, 503),
        )
    if status in (400, 422):
        for name in OPTIONAL_FIELDS:
            if name in body.names or name in body.message.lower():
                raise FieldRefused(name, f"HTTP {status}{said}")
    raise RequestRefused(f"{host} refuses the request (HTTP {status}){said}")


def read_error(reply: HttpReply, key: str | None) -> ErrorBody:
    """Return what the body of a response says. A key in it is left out."""
    start = reply.body[:200].lstrip().lower()
    kind = str(reply.headers.get("Content-Type") or "").lower()
    is_page = "html" in kind or start.startswith((b"<!doctype", b"<html"))
    if 200 <= reply.status < 300 or is_page:
        return ErrorBody("", "", is_page)
    text = reply.body[:20_000].decode("utf-8", "replace")
    if key:
        text = text.replace(key, "***")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ErrorBody(public_message(text[:300]), "", is_page=False)
    messages, names = [], []
    for name, value in _texts(found):
        if name in ("message", "msg", "error", "detail"):
            messages.append(value)
        else:
            names.append(value.lower())
    return ErrorBody(public_message(" ".join(messages)[:300]), " ".join(names), is_page=False)


def _texts(value: object, name: str = "detail", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield each text in a JSON value with the name that it has there."""
    if depth > 6:
        return
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _texts(each, str(key), depth + 1)
    elif isinstance(value, list):
        for each in value[:20]:
            yield from _texts(each, name, depth + 1)
    elif isinstance(value, str):
        yield name, value
