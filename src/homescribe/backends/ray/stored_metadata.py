"""What is stored at home with a call to a cluster, as JSON: its ledger, and what transcribes it."""

from __future__ import annotations

from typing import TypedDict, cast

from homescribe.backends.wire import stored_metadata
from homescribe.core import Call


class CallMetadata(TypedDict, total=False):
    """What is stored with a call at home, as JSON. A damaged one may lack any of it."""

    ledger: str  # name of the ledger that has the call
    engine: str
    model: str
    machine: str


def read_metadata(call: Call) -> CallMetadata:
    """Return what is stored with a call, without what cannot be read."""
    metadata = stored_metadata(call)
    known = {
        name: metadata[name]
        for name in CallMetadata.__annotations__
        if metadata.get(name) and isinstance(metadata[name], str)
    }
    return cast(CallMetadata, known)
