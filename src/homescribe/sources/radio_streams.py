"""Live radio streams, which look like a recording without a length and do not end."""

from __future__ import annotations

from collections.abc import Mapping


def is_radio(headers: Mapping[str, str]) -> bool:
    """Whether a response is a stream of Icecast or Shoutcast, by its headers: it has no length.

    Those servers also send files, with a length.
    """
    names = {name.lower() for name in headers}
    return "content-length" not in names and any(
        name.startswith("icy-") or name == "ice-audio-info" for name in names
    )
