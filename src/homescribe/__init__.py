"""Transcribe whole channels, playlists, podcasts and folders; search, read and export the text.

    import homescribe

    for outcome in homescribe.transcribe("talks/", library="~/homescribe", model="small"):
        print(outcome.item.title, outcome.transcript.text if outcome.transcript else outcome.error)

    with homescribe.Library(Path("~/homescribe").expanduser()) as library:
        for hit in library.search("a phrase somebody said"):
            print(hit.title, hit.start, hit.url)

`transcribe` does everything; `add`, `sync` and `Run` are its steps. Errors are HomescribeErrors.
"""

from homescribe.assemble import transcribe
from homescribe.backends.local import LocalBackend
from homescribe.core import (
    Audio,
    Call,
    Chapter,
    Item,
    Listing,
    Outcome,
    Segment,
    Skipped,
    SourceOptions,
    Speaker,
    Transcript,
    TranscriptionOptions,
    TranscriptLink,
    Turn,
    Word,
)
from homescribe.errors import (
    AnotherRun,
    BudgetReached,
    Cancelled,
    HomescribeError,
    ItemError,
    LibraryBusy,
    PermanentError,
    RetryableError,
    SetupError,
    SourceBlocked,
    UserError,
)
from homescribe.library import (
    Hit,
    ItemRecord,
    Library,
    Naming,
    Person,
    SourceRecord,
    Status,
    VoiceRecord,
)
from homescribe.pipeline import ListingResult, Progress, Run, Sources, add, sync
from homescribe.plugins import link

__version__ = "0.1.0"

__all__ = [
    "AnotherRun",
    "Audio",
    "BudgetReached",
    "Call",
    "Cancelled",
    "Chapter",
    "Hit",
    "HomescribeError",
    "Item",
    "ItemError",
    "ItemRecord",
    "Library",
    "LibraryBusy",
    "Listing",
    "ListingResult",
    "LocalBackend",
    "Naming",
    "Outcome",
    "PermanentError",
    "Person",
    "Progress",
    "RetryableError",
    "Run",
    "Segment",
    "SetupError",
    "Skipped",
    "SourceBlocked",
    "SourceOptions",
    "SourceRecord",
    "Sources",
    "Speaker",
    "Status",
    "Transcript",
    "TranscriptLink",
    "TranscriptionOptions",
    "Turn",
    "UserError",
    "VoiceRecord",
    "Word",
    "add",
    "link",
    "sync",
    "transcribe",
]
