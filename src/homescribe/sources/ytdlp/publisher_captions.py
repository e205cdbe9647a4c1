"""Captions that the child wrote to a file: from the file to a transcript."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from homescribe.captions import caption_files
from homescribe.core import Item, Transcript
from homescribe.errors import RetryableError, UserError
from homescribe.sources.ytdlp.error_map import UPDATE
from homescribe.sources.ytdlp.process import CaptionReply

UNSURE = "The site does not say in which language people speak: the captions may be a translation."


def transcript_from(reply: CaptionReply, item: Item) -> Transcript:
    """Return the transcript in the file of `reply`, and remove the file.

    Args:
        item: completed by its page. The duration on an unknown page is not reliable.

    Raises:
        RetryableError: the site sent an empty file.
        PermanentError: as `caption_files.read`.
    """
    path = Path(reply["path"])
    try:
        with path.open("rb") as file:
            body = file.read(caption_files.MAX_BYTES + 1)
        path.unlink()
    except OSError as error:
        raise UserError(
            f"The captions cannot be read from {path.parent}: {error.strerror}.",
            "Check the disk and its permissions.",
        ) from error
    if not body.strip():
        raise RetryableError("The site sent an empty file.", UPDATE)
    found = caption_files.read(
        body,
        "automatic" if reply["automatic"] else "manual",
        language=reply["language"] if reply["language"] != "und" else item.language,
        duration=item.duration if item.source != "generic" else None,
    )
    return replace(found, warnings=(UNSURE, *found.warnings)) if reply["unsure"] else found
