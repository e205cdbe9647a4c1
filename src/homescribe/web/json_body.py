"""The JSON object in the body of a request, and the values in it, validated."""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.requests import Request

from homescribe.errors import UserError


async def json_object(request: Request) -> Mapping[str, object]:
    """Return it. Raises UserError for a body that is anything else."""
    try:
        body = json.loads(await request.body() or b"{}", parse_constant=_refuse_constant)
        json.dumps(body, ensure_ascii=False).encode()  # fails for half a character ("\\ud800")
    except (ValueError, RecursionError) as error:
        raise UserError("The request body is not JSON.", "Send a JSON object.") from error
    if not isinstance(body, dict):
        raise UserError("The request body is not a JSON object.", 'Send {"action": ...}.')
    return body


def required_string(body: Mapping[str, object], name: str) -> str:
    """Return the string `name`. Raises UserError without it."""
    value = body.get(name)
    if not isinstance(value, str):
        raise UserError(f"{name} is not a string.", f'Send {{"{name}": "..."}}.')
    return value


def optional_string(body: Mapping[str, object], name: str) -> str | None:
    """Return the string `name`; None where it is missing or null."""
    return None if body.get(name) is None else required_string(body, name)


def flag(body: Mapping[str, object], name: str) -> bool:
    """Return whether `name` is true; False without it."""
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise UserError(f"{name} is not true or false.", f'Send {{"{name}": true}}.')
    return value


def keys(body: Mapping[str, object]) -> list[str] | None:
    """Return the keys of items; None where they are missing or null."""
    given = body.get("keys")
    if given is None:
        return None
    if not isinstance(given, list) or not all(isinstance(key, str) for key in given) or not given:
        raise UserError("keys is not a list of item keys.", "Leave it out to select all items.")
    return given


def _refuse_constant(name: str) -> None:
    """Refuse NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(name)
