"""Compare the length that the headers of WAV and MP3 files state with the file.

It is wrong in some files: a WAV over 4 GiB, or from a recorder that was switched off, states too few bytes,
and joined MP3s keep the frame count of the first one.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import BinaryIO

# Bytes after the stated end from which they count as audio. Fewer are padding.
LEAST_REST = 4096
# Programs that write a WAV file to a pipe state the largest length, or almost.
UNKNOWN_LENGTH = 0xFFFF0000


@dataclass(frozen=True, slots=True)
class WavData:
    """The data chunk of a WAV file. `seconds`: length of all audio in the file, whatever its header says."""

    stated_seconds: float
    seconds: float


def cut_short_wav(file: BinaryIO) -> WavData | None:
    """Return the lengths of a WAV file whose header states less than the file holds, else None.

    After a complete data chunk other chunks may follow. Bytes that are not a chunk are audio.

    Source: http://soundfile.sapp.org/doc/WaveFormat/
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return None
    bytes_per_second = 0
    while True:
        name_and_length = file.read(8)
        if len(name_and_length) < 8:
            return None
        name, length = struct.unpack("<4sI", name_and_length)
        start = file.tell()
        if name == b"data":
            break
        if name == b"fmt " and length >= 16:
            bytes_per_second = struct.unpack("<8xI4x", file.read(16))[0]
        file.seek(start + length + length % 2)
    end = start + length + length % 2
    # ffmpeg itself reads to the end of the file where no length, or the largest one, is stated.
    if not bytes_per_second or length in (0, 0xFFFFFFFF) or size - end < LEAST_REST:
        return None
    file.seek(end)
    following, rest = struct.unpack("<4sI", file.read(8))
    if all(32 <= letter < 127 for letter in following) and rest <= size - end - 8:
        return None
    return WavData(length / bytes_per_second, (size - start) / bytes_per_second)


def is_incomplete_wav(file: BinaryIO) -> bool:
    """Whether a WAV file ends before the end that its header states: it is being written, or half a copy."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
        return False
    start = 12
    while start < size:
        file.seek(start)
        name_and_length = file.read(8)
        if len(name_and_length) < 8:
            return True
        name, length = struct.unpack("<4sI", name_and_length)
        start += 8 + length
        if name == b"data":  # whose length is the largest one where the program could not seek
            return bool(length < UNKNOWN_LENGTH and start > size)
        start += length % 2
    return True


def mp3_length_is_known(file: BinaryIO) -> bool:
    """Whether an MP3 file has a Xing, Info or VBRI tag that counts the frames of the whole file.

    Sources: https://id3.org/id3v2.4.0-structure (the size of ID3v2 has seven bits a byte);
    https://www.codeproject.com/Articles/8295/MPEG-Audio-Frame-Header
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        a, b, c, d = struct.unpack("4B", head[6:])
        start = 10 + (a << 21 | b << 14 | c << 7 | d)
    file.seek(start)
    frame = file.read(4096)
    counted = _counted_bytes(frame)
    if counted is None:
        return False
    # Bytes that the tag does not count are another MP3, or a large tag: ffmpeg then estimates the length.
    return not counted or size - start - counted < LEAST_REST


def _counted_bytes(frame: bytes) -> int | None:
    """Bytes of audio that the tag in the first frame counts, 0 if it does not, None without a tag."""
    for name in (b"Xing", b"Info"):
        at = frame.find(name)
        if at >= 0 and len(frame) >= at + 16:
            flags = struct.unpack(">I", frame[at + 4 : at + 8])[0]
            if not flags & 2:
                return 0
            place = at + (12 if flags & 1 else 8)
            return int(struct.unpack(">I", frame[place : place + 4])[0])
    at = frame.find(b"VBRI")
    if at >= 0 and len(frame) >= at + 14:
        return int(struct.unpack(">I", frame[at + 10 : at + 14])[0])
    return None
