"""Values in JSON of strangers: what has the wrong type counts as missing."""

from __future__ import annotations

from collections.abc import Mapping

_NOTHING: Mapping[str, object] = {}


def as_object(value: object) -> Mapping[str, object]:
    """Return an object, an empty one for anything else."""
    return value if isinstance(value, dict) else _NOTHING


def as_list(value: object) -> list[object]:
    """Return a list, an empty one for anything else."""
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    """Return a text, "" for anything else."""
    return value if isinstance(value, str) else ""
