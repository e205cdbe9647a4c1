"""Decode audio and video files to the waveform that Whisper takes: float32, mono, 16 kHz.

`blocks` streams the waveform, so that memory does not grow with the length of a recording; `decode` returns
all of it. Media files are untrusted: they are read through a Python file object, with demuxers of audio and
video only (no playlists, images or devices), and cannot open another file or URL. A recording that ends
clearly before its published length is not accepted silently: it is a RetryableError, or a warning for a
user's own file.

PyAV contains ffmpeg's libraries; no ffmpeg program is needed.
"""

from homescribe.audio.container import opened, probe
from homescribe.audio.flac_file import temporary_flac
from homescribe.audio.media_errors import reaction, translated
from homescribe.audio.media_types import media_type
from homescribe.audio.speech_copy import SUFFIX, write_speech_copy
from homescribe.audio.waveform import (
    SAMPLE_RATE,
    blocks,
    channel_count,
    check_duration,
    decode,
    stereo_blocks,
)

__all__ = [
    "SAMPLE_RATE",
    "SUFFIX",
    "blocks",
    "channel_count",
    "check_duration",
    "decode",
    "media_type",
    "opened",
    "probe",
    "reaction",
    "stereo_blocks",
    "temporary_flac",
    "translated",
    "write_speech_copy",
]
