"""What both engines share: a network, its scheduler, and transcribing one recording with them."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event

from homescribe.core import Audio, Segment, Transcript, TranscriptionOptions
from homescribe.engines.languages import UNDETERMINED, check_language
from homescribe.engines.out_of_memory import memory_errors
from homescribe.engines.recording_transcriber import RecordingTranscriber
from homescribe.engines.scheduler import Scheduler
from homescribe.engines.segments import place
from homescribe.engines.whisper_network import WhisperNetwork
from homescribe.engines.windows import RecordingWindows

# What every engine here imports: PyAV decodes, faster-whisper contains Silero VAD, which runs on onnxruntime.
# Exact versions, so that an image built next month is the image that was tested.
PACKAGES = (
    "av==18.1.0",
    "numpy==2.4.6",
    "faster-whisper==1.2.1",
    "ctranslate2==4.8.5",
    "huggingface_hub==2.4.0",
    "onnxruntime==1.32.0",
    "tokenizers==0.23.3",
)


class BatchEngine:
    """A core.Engine whose `network` decodes windows of several recordings in one batch."""

    name: str
    slots = 4  # recordings at once: enough to fill a batch while one of them decodes its audio

    def __init__(self, model: str, network: WhisperNetwork) -> None:
        self.model = model
        self.network = network
        self.scheduler = Scheduler(network)

    def transcribe(
        self,
        audio: Audio,
        options: TranscriptionOptions,
        stop: Event,
        progress: Callable[[float], None],
    ) -> Transcript:
        """As core.Engine. The language is detected in the first windows of speech and kept."""
        check_language(options, self.model, self.network.languages)
        windows = RecordingWindows(audio, stop, vad_filter=options.vad_filter)
        transcriber = RecordingTranscriber(self.scheduler, self.network, options, stop)
        segments: list[Segment] = []
        with memory_errors(self.model):
            for result in transcriber.results(windows):
                after = segments[-1].end if segments else 0.0
                segments += place(result.segments, result.window, after)
                progress(result.window.end)
        progress(windows.duration)
        language = transcriber.language or UNDETERMINED
        return Transcript(self.name, self.model, language, windows.duration, tuple(segments))

    def close(self) -> None:
        """End the scheduler's thread."""
        self.scheduler.close()
