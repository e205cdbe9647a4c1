"""An engine whose transcripts say who speaks: a thread finds the speakers while the engine transcribes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Event, Lock, Thread

from homescribe.core import Audio, Engine, Segment, Streaming, Transcript, TranscriptionOptions
from homescribe.errors import Cancelled, HomescribeError, UserError
from homescribe.speakers.assignment import with_speakers
from homescribe.speakers.diarizer import Diarization
from homescribe.speakers.speaker_finder import SpeakerFinder
from homescribe.speakers.speaker_setting import SpeakerSetting, parse_speakers
from homescribe.speakers.two_channels import transcribe_channels

WriteLog = Callable[[BaseException, str], str | None]

TICK = 0.1  # seconds between two looks at `stop`


class SpeakerEngine:
    """An engine, and what finds speakers where the options request them.

    Both decode the recording, because an engine reads it at its own pace; decoding takes one or two percent
    of the time. Speakers that cannot be found cost no transcript: it gets a warning.

    Args:
        write_log: writes an unforeseen exception to a log, under a heading; returns the log's name for the
            user, None if there is none.
    """

    def __init__(
        self, engine: Engine, finder: SpeakerFinder, write_log: WriteLog | None = None
    ) -> None:
        self.name, self.model, self.slots = engine.name, engine.model, engine.slots
        self._engine = engine
        self._finder = finder
        self._write_log = write_log

    def transcribe(
        self,
        audio: Audio,
        options: TranscriptionOptions,
        stop: Event,
        progress: Callable[[float], None],
    ) -> Transcript:
        """As core.Engine. `progress` gets the seconds that both have done."""
        if options.speakers is None:
            return self._engine.transcribe(audio, options, stop, progress)
        setting = parse_speakers(options.speakers)
        if setting.channels:
            transcript = transcribe_channels(self._engine, audio, options, stop, progress)
            return transcript if options.word_timestamps else without_words(transcript)
        slowest = SlowestProgress(progress)
        search = SpeakerSearch(
            *(self._finder, audio, setting, options.audio_track, stop, slowest.reporter()),
            write_log=self._write_log,
        )
        wanted = replace(options, word_timestamps=True, speakers=None)
        try:
            transcript = self._engine.transcribe(audio, wanted, search.stop, slowest.reporter())
            diarization = search.result()
        except Cancelled:
            if search.fatal is not None and not stop.is_set():
                raise search.fatal from None
            raise
        finally:
            search.stop.set()
        return with_found_speakers(transcript, diarization, search.warning, setting, options)

    def stream(
        self,
        audio: Audio,
        options: TranscriptionOptions,
        stop: Event,
        progress: Callable[[float], None],
        decoded: Callable[[Sequence[Segment]], None],
    ) -> Transcript:
        """As core.Streaming. `decoded` gets nothing where speakers are told apart, which ends last."""
        if options.speakers is None and isinstance(self._engine, Streaming):
            return self._engine.stream(audio, options, stop, progress, decoded)
        return self.transcribe(audio, options, stop, progress)

    def close(self) -> None:
        """Free the engine's model."""
        self._engine.close()


def with_found_speakers(
    transcript: Transcript,
    diarization: Diarization | None,
    warning: str,
    setting: SpeakerSetting,
    options: TranscriptionOptions,
) -> Transcript:
    """Return the transcript with its speakers, or with the warning why it has none.

    The times of words were needed; they stay only where `options` request them.
    """
    if diarization is None:
        transcript = replace(transcript, warnings=(*transcript.warnings, warning))
    else:
        transcript = with_speakers(transcript, diarization, setting.least)
    return transcript if options.word_timestamps else without_words(transcript)


def without_words(transcript: Transcript) -> Transcript:
    """Return the transcript without the times of words, which were only needed to find their speakers."""
    segments = tuple(replace(segment, words=()) for segment in transcript.segments)
    return replace(transcript, segments=segments)


class SpeakerSearch:
    """A thread that finds the speakers of one recording.

    Its `stop` is set by the caller's, by an error that holds for all recordings, or by whoever no longer
    needs the result.
    """

    def __init__(
        self,
        finder: SpeakerFinder,
        audio: Audio,
        setting: SpeakerSetting,
        track: int | None,
        stop: Event,
        progress: Callable[[float], None],
        write_log: WriteLog | None = None,
    ) -> None:
        self.stop = LinkedEvent(stop)
        self.fatal: UserError | None = None  # it would stop every recording
        self.warning = ""  # why this recording has no speakers
        self._found: Diarization | None = None

        def search() -> None:
            try:
                self._found = finder.find(audio, setting, track, self.stop, progress)
                progress(float("inf"))
            except Cancelled:
                pass
            except UserError as error:
                self.fatal = error
                self.stop.set()
            except BaseException as error:  # noqa: BLE001 - the transcript is worth more
                reason = _reason(error, audio.item.key, write_log)
                self.warning = f"Speakers could not be told apart: {reason}"
                progress(float("inf"))

        self._thread = Thread(target=search, name="speakers", daemon=True)
        self._thread.start()

    def result(self) -> Diarization | None:
        """Wait for the speakers; None when there is a warning. Raises `fatal`, or Cancelled."""
        while self._thread.is_alive() and not self.stop.is_set():
            self._thread.join(TICK)
        if self.fatal is not None:
            raise self.fatal
        if self.stop.is_set():
            raise Cancelled
        return self._found


def _reason(error: BaseException, key: str, write_log: WriteLog | None) -> str:
    """Return why the speakers of the item `key` were not found.

    Of an unforeseen exception only the type: its text may contain paths and addresses, and a transcript with
    its warnings is published.
    """
    if isinstance(error, HomescribeError):
        return error.message
    log = write_log(error, f"finding the speakers of {key}") if write_log else None
    details = f"; the details are in {log}" if log else ""
    return f"internal error ({type(error).__name__}){details}."


class SlowestProgress:
    """The progress of several parts of one work: that of the slowest."""

    def __init__(self, progress: Callable[[float], None]) -> None:
        self._progress = progress
        self._lock = Lock()
        self._done: list[float] = []

    def reporter(self) -> Callable[[float], None]:
        """Return the function by which one more part reports its progress."""
        with self._lock:
            part = len(self._done)
            self._done.append(0.0)

        def report(seconds: float) -> None:
            with self._lock:
                before = min(self._done)
                self._done[part] = max(self._done[part], seconds)
                now = min(self._done)
                if before < now < float("inf"):
                    self._progress(now)

        return report


class LinkedEvent(Event):
    """An event that is also set while another one is."""

    def __init__(self, other: Event) -> None:
        super().__init__()
        self._other = other

    def is_set(self) -> bool:
        """Return whether this event or the other one is set."""
        return super().is_set() or self._other.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until either is set, or `timeout` seconds have passed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.is_set():
            left = TICK if deadline is None else min(TICK, deadline - time.monotonic())
            if left <= 0:
                return False
            super().wait(left)
        return True
