"""JSON that can be printed: characters that could control a terminal are escaped."""

from __future__ import annotations

import json
import re

# Not escaped by json.dumps: DEL, C1 controls, line separators, bidirectional controls, lone surrogates.
_CONTROLS = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def json_text(value: object, indent: int | None = None) -> str:
    """Return `value` as JSON. Objects that JSON does not have become strings.

    JSON itself requires escapes for C0 controls only.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent, default=str)
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
