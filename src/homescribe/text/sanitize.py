"""What strangers write, made fit to store and to show: titles, descriptions, addresses, dates.

Everything here takes hostile input and gives plain text: no control characters, no lone surrogates (no
database takes them), nothing that turns the direction of the line around it, no endless line.
"""

from __future__ import annotations

import datetime
import html
import re
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

TITLE_CHARACTERS = 500  # YouTube allows 100, iTunes 255; what is longer is an attack or an accident
DESCRIPTION_CHARACTERS = 50_000
MESSAGE_CHARACTERS = 300

# C0 and C1 controls except tab and newline; bidirectional embeddings, overrides, isolates; lone surrogates.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# What Python's libraries tell of themselves: objects, numbers of errors, and the names of our own downloads.
_INTERNALS = (
    (re.compile(r"\bHTTPS?Connection(?:Pool)?\([^)]*\):?\s*"), ""),
    (re.compile(r"<[^<>]*object at 0x[0-9a-fA-F]+>:?\s*"), ""),
    (re.compile(r"\[(?:Errno|WinError) -?[0-9]+\]\s*"), ""),
    (re.compile(r"(['\"])(?:[^'\"]*[/\\])?audio(?:\.[\w+-]+)+\1"), "the recording"),
    (re.compile(r"(?<![^\s(:])(?:[^\s'\"]*[/\\])?audio(?:\.[\w+-]+)+"), "the recording"),
)
_ADDRESS = re.compile(r"https?://[^\s'\"<>)\]]+")
# Query parameters that name a public page; all others may be tokens.
_PUBLIC_PARAMETERS = ("v", "list", "id")


def one_line(text: str, characters: int = TITLE_CHARACTERS) -> str:
    """`text` on one line of at most `characters`, white space folded."""
    return _cut(" ".join(_UNFIT.sub(" ", text[: 20 * characters]).split()), characters)


def paragraphs(text: str, characters: int = DESCRIPTION_CHARACTERS) -> str:
    """`text` with its line breaks, at most `characters`."""
    lines = text[: 4 * characters].replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = "\n".join(_UNFIT.sub(" ", line).rstrip() for line in lines)
    return _cut(re.sub(r"\n{3,}", "\n\n", kept).strip(), characters)


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"


class _Text(HTMLParser):
    """Collects the text of an HTML fragment, a line for each block."""

    BLOCKS = frozenset({"p", "br", "div", "li", "ul", "ol", "tr", "h1", "h2", "h3", "h4"})
    HIDDEN = frozenset({"script", "style"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden += tag in self.HIDDEN
        if tag in self.BLOCKS:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.HIDDEN:
            self.hidden = max(0, self.hidden - 1)
        elif tag in self.BLOCKS and tag != "br":
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.pieces.append(data)


def from_html(text: str) -> str:
    """The text of a description that may hold HTML."""
    text = text[: 4 * DESCRIPTION_CHARACTERS]
    if "<" not in text:
        return paragraphs(html.unescape(text))
    parser = _Text()
    parser.feed(text)
    parser.close()
    lines = "".join(parser.pieces).split("\n")
    return paragraphs("\n".join(" ".join(line.split()) for line in lines))


def public(url: str) -> str:
    """`url` fit for a message: without password, fragment, and parameters that may be tokens."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(an address that cannot be read)"
    host = f"[{host}]" if ":" in host else host
    query = [pair for pair in parse_qsl(parts.query) if pair[0] in _PUBLIC_PARAMETERS]
    return one_line(urlunsplit((parts.scheme, host + port, parts.path, urlencode(query), "")))


def message(text: str) -> str:
    """`text` as part of a one-line message, its addresses fit to be shown, no internals of programs in it."""
    addresses: list[str] = []

    def kept(match: re.Match[str]) -> str:
        addresses.append(public(match[0]))
        return f"\0{len(addresses) - 1}\0"

    shown = _ADDRESS.sub(kept, text.replace("\0", " "))
    for internal, instead in _INTERNALS:
        shown = internal.sub(instead, shown)
    shown = re.sub("\0([0-9]+)\0", lambda match: addresses[int(match[1])], shown)
    return one_line(shown, MESSAGE_CHARACTERS).rstrip(" .;:,")


def has_password(url: str) -> bool:
    """Whether `url` carries credentials before its host."""
    return "@" in urlsplit(url).netloc


def iso_date(text: str | None) -> str | None:
    """A date as yt-dlp writes it ("20260301") in ISO 8601; None for anything that is no date."""
    if not text or not re.fullmatch(r"[0-9]{8}", text):
        return None
    try:
        return datetime.date(int(text[:4]), int(text[4:6]), int(text[6:])).isoformat()
    except ValueError:
        return None


def language_tag(text: str | None) -> str | None:
    """`text` if it has the form of a BCP 47 tag ("en", "pt-BR"), with hyphens; else None."""
    tag = (text or "").strip().replace("_", "-")
    return tag if re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}", tag) else None
