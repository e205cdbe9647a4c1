"""Addresses and messages without secrets: the one place that decides what a secret in them is.

The address of a private feed or of its recordings contains a token, in its query or in its path. It is
stored for requests only. Everything that people and other programs see (tables, JSON, exports, the page,
errors, logs) shows it with a mark in place of each secret:

    https://feeds.example/rss/show?auth=~3f9a1c2b

The mark is the start of a hash of the whole address, so it is the same each time and differs between two
private feeds of a show. Commands accept the address in this form. A user name and password before the host
are left out.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from enum import IntEnum
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from homescribe.core import Item

UNREADABLE = "(an address that cannot be read)"

ADDRESS = re.compile(r"\b[A-Za-z][\w+.-]*://[^\s'\"<>)\]]+")
_MARK = re.compile(r"~[0-9a-f]{8}")


def _words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words of which the names of parameters with secrets consist, or path segments before a secret.
_SECRET_WORDS = _words_of(
    "access account apikey auth authkey authorization code credential credentials email hash hdnea hdnts "
    "hmac jwt key keypair login member nonce pass passcode passwd password pin policy private pw pwd secret "
    "session sessionid sid sig sign signature ticket tok token tokens u uid user userid username uuid"
)
_SECRET_SEGMENTS = _words_of("auth key password private secret token")
# Parameters that name a public page. Others are secrets in the address of a feed or of a recording.
_PUBLIC_NAMES = _words_of(
    "cat channel channel_id e ep episode episodes feed feed_id format guid id lang language limit list n p "
    "page playlist playlist_id podcast podcast_id post_type show size sort t type v video"
)
# Sites whose addresses contain random ids that are public, and nothing secret.
_PUBLIC_SITES = re.compile(r"(^|\.)(youtube\.com|youtu\.be|youtube-nocookie\.com)$")
# Hosts whose feeds, also the public ones, have ids of 8 or more characters that look random.
_PUBLIC_IDS = re.compile(
    r"^(anchor\.fm|feeds\.simplecast\.com)$|(^|\.)(bilibili\.com|dailymotion\.com)$"
)
_NAME_WORDS = re.compile(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*")
_UUID = re.compile(r"[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.IGNORECASE)
_SEPARATORS = re.compile(r"[-_.,:+!@ ]+")
# Pairs of letters, and runs of consonants, that few words have and most random texts of 14 letters do.
_RARE_PAIR = re.compile(
    "[jvxz](?!z)[bcdfghjklmnpqrstvwxz]|q[^u]|[bcdfghklmnprstvwz][jqx]", re.IGNORECASE
)
_CONSONANTS = re.compile("[bcdfghjklmnpqrstvwxz]{5}", re.IGNORECASE)
_EXTENSION = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")

# Text of requests and urllib3 with a path instead of an address, and of HTTP headers.
_PATH_IN_MESSAGE = re.compile(r"(\burl: )(/[^\s'\"<>)]*)")
_HEADER = re.compile(
    r"\b((?:Proxy-)?Authorization|Cookie|Set-Cookie|X-[\w-]*Token)(['\"]?\s*[:=]\s*)([^\r\n]+)",
    re.IGNORECASE,
)


class _Level(IntEnum):
    """How much of an address may be a secret."""

    PAGE = 0
    RECORDING = 1
    FEED = 2


def shown_feed(url: str) -> str:
    """Return the address of a source, or of anything in a message, as outputs show it.

    As `shown_address`, and without what `may_be_token`: such an address is a name and no link, so little is
    lost when an id in it is no secret.
    """
    return _shown(url, _Level.FEED)


def shown_address(url: str) -> str:
    """Return the address of a recording as outputs show it.

    A query parameter is public only if it is known as such; a path segment is public unless it looks random
    in 16 or more characters or comes after a word such as "private".
    """
    return _shown(url, _Level.RECORDING)


def shown_page(url: str) -> str:
    """Return the address of a page as outputs show it. It opens, unless it has an evident secret.

    A secret is evident by its name (`token=...`, /private/...), or in the query by its form: 20 random
    characters.
    """
    return _shown(url, _Level.PAGE)


def is_redacted(url: str) -> bool:
    """Whether `url` has a mark in place of a secret, so that it cannot be opened."""
    return "~" in url and re.match(r"https?://", url) is not None and bool(_MARK.search(url))


def openable(address: str, *, published: bool = False) -> bool:
    """Whether a link to `address` opens: it is http, https or file, and no secret is left out.

    `published` is whether others see it, who cannot open files of this computer.
    """
    schemes = "https?://" if published else "(https?|file)://"
    return re.match(schemes, address, re.IGNORECASE) is not None and not is_redacted(address)


def without_marks(url: str) -> str:
    """Return `url` as `shown_feed` returned it, without parameters that are secrets and the fragment."""
    parts = urlsplit(url)
    public = [pair for pair in parts.query.split("&") if not _MARK.search(pair)]
    return parts._replace(query="&".join(public), fragment="").geturl()


def shown_text(text: str) -> str:
    """Return a message or a traceback with its addresses as `shown_feed` shows them, without cookies."""
    if "://" in text:
        text = ADDRESS.sub(_shown_match, text)
    if "url: /" in text:
        text = _PATH_IN_MESSAGE.sub(
            lambda match: match[1] + shown_feed(f"http://-{match[2]}")[len("http://-") :], text
        )
    return _HEADER.sub(r"\1\2~", text)


def _shown_match(match: re.Match[str]) -> str:
    url = match[0].rstrip(".,;:")
    return shown_feed(url) + match[0][len(url) :]


def shown_item(item: Item) -> Item:
    """Return `item` as outputs show it: without the addresses of its recording and its transcripts.

    Other addresses are without secrets.
    """
    # An episode without a page of its own has the address of its recording.
    shown = shown_address if item.url == item.media_url else shown_page
    channel_id = item.channel_id
    if channel_id and "://" in channel_id:  # a feed
        channel_id = shown_feed(channel_id)
    return replace(
        item, url=shown(item.url), channel_id=channel_id, media_url=None, transcript_links=()
    )


def without_password(url: str) -> str:
    """Return `url` without a user name and a password before its host."""
    return re.sub(r"^([A-Za-z][\w+.-]*://)[^/?#]*@", r"\1", url)


def has_password(url: str) -> bool:
    """Whether `url` has a user name or password before its host."""
    return without_password(url) != url


# --- Parts of an address -------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def _shown(url: str, level: _Level) -> str:
    if not re.match(r"(?:[A-Za-z][\w+.-]*:)?//", url) or url[:5].lower() == "file:":
        return url  # a path
    plain = without_password(url)
    try:
        parts = urlsplit(plain)
        host = parts.hostname or ""
        _ = parts.port  # raises ValueError if it is no number
    except ValueError:
        return UNREADABLE if level else re.split("[?#]", plain, maxsplit=1)[0]
    if _PUBLIC_SITES.search(host):
        return plain
    if _PUBLIC_IDS.search(host):
        level = min(level, _Level.RECORDING)
    # "surrogatepass": a hostile address may contain half an emoji.
    mark = "~" + hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    path = _shown_path(parts.path, mark, level)
    query = _shown_pairs(parts.query, mark, level)
    fragment = _shown_pairs(parts.fragment, mark, _Level.PAGE)
    if (path, query, fragment) == (parts.path, parts.query, parts.fragment):
        return plain
    return parts._replace(path=path, query=query, fragment=fragment).geturl()


def _shown_path(path: str, mark: str, level: _Level) -> str:
    segments = path.split("/")
    shown = []
    for number, segment in enumerate(segments):
        before = segments[number - 1].lower() if number else ""
        first, semicolon, parameters = segment.partition(";")  # "feed;token=abc"
        text = unquote(first)
        extension = _EXTENSION.search(text)
        name = text[: extension.start()] if extension else text
        is_last = number == len(segments) - 1
        secret = bool(name) and (
            (before in _SECRET_SEGMENTS and not (is_last and re.fullmatch("[a-z]+", name)))
            or (level >= _Level.RECORDING and (_is_random(name, 16) or _names_a_secret(name)))
            or (level is _Level.FEED and may_be_token(name))
        )
        if secret and not _MARK.fullmatch(name):
            first = mark + (extension[0] if extension else "")
        shown.append(
            first + semicolon + _shown_pairs(parameters, mark, max(level, _Level.RECORDING), ";")
        )
    return "/".join(shown)


def _shown_pairs(query: str, mark: str, level: _Level, separator: str = "&") -> str:
    return separator.join(_shown_pair(pair, mark, level) for pair in query.split(separator))


def _shown_pair(pair: str, mark: str, level: _Level) -> str:
    name, equals, value = pair.partition("=")
    value = unquote(value)
    if equals and level is _Level.FEED and may_be_token(unquote(name)):
        return mark
    if not equals:  # a query of one word may be the token itself
        text = unquote(name)
        secret = _is_random(text, 16) or (level is _Level.FEED and may_be_token(text))
        return mark if secret and not _MARK.fullmatch(name) else pair
    if not value or _MARK.fullmatch(value):
        return pair
    return f"{name}={mark}" if _is_secret(unquote(name), value, level) else pair


def _is_secret(name: str, value: str, level: _Level) -> bool:
    if set(_words(name)) & _SECRET_WORDS:
        return True
    is_public = name.lower() in _PUBLIC_NAMES
    if level is _Level.PAGE:
        return not is_public and _is_random(value, 20)
    if not is_public or _is_random(value, 16):
        return True
    return level is _Level.FEED and may_be_token(value)


def _words(name: str) -> list[str]:
    """The words of a name: "accessToken", "X-Amz-Signature", "auth_key"."""
    return [word.lower() for word in _NAME_WORDS.findall(name)]


def _names_a_secret(segment: str) -> bool:
    """Whether a path segment is itself a secret by its words: "TOKEN-1", "s3cr3t", "secret42".

    Titles have such words, too ("the-secret-history"), but are in lower case without digits.
    """
    is_title = segment == segment.lower() and not re.search(r"\d", segment)
    letters = re.sub(r"[\d_.-]", "", segment)
    in_capitals = len(letters) >= 12 and letters.isalpha() and letters.isupper()
    return in_capitals or (not is_title and bool(set(_words(segment)) & _SECRET_WORDS))


def _is_random(text: str, least: int) -> bool:
    """Whether `text` has the form of a token: a UUID, or at least `least` characters that look random."""
    if _UUID.fullmatch(text):
        return True
    if len(text) < least or " " in text:
        return False
    if text.startswith("eyJ") and len(text) >= 40:  # a JSON web token
        return True
    return len(_changes(text)) > len(text) / 5


def may_be_token(text: str) -> bool:
    """Whether part of the address of a feed may be a token, by the form of one of its words.

    That is a word of 8 or more characters with digits among its letters, of 12 or more digits, or of 14 or
    more letters that are not spelled like words. A word with a number at one end is none: "VMP5705694065".
    """
    return any(_word_may_be_token(word) for word in _SEPARATORS.split(text))


def _word_may_be_token(word: str) -> bool:
    if len(word) < 8:
        return False
    if word.isdigit():
        return len(word) >= 12
    if re.search(r"\d", word):
        switches = re.findall(r"\d(?=[A-Za-z])|[A-Za-z](?=\d)", word)
        return len(switches) >= 2 or len(_changes(word)) >= 3
    if len(_changes(word)) > len(word) / 4:  # "aBcDeFgH", not "TheDailyShow"
        return True
    if len(word) < 14 or not word.isascii() or not word.isalpha():
        return False
    vowels = re.findall("[aeiouy]", word, re.IGNORECASE)
    rare = len(_RARE_PAIR.findall(word)) >= 2 or _CONSONANTS.search(word) is not None
    return rare or len(vowels) < len(word) / 4


def _changes(text: str) -> list[str]:
    """The places in `text` where lower case, upper case and digits follow each other as in no word."""
    return re.findall(r"[a-z](?=[A-Z0-9])|[A-Z](?=[0-9])|[0-9](?=[A-Za-z])", text)
