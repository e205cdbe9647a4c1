"""The exporters of the requested formats, those of subtitles with their options."""

from __future__ import annotations

import functools
from collections.abc import Iterable

from homescribe import plugins
from homescribe.core import Exporter, SubtitleOptions
from homescribe.formats.subtitles import to_srt, to_vtt

SUBTITLES = {"srt": to_srt, "vtt": to_vtt}


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
