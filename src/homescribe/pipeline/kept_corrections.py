"""Corrections by a person when an item is transcribed again: which were carried over to the new text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from homescribe.library import Library
from homescribe.text.display import count


def corrected_lines(library: Library, keys: Iterable[str]) -> dict[str, int]:
    """Return the number of corrected lines of those of `keys` that have any."""
    numbers = {key: len(library.corrections(key)) for key in keys}
    return {key: number for key, number in numbers.items() if number}


def lost_corrections(library: Library, before: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Yield the key of each item of which corrections were not carried over, and a sentence about it.

    Args:
        before: `corrected_lines` before the run.
    """
    for key, number in before.items():
        kept = len(library.corrections(key))
        if kept < number:
            yield (
                key,
                f"{kept} of {count(number, 'correction')} carried over. "
                "The others are stored, but the new text differs there.",
            )
