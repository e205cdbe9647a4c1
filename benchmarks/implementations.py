"""What benchmarks.engine_speed compares: homescribe's engines, and Whisper as users would run it without.

Each takes an openai-whisper checkpoint and the same weights in CTranslate2's format, and returns a function
from recordings to their texts. All decode greedily, in English, without the previous text as a prompt.

Imports are inside the functions, because each runs in a process of its own, whose memory is measured.
homescribe.engines comes after the library that it is compared with: it sets OMP_WAIT_POLICY for torch and
CTranslate2, and users of the others do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

from homescribe.audio import decode
from homescribe.core import Audio, Engine, Item, TranscriptionOptions

BATCH_SIZE = 8  # of faster-whisper's batched pipeline

Transcribe = Callable[[Sequence[Path]], list[str]]
Loader = Callable[[Path, Path], Transcribe]


def audio_of(path: Path) -> Audio:
    """Return the file at `path` as homescribe's engines take it."""
    return Audio(Item("file", path.name, str(path), path.stem), path, temporary=False)


def whisper_transcribe(checkpoint: Path, converted: Path) -> Transcribe:
    """Return whisper.transcribe on whole recordings."""
    import whisper

    model = whisper.load_model(str(checkpoint))
    fp16 = model.device.type == "cuda"

    def one(path: Path) -> str:
        result = model.transcribe(
            decode(path), language="en", fp16=fp16, condition_on_previous_text=False
        )
        return str(result["text"])

    return lambda paths: [one(path) for path in paths]


def whisper_by_window(checkpoint: Path, converted: Path) -> Transcribe:
    """Return whisper.transcribe on homescribe's windows of speech, one after the other: no batches."""
    import whisper

    from homescribe.engines.windows import RecordingWindows

    model = whisper.load_model(str(checkpoint))
    fp16 = model.device.type == "cuda"

    def one(path: Path) -> str:
        results = (
            model.transcribe(
                window.samples, language="en", fp16=fp16, condition_on_previous_text=False
            )
            for window in RecordingWindows(audio_of(path), TranscriptionOptions(), Event())
        )
        return "".join(str(result["text"]) for result in results)

    return lambda paths: [one(path) for path in paths]


def faster_whisper_sequential(compute_type: str) -> Loader:
    def load(checkpoint: Path, converted: Path) -> Transcribe:
        from faster_whisper import WhisperModel

        from homescribe.engines.ctranslate2_network import cpu_threads

        model = WhisperModel(str(converted), compute_type=compute_type, cpu_threads=cpu_threads())

        def one(path: Path) -> str:
            segments, _ = model.transcribe(
                decode(path),
                language="en",
                beam_size=1,
                vad_filter=True,
                condition_on_previous_text=False,
            )
            return "".join(segment.text for segment in segments)

        return lambda paths: [one(path) for path in paths]

    return load


def faster_whisper_batched(compute_type: str) -> Loader:
    def load(checkpoint: Path, converted: Path) -> Transcribe:
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        from homescribe.engines.ctranslate2_network import cpu_threads

        model = BatchedInferencePipeline(
            WhisperModel(str(converted), compute_type=compute_type, cpu_threads=cpu_threads())
        )

        def one(path: Path) -> str:
            segments, _ = model.transcribe(
                decode(path),
                language="en",
                beam_size=1,
                vad_filter=True,
                batch_size=BATCH_SIZE,
                without_timestamps=False,
            )
            return "".join(segment.text for segment in segments)

        return lambda paths: [one(path) for path in paths]

    return load


def homescribe_openai_whisper(compute_type: str | None = None) -> Loader:
    def load(checkpoint: Path, converted: Path) -> Transcribe:
        from homescribe.engines.openai_whisper import OpenAIWhisper

        return _all_at_once(OpenAIWhisper(str(checkpoint), compute_type))

    return load


def homescribe_faster_whisper(compute_type: str) -> Loader:
    def load(checkpoint: Path, converted: Path) -> Transcribe:
        from homescribe.engines.faster_whisper import FasterWhisper

        return _all_at_once(FasterWhisper(str(converted), compute_type))

    return load


def _all_at_once(engine: Engine) -> Transcribe:
    """Transcribe as many recordings at once as `engine` has slots for."""

    def one(path: Path) -> str:
        options = TranscriptionOptions(language="en")
        return engine.transcribe(audio_of(path), options, Event(), lambda _: None).text

    def several(paths: Sequence[Path]) -> list[str]:
        with ThreadPoolExecutor(engine.slots) as pool:
            return list(pool.map(one, paths))

    return several


IMPLEMENTATIONS: dict[str, Loader] = {
    "whisper.transcribe": whisper_transcribe,
    "whisper.transcribe by window": whisper_by_window,
    "faster-whisper sequential float32": faster_whisper_sequential("float32"),
    "faster-whisper sequential int8": faster_whisper_sequential("int8"),
    "faster-whisper batched float32": faster_whisper_batched("float32"),
    "faster-whisper batched int8": faster_whisper_batched("int8"),
    "homescribe openai-whisper": homescribe_openai_whisper(),
    "homescribe openai-whisper float32": homescribe_openai_whisper("float32"),
    "homescribe faster-whisper int8": homescribe_faster_whisper("int8"),
}
