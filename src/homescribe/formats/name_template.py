"""Names of export files by a template, in the syntax of yt-dlp: "%(channel)s/%(title)s.%(ext)s".

What a title or a channel contains never becomes a folder, a hidden file or a name that a system forbids.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from homescribe import plugins
from homescribe.core import Item, Transcript
from homescribe.errors import UserError
from homescribe.formats.filenames import NAME_BYTES, item_tag, safe_name
from homescribe.formats.text_language import text_language

MISSING = "NA"  # what yt-dlp writes where a field is unknown

_FIELDS: dict[str, Callable[[Item, Transcript], str | None]] = {
    "title": lambda item, transcript: item.title,
    "id": lambda item, transcript: item.id,
    "source": lambda item, transcript: item.source,
    "channel": lambda item, transcript: item.channel,
    "upload_date": lambda item, transcript: item.upload_date,
    "language": text_language,
    "model": lambda item, transcript: Path(transcript.model).name,
    "stem": lambda item, transcript: _stem(item),
}
FIELDS = (*_FIELDS, "ext")

_FIELD = re.compile(r"%(?:%|\((?P<name>\w+)\)(?:\.(?P<characters>\d{1,4}))?s)")


def checked_template(template: str) -> str:
    """Return `template`; one without "%(ext)s" at its end gets it.

    Raises UserError if it has an unknown field, no name, or leads out of the directory of the exports.
    """
    hint = f"Fields are {', '.join(f'%({name})s' for name in FIELDS)}. A percent sign is %%."
    names = [match["name"] for match in _FIELD.finditer(template) if match["name"]]
    if unknown := [name for name in names if name not in FIELDS]:
        raise UserError(f"The template has an unknown field: %({unknown[0]})s.", hint)
    rest = _FIELD.sub("x", template)
    if "%" in rest:
        raise UserError(f"The template {template!r} has a percent sign without a field.", hint)
    parts = rest.split("/")
    if any(part.strip(" .") == "" for part in parts) or "\0" in rest or "\\" in rest:
        raise UserError(
            f"The template {template!r} is not a path inside a directory.",
            "Write it without a slash at its beginning or end, without '..' and backslashes: "
            "'%(channel)s/%(title)s.%(ext)s'. -o names the directory.",
        )
    return template if template.endswith("%(ext)s") else f"{template}.%(ext)s"


def templated_path(
    template: str, item: Item, transcript: Transcript, extension: str, *, tagged: bool = False
) -> PurePosixPath:
    """Return the relative path of an export by a template that `checked_template` returned.

    With `tagged`, what identifies the item is added to the name: "Title [dQw4w9WgXcQ].srt".
    """

    def value(match: re.Match[str]) -> str:
        if not match["name"]:
            return "%"
        if match["name"] == "ext":
            return extension
        text = safe_name(_FIELDS[match["name"]](item, transcript) or "") or MISSING
        return text[: int(match["characters"])] if match["characters"] else text

    *folders, name = (_FIELD.sub(value, part) for part in template.split("/"))
    end = f".{extension}"
    stem = name.removesuffix(end)
    if tagged:
        end = f" [{item_tag(item)}]{end}"
    return PurePosixPath(*map(_part, folders), _part(stem, NAME_BYTES - len(end.encode())) + end)


def _part(name: str, size: int = NAME_BYTES) -> str:
    """Return one part of a path. Windows leaves out dots and spaces at its end."""
    return safe_name(name, size=size, alone=True).rstrip(" .") or MISSING


def _stem(item: Item) -> str:
    path = plugins.source_of(item).local_path(item)
    return path.stem if path else item.id
