"""When Whisper failed, by its own figures, and what to do: another try, silence, or a warning to the reader.

Thresholds are openai-whisper's. A window that fails is written again at the next temperature; when none
passes, the best is kept and flagged. A window without words is an answer too: nobody spoke.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

# Defaults of whisper.transcribe, https://github.com/openai/whisper/blob/main/whisper/transcribe.py
COMPRESSION_RATIO = 2.4  # above, the text repeats itself
LOGPROB = -1.0  # below, the model did not believe what it wrote
NO_SPEECH = 0.6  # above, and with a logprob below, there was nothing to hear

LOOP = 5  # times in a row that nobody says the same, where together it is
LOOPED = 15  # words or more


def compression_ratio(text: str) -> float:
    """Bytes of `text` over its bytes under zlib: speech has about 1 to 2, a loop far more."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw))


def repeats(words: Sequence[str]) -> bool:
    """Whether some phrase comes again and again without a break, as no speaker would have it.

    Catches the loops at the end of a long text that its compression ratio hides.
    """
    for length in range(1, len(words) // LOOP + 1):
        same = 0
        for before, after in zip(words, words[length:], strict=False):
            same = same + 1 if before == after else 0
            if same >= max(LOOPED, LOOP * length) - length:
                return True
    return False


def is_silence(avg_logprob: float, no_speech_prob: float) -> bool:
    """Whether there was nothing to hear, and what is written was invented."""
    return no_speech_prob > NO_SPEECH and avg_logprob < LOGPROB


def fails(text: str, avg_logprob: float) -> bool:
    """Whether a window must be tried again."""
    return avg_logprob < LOGPROB or loops(text)


def loops(text: str) -> bool:
    return compression_ratio(text) > COMPRESSION_RATIO or repeats(text.lower().split())


def flags(text: str, avg_logprob: float, ratio: float, temperature: float) -> tuple[str, ...]:
    """Why a reader should doubt a segment of a window with these figures; () when there is no reason."""
    reasons = {
        "low_probability": avg_logprob < LOGPROB,
        "retried": temperature > 0,
        "repetition": ratio > COMPRESSION_RATIO or repeats(text.lower().split()),
    }
    return tuple(reason for reason, holds in reasons.items() if holds)
