"""Dates as people write them in filters."""

from __future__ import annotations

import datetime
import re

from homescribe.errors import UserError


def checked_date(text: str) -> str:
    """Return `text` if it is an ISO 8601 date ("2026-03-01"), else raise UserError.

    Dates are compared as text, so that other spellings of a date would compare wrongly.
    """
    try:
        if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            raise ValueError
        datetime.date.fromisoformat(text)
    except ValueError:
        raise UserError(f"{text!r} is not a date.", "Write it like 2026-03-01.") from None
    return text
