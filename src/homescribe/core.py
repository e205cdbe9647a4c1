"""The values that travel between the parts, and the protocols that plug-ins implement.

Values are frozen; behaviour lives in functions elsewhere. All times are float seconds from the start of
the recording. Names are Whisper's (`segments`, `avg_logprob`) and yt-dlp's (`channel`, `upload_date`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Literal, Protocol
from urllib.parse import urlsplit

from homescribe.errors import HomescribeError

SECOND = 1.0
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

# --- What is listed and downloaded ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chapter:
    """A titled stretch of a recording, as its publisher marked it."""

    start: float
    end: float
    title: str


# Metadata of Item's fields. The fields are the one list of what is known about a recording: the library's
# columns, JSON, and what the page of an item adds to its listing follow from them.
BY_PAGE = {
    "by_page": True
}  # the page is right where a listing may round or guess (approximate dates)
PATH = {"path": True}  # may be a file path that is not UTF-8
EXPORT_ONLY = {"json": "export"}  # in the JSON of one item, not in lists
NO_JSON = {"json": None}


@dataclass(frozen=True, slots=True)
class Item:
    """One recording: what its source's listing says about it, completed by its own page when it is fetched.

    `key` names it permanently ("youtube:jNQXAC9IVRw"): in the library, on the command line, in file names.
    """

    # Namespace of `id`: "youtube", "podcast", "file", or yt-dlp's extractor key in lower case.
    source: str = field(metadata=NO_JSON)
    id: str = field(metadata=NO_JSON)  # unique within `source`
    # Page a person can open (webpage_url), or the absolute path of a local file (file:// where its name is
    # not Unicode).
    url: str = field(metadata=PATH)
    title: str
    channel: str | None = None  # channel, podcast or folder name
    channel_id: str | None = field(default=None, metadata=BY_PAGE | EXPORT_ONLY)
    duration: float | None = field(default=None, metadata=BY_PAGE)  # seconds; None when not listed
    upload_date: str | None = field(default=None, metadata=BY_PAGE)  # ISO 8601 date, "2026-03-01"
    language: str | None = field(default=None, metadata=BY_PAGE)  # BCP 47, as the publisher says
    description: str | None = field(default=None, metadata=BY_PAGE | NO_JSON)
    chapters: tuple[Chapter, ...] = field(default=(), metadata=BY_PAGE | EXPORT_ONLY)
    # Address to download from, where it is not `url`. Never in JSON: that of a private feed has a token.
    media_url: str | None = field(default=None, metadata=PATH | NO_JSON)

    @property
    def key(self) -> str:
        return f"{self.source}:{self.id}"


@dataclass(frozen=True, slots=True)
class Audio:
    """The audio of an item, on this machine's disk, or in memory where there is no disk to put it on.

    `item` is completed with what only its page told. `duration` is the length in seconds that the decoded
    audio must have (publisher's metadata), None when nobody said. `temporary` files are removed once the
    transcript is stored; a user's own file never is.
    """

    item: Item
    path: Path
    duration: float | None = None
    temporary: bool = True
    data: bytes | None = None  # the file's content, in place of the file

    @property
    def media(self) -> Path | bytes:
        """What a decoder opens."""
        return self.path if self.data is None else self.data


@dataclass(frozen=True, slots=True)
class Listing:
    """What a source offers at one URL. `items` is lazy: stopping early saves the requests behind it.

    `newest_first` promises that new items appear at the top, so that an update may stop at known ones.
    Several listings with the same `url` are parts of one whole (the tabs of a channel), each to be stopped
    on its own.
    """

    url: str  # canonical: the same for every spelling of the same channel, feed or folder
    title: str
    items: Iterator[Item]
    newest_first: bool = False


# --- What is heard -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a segment with its time."""

    start: float
    end: float
    word: str  # with its leading space, as Whisper gives it
    probability: float  # 0..1


@dataclass(frozen=True, slots=True)
class Segment:
    """A line of speech, with the figures by which Whisper judges its own work."""

    start: float
    end: float
    text: str
    avg_logprob: float | None = None  # mean log probability of the tokens; below -1 is doubtful
    no_speech_prob: float | None = None  # 0..1
    compression_ratio: float | None = None  # of the text under zlib; above 2.4 it repeats itself
    temperature: float | None = None  # at which it was decoded; above 0 it was retried
    words: tuple[Word, ...] = ()
    flags: tuple[
        str, ...
    ] = ()  # why a reader should doubt it: "low_probability", "retried", "repetition"


@dataclass(frozen=True, slots=True)
class Transcript:
    """Every word of one item. `segments` are in order of time and end within `duration`."""

    engine: str
    model: str
    language: str  # Whisper's code, "en"
    duration: float  # seconds of audio decoded
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments).strip()


@dataclass(frozen=True, slots=True)
class TranscriptionOptions:
    """Whisper's options under Whisper's names. `None` leaves the choice to the engine."""

    language: str | None = None  # Whisper's code; None detects it
    task: Literal["transcribe", "translate"] = "transcribe"
    beam_size: int | None = None  # 1 is greedy
    temperature: tuple[float, ...] = (
        0.0,
        0.2,
        0.4,
        0.6,
        0.8,
        1.0,
    )  # tried in turn until one passes
    word_timestamps: bool = False
    vad_filter: bool = True  # skip what holds no speech
    initial_prompt: str | None = None  # names and spellings to expect
    condition_on_previous_text: bool = False  # on, a loop in one window spreads to the next


# --- What happens to it --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """Work handed to a backend. With an `id` it outlives this process and must be stored at once."""

    item: Item
    backend: str
    submitted_at: float  # Unix time
    id: str | None = None
    metadata: str = ""  # the backend's own words about it (JSON), kept beside the call


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one item ended: with a `transcript`, or with the `error` that stopped it."""

    item: Item
    transcript: Transcript | None = None
    error: HomescribeError | None = None
    seconds: float = 0.0  # wall time from submission to result


@dataclass(frozen=True, slots=True)
class Usage:
    """What one finished call took of a rented machine, and its price."""

    call: Call
    engine: str
    model: str
    gpu: str
    gpu_seconds: float  # its share of the seconds in which the machine worked
    overhead_seconds: float  # boot, model load and waiting that were paid for on its account
    boots: int  # 1 for the first call of a machine
    audio_seconds: float
    dollars: float
    expected_dollars: float  # by what was known when it was submitted
    finished_at: float  # Unix time
    outcome: Literal["done", "failed", "died"]  # died: the machine did, not the call


@dataclass(slots=True)
class Uploads:
    """What has gone up to a backend so far. It writes it, a display reads it."""

    items: int = 0
    bytes: int = 0
    seconds: float = 0.0
    current: str = ""  # title of the item that is on its way
    current_bytes: int = 0
    current_since: float = 0.0  # Unix time

    @property
    def rate(self) -> float | None:
        """Bytes a second, None before the first has arrived."""
        return self.bytes / self.seconds if self.seconds else None


# --- What plug-ins implement ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What every source is constructed with. `cache` is a directory it may keep what it likes in."""

    cache: Path
    cookies: Path | None = None  # Netscape cookie file
    cookies_from_browser: str | None = None  # yt-dlp's words: "firefox", "chrome:Profile 1"


@dataclass(frozen=True, slots=True)
class EmbeddedPlayer:
    """A site's own player that a web page can embed: `name` ("youtube"), and the recording's id in it."""

    name: str
    id: str


class Source(Protocol):
    """Where recordings come from. Built as `Source(SourceOptions)`, once per run.

    `list` is called from the main thread, `fetch` from one thread for each rate-limit key. Both raise
    UserError for an unusable URL, SourceBlocked when the site refuses this machine, ItemError for one
    item, and Cancelled within a second after `stop` is set.

    The static methods describe an item without a request or a heavy import, and are called on the class.
    All of them have a default here, which also serves a plug-in's class that does not inherit from this
    one: see `plugins.source_of`.
    """

    name: str
    pause: tuple[float, float]  # seconds between two downloads with one rate-limit key: min, max

    def __init__(self, options: SourceOptions) -> None:
        """Keep `options`, if anything of them is needed."""

    def matches(self, url: str) -> bool:
        """Whether this source can list `url`. The first source in the plug-in table that says so is used."""

    def list(self, url: str, stop: Event) -> Iterator[Listing]:
        """List what is at `url` without downloading recordings; UserError when there is nothing.

        Taking the next listing ends the items of the one before. Errors are raised where their request
        is made: here or in `items`. They are UserErrors, since no item can record them yet.
        """

    def fetch(self, item: Item, directory: Path, stop: Event) -> Audio:
        """Return the audio of `item`: downloaded into `directory`, which no other item uses, resuming a
        partial download there; or found on this machine's disk.
        """

    def close(self) -> None:
        """End child processes and connections."""

    @staticmethod
    def rate_limit_key(item: Item) -> str:
        """Key that downloads share a rate limit by ("youtube", a host name); "" for local files.

        Default: the host that the recording is downloaded from.
        """
        try:
            return urlsplit(item.media_url or item.url).hostname or item.source
        except ValueError:
            return item.source

    @staticmethod
    def link(item: Item, seconds: float) -> str:
        """URL that opens `item` at `seconds`.

        Default: a media fragment, https://www.w3.org/TR/media-frags/#naming-time
        """
        try:
            return urlsplit(item.url)._replace(fragment=f"t={int(max(0.0, seconds))}").geturl()
        except ValueError:  # an invalid URL in a feed must not stop an export or a search
            return item.url

    @staticmethod
    def local_path(item: Item) -> Path | None:
        """Path of the recording on this machine's disk; None (default) when it must be downloaded."""
        return None

    @staticmethod
    def embedded_player(item: Item) -> EmbeddedPlayer | None:
        """Player of the site in which a browser can play `item`; None (default) without one."""
        return None

    @staticmethod
    def expected_bytes(item: Item, seconds: float) -> int:
        """Bytes to download for `seconds` of `item`; 0 for local files. Default: MP3 at 128 kbit/s."""
        return round(seconds * 128_000 / 8)

    @staticmethod
    def file_tag(item: Item) -> str | None:
        """Text that identifies `item` in the name of an exported file, of letters that every file system
        takes; None (default) to have one made of its key.
        """
        return None

    @staticmethod
    def file_date(item: Item) -> str | None:
        """Date for the name of an exported file, which must never change. Default: the upload date."""
        return item.upload_date


class Engine(Protocol):
    """A loaded model. Built as `Engine(model)`: a published name, "demo" or a path; raises UserError for
    an unknown model, SetupError when it cannot be loaded or fetched. `transcribe` may be called from
    several threads at once.
    """

    name: str
    model: str
    slots: int  # how many calls of `transcribe` at once make it faster

    def __init__(self, model: str) -> None: ...

    def transcribe(
        self,
        audio: Audio,
        options: TranscriptionOptions,
        stop: Event,
        progress: Callable[[float], None],
    ) -> Transcript:
        """Every word of `audio`. `progress` is told the seconds of audio that are done.

        Raises PermanentError (undecodable, no audio), RetryableError (shorter than `audio.duration`),
        UserError (out of memory), Cancelled (soon after `stop` is set).
        """

    def close(self) -> None:
        """Free the model."""


@dataclass(frozen=True, slots=True)
class EngineRequirements:
    """What an engine needs on a machine that has only Python. An engine states it on its class, as
    `requirements`, so that a backend can install and run it elsewhere without importing its packages.

    The backend installs the packages, calls `download` to put a model into a folder, and then builds
    `Engine(folder)`.
    """

    packages: tuple[str, ...]  # pip requirements with exact versions
    languages: tuple[str, ...]  # Whisper's codes: "en", "de", ...
    download: Callable[[str, Path], object]  # download a model by name into a folder
    tasks: tuple[str, ...] = ("transcribe",)
    gpu_packages: tuple[
        str, ...
    ] = ()  # pip requirements for a machine with a CUDA device, in addition
    # Variables to set before Python starts. "{site_packages}" is where pip installs.
    environment: Mapping[str, str] = field(default_factory=dict)
    gpu_available: Callable[[], bool] | None = None  # None: the engine runs on a CPU only
    gpu_required: bool = False
    slots: int = 1  # recordings that one loaded model transcribes at once


class Session(Protocol):
    """A backend at work with one engine and model."""

    slots: int  # how many calls are worth having in flight

    @property
    def uploads(self) -> Uploads | None:
        """What has gone up; None where nothing has to go anywhere."""

    def submit(self, audio: Audio, options: TranscriptionOptions, stop: Event) -> Call:
        """Hand over the audio. One submit at a time; returns when the backend has all it needs."""

    def result(self, call: Call, stop: Event, progress: Callable[[float], None]) -> Transcript:
        """Wait for a call of this or, given its id, an earlier process. Raises as Engine.transcribe."""

    def usage(self, call: Call) -> Usage | None:
        """What `call` cost, once `result` has returned or raised; None where nothing is paid for."""

    def worth_starting(self, audio_seconds: float) -> bool:
        """Whether this much audio, with nothing in flight, justifies starting the backend."""


class Backend(Protocol):
    """Where engines run."""

    name: str
    default_engine: str
    default_model: str

    def start(self, engine: str, model: str) -> AbstractContextManager[Session]:
        """Load or deploy; SetupError when it cannot work here."""


class Exporter(Protocol):
    """A file format; its plug-in name is the file's extension."""

    def __call__(self, item: Item, transcript: Transcript) -> str:
        """The whole file as text."""
