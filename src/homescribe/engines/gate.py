"""When Whisper's own figures say that it failed: the thresholds of openai-whisper, and what a reader is told.

A window that fails is decoded again at a higher temperature; one that still fails is kept, and flagged.
"""

from __future__ import annotations

import zlib

# Defaults of whisper.transcribe, https://github.com/openai/whisper/blob/main/whisper/transcribe.py
COMPRESSION_RATIO = 2.4  # above, the text repeats itself
LOGPROB = -1.0  # below, the model did not believe what it wrote
NO_SPEECH = 0.6  # above, and with a logprob below, there was nothing to hear


def compression_ratio(text: str) -> float:
    """Bytes of `text` over its bytes under zlib: speech has about 1 to 2, a loop far more."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw))


def flags(avg_logprob: float, ratio: float, temperature: float) -> tuple[str, ...]:
    """Why a reader should doubt a segment with these figures; () when there is no reason."""
    reasons = {
        "low_probability": avg_logprob < LOGPROB,
        "retried": temperature > 0,
        "repetition": ratio > COMPRESSION_RATIO,
    }
    return tuple(reason for reason, holds in reasons.items() if holds)
