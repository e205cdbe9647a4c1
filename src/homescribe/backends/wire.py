"""The requests and replies exchanged between the home machine and another: bytes and plain dicts.

No object of ours is pickled, so that two versions of homescribe can read each other's replies, and a
transcript that was paid for is never lost to a changed class. A recording that fails is a reply as well.
"""

# No `from __future__ import annotations` here: Modal reads the annotations of methods that use these types.
import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from homescribe import __version__
from homescribe.core import Audio, Segment, Skipped, Transcript, TranscriptionOptions, Word
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
    token: str  # hash of the recording, the options and the version: equal work has an equal token


class PlainReply(TypedDict):
    """A Reply as dicts, lists, strings and numbers."""

    transcript: Plain | None
    error: list[object] | None  # the class's name, then its arguments
    died: bool
    claimed_by: str
    gpu_seconds: float
    overhead_seconds: float
    first: bool


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

    def plain(self) -> PlainReply:
        """Return the reply as dicts, lists, strings and numbers."""
        return {
            "transcript": None if self.transcript is None else dataclasses.asdict(self.transcript),
            "error": None if self.error is None else [_error_name(self.error), *self.error.args],
            "died": self.died,
            "claimed_by": self.claimed_by,
            "gpu_seconds": self.gpu_seconds,
            "overhead_seconds": self.overhead_seconds,
            "first": self.first,
        }

    @classmethod
    def parse(cls, plain: PlainReply) -> "Reply":
        """Read what `plain` wrote, in this version or another. Unknown fields are ignored."""
        known = {field.name for field in dataclasses.fields(cls)}
        values: Plain = {name: value for name, value in plain.items() if name in known}
        if values.get("error") is not None:
            kind, *arguments = values["error"]
            values["error"] = ERRORS.get(kind, ItemError)(*arguments)
        if values.get("transcript") is not None:
            values["transcript"] = parse_transcript(values["transcript"])
        return cls(**values)


def parse_transcript(plain: Plain) -> Transcript:
    """Return the Transcript that `dataclasses.asdict` turned into `plain`. Unknown fields are ignored."""
    known = {field.name for field in dataclasses.fields(Transcript)}
    segments = tuple(
        Segment(
            **{
                **segment,
                "words": tuple(Word(**word) for word in segment["words"]),
                "flags": tuple(segment["flags"]),
            }
        )
        for segment in plain["segments"]
    )
    skipped = tuple(Skipped(**stretch) for stretch in plain.get("skipped", ()))
    warnings = tuple(plain.get("warnings", ()))
    options = plain.get("options")
    values = {name: value for name, value in plain.items() if name in known}
    values |= {"segments": segments, "skipped": skipped, "warnings": warnings}
    return Transcript(**{**values, "options": None if options is None else parse_options(options)})


def parse_options(plain: Plain) -> TranscriptionOptions:
    """Return the TranscriptionOptions that `dataclasses.asdict` turned into `plain`."""
    return TranscriptionOptions(**{**plain, "temperature": tuple(plain["temperature"])})


def make_request(
    audio: Audio,
    media: bytes,
    options: TranscriptionOptions,
    gpu: str,
    engine: str,
    model: str,
) -> Request:
    """Return the request for one recording, whose content is `media`."""
    plain_options = dataclasses.asdict(options)
    digest = hashlib.sha256(media)
    work = [__version__, audio.item.key, engine, model, plain_options, audio.temporary]
    digest.update(json.dumps(work, sort_keys=True).encode())
    return {
        "key": audio.item.key,
        "duration": audio.duration,
        "temporary": audio.temporary,
        "options": plain_options,
        "gpu": gpu,
        "token": digest.hexdigest(),
    }


def _error_name(error: HomescribeError) -> str:
    """Return the nearest class in `ERRORS`, which both ends know."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in ERRORS)


def one_line(text: str, longest: int = 300) -> str:
    """Return another library's message on one line, cut to `longest` characters."""
    folded = " ".join(text.split())
    return folded if len(folded) <= longest else folded[: longest - 3] + "..."
