"""What crosses the wire between home and a container: bytes and plain dicts.

Never a pickled class of ours: two versions of homescribe can read each other, and a reply that cannot be
rebuilt cannot lose a transcript that was paid for. A recording that fails is a reply too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from homescribe import __version__
from homescribe.core import Item, Segment, Transcript, TranscriptionOptions, Word
from homescribe.errors import (
    HomescribeError,
    ItemError,
    PermanentError,
    RetryableError,
    SetupError,
    UserError,
)

WIRE = 1  # version of the dicts; a reply of another version is still read, field by field

ERRORS = {
    kind.__name__: kind
    for kind in (UserError, SetupError, PermanentError, RetryableError, ItemError)
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What a call came to: a transcript, an error, or the id of the call that has the recording."""

    transcript: Transcript | None = None
    error: HomescribeError | None = None
    died: bool = False  # the container failed the recording, which may be at fault or not
    claimed_by: str = ""
    gpu_seconds: float = 0.0
    overhead_seconds: float = 0.0
    first: bool = False  # of its container
    container: str = ""

    def plain(self) -> dict[str, Any]:
        """As dicts, lists, strings and numbers."""
        return {
            "wire": WIRE,
            "transcript": None if self.transcript is None else dataclasses.asdict(self.transcript),
            "error": None if self.error is None else [_kind(self.error), *self.error.args],
            "died": self.died,
            "claimed_by": self.claimed_by,
            "gpu_seconds": self.gpu_seconds,
            "overhead_seconds": self.overhead_seconds,
            "first": self.first,
            "container": self.container,
        }

    @classmethod
    def parse(cls, plain: dict[str, Any]) -> Reply:
        """Of what `plain` made, in this version or another."""
        known = {field.name for field in dataclasses.fields(cls)}
        values = {name: value for name, value in plain.items() if name in known}
        if values.get("error") is not None:
            kind, *arguments = values["error"]
            values["error"] = ERRORS.get(kind, ItemError)(*arguments)
        if values.get("transcript") is not None:
            values["transcript"] = parse_transcript(values["transcript"])
        return cls(**values)


def parse_transcript(plain: dict[str, Any]) -> Transcript:
    """A Transcript from the dict that `dataclasses.asdict` made of one."""
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
    return Transcript(**{**plain, "segments": segments})


def make_request(
    item: Item,
    media: bytes,
    duration: float | None,
    options: TranscriptionOptions,
    gpu: str,
    engine: str,
    model: str,
) -> dict[str, Any]:
    """What a container needs to know beside the media. No title, no address, nothing of the user's.

    `token` names the work: the same recording with the same options, by the same version, whoever asks.
    """
    asked = dataclasses.asdict(options)
    digest = hashlib.sha256(media)
    work = [__version__, item.key, engine, model, asked]
    digest.update(json.dumps(work, sort_keys=True).encode())
    return {
        "wire": WIRE,
        "key": item.key,
        "duration": duration,
        "options": asked,
        "gpu": gpu,
        "token": digest.hexdigest(),
    }


def _kind(error: HomescribeError) -> str:
    """The nearest of `ERRORS`, so that a class this end alone knows becomes one both know."""
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in ERRORS)


def one_line(text: str, longest: int = 300) -> str:
    """A foreign message, folded and cut to what a person reads."""
    folded = " ".join(text.split())
    return folded if len(folded) <= longest else folded[: longest - 3] + "..."
