"""The exporters of the requested formats, those of subtitles with their options."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from homescribe import plugins
from homescribe.core import Exporter, Item, SubtitleOptions, Transcript
from homescribe.formats.subtitles import to_srt, to_vtt
from homescribe.text.redaction import shown_item

SUBTITLES = {"srt": to_srt, "vtt": to_vtt}

BINARY = frozenset({"docx"})
# Formats of which several files in a row are no longer a file of that format: csv, tsv and vtt begin with a
# header, the times of srt and lrc begin again, and docx is a zip archive.
SINGLE = BINARY | {"csv", "lrc", "srt", "tsv", "vtt"}


def load_exporters(formats: Iterable[str], subtitles: SubtitleOptions) -> dict[str, Exporter]:
    """Return the exporter of each format; `subtitles` are the options of srt and vtt.

    Raises:
        UserError, SetupError: as `plugins.load`.
    """
    return {
        name: functools.partial(SUBTITLES[name], options=subtitles)
        if name in SUBTITLES
        else plugins.load("exporters", name)
        for name in formats
    }


def file_content(exporter: Exporter, item: Item, transcript: Transcript) -> bytes:
    """Return the bytes of a file. Half of a surrogate pair, which UTF-8 cannot encode, becomes "?".

    Exporters of other packages need not know which addresses of an item are private.
    """
    content = exporter(shown_item(item), transcript)
    return content if isinstance(content, bytes) else content.encode(errors="replace")
