"""What is stored at home with a call, as JSON: its price, and where it was submitted."""

from __future__ import annotations

from typing import TypedDict, cast

from homescribe.backends.wire import stored_metadata
from homescribe.core import Call


class CallMetadata(TypedDict, total=False):
    """What is stored with a call at home, as JSON. A call of an older version may lack any of it."""

    engine: str
    model: str
    gpu: str
    token: str
    machines: int  # that ran at once at most
    alone: bool  # submitted to a container of its own
    audio_seconds: float
    rate: float  # dollars per second
    expected: float  # dollars
    workspace: str
    environment: str


TEXTS = ("engine", "model", "gpu", "token", "workspace", "environment")


class Place(TypedDict, total=False):
    """Where calls are submitted. Modal knows a call only there."""

    workspace: str
    environment: str


def place_name(known: Place | CallMetadata) -> str:
    """Return "workspace acme, environment main"."""
    names = (known.get("workspace"), known.get("environment"))
    return ", ".join(
        f"{what} {name or 'unknown'}"
        for what, name in zip(("workspace", "environment"), names, strict=True)
    )


def read_metadata(call: Call) -> CallMetadata:
    """Return what is stored with a call, without what cannot be read."""
    known = {
        name: value
        for name, value in stored_metadata(call).items()
        if isinstance(value, str if name in TEXTS else bool if name == "alone" else int | float)
    }
    return cast(CallMetadata, known)
