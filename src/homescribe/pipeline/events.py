"""What the run's threads tell the thread that iterates over it. Each is sent through one queue."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event as Flag

from homescribe.core import Audio, Call, Item, Transcript, Usage
from homescribe.errors import ItemError, SourceBlocked, UserError


@dataclass(frozen=True, slots=True)
class Fetched:
    """The audio is on disk and holds a place in the window."""

    audio: Audio


@dataclass(frozen=True, slots=True)
class Submitted:
    """A call that outlives us exists. Its thread waits for `stored` before it does anything else."""

    call: Call
    stored: Flag = field(default_factory=Flag)


@dataclass(frozen=True, slots=True)
class Used:
    """A rented call has ended, whether it gave a transcript or not, and this is what it took."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Heard:
    """The transcript is here."""

    item: Item
    transcript: Transcript
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """`item` failed; `fetched` when its audio had come and holds a place in the window."""

    item: Item
    error: ItemError
    fetched: bool


@dataclass(frozen=True, slots=True)
class Blocked:
    """A site turns us away. `until` (Unix time) when it will be asked again, None when it will not.

    `asked`: the site itself asked for the pause, so the next run owes it too.
    """

    site: str
    item: Item
    error: SourceBlocked
    until: float | None
    asked: bool


@dataclass(frozen=True, slots=True)
class Left:
    """These items stay as they were: the site is blocked, or the run is ending."""

    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Halted:
    """The user must act: the run ends."""

    error: UserError


@dataclass(frozen=True, slots=True)
class Crashed:
    """A bug: the run ends with its traceback."""

    error: BaseException


Event = Fetched | Submitted | Used | Heard | Failed | Blocked | Left | Halted | Crashed
