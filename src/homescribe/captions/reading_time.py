"""How long a text takes to say, where a file does not tell."""

from __future__ import annotations

from homescribe.text import scripts

LETTERS_A_SECOND = 20  # of fast speech, with spaces
CHARACTERS_A_SECOND = 7  # of scripts in which a character is a syllable or a word


def least_seconds(text: str) -> float:
    """Return the seconds that fast speech takes for `text`, at least half a second."""
    characters = len(scripts.UNSPACED.findall(text))
    letters = len(text) - characters
    return max(0.5, letters / LETTERS_A_SECOND + characters / CHARACTERS_A_SECOND)
