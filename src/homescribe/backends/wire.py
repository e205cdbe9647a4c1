"""The requests and replies exchanged between the home machine and another: bytes and plain dicts.

No object of ours is pickled, so that two versions of homescribe can read each other's replies, and a
transcript that was paid for is never lost to a changed class. A recording that fails is a reply as well.
"""

# No `from __future__ import annotations` here: Modal reads the annotations of methods that use these types.
import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from homescribe import __version__
from homescribe.core import (
    Audio,
    Call,
    Item,
    Segment,
    Skipped,
    Speaker,
    Transcript,
    TranscriptionOptions,
    Turn,
    Word,
)
from homescribe.errors import (
    HomescribeError,
    ItemError,
    PermanentError,
    RetryableError,
    SetupError,
    UserError,
)

ERRORS = {
    kind.__name__: kind
    for kind in (UserError, SetupError, PermanentError, RetryableError, ItemError)
}


Plain = dict[str, Any]  # what dataclasses.asdict returns


class Request(TypedDict):
    """What a container needs besides the media. It holds no title, no address and no secret."""

    key: str  # of the item
    duration: float | None  # seconds, as in Audio
    temporary: NotRequired[bool]  # as in Audio; True in the requests of older versions
    options: Plain  # TranscriptionOptions
    gpu: str
    token: str  # hash of the recording, options, models and version: equal work has an equal token


class PlainReply(TypedDict):
    """A Reply as dicts, lists, strings and numbers."""

    transcript: Plain | None
    error: list[object] | None  # the class's name, then its arguments
    died: bool
    claimed_by: str
    gpu_seconds: float
    overhead_seconds: float
    first: bool
    lost_seconds: NotRequired[float]  # not in the replies of older versions


@dataclass(frozen=True, slots=True)
class Reply:
    """The end of a call: a transcript, an error, or the id of another call that has the same recording."""

    transcript: Transcript | None = None
    error: HomescribeError | None = None
    died: bool = False  # the container or the engine crashed, with or without the recording's fault
    claimed_by: str = ""
    gpu_seconds: float = 0.0
    overhead_seconds: float = 0.0
    first: bool = False  # whether this was the container's first call
    # At most the seconds that the call spent in containers that ended before this one took it.
    lost_seconds: float = 0.0

    @property
    def metered(self) -> bool:
        """Whether a container measured the call. It did not where Modal itself ended the call."""
        return self.gpu_seconds + self.overhead_seconds > 0

    def plain(self) -> PlainReply:
        """Return the reply as dicts, lists, strings and numbers.

        Raises TypeError or ValueError for a transcript that has anything else in it.
        """
        plain: PlainReply = {
            "transcript": None if self.transcript is None else dataclasses.asdict(self.transcript),
            "error": None if self.error is None else _plain_error(self.error),
            "died": self.died,
            "claimed_by": self.claimed_by,
            "gpu_seconds": self.gpu_seconds,
            "overhead_seconds": self.overhead_seconds,
            "first": self.first,
            "lost_seconds": self.lost_seconds,
        }
        copy: PlainReply = json.loads(json.dumps(plain, default=_python_number))
        return copy

    @classmethod
    def parse(cls, plain: PlainReply) -> "Reply":
        """Read what `plain` wrote, in this version or another. Unknown fields are ignored.

        Raises TypeError, ValueError, KeyError or AttributeError for anything else.
        """
        values = _known_fields(cls, plain)
        if values.get("error") is not None:
            kind, *arguments = values["error"]
            values["error"] = ERRORS.get(kind, ItemError)(*arguments)
        if values.get("transcript") is not None:
            values["transcript"] = parse_transcript(values["transcript"])
        reply = cls(**values)
        if reply.transcript is None and reply.error is None and not reply.claimed_by:
            raise ValueError("The reply is empty.")
        return reply


def parse_transcript(plain: Plain) -> Transcript:
    """Return the Transcript that `dataclasses.asdict` turned into `plain`. Unknown fields are ignored.

    Raises TypeError, ValueError or KeyError for anything else.
    """
    segments = tuple(
        Segment(
            **{
                **_known_fields(Segment, segment),
                "words": tuple(Word(**_known_fields(Word, word)) for word in segment["words"]),
                "flags": tuple(segment["flags"]),
            }
        )
        for segment in plain["segments"]
    )
    skipped = tuple(Skipped(**_known_fields(Skipped, each)) for each in plain.get("skipped", ()))
    speakers = tuple(
        Speaker(**{**_known_fields(Speaker, each), "embedding": tuple(each.get("embedding", ()))})
        for each in plain.get("speakers", ())
    )
    turns = tuple(Turn(**_known_fields(Turn, each)) for each in plain.get("turns", ()))
    warnings = tuple(plain.get("warnings", ()))
    options = plain.get("options")
    rest = {
        "segments": segments,
        "skipped": skipped,
        "speakers": speakers,
        "turns": turns,
        "warnings": warnings,
        "options": None if options is None else parse_options(options),
    }
    transcript = Transcript(**{**_known_fields(Transcript, plain), **rest})
    _check(transcript)
    return transcript


def _check(transcript: Transcript) -> None:
    """Raise ValueError unless texts are texts and times are finite."""
    words = [word for segment in transcript.segments for word in segment.words]
    stretches: list[Segment | Skipped | Turn | Word] = [
        *transcript.segments,
        *transcript.skipped,
        *transcript.turns,
        *words,
    ]
    times = [transcript.duration, *(time for each in stretches for time in (each.start, each.end))]
    for speaker in transcript.speakers:
        times += [speaker.seconds, *speaker.embedding]
    texts: list[object] = [transcript.engine, transcript.model, transcript.language]
    texts += [*(segment.text for segment in transcript.segments), *(word.word for word in words)]
    texts += transcript.warnings
    texts += [text for each in transcript.speakers for text in (each.label, each.embedding_model)]
    texts += [turn.speaker for turn in transcript.turns]
    if not all(isinstance(time, int | float) and math.isfinite(time) for time in times):
        raise ValueError("A time of the transcript is no number.")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("A text of the transcript is no text.")


def _known_fields(kind: type, plain: object) -> Plain:
    """Return the values of a dict that are fields of the dataclass `kind`."""
    if not isinstance(plain, dict):
        raise TypeError(f"{type(plain).__name__} instead of a dict")
    known = {field.name for field in dataclasses.fields(kind)}
    return {name: value for name, value in plain.items() if name in known}


def parse_options(plain: Plain) -> TranscriptionOptions:
    """Return the TranscriptionOptions that `dataclasses.asdict` turned into `plain`.

    Unknown fields, of a newer version, are ignored.
    """
    known = _known_fields(TranscriptionOptions, plain)
    return TranscriptionOptions(**{**known, "temperature": tuple(plain["temperature"])})


def audio_of(media: bytes, request: Request) -> Audio:
    """Return the audio of a request, in memory. Its item has a key and nothing else."""
    source, _, name = request["key"].partition(":")
    return Audio(
        Item(source, name, url="", title=""),
        Path(request["key"]),
        duration=request["duration"],
        temporary=request.get("temporary", True),
        data=media,
    )


def stored_metadata(call: Call) -> Plain:
    """Return what is stored at home with a call, {} if it is damaged."""
    try:
        metadata = json.loads(call.metadata or "{}")
    except ValueError:
        return {}
    return metadata if isinstance(metadata, dict) else {}


def make_request(
    audio: Audio,
    media: bytes,
    options: TranscriptionOptions,
    gpu: str,
    engine: str,
    model: str,
    speaker_models: str = "",
) -> Request:
    """Return the request for one recording, whose content is `media`.

    Args:
        speaker_models: what identifies the models that tell speakers apart; voices of others differ.
    """
    plain_options = dataclasses.asdict(options)
    digest = hashlib.sha256(media)
    work = [__version__, audio.item.key, engine, model, plain_options, audio.temporary]
    if options.speakers is not None:
        work.append(speaker_models)
    digest.update(json.dumps(work, sort_keys=True).encode())
    return {
        "key": audio.item.key,
        "duration": audio.duration,
        "temporary": audio.temporary,
        "options": plain_options,
        "gpu": gpu,
        "token": digest.hexdigest(),
    }


def _plain_error(error: HomescribeError) -> list[object]:
    """Return the nearest class in `ERRORS`, which both ends know, and its arguments as text and number."""
    name = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in ERRORS)
    plain: list[object] = [name, text_of(error.message), text_of(error.hint)]
    retry_after = getattr(error, "retry_after", None)
    if name == RetryableError.__name__ and isinstance(retry_after, int | float):
        plain.append(float(retry_after))
    return plain


def _python_number(value: object) -> object:
    """Return a number of numpy or torch as one of Python."""
    item = getattr(value, "item", None)
    if item is None:
        raise TypeError(f"{type(value).__name__} is no number")
    number: object = item()
    return number


def describe(error: BaseException) -> str:
    """Return "ValueError: its message" on one line. An exception that has no text is only named."""
    message = text_of(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def text_of(value: object) -> str:
    """Return `str(value)` on one line; "" where that raises something."""
    try:
        return one_line(str(value))
    except Exception:  # noqa: BLE001 - whatever another library's __str__ raises
        return ""


def one_line(text: str, longest: int = 300) -> str:
    """Return another library's message on one line, cut to `longest` characters."""
    folded = " ".join(text.split())
    return folded if len(folded) <= longest else folded[: longest - 3] + "..."
