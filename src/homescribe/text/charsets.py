"""Decode documents of the web to text: pages, and playlists."""

from __future__ import annotations

import codecs
import re

# A byte order mark, and the encoding that it stands for. That of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_META = re.compile(rb"<meta\b[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
META_BYTES = 4096  # at the start of a page: HTML requires it within the first 1024


def charset_of(content_type: str) -> str | None:
    """Return the charset in a Content-Type header; None without one."""
    match = re.search(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", content_type, re.IGNORECASE)
    return match[1] if match else None


def decoded(body: bytes, charset: str | None = None) -> str:
    """Return `body` as text, whatever it contains.

    The encoding is that of the byte order mark, else `charset`, else what a `<meta>` element says, else UTF-8
    if the bytes are valid in it, else Windows-1252. What cannot be decoded becomes U+FFFD.
    """
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    meta = _META.search(body[:META_BYTES])
    for name in (charset, meta[1].decode("ascii", "replace") if meta else None):
        if name and (found := _encoding(name)):
            return body.decode(found, "replace")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        # A body that was cut at a limit may end within a character.
        cut = len(body) >= META_BYTES and error.start >= len(body) - 3
        return body.decode("utf-8" if cut else "cp1252", "replace")


def _encoding(name: str) -> str | None:
    """Return Python's codec for what browsers understand by a charset; None for an unknown one."""
    try:
        found = codecs.lookup(name)
    except LookupError:
        return None
    if not getattr(found, "_is_text_encoding", True):  # base64, zlib, ...
        return None
    # Browsers read both as Windows-1252, which has quotation marks where these have control characters.
    return "cp1252" if found.name in ("iso8859-1", "ascii") else found.name
