"""The backend of a run that tells the speakers of transcribed recordings apart, without transcribing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

from homescribe.backends.local import LocalSession
from homescribe.core import Audio, Session, Transcript, TranscriptionOptions
from homescribe.speakers.speaker_finder import SpeakerFinder
from homescribe.speakers.speaker_setting import parse_speakers


class SpeakersOnlyBackend:
    """Finds speakers in threads of this process.

    Args:
        finder: finds them. It is loaded when a session starts.
        slots: recordings at once; each takes one core.
        voices: whether voices are compared. Channels are not, and need nothing loaded.
    """

    name = "speakers"
    default_engine = "speakers"
    default_model = "for speakers"

    def __init__(self, finder: SpeakerFinder, slots: int = 1, *, voices: bool = True) -> None:
        self._finder = finder
        self._voices = voices
        self._slots = slots

    @contextmanager
    def start(self, engine: str, model: str) -> Iterator[Session]:
        """Load the models and start a session with them."""
        if self._voices:
            self._finder.load()
        yield LocalSession(_SpeakersOnly(self._finder, self._slots))


class _SpeakersOnly:
    """An engine whose transcripts have speakers and turns, but no text."""

    name = SpeakersOnlyBackend.default_engine
    model = SpeakersOnlyBackend.default_model

    def __init__(self, finder: SpeakerFinder, slots: int) -> None:
        self._finder = finder
        self.slots = slots

    def transcribe(
        self,
        audio: Audio,
        options: TranscriptionOptions,
        stop: Event,
        progress: Callable[[float], None],
    ) -> Transcript:
        """Find the speakers of `audio`, as `options.speakers` says."""
        done = 0.0

        def report(seconds: float) -> None:
            nonlocal done
            done = max(done, seconds)
            progress(seconds)

        setting = parse_speakers(options.speakers or "auto")
        found = self._finder.find(audio, setting, options.audio_track, stop, report)
        duration = max([done, *(turn.end for turn in found.turns)])
        return Transcript(
            *(self.name, self.model, "und", duration, ()),
            options=options,
            speakers=found.speakers,
            turns=found.turns,
        )

    def close(self) -> None:
        """Do nothing: the models are the finder's."""
