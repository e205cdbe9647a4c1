"""What both engines share: a network, its scheduler, and transcribing one recording with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Event

from homescribe.core import Audio, Segment, Skipped, Transcript, TranscriptionOptions
from homescribe.engines import quality
from homescribe.engines.languages import UNDETERMINED, check_language
from homescribe.engines.models import default_beam_size
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

MAX_SLOTS = 32
MIN_SKIPPED = 1.0  # seconds; shorter stretches without text are pauses


class BatchEngine:
    """A core.Engine whose `network` decodes windows of several recordings in one batch."""

    name: str
    slots = 4  # recordings at once, at least

    def __init__(self, model: str, network: WhisperNetwork) -> None:
        self.model = model
        self.network = network
        self.scheduler = Scheduler(network)
        # Short recordings have one window each: enough of them to fill every batch while some are decoded.
        batches = network.workers * network.batch_size
        self.slots = max(self.slots, min(MAX_SLOTS, batches + network.workers))

    def transcribe(
        self,
        audio: Audio,
        options: TranscriptionOptions,
        stop: Event,
        progress: Callable[[float], None],
    ) -> Transcript:
        """As core.Engine. Every window is transcribed in its own language, unless `options` names one."""
        return self.stream(audio, options, stop, progress, lambda segments: None)

    def stream(
        self,
        audio: Audio,
        options: TranscriptionOptions,
        stop: Event,
        progress: Callable[[float], None],
        decoded: Callable[[Sequence[Segment]], None],
    ) -> Transcript:
        """As core.Streaming: `decoded` gets the segments of each window."""
        check_language(options, self.model, self.network.languages)
        if options.beam_size is None:
            options = replace(options, beam_size=default_beam_size(self.model))
        windows = RecordingWindows(audio, options, stop)
        transcriber = RecordingTranscriber(self.scheduler, self.network, options, stop)
        segments: list[Segment] = []
        skipped: list[Skipped] = []
        speech: dict[str, float] = {}
        end = 0.0  # of the last window
        with memory_errors(self.model):
            for result in transcriber.results(windows):
                window = result.window
                after = segments[-1].end if segments else 0.0
                placed = quality.without_copies(
                    place(result.segments, window, after, move_starts=options.vad_filter)
                )
                segments += placed
                if placed:
                    decoded(placed)
                if window.start > end:
                    skipped.append(Skipped(end, window.start, "no_speech"))
                if not placed:
                    skipped.append(Skipped(window.start, window.end, "no_text"))
                else:
                    seconds = speech.get(result.language, 0.0) + window.speech_seconds()
                    speech[result.language] = seconds
                end = window.end
                progress(window.end)
        if windows.duration > end:
            skipped.append(Skipped(end, windows.duration, "no_speech"))
        progress(windows.duration)
        return Transcript(
            engine=self.name,
            model=self.model,
            language=max(speech, key=lambda code: speech[code]) if speech else UNDETERMINED,
            duration=windows.duration,
            segments=quality.flag_repeated_segments(segments),
            skipped=tuple(one for one in skipped if one.end - one.start >= MIN_SKIPPED),
            warnings=tuple(windows.warnings),
        )

    def close(self) -> None:
        """End the scheduler's thread."""
        self.scheduler.close()
