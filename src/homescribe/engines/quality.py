"""Whether Whisper's output for a window is reliable: retry it, take it as silence, or flag it.

Thresholds are openai-whisper's. A window that fails is decoded again at the next temperature; when every
temperature fails, the best attempt is kept and flagged. A window without words is a valid result: nobody
spoke.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

# Defaults of whisper.transcribe, https://github.com/openai/whisper/blob/main/whisper/transcribe.py
COMPRESSION_RATIO_THRESHOLD = 2.4  # above it, the text repeats itself
LOGPROB_THRESHOLD = -1.0  # below it, the model is unsure of the text
NO_SPEECH_THRESHOLD = 0.6  # above it, and below LOGPROB_THRESHOLD, the window is silent

MIN_REPEATS = 5  # times in a row that a phrase must come to count as a repetition
MIN_REPEATED_WORDS = 15  # words that these repeats must have together


def compression_ratio(text: str) -> float:
    """Bytes of `text` divided by its bytes under zlib: about 1 to 2 for speech, far more for repetitions."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw))


def repeats_phrase(words: Sequence[str]) -> bool:
    """Whether some phrase occurs again and again without other words between.

    Finds repetitions at the end of a long text, where the compression ratio does not show them.
    """
    for length in range(1, len(words) // MIN_REPEATS + 1):
        same = 0
        for before, after in zip(words, words[length:], strict=False):
            same = same + 1 if before == after else 0
            if same >= max(MIN_REPEATED_WORDS, MIN_REPEATS * length) - length:
                return True
    return False


def is_silence(avg_logprob: float, no_speech_prob: float) -> bool:
    """Whether nobody speaks in a window with these figures, so that its text is a hallucination."""
    return no_speech_prob > NO_SPEECH_THRESHOLD and avg_logprob < LOGPROB_THRESHOLD


def needs_retry(text: str, avg_logprob: float) -> bool:
    """Whether to decode a window again at the next temperature."""
    return avg_logprob < LOGPROB_THRESHOLD or is_repetitive(text)


def is_repetitive(text: str) -> bool:
    """Whether `text` repeats itself as no speaker does."""
    return compression_ratio(text) > COMPRESSION_RATIO_THRESHOLD or repeats_phrase(
        text.lower().split()
    )


def flags(text: str, avg_logprob: float, ratio: float, temperature: float) -> tuple[str, ...]:
    """Return the reasons to doubt a window with this text and these figures; () if there are none."""
    reasons = {
        "low_probability": avg_logprob < LOGPROB_THRESHOLD,
        "retried": temperature > 0,
        "repetition": ratio > COMPRESSION_RATIO_THRESHOLD or repeats_phrase(text.lower().split()),
    }
    return tuple(reason for reason, holds in reasons.items() if holds)
