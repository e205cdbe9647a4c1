"""The setting `speakers`: "auto", "2", "2-4" or "channels"."""

from __future__ import annotations

import re
from dataclasses import dataclass

from homescribe.errors import UserError

AUTO, CHANNELS, NONE = "auto", "channels", "none"
MAX_SPEAKERS = 30  # more voices are rarely told apart, and each takes time


@dataclass(frozen=True, slots=True)
class SpeakerSetting:
    """How speakers are told apart: by their voices, or by the two channels of a stereo recording."""

    least: int = 1  # speakers
    most: int | None = None  # None: no limit
    channels: bool = False

    def __str__(self) -> str:
        if self.channels:
            return CHANNELS
        if self.most is None:
            return AUTO
        return str(self.most) if self.least == self.most else f"{self.least}-{self.most}"


def parse_speakers(text: str) -> SpeakerSetting:
    """Return the setting that `text` names. `str` of the result is its one spelling."""
    word = text.strip().lower()
    if word == AUTO:
        return SpeakerSetting()
    if word == CHANNELS:
        return SpeakerSetting(2, 2, channels=True)
    match = re.fullmatch(r"(\d{1,3})(?:\s*[-–]\s*(\d{1,3}))?", word, re.ASCII)
    if match:
        least, most = int(match[1]), int(match[2] or match[1])
        if most > MAX_SPEAKERS:
            raise UserError(
                f"speakers = {text!r} is too many: at most {MAX_SPEAKERS} are told apart.",
                "Use auto, which finds their number.",
            )
        if 1 <= least <= most:
            return SpeakerSetting(least, most)
    raise UserError(
        f"speakers = {text!r} is not valid.",
        "Use auto, a number of speakers such as 2, limits such as 2-4, or channels.",
    )


def speakers_option(text: str | None) -> str | None:
    """Return the one spelling of `text` for TranscriptionOptions; None for None, "" or "none"."""
    if text is None or text.strip().lower() in ("", NONE):
        return None
    return str(parse_speakers(text))
