"""Change settings in config.toml. Its comments, order and everything else stay as the user wrote them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path

from homescribe.errors import UserError
from homescribe.private_files import replace_file

Value = str | int | float | bool

# A value on one line, and what follows it: a comment.
_LINE = r"""(?m)^(?P<name>[ \t]*(?P<quote>["']?){name}(?P=quote)[ \t]*=[ \t]*)(?P<value>"(?:[^"\\\n]|\\.)*"|'[^'\n]*'|[^\s"'#][^#\n]*?)(?P<end>[ \t]*(?:\#[^\n]*)?\r?)$"""  # noqa: E501


def change_settings(file: Path, changes: Mapping[str, Value | None]) -> None:
    """Write settings into the TOML file `file`, which is created if it does not exist; None removes one.

    Raises UserError if it cannot be read or written, or has a value that is not on one line.
    """
    try:
        text = file.read_bytes().decode() if file.exists() else ""
        wanted: dict[str, object] = tomllib.loads(text)
        changed = text
        for name, value in changes.items():
            wanted.pop(name, None)
            if value is not None:
                wanted[name] = value
            changed = _with_setting(changed, name, value)
            try:
                understood = tomllib.loads(changed) == wanted
            except tomllib.TOMLDecodeError:
                understood = False
            if not understood:
                raise UserError(
                    f"{file} cannot be changed here: {name} cannot be written without changing other lines.",
                    "Edit it by hand.",
                )
        if changed != text:
            replace_file(file, changed.encode())
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be changed: {error}.", "Check the file.") from error


def _with_setting(text: str, name: str, value: Value | None) -> str:
    """Return `text` with the line of a setting replaced, added or, for None, removed."""
    found = re.search(_LINE.format(name=re.escape(name)), text)
    if value is None:
        if found is None:
            return text
        return text[: found.start()] + text[found.end() :].removeprefix("\n")
    written = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if found is None:
        break_ = "" if not text or text.endswith("\n") else "\n"
        return f"{text}{break_}{name} = {written}\n"
    return text[: found.start("value")] + written + text[found.end("value") :]
