"""Words wrong in a transcript."""

from __future__ import annotations

import re

import jiwer


def normalize(text: str) -> str:
    """Return `text` in lower case and without punctuation."""
    return " ".join(re.sub(r"[^a-z' ]+", " ", text.lower()).split())


def word_errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Return the words substituted, deleted and inserted in `hypothesis`, and the words of `reference`."""
    found = jiwer.process_words(normalize(reference), normalize(hypothesis))
    edits = found.substitutions + found.deletions + found.insertions
    return edits, found.hits + found.substitutions + found.deletions
