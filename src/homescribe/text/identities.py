"""What a published recording is known by, beside its key: hashes that stay the same when it is moved.

A key is made from the address of a feed and the guid of an episode. Feeds move, hosts put tokens into
addresses, guids change from http to https, and one episode may be in two feeds. So sources give each item
several identities, made here from what rarely changes; the library stores them, and an item that shares one
is the same recording.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

MEDIA_PATH = re.compile(
    r"\.(mp3|m4a|m4b|aac|ogg|oga|opus|flac|wav|mp4|m4v|mov|webm|mkv)$", re.IGNORECASE
)
GLOBAL = "="  # before an identity that holds in every source
LOCAL = "~"  # before one that holds only within one source of the library
KEY = "key:"  # before a key that the recording has, or had, elsewhere
AUDIO = "audio:"  # before a hash of the compressed audio
# A guid that no other publisher would make: a UUID, another long number, an address or a tag.
UNIQUE_GUID = re.compile(
    r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}|\w{24,}|//[^/]+/.|^tag:", re.I
)


def without_trackers(url: str) -> str:
    """Return the address of a recording without download counters before it and tokens after it.

    Counters have the real address in their path: https://dts.podtrac.com/redirect.mp3/cdn.example/e1.mp3
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    pieces = (parts.netloc + parts.path).split("/")
    for at in range(len(pieces) - 2, 0, -1):
        host = pieces[at]
        if re.fullmatch(r"([\w-]+\.)+[a-z]{2,24}", host, re.IGNORECASE) and not MEDIA_PATH.search(
            host
        ):
            return "/".join([host.lower(), *pieces[at + 1 :]])
    return "/".join([pieces[0].lower(), *pieces[1:]])


def key_identity(key: str) -> str:
    """Return the identity of a recording that may be known by `key`."""
    return KEY + key


def audio_identity(tracks: Iterable[str]) -> str:
    """Return the identity of a recording by the hashes of its audio tracks."""
    return AUDIO + hashlib.sha256("\n".join(tracks).encode()).hexdigest()[:20]


def media_identity(media: str, title: str, date: str) -> str:
    """Return the identity of a recording by the address of its file, its title and its date."""
    return _hash(GLOBAL, "media", without_trackers(media), _plain(title), date)


def episode_identities(
    guid: str | None, show: str | None, media: str, title: str, dates: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the identities of an episode, each of which suffices to recognize it.

    A guid alone does not suffice, since publishers use one again for the next episode.

    Args:
        guid: None if the episode has none that is unique in its feed.
        show: the feed's podcast:guid, which is the same wherever the feed moves.
        dates: the date in the publisher's time zone and in UTC, as far as they are known.
    """

    def found() -> Iterator[str]:
        for date in dates:
            yield media_identity(media, title, date)
        if guid is None:
            return
        plain = plain_guid(guid)
        yield _hash(GLOBAL, "guid and media", plain, without_trackers(media))
        for what in (_plain(title), *dates):
            yield _hash(LOCAL, "guid", plain, what)
            if UNIQUE_GUID.search(guid):
                yield _hash(GLOBAL, "guid", plain, what)
            if show:
                yield _hash(GLOBAL, "show and guid", show.strip().lower(), plain, what)

    return tuple(dict.fromkeys(found()))


def plain_guid(guid: str) -> str:
    """Return `guid` without what changes with a host: the scheme, and the token of a file's address."""
    address = re.match(r"https?://", guid, re.IGNORECASE)
    if not address:
        return guid
    if MEDIA_PATH.search(guid.partition("?")[0]):
        return without_trackers(guid)
    host, slash, path = guid[address.end() :].partition("/")
    return host.lower() + slash + path


def _plain(title: str) -> str:
    return " ".join(title.casefold().split())


def _hash(scope: str, *parts: str) -> str:
    text = "\n".join(parts).encode("utf-8", "surrogatepass")
    return scope + hashlib.sha256(text).hexdigest()[:20]
