"""What the benchmarks of real weights compare: homescribe's engines, and Whisper as users run it without.

An implementation loads a model and returns a function from a media file to its transcript. Peers run with
their own defaults, except where their name says otherwise. Imports are inside the functions, because each
implementation runs in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from types import MappingProxyType

from benchmarks.scoring import RecordingResult, SegmentResult, WordResult
from homescribe.audio import decode
from homescribe.core import Audio, Item, TranscriptionOptions
from homescribe.engines.cpu import cpu_threads

ENGINES = ("faster-whisper", "openai-whisper")


@dataclass(frozen=True, slots=True)
class Model:
    """The same weights in the formats of the implementations: names of published models, or paths."""

    checkpoint: str  # openai-whisper
    converted: str  # CTranslate2
    ggml: str  # whisper.cpp


# From a media file, and whether to return the time of each word.
Transcribe = Callable[[Path, bool], RecordingResult]
Load = Callable[[Model], Transcribe]


def audio_of(path: Path) -> Audio:
    """Return the file at `path` as homescribe's engines take it."""
    return Audio(Item("file", path.name, str(path), path.stem), path, temporary=False)


def homescribe(engine_name: str, beam_size: int | None) -> Load:
    """Return one of homescribe's engines. `beam_size` None is its default."""

    def load(model: Model) -> Transcribe:
        from homescribe import plugins

        weights = model.converted if engine_name == "faster-whisper" else model.checkpoint
        engine = plugins.load("engines", engine_name)(weights)

        def transcribe(path: Path, words: bool) -> RecordingResult:
            options = TranscriptionOptions(beam_size=beam_size, word_timestamps=words)
            done = engine.transcribe(audio_of(path), options, Event(), lambda _: None)
            return {
                "language": done.language,
                "segments": [
                    {"start": s.start, "end": s.end, "text": s.text, "language": s.language}
                    for s in done.segments
                ],
                "words": [
                    {"start": w.start, "end": w.end, "word": w.word}
                    for s in done.segments
                    for w in s.words
                ],
            }

        return transcribe

    return load


def whisper_transcribe(options: Mapping[str, object]) -> Load:
    """Return whisper.transcribe; on a CPU in float32, which is what it falls back to with a warning."""

    def load(model: Model) -> Transcribe:
        import whisper

        loaded = whisper.load_model(model.checkpoint)
        fp16 = loaded.device.type == "cuda"

        def transcribe(path: Path, words: bool) -> RecordingResult:
            found = loaded.transcribe(decode(path), fp16=fp16, word_timestamps=words, **options)
            segments: list[SegmentResult] = []
            timed: list[WordResult] = []
            for s in found["segments"]:
                start, end, text = float(s["start"]), float(s["end"]), str(s["text"])
                segments.append({"start": start, "end": end, "text": text, "language": None})
                for w in s.get("words", ()):
                    timed.append(
                        {"start": float(w["start"]), "end": float(w["end"]), "word": w["word"]}
                    )
            return {"language": found["language"], "segments": segments, "words": timed}

        return transcribe

    return load


def faster_whisper(
    options: Mapping[str, object], *, batched: bool = False, compute_type: str = "default"
) -> Load:
    """Return faster-whisper, sequential or batched."""

    def load(model: Model) -> Transcribe:
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        loaded = WhisperModel(model.converted, compute_type=compute_type)
        if batched:
            loaded = BatchedInferencePipeline(loaded)

        def transcribe(path: Path, words: bool) -> RecordingResult:
            found, info = loaded.transcribe(str(path), word_timestamps=words, **options)
            segments: list[SegmentResult] = []
            timed: list[WordResult] = []
            for s in found:
                segments.append({"start": s.start, "end": s.end, "text": s.text, "language": None})
                for w in s.words or ():
                    timed.append({"start": w.start, "end": w.end, "word": w.word})
            return {"language": info.language, "segments": segments, "words": timed}

        return transcribe

    return load


def whisper_cpp(model: Model) -> Transcribe:
    """Return whisper.cpp through pywhispercpp with its defaults: greedy, five candidates in a retry."""
    import _pywhispercpp as bindings
    from pywhispercpp.model import Model as WhisperCpp

    loaded = WhisperCpp(
        model.ggml,
        redirect_whispercpp_logs_to=None,
        print_progress=False,
        language="en" if is_english_only(model.checkpoint) else "",  # "": detect it
        # Its own default is four threads, also where there are fewer cores.
        n_threads=min(4, cpu_threads()),
    )
    centisecond = 0.01  # its unit of time

    def transcribe(path: Path, words: bool) -> RecordingResult:
        """Without word times: whisper.cpp has only those of tokens."""
        segments: list[SegmentResult] = []
        for s in loaded.transcribe(decode(path)):
            start, end = s.t0 * centisecond, s.t1 * centisecond
            segments.append({"start": start, "end": end, "text": s.text, "language": None})
        language = bindings.whisper_lang_str(bindings.whisper_full_lang_id(vars(loaded)["_ctx"]))
        return {"language": language, "segments": segments, "words": []}

    return transcribe


def is_english_only(model: str) -> bool:
    """Whether a model has English only: its name, or that of its file or folder, ends in ".en"."""
    return model.removesuffix("/").removesuffix(".pt").removesuffix(".bin").endswith(".en")


PEERS: Mapping[str, Load] = MappingProxyType(
    {
        "whisper.transcribe": whisper_transcribe({}),
        # The command `whisper` passes these to whisper.transcribe.
        "whisper CLI (beam 5)": whisper_transcribe({"beam_size": 5, "best_of": 5}),
        "faster-whisper (beam 5)": faster_whisper({}),
        "faster-whisper vad_filter": faster_whisper({"vad_filter": True}),
        "faster-whisper batched": faster_whisper({}, batched=True),
        "faster-whisper int8 greedy": faster_whisper({"beam_size": 1}, compute_type="int8"),
        "faster-whisper batched int8 greedy": faster_whisper(
            {"beam_size": 1}, batched=True, compute_type="int8"
        ),
        "whisper.cpp": whisper_cpp,
    }
)


def homescribe_name(engine: str, beam_size: int | None) -> str:
    """Return the name of an engine in tables."""
    beam = {None: "", 1: " greedy"}.get(beam_size, f" beam {beam_size}")
    return f"homescribe {engine}{beam}"


def loader(name: str) -> Load:
    """Return the implementation of a name in PEERS or from `homescribe_name`."""
    if name in PEERS:
        return PEERS[name]
    _, engine, *beam = name.split(" ", 2)
    size = {(): None, ("greedy",): 1}.get(tuple(beam), 0)
    return homescribe(engine, int(beam[0].removeprefix("beam ")) if size == 0 else size)
