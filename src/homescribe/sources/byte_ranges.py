"""Ranges of bytes in a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

MOST_CHUNKS = 100_000  # after which the chunks of a file are not followed


class Irregular(Exception):
    """The file does not follow its format."""


@dataclass(frozen=True, slots=True)
class Range:
    """The bytes of a file from `start` to before `end`."""

    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


def read(file: BinaryIO, start: int, length: int) -> bytes:
    """Return up to `length` bytes of `file` from `start`."""
    file.seek(start)
    return file.read(length)
