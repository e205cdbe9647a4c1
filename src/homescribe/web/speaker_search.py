"""Search by speaker on the page: names to choose from, and whose lines of a recording a search means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from homescribe.text.scripts import folded_words
from homescribe.web.speaker_view import SpeakerView

SUGGESTIONS = 8
# The end of a query in which a name is being typed: speaker:, speaker:an, speaker:"ann l
UNFINISHED = re.compile(r'(?:^|(?<=\s))speaker:("[^"]*|[^\s"]*)$', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A speaker who may be meant, and the query that names this one."""

    name: str
    query: str


def suggestions(query: str, names: Iterable[str]) -> list[Suggestion]:
    """Return the names that begin as the one that `query` ends with, in the order of `names`."""
    match = UNFINISHED.search(query)
    if match is None:
        return []
    typed = match[1].lstrip('"')
    return [
        Suggestion(name, f"{query[: match.start()]}{speaker_term(name)} ")
        for name in names
        if _means(typed, name) and name != typed
    ][:SUGGESTIONS]


def speaker_term(name: str) -> str:
    """Return the part of a query that means the speaker called `name`."""
    plain = name.replace('"', " ")
    return f"speaker:{plain}" if plain.isalnum() else f'speaker:"{plain}"'


def labels_meant(names: Sequence[str], speakers: Iterable[SpeakerView]) -> set[str]:
    """Return the labels of the speakers of a recording whom one of `names` means."""
    return {
        speaker.label
        for speaker in speakers
        if speaker.given and any(_means(name, speaker.given) for name in names)
    }


def _means(typed: str, name: str) -> bool:
    """Whether the words of `name` have those of `typed`, of which the last may be unfinished."""
    return f" {' '.join(folded_words(typed))}" in f" {' '.join(folded_words(name))}"
