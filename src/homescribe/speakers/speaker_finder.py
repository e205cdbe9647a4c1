"""Find who speaks in a recording, with networks that are loaded once and shared by all threads."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Lock

from homescribe.audio import blocks
from homescribe.core import Audio
from homescribe.speakers.channel_levels import FRAMES_PER_SECOND
from homescribe.speakers.clustering import SpeakerCount
from homescribe.speakers.diarizer import Diarization, Diarizer
from homescribe.speakers.speaker_models import SpeakerModels
from homescribe.speakers.speaker_setting import SpeakerSetting
from homescribe.speakers.two_channels import channel_diarization, channel_speech


class SpeakerFinder:
    """Finds who speaks. Safe to use from several threads."""

    def __init__(self, models: SpeakerModels | None = None) -> None:
        self._models = models or SpeakerModels()
        self._lock = Lock()
        self._diarizer: Diarizer | None = None

    def load(self) -> Diarizer:
        """Load the networks, downloading them on first use, unless they are loaded.

        Raises UserError for a file that is no such network, SetupError when a package is missing or a network
        cannot be downloaded.
        """
        with self._lock:
            if self._diarizer is None:
                self._diarizer = Diarizer(*self._models.found())
            return self._diarizer

    def find(
        self,
        audio: Audio,
        setting: SpeakerSetting,
        track: int | None,
        stop: Event,
        progress: Callable[[float], None],
    ) -> Diarization:
        """Return who speaks in `audio`, calling `progress` with the seconds of audio that are done.

        Args:
            track: audio track, from 1; None for the one that is transcribed by default.

        Raises as `load` and as `audio.blocks`, and Cancelled soon after `stop` is set. For channels, nothing
        is loaded, and NoChannels is raised for a recording that does not have two.
        """
        if setting.channels:
            own = channel_speech(audio, track, stop, [])
            progress(len(own) / FRAMES_PER_SECOND)
            return channel_diarization(own)
        return self.load().diarize(
            blocks(audio.media, duration=audio.duration, track=track, strict=False),
            SpeakerCount(setting.least, setting.most),
            stop,
            progress,
        )
