"""Names of export files: safe on every system, and a different one for each item."""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Sequence

from homescribe import plugins
from homescribe.core import Item
from homescribe.text.sanitize import file_safe_line

# Longest name. Most file systems allow 255 bytes, encrypted ones (eCryptfs, on many NAS) only 143.
NAME_BYTES = 143
EXTENSION_CHARACTERS = 20

# Device names on Windows: https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", "conin$", "conout$"]
    + [f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³"]
)
# Characters that are invisible or reorder text: they make one name look like another.
_INVISIBLE = re.compile(
    "[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
_JOINING = "\u200d\ufe0e\ufe0f"


def file_name(item: Item, extension: str, more: str = "") -> str:
    """Return the name of the export file of `item`: "2026-03-01 Title [dQw4w9WgXcQ].srt".

    It depends on the item only, so it is the same each time, and no other item has it, even on file systems
    that ignore case. It is valid on every system: at most NAME_BYTES bytes of UTF-8, in NFC. `more` is added
    to what is in brackets.
    """
    if not re.fullmatch(rf"[A-Za-z0-9][A-Za-z0-9_.-]{{0,{EXTENSION_CHARACTERS - 1}}}", extension):
        raise ValueError(f"not an extension: {extension!r}")
    date = plugins.source_of(item).file_date(item) or ""
    date = f"{date} " if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", date) else ""
    end = f"[{item_tag(item)}{more}].{extension}"
    title = safe_name(item.title, size=NAME_BYTES - len(date) - len(end) - 1, alone=not date)
    return f"{date}{title} {end}" if title else f"{date}{end}"


def file_names(item: Item, copies: Sequence[Item], extension: str) -> list[str]:
    """Return the names of the export files of `item` and of its copies, all different.

    A copy whose name is taken gets a hash of its path: "talk [file 3b544691d80a34fd copy k3v9xq2m].srt".
    """
    names = [file_name(item, extension)]
    taken = {names[0].casefold()}
    for copy in copies:
        name = file_name(copy, extension)
        if name.casefold() in taken:
            digest = hashlib.sha256(copy.url.encode(errors="surrogatepass")).digest()
            name = file_name(
                copy, extension, f" copy {base64.b32encode(digest)[:8].decode().lower()}"
            )
        taken.add(name.casefold())
        names.append(name)
    return names


def safe_file_name(name: str) -> str:
    """Return `name`, which a stranger chose for a file, as one that is valid on every system.

    Folders in it are left out, and the file is not hidden. Its extension is kept.
    """
    stem, dot, extension = re.split(r"[/\\]", name)[-1].rpartition(".")
    if not dot or not re.fullmatch(rf"[A-Za-z0-9]{{1,{EXTENSION_CHARACTERS}}}", extension):
        stem, dot, extension = f"{stem}{dot}{extension}", "", ""
    stem = safe_name(stem).strip(".-~ ")
    if stem.partition(".")[0].rstrip().lower() in _RESERVED:
        stem = f"_{stem}"
    end = f"{dot}{extension}"
    return _cut(stem or "recording", NAME_BYTES - len(end) - 8) + end  # 8: for a number


def safe_name(title: str, *, size: int = 0, alone: bool = False) -> str:
    """Return `title` with similar characters for those that a file system forbids.

    Args:
        size: most bytes of UTF-8; 0 for no limit.
        alone: whether the name begins with it. Then it does not begin with a dot, and is not reserved.
    """
    title = re.sub(r"\s*:\s+", " - ", _INVISIBLE.sub("", file_safe_line(title)))
    title = re.sub(r"[/\\|:]", "-", title).replace('"', "'")
    title = " ".join(re.sub(r"[<>*?]", "", title).split())
    title = unicodedata.normalize("NFC", title)
    if alone:
        title = title.lstrip(".-~ ")
        if title.partition(".")[0].rstrip().lower() in _RESERVED:
            title = f"_{title}"
    return _cut(title, size) if size else title


def _cut(title: str, size: int) -> str:
    """Shorten `title` to at most `size` bytes, at the end of a word if one is near, else of a character."""
    if len(title.encode()) <= size:
        return title
    ellipsis = "…"
    kept = title.encode()[: size - len(ellipsis.encode())].decode(errors="ignore")
    while kept and (_joined(title[len(kept)]) or kept[-1] == "\u200d"):
        kept = kept[:-1]
    words = kept.rpartition(" ")[0]
    return (words if len(words) > len(kept) * 0.7 else kept).rstrip(" -,;.") + ellipsis


def _joined(character: str) -> bool:
    """Whether `character` combines with the one before it: an accent, a joiner, a skin tone."""
    return (
        unicodedata.category(character).startswith("M")
        or character in _JOINING
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )


def item_tag(item: Item) -> str:
    """Return the source's tag for `item`, else "source id", with "~" and a hash if it had to be altered."""
    tag = plugins.source_of(item).file_tag(item)
    if tag and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", tag):
        return tag
    if re.fullmatch(r"[a-z0-9_]{1,32} [a-z0-9_.-]{1,32}", plain := f"{item.source} {item.id}"):
        return plain
    source, name = (
        re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-")[:16] for part in (item.source, item.id)
    )
    digest = hashlib.sha256(item.key.encode(errors="surrogatepass")).digest()
    return f"{source} {name}~{base64.b32encode(digest)[:12].decode().lower()}".strip()
