"""The parts of a media file that are not tags: they stay the same when its title or cover is edited.

Containers that are not listed here count as a whole, and so does a file that does not follow its format.

Sources: https://id3.org/id3v2.4.0-structure, https://wiki.hydrogenaud.io/index.php?title=APEv2_specification,
https://www.rfc-editor.org/rfc/rfc9639 (FLAC), http://soundfile.sapp.org/doc/WaveFormat/,
https://developer.apple.com/documentation/quicktime-file-format (MP4)
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
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


def media_ranges(file: BinaryIO) -> list[Range]:
    """Return the parts of `file` without tags, in their order."""
    size = file.seek(0, io.SEEK_END)
    whole = [Range(0, size)]
    head = _read(file, 0, 12)
    parts: Callable[[BinaryIO, int], list[Range]]
    if head[:4] == b"fLaC":
        parts = _flac
    elif head[:4] == b"RIFF" and head[8:] == b"WAVE":
        parts = _wav
    elif head[4:8] == b"ftyp":
        parts = _mp4
    elif head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
        parts = _mpeg
    else:
        return whole
    try:
        ranges = parts(file, size)
    except (Irregular, struct.error):
        return whole
    # Without any audio there is nothing to recognize a recording by.
    return ranges if sum(map(len, ranges)) >= size // 100 else whole


def _read(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return file.read(length)


def _mpeg(file: BinaryIO, size: int) -> list[Range]:
    """MP3, or AAC in ADTS: without ID3v2 before and APEv2 and ID3v1 after the frames."""
    start, end = 0, size
    while (head := _read(file, start, 10))[:3] == b"ID3" and len(head) == 10:
        a, b, c, d = head[6:]
        start += 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if head[5] & 0x10 else 0)
    # Some programs leave zeros between the tag and the first frame.
    while start < end and not (block := _read(file, start, 4096)).strip(b"\0"):
        start += len(block)
    if start:
        start += len(block := _read(file, start, 4096)) - len(block.lstrip(b"\0"))
    if _read(file, max(start, end - 128), 3) == b"TAG":
        end -= 128
    footer = _read(file, max(start, end - 32), 32)
    if footer[:8] == b"APETAGEX":
        length, _, flags = struct.unpack("<III", footer[12:24])
        end -= length + (32 if flags & 0x80000000 else 0)
    if start >= end:
        raise Irregular
    return [Range(start, end)]


def _flac(file: BinaryIO, size: int) -> list[Range]:
    """The stream information, which contains a checksum of the audio, and the frames."""
    ranges = []
    start, last = 4, False
    while not last:
        head = _read(file, start, 4)
        if len(head) < 4:
            raise Irregular
        last, kind = bool(head[0] & 0x80), head[0] & 0x7F
        end = start + 4 + int.from_bytes(head[1:], "big")
        if kind == 0:
            ranges.append(Range(start + 4, end))
        start = end
    if start >= size:
        raise Irregular
    return [*ranges, Range(start, size)]


def _wav(file: BinaryIO, size: int) -> list[Range]:
    """All chunks but those of tags and padding."""
    ranges: list[Range] = []
    start = 12
    for _ in range(MOST_CHUNKS):
        if start >= size:
            return ranges
        head = _read(file, start, 8)
        name, length = struct.unpack("<4sI", head)
        end = start + 8 + length
        # Chunks after a length that is too small are audio, and a length beyond the end is none.
        if end > size or not all(32 <= letter < 127 for letter in name):
            raise Irregular
        if name not in (b"LIST", b"id3 ", b"ID3 ", b"JUNK", b"junk", b"PAD "):
            ranges.append(Range(start, end))
        start = end + length % 2
    raise Irregular


def _mp4(file: BinaryIO, size: int) -> list[Range]:
    """The media, and of the description the length, which programs change when they trim a file."""
    media: list[Range] = []
    lengths: list[Range] = []
    for name, start, body, end in _boxes(file, 0, size):
        if name == b"mdat":
            media.append(Range(body, end))
        elif name == b"moof":
            media.append(Range(start, end))
        elif name == b"moov":
            for inner, _, at, _ in _boxes(file, body, end):
                if inner == b"mvhd":
                    wide = _read(file, at, 1) == b"\x01"
                    lengths.append(Range(at + 20, at + 32) if wide else Range(at + 12, at + 20))
    return media + lengths


def _boxes(file: BinaryIO, start: int, limit: int) -> list[tuple[bytes, int, int, int]]:
    """Return the boxes between two places: name, start, start of the content, end."""
    found: list[tuple[bytes, int, int, int]] = []
    for _ in range(MOST_CHUNKS):
        if start >= limit:
            return found
        length, name = struct.unpack(">I4s", _read(file, start, 8))
        body = start + 8
        if length == 1:
            length = struct.unpack(">Q", _read(file, body, 8))[0]
            body += 8
        end = start + length if length else limit
        if end < body or end > limit:
            raise Irregular
        found.append((name, start, body, end))
        start = end
    raise Irregular
