"""Replace a word or phrase in a text, such as a name that an engine misheard.

Only whole words are replaced: "Ann" in "Ann's", but not in "Anna". Characters of scripts without spaces are
words of their own. Case is ignored unless the replacement matches it.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from homescribe.text.scripts import UNSPACED

Span = tuple[int, int]  # start and end offset in a text


@dataclass(frozen=True, slots=True)
class WordReplacement:
    """`new` for each `old`. With `match_case`, only where `old` is written the same."""

    old: str
    new: str
    match_case: bool = False

    def apply(self, text: str) -> tuple[str, list[Span]]:
        """Return `text` with the replacements, and their ranges in it."""
        if self.match_case and self.old not in text:
            return text, []
        pieces: list[str] = []
        spans: list[Span] = []
        done = length = 0
        for begin, end in self._matches(text):
            new = self._cased(text[begin:end])
            if new == text[begin:end]:
                continue
            length += begin - done
            pieces += [text[done:begin], new]
            spans.append((length, length + len(new)))
            length += len(new)
            done = end
        return "".join([*pieces, text[done:]]) if spans else text, spans

    def _matches(self, text: str) -> list[Span]:
        """Return where `old` is a whole word of `text` that is not part of `new` already."""
        found: list[Span] = []
        old = _pattern(self.old, self.match_case)
        match = old.search(text)
        if match is None:
            return found
        kept: list[Span] = []
        if self.old.casefold() in self.new.casefold() and len(self.old) < len(self.new):
            kept = [each.span() for each in _pattern(self.new, False).finditer(text)]
        while match:
            begin, end = match.span()
            inside = any(first <= begin and end <= last for first, last in kept)
            if not inside and _is_whole(text, begin, end):
                found.append((begin, end))
                match = old.search(text, end)
            else:
                match = old.search(text, begin + 1)
        return found

    def _cased(self, found: str) -> str:
        """Return `new` as it is written in place of `found`.

        A name keeps its capitals. Other words take a capital from `found`, and all take its capitals only.
        """
        if self.match_case or _plain(found) == self.old:
            return self.new
        if found.isupper() and not self.old.isupper() and _letters(found) > 1:
            return self.new.upper()
        if self.new.islower() and found[:1].isupper():
            return self.new[:1].upper() + self.new[1:]
        return self.new


@lru_cache(maxsize=1000)
def _pattern(words: str, match_case: bool) -> re.Pattern[str]:
    return re.compile(r"\s+".join(map(re.escape, words.split())), 0 if match_case else re.I)


def _is_whole(text: str, begin: int, end: int) -> bool:
    """Whether no word goes on at either end of this range. "don" is no word of "don't"."""
    if _joined(text[begin - 1 : begin], text[begin]):
        return False
    if re.match(r"['’]t(?!\w)", text[end : end + 3], re.I) and text[begin:end].isascii():
        return False
    return not _joined(text[end - 1], text[end : end + 1])


def _joined(before: str, after: str) -> bool:
    """Whether two neighbouring characters belong to one word."""
    if not before or not after:
        return False
    if unicodedata.category(after)[0] == "M":  # an accent or a vowel sign of the character before
        return True
    if UNSPACED.match(before) or UNSPACED.match(after):
        return False
    return all(unicodedata.category(each)[0] in "LNM" or each == "_" for each in (before, after))


def _plain(text: str) -> str:
    return " ".join(text.split())


def _letters(text: str) -> int:
    return sum(map(str.isalpha, text))
