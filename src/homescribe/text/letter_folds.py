"""One spelling for letters that people type in several ways, so that search finds all of them.

Accents are removed, and letters that Unicode does not decompose become their base letters: ё is е, ł is l,
ß is ss. Arabic and Hebrew lose their vowel marks, and traditional Chinese characters become simplified ones.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from importlib import resources

# Letters that are no base letter with a mark, and that their Unicode names do not tell.
OTHERS: dict[str, str] = dict(
    re.findall(
        r"(\S+)=(\S+)",
        "ß=ss ẞ=SS æ=ae Æ=AE œ=oe Œ=OE ð=d Ð=D þ=th Þ=TH ŋ=n Ŋ=N ı=i ĳ=ij Ĳ=IJ ŀ=l Ŀ=L ǆ=dz ґ=г Ґ=Г "
        "ٱ=ا ى=ي ی=ي ې=ي ک=ك ة=ه ۀ=ه ە=ه ھ=ه ہ=ه",
    )
)
# Letters of their own, which Unicode decomposes.
KEPT = frozenset("йЙўЎ")
# Combining marks that are removed: accents, Hebrew points, Arabic vowel signs and hamza above or below.
MARKS = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]"
)
# Not letters: soft hyphen, Arabic tatweel, zero-width joiner, word joiner, byte order mark.
INVISIBLE = "\u00ad\u0640\u200d\u2060\ufeff"
# Latin, Greek, Cyrillic, Hebrew, Arabic.
BLOCKS = (
    *(range(0x80, 0x250), range(0x1E00, 0x2000), range(0x2C60, 0x2C80), range(0xA720, 0xA800)),
    *(range(0x370, 0x530), range(0x5D0, 0x5F3), range(0x620, 0x700), range(0x750, 0x780)),
)
# "LATIN SMALL LETTER O WITH STROKE"
BASE_LETTER = re.compile(r"LATIN (SMALL|CAPITAL) LETTER ([A-Z]) WITH ")


@lru_cache(maxsize=20_000)
def fold_letter(letter: str) -> str:
    """Return a letter with its accents and vowel signs as search compares it; case is kept."""
    folded = unicodedata.normalize("NFKC", letter)
    return "".join(_fold_character(character) for character in folded)


def _fold_character(character: str) -> str:
    if character.isascii() or character in KEPT:
        return character
    if character in INVISIBLE:
        return ""
    if character >= "\u2e80":
        return simplified().get(character, character)
    decomposed = unicodedata.normalize("NFKD", character)
    base = MARKS.sub("", decomposed)
    if base != decomposed:
        return "".join(map(_fold_character, base))
    if character in OTHERS:
        return OTHERS[character]
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    named = BASE_LETTER.match(unicodedata.name(character, ""))
    if named:
        return named[2] if named[1] == "CAPITAL" else named[2].lower()
    return character


@cache
def one_to_one() -> dict[int, str]:
    """Return the letters that become one other letter, for `str.translate`.

    Without Latin letters whose accents SQLite removes.
    """
    return {
        code: folded
        for code in (code for block in BLOCKS for code in block)
        if len(folded := fold_letter(chr(code))) == 1
        and folded != chr(code)
        and not _is_accented_ascii(chr(code))
        and not MARKS.match(chr(code))
    }


@cache
def others() -> re.Pattern[str]:
    """Return the pattern of what is not in `one_to_one`: letters that become two, marks, invisible ones."""
    codes = (code for block in BLOCKS for code in block)
    two = (chr(code) for code in codes if len(fold_letter(chr(code))) > 1)
    return re.compile(f"{MARKS.pattern[:-1]}{INVISIBLE}{re.escape(''.join(two))}]")


def _is_accented_ascii(character: str) -> bool:
    decomposed = unicodedata.normalize("NFD", character)
    return decomposed != character and decomposed[0].isascii()


@cache
def simplified() -> dict[str, str]:
    """Return the simplified form of each traditional Chinese character that has one."""
    table = resources.files("homescribe.text") / "traditional_chinese.txt"
    found: dict[str, str] = {}
    for line in table.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            found |= zip(*line.split("\t"), strict=True)
    return found
