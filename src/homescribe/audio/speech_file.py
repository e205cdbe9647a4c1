"""Encode a waveform as a file in memory, in a format that speech services accept."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from homescribe.audio.speech_copy import BIT_RATE
from homescribe.audio.waveform import SAMPLE_RATE

SpeechFormat = Literal["ogg", "flac", "wav"]
CODECS: dict[SpeechFormat, str] = {"ogg": "libopus", "flac": "flac", "wav": "pcm_s16le"}
MEDIA_TYPES: dict[SpeechFormat, str] = {
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "wav": "audio/wav",
}
# Most bytes per second of a file: the bit rate of Opus varies, and noise in FLAC is as large as in WAV.
MOST_BYTES: dict[SpeechFormat, int] = {
    "ogg": 2 * BIT_RATE // 8,
    "flac": SAMPLE_RATE * 2 + 1_000,
    "wav": SAMPLE_RATE * 2,
}
MOST_HEADER = 4_096  # bytes of a file besides
BLOCK = 30 * SAMPLE_RATE  # samples encoded at once


def pcm(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Return a waveform, float32 within -1..1, as 16-bit samples."""
    return np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)


def encoded(samples: NDArray[np.int16], speech_format: SpeechFormat) -> bytes:
    """Return a mono 16 kHz waveform of shape (samples,) as a file: Opus at 24 kbit/s, FLAC or WAV."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=speech_format, options={"fflags": "bitexact"}) as container:
        stream = container.add_stream(CODECS[speech_format], rate=SAMPLE_RATE, layout="mono")
        assert isinstance(stream, av.AudioStream)
        if speech_format == "ogg":
            stream.bit_rate = BIT_RATE
        for at in range(0, len(samples), BLOCK):
            frame = av.AudioFrame.from_ndarray(
                samples[at : at + BLOCK].reshape(1, -1), format="s16", layout="mono"
            )
            frame.sample_rate, frame.pts = SAMPLE_RATE, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()
