"""When to list a folder again: some time after files in it have changed, when they change no more.

The folder is looked at again and again. Notifications of the system would come sooner, but network drives
and folders of containers have none, and systems drop them when there are many. How long a copy takes is
unknown, so a file counts as complete when its size and time stay the same for a while.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from homescribe.core import FileState

QUIET = 10.0  # seconds without a change that is seen
# Seconds since the time of change that the file itself has. Until then, a listing leaves it out.
SETTLED = 30.0


@dataclass(slots=True)
class FolderChanges:
    """The recordings of one folder or pattern: as they were listed, and as they were seen last."""

    quiet: float = QUIET
    settled: float = SETTLED
    _listed: dict[str, FileState] = field(default_factory=dict)
    _seen: dict[str, FileState] = field(default_factory=dict)
    _since: dict[str, float] = field(
        default_factory=dict
    )  # when each was first seen as it is, or gone

    def look(self, found: Mapping[str, FileState], now: float) -> None:
        """Take note of the files that are there.

        Args:
            now: by a clock that does not jump, in seconds.
        """
        for path in self._listed.keys() | self._seen.keys() | found.keys():
            if self._seen.get(path) != found.get(path) or path not in self._since:
                self._since[path] = now
        self._seen = dict(found)
        known = self._seen.keys() | self._listed.keys()
        self._since = {path: since for path, since in self._since.items() if path in known}

    def start(self, found: Mapping[str, FileState], now: float, time: float) -> None:
        """Take note of the files that the first listing finds; of those that changed lately, later."""
        self.look(found, -math.inf)
        self.listed(now, time)

    def due(self, now: float, time: float) -> bool:
        """Return whether a file is complete that is not listed as it is, or a listed one is gone.

        Args:
            time: Unix time.
        """
        return any(self._is_settled(path, now, time) for path in self._changed())

    def listed(self, now: float, time: float) -> None:
        """Take note that a listing was made: of the files that were complete."""
        for path in self._changed():
            if not self._is_settled(path, now, time):
                continue
            if path in self._seen:
                self._listed[path] = self._seen[path]
            else:
                del self._listed[path]

    def _changed(self) -> list[str]:
        return [
            path
            for path in self._listed.keys() | self._seen.keys()
            if self._listed.get(path) != self._seen.get(path)
        ]

    def _is_settled(self, path: str, now: float, time: float) -> bool:
        if now - self._since.get(path, now) < self.quiet:
            return False
        state = self._seen.get(path)
        return state is None or abs(time - state.modified) >= self.settled
