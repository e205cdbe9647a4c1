"""Where the wall time of a run went: what ran at each moment, by looking at its progress again and again."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType

from homescribe.pipeline import Progress

INTERVAL = 0.2  # seconds between two looks

LOADING = "deploying and starting Modal"
UPLOADING = "uploading"
BOTH = "waiting for Modal while downloads go on"
MODAL = "waiting for Modal after the last download"
DOWNLOADING = "downloading, nothing at Modal"
PAUSING = "pauses between downloads, nothing at Modal"
OTHER = "other"
PARTS = (LOADING, DOWNLOADING, PAUSING, UPLOADING, BOTH, MODAL, OTHER)


@dataclass(frozen=True, slots=True)
class Look:
    """What ran at one moment."""

    at: float  # time.monotonic()
    loading: bool
    downloading: bool
    uploading: bool
    at_modal: bool


@dataclass
class WallTime:
    """Looks at the progress of a run in a thread of its own, inside of `with`."""

    progress: Progress
    looks: list[Look] = field(default_factory=list)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> WallTime:
        self._thread = threading.Thread(target=self._watch, name="wall time", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._look()

    def _watch(self) -> None:
        self._look()
        while not self._ended.wait(INTERVAL):
            self._look()

    def _look(self) -> None:
        now = self.progress
        self.looks.append(
            Look(
                at=time.monotonic(),
                loading=bool(now.loading),
                downloading=bool(now.downloading),
                uploading=bool(now.uploads is not None and now.uploads.current),
                at_modal=bool(now.transcribing),
            )
        )

    def parts(self) -> dict[str, float]:
        """Return the seconds of each part. Together they are the time from the first look to the last."""
        seconds = dict.fromkeys(PARTS, 0.0)
        last_download = max((look.at for look in self.looks if look.downloading), default=0.0)
        for look, following in zip(self.looks, self.looks[1:], strict=False):
            seconds[part_of(look, last_download)] += following.at - look.at
        return seconds


def part_of(look: Look, last_download: float) -> str:
    """Return what the run waited for at this moment."""
    if look.loading:
        return LOADING
    if look.uploading:
        return UPLOADING
    if look.at_modal:
        return BOTH if look.at < last_download else MODAL
    if look.downloading:
        return DOWNLOADING
    return PAUSING if look.at < last_download else OTHER
