"""Tell failures that are the engine's or this machine's fault from those of single recordings.

An exception that no engine foresees is, for all we know, about its recording. But a missing library, a model
file that cannot be read, or a GPU that is gone would fail every recording of a night, one after the other. So
failures without a success between them are held back, and after a few the engine gets a recording that any
engine can transcribe. If that fails too, the run ends, and the recordings stay pending; if not, the failures
are theirs.

This concerns engines in this process. A call elsewhere states whose fault it was.
"""

from __future__ import annotations

import re
from pathlib import Path

from homescribe.core import Audio, Item
from homescribe.errors import HomescribeError, SetupError, UserError
from homescribe.pipeline.crash_log import write_log
from homescribe.pipeline.events import Failed
from homescribe.text.display import count

CHECK_KEY = "file:check of the engine"  # of the recording, which is not in the library
# Unforeseen failures after which the engine is checked; twice as many after each check that it passes.
IN_A_ROW = 3
# Names of devices and their drivers. One failure that mentions them suffices for a check.
DEVICE = re.compile(
    r"\b(CUDA|cuDNN|cuBLAS|lib(cu\w+|hip\w+|nv\w+)|GPU|HIP|ROCm|MPS|Metal)\b|CUDA_|CUDNN_"
)


def is_machines(error: BaseException) -> bool:
    """Whether `error` is of a kind that a recording rarely causes: a missing library, or a lost device."""
    return isinstance(error, ImportError) or DEVICE.search(_text(error)) is not None


class EngineFaults:
    """The failures that are held back; used by the iterating thread only.

    Args:
        known_good: a recording that any engine can transcribe; None: the engine is never checked.
    """

    def __init__(self, known_good: Path | None) -> None:
        self._known_good = known_good
        self._held: list[Failed] = []
        self._in_a_row = IN_A_ROW
        self._broken = False
        self._checked = 0  # failures in a row when the check was requested; 0 if there is none

    def hold(self, failed: Failed) -> bool:
        """Hold back a failure; False if it is to be recorded at once.

        Of an engine that is known to be broken, further failures are neither kept nor recorded.
        """
        if self._known_good is None or not failed.unforeseen:
            return False
        if not self._broken:
            self._held.append(failed)
        return True

    @property
    def held(self) -> frozenset[str]:
        """Keys of the items whose failures are held back."""
        return frozenset(failed.item.key for failed in self._held)

    def check_due(self, alone: frozenset[str]) -> Audio | None:
        """Return the recording to check the engine with, once for each check; None if there is no need.

        Args:
            alone: keys of items of which one may break the engine. One failure among them suffices.
        """
        if self._known_good is None or self._checked or not self._held:
            return None
        last = self._held[-1]
        suffices = last.machines or last.item.key in alone
        if len(self._held) < self._in_a_row and not suffices:
            return None
        self._checked = len(self._held)
        item = Item("file", "check of the engine", str(self._known_good), self._known_good.stem)
        return Audio(item, self._known_good, temporary=False)

    def release(self) -> list[Failed]:
        """Return the failures that were held back, which are those of their recordings."""
        held, self._held = self._held, []
        return held

    def passed(self) -> None:
        """The engine transcribed the recording of the check."""
        self._checked = 0
        self._in_a_row *= 2

    def broken(self, error: BaseException, engine: str, directory: Path) -> UserError:
        """Return the error that ends the run, since the engine failed at the recording of the check, too."""
        self._broken = True
        if isinstance(error, UserError):
            return error
        log = write_log(error, directory / "logs", f"checking {engine}")
        where = f"; the details are in {log}" if log else ""
        what = error.message if isinstance(error, HomescribeError) else type(error).__name__
        failures = count(self._checked, "recording")
        return SetupError(
            f"The engine {engine} does not work: it failed with {failures} in a row, and with the one that "
            f"comes with homescribe ({what}){where}.",
            "These recordings stay pending. To check this machine: homescribe doctor",
        )


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - of a class that is broken itself
        return ""
