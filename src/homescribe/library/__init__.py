"""The library: one SQLite file that holds all state. No other package writes SQL."""

from homescribe.library.caption_requests import CaptionFigures
from homescribe.library.copies import Copy
from homescribe.library.corrections import Correction
from homescribe.library.failures import BACKOFF
from homescribe.library.item_methods import Renaming
from homescribe.library.items import Page, Sort
from homescribe.library.kept_audio import AudioFolder, AudioTotal, KeptAudio
from homescribe.library.library import Library, kept_audio
from homescribe.library.named_voices import Person, VoiceRecord
from homescribe.library.namings import Naming
from homescribe.library.records import ItemRecord, Selection, SourceRecord, State, Status
from homescribe.library.replacements import Replaced, ReplacedLine, Replacement
from homescribe.library.search import Hit, HitCount
from homescribe.library.stats import ChannelRecord, Day, RunRecord
from homescribe.library.usages import Measured, Rental, Spending

__all__ = [
    "BACKOFF",
    "AudioFolder",
    "AudioTotal",
    "CaptionFigures",
    "ChannelRecord",
    "Copy",
    "Correction",
    "Day",
    "Hit",
    "HitCount",
    "ItemRecord",
    "KeptAudio",
    "Library",
    "Measured",
    "Naming",
    "Page",
    "Person",
    "Renaming",
    "Rental",
    "Replaced",
    "ReplacedLine",
    "Replacement",
    "RunRecord",
    "Selection",
    "Sort",
    "SourceRecord",
    "Spending",
    "State",
    "Status",
    "VoiceRecord",
    "kept_audio",
]
