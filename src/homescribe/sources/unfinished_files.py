"""Files that another program may still be writing or copying: a folder's listing leaves them out for now."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path

from homescribe.core import MINUTE
from homescribe.text import sanitize

# Seconds since a file last changed, below which it may still be growing.
CHANGING = 30.0
# The same for a WAV file that is shorter than its header says: some programs write the length first.
INCOMPLETE = 60 * MINUTE
BUNDLED = Path(__file__).parents[1]  # files below it change only when homescribe is installed
NAMED = 5  # files that a warning names; of more it says how many


def finished(files: Sequence[Path], warnings: list[str], incomplete: list[Path]) -> list[Path]:
    """Return the files of a folder that seem complete, and add sentences about the others to `warnings`.

    A WAV file that is shorter than its header says and has not changed for an hour is returned, too, and
    added to `incomplete`.
    """
    changing: list[Path] = []
    growing: list[Path] = []
    rest: list[Path] = []
    for path in files:
        age = seconds_since_change(path)
        if age < CHANGING:
            changing.append(path)
        elif lacks_audio(path):
            (growing if age < INCOMPLETE else incomplete).append(path)
            if age >= INCOMPLETE:
                rest.append(path)
        else:
            rest.append(path)
    if changing:
        warnings.append(
            f"left out until the next listing, since changed in the last {CHANGING:.0f} seconds: "
            f"{names(changing)}"
        )
    if growing:
        warnings.append(
            "left out until complete, or unchanged for an hour, since shorter than the header says: "
            f"{names(growing)}"
        )
    return rest


def warning_about(path: Path) -> str | None:
    """Return a sentence about a file that the user named if it may be incomplete."""
    name = sanitize.one_line(path.name)
    if seconds_since_change(path) < CHANGING:
        return (
            f"{name} changed in the last {CHANGING:.0f} seconds. "
            "If it was still being written, add it again when it is complete."
        )
    if lacks_audio(path):
        return f"{name} is shorter than its header says: it is incomplete."
    return None


def seconds_since_change(path: Path) -> float:
    """Return how long ago `path` was modified, or how far ahead that is; infinity if unknown."""
    try:
        if path.is_relative_to(BUNDLED):
            return float("inf")
        return abs(time.time() - path.stat().st_mtime)
    except OSError:
        return float("inf")


def lacks_audio(path: Path) -> bool:
    """Whether `path` is a WAV file that is shorter than its header says."""
    from homescribe.audio.headers import is_incomplete_wav

    if path.suffix.lower() != ".wav":
        return False
    try:
        with path.open("rb") as file:
            return is_incomplete_wav(file)
    except OSError:
        return False


def names(files: Collection[Path]) -> str:
    """Return the names of `files`, and of how many more than NAMED there are the number."""
    shown = ", ".join(sanitize.one_line(path.name) for path in list(files)[:NAMED])
    more = len(files) - NAMED
    return f"{shown} and {more} more" if more > 0 else shown
