"""The pages of an Ogg file that contain audio or video, and the bytes in them that change with the tags.

The tags are in the first pages. When they become longer or shorter, the pages after them are numbered anew,
which changes their checksums, too.

Source: https://www.rfc-editor.org/rfc/rfc3533
"""

from __future__ import annotations

from typing import BinaryIO

from homescribe.sources.byte_ranges import MOST_CHUNKS, Irregular, Range, read

CAPTURE = b"OggS"
# Bytes of a page's header: serial number of the stream, number of the page, checksum.
CHANGING = slice(14, 26)
NO_TIME = 2**64 - 1  # position of a page on which no packet ends


def ranges(file: BinaryIO, size: int) -> list[Range]:
    """Return the pages from the first one with a time, which the pages of tags do not have."""
    start = 0
    for _ in range(MOST_CHUNKS):
        head = read(file, start, 27)
        if len(head) < 27 or head[:4] != CAPTURE:
            raise Irregular
        if int.from_bytes(head[6:14], "little") not in (0, NO_TIME):
            return [Range(start, size)]
        start += 27 + head[26] + sum(read(file, start + 27, head[26]))
    raise Irregular


def masked(file: BinaryIO, start: int, block: bytes) -> bytes:
    """Return `block`, which is at `start` of `file`, with zeros for what changes with the tags."""
    margin = min(start, CHANGING.stop - 1)  # a header may begin before the block
    content = bytearray(read(file, start - margin, margin) + block)
    at = content.find(CAPTURE)
    while at >= 0:
        first, end = at + CHANGING.start, min(at + CHANGING.stop, len(content))
        content[first:end] = bytes(max(0, end - first))
        at = content.find(CAPTURE, at + len(CAPTURE))
    return bytes(content[margin:])
