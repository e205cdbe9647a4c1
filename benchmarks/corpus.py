"""Recordings with known words and times: a folder with a manifest.json.

The manifest is a list with one object for each recording. Only `file` is required; what a recording does not
have is not measured.

    file       name of the media file, in the same folder
    id         name in tables; default: `file` without its suffix
    language   Whisper's code of the language that is spoken, or spoken first; null without speech
    kind       "longform" for recordings that are reported as long form; any other word is free
    ref        what is said, as one string; "" if nobody speaks
    seconds    length of the recording; default: measured
    utts       utterances in order: [{"start": 0.9, "end": 11.6, "text": "...", "language": "en"}, ...]
    words      words in order: [{"start": 0.5, "end": 0.8, "word": "Mr"}, ...]
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from homescribe.audio import SAMPLE_RATE, blocks

# Languages written without spaces, or with few: words wrong are counted in characters.
CHARACTER_LANGUAGES = frozenset(("ja", "ko", "lo", "my", "th", "yue", "zh"))


class UtteranceEntry(TypedDict, total=False):
    start: float
    end: float
    text: str
    language: str | None


class WordEntry(TypedDict):
    start: float
    end: float
    word: str


class Entry(TypedDict, total=False):
    """One recording in the manifest."""

    file: str
    id: str
    language: str | None
    kind: str
    ref: str | None
    seconds: float
    utts: list[UtteranceEntry] | None
    words: list[WordEntry] | None


@dataclass(frozen=True, slots=True)
class Utterance:
    start: float  # seconds
    end: float
    text: str
    language: str | None


@dataclass(frozen=True, slots=True)
class TimedWord:
    start: float  # seconds
    end: float
    word: str


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording and what is known about it."""

    id: str
    path: Path
    seconds: float
    language: str | None = None
    kind: str = ""
    reference: str | None = None  # "": nobody speaks; None: not known
    utterances: tuple[Utterance, ...] = ()
    words: tuple[TimedWord, ...] = ()

    @property
    def languages(self) -> frozenset[str]:
        """The languages that are spoken."""
        found = {u.language for u in self.utterances} | {self.language}
        return frozenset(language for language in found if language)

    @property
    def mixed(self) -> bool:
        """Whether more than one language is spoken."""
        return len(self.languages) > 1

    @property
    def by_character(self) -> bool:
        """Whether errors are counted in characters instead of words."""
        return not self.languages.isdisjoint(CHARACTER_LANGUAGES)

    @property
    def group(self) -> str:
        """The row of the tables that this recording belongs to: "en", "de, long form", "en+de"."""
        if self.mixed:
            order = dict.fromkeys([self.language, *(u.language for u in self.utterances)])
            codes = [code for code in order if code]
            name = "+".join(codes) if len(codes) < 4 else f"{len(codes)} languages"
        else:
            name = self.language or "no language"
        return f"{name}, long form" if self.kind == "longform" else name


def read(folder: Path) -> list[Recording]:
    """Return the recordings of `folder`. Exits with a sentence if its manifest cannot be used."""
    manifest = folder / "manifest.json"
    try:
        entries: list[Entry] = json.loads(manifest.read_text(encoding="utf-8"))
    except OSError:
        raise SystemExit(f"{manifest} is missing: it lists the recordings.") from None
    except ValueError as error:
        raise SystemExit(f"{manifest} is not JSON: {error}.") from None
    recordings = [_recording(folder, entry) for entry in entries]
    names = [recording.id for recording in recordings]
    for name in names:
        if names.count(name) > 1:
            raise SystemExit(f"{manifest} has two recordings with the id {name}.")
    return recordings


def _recording(folder: Path, entry: Entry) -> Recording:
    """Parse one object of the manifest."""
    if "file" not in entry:
        raise SystemExit(f"A recording in {folder / 'manifest.json'} has no `file`: {entry}.")
    path = folder / entry["file"]
    if not path.is_file():
        raise SystemExit(f"{path} is in the manifest and not in the folder.")
    return Recording(
        id=entry.get("id") or path.stem,
        path=path,
        seconds=entry.get("seconds") or sum(len(b) for b in blocks(path)) / SAMPLE_RATE,
        language=entry.get("language"),
        kind=entry.get("kind", ""),
        reference=entry.get("ref"),
        utterances=tuple(
            Utterance(u["start"], u["end"], u.get("text", ""), u.get("language"))
            for u in entry.get("utts") or ()
        ),
        words=tuple(
            TimedWord(w["start"], w["end"], w["word"].strip()) for w in entry.get("words") or ()
        ),
    )


def for_model(recordings: Sequence[Recording], english_only: bool) -> list[Recording]:
    """Return the recordings that a model can be measured with: for an English-only model, those in English
    and those without speech.
    """
    return [r for r in recordings if not english_only or r.languages <= {"en"}]


def write(folder: Path, recordings: Sequence[Mapping[str, object]]) -> None:
    """Write the manifest of `folder`."""
    text = json.dumps(recordings, ensure_ascii=False, indent=1)
    (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
