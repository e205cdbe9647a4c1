"""Where the text of a subtitle may be divided, and how good each place is.

A place has a cost: 0 after a sentence, more in the middle of a phrase, FORBIDDEN inside a word. Scripts
without spaces are divided between characters, with the rules of Japanese and Thai typesetting for the first
and last character of a line.
"""

from __future__ import annotations

import re
import unicodedata

from homescribe.text import scripts
from homescribe.text.scripts import CLOSING_MARKS, HANGUL, UNSPACED

AFTER_SENTENCE = 0.0
AFTER_CLAUSE = 1.0
BETWEEN_WORDS = 3.0
INSIDE_WORD = 7.0  # probably: between two kanji, two Thai letters
FORBIDDEN = 1000.0

# Articles and prepositions belong to what follows. In most languages they are short: the cost of a break
# after a word is higher by one for each letter that it has less than this.
LETTERS = 5
# Full stops that end no sentence: titles, initials and common abbreviations.
_ABBREVIATION = re.compile(
    r"(?:^|\W)(?:mr|mrs|ms|dr|prof|st|sr|jr|vs|nr|bzw|ca|ggf|sra|mme|\w|(?:\w\.)+\w)\.$",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(f"[,;:،؛、，；：､—–][{re.escape(CLOSING_MARKS)}]*$")

# Characters that begin no line: closing marks, small kana, marks of length and repetition, and vowels that
# are written after their consonant (Thai, Lao).
_NOT_FIRST = frozenset(
    "、。，．・：；！？!?,.:;%…‥ー〜～々ゝゞヽヾ゛゜)]}）］｝〉》」』】〕〗”’»"
    "ぁぃぅぇぉっゃゅょゎゕゖァィゥェォッャュョヮヵヶ｡､･"
    "ะาำๅๆฯະາຳໆຯ"
)
# Characters that end no line: opening marks, vowels that are written before their consonant, and signs that
# stack the next consonant.
_NOT_LAST = frozenset("([{（［｛〈《「『【〔〖“‘«¿¡$£¥#เแโใไເແໂໃໄ\u1039\u17d2")
_VOWEL_BEFORE = frozenset("เแโใไເແໂໃໄ")


def ends_sentence(text: str) -> bool:
    """Whether `text` ends a sentence, and not only an abbreviation."""
    return scripts.ends_sentence(text) and _ABBREVIATION.search(text.rstrip()) is None


def break_cost(text: str, following: str, *, spaced: bool) -> float:
    """Return the cost of dividing between `text` and `following`, two words or characters.

    Args:
        spaced: whether there is a space between them.
    """
    if not spaced and not _divisible(text, following):
        return FORBIDDEN
    if ends_sentence(text):
        return AFTER_SENTENCE
    if _CLAUSE_END.search(text):
        return AFTER_CLAUSE
    if spaced:
        letters = sum(letter.isalnum() for letter in text)
        number = any(letter.isdigit() for letter in text)  # belongs to what is counted
        return BETWEEN_WORDS + max(number, LETTERS - letters, 0)
    last, first = _kind(text[-1]), _kind(following[0])
    if last == "hiragana" and first != "hiragana":
        return BETWEEN_WORDS - 1  # a particle ends, a noun or verb begins
    if last != first and "thai" not in (last, first) and first != "hiragana":
        return BETWEEN_WORDS
    if following[0] in _VOWEL_BEFORE:
        return BETWEEN_WORDS + 1  # a syllable begins, perhaps a word
    return INSIDE_WORD


def _divisible(text: str, following: str) -> bool:
    """Whether a line may end after `text` although no space follows."""
    last, first = text[-1], following[0]
    if first in _NOT_FIRST or last in _NOT_LAST or unicodedata.category(first).startswith("M"):
        return False
    if HANGUL.match(last) or HANGUL.match(first):  # Korean has spaces
        return False
    return any(_wide(letter) or UNSPACED.match(letter) for letter in (last, first))


def _wide(letter: str) -> bool:
    return unicodedata.east_asian_width(letter) in "WF"


def _kind(letter: str) -> str:
    """Return the kind of script of `letter`. Words seldom contain more than one kind."""
    if "\u3041" <= letter <= "\u309f":
        return "hiragana"
    if "\u30a0" <= letter <= "\u30ff" or "\uff66" <= letter <= "\uff9f":
        return "katakana"
    if UNSPACED.match(letter):
        return "han" if _wide(letter) else "thai"
    return "latin" if letter.isalnum() else "mark"
