"""The JSON object in the body of a request."""

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


def _refuse_constant(name: str) -> None:
    """Refuse NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(name)
