"""Read a file of captions, whose format is known by its content: publishers often state a wrong type."""

from __future__ import annotations

import json
import re

from homescribe.captions import (
    json3,
    subrip,
    timed_text,
    transcript_html,
    transcript_json,
    web_vtt,
)
from homescribe.captions.clock_times import cue_times
from homescribe.captions.cue_transcript import Kind, transcript_of
from homescribe.captions.json_values import as_list, as_object
from homescribe.captions.timed_cues import Cue
from homescribe.core import Transcript
from homescribe.errors import PermanentError
from homescribe.text.charsets import decoded
from homescribe.text.language_names import language_code
from homescribe.text.sanitize import language_tag

MAX_BYTES = 20 * 2**20  # of a file; a day of automatic captions has 10 MiB in json3
MOST_VALUES = 1_000_000  # objects and lists in JSON, which take many times their bytes in memory


def read(
    body: bytes,
    kind: Kind,
    *,
    language: str | None = None,
    duration: float | None = None,
    charset: str | None = None,
) -> Transcript:
    """Return the transcript in the file `body`: json3, vtt, srt, TTML, or JSON and HTML of Podcasting 2.0.

    Args:
        language: BCP 47, as the publisher says; None: what the file says.
        duration: seconds of the recording as listed.
        charset: as the server says.

    Raises:
        PermanentError: it is none of these, has no text or no times, or is larger than MAX_BYTES.
    """
    if len(body) > MAX_BYTES:
        raise PermanentError(f"The captions are larger than {MAX_BYTES // 2**20} MiB.")
    text = decoded(body, charset).replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff \t\n")
    cues, named = _cues(text)
    tag = language_tag(language) or language_tag(named)
    return transcript_of(cues, kind, language_code(tag) if tag else "und", duration)


def _cues(text: str) -> tuple[list[Cue], str | None]:
    """Return the cues of a file, and the language that it names."""
    if web_vtt.is_vtt(text):
        return web_vtt.cues(text), web_vtt.language(text)
    if text.startswith(("{", "[")) and (found := _from_json(text)) is not None:
        return found
    if text.startswith("<"):
        if timed_text.is_timed_text(text):
            return timed_text.cues(text)
        if re.search(r"<time\b", text, re.IGNORECASE):
            return transcript_html.cues(text), None
    if any(cue_times(line) for line in text.split("\n", 1000)[:1000]):
        return subrip.cues(text), None
    if not text:
        raise PermanentError("The file of captions is empty.")
    raise PermanentError(
        "The publisher's transcript has no times, so that nothing in it could be found in the recording."
    )


def _from_json(text: str) -> tuple[list[Cue], str | None] | None:
    """Return the cues of a JSON document; None if it is none, or has no list of them."""
    try:
        if text.count("{") + text.count("[") > MOST_VALUES:
            raise PermanentError("The captions are longer than those of any recording.")
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(document, list):
        return transcript_json.cues(document), None
    value = as_object(document)
    if "events" in value:
        return json3.cues(value), None
    if "segments" in value:
        named = value.get("language")
        return (
            transcript_json.cues(as_list(value.get("segments"))),
            named if isinstance(named, str) else None,
        )
    return None
