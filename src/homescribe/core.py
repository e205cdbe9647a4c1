"""The values that modules exchange, and the protocols that plug-ins implement.

Values are frozen and have no behaviour. Times in a recording are seconds from its start, as floats. Names are
those of Whisper (`segments`, `avg_logprob`) and yt-dlp (`channel`, `upload_date`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, fields
from pathlib import Path
from threading import Event
from typing import Literal, Protocol, runtime_checkable
from urllib.parse import urlsplit

from homescribe.errors import HomescribeError, SourceBlocked, UserError

SECOND = 1.0
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

DISK_RESERVE = 500 * 10**6  # bytes of the library's disk that downloads leave free

# --- Recordings ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chapter:
    """A titled part of a recording, as its publisher defined it."""

    start: float
    end: float
    title: str


@dataclass(frozen=True, slots=True)
class TranscriptLink:
    """A transcript that a feed offers for one of its episodes.

    https://github.com/Podcastindex-org/podcast-namespace/blob/main/docs/tags/transcript.md
    """

    url: str  # never shown: that of a private feed has a token
    type: str = ""  # media type as the feed says, in lower case, "text/vtt"; "" if it does not say
    language: str | None = None  # BCP 47; None: that of the feed
    rel: str | None = None  # "captions": its times are those of the recording


# Metadata of Item's fields. The fields are the one list of what is known about a recording: the library's
# columns, JSON, and what the page of an item adds to its listing follow from them.
BY_PAGE = {"by_page": True}  # exact on the item's page, perhaps rounded or missing in a listing
PATH = {"path": True}  # may be a file path that is not UTF-8
EXPORT_ONLY = {"json": "export"}  # in JSON, for the export of one item, not for lists
LIST_ONLY = {"json": "list"}
NO_JSON = {"json": None}
NO_COLUMN = {"column": False, **NO_JSON}  # not part of what is known about the recording itself


@dataclass(frozen=True, slots=True)
class Item:
    """One recording: what its source's listing says about it, completed by its own page when it is fetched.

    `key` names it permanently ("youtube:jNQXAC9IVRw"): in the library, on the command line, in file names.
    """

    # Namespace of `id`: the name of a source ("file", "podcast"), or a site of yt-dlp ("youtube", "vimeo").
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
    # BCP 47, as the publisher says. An export has the language of the transcript.
    language: str | None = field(default=None, metadata=BY_PAGE | LIST_ONLY)
    description: str | None = field(default=None, metadata=BY_PAGE | NO_JSON)
    chapters: tuple[Chapter, ...] = field(default=(), metadata=BY_PAGE | EXPORT_ONLY)
    # Address to download from, where it is not `url`. Never in JSON: that of a private feed has a token.
    media_url: str | None = field(default=None, metadata=PATH | NO_JSON)
    # As the site's listing says, "public" or "subscriber_only"; None where there is no such thing.
    availability: str | None = field(default=None, metadata=NO_JSON)
    # Transcripts that the publisher's feed names. Never in JSON, as `media_url`.
    transcript_links: tuple[TranscriptLink, ...] = field(default=(), metadata=NO_JSON)
    # What the recording is known by beside its key, from its listing: see text/identities.py.
    identities: tuple[str, ...] = field(default=(), compare=False, metadata=NO_COLUMN)

    @property
    def key(self) -> str:
        return f"{self.source}:{self.id}"


def json_fields(where: Literal["list", "export"]) -> tuple[str, ...]:
    """Return the names of Item's fields in JSON: of a list of items, or of the export of one."""
    return tuple(f.name for f in fields(Item) if f.metadata.get("json", where) == where)


@dataclass(frozen=True, slots=True)
class Audio:
    """The audio of an item: a file on this machine or, in a container, bytes in memory."""

    item: Item  # completed by its page
    path: Path
    duration: float | None = None  # seconds that the decoded audio must last; None if not published
    temporary: bool = True  # removed once the transcript is stored; False for a user's own file
    data: bytes | None = None  # content of the file, used instead of `path`

    @property
    def media(self) -> Path | bytes:
        """What `audio.blocks` and `audio.decode` read."""
        return self.path if self.data is None else self.data


@dataclass(frozen=True, slots=True)
class Listing:
    """The items that a source offers at one URL.

    Several listings may have the same `url`, such as the tabs of a channel. Each is read and stopped on its
    own.
    """

    url: str  # canonical: the same for every spelling of the same channel, feed or folder
    title: str
    items: Iterator[Item]  # lazy: makes requests as it is read
    newest_first: bool = False  # an update may stop at the first known items
    moved_from: str | None = None  # the address that led here for good: the same source until now
    # Items are known by the content at their `url`: an item that was there with another content is replaced,
    # and items with the same key are copies of one. Those without identities replace nothing.
    by_content: bool = False
    # Sentences for the user about what was not listed. The source adds them while `items` is read.
    warnings: list[str] = field(default_factory=list)
    # Names of files that are shorter than their headers say, by the `url` of their items. They are reported
    # when the items are new. The source adds them while `items` is read.
    incomplete: dict[str, str] = field(default_factory=dict)
    # By address: the error of a host that asked to wait, although the rest of the listing could be read.
    refused: dict[str, SourceBlocked] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Addresses:
    """What to add in place of an address: what a list names, or the feed of a show's web page."""

    urls: tuple[str, ...]
    note: str = ""  # a sentence for the user
    each: bool = False  # a list: an address that fails does not stop the others
    guess: bool = False  # a page, which yt-dlp may know better


# --- Transcripts ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a segment with its time."""

    start: float
    end: float
    word: str  # with its leading space, as in Whisper's output
    probability: float  # 0..1
    speaker: str | None = None  # label of the Speaker who says it


@dataclass(frozen=True, slots=True)
class Segment:
    """A line of a transcript, with Whisper's measures of confidence."""

    start: float
    end: float
    text: str
    avg_logprob: float | None = None  # mean log probability of the tokens; below -1 is doubtful
    no_speech_prob: float | None = None  # 0..1
    compression_ratio: float | None = None  # of the text, with zlib; above 2.4 it is repetitive
    temperature: float | None = None  # of decoding; above 0 after a retry
    words: tuple[Word, ...] = ()
    # Why the text may be wrong: "low_probability", "retried", "repetition", "overlap" (several people speak).
    flags: tuple[str, ...] = ()
    language: str | None = None  # Whisper's code; None: that of the transcript
    speaker: str | None = None  # label of the Speaker who says all of it; None: unknown


@dataclass(frozen=True, slots=True)
class Skipped:
    """A part of a recording for which the transcript has no text."""

    start: float
    end: float
    # "no_speech": no speech was detected, so it was not decoded; "no_text": decoding gave no text.
    reason: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A stretch in which one speaker speaks. Turns of different speakers may overlap."""

    start: float
    end: float
    speaker: str  # label of a Speaker


@dataclass(frozen=True, slots=True)
class Speaker:
    """One voice of a recording."""

    label: str  # "SPEAKER_00": unique in the recording, numbered in the order of their first words
    seconds: float = 0.0  # of speech
    # Of the voice, of length 1; () if unknown. Personal data: it is printed nowhere.
    embedding: tuple[float, ...] = field(default=(), repr=False)
    embedding_model: str = ""  # only embeddings of the same model can be compared
    name: str | None = None  # None: nobody named this voice
    # Where the name is from: "person" named it in this recording; its "voice" is that of a named speaker of
    # the same source; "maybe": it resembles that voice; the "publisher" names it in captions.
    named_by: Literal["person", "voice", "maybe", "publisher"] | None = None

    def shown_name(self, number: int) -> str:
        """Return the name as outputs show it. `number` counts the speakers of the transcript from 1."""
        return (self.name or f"Speaker {number}") + ("?" if self.named_by == "maybe" else "")


CAPTIONS = "captions"  # the `engine` of a transcript that the publisher provides

# The setting `captions`: what becomes of them. auto: those that a person wrote are kept, automatic ones and
# those of parts only are replaced by a transcript of an engine; use: all are kept; upgrade: all are replaced;
# ignore: the same, and none are requested.
CaptionPolicy = Literal["auto", "use", "upgrade", "ignore"]


@dataclass(frozen=True, slots=True)
class Transcript:
    """The transcript of one item. `segments` are in order of time and end within `duration`.

    That of a publisher has the engine CAPTIONS, and the model "manual" if a person wrote it, or "automatic".
    Its `duration` is that of the recording as listed, or the end of its last segment if that is later.
    """

    engine: str
    model: str
    language: str  # Whisper's code of the language with the most speech, "en"; "und" without speech
    duration: float  # seconds of audio decoded
    segments: tuple[Segment, ...]
    skipped: tuple[Skipped, ...] = ()  # in order of time
    warnings: tuple[str, ...] = ()  # sentences about the recording, for the reader
    # As they were requested; a run sets them. None: unknown, of a version that did not store them.
    options: TranscriptionOptions | None = None
    speakers: tuple[Speaker, ...] = ()  # in the order of their first words; () without diarization
    turns: tuple[Turn, ...] = ()  # in order of time

    @property
    def is_captions(self) -> bool:
        """Whether the publisher provides it, rather than an engine of homescribe."""
        return self.engine == CAPTIONS

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments).strip()

    @property
    def languages(self) -> dict[str, float]:
        """Seconds of the segments in each language, by Whisper's code, the most spoken one first."""
        seconds: dict[str, float] = {}
        for segment in self.segments:
            code = segment.language or self.language
            seconds[code] = seconds.get(code, 0.0) + segment.end - segment.start
        return dict(sorted(seconds.items(), key=lambda pair: -pair[1]))

    @property
    def speaker_names(self) -> dict[str, str]:
        """The name of each speaker by label: "Ann", "Ann?" if it may be her, "Speaker 1" without a name."""
        return {
            speaker.label: speaker.shown_name(number)
            for number, speaker in enumerate(self.speakers, 1)
        }

    @property
    def skipped_seconds(self) -> float:
        """Seconds of the recording without text."""
        return sum(stretch.end - stretch.start for stretch in self.skipped)


@dataclass(frozen=True, slots=True)
class Captions:
    """The result of `Source.captions`."""

    item: Item  # completed by its page, where that was read
    transcript: Transcript | None  # None: the publisher provides none


@dataclass(frozen=True, slots=True)
class TranscriptionOptions:
    """Whisper's options, with Whisper's names. `None`: the engine's default."""

    # Whisper's code, "de"; a run also takes a name ("german") or a locale ("de_AT"). None: detect it, in
    # each window.
    language: str | None = None
    task: Literal["transcribe", "translate"] = "transcribe"  # translate: into English
    beam_size: int | None = None  # 1 is greedy; None: the engine's, 5 for those of homescribe
    # Tried in turn until a result passes the quality thresholds.
    temperature: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    word_timestamps: bool = False  # store the time of each word
    vad_filter: bool = True  # skip audio without speech
    initial_prompt: str | None = None  # names and spellings to expect
    condition_on_previous_text: bool = False  # True lets a repetition spread to the next window
    audio_track: int | None = None  # of a file with several, from 1; None: the first with sound
    # Who speaks: "auto", their number ("2") or its limits ("2-4"), "channels" (a person on each channel of
    # a stereo recording); None: not detected.
    speakers: str | None = None


@dataclass(frozen=True, slots=True)
class SubtitleOptions:
    """Whisper's options for srt and vtt, with Whisper's names.

    With the first three at None, the lines and times of cues are made for reading. With any of them set, cues
    are those that Whisper makes with the same options.
    """

    max_line_width: int | None = None  # characters
    max_line_count: int | None = None  # lines in a cue; only with `max_line_width`
    max_words_per_line: int | None = None
    highlight_words: bool = False  # underline each word while it is spoken

    @property
    def as_whisper(self) -> bool:
        """Whether cues are made as Whisper makes them."""
        return bool(self.max_line_width or self.max_line_count or self.max_words_per_line)


# --- Work ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """A recording submitted to a backend. A call with an `id` survives this process: store it at once."""

    item: Item
    backend: str
    submitted_at: float  # Unix time
    id: str | None = None
    metadata: str = ""  # JSON of the backend, stored with the call
    # Of the transcript that it returns; a run sets them. None: unknown, of an older version.
    options: TranscriptionOptions | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one item: a `transcript`, or the `error` that stopped it."""

    item: Item
    transcript: Transcript | None = None
    error: HomescribeError | None = None
    seconds: float = 0.0  # wall time from submission to result
    notes: tuple[str, ...] = ()  # sentences for the user about this item


@dataclass(frozen=True, slots=True)
class Usage:
    """What one finished call used of a rented machine, and its price."""

    call: Call
    engine: str
    model: str
    gpu: str
    gpu_seconds: float  # this call's share of the seconds that the machine transcribed
    overhead_seconds: float  # boot, model loading and idle time charged to this call
    boots: int  # machines that had it as their first call
    audio_seconds: float
    dollars: float
    expected_dollars: float  # estimate when it was submitted
    finished_at: float  # Unix time
    outcome: Literal["done", "failed", "died"]  # died: the machine stopped during the call
    # Of `dollars`: at most what machines cost that stopped during the call and measured nothing.
    unmetered_dollars: float = 0.0


@dataclass(slots=True)
class Uploads:
    """Progress of uploads to a backend: the backend updates it, the progress display reads it."""

    items: int = 0
    bytes: int = 0
    seconds: float = 0.0
    current: str = ""  # title of the item that is being uploaded
    current_bytes: int = 0
    current_since: float = 0.0  # by the monotonic clock

    @property
    def rate(self) -> float | None:
        """Bytes per second; None before the first upload is complete."""
        return self.bytes / self.seconds if self.seconds else None


# --- Protocols of plug-ins -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """Options of every source. `cache` is a directory for the source's own files."""

    cache: Path
    cookies: Path | None = None  # Netscape cookie file
    cookies_from_browser: str | None = None  # in yt-dlp's syntax: "firefox", "chrome:Profile 1"
    audio_track: int | None = None  # that will be transcribed, as in TranscriptionOptions
    user_agent: str | None = None  # of HTTP requests; None: the source's own
    allow_private_networks: bool = False  # public addresses may lead into private networks


@dataclass(frozen=True, slots=True)
class FileState:
    """What changes when a file is written."""

    bytes: int
    modified: float  # Unix time


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
    All of them have a default here, also for a plug-in's class that does not inherit from this one: see
    `plugins.source_of`.
    """

    name: str
    pause: tuple[float, float]  # seconds between two downloads with one rate-limit key: min, max
    # The same between two calls of `captions` with one `caption_key`.
    caption_pause: tuple[float, float] = (5 * SECOND, 10 * SECOND)

    def __init__(self, options: SourceOptions) -> None:
        """Keep the options that this source needs."""

    def matches(self, url: str) -> bool:
        """Whether this source can list `url`. The first such source in the plug-in table lists it.

        Raises UserError when only the address could tell, and it does not answer.
        """

    def list(self, url: str, stop: Event) -> Iterator[Listing]:
        """List what is at `url` without downloading recordings; UserError when there is nothing.

        Taking the next listing ends the items of the one before. Errors are raised where their request
        is made: here or in `items`. They are UserErrors, since no item can record them yet.
        """

    def addresses(self, url: str, stop: Event) -> Addresses | None:
        """Return what to add in place of `url`; None (default) to list `url` itself.

        It is called for an address that the library does not know, before `matches`. Raises UserError for a
        list that cannot be read.
        """
        return None

    def knows(self, url: str) -> bool:
        """Whether this source knows `url` by its form, so that it is not replaced by what another source
        finds there. Default: what `matches` says.
        """
        return self.matches(url)

    @staticmethod
    def files_at(url: str, stop: Event) -> Mapping[str, FileState] | None:
        """Return the recordings on this disk that `list(url)` would look at, by path, without reading them.

        None (default): listing `url` takes requests. Raises UserError if the place is missing or empty, as a
        disk that is not connected, and Cancelled.
        """
        return None

    def fetch(self, item: Item, directory: Path, stop: Event) -> Audio:
        """Return the audio of `item`: downloaded into `directory`, which no other item uses, resuming a
        partial download there; or found on this machine's disk.
        """

    def captions(self, item: Item, directory: Path, stop: Event) -> Captions | None:
        """Return the transcript that the publisher of `item` provides, without downloading the recording.

        `directory` is for files that are needed meanwhile; no other item uses it. Called from one thread for
        each `caption_key`; raises as `fetch`. None (default): nothing is offered, and no request was made.
        """
        return None

    def close(self) -> None:
        """End child processes and connections."""

    @staticmethod
    def caption_key(item: Item) -> str:
        """Return the key of the rate limit for captions, not the same as any `rate_limit_key`.

        "" where `captions` makes no request. Default: that of downloads, and " captions".
        """
        key = item.source
        with contextlib.suppress(ValueError):
            key = urlsplit(item.media_url or item.url).hostname or key
        return f"{key} captions"

    @staticmethod
    def rate_limit_key(item: Item) -> str:
        """Return the key of the rate limit for downloads ("youtube", a host name); "" for local files.

        Default: the host that the recording is downloaded from.
        """
        try:
            return urlsplit(item.media_url or item.url).hostname or item.source
        except ValueError:
            return item.source

    @staticmethod
    def listing_key(url: str) -> str:
        """Return the key of the rate limit for listing `url`, of the same kind as `rate_limit_key`.

        Default: the host; "" for other addresses, which have no rate limit.
        """
        try:
            return urlsplit(url).hostname or ""
        except ValueError:
            return ""

    @staticmethod
    def link(item: Item, seconds: float) -> str:
        """Return the URL that opens `item` at `seconds`.

        Default: a media fragment, https://www.w3.org/TR/media-frags/#naming-time
        """
        try:
            return urlsplit(item.url)._replace(fragment=f"t={int(max(0.0, seconds))}").geturl()
        except ValueError:  # an invalid URL in a feed must not stop an export or a search
            return item.url

    @staticmethod
    def local_path(item: Item) -> Path | None:
        """Return the path of the recording on this machine's disk; None (default) if it is elsewhere."""
        return None

    @staticmethod
    def audio_identity(item: Item, stop: Event) -> str | None:
        """Return a hash of the compressed audio of `item`, the same whatever its tags and container.

        All of the recording may be read for it. Default: None, for a recording that is not on this disk.
        """
        return None

    @staticmethod
    def embedded_player(item: Item) -> EmbeddedPlayer | None:
        """Return the site's player for `item`, which a browser can embed; None (default) without one."""
        return None

    @staticmethod
    def expected_bytes(item: Item, seconds: float) -> int:
        """Return the bytes to download for `seconds` of `item`; 0 for local files.

        Default: MP3 at 128 kbit/s.
        """
        return round(seconds * 128_000 / 8)

    @staticmethod
    def file_tag(item: Item) -> str | None:
        """Return what identifies `item` in the name of an exported file: up to 64 of A-Z, a-z, 0-9, _ and -.

        Default: None, for a tag that is made from the key.
        """
        return None

    @staticmethod
    def file_date(item: Item) -> str | None:
        """Return a date that never changes, for the name of an exported file. Default: the upload date."""
        return item.upload_date


class Engine(Protocol):
    """A loaded model. Built as `Engine(model)` with a published name, "demo" or a path.

    Building raises UserError for an unknown model, SetupError when it cannot be downloaded or loaded.
    `transcribe` may be called from several threads at once.
    """

    name: str
    model: str
    slots: int  # concurrent calls of `transcribe` up to which it gets faster

    def __init__(self, model: str) -> None:
        """Load `model`."""

    def transcribe(
        self,
        audio: Audio,
        options: TranscriptionOptions,
        stop: Event,
        progress: Callable[[float], None],
    ) -> Transcript:
        """Transcribe `audio`, calling `progress` with the seconds of audio that are done.

        Raises PermanentError (undecodable, no audio), RetryableError (shorter than `audio.duration`),
        UserError (out of memory), Cancelled (soon after `stop` is set).
        """

    def close(self) -> None:
        """Free the model."""


@runtime_checkable
class Streaming(Protocol):
    """What an engine may have besides: its segments while it transcribes."""

    def stream(
        self,
        audio: Audio,
        options: TranscriptionOptions,
        stop: Event,
        progress: Callable[[float], None],
        decoded: Callable[[Sequence[Segment]], None],
    ) -> Transcript:
        """As Engine.transcribe. `decoded` gets the segments of the transcript, in order, as they are made."""


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
    gpu_packages: tuple[str, ...] = ()  # more pip requirements, for a machine with a CUDA device
    # Variables to set before Python starts. "{site_packages}" is where pip installs.
    environment: Mapping[str, str] = field(default_factory=dict)
    gpu_available: Callable[[], bool] | None = None  # None: the engine runs on a CPU only
    gpu_required: bool = False
    # The newest GPUs that the packages have compiled code for, by compute capability; None: all.
    newest_gpu: tuple[int, int] | None = None
    # Raise UserError for an unknown model, without loading or downloading it; None: not checked beforehand.
    check_model: Callable[[str], None] | None = None
    slots: int = 1  # recordings that one loaded model transcribes at once
    # Modules that take long to import and do not look for a GPU while they are imported. A backend may import
    # them once and start later processes with a copy of the memory.
    imports: tuple[str, ...] = ()

    def check(self, engine: str, options: TranscriptionOptions) -> None:
        """Raise UserError for a task or a language that no model of the engine called `engine` supports."""
        if options.task not in self.tasks:
            raise UserError(
                f"The engine {engine!r} cannot {options.task}.",
                f"Use --task {' or '.join(self.tasks)}.",
            )
        if options.language is not None and options.language not in self.languages:
            raise UserError(
                f"The engine {engine!r} knows no language {options.language!r}.",
                f"Use one of: {', '.join(sorted(self.languages))}.",
            )


class Session(Protocol):
    """A started backend, with one engine and model loaded.

    One whose engine is not in this process, although its calls have no id, has an attribute `elsewhere` that
    is True: a recording during which this process was killed is not suspected of it.
    """

    slots: int  # calls to keep in flight

    @property
    def uploads(self) -> Uploads | None:
        """Progress of uploads; None for a backend without uploads."""

    def submit(self, audio: Audio, options: TranscriptionOptions, stop: Event) -> Call:
        """Submit `audio` and return when the backend has it. Calls must not overlap."""

    def result(self, call: Call, stop: Event, progress: Callable[[float], None]) -> Transcript:
        """Wait for a call of this process or, if it has an id, of an earlier one.

        Raises as Engine.transcribe.
        """

    def usage(self, call: Call) -> Usage | None:
        """Return what `call` cost, after `result` returned or raised; None for one without costs."""

    def forget(self, key: str) -> None:
        """Delete what the backend keeps of the call for the item `key`: its outcome is stored.

        Called by the thread that iterates over the run, so it must return at once.
        """

    def worth_starting(self, audio_seconds: float) -> bool:
        """Whether this much audio, with nothing in flight, justifies starting the backend."""


class Backend(Protocol):
    """Where engines run.

    One that follows `TranscriptionOptions.speakers`, for example with a SpeakerEngine, has an attribute
    `finds_speakers` that is True. One whose `default_engine` is its only one, and no plug-in, has an
    attribute `own_engine` that is True.
    """

    name: str
    default_engine: str
    default_model: str

    def start(self, engine: str, model: str) -> AbstractContextManager[Session]:
        """Load the model here, or deploy it; raise SetupError if this backend cannot run."""


class Exporter(Protocol):
    """A file format; its plug-in name is the file's extension."""

    def __call__(self, item: Item, transcript: Transcript) -> str | bytes:
        """Return the content of the file: text, or bytes of a binary format."""
