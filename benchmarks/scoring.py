"""What is wrong in a transcript: words, passages, start times, word times, languages, punctuation.

Texts are normalized with openai-whisper's normalizers before words are compared: English with
EnglishTextNormalizer, other languages with BasicTextNormalizer. Where a language is written without spaces,
characters take the place of words.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol, TypedDict

import jiwer

from benchmarks.corpus import Recording

PASSAGE_WORDS = 5  # words missing (or added) in a row that count as a passage
PASSAGE_CHARACTERS = 10  # of languages that are counted in characters: about five words
SENTENCE_END = re.compile(r"[.!?。！？؟…][\"'”’»)\]]*$")


class SegmentResult(TypedDict):
    """One segment of a transcript, in seconds."""

    start: float
    end: float
    text: str
    language: str | None


class WordResult(TypedDict):
    start: float
    end: float
    word: str


class RecordingResult(TypedDict):
    """What an implementation wrote for one recording."""

    language: str | None  # that it recognized
    segments: list[SegmentResult]
    words: list[WordResult]  # only for recordings with known word times


@dataclass(frozen=True, slots=True)
class Errors:
    """Words (or characters) wrong in one transcript."""

    wrong: int
    total: int  # words of the reference
    lost: int  # passages of the reference that are missing
    invented: int  # passages that nobody said


class _Normalizer(Protocol):
    def __call__(self, text: str) -> str: ...


@cache
def _normalizer(english: bool, by_character: bool) -> _Normalizer:
    from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

    if by_character:
        characters: _Normalizer = BasicTextNormalizer(split_letters=True)
        return characters
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # it leaves its list of spellings open
        words: _Normalizer = EnglishTextNormalizer() if english else BasicTextNormalizer()
    return words


def units(text: str, language: str | None, by_character: bool = False) -> list[str]:
    """Return the words (or characters) of `text` that are compared."""
    return _normalizer(language in ("en", None), by_character)(text).split()


def text_of(result: RecordingResult) -> str:
    """Return the transcript as one string."""
    return " ".join(segment["text"].strip() for segment in result["segments"])


def errors(
    reference: str, hypothesis: str, language: str | None, by_character: bool = False
) -> Errors:
    """Compare `hypothesis` with `reference`."""
    said = units(reference, language, by_character)
    written = units(hypothesis, language, by_character)
    long = PASSAGE_CHARACTERS if by_character else PASSAGE_WORDS
    if not said:
        return Errors(len(written), 0, 0, int(len(written) >= long))
    if not written:
        return Errors(len(said), len(said), int(len(said) >= long), 0)
    found = jiwer.process_words(" ".join(said), " ".join(written))
    chunks = found.alignments[0]
    return Errors(
        wrong=found.substitutions + found.deletions + found.insertions,
        total=len(said),
        lost=sum(c.type == "delete" and c.ref_end_idx - c.ref_start_idx >= long for c in chunks),
        invented=sum(
            c.type == "insert" and c.hyp_end_idx - c.hyp_start_idx >= long for c in chunks
        ),
    )


def recording_errors(recording: Recording, result: RecordingResult) -> Errors | None:
    """Compare a transcript with the reference of its recording; None without a reference."""
    if recording.reference is None:
        return None
    return errors(recording.reference, text_of(result), recording.language, recording.by_character)


# --- Times -----------------------------------------------------------------------------------------


def start_distances(recording: Recording, result: RecordingResult) -> list[float]:
    """Return, for each utterance, the seconds to the nearest start of a segment (inf without segments)."""
    starts = [segment["start"] for segment in result["segments"]]
    return [
        min((abs(start - utterance.start) for start in starts), default=float("inf"))
        for utterance in recording.utterances
    ]


def _bare(word: str) -> str:
    """Return `word` in lower case and without punctuation."""
    return re.sub(r"[^\w']+", "", word.lower()).strip("'")


def equal_words(first: Sequence[str], second: Sequence[str]) -> list[tuple[int, int]]:
    """Return the positions of the words that are equal in the alignment of both texts.

    Case and punctuation do not count, and words of punctuation alone are not compared.
    """
    left = [(_bare(word), i) for i, word in enumerate(first) if _bare(word)]
    right = [(_bare(word), i) for i, word in enumerate(second) if _bare(word)]
    if not left or not right:
        return []
    found = jiwer.process_words(" ".join(w for w, _ in left), " ".join(w for w, _ in right))
    pairs: list[tuple[int, int]] = []
    for chunk in found.alignments[0]:
        if chunk.type == "equal":
            for offset in range(chunk.ref_end_idx - chunk.ref_start_idx):
                pairs.append(
                    (left[chunk.ref_start_idx + offset][1], right[chunk.hyp_start_idx + offset][1])
                )
    return pairs


def segment_start_distances(recording: Recording, result: RecordingResult) -> list[float]:
    """Return the seconds between the start of a segment and the true start of its first word.

    Only segments count whose first word was recognized and has a known time: all words of a recording with
    word times, else the first word of each utterance.
    """
    words: list[tuple[str, float | None]] = [(word.word, word.start) for word in recording.words]
    if not words:
        for utterance in recording.utterances:
            for number, word in enumerate(utterance.text.split()):
                words.append((word, None if number else utterance.start))
    written: list[str] = []
    first_words: dict[int, float] = {}  # start of the segment by the position of its first word
    for segment in result["segments"]:
        first_words[len(written)] = segment["start"]
        written += segment["text"].split()
    return [
        abs(first_words[there] - known)
        for true, there in equal_words([word for word, _ in words], written)
        if there in first_words and (known := words[true][1]) is not None
    ]


def word_distances(recording: Recording, result: RecordingResult) -> list[float]:
    """Return the seconds between the true and the written start of each word that is in both."""
    pairs = equal_words(
        [word.word for word in recording.words], [word["word"] for word in result["words"]]
    )
    return [
        abs(recording.words[true].start - result["words"][written]["start"])
        for true, written in pairs
    ]


# --- Languages, punctuation ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Share:
    """`found` of `total`."""

    found: int
    total: int

    def __add__(self, other: Share) -> Share:
        return Share(self.found + other.found, self.total + other.total)


def language_of(
    utterance_start: float, utterance_end: float, result: RecordingResult
) -> str | None:
    """Return the language in which most of a stretch is written; None where nothing is."""
    seconds: dict[str | None, float] = {}
    for segment in result["segments"]:
        overlap = min(segment["end"], utterance_end) - max(segment["start"], utterance_start)
        if overlap > 0:
            code = segment["language"] or result["language"]
            seconds[code] = seconds.get(code, 0.0) + overlap
    return max(seconds, key=lambda code: seconds[code]) if seconds else None


def utterance_languages(recording: Recording, result: RecordingResult) -> Share:
    """Return how many utterances of a recording in several languages are written in their own."""
    if not recording.mixed:
        return Share(0, 0)
    known = [u for u in recording.utterances if u.language]
    right = sum(language_of(u.start, u.end, result) == u.language for u in known)
    return Share(right, len(known))


def _has_punctuation(text: str) -> bool:
    """Whether a reference was written with punctuation and capitals."""
    return text != text.lower() and any(SENTENCE_END.search(word) for word in text.split())


def sentence_ends(recording: Recording, result: RecordingResult) -> Share:
    """Return the sentence ends of the reference that the transcript has, at words that it has."""
    return _kept(recording, result, lambda word: SENTENCE_END.search(word) is not None)


def capitals(recording: Recording, result: RecordingResult) -> Share:
    """Return the capitals of the reference that the transcript has, at words that it has.

    Single letters and words that are all capitals do not count.
    """
    return _kept(
        recording,
        result,
        lambda word: (
            re.match(r"\W*[^\W\d_]\w", word) is not None
            and word.strip("\"'“‘«(¿¡")[:1].isupper()
            and word != word.upper()
        ),
    )


class _Mark(Protocol):
    def __call__(self, word: str) -> bool: ...


def _kept(recording: Recording, result: RecordingResult, mark: _Mark) -> Share:
    reference = recording.reference or ""
    if not _has_punctuation(reference):
        return Share(0, 0)
    said, written = reference.split(), text_of(result).split()
    pairs = [(said[i], written[j]) for i, j in equal_words(said, written) if mark(said[i])]
    return Share(sum(mark(word) for _, word in pairs), len(pairs))
