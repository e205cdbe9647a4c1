"""Make text from strangers safe to store, show and write: titles, descriptions, addresses, error messages.

Every function takes hostile text. `terminal_safe`, `page_safe`, `sqlite_safe`, `file_safe` and `utf8_safe`
are named after the place that their result is safe for; the others clean what a site, a feed or a library
reports.
"""

from __future__ import annotations

import datetime
import html
import re
import unicodedata
from html.parser import HTMLParser
from urllib.parse import quote

from homescribe.text.redaction import ADDRESS, shown_feed, shown_text, without_marks

TITLE_CHARACTERS = 500  # YouTube allows 100, iTunes 255; longer ones are an attack or an accident
DESCRIPTION_CHARACTERS = 50_000
MESSAGE_CHARACTERS = 300

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Lone surrogates, which half an emoji in a title leaves; UTF-8 cannot encode them.
_SURROGATES = range(0xD800, 0xE000)
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))  # C0, DEL and C1: terminal escapes among them
# Bidirectional embeddings, overrides and isolates, with which a title could reorder the rest of its line.
_BIDI_CONTROLS = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))

# --- For a terminal ------------------------------------------------------------------------------

_TERMINAL = {
    **dict.fromkeys([*_CONTROLS, *_BIDI_CONTROLS, *_SURROGATES]),
    **{ord(space): " " for space in "\t\n\r\u2028\u2029"},
}


def terminal_safe(text: str) -> str:
    """Return `text` on one line, without control characters, bidirectional controls and surrogates."""
    return terminal_safe_part(text).strip()


def terminal_message(text: str) -> str:
    """Return an error message as `terminal_safe` does, without the secrets in its addresses."""
    return terminal_safe(shown_text(text))


def terminal_safe_part(text: str) -> str:
    """Return `text` as `terminal_safe` does, with the spaces at its ends: part of a longer line."""
    return text.translate(_TERMINAL)


# --- For a page ----------------------------------------------------------------------------------

_PAGE = dict.fromkeys(_BIDI_CONTROLS, "\N{WORD JOINER}")


def page_safe(text: str) -> str:
    """Return `text` of the same length with an invisible character for each bidirectional control."""
    return text.translate(_PAGE)


# --- For SQLite ----------------------------------------------------------------------------------

_NOT_IN_SQLITE = re.compile("[\x00\ud800-\udfff]")


def sqlite_safe(text: str) -> str:
    """Return `text` with NUL and lone surrogates, which SQLite cannot hold as text, as U+FFFD."""
    return _NOT_IN_SQLITE.sub(_REPLACEMENT, text)


def is_sqlite_safe(text: str) -> bool:
    """Whether SQLite can hold `text` as it is."""
    return _NOT_IN_SQLITE.search(text) is None


# --- For a text file -----------------------------------------------------------------------------

_FILE = {
    **dict.fromkeys(set(_CONTROLS) - {ord(kept) for kept in "\t\n\r"}),
    **{ord(space): " " for space in "\v\f\x85"},
    **dict.fromkeys(_SURROGATES, _REPLACEMENT),
}


def file_safe(text: str) -> str:
    """Return `text` with "\\n" at the ends of lines, without control characters and lone surrogates."""
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_FILE)


def file_safe_line(text: str) -> str:
    """Return `text` as `file_safe` does, on one line, with each run of white space as one space."""
    return " ".join(file_safe(text).split())


# A spreadsheet takes a cell that begins with one of these for a formula, which may start programs.
_FORMULA = frozenset("=+-@\uff1d\uff0b\uff20")
# Categories of characters that some programs drop from the beginning.
_NOT_SEEN = frozenset({"Cc", "Cf"})


def spreadsheet_safe(text: str) -> str:
    """Return a cell of a table with an apostrophe before what a spreadsheet would take for a formula."""
    seen = (
        character
        for character in text
        if not character.isspace() and unicodedata.category(character) not in _NOT_SEEN
    )
    return f"'{text}" if next(seen, "") in _FORMULA else text


def utf8_safe(text: str) -> str:
    """Return `text` with "?" for each lone surrogate. Control characters stay: JSON escapes them."""
    return text.encode(errors="replace").decode()


# --- What a site or a feed says ------------------------------------------------------------------

# C0 and C1 controls except tab and newline; bidirectional controls; lone surrogates.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NOT_IN_URL = re.compile("[\x00-\x20\x7f-\xa0\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# Internals in messages of Python's libraries: objects, error numbers, names of our own downloads.
_INTERNALS = (
    (re.compile(r"\bHTTPS?Connection(?:Pool)?\([^)]*\):?\s*"), ""),
    (re.compile(r"<[^<>]*object at 0x[0-9a-fA-F]+>:?\s*"), ""),
    (re.compile(r"\[(?:Errno|WinError) -?[0-9]+\]\s*"), ""),
    (re.compile(r"(['\"])(?:[^'\"]*[/\\])?audio(?:\.[\w+-]+)+\1"), "the recording"),
    (re.compile(r"(?<![^\s(:])(?:[^\s'\"]*[/\\])?audio(?:\.[\w+-]+)+"), "the recording"),
)


def one_line(text: str, characters: int = TITLE_CHARACTERS) -> str:
    """Return `text` on one line of at most `characters`, with each run of white space as one space."""
    return _cut(" ".join(_UNFIT.sub(" ", text[: 20 * characters]).split()), characters)


def multi_line(text: str, characters: int = DESCRIPTION_CHARACTERS) -> str:
    """Return `text` with its line breaks, at most `characters` and one empty line in a row."""
    lines = text[: 4 * characters].replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = "\n".join(_UNFIT.sub(" ", line).rstrip() for line in lines)
    return _cut(re.sub(r"\n{3,}", "\n\n", kept).strip(), characters)


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1].rstrip() + "…"


class _Text(HTMLParser):
    """Collect the text of an HTML fragment, one line for each block."""

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


def html_to_text(text: str) -> str:
    """Return the text of a description that may be HTML."""
    text = text[: 4 * DESCRIPTION_CHARACTERS]
    if "<" not in text:
        return multi_line(html.unescape(text))
    parser = _Text()
    parser.feed(text)
    parser.close()
    lines = "".join(parser.pieces).split("\n")
    return multi_line("\n".join(" ".join(line.split()) for line in lines))


def url_safe(url: str) -> str:
    """Return `url` with characters percent-encoded that no address contains: spaces, controls, surrogates."""
    return _NOT_IN_URL.sub(lambda match: quote(match[0], errors="replace"), url.strip())


def public_url(url: str) -> str:
    """Return the address of a feed or of a recording for a message: without secrets and fragment."""
    return one_line(without_marks(shown_feed(url)))


def public_message(text: str) -> str:
    """Return a library's error message on one line, without secrets in its URLs and without its internals."""
    shown = shown_text(text.replace("\0", " "))
    kept = map(public_url, ADDRESS.findall(shown))
    shown = ADDRESS.sub("\0", shown)  # no internals are looked for in addresses
    for internal, instead in _INTERNALS:
        shown = internal.sub(instead, shown)
    shown = re.sub("\0", lambda match: next(kept, ""), shown)
    return one_line(shown, MESSAGE_CHARACTERS).rstrip(" .;:,")


def iso_date(text: str | None) -> str | None:
    """Return a date of yt-dlp ("20260301") in ISO 8601; None if it is not a date."""
    if not text or not re.fullmatch(r"[0-9]{8}", text):
        return None
    try:
        return datetime.date(int(text[:4]), int(text[4:6]), int(text[6:])).isoformat()
    except ValueError:
        return None


def language_tag(text: str | None) -> str | None:
    """Return `text` with hyphens if it has the form of a BCP 47 tag ("en", "pt-BR"), else None."""
    tag = (text or "").strip().replace("_", "-")
    return tag if re.fullmatch(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,4}", tag) else None
