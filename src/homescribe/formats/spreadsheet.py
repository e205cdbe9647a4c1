"""csv: a table that spreadsheets open with a double click. tsv in whisper.py is for programs."""

from __future__ import annotations

import csv
import io

from homescribe.core import Item, Transcript
from homescribe.formats.attribution import Names
from homescribe.plugins import link
from homescribe.text.sanitize import file_safe_line, spreadsheet_safe

# Without it, Excel takes the text for one in the code page of the system.
_BYTE_ORDER_MARK = "\ufeff"


def to_csv(item: Item, transcript: Transcript) -> str:
    """Comma-separated values: a row for each segment that is not blank, with a link to its second.

    Times are h:mm:ss, which spreadsheets read as times whatever the language of the system.
    """
    names = Names(transcript)
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["start", "end", *(["speaker"] if names.known else []), "text", "link"])
    for segment in transcript.segments:
        if text := file_safe_line(segment.text):
            cells = [_time(segment.start), _time(segment.end)]
            cells += [names.of(segment)] if names.known else []
            cells += [text, link(item, segment.start)]
            rows.writerow(map(spreadsheet_safe, cells))
    return _BYTE_ORDER_MARK + table.getvalue()


def _time(seconds: float) -> str:
    minutes, whole = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{whole:02d}"
