"""Ids of files by their content, without their tags.

Since reading whole films would take hours, an id is a hash of the size and of samples from all over the file.
A whole file is hashed where two files have the same id. Tags counted once,
too: `tagged` is the id of that time, under which a library may know a file.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from homescribe.errors import Cancelled
from homescribe.sources import ogg_pages
from homescribe.sources.byte_ranges import Range, read
from homescribe.sources.media_ranges import media_ranges

SAMPLES = 16  # in a fingerprint, evenly spread; the first and the last bytes are among them
SAMPLE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class FileId:
    """The id of a file's content without tags, and that with tags, which may be the same."""

    id: str
    tagged: str


def fingerprint(path: Path) -> FileId:
    """Return hashes of the size and SAMPLES samples; of the whole content in a file of up to 1 MiB."""
    with path.open("rb") as file:
        ranges, whole = _ranges(file)
        name = _fingerprint(file, ranges)
        return FileId(name, name if ranges == whole else _fingerprint(file, whole))


def content_hash(path: Path, stop: threading.Event) -> FileId:
    """Return hashes of the whole content, with a "w" in front, which no fingerprint has."""
    with path.open("rb") as file:
        ranges, whole = _ranges(file)
        name = _content_hash(file, ranges, stop)
        return FileId(name, name if ranges == whole else _content_hash(file, whole, stop))


def _ranges(file: BinaryIO) -> tuple[list[Range], list[Range]]:
    return media_ranges(file), [Range(0, file.seek(0, 2))]


def _fingerprint(file: BinaryIO, ranges: Sequence[Range]) -> str:
    size = sum(map(len, ranges))
    digest = hashlib.sha256(f"{size}:".encode())
    if size <= SAMPLES * SAMPLE_BYTES:
        for block in _blocks(file, ranges, 0, size):
            digest.update(block)
    else:
        for sample in range(SAMPLES):
            start = (size - SAMPLE_BYTES) * sample // (SAMPLES - 1)
            for block in _blocks(file, ranges, start, start + SAMPLE_BYTES):
                digest.update(block)
    return digest.hexdigest()[:16]


def _content_hash(file: BinaryIO, ranges: Sequence[Range], stop: threading.Event) -> str:
    digest = hashlib.sha256()
    for block in _blocks(file, ranges, 0, sum(map(len, ranges))):
        if stop.is_set():
            raise Cancelled
        digest.update(block)
    return "w" + digest.hexdigest()[:16]


def _blocks(file: BinaryIO, ranges: Sequence[Range], first: int, end: int) -> Iterator[bytes]:
    """Yield the bytes from `first` to `end` of the ranges one after the other, in blocks.

    Of Ogg pages that do not begin with the file, what changes with the tags is zero.
    """
    offset = 0  # of a range among all
    pages = ranges[0].start > 0 and read(file, 0, 4) == ogg_pages.CAPTURE if ranges else False
    for part in ranges:
        start, stop = max(first - offset, 0), min(end - offset, len(part))
        if start < stop:
            at, left = part.start + start, stop - start
            while left and (block := read(file, at, min(left, 2**20))):
                yield ogg_pages.masked(file, at, block) if pages else block
                at += len(block)
                left -= len(block)
        offset += len(part)
