"""Free space on the disk that a download must leave, so that the library can still be written."""

from __future__ import annotations

import shutil
from pathlib import Path

from homescribe.core import DISK_RESERVE, MINUTE
from homescribe.errors import RetryableError

MAX_MEDIA_BYTES = 8 * 2**30  # of one recording: a day and a half at 512 kbit/s
RESERVE_BYTES = DISK_RESERVE
RETRY_AFTER = 10 * MINUTE


def check_free_space(directory: Path, needed: int = 0) -> None:
    """Raise RetryableError if fewer than RESERVE_BYTES would be free after `needed` more bytes."""
    try:
        free = shutil.disk_usage(directory).free
    except OSError:  # writing reports what is wrong
        return
    if free - needed < RESERVE_BYTES:
        raise RetryableError(
            f"The disk is too full: {free / 1e9:.1f} GB are free, the recording needs "
            f"{needed / 1e9:.1f} GB, and {RESERVE_BYTES / 1e9:.1f} GB stay free."
            if needed
            else f"The disk is too full: {free / 1e9:.1f} GB are free.",
            "Free some space, or choose another disk with --library.",
            RETRY_AFTER,
        )
