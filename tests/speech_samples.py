"""The bundled recordings with their true words and times, and a bound on the words that are wrong.

Exact words are asserted only for engines in float32: int8 and bfloat16 are rounded differently by different
processors. What runs in an engine's default type is compared with `assert_words`.
"""

import json

import jiwer

from homescribe import demo

SAMPLES = {p.stem: p for p in demo.samples().iterdir() if p.suffix not in (".txt", ".json")}


def sample_text(name):
    return (demo.samples() / f"{name}.txt").read_text()


def words(name):
    """Words of a sample, with their punctuation."""
    return sample_text(name).split()


def sentences(name):
    """Sentences of a sample: text, start and end."""
    return json.loads((demo.samples() / f"{name}.json").read_text())


def normalized(text):
    """Words of `text` in lower case, without punctuation."""
    return [word for each in text.lower().split() if (word := each.strip(".,?!"))]


def words_wrong(expected, actual):
    """Number of words substituted, deleted or inserted."""
    found = jiwer.process_words(" ".join(normalized(expected)), " ".join(normalized(actual)))
    return found.substitutions + found.deletions + found.insertions


def assert_words(expected, actual, tolerance=0.05):
    """Fail if more than `tolerance` of the words are wrong; one word is always allowed."""
    allowed = max(1, tolerance * len(expected.split()))
    assert words_wrong(expected, actual) <= allowed, (expected, actual)
