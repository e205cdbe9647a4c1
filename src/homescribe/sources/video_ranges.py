"""The parts of containers for video (and audio) that are not tags. See media_ranges.py.

Sources: https://developer.apple.com/documentation/quicktime-file-format (MP4),
https://www.rfc-editor.org/rfc/rfc9559 (Matroska and WebM),
https://learn.microsoft.com/windows/win32/wmformat/overview-of-the-asf-format (WMA and WMV),
https://learn.microsoft.com/windows/win32/directshow/avi-riff-file-reference,
https://rtmp.veriskope.com/pdf/video_file_format_spec_v10.pdf (FLV)
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from homescribe.sources.byte_ranges import MOST_CHUNKS, Irregular, Range, read

EBML = b"\x1a\x45\xdf\xa3"
SEGMENT = 0x18538067
CLUSTER = 0x1F43B675
# The elements of a segment. A cluster of unknown length ends where the next one of them begins.
IN_SEGMENT = frozenset(
    {
        *(CLUSTER, 0x114D9B74, 0x1549A966, 0x1654AE6B),  # seek head, information, tracks
        *(0x1C53BB6B, 0x1254C367, 0x1043A770, 0x1941A469),  # cues, tags, chapters, attachments
    }
)
ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")


def mp4(file: BinaryIO, size: int) -> list[Range]:
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
                    wide = read(file, at, 1) == b"\x01"
                    lengths.append(Range(at + 20, at + 32) if wide else Range(at + 12, at + 20))
    return media + lengths


def _boxes(file: BinaryIO, start: int, limit: int) -> list[tuple[bytes, int, int, int]]:
    """Return the boxes between two places: name, start, start of the content, end."""
    found: list[tuple[bytes, int, int, int]] = []
    for _ in range(MOST_CHUNKS):
        if start >= limit:
            return found
        length, name = struct.unpack(">I4s", read(file, start, 8))
        body = start + 8
        if length == 1:
            length = struct.unpack(">Q", read(file, body, 8))[0]
            body += 8
        end = start + length if length else limit
        if end < body or end > limit:
            raise Irregular
        found.append((name, start, body, end))
        start = end
    raise Irregular


def matroska(file: BinaryIO, size: int) -> list[Range]:
    """The clusters, which contain the frames."""
    clusters: list[Range] = []
    start = 0
    for _ in range(MOST_CHUNKS):
        if start >= size:
            return clusters
        name, body, end = _element(file, start, size)
        if name == SEGMENT:
            start = body
        elif name == CLUSTER:
            start = _cluster_end(file, body, size) if end is None else end
            clusters.append(Range(body, start))
        elif end is None:
            raise Irregular
        else:
            start = end
    raise Irregular


def _cluster_end(file: BinaryIO, start: int, size: int) -> int:
    """Return where a cluster of unknown length ends whose content begins at `start`."""
    for _ in range(MOST_CHUNKS):
        if start >= size:
            return size
        name, _, end = _element(file, start, size)
        if name in IN_SEGMENT:
            return start
        if end is None:
            raise Irregular
        start = end
    raise Irregular


def _element(file: BinaryIO, start: int, size: int) -> tuple[int, int, int | None]:
    """Return an EBML element: its id, the start of its content, and its end, None if that is unknown.

    The last element of a file that was cut off ends with the file.
    """
    head = read(file, start, 12)
    width = 9 - head[0].bit_length() if head else 9
    if width > 4 or len(head) < width + 1:
        raise Irregular
    name = int.from_bytes(head[:width], "big")
    digits = 9 - head[width].bit_length()
    if digits > 8 or len(head) < width + digits:
        raise Irregular
    unknown = (1 << 7 * digits) - 1
    length = int.from_bytes(head[width : width + digits], "big") & unknown
    body = start + width + digits
    return name, body, None if length == unknown else min(body + length, size)


def asf(file: BinaryIO, size: int) -> list[Range]:
    """The packets of the data object, without the id of the file before them."""
    start = 0
    for _ in range(MOST_CHUNKS):
        name, length = struct.unpack("<16sQ", read(file, start, 24))
        # A recording of a broadcast states no length, a file that was cut off one that is too large.
        end = min(start + length, size) if length else size
        if end < start + 24:
            raise Irregular
        if name == ASF_DATA:
            return [Range(min(start + 50, end), end)]
        start = end
    raise Irregular


def avi(file: BinaryIO, size: int) -> list[Range]:
    """The lists of frames, of which a file over 1 GB has several."""
    frames: list[Range] = []
    start = 12
    for _ in range(MOST_CHUNKS):
        if start + 8 > size:
            return frames
        name, length = struct.unpack("<4sI", read(file, start, 8))
        kind = read(file, start + 8, 4)
        end = min(start + 8 + length, size)
        if name == b"RIFF" and kind == b"AVIX":
            start += 12
            continue
        if name == b"LIST" and kind == b"movi":
            frames.append(Range(start + 12, end))
        elif not all(32 <= letter < 127 for letter in name):
            raise Irregular
        start = end + length % 2
    raise Irregular


def flv(file: BinaryIO, size: int) -> list[Range]:
    """Everything after the description at the start."""
    start = int.from_bytes(read(file, 5, 4), "big") + 4
    for _ in range(100):
        head = read(file, start, 4)
        if len(head) < 4:
            raise Irregular
        if head[0] & 0x1F != 18:
            return [Range(start, size)]
        start += 11 + int.from_bytes(head[1:], "big") + 4
    raise Irregular
