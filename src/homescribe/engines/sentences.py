"""Whether a window goes on with a sentence of the window before it, by the texts of both."""

from __future__ import annotations

import re

from homescribe.text.scripts import ends_sentence

MAX_JOIN_PAUSE = 1.5  # seconds between two windows across which a sentence is continued
MIN_UNPUNCTUATED = 12  # words without any punctuation that nobody writes
PUNCTUATION = re.compile(r"[.,;:!?…。、！？｡؟۔।,،]")


def is_continued(before: str, text: str) -> bool:
    """Whether `text` goes on with the sentence that `before` ends in, or has lost its punctuation.

    Text without any punctuation says nothing about its sentences: many languages write it so.
    """
    if not PUNCTUATION.search(before):
        return False
    if not ends_sentence(before):
        return True
    return len(text.split()) >= MIN_UNPUNCTUATED and not PUNCTUATION.search(text)
