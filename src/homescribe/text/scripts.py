"""Text in every script: letters, scripts without spaces between words, and folding for the search index.

Chinese, Japanese and Thai put no spaces between words, and Korean joins particles to the word. Each of their
characters is treated as a word of its own, so that text of any length is found, from one character on.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache

from homescribe.text import letter_folds

# A character of a script in which characters are treated as words.
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # kana, bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\uac00-\ud7a3]"  # Hangul
)
HANGUL = re.compile("[\uac00-\ud7a3]")
# Languages written from right to left, by Whisper's code.
RIGHT_TO_LEFT = frozenset({"ar", "fa", "he", "ps", "sd", "ur", "yi"})
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def spaced(text: str) -> tuple[str, Sequence[int]]:
    """Return `text` as the search index stores it, and the offset in `text` of each of its characters.

    Letters are folded (letter_folds.py), control characters become spaces, and characters of scripts without
    spaces get spaces around them.
    """
    text = CONTROL.sub(" ", text)
    if text.isascii():
        return text, range(len(text))
    if (
        not UNSPACED.search(text)
        and not letter_folds.others().search(text)
        and unicodedata.is_normalized("NFKC", text)
    ):
        return text.translate(letter_folds.one_to_one()), range(len(text))
    pieces: list[str] = []
    offsets: list[int] = []
    offset = 0
    for letter in _letters().findall(text):
        piece = _spaced_letter(letter)
        pieces.append(piece)
        offsets += [offset] * len(piece)
        offset += len(letter)
    return "".join(pieces), offsets


@cache
def _marks() -> str:
    """Return the characters that stand with the letter before them: accents and vowel signs."""
    return "".join(
        chr(code) for code in range(0x300, 0x20000) if unicodedata.category(chr(code))[0] == "M"
    )


@cache
def _letters() -> re.Pattern[str]:
    """Pattern of what a reader sees as one letter: a character with its accents and vowel signs, or a Hangul
    syllable in parts, as macOS writes it in file names.
    """
    return re.compile(f"[\u1100-\u11ff]+|.[{_marks()}]*", re.DOTALL)


@cache
def _word() -> re.Pattern[str]:
    unspaced = UNSPACED.pattern
    return re.compile(rf"{unspaced}|(?:(?!{unspaced})(?:[^\W_]|[{_marks()}]))+")


def words(text: str) -> list[str]:
    """Return the words of `text`, of letters with their vowel signs and digits, as they are written.

    Each character of a script without spaces is a word.
    """
    found: list[str] = _word().findall(text)
    return found


@lru_cache(maxsize=20_000)
def _spaced_letter(letter: str) -> str:
    """Return one letter, folded, with spaces around it when its script has none between words."""
    folded = letter_folds.fold_letter(letter)
    return UNSPACED.sub(r" \g<0>", folded) + " " if UNSPACED.search(folded) else folded


def folded_words(text: str) -> list[str]:
    """Return the words of `text` without case and accents, nearly as FTS5's unicode61 tokenizer does."""
    letters = (
        letter
        for letter in unicodedata.normalize("NFD", text.casefold())
        if unicodedata.category(letter) != "Mn"
    )
    return "".join(
        letter
        if unicodedata.category(letter)[0] in "LNM" or unicodedata.category(letter) == "Co"
        else " "
        for letter in letters
    ).split()


def count_words(texts: Iterable[str]) -> int:
    """Return the number of words in `texts`; in scripts without spaces, of characters."""
    return sum(len(spaced(text)[0].split()) for text in texts)


def tokens(text: str) -> list[str]:
    """Split `text` into words, each with the space before it; into characters in scripts without spaces."""
    found: list[str] = []
    # Without the spaces at the end: to look for a word there takes time with the square of their number.
    for token in re.findall(r"\s*\S+", text.rstrip()):
        if not UNSPACED.search(token):
            found.append(token)
            continue
        begin = 0
        for number, letter in enumerate(token):
            apart = UNSPACED.match(letter) or (number and UNSPACED.match(token[number - 1]))
            if apart and token[begin:number].strip():
                found.append(token[begin:number])
                begin = number
        found.append(token[begin:])
    return found


def separator(text: str, following: str) -> str:
    """Return what joins two lines of text: a space, or nothing between two wide characters (not Hangul)."""
    neighbours = text[-1:] + following[:1]
    wide = all(unicodedata.east_asian_width(character) in "WF" for character in neighbours)
    return "" if wide and not HANGUL.search(neighbours) else " "


def display_width(text: str) -> int:
    """Return the columns that `text` takes: two for a full-width character, none for an accent."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


@lru_cache(maxsize=20_000)
def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def letters(text: str) -> list[str]:
    """Split `text` into what a reader sees as letters: each character with its accents and vowel signs."""
    found: list[str] = _letters().findall(text)
    return found


# Marks that end a sentence in Latin, CJK, Arabic, Indic, Armenian, Ethiopic, Burmese and Khmer scripts.
SENTENCE_MARKS = ".!?…。！？｡؟۔।॥։።။។"
# Quotes and brackets that may follow such a mark.
CLOSING_MARKS = "\"'”’»)]}」』）】〉》"
_CLOSING = f"[{re.escape(CLOSING_MARKS)}]"
_SENTENCE_END = re.compile(f"[{SENTENCE_MARKS}]{_CLOSING}*$")
# After a wide mark no space follows. Straight quotes may open there as well as close. The most marks that are
# looked at keep the time of long rows of them in proportion to their length.
_SENTENCE = re.compile(
    f".+?(?:[{SENTENCE_MARKS}]{{1,20}}+{_CLOSING}{{0,20}}+(?=\\s|\\Z)"
    f"|[。！？｡]+(?:(?![\"']){_CLOSING})*|\\Z)",
    re.DOTALL,
)


def ends_sentence(text: str) -> bool:
    """Whether the last word of `text` ends a sentence."""
    return _SENTENCE_END.search(text.rstrip()) is not None


def sentences(text: str) -> list[str]:
    """Split `text` into sentences, each with the space before it."""
    found: list[str] = _SENTENCE.findall(text)
    return found
