"""Events that a run's threads send to the iterating thread, all through one queue."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event as Flag

from homescribe.core import Audio, Call, Item, Transcript, Usage
from homescribe.errors import ItemError, SourceBlocked, UserError
from homescribe.pipeline.audio_copies import NewAudio, NotKept


@dataclass(frozen=True, slots=True)
class Downloaded:
    """The audio is on disk and takes up a place in the download buffer.

    `kept`: the file that was made of it to be kept, or why there is none; None where nothing is kept.
    """

    audio: Audio
    kept: NewAudio | NotKept | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """A call exists that outlives this process. The sender waits for `stored` before it continues."""

    call: Call
    stored: Flag = field(default_factory=Flag)


@dataclass(frozen=True, slots=True)
class Started:
    """The engine in this process is about to work on `item`. The sender waits for `stored`."""

    item: Item
    stored: Flag = field(default_factory=Flag)


@dataclass(frozen=True, slots=True)
class Used:
    """A call on a rented machine ended, with or without a transcript, and this is what it used."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Transcribed:
    """The transcript has arrived, `seconds` after the item was submitted."""

    item: Item
    transcript: Transcript
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The download or the transcription of `item` failed. `keep_call`: its call may still be collected."""

    item: Item
    error: ItemError
    keep_call: bool = False
    unforeseen: bool = False  # an exception that the engine in this process does not foresee
    machines: bool = False  # it mentions this machine rather than a recording


@dataclass(frozen=True, slots=True)
class Check:
    """Work for a slot: find out whether the engine can transcribe `audio`, as any engine can."""

    audio: Audio


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a Check: None, or why it failed."""

    problem: BaseException | None


@dataclass(frozen=True, slots=True)
class Blocked:
    """A site refused a download.

    `until`: Unix time of the next attempt, None if there will be none in this run. `requested`: the site
    itself requested the pause, so later runs must respect it too.
    """

    site: str
    item: Item
    error: SourceBlocked
    until: float | None
    requested: bool


@dataclass(frozen=True, slots=True)
class NotDownloaded:
    """These items stay pending: their site is blocked, or the run is ending."""

    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Halted:
    """The run must end because the user has to act."""

    error: UserError


@dataclass(frozen=True, slots=True)
class Crashed:
    """The run must end because of a bug in the run itself; `error` is raised with its traceback."""

    error: BaseException


Event = (
    Downloaded
    | Submitted
    | Started
    | Used
    | Transcribed
    | Failed
    | Checked
    | Blocked
    | NotDownloaded
    | Halted
    | Crashed
)
