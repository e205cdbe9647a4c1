"""A query with words that were said, for one with words that nobody said: "did you mean".

Words come from the search index. Only those that begin alike are compared, and no longer than TIME_LIMIT: the
index counts each word that it lists, which takes long for frequent ones in a large library.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator

from homescribe.library.filters import item_filter
from homescribe.library.search import find
from homescribe.library.speaker_query import SPEAKER
from homescribe.text.sanitize import sqlite_safe
from homescribe.text.scripts import UNSPACED, folded_words, spaced

TIME_LIMIT = 0.25  # seconds for one query
LEAST_LETTERS = 3  # of a word that is compared
LONG_WORD = 6  # letters, from which on two may be wrong
MAX_LETTERS = 40
WORD = re.compile(rf"{SPEAKER.pattern}|[^\W_]+", re.IGNORECASE)


def corrected_query(db: sqlite3.Connection, query: str) -> str | None:
    """Return `query` with words of the index for those that it does not have; None if there are none."""
    deadline = time.monotonic() + TIME_LIMIT
    changed = False

    def correct(match: re.Match[str]) -> str:
        nonlocal changed
        word = match[0]
        if ":" in word or UNSPACED.search(word):
            return word
        folded = "".join(folded_words(spaced(word)[0]))
        if not LEAST_LETTERS <= len(folded) <= MAX_LETTERS or _is_known(db, folded):
            return word
        found = _nearest(db, folded, deadline)
        if found is None:
            return word
        changed = True
        return _as_written(db, found)

    corrected = WORD.sub(correct, sqlite_safe(query))
    return corrected if changed else None


def _is_known(db: sqlite3.Connection, word: str) -> bool:
    query = "SELECT 1 FROM passages_fts WHERE passages_fts MATCH ? LIMIT 1"
    return db.execute(query, (f'"{word}"',)).fetchone() is not None


def _nearest(db: sqlite3.Connection, word: str, deadline: float) -> str | None:
    """Return the word of the index with the fewest wrong letters, the most frequent of several."""
    most = 2 if len(word) >= LONG_WORD else 1
    best: tuple[int, int, str] | None = None
    for known, passages in _words(db, word, deadline):
        if abs(len(known) - len(word)) > most or len(set(known) ^ set(word)) > 2 * most:
            continue
        wrong = distance(word, known, most)
        if wrong <= most and (best is None or (wrong, -passages) < best[:2]):
            best = (wrong, -passages, known)
    return best[2] if best else None


def _words(db: sqlite3.Connection, word: str, deadline: float) -> Iterator[tuple[str, int]]:
    """Yield words of the index with the number of passages: first those with the same three letters, then
    with two, then with one; the first two letters may be exchanged.
    """
    done: list[str] = []
    swapped = word[1] + word[0]
    for prefix in (word[:3], word[:2], swapped, word[:1]):
        rows = db.execute(
            "SELECT term, doc FROM passages_fts_words WHERE term >= ? AND term < ?",
            (prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)),
        )
        for term, passages in rows:
            if not term.startswith(tuple(done)):
                yield term, passages
            if time.monotonic() > deadline:
                return
        done.append(prefix)


def _as_written(db: sqlite3.Connection, word: str) -> str:
    """Return a word of the index, which has no accents, as it is written where it was said, in lower case."""
    everywhere = item_filter()
    hits = find(
        *(db, f'"{word}"', everywhere), raw=False, as_typed=False, order="rank", limit=1, offset=0
    )
    found = [hit.text[begin:end] for hit in hits for begin, end in hit.highlights]
    return found[0].lower() if found and len(found[0].split()) == 1 else word


def distance(word: str, other: str, most: int) -> int:
    """Return how many letters must be changed, added, left out or exchanged with the next one to turn `word`
    into `other`; a number above `most` where it is more than that.

    https://en.wikipedia.org/wiki/Damerau-Levenshtein_distance (optimal string alignment)
    """
    before: list[int] = []
    above: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(word, 1):
        before, above, row = above, row, [i]
        for j, wanted in enumerate(other, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == wanted:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return row[-1]
