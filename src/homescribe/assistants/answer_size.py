"""The size of answers: a list is cut where it would become too long, and the answer says how to go on."""

from __future__ import annotations

from collections.abc import Iterable

from homescribe.text.json_text import json_text

# Characters of the list in an answer: about 5,000 tokens of English. Clients cut or refuse longer answers.
MAX_CHARACTERS = 20_000
MAX_TEXT = 4_000  # characters of one text in it

Entry = dict[str, object]


def fitting(entries: Iterable[Entry]) -> tuple[list[Entry], bool]:
    """Return the first entries that fit, at least one, and whether all of them do."""
    taken: list[Entry] = []
    size = 0
    for entry in entries:
        size += len(json_text(entry)) + 2
        if taken and size > MAX_CHARACTERS:
            return taken, False
        taken.append(entry)
    return taken, True


def paged(name: str, entries: Iterable[Entry], offset: int, *, more: bool = False) -> Entry:
    """Return the entries that fit under `name`, and "next_offset" where there are more of them.

    Args:
        offset: the number of entries before the first of these.
        more: whether there are more than these.
    """
    taken, complete = fitting(entries)
    answer: Entry = {name: taken}
    if more or not complete:
        answer["next_offset"] = offset + len(taken)
    return answer
