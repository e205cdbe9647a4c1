"""Errors in the form of OpenAI's API: https://platform.openai.com/docs/guides/error-codes."""

from __future__ import annotations

from typing import TypedDict

from homescribe.errors import HomescribeError, SetupError
from homescribe.text.redaction import shown_text
from homescribe.text.sanitize import utf8_safe


class OpenAIError(TypedDict):
    message: str
    type: str
    param: None
    code: None


def status_of(error: HomescribeError) -> int:
    """Return the status of a response to a request that failed: 500 where the user's machine is at fault."""
    return 500 if isinstance(error, SetupError) else 400


def openai_error(status: int, message: str, hint: str = "") -> OpenAIError:
    """Return the `error` of a response with `status`."""
    return {
        "message": utf8_safe(shown_text(f"{message} {hint}".strip())),
        "type": "invalid_request_error" if status < 500 else "server_error",
        "param": None,
        "code": None,
    }
