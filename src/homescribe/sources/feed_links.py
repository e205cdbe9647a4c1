"""The feeds that a web page names, by `<link rel="alternate">`. Pages are hostile input.

Only the head of a page is read, with a few regular expressions that take time in proportion to its length;
Python's HTML parser takes its square for a page that is made for that.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from homescribe.sources.feeds import web_address

# The first are types of feeds. The others are also those of other documents, so they are tried last.
FEED_TYPES = ("application/rss+xml", "application/atom+xml", "application/feed+json")
POSSIBLE_TYPES = ("application/rdf+xml", "application/xml", "text/xml", "application/json")
# Of feeds whose entries are readers' comments: WordPress, Blogger, Drupal, in some languages.
COMMENTS = re.compile(
    r"comments?\b|kommentare?\b|commentaires?\b|coment[aá]rios?\b|commenti\b|reacties\b|replies\b",
    re.IGNORECASE,
)
PODCAST = re.compile(r"podcast|episode|audio|mp3|m4a|aac\b|show\b", re.IGNORECASE)
# Of pages about one recording or one text: https://ogp.me/#types
SINGLE = re.compile(r"article|video(?!\.tv_show)|music\.song|.*episode")

_TAG = re.compile(
    r"<(?:(?P<comment>!--)|(?P<opaque>script|style|title|template)\b|(?P<end>/head\s*>|body\b)"
    r"|(?P<name>link|base|meta)\b)",
    re.IGNORECASE,
)
_ATTRIBUTE = re.compile(
    r"[\s/]*([^\s/=>\"']+)(?:\s*=\s*(\"[^\"]*\"|'[^']*'|[^\s>\"']*))?", re.IGNORECASE
)
_IS_PAGE = re.compile(
    r"\s*(?:<\?xml.{0,200}?\?>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype\s+html|html|head)\b",
    re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class PageLinks:
    """What the head of a page says: addresses of feeds, the best first, and whether it is about one work."""

    feeds: tuple[str, ...] = ()
    single: bool = False


def is_page(start: str) -> bool:
    """Whether a document that starts with `start` is HTML."""
    return _IS_PAGE.match(start) is not None


def page_links(text: str, url: str) -> PageLinks:
    """Return the feeds in the head of the page at `url`, in the order in which they should be tried.

    Those that say that they are podcasts come first, then the others in the order of the page, which is by
    convention that of their importance, then those of comments: their names are no certain sign.
    """
    found: list[tuple[int, str]] = []
    single = False
    base = url
    for name, attributes in _tags(text):
        if name == "base" and attributes.get("href") and base == url:
            base = web_address(attributes["href"], url) or url
        elif name == "meta" and attributes.get("property", "").lower() == "og:type":
            single = single or SINGLE.match(attributes.get("content", "").lower()) is not None
        elif name == "link" and _names_a_feed(attributes):
            address = web_address(attributes["href"], base)
            if address is not None:
                found.append((_order(attributes), address.partition("#")[0]))
    in_order = sorted(found, key=lambda one: one[0])
    return PageLinks(tuple(dict.fromkeys(address for _, address in in_order)), single)


def _names_a_feed(attributes: dict[str, str]) -> bool:
    relations = set(attributes.get("rel", "").lower().split())
    is_alternate = bool({"alternate", "feed"} & relations) and "stylesheet" not in relations
    types = (*FEED_TYPES, *POSSIBLE_TYPES)
    return is_alternate and bool(attributes.get("href")) and _media_type(attributes) in types


def _order(attributes: dict[str, str]) -> int:
    words = f"{attributes.get('title', '')} {attributes['href']}"
    if COMMENTS.search(words):
        return 3
    if _media_type(attributes) in POSSIBLE_TYPES:
        return 2
    return 0 if PODCAST.search(words) else 1


def _media_type(attributes: dict[str, str]) -> str:
    return attributes.get("type", "").partition(";")[0].strip().lower()


def _tags(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the `link`, `base` and `meta` elements of the head with their attributes."""
    at = 0
    while match := _TAG.search(text, at):
        at = match.end()
        if match["end"]:
            return
        if match["comment"] or match["opaque"]:
            closing = "-->" if match["comment"] else f"</{match['opaque'].lower()}"
            end = re.compile(closing, re.IGNORECASE).search(text, at)
            if end is None:
                return
            at = end.end()
            continue
        attributes: dict[str, str] = {}
        while (pair := _ATTRIBUTE.match(text, at)) and pair.end() > at:
            at = pair.end()
            value = pair[2] or ""
            if value[:1] in ('"', "'"):
                value = value[1:-1]
            attributes.setdefault(pair[1].lower(), html.unescape(value).strip())
        yield match["name"].lower(), attributes


def same_page(one: str, other: str) -> bool:
    """Whether two addresses are of one page: scheme, "www.", a slash at the end and trackers do not count."""
    return _plain(one) == _plain(other)


def _plain(url: str) -> str:
    address = re.sub(r"^https?://(?:www\.)?", "", url.partition("#")[0], flags=re.IGNORECASE)
    address, _, query = address.partition("?")
    kept = sorted(
        pair for pair in query.split("&") if pair and not re.match(r"utm_|fbclid=|ref=", pair)
    )
    host, _, path = address.partition("/")
    return f"{host.lower()}/{path.rstrip('/')}?{'&'.join(kept)}"
