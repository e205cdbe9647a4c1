"""Files that list addresses: OPML, which podcast players export, and m3u playlists of recordings."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from homescribe.errors import UserError

MAX_BYTES = 16 * 2**20


def addresses_in(name: str) -> list[str]:
    """Return the addresses and paths that the file `name` lists, or `name` itself for anything else.

    Raises UserError when the file lists none or cannot be read.
    """
    path = Path(name).expanduser()
    suffix = path.suffix.lower()
    if suffix not in (".opml", ".m3u", ".m3u8") or not path.is_file():
        return [name]
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", "Check it.") from error
    if suffix == ".opml":
        found = list(_feeds(content, path))
    elif re.search(rb"^#EXT-X-", content, re.MULTILINE):  # the parts of one recording (HLS)
        return [name]
    else:
        found = list(_recordings(content, path.absolute().parent))
    if not found:
        raise UserError(
            f"{path} lists no {'feeds' if suffix == '.opml' else 'recordings'}.",
            "Give an OPML file with xmlUrl, or a playlist with one address or path per line.",
        )
    return list(dict.fromkeys(found))


def _feeds(content: bytes, path: Path) -> Iterator[str]:
    """Yield the xmlUrl of each outline of an OPML document."""
    try:
        if b"<!ENTITY" in content:
            raise ElementTree.ParseError("entities are not allowed")
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UserError(f"{path} is no OPML: {error}.", "Export it again.") from error
    for outline in root.iter("outline"):
        address = outline.get("xmlUrl", "").strip()
        if re.match(r"(https?|feed)://", address, re.IGNORECASE):
            yield address


def _recordings(content: bytes, folder: Path) -> Iterator[str]:
    """Yield the addresses and paths of a playlist; paths are relative to its folder."""
    for line in os.fsdecode(content.removeprefix(b"\xef\xbb\xbf")).splitlines():
        entry = line.strip()
        if re.match(r"[a-z][a-z\d+.-]+:", entry, re.IGNORECASE):
            if re.match(r"(https?|file)://", entry, re.IGNORECASE):
                yield entry
        elif entry and not entry.startswith("#"):
            yield str(folder / entry)
