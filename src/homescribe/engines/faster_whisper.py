"""faster-whisper: Whisper on CTranslate2, without torch. The light engine for a machine without a GPU.

faster-whisper itself computes the spectrogram of a whole file at once (3 GB for an hour). Here it is given
a window of speech at a time, so that memory does not grow with the length of a recording.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

from homescribe import demo
from homescribe.core import Audio, Segment, Transcript, TranscriptionOptions, Word
from homescribe.engines.gate import flags
from homescribe.engines.loading import UNKNOWN, check_language, cores, memory_errors
from homescribe.engines.segments import place
from homescribe.engines.speech import Recording, Window, stretch
from homescribe.errors import Cancelled, HomescribeError, SetupError, UserError


class FasterWhisper:
    """A loaded model: a name that faster-whisper knows, an "owner/name" on the Hugging Face Hub, a folder
    in CTranslate2's format, or "demo".

    int8 on the CPU, float16 on a GPU. `transcribe` may be called from several threads.
    """

    name = "faster-whisper"
    slots = 2  # one recording is decoded while another is transcribed

    def __init__(self, model: str) -> None:
        import ctranslate2
        from faster_whisper import WhisperModel

        self.model = model
        folder = find(model)
        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        fitting = ctranslate2.get_supported_compute_types(device)
        compute_type = "float16" if device == "cuda" and "float16" in fitting else "int8"
        with loading(model), memory_errors(model):
            self.whisper = WhisperModel(
                str(folder), device=device, compute_type=compute_type, cpu_threads=cores()
            )

    def transcribe(
        self,
        audio: Audio,
        options: TranscriptionOptions,
        stop: Event,
        progress: Callable[[float], None],
    ) -> Transcript:
        """As core.Engine. The language is heard in the first speech and kept."""
        known = self.whisper.supported_languages
        check_language(options, self.model, known)
        recording = Recording(audio, stop, limit=stretch(options), vad_filter=options.vad_filter)
        language = options.language or (known[0] if len(known) == 1 else None)
        segments: list[Segment] = []
        with memory_errors(self.model):
            for window in recording:
                if language is None:
                    language = self._language(window)
                heard = self._segments(window, language, options, stop)
                segments += place(heard, window, segments[-1].end if segments else 0.0)
                progress(window.end)
        progress(recording.duration)
        return Transcript(
            self.name, self.model, language or UNKNOWN, recording.duration, tuple(segments)
        )

    def close(self) -> None:
        """Free the weights; the memory comes back when the last call has ended."""
        self.whisper.model.unload_model()

    def _language(self, window: Window) -> str:
        # Up to three windows, until one is sure.
        language, *_ = self.whisper.detect_language(window.samples, language_detection_segments=3)
        return str(language)

    def _segments(
        self, window: Window, language: str, options: TranscriptionOptions, stop: Event
    ) -> Iterator[Segment]:
        found, _ = self.whisper.transcribe(
            window.samples,
            language=language,
            task=options.task,
            beam_size=options.beam_size or 1,
            temperature=options.temperature,
            condition_on_previous_text=options.condition_on_previous_text,
            initial_prompt=options.initial_prompt,
            word_timestamps=options.word_timestamps,
            vad_filter=False,  # the window is speech already
        )
        for segment in found:
            if stop.is_set():
                raise Cancelled
            yield parse(segment)


def parse(segment: Any) -> Segment:
    """faster-whisper's segment as ours."""
    temperature = float(segment.temperature or 0.0)
    return Segment(
        start=float(segment.start),
        end=float(segment.end),
        text=segment.text,
        avg_logprob=segment.avg_logprob,
        no_speech_prob=segment.no_speech_prob,
        compression_ratio=segment.compression_ratio,
        temperature=temperature,
        words=tuple(
            Word(float(w.start), float(w.end), w.word, float(w.probability))
            for w in segment.words or ()
        ),
        flags=flags(segment.avg_logprob, segment.compression_ratio, temperature),
    )


# --- Finding the model -----------------------------------------------------------------------------


def find(model: str) -> Path:
    """The folder of `model`, downloaded on first use with progress on standard error.

    Raises UserError for an unknown name, SetupError when it cannot be fetched.
    """
    from faster_whisper import available_models

    if model == "demo":
        return demo.model("faster-whisper")
    path = Path(model).expanduser()
    if path.is_dir():
        if (path / "model.bin").is_file():
            return path
        raise UserError(
            f"{path} holds no model.bin.", "Name a folder in CTranslate2's Whisper format."
        )
    if path.is_file():
        raise UserError(
            f"{path} is a file.",
            "Name a folder in CTranslate2's Whisper format, or use --engine openai-whisper.",
        )
    if model not in available_models() and not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise UserError(
            f"faster-whisper knows no model {model!r}.",
            f"Use a folder or one of: {', '.join(available_models())}.",
        )
    return download(model)


def download(model: str) -> Path:
    """Where the Hugging Face cache has `model`, fetched first when it has not."""
    import huggingface_hub
    from faster_whisper import utils
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(utils.download_model(model, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    # faster-whisper's own download shows no progress.
    files = [
        "config.json",
        "preprocessor_config.json",
        "model.bin",
        "tokenizer.json",
        "vocabulary.*",
    ]
    try:
        repository = utils._MODELS.get(model, model)
        return Path(huggingface_hub.snapshot_download(repository, allow_patterns=files))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise SetupError(
            f"The model {model} could not be downloaded from the Hugging Face Hub.",
            "Connect to the network and try again, or give the path of a model as --model.",
        ) from error


@contextmanager
def loading(model: str) -> Iterator[None]:
    """What a broken model makes the libraries raise, as SetupError."""
    try:
        yield
    except HomescribeError:
        raise
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        if "out of memory" in str(error).lower():
            raise
        raise SetupError(
            f"The model {model} cannot be loaded: {str(error).splitlines()[0]}",
            "Remove it and let it be downloaded again, or choose another.",
        ) from error
