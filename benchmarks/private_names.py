"""Texts to publish, without the names and addresses in them.

Messages of homescribe, of Modal and of the system name recordings, accounts and paths. What is known to be
private is replaced wherever it is in a text, in any case and with any white space; addresses, places at
Modal and mail addresses are replaced by their form.
"""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from homescribe.backends.modal.call_metadata import read_metadata
from homescribe.library import Library
from homescribe.text.redaction import ADDRESS, shown_text

MARK = "..."
PLACE = re.compile(r"\bworkspace [^\s,]+, environment [^\s,;:?)]+")
MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
PROFILE = ("MODAL_PROFILE", "MODAL_ENVIRONMENT")  # variables that name an account or a part of it
WHOLE = 4  # characters; a shorter name is replaced only where it is a word of its own


class PrivateNames:
    """What must not be in a report."""

    def __init__(self, names: Iterable[str]) -> None:
        """Take the names; empty ones count as none."""
        known = {" ".join(name.split()) for name in names}
        patterns = [_pattern(name) for name in sorted(known, key=len, reverse=True) if name]
        self._names = re.compile("|".join(patterns), re.IGNORECASE) if patterns else None

    def without(self, text: str) -> str:
        """Return `text` without private names and addresses."""
        text = ADDRESS.sub(MARK, text)
        text = shown_text(MAIL.sub(MARK, text))
        text = PLACE.sub(f"workspace {MARK}, environment {MARK}", text)
        return text if self._names is None else self._names.sub(MARK, text)


def private_names(library: Library, url: str) -> PrivateNames:
    """Return what is private of a library, of the address that was given, and of this machine."""
    names: list[str | None] = [url, *_hosts(url), *_of_this_machine(), str(library.directory)]
    names.append(str(library.directory.resolve()))
    for record in library.items():
        for item in (record.item, *record.copies):
            names += [item.key, item.id, item.title, item.url, item.media_url]
            names += [item.channel, item.channel_id, *item.identities]
            names += [*_hosts(item.url), *_hosts(item.media_url or "")]
    for source in library.sources():
        names += [source.title, source.url, source.shown_url, *_hosts(source.url)]
    for call in library.calls("modal"):
        place = read_metadata(call)
        names += [place.get("workspace"), place.get("environment")]
    return PrivateNames(name for name in names if name)


def _pattern(name: str) -> str:
    words = r"\s+".join(re.escape(word) for word in name.split())
    return words if len(name) >= WHOLE else rf"(?<!\w){words}(?!\w)"


def _hosts(url: str) -> list[str]:
    """Return the host of an address, which messages name without the rest."""
    try:
        host = urlsplit(url).hostname
    except ValueError:
        return []
    return [host] if host else []


def _of_this_machine() -> list[str]:
    """Return the names of the user, the machine and the account in its settings."""
    names = [
        str(Path.home()),
        socket.gethostname(),
        *(os.environ.get(name, "") for name in PROFILE),
    ]
    with suppress(OSError, KeyError):  # the system may not know the user by a name
        names.append(getpass.getuser())
    return names
