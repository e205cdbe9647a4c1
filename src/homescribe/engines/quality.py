"""Whether Whisper's output for a window is reliable: retry it, take it as silence, or flag it.

Thresholds are openai-whisper's. A window that fails is decoded again at the next temperature; when every
temperature fails, the best attempt is kept and flagged. A window without words is a valid result: nobody
spoke.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

from homescribe.core import Segment
from homescribe.text.scripts import folded_words, spaced

# Defaults of whisper.transcribe, https://github.com/openai/whisper/blob/main/whisper/transcribe.py
COMPRESSION_RATIO_THRESHOLD = 2.4  # above it, the text repeats itself
LOGPROB_THRESHOLD = -1.0  # below it, the model is unsure of the text
NO_SPEECH_THRESHOLD = 0.6  # above it, and below LOGPROB_THRESHOLD, the window is silent

# A phrase that comes so often in a row, with so many words together, is a loop: the window is decoded again.
LOOP = (5, 15)
# Fewer may be how somebody speaks, so they are only flagged.
DOUBTFUL_LOOP = (3, 9)
MIN_DOUBTFUL_PHRASE = 3  # words; "no, no, no" is speech
MIN_REPEATED_SEGMENTS = 3  # segments with the same text in a row that are flagged

# A sound this short is often no speech, and then Whisper writes "Thank you." It must be surer of it.
SHORT_SPEECH = 0.5  # seconds
SHORT_LOGPROB_THRESHOLD = -0.7
SHORT_NO_SPEECH_THRESHOLD = 0.3

# A phrase of this many words and letters that is written twice in a row may be a copy: it is looked at again.
MIN_DOUBLED_WORDS = 4
MIN_DOUBLED_LETTERS = 12
MAX_DOUBLED_WORDS = 60

# Nobody speaks faster. Whisper writes such text for sounds that are no speech, often what was said before.
MAX_CHARACTERS_PER_SECOND = 40
FREE_CHARACTERS = 20  # for times that are not exact
FAST_CHARACTERS_PER_SECOND = (
    25  # of the fastest speakers; of a copy of the sentence beside it, a mistake
)


def compression_ratio(text: str) -> float:
    """Bytes of `text` divided by its bytes under zlib: about 1 to 2 for speech, far more for repetitions."""
    raw = text.encode()
    return len(raw) / len(zlib.compress(raw))


def repeats_phrase(words: Sequence[str], loop: tuple[int, int] = LOOP, min_phrase: int = 1) -> bool:
    """Whether some phrase of at least `min_phrase` words occurs again and again without other words between.

    `loop`: how many times in a row, and how many words these have together. Finds repetitions at the end
    of a long text, where the compression ratio does not show them.
    """
    times, together = loop
    for length in range(min_phrase, len(words) // times + 1):
        same = 0
        for before, after in zip(words, words[length:], strict=False):
            same = same + 1 if before == after else 0
            if same >= max(together, times * length) - length:
                return True
    return False


def says_twice(text: str) -> bool:
    """Whether `text` has a phrase twice in a row, with at most one other word between them.

    People do that, and so does Whisper, with a sentence that was said once.
    """
    words = folded_words(spaced(text)[0])
    for distance in range(MIN_DOUBLED_WORDS, min(len(words) // 2, MAX_DOUBLED_WORDS) + 2):
        same: list[str] = []
        for before, after in zip(words, words[distance:], strict=False):
            same = [*same, after] if before == after else []
            long = sum(map(len, same)) >= MIN_DOUBLED_LETTERS
            if long and len(same) >= max(MIN_DOUBLED_WORDS, distance - 1):
                return True
    return False


def is_silence(avg_logprob: float, no_speech_prob: float, speech: float = 30.0) -> bool:
    """Whether nobody speaks in a window with these figures, so that its text is a hallucination.

    `speech`: seconds of speech that were detected in it.
    """
    if speech < SHORT_SPEECH and (
        avg_logprob < SHORT_LOGPROB_THRESHOLD or no_speech_prob > SHORT_NO_SPEECH_THRESHOLD
    ):
        return True
    return no_speech_prob > NO_SPEECH_THRESHOLD and avg_logprob < LOGPROB_THRESHOLD


def is_too_fast(text: str, seconds: float) -> bool:
    """Whether nobody can say `text` in `seconds`."""
    return len(text) > MAX_CHARACTERS_PER_SECOND * seconds + FREE_CHARACTERS


def without_copies(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Return `segments` without those that say what the one beside them says, too fast for any speaker."""
    kept = []
    for number, segment in enumerate(segments):
        beside = [segments[n] for n in (number - 1, number + 1) if 0 <= n < len(segments)]
        limit = FAST_CHARACTERS_PER_SECOND * (segment.end - segment.start)
        fast = len(segment.text) > limit and len(segment.text) > FREE_CHARACTERS
        slower = [s for s in beside if s.end - s.start > segment.end - segment.start]
        if not (fast and any(_same_text(segment, other) for other in slower)):
            kept.append(segment)
    return tuple(kept)


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
    words = text.lower().split()
    reasons = {
        "low_probability": avg_logprob < LOGPROB_THRESHOLD,
        "retried": temperature > 0,
        "repetition": ratio > COMPRESSION_RATIO_THRESHOLD
        or repeats_phrase(words)
        or repeats_phrase(words, DOUBTFUL_LOOP, MIN_DOUBTFUL_PHRASE),
    }
    return tuple(reason for reason, holds in reasons.items() if holds)


def flag_repeated_segments(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Return `segments` with a flag on every run of them that says the same."""
    flagged = list(segments)
    first = 0
    for end in range(1, len(flagged) + 1):
        if end < len(flagged) and _same_text(flagged[first], flagged[end]):
            continue
        if end - first >= MIN_REPEATED_SEGMENTS:
            for index in range(first, end):
                flags = dict.fromkeys((*flagged[index].flags, "repetition"))
                flagged[index] = replace(flagged[index], flags=tuple(flags))
        first = end
    return tuple(flagged)


def _same_text(one: Segment, other: Segment) -> bool:
    return one.text.strip().lower() == other.text.strip().lower()
