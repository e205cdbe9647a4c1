"""Documents that list addresses: OPML, which podcast players export, and playlists (m3u, pls)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import urljoin
from xml.etree import ElementTree

from homescribe.errors import UserError
from homescribe.text.charsets import decoded

MAX_BYTES = 16 * 2**20
MAX_ADDRESSES = 10_000
HEAD_BYTES = 4096  # in which the kind shows

Kind = Literal["OPML", "m3u", "pls"]
SUFFIXES: dict[str, Kind] = {".opml": "OPML", ".m3u": "m3u", ".m3u8": "m3u", ".pls": "pls"}
# A playlist with these lines is one recording in parts, not a list of recordings (HLS, RFC 8216).
_HLS = re.compile(rb"^#EXT-X-", re.MULTILINE)
_FEED = r"feed://|(?:feed:)?https?://"
_SCHEME = re.compile(r"[a-z][a-z\d+.-]+:", re.IGNORECASE)  # "C:" is none
_OPML_ROOT = re.compile(r"\s*<opml[\s>/]", re.IGNORECASE)
_PROLOGUE = re.compile(
    r"<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[>]*(\[.*?\])?\s*>", re.DOTALL | re.IGNORECASE
)


def kind_of(start: bytes, suffix: str = "") -> Kind | None:
    """Return the kind of list that begins with `start`; None for anything else, such as an HLS playlist.

    Args:
        suffix: the extension of its name, which decides where the content does not: a playlist of bare lines.
    """
    text = decoded(start[:HEAD_BYTES]).lstrip()
    if _OPML_ROOT.match(_PROLOGUE.sub("", text)):
        return "OPML"
    if re.match(r"\[playlist\]", text, re.IGNORECASE):
        return "pls"
    by_name = SUFFIXES.get(suffix.lower())
    if text.startswith("#EXTM3U") or by_name == "m3u":
        return None if _HLS.search(start) else "m3u"
    return by_name


def _feeds(content: bytes, name: str) -> Iterator[str]:
    """Yield the xmlUrl of each outline of an OPML document."""
    try:
        if b"<!ENTITY" in content.replace(b"\0", b""):  # the zeros of UTF-16
            raise ElementTree.ParseError("entities are not allowed")
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UserError(f"{name} is no OPML: {error}.", "Export it again.") from error
    for outline in root.iter("outline"):
        yield outline.get("xmlUrl", "").strip()


def _recordings(text: str, kind: Kind) -> Iterator[str]:
    """Yield what a playlist names: its lines without comments (m3u), or the values of File1, ... (pls)."""
    for line in text.splitlines():
        if kind == "m3u" and not line.lstrip().startswith("#"):
            yield line.strip()
        elif kind == "pls" and (match := re.match(r"\s*File\d+\s*=(.*)", line, re.IGNORECASE)):
            yield match[1].strip()


def from_file(path: Path) -> tuple[str, ...] | None:
    """Return the addresses and paths that the file at `path` lists; None if it is no list.

    Raises UserError when the list is empty or cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix not in (*SUFFIXES, ".xml") or not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.", "Check it.") from error
    kind = kind_of(content, suffix)
    if kind is None:
        return None
    check_size(content, str(path))
    folder = path.absolute().parent
    if kind == "OPML":
        named = _feeds(content, str(path))
    else:  # names of files need not be valid in any encoding
        named = _recordings(os.fsdecode(content.removeprefix(b"\xef\xbb\xbf")), kind)
    return _checked([url for one in named if (url := _local(one, folder))], str(path), kind)


def _local(entry: str, folder: Path) -> str | None:
    """Return the address or path that a file in `folder` names; None for what is neither."""
    if _SCHEME.match(entry):
        return entry if re.match(f"{_FEED}|file://", entry, re.IGNORECASE) else None
    return str(folder / entry) if entry else None


def from_web(
    content: bytes, kind: Kind, base: str, name: str, charset: str | None = None
) -> tuple[str, ...]:
    """Return the web addresses in a list that was read at `base`, to which they may be relative.

    A list on the web names nothing on this computer. Raises UserError when the list is empty or damaged.

    Args:
        name: what error messages call it.
    """
    is_opml = kind == "OPML"
    named = _feeds(content, name) if is_opml else _recordings(decoded(content, charset), kind)
    return _checked([url for one in named if (url := _on_web(one, base))], name, kind)


def _on_web(entry: str, base: str) -> str | None:
    try:
        url = urljoin(base, entry) if entry else ""
    except ValueError:
        return None
    return url if re.match(f"(?:{_FEED})[^/]", url, re.IGNORECASE) else None


def check_size(content: bytes, name: str) -> None:
    """Raise UserError if the list called `name` is longer than MAX_BYTES."""
    if len(content) > MAX_BYTES:
        raise UserError(
            f"{name} is longer than {MAX_BYTES // 2**20} MiB.", "Divide it into several lists."
        )


def _checked(found: list[str], name: str, kind: Kind) -> tuple[str, ...]:
    """Return each address once; raise UserError if there are none, or too many."""
    unique = tuple(dict.fromkeys(found))
    if not unique:
        raise UserError(
            f"{name} lists no {'feeds' if kind == 'OPML' else 'recordings'}.",
            "Give an OPML file with xmlUrl, or a playlist with one address or path per line.",
        )
    if len(unique) > MAX_ADDRESSES:
        raise UserError(
            f"{name} lists {len(unique)} addresses, more than {MAX_ADDRESSES}.",
            "Divide it into several lists.",
        )
    return unique
