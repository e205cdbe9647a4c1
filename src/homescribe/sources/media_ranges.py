"""The parts of a media file that are not tags: they stay the same when its title or cover is edited.

Here are the audio containers; those for video are in video_ranges.py, Ogg is in ogg_pages.py. Containers that
are in none of them count as a whole, and so does a file that does not follow its format. What is counted in a
container never changes, since libraries store fingerprints of it.

Sources: https://id3.org/id3v2.4.0-structure, https://wiki.hydrogenaud.io/index.php?title=APEv2_specification,
https://www.rfc-editor.org/rfc/rfc9639 (FLAC), http://soundfile.sapp.org/doc/WaveFormat/,
https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/AIFF/AIFF.html,
https://developer.apple.com/library/archive/documentation/MusicAudio/Reference/CAFSpec/ (CAF),
https://en.wikipedia.org/wiki/Au_file_format
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import BinaryIO

from homescribe.sources import ogg_pages, video_ranges
from homescribe.sources.byte_ranges import MOST_CHUNKS, Irregular, Range, read

# First bytes of formats with nothing but frames and, after them, APEv2 and ID3v1 tags: Monkey's Audio,
# WavPack, Musepack, True Audio, AC-3, DTS, AMR.
BARE_FRAMES = (
    b"MAC ",
    b"wvpk",
    b"MPCK",
    b"MP+",
    b"TTA1",
    b"\x0b\x77",
    b"\x7f\xfe\x80\x01",
    b"#!AMR",
)
QUICKTIME_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


def media_ranges(file: BinaryIO) -> list[Range]:
    """Return the parts of `file` without tags, in their order."""
    size = file.seek(0, io.SEEK_END)
    whole = [Range(0, size)]
    parts = _parts_of(read(file, 0, 16))
    if parts is None:
        return whole
    try:
        ranges = parts(file, size)
    except (Irregular, struct.error):
        return whole
    # Without any audio there is nothing to recognize a recording by.
    return ranges if sum(map(len, ranges)) >= size // 100 else whole


def _parts_of(head: bytes) -> Callable[[BinaryIO, int], list[Range]] | None:
    """Return the function for files that begin with `head`."""
    if head[:4] == b"fLaC":
        return _flac
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return _wav
    if head[4:8] in QUICKTIME_BOXES:
        return video_ranges.mp4
    if head[:3] == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
        return _mpeg
    if head[:4] == ogg_pages.CAPTURE:
        return ogg_pages.ranges
    if head[:4] == video_ranges.EBML:
        return video_ranges.matroska
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff
    if head == video_ranges.ASF_HEADER:
        return video_ranges.asf
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return video_ranges.avi
    if head[:4] == b"FLV\x01":
        return video_ranges.flv
    if head[:4] == b"caff":
        return _caf
    if head[:4] == b".snd":
        return _au
    return _mpeg if head.startswith(BARE_FRAMES) else None


def _mpeg(file: BinaryIO, size: int) -> list[Range]:
    """MP3, or AAC in ADTS: without ID3v2 before and APEv2 and ID3v1 after the frames."""
    start, end = 0, size
    while (head := read(file, start, 10))[:3] == b"ID3" and len(head) == 10:
        a, b, c, d = head[6:]
        start += 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if head[5] & 0x10 else 0)
    # Some programs leave zeros between the tag and the first frame.
    while start < end and not (block := read(file, start, 4096)).strip(b"\0"):
        start += len(block)
    if start:
        start += len(block := read(file, start, 4096)) - len(block.lstrip(b"\0"))
    if read(file, max(start, end - 128), 3) == b"TAG":
        end -= 128
    footer = read(file, max(start, end - 32), 32)
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
        head = read(file, start, 4)
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
        head = read(file, start, 8)
        name, length = struct.unpack("<4sI", head)
        end = start + 8 + length
        # Chunks after a length that is too small are audio, and a length beyond the end is none.
        if end > size or not all(32 <= letter < 127 for letter in name):
            raise Irregular
        if name not in (b"LIST", b"id3 ", b"ID3 ", b"JUNK", b"junk", b"PAD "):
            ranges.append(Range(start, end))
        start = end + length % 2
    raise Irregular


def _aiff(file: BinaryIO, size: int) -> list[Range]:
    """All chunks but those of tags and comments."""
    ranges: list[Range] = []
    start = 12
    for _ in range(MOST_CHUNKS):
        if start >= size:
            return ranges
        name, length = struct.unpack(">4sI", read(file, start, 8))
        end = start + 8 + length
        if end > size:
            raise Irregular
        if name not in (b"NAME", b"AUTH", b"(c) ", b"ANNO", b"COMT", b"ID3 ", b"id3 "):
            ranges.append(Range(start, end))
        start = end + length % 2
    raise Irregular


def _caf(file: BinaryIO, size: int) -> list[Range]:
    """All chunks but those of tags, strings and padding, and without the number of edits."""
    ranges: list[Range] = []
    start = 8
    for _ in range(MOST_CHUNKS):
        if start >= size:
            return ranges
        name, length = struct.unpack(">4sq", read(file, start, 12))
        body = start + 12
        end = size if name == b"data" and length == -1 else body + length
        if end < body or end > size:
            raise Irregular
        if name == b"data":
            ranges.append(Range(body + 4, end))
        elif name not in (b"info", b"strg", b"free", b"edct"):
            ranges.append(Range(start, end))
        start = end
    raise Irregular


def _au(file: BinaryIO, size: int) -> list[Range]:
    """The form of the audio and the audio, without the annotation between them."""
    audio = int.from_bytes(read(file, 4, 4), "big")
    if not 24 <= audio < size:
        raise Irregular
    return [Range(12, 24), Range(audio, size)]
