"""The limits of a download by yt-dlp: its rate, time and size, and the free space of the disk."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from homescribe.captions import caption_files
from homescribe.core import HOUR, MINUTE
from homescribe.errors import PermanentError, RetryableError
from homescribe.sources.disk_space import MAX_MEDIA_BYTES, check_free_space
from homescribe.sources.least_rate import LeastRate
from homescribe.sources.ytdlp.process import Reply
from homescribe.text.display import span

MAX_SECONDS = 12 * HOUR
# yt-dlp repeats a failed request up to three times, each with a time-out of 20 seconds: it reports such an
# error before this time has passed.
RATE_WINDOW = 2 * MINUTE


class Limits:
    """The limits of one download into `directory`. What can never be completed is removed from there."""

    most_bytes = MAX_MEDIA_BYTES
    most_seconds = MAX_SECONDS
    without_end = "The recording does not end: it may be a live stream."

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._deadline = time.monotonic() + self.most_seconds
        self._endless = False  # the length of the recording is unknown
        self._received: int | None = None  # bytes; None while yt-dlp does something else
        self._rate = LeastRate("The site", RATE_WINDOW)
        check_free_space(directory)

    def check(self, waited: float, report: Reply | None) -> None:
        """Raise an ItemError if a limit is reached. Called several times a second.

        Args:
            waited: seconds since the last call.
            report: of the child on the download, if there was one in this time.
        """
        if report is not None:
            self._endless = report.get("endless", False)
            self._count(waited, report["downloaded"])
            self._check_disk()
        elif self._received is not None:
            self._rate.add(waited, 0)
        if time.monotonic() > self._deadline:
            if self._endless:
                raise self._without_end()
            raise RetryableError(f"The download took longer than {span(self.most_seconds)}.")

    def _count(self, waited: float, downloaded: int | None) -> None:
        """Take note of the size of the download; None: it has ended."""
        if downloaded is None or self._received is None:
            self._rate = LeastRate("The site", RATE_WINDOW)
        else:
            self._rate.add(waited, max(0, downloaded - self._received))
        self._received = downloaded
        if (downloaded or 0) > self.most_bytes:
            raise self._without_end()

    def _without_end(self) -> PermanentError:
        shutil.rmtree(self._directory, ignore_errors=True)
        return PermanentError(self.without_end)

    def _check_disk(self) -> None:
        try:
            check_free_space(self._directory)
        except RetryableError:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise


class CaptionLimits(Limits):
    """The limits of a download of captions."""

    most_bytes = caption_files.MAX_BYTES
    most_seconds = 10 * MINUTE
    without_end = f"The captions are larger than {caption_files.MAX_BYTES // 2**20} MiB."
