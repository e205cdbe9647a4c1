"""Decode any recording, from a file or from bytes, to what Whisper takes: float32, mono, 16 kHz.

`blocks` streams the waveform, so that memory does not grow with the length of a recording; `decode` returns
all of it. The media is untrusted: it is read through a Python file object, by the demuxers of recordings
only (no playlists, images or devices), and cannot open another file or address. No recording is silently
cut short: one that ends clearly before its metadata says is a RetryableError, or a warning for a user's own
file.

ffmpeg's libraries are part of PyAV; no ffmpeg program is needed.
"""

from homescribe.audio.container import probe
from homescribe.audio.media_errors import reaction, translated
from homescribe.audio.waveform import SAMPLE_RATE, blocks, check_duration, decode

__all__ = [
    "SAMPLE_RATE",
    "blocks",
    "check_duration",
    "decode",
    "probe",
    "reaction",
    "translated",
]
