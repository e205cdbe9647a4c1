"""The search index of a static site: in which paragraphs each word is, and the text of the paragraphs.

Paragraphs are numbered in the order in which they are added, and results have that order. A word's paragraphs
are the differences between their numbers, each in base 32 with the lowest digit first. A digit that another
one follows is 32 higher. `assets/search.js` reads this.
"""

from __future__ import annotations

import json
import unicodedata
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from homescribe.text import scripts

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
SHARD_CHARACTERS = 50_000  # of the words in one script, unless one word takes more
PARAGRAPHS = 32  # whose text is in one script


def words(text: str) -> list[str]:
    """Return the words of `text` as the index has them: without case and accents.

    Each character of a script without spaces is a word. `words` in assets/words.js does the same.
    """
    if not text.isascii():
        letters = unicodedata.normalize("NFKD", text)
        text = "".join(letter for letter in letters if unicodedata.category(letter) != "Mn")
        text = unicodedata.normalize("NFC", text)
    return scripts.words(text.lower())


@dataclass(frozen=True, slots=True)
class IndexedParagraph:
    """A paragraph of a recording, as the search shows it."""

    recording: int  # its number
    speaker: str  # name; "" without speakers
    lines: Sequence[tuple[float, str]]  # start and text of each


@dataclass(slots=True)
class SearchIndex:
    """Collects paragraphs, and gives the scripts of the index."""

    size: int = 0  # paragraphs
    _places: dict[str, array[int]] = field(default_factory=dict)

    def add(self, paragraph: IndexedParagraph) -> None:
        """Add the words of a paragraph."""
        found = set(words(" ".join(text for _, text in paragraph.lines)))
        found.update(f"speaker:{word}" for word in words(paragraph.speaker))
        for word in found:
            self._places.setdefault(word, array("I")).append(self.size)
        self.size += 1

    def shards(self) -> Iterator[tuple[str, str]]:
        """Yield the first word and the content of each script, in the order of words in JavaScript."""
        shard: dict[str, str] = {}
        characters = number = 0
        for word in sorted(self._places, key=lambda word: word.encode("utf-16-be", "replace")):
            places = _encoded(self._places[word])
            if shard and characters + len(places) > SHARD_CHARACTERS:
                yield next(iter(shard)), _call("words", number, shard)
                shard, characters, number = {}, 0, number + 1
            shard[word] = places
            characters += len(word) + len(places)
        if shard:
            yield next(iter(shard)), _call("words", number, shard)


def text_script(number: int, paragraphs: Sequence[IndexedParagraph]) -> str:
    """Return the script with the text of paragraphs, at most PARAGRAPHS of them."""
    return _call(
        "texts",
        number,
        [
            [each.recording, each.speaker, [part for line in each.lines for part in line]]
            for each in paragraphs
        ],
    )


def directory_script(directory: dict[str, object]) -> str:
    """Return the script that tells the search what there is."""
    return _call("directory", 0, directory)


def _call(name: str, number: int, value: object) -> str:
    """Return a script in ASCII that hands `value` to search.js."""
    return f"homescribe.{name}({number},{json.dumps(value, separators=(',', ':'))});\n"


def _encoded(places: Sequence[int]) -> str:
    digits = []
    before = 0
    for place in places:
        difference = place - before
        before = place
        while difference > 31:
            digits.append(DIGITS[32 + (difference & 31)])
            difference >>= 5
        digits.append(DIGITS[difference])
    return "".join(digits)
